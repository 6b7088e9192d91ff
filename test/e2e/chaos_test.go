package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// chaos kills kubetrail until it was killed often enough, and meanwhile lets happen, one
// after the other, what else happens to a cluster.
type chaos struct {
	*rig
	rnd   *rand.Rand
	kills int
	disk  string     // mount point of the trail's file system, "" where it is not our own
	hold  sync.Mutex // held while kubetrail is killed and started
	wg    sync.WaitGroup
	mu    sync.Mutex
	err   error
	did   []string // what happened, for the report
	downs []down   // of API servers
}

// down is a time in which an API server did not run.
type down struct {
	server   string
	from, to time.Time
}

// act is something that happens when so many of a hundred kills are done.
type act struct {
	at   int
	what string
	do   func(c *chaos, ctx context.Context) error
}

func acts() []act {
	return []act{
		{5, "one audit ID, 1,000 times", func(c *chaos, ctx context.Context) error { return c.replay(ctx, 1000) }},
		{8, "every other answer to the webhook of cp-1 lost for 15 s", func(c *chaos, ctx context.Context) error { return c.loseAnswers(ctx, 15*time.Second) }},
		{18, "the agent cut off for 20 s", func(c *chaos, ctx context.Context) error { return c.cutAgent(ctx, 20*time.Second) }},
		{35, "the disk of the trail full for 10 s", func(c *chaos, ctx context.Context) error { return c.fillDisk(ctx, 10*time.Second) }},
		{50, "cp-2 killed with -9", func(c *chaos, ctx context.Context) error { return c.killServer(ctx, 1) }},
		{65, "cp-1 killed with -9", func(c *chaos, ctx context.Context) error { return c.killServer(ctx, 0) }},
		{75, "the webhook of cp-2 refused for 25 s", func(c *chaos, ctx context.Context) error { return c.refuseWebhook(ctx, "cp-2", 25*time.Second) }},
		{90, "kubetrail down for 40 s, and what was logged meanwhile removed", func(c *chaos, ctx context.Context) error { return c.lose(ctx, 40*time.Second) }},
	}
}

// run returns when all is over, with everything running.
func (c *chaos) run(ctx context.Context) error {
	left := acts()
	for n := 0; n < c.kills; n++ {
		for len(left) > 0 && n*100 >= left[0].at*c.kills {
			a := left[0]
			left = left[1:]
			c.wg.Go(func() { c.play(ctx, a) })
		}
		if err := c.killOne(ctx); err != nil {
			c.fail(err)
			break
		}
		if c.failed() != nil || ctx.Err() != nil {
			break
		}
	}
	for _, a := range left {
		c.wg.Go(func() { c.play(ctx, a) })
	}
	c.wg.Wait()
	return errors.Join(c.failed(), ctx.Err())
}

func (c *chaos) play(ctx context.Context, a act) {
	begun := time.Now()
	if err := a.do(c, ctx); err != nil && ctx.Err() == nil {
		c.fail(fmt.Errorf("%s: %w", a.what, err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.did = append(c.did, fmt.Sprintf("%s (%s to %s)", a.what, begun.UTC().Format(time.TimeOnly), time.Now().UTC().Format(time.TimeOnly)))
}

func (c *chaos) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

func (c *chaos) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// killOne kills serve or the agent after some time and starts it again: most often in
// the middle of its work, now and then while it starts.
func (c *chaos) killOne(ctx context.Context) error {
	x := c.serve
	if c.rnd.IntN(3) == 0 {
		x = c.agent
	}
	after := time.Duration(c.rnd.IntN(3000)) * time.Millisecond
	if c.rnd.IntN(4) == 0 {
		after = time.Duration(c.rnd.IntN(150)) * time.Millisecond
	}
	wait(ctx, after)
	c.hold.Lock()
	defer c.hold.Unlock()
	if err := x.kill(); err != nil {
		return err
	}
	wait(ctx, time.Duration(c.rnd.IntN(300))*time.Millisecond)
	return x.start()
}

func (c *chaos) cutAgent(ctx context.Context, d time.Duration) error {
	c.links["agent"].cut()
	defer c.links["agent"].heal()
	wait(ctx, d)
	return nil
}

// refuseWebhook lets no post through for longer than kube-apiserver tries: what it gives
// up is a real loss of the webhook.
func (c *chaos) refuseWebhook(ctx context.Context, name string, d time.Duration) error {
	c.links[name].refuse()
	defer c.links[name].heal()
	wait(ctx, d)
	return nil
}

// loseAnswers makes kube-apiserver post again what kubetrail has already.
func (c *chaos) loseAnswers(ctx context.Context, d time.Duration) error {
	c.recorders[0].lossy(true)
	defer c.recorders[0].lossy(false)
	wait(ctx, d)
	return nil
}

// killServer kills an API server and starts it again.
func (c *chaos) killServer(ctx context.Context, n int) error {
	s := c.plane.Servers[n]
	if !s.Kill() {
		return errors.New("it ended by itself")
	}
	killed := time.Now()
	wait(ctx, 3*time.Second)
	err := s.Restart(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.downs = append(c.downs, down{s.Name, killed, time.Now()})
	return err
}

// lose keeps kubetrail down for longer than logs and posts wait. What cp-1 lost then it
// tells itself, on its standard error; what cp-2 says of it is removed as well.
func (c *chaos) lose(ctx context.Context, d time.Duration) error {
	c.hold.Lock()
	defer c.hold.Unlock()
	c.losing.Lock() // a loss that was told of and not yet read would be another one
	wait(ctx, 3*time.Second)
	all := []*runner{c.serve, c.agent}
	for _, x := range all {
		if err := x.kill(); err != nil {
			c.losing.Unlock()
			return err
		}
	}
	c.losing.Unlock()
	var before []map[uint64]string
	for _, k := range c.keepers {
		was, err := k.rest()
		if err != nil {
			return err
		}
		before = append(before, was)
	}
	wait(ctx, d)
	for i, k := range c.keepers {
		n, err := k.lose(before[i])
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("nothing was rotated meanwhile")
		}
	}
	if err := os.Truncate(c.plane.Servers[1].Stderr(), 0); err != nil {
		return err
	}
	for _, x := range all {
		if err := x.start(); err != nil {
			return err
		}
	}
	return nil
}

// fillDisk leaves no byte free where the trail is, for a while.
func (c *chaos) fillDisk(ctx context.Context, d time.Duration) error {
	if c.disk == "" {
		return nil
	}
	name := filepath.Join(c.disk, "something-else")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(name)
	defer f.Close()
	block := make([]byte, 1<<20)
	var freed time.Time // when the disk will have been full for long enough
	for ctx.Err() == nil && (freed.IsZero() || time.Now().Before(freed)) {
		// What is removed elsewhere makes room again.
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			if freed.IsZero() {
				freed = time.Now().Add(d)
			}
			wait(ctx, 10*time.Millisecond)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// mount gives the trail a small file system of its own, which goes when this process
// does, however it ends. It returns "" where that is not allowed.
func mount(dir string, size string) (at string, unmount func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,size="+size); err != nil {
		return "", func() error { return nil }, nil
	}
	// It waits for the end of its standard input: ours.
	keeper := exec.Command("sh", "-c", `read _; umount -l "$1"`, "sh", dir)
	keeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := keeper.StdinPipe()
	if err == nil {
		err = keeper.Start()
	}
	if err != nil {
		return "", nil, errors.Join(err, syscall.Unmount(dir, syscall.MNT_DETACH))
	}
	return dir, func() error {
		_, err := io.WriteString(in, "\n")
		return errors.Join(err, keeper.Wait())
	}, nil
}

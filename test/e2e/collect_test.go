// Package e2e holds the proof: a real control plane with two API servers, whose logs and
// webhooks kubetrail collects while everything around it fails.
package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	kills = flag.Int("kills", 100, "how often kubetrail is killed")
	steps = flag.Int("steps", 0, "how many steps of the story are told; 0 is all")
	given = flag.String("kubetrail", "", "a program that is built already, to be tested instead of this tree")
	disk  = flag.String("disk", "2g", "size of the file system of the trail")
)

// TestCollect lets a control plane live its life, has kubetrail collect it, kills
// kubetrail with -9 all the time, cuts it off, fills its disk and kills API servers.
// Afterwards the trail must hold every line of the logs once, byte for byte, and every
// event of the webhooks that was acknowledged.
func TestCollect(t *testing.T) {
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	seed := rand.Uint64()
	t.Logf("seed %d, policy %s", seed, filepath.Base(policy(t)))
	r := newRig(t, ctx)
	c := &chaos{rig: r, rnd: rand.New(rand.NewPCG(seed, 0)), kills: *kills}
	r.data = filepath.Join(r.dir, "disk", "trail")
	at, unmount, err := mount(filepath.Join(r.dir, "disk"), *disk)
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() { // what is kept of a failure is kept elsewhere
			must(t, os.CopyFS(filepath.Join(r.dir, "trail"), os.DirFS(r.data)))
		}
		must(t, unmount())
	})
	if c.disk = at; at == "" {
		t.Log("nothing may be mounted here: the disk is not filled")
	}
	must(t, r.startKubetrail())
	t.Cleanup(func() {
		for _, x := range r.runners {
			if x.process != nil {
				x.process.Kill()
			}
		}
	})
	begun := time.Now()
	must(t, r.live(ctx, c, seed))
	r.report(c, time.Since(begun))
	must(t, r.settle(ctx))
	r.verify(c.downs)
}

// live runs everything at once, until the story is told and the kills are done.
func (r *rig) live(ctx context.Context, c *chaos, seed uint64) error {
	ctx, fail := context.WithCancel(ctx)
	defer fail()
	background, over := context.WithCancel(ctx)
	defer over()
	first := firstError{fail: fail}
	var wg, keeping sync.WaitGroup
	keepers, kept := context.WithCancel(ctx)
	defer kept()
	for _, k := range r.keepers {
		keeping.Go(func() { first.is(k.run(keepers)) })
	}
	wg.Go(func() { first.is(r.load(background, seed)) })
	story := story()
	if *steps > 0 {
		story = story[:min(*steps, len(story))]
	}
	var acting sync.WaitGroup
	acting.Go(func() {
		// About as long as the kills take, so that they meet all of it.
		each := time.Duration(*kills) * 1500 * time.Millisecond / time.Duration(len(story))
		first.is(r.tell(ctx, story, func() time.Duration { return each }))
	})
	first.is(c.run(ctx))
	acting.Wait()
	over()
	wg.Wait()
	// In order: what still waits for the webhooks is sent now.
	if m := r.plane.Manager(); m != nil {
		m.Kill()
	}
	for _, s := range r.plane.Servers {
		first.is(s.Stop())
	}
	kept()
	keeping.Wait()
	return first.get()
}

// firstError keeps the first of many errors, and ends what the others come from.
type firstError struct {
	fail func()
	mu   sync.Mutex
	err  error
}

func (f *firstError) is(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil && err != nil {
		f.err = err
		f.fail()
	}
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (r *rig) report(c *chaos, took time.Duration) {
	refused, servers := 0, map[string]int{}
	l := r.clients.ledger
	for _, a := range l.answers {
		if servers[a.server]++; a.status >= 400 {
			refused++
		}
	}
	r.t.Logf("%s: %d steps of the story, %d answered requests (%d refused), %d without an answer, by server %v",
		took.Round(time.Second), r.told.Load(), len(l.answers), refused, l.failed, servers)
	for _, x := range r.runners {
		r.t.Logf("%s: killed %d times with -9", x.name, x.kills)
	}
	for _, what := range c.did {
		r.t.Log(what)
	}
	for i, k := range r.keepers {
		r.t.Logf("%s: %d logs renamed under their writer, %d compressed", r.plane.Servers[i].Name, k.renamed, k.packed)
	}
}

// settle waits until kubetrail has what there is, and ends it in order.
func (r *rig) settle(ctx context.Context) error {
	want := map[string]int{}
	for i, k := range r.keepers {
		l, err := readLogs(k)
		if err != nil {
			return err
		}
		want[r.plane.Servers[i].Name] = l.total
	}
	begun := time.Now()
	for {
		have, err := r.count()
		if err != nil {
			return err
		}
		done := true
		for name, n := range want {
			done = done && have[name] >= n
		}
		if done {
			r.t.Logf("collected %s after the last event", time.Since(begun).Round(100*time.Millisecond))
			break
		}
		if time.Since(begun) > 2*time.Minute {
			r.t.Errorf("after two minutes the trail has %v events of the logs, want %v", have, want)
			break
		}
		wait(ctx, 500*time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for _, x := range slices.Backward(r.runners) {
		if err := x.stop(time.Minute); err != nil {
			return fmt.Errorf("in order: %w\n%s", err, x.process.Tail(2000))
		}
	}
	return nil
}

// count is how many events of its log the trail has of each API server.
func (r *rig) count() (map[string]int, error) {
	out, err := exec.Command(r.kubetrail, "top", "--data", r.data, "--by", "server", "--limit", "0", "-o", "json", "not source:webhook/* and not is:recovered").Output()
	if err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	var answer struct {
		Items []struct {
			Server string
			Count  int
		}
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("count: %w: %s", err, out)
	}
	have := map[string]int{}
	for _, row := range answer.Items {
		have[row.Server] = row.Count
	}
	return have, nil
}

package backend_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/record"
	"kubetrail/record/backend"
)

// refuseAll answers as a server that is up, but not ready.
func refuseAll(http.ResponseWriter, []received) int { return http.StatusServiceUnavailable }

func onDisk(t testing.TB, dir string) (n int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.spill"))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// What a receiver that is away does not take waits on disk, and arrives in order when it
// is back, after a restart too.
func TestSpill(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	dir := filepath.Join(t.TempDir(), "spill")
	l, lost := losses(t)
	config := backend.BufferedConfig{BufferSize: 50, MaxBatchSize: 7, MaxBatchWait: time.Millisecond,
		AsyncDelegate: true, SpillDir: dir, Losses: l, Logger: logger(t)}
	hook := func(c *backend.WebhookConfig) { c.Losses = l }
	b := buffered(t, newWebhook(t, r.URL, hook), config)
	if b.String() != "buffered<webhook>" {
		t.Error(b)
	}
	stop := start(t, b)
	n := 0
	send := func(count int) {
		for range count {
			b.ProcessEvents(numbered(0, n))
			n++
		}
	}
	arrived := func(t testing.TB) int { different, _ := inOrder(t, r.all(t)); return different }

	send(20)
	eventually(t, "20 arrive", func() bool { return arrived(t) == 20 })
	if onDisk(t, dir) != 0 {
		t.Error("something touched the disk though the receiver keeps up")
	}

	r.set(refuseAll)
	for range 100 { // many times what memory holds
		send(20)
		eventually(t, "room", func() bool { return onDisk(t, dir) > 0 })
		time.Sleep(2 * time.Millisecond)
	}
	r.set(nil)
	eventually(t, "all arrive", func() bool { return arrived(t)+missing(r, t) == n })
	eventually(t, "the disk is empty", func() bool { return onDisk(t, dir) == 0 })

	r.set(refuseAll)
	send(30)
	eventually(t, "the disk is used", func() bool { return onDisk(t, dir) > 0 })
	send(10)
	stop()
	r.set(nil)
	b = buffered(t, newWebhook(t, r.URL, hook), config)
	stop = start(t, b)
	send(5)
	eventually(t, "all arrive after a restart", func() bool { return arrived(t)+missing(r, t) == n })
	stop()
	if got := lost(); len(got) != 0 || onDisk(t, dir) != 0 {
		t.Errorf("lost %v, %d segments left", got, onDisk(t, dir))
	}
	if _, again := inOrder(t, r.all(t)); again != 0 {
		t.Errorf("%d came again, though no answer was lost", again)
	}
}

// A disk that takes nothing costs what memory does not hold, until it works again.
func TestSpillFails(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	r.set(refuseAll)
	l, _ := losses(t)
	dir := filepath.Join(t.TempDir(), "spill")
	b := buffered(t, newWebhook(t, r.URL, nil), backend.BufferedConfig{BufferSize: 20, MaxBatchSize: 10, MaxBatchWait: time.Millisecond,
		AsyncDelegate: true, SpillDir: dir, Losses: l})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	stop := start(t, b)
	n, taken := 0, map[string]int{}
	offer := func(enough func() bool) {
		for ; n < 100_000 && !enough(); n++ {
			b.ProcessEvents(numbered(0, n))
			for _, one := range l.Take() {
				taken[one.Cause] += one.Count
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	offer(func() bool { return taken[backend.CauseSpill] > 20 })
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	offer(func() bool { return onDisk(t, dir) > 0 })
	r.set(nil)
	eventually(t, "all arrive that were not lost", func() bool {
		different, _ := inOrder(t, r.all(t))
		return different+taken[backend.CauseSpill] == n
	})
	stop()
}

// missing is how many events the receiver was told of that are lost.
func missing(r *receiver, t testing.TB) (n int) {
	for _, count := range lost(r.all(t)) {
		n += count
	}
	return n
}

// More than upstream's throttle lets through, for longer than its buffer lasts: with a
// spill nothing is lost. Upstream's default is 10 batches of 400 a second and a buffer
// of 10,000; this is the same eight times as fast.
func TestSpillKeepsWhatTheThrottleHoldsBack(t *testing.T) {
	for _, spill := range []bool{false, true} {
		t.Run(fmt.Sprint("spill ", spill), func(t *testing.T) {
			noLeaks(t)
			r := newReceiver(t)
			l := backend.NewLosses(backend.LossesConfig{})
			config := backend.BufferedConfig{BufferSize: 1250, MaxBatchSize: 50, MaxBatchWait: 30 * time.Second,
				ThrottleEnable: true, ThrottleQPS: 80, ThrottleBurst: 15, AsyncDelegate: true, MaxInFlight: 1, Losses: l}
			if spill {
				config.SpillDir = filepath.Join(t.TempDir(), "spill")
			}
			b := buffered(t, newWebhook(t, r.URL, func(c *backend.WebhookConfig) { c.Losses = l }), config)
			stop := start(t, b)
			const total, perSecond = 8000, 8000
			begin := time.Now()
			for i := range total {
				if due := begin.Add(time.Duration(i) * time.Second / perSecond); i%20 == 0 {
					time.Sleep(time.Until(due))
				}
				b.ProcessEvents(numbered(0, i))
			}
			arrived := func() int { different, _ := inOrder(t, r.all(t)); return different + missing(r, t) }
			eventually(t, "every event arrives or is told of", func() bool { return arrived() >= total-config.MaxBatchSize })
			stop()
			if n, m := arrived(), missing(r, t); n != total || (m == 0) != spill {
				t.Errorf("%d of %d accounted for, %d lost", n, total, m)
			}
		})
	}
}

// More at once than memory holds goes to the disk, from several sources, before and while
// it is sent.
func TestSpillBurst(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	l, lost := losses(t)
	b := buffered(t, newWebhook(t, r.URL, nil), backend.BufferedConfig{BufferSize: 100, MaxBatchSize: 200, MaxBatchWait: time.Millisecond,
		ThrottleEnable: true, ThrottleQPS: 50, ThrottleBurst: 1, AsyncDelegate: true, SpillDir: filepath.Join(t.TempDir(), "spill"), Losses: l})
	const sources, each = 4, 1000
	wait := crowd(b, sources, each)
	stop := start(t, b)
	wait()
	eventually(t, "all arrive", func() bool { different, _ := inOrder(t, r.all(t)); return different == sources*each })
	stop()
	if got := lost(); len(got) != 0 {
		t.Errorf("lost %v", got)
	}
}

// A full disk costs the newest events, which are counted and told of.
func TestSpillFull(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	r.set(refuseAll)
	l, _ := losses(t)
	b := buffered(t, newWebhook(t, r.URL, func(c *backend.WebhookConfig) { c.Losses = l }), backend.BufferedConfig{
		BufferSize: 20, MaxBatchSize: 10, MaxBatchWait: time.Millisecond, AsyncDelegate: true,
		SpillDir: filepath.Join(t.TempDir(), "spill"), SpillBytes: 64 << 10, Losses: l, Logger: logger(t)})
	stop := start(t, b)
	n, taken := 0, map[string]int{}
	for ; n < 20000 && taken[backend.CauseSpillFull] < 50; n++ {
		b.ProcessEvents(numbered(0, n))
		for _, one := range l.Take() {
			taken[one.Cause] += one.Count
		}
		time.Sleep(100 * time.Microsecond)
	}
	if taken[backend.CauseSpillFull] < 50 {
		t.Errorf("lost %v", taken)
	}
	for i := range 10 {
		b.ProcessEvents(numbered(0, n+i))
	}
	n += 10
	r.set(nil)
	eventually(t, "all arrive or are told of", func() bool {
		different, _ := inOrder(t, r.all(t))
		return different+missing(r, t)+taken[backend.CauseSpillFull] == n
	})
	stop()
}

// Whatever a receiver does, every event arrives, through restarts, and new ones in order
// where one batch is sent at a time.
func TestSpillModel(t *testing.T) {
	noLeaks(t)
	rapid.Check(t, func(rt *rapid.T) {
		r := newReceiver(t) // of its own: what was cut off in one life may arrive in the next
		defer r.Close()
		seed := rapid.Uint64().Draw(rt, "seed")
		random, whim := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1)) // ours, the receiver's
		dir, err := os.MkdirTemp("", "spill")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		l := backend.NewLosses(backend.LossesConfig{})
		config := backend.BufferedConfig{
			BufferSize: rapid.IntRange(100, 300).Draw(rt, "buffer"), MaxBatchSize: rapid.IntRange(1, 20).Draw(rt, "batch"),
			MaxBatchWait: time.Millisecond, AsyncDelegate: true, SpillDir: dir, Losses: l,
			SpillSync: rapid.Bool().Draw(rt, "sync"), MaxInFlight: rapid.IntRange(1, 3).Draw(rt, "in flight"),
		}
		misbehave := func(w http.ResponseWriter, items []received) int {
			switch whim.IntN(6) {
			case 0:
				r.items = append(r.items, items...)
				fallthrough // accepted, but the answer gets lost
			case 1:
				conn, _, _ := w.(http.Hijacker).Hijack()
				conn.Close()
				return 0
			case 2:
				return []int{500, 404, 401, 302, 503}[whim.IntN(5)]
			}
			return 202
		}
		n := 0
		for range rapid.IntRange(1, 3).Draw(rt, "runs") {
			r.set(misbehave)
			b := buffered(t, newWebhook(t, r.URL, func(c *backend.WebhookConfig) { c.InitialBackoff = 100 * time.Microsecond }), config)
			stop := start(t, b)
			for range rapid.IntRange(0, 20).Draw(rt, "calls") {
				for range random.IntN(5) {
					b.ProcessEvents(numbered(0, n))
					n++
				}
				time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
			}
			stop()
		}
		r.set(nil)
		b := buffered(t, newWebhook(t, r.URL, nil), config)
		stop := start(t, b)
		b.ProcessEvents(numbered(0, n))
		stop()
		all := r.all(t)
		if config.MaxInFlight == 1 {
			inOrder(t, all)
		}
		if different := distinct(all); different != n+1 || l.Pending() || onDisk(t, dir) != 0 {
			rt.Errorf("%d of %d arrived, lost %v", different, n+1, l.Take())
		}
	})
}

// With SpillSync an event is on disk when ProcessEvents has returned, and a request does
// not wait for the receiver.
func TestSpillSync(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	l, lost := losses(t)
	config := backend.BufferedConfig{BufferSize: 1, MaxBatchSize: 10, MaxBatchWait: time.Millisecond,
		SpillDir: filepath.Join(t.TempDir(), "spill"), SpillBytes: 64 << 10, SpillSync: true, Losses: l}
	b := buffered(t, newWebhook(t, r.URL, nil), config)
	n := 0
	for ; b.ProcessEvents(numbered(0, n)); n++ { // not even Run was called
	}
	if got := lost(); n < 40 || n > 70 || got[backend.CauseSpillFull] != 1 {
		t.Errorf("%d events in 64 KiB, lost %v", n, got)
	}
	stop := start(t, b)
	eventually(t, "all arrive", func() bool { different, _ := inOrder(t, r.all(t)); return different == n })
	stop()
	if b.ProcessEvents(numbered(0, n)) || lost()[backend.CauseShutDown] != 1 {
		t.Error("taken after the end")
	}
}

// An event that the disk does not take was not stored, and nobody is told that it was.
func TestSpillSyncTooLarge(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	l, lost := losses(t)
	b := buffered(t, newWebhook(t, r.URL, nil), backend.BufferedConfig{BufferSize: 1, MaxBatchSize: 10, MaxBatchWait: time.Millisecond,
		SpillDir: filepath.Join(t.TempDir(), "spill"), SpillBytes: 64 << 10, SpillSync: true, Losses: l})
	large := numbered(1, 0)
	large.Text[audit.RequestURI] = bytes.Repeat([]byte("x"), 20<<10)
	if b.ProcessEvents(numbered(0, 0), large, numbered(0, 1)) || lost()[backend.CauseTooLarge] != 1 {
		t.Error("stored, or not told of")
	}
	stop := start(t, b)
	eventually(t, "the others arrive", func() bool { different, _ := inOrder(t, r.all(t)); return different == 2 })
	stop()
}

// Whoever finds the buffer full finds room on disk, however many others fill it again.
func TestSpillCrowd(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	l, lost := losses(t)
	b := buffered(t, newWebhook(t, r.URL, nil), backend.BufferedConfig{BufferSize: 1, MaxBatchSize: 50, MaxBatchWait: time.Millisecond,
		SpillDir: filepath.Join(t.TempDir(), "spill"), Losses: l})
	const sources, each = 200, 30
	crowd(b, sources, each)()
	stop := start(t, b)
	eventually(t, "all arrive", func() bool { different, _ := inOrder(t, r.all(t)); return different == sources*each })
	stop()
	if got := lost(); len(got) != 0 {
		t.Errorf("lost %v", got)
	}
}

// What is lost for want of room on disk is told of after a restart.
func TestSpillFullIsTold(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	r.set(refuseAll)
	dir := filepath.Join(t.TempDir(), "spill")
	begin := func() record.Backend {
		l := backend.NewLosses(backend.LossesConfig{})
		hook := newWebhook(t, r.URL, func(c *backend.WebhookConfig) { c.Losses = l })
		return buffered(t, hook, backend.BufferedConfig{BufferSize: 20, MaxBatchSize: 10, MaxBatchWait: time.Millisecond,
			SpillDir: dir, SpillBytes: 64 << 10, Losses: l})
	}
	const runs, each = 6, 200
	for i := range runs {
		b := begin()
		for j := range each {
			b.ProcessEvents(numbered(0, i*each+j))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		b.Run(ctx) // fails to tell
	}
	r.set(nil)
	stop := start(t, begin())
	eventually(t, "all arrive or are told of", func() bool {
		different, _ := inOrder(t, r.all(t))
		return different+missing(r, t) == runs*each
	})
	stop()
}

// TestSpillProcess is no test: TestSpillKilled runs it as a process of its own.
func TestSpillProcess(t *testing.T) {
	dir, url := os.Getenv("SPILL_DIR"), os.Getenv("SPILL_URL")
	if dir == "" {
		return
	}
	first, _ := strconv.Atoi(os.Getenv("SPILL_FIRST"))
	sync, _ := strconv.ParseBool(os.Getenv("SPILL_SYNC"))
	b := buffered(t, newWebhook(t, url, nil), backend.BufferedConfig{BufferSize: 100, MaxBatchSize: 10, MaxBatchWait: time.Millisecond,
		AsyncDelegate: true, SpillDir: dir, SpillSync: sync})
	go b.Run(context.Background())
	for i := first; ; i++ {
		if b.ProcessEvents(numbered(0, i)) {
			name := filepath.Join(dir, "taken")
			os.WriteFile(name+".new", []byte(strconv.Itoa(i)), 0o600)
			os.Rename(name+".new", name)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// A process that is killed at any instant loses nothing that it said was on disk, and
// sends at most one batch again.
func TestSpillKilled(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	dir := filepath.Join(t.TempDir(), "spill")
	taken := func() int {
		b, _ := os.ReadFile(filepath.Join(dir, "taken"))
		n, err := strconv.Atoi(string(b))
		if err != nil {
			return -1
		}
		return n
	}
	var mu sync.Mutex
	up := true
	r.set(func(http.ResponseWriter, []received) int {
		mu.Lock()
		defer mu.Unlock()
		if !up {
			return 503
		}
		return 200
	})
	const rounds = 12
	for round := range rounds {
		mu.Lock()
		up = round%3 != 1
		mu.Unlock()
		before := taken()
		cmd := exec.Command(os.Args[0], "-test.run=^TestSpillProcess$")
		cmd.Env = append(os.Environ(), "SPILL_DIR="+dir, "SPILL_URL="+r.URL, "SPILL_SYNC=true", fmt.Sprint("SPILL_FIRST=", before+1))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it works", func() bool { return taken() > before+10 })
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
	}
	mu.Lock()
	up = true
	mu.Unlock()
	last := taken()
	b := buffered(t, newWebhook(t, r.URL, nil), backend.BufferedConfig{BufferSize: 100, MaxBatchSize: 10, MaxBatchWait: time.Millisecond, SpillDir: dir})
	stop := start(t, b)
	eventually(t, "all arrive", func() bool { different, _ := inOrder(t, r.all(t)); return different >= last+1 })
	stop()
	// One more than was noted may have been taken in each round, under a number that the
	// next round used again.
	different, again := inOrder(t, r.all(t))
	if different < last+1 || again > rounds*(10+1) {
		t.Errorf("%d of %d arrived, %d again", different, last+1, again)
	}
	t.Logf("%d events, %d again, %d kills", different, again, rounds)
}

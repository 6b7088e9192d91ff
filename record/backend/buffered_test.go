package backend_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/record"
	"kubetrail/record/backend"
)

// A collector is somebody else's backend: it takes columns, and keeps batches.
type collector struct {
	mu      sync.Mutex
	batches [][]string      // audit IDs
	times   []time.Duration // since start, of each batch
	start   time.Time
	hold    chan struct{} // if not nil, ProcessEvents waits for it
	ended   bool
}

func (c *collector) ProcessEvents(events ...*record.Event) bool {
	var ids []string
	for _, e := range events {
		ids = append(ids, string(e.Text[audit.AuditID]))
	}
	c.mu.Lock()
	c.batches = append(c.batches, ids)
	c.times = append(c.times, time.Since(c.start))
	c.mu.Unlock()
	if c.hold != nil {
		<-c.hold
	}
	return true
}

func (c *collector) Run(ctx context.Context) error {
	<-ctx.Done()
	c.ended = true
	return nil
}

func (c *collector) String() string { return "collector" }

// sizes returns how large the batches so far are.
func (c *collector) sizes() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []int
	for _, b := range c.batches {
		all = append(all, len(b))
	}
	return all
}

func buffered(t testing.TB, delegate record.Backend, c backend.BufferedConfig) record.Backend {
	t.Helper()
	b, err := backend.Buffered(delegate, c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A batch is sent when it is full, when nothing was sent for a while, and at the end.
func TestBufferedBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector{start: time.Now()}
		b := buffered(t, c, backend.BufferedConfig{BufferSize: 100, MaxBatchSize: 3, MaxBatchWait: 10 * time.Second})
		if b.String() != "buffered<collector>" {
			t.Error(b)
		}
		b.ProcessEvents(numbered(0, 0), numbered(0, 1)) // before Run
		stop := start(t, b)
		synctest.Wait()
		if got := c.sizes(); got != nil {
			t.Fatalf("sent at once: %v", got)
		}
		b.ProcessEvents(numbered(0, 2), numbered(0, 3))
		synctest.Wait()
		time.Sleep(9 * time.Second)
		if got := c.sizes(); !slices.Equal(got, []int{3}) {
			t.Fatalf("after four events: %v", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := c.sizes(); !slices.Equal(got, []int{3, 1}) {
			t.Fatalf("after the wait: %v", got)
		}
		time.Sleep(25 * time.Second) // between 30 and 40 seconds from the start
		b.ProcessEvents(numbered(0, 4))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := c.times; len(got) != 3 || got[2] != 40*time.Second {
			t.Fatalf("batches at %v", got)
		}
		b.ProcessEvents(events(1, 7)[:]...)
		stop()
		if got := c.sizes(); !slices.Equal(got, []int{3, 1, 1, 3, 3, 1}) || !c.ended {
			t.Fatalf("at the end: %v, delegate ended: %v", got, c.ended)
		}
	})
}

// What finds no room is lost with what comes with it, as upstream, and counted; so is
// what comes after the end.
func TestBufferedFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector{hold: make(chan struct{})}
		l, lost := losses(t)
		b := buffered(t, c, backend.BufferedConfig{BufferSize: 10, MaxBatchSize: 4, MaxBatchWait: time.Hour, Losses: l})
		if !b.ProcessEvents(events(0, 14)...) {
			t.Error("it is as upstream to say yes")
		}
		if got := lost(); got[backend.CauseBufferFull] != 4 || len(got) != 1 {
			t.Errorf("before Run: %v", got)
		}
		stop := start(t, b)
		synctest.Wait() // four are in the hands of the delegate, six wait
		b.ProcessEvents(events(1, 7)...)
		if got := lost(); got[backend.CauseBufferFull] != 3 {
			t.Errorf("while it sends: %v", got)
		}
		close(c.hold)
		synctest.Wait()
		b.ProcessEvents(events(2, 11)...)
		synctest.Wait()
		if got := lost(); len(got) != 0 {
			t.Errorf("with room again: %v", got)
		}
		stop()
		if b.ProcessEvents(events(3, 2)...) {
			t.Error("taken after the end")
		}
		if got := lost(); got[backend.CauseShutDown] != 2 {
			t.Errorf("after the end: %v", got)
		}
		if got := c.sizes(); !slices.Equal(got, []int{4, 4, 4, 4, 4, 4, 1}) {
			t.Errorf("batches %v", got)
		}
	})
}

// Events of a batch are collected beside those that wait, so that a buffer smaller than
// a batch is enough to fill one.
func TestBufferedSmallBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(collector)
		l, lost := losses(t)
		b := buffered(t, c, backend.BufferedConfig{BufferSize: 2, MaxBatchSize: 10, MaxBatchWait: time.Hour, Losses: l})
		stop := start(t, b)
		synctest.Wait()
		b.ProcessEvents(events(0, 10)...)
		synctest.Wait()
		stop()
		if got := c.sizes(); !slices.Equal(got, []int{10}) || len(lost()) != 0 {
			t.Errorf("batches %v", got)
		}
	})
}

func TestBufferedThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector{start: time.Now()}
		b := buffered(t, c, backend.BufferedConfig{BufferSize: 100, MaxBatchSize: 1,
			ThrottleEnable: true, ThrottleQPS: 10, ThrottleBurst: 3})
		stop := start(t, b)
		b.ProcessEvents(events(0, 13)...)
		time.Sleep(time.Minute)
		stop()
		if last := c.times[len(c.times)-1]; len(c.times) != 13 || c.times[2] != 0 || last < 999*time.Millisecond || last > 1001*time.Millisecond {
			t.Errorf("batches at %v", c.times)
		}
	})
}

// Batches and the buffer are bounded in bytes.
func TestBufferedBytes(t *testing.T) {
	size := len(numbered(0, 0).Line())
	synctest.Test(t, func(t *testing.T) {
		c := &collector{hold: make(chan struct{})}
		l, lost := losses(t)
		b := buffered(t, c, backend.BufferedConfig{BufferSize: 1000, MaxBatchSize: 100, MaxBatchWait: time.Second,
			MaxBatchBytes: 3*size + 1, BufferBytes: int64(9 * size), AsyncDelegate: true, Losses: l})
		stop := start(t, b)
		b.ProcessEvents(events(0, 10)...)
		time.Sleep(2 * time.Second)
		b.ProcessEvents(numbered(1, 0)) // all nine are still being sent
		if got := lost(); got[backend.CauseBufferFull] != 2 {
			t.Errorf("lost %v", got)
		}
		close(c.hold)
		synctest.Wait()
		large := event("1-1")
		large.RequestObject = make([]byte, 4*size)
		for i := range large.RequestObject {
			large.RequestObject[i] = '1'
		}
		b.ProcessEvents(numbered(1, 0), large, numbered(1, 2))
		stop()
		if got := c.sizes(); !slices.Equal(got[:3], []int{3, 3, 3}) || !slices.Equal(got[3:], []int{1, 1, 1}) {
			t.Errorf("batches %v", got)
		}
	})
}

// However many send at a time, each event is delivered once and in the order of its
// source, or counted.
func TestBufferedConcurrent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := new(collector)
		l := backend.NewLosses(backend.LossesConfig{})
		config := backend.BufferedConfig{
			BufferSize: rapid.IntRange(1, 300).Draw(rt, "buffer"), MaxBatchSize: rapid.IntRange(1, 40).Draw(rt, "batch"),
			MaxBatchWait: time.Millisecond, MaxBatchBytes: rapid.IntRange(1, 50_000).Draw(rt, "bytes"), Losses: l,
		}
		sources, each := rapid.IntRange(1, 5).Draw(rt, "sources"), rapid.IntRange(1, 200).Draw(rt, "events")
		b := buffered(t, c, config)
		stop := start(t, b)
		crowd(b, sources, each)()
		stop()
		delivered := 0
		next := map[int]int{}
		for _, batch := range c.batches {
			if len(batch) > config.MaxBatchSize {
				rt.Errorf("a batch of %d", len(batch))
			}
			for _, id := range batch {
				var source, n int
				fmt.Sscanf(id, "%d-%d", &source, &n)
				if n < next[source] {
					rt.Errorf("event %d of source %d comes late or twice", n, source)
				}
				next[source] = n + 1
				delivered++
			}
		}
		missing := 0
		for _, one := range l.Take() {
			missing += one.Count
		}
		if delivered+missing != sources*each {
			rt.Errorf("%d delivered, %d lost, of %d", delivered, missing, sources*each)
		}
	})
}

// Batches being sent are bounded, and a slow one does not hold up others.
func TestBufferedAsync(t *testing.T) {
	for _, limit := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			c := &collector{hold: make(chan struct{})}
			b := buffered(t, c, backend.BufferedConfig{BufferSize: 100, MaxBatchSize: 1, AsyncDelegate: true, MaxInFlight: limit})
			stop := start(t, b)
			b.ProcessEvents(events(0, 20)...)
			synctest.Wait()
			if n := len(c.sizes()); n != limit {
				t.Errorf("%d at a time, want %d", n, limit)
			}
			close(c.hold)
			stop()
			if n := len(c.sizes()); n != 20 {
				t.Errorf("%d delivered", n)
			}
		})
	}
}

func TestBufferedConfig(t *testing.T) {
	for _, c := range []backend.BufferedConfig{
		{MaxBatchSize: 1}, {BufferSize: 1}, {BufferSize: 1, MaxBatchSize: 1, ThrottleEnable: true, ThrottleBurst: 1},
		{BufferSize: 1, MaxBatchSize: 1, ThrottleEnable: true, ThrottleQPS: 1},
		{BufferSize: 1, MaxBatchSize: 1, SpillDir: filepath.Join(t.TempDir(), "spill")}, // only a webhook has one
	} {
		if _, err := backend.Buffered(new(collector), c); err == nil {
			t.Errorf("%+v passed", c)
		}
	}
}

// The bytes of a whole chain, a bound of a batch included, which upstream does not have.
func TestBufferedWebhook(t *testing.T) {
	noLeaks(t)
	r := newReceiver(t)
	size := len(numbered(0, 0).Line())
	most := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		most = max(most, int(req.ContentLength))
		r.ServeHTTP(w, req)
	}))
	defer server.Close()
	b := buffered(t, newWebhook(t, server.URL, nil), backend.BufferedConfig{BufferSize: 1000, MaxBatchSize: 400,
		MaxBatchWait: time.Hour, MaxBatchBytes: 20 * size})
	stop := start(t, b)
	b.ProcessEvents(events(0, 100)...)
	stop()
	if n, again := inOrder(t, r.all(t)); n != 100 || again != 0 || most > 20*size {
		t.Errorf("%d events, %d again, %d bytes at most", n, again, most)
	}
}

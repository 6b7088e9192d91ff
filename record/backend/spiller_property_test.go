package backend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/record"
	"kubetrail/record/backend"
)

// A moody is a receiver in memory that does whatever it likes, in a time that passes by
// itself: it is the transport of a webhook.
type moody struct {
	mu     sync.Mutex
	random *rand.Rand // nil: it accepts everything at once
	now    int        // its mood
	until  time.Time  // as long as it lasts
	repeat bool       // it may keep what it did not answer for
	items  []received
}

func (m *moody) set(random *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.random = random
}

func (m *moody) keep(items []received) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items = append(m.items, items...)
}

// draw draws a number below n, or -1 where it has no moods any more.
func (m *moody) draw(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.random == nil {
		return -1
	}
	return m.random.IntN(n)
}

// mood is what the receiver does now. It stays so for up to some seconds.
func (m *moody) mood() int {
	drawn, lasts := m.draw(14), time.Duration(m.draw(3000))*time.Millisecond
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); drawn < 0 || now.After(m.until) {
		m.now, m.until = drawn, now.Add(lasts)
	}
	return m.now
}

func (m *moody) RoundTrip(req *http.Request) (*http.Response, error) {
	var list struct{ Items []received }
	body, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err := errors.Join(err, json.Unmarshal(body, &list)); err != nil {
		panic(err)
	}
	answer := func(code int) (*http.Response, error) {
		return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("hm")), Request: req}, nil
	}
	wait := func(d time.Duration) bool {
		select {
		case <-time.After(d + time.Microsecond): // not in the instant in which something else ends
			return true
		case <-req.Context().Done():
			return false
		}
	}
	switch m.mood() {
	case 0: // away
		return nil, errors.New("connection refused")
	case 1: // accepted, but the connection breaks
		if m.repeat {
			m.keep(list.Items)
		}
		return nil, io.ErrUnexpectedEOF
	case 2: // hangs, and takes it in the end
		<-req.Context().Done()
		if m.repeat {
			m.keep(list.Items)
		}
		return nil, req.Context().Err()
	case 3: // slow
		if !wait(time.Duration(1+m.draw(20)) * time.Second) {
			return nil, req.Context().Err()
		}
	case 4, 5: // slower than events come
		if !wait(time.Duration(1+m.draw(200)) * time.Millisecond) {
			return nil, req.Context().Err()
		}
	case 6:
		return answer(http.StatusInternalServerError)
	case 7:
		r, err := answer(http.StatusTooManyRequests)
		r.Header.Set("Retry-After", fmt.Sprint(1+m.draw(100)))
		return r, err
	case 8, 9: // so many are too many
		if len(list.Items) > 3 {
			return answer(http.StatusRequestEntityTooLarge)
		}
	}
	m.keep(list.Items)
	return answer(http.StatusOK)
}

// countedLost returns what the metric of losses has counted, by cause.
func countedLost(t testing.TB, metrics *prometheus.Registry) map[string]int {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	for _, f := range families {
		if f.GetName() != "kubetrail_record_lost_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "cause" {
					all[l.GetValue()] += int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return all
}

func sum(counts map[string]int) (n int) {
	for _, count := range counts {
		n += count
	}
	return n
}

// A spillLife is a spill, what is sent to it and what becomes of that.
type spillLife struct {
	*testing.T
	seed     uint64
	random   *rand.Rand
	sources  int
	inFlight int
	config   backend.BufferedConfig
	early    bool // events come before Run
	torn     bool // what is killed was just writing

	metrics *prometheus.Registry
	counted *record.Metrics
	to      *moody
	offered []int // by each source so far
	wrong   []string

	mu     sync.Mutex
	stored map[string]bool // reported as stored
}

// Whatever a receiver does, and whenever the process ends, is killed or started again while
// several send: each event arrives or is counted as lost, those of one source in order,
// and the stream tells what was lost. What was reported as stored with SpillSync
// survives a kill at any instant.
func TestSpillProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(memory(), "spill")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		life := &spillLife{
			seed: rapid.Uint64().Draw(rt, "seed"), sources: rapid.IntRange(1, 4).Draw(rt, "sources"), inFlight: rapid.IntRange(1, 3).Draw(rt, "in flight"),
			early: rapid.Bool().Draw(rt, "early"), torn: rapid.Bool().Draw(rt, "torn"),
			config: backend.BufferedConfig{
				BufferSize: rapid.SampledFrom([]int{1, 3, 20, 200}).Draw(rt, "buffer"), MaxBatchSize: rapid.SampledFrom([]int{1, 2, 7, 50}).Draw(rt, "batch"),
				MaxBatchWait: 50 * time.Millisecond, AsyncDelegate: true,
				ThrottleEnable: rapid.Bool().Draw(rt, "throttle"), ThrottleQPS: 10, ThrottleBurst: 3,
				SpillDir: filepath.Join(dir, "spill"), SpillBytes: rapid.SampledFrom([]int64{64 << 10, 16 << 20}).Draw(rt, "spill bytes"),
				SpillSync: rapid.Bool().Draw(rt, "sync"),
			},
		}
		runs := rapid.IntRange(1, 3).Draw(rt, "runs")
		life.config.MaxInFlight = life.inFlight
		synctest.Test(t, func(t *testing.T) {
			life.T = t
			life.live(runs)
		})
		if len(life.wrong) > 0 {
			rt.Fatal(strings.Join(life.wrong, "\n"))
		}
	})
}

func (l *spillLife) complain(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

func (l *spillLife) live(runs int) {
	l.random = rand.New(rand.NewPCG(l.seed, 0))
	l.to = &moody{random: rand.New(rand.NewPCG(l.seed, 1)), repeat: l.random.IntN(2) == 0}
	l.metrics, l.stored, l.offered = prometheus.NewRegistry(), map[string]bool{}, make([]int, l.sources)
	l.counted = record.NewMetrics(l.metrics)
	var after []func() // what would have become of it
	for range runs {
		b := l.build(l.config, l.to)
		var senders sync.WaitGroup
		l.send(&senders, b)
		if l.early {
			synctest.Wait()
		}
		stop := l.run(b)
		for range 2 {
			time.Sleep(time.Duration(l.random.IntN(4_000)) * time.Millisecond)
			synctest.Wait()
			after = append(after, l.kill(len(after)))
		}
		stop()
		senders.Wait() // some come after the end
	}
	l.to.set(nil)
	stop := l.run(l.build(l.config, l.to))
	time.Sleep(2 * time.Minute) // enough for the throttle
	stop()
	for _, live := range after {
		live()
	}

	total := 0
	for _, n := range l.offered {
		total += n
	}
	once := map[string]received{}
	for _, e := range l.to.items {
		once[e.AuditID] = e
	}
	gone, told := countedLost(l, l.metrics), lost(slices.Collect(maps.Values(once)))
	// What was taken without an answer, and could be kept nowhere, is counted as lost.
	if n := distinct(l.to.items) + sum(gone); n < total || n > total && !l.to.repeat {
		l.complain("of %d events %d arrived and %v are counted as lost", total, distinct(l.to.items), gone)
	}
	for cause, n := range gone {
		if cause != backend.CauseShutDown && l.config.SpillBytes > 1<<20 {
			l.complain("%d are lost, %s, though there is room", n, cause)
		}
		if told[cause] < n && cause != backend.CauseShutDown || told[cause] > n && !l.to.repeat {
			l.complain("the receiver was told of %v, lost are %v", told, gone)
		}
	}
	if left := onDisk(l, l.config.SpillDir); left != 0 {
		l.complain("%d segments are left", left)
	}
	l.judgeOrder(l.to.items)
}

func (l *spillLife) build(c backend.BufferedConfig, to *moody) record.Backend {
	c.Losses = backend.NewLosses(backend.LossesConfig{Metrics: l.counted, Backend: "webhook"})
	return buffered(l, newWebhook(l, "http://receiver", func(h *backend.WebhookConfig) {
		h.Client, h.InitialBackoff, h.Losses = &rest.Config{Host: "http://receiver", Transport: to}, 100*time.Millisecond, c.Losses
	}), c)
}

// run is start for a receiver that may not even be told of losses.
func (l *spillLife) run(b record.Backend) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil && !strings.HasPrefix(err.Error(), "telling of lost events: ") {
			l.complain("it ended with %v", err)
		}
	}
}

// send lets each source send some events, now and then.
func (l *spillLife) send(senders *sync.WaitGroup, b record.Backend) {
	for source := range l.sources {
		random := rand.New(rand.NewPCG(l.random.Uint64(), 2))
		senders.Go(func() {
			for range random.IntN(60) {
				e := numbered(source, l.offered[source])
				if random.IntN(20) == 0 { // too large for a small disk
					e.Text[audit.RequestURI] = bytes.Repeat([]byte("x"), 20<<10)
				}
				l.offered[source]++
				if b.ProcessEvents(e) {
					l.mu.Lock()
					l.stored[string(e.Text[audit.AuditID])] = true
					l.mu.Unlock()
				}
				if random.IntN(3) == 0 {
					time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
				}
			}
		})
	}
}

// kill takes what would be left if the process were killed now, and goes on. What it
// returns looks what becomes of that.
func (l *spillLife) kill(times int) (live func()) {
	dir := fmt.Sprint(l.config.SpillDir, ".", times)
	check(l, os.CopyFS(dir, os.DirFS(l.config.SpillDir)))
	check(l, os.Chmod(dir, 0o700))
	if names, err := filepath.Glob(filepath.Join(dir, "*.spill")); err == nil && l.torn && len(names) > 0 {
		f, err := os.OpenFile(names[len(names)-1], os.O_WRONLY|os.O_APPEND, 0)
		check(l, err)
		_, err = f.WriteString("\x00\x10\x00\x00\x01\x02\x03\x04{\"kind\"")
		check(l, errors.Join(err, f.Close()))
	}
	l.mu.Lock()
	must := map[string]bool{}
	for id := range l.stored {
		must[id] = l.config.SpillSync
	}
	l.mu.Unlock()
	l.to.mu.Lock()
	after := &moody{items: slices.Clone(l.to.items)}
	l.to.mu.Unlock()
	return func() {
		c := l.config
		c.SpillDir = dir
		stop := l.run(l.build(c, after))
		time.Sleep(2 * time.Minute) // enough for the throttle
		stop()
		for _, e := range after.items {
			delete(must, e.AuditID)
		}
		for id, really := range must {
			if really {
				l.complain("event %s was reported as stored, and is gone after a kill", id)
			}
		}
		l.judgeOrder(after.items)
	}
}

func (l *spillLife) judgeOrder(items []received) {
	seen, next := map[string]bool{}, map[int]int{}
	for _, e := range items {
		if l.inFlight > 1 || e.Verb == backend.LostVerb || seen[e.AuditID] {
			continue
		}
		seen[e.AuditID] = true
		var source, n int
		fmt.Sscanf(e.AuditID, "%d-%d", &source, &n)
		if n < next[source] {
			l.complain("event %d of source %d comes after %d", n, source, next[source]-1)
		}
		next[source] = n + 1
	}
}

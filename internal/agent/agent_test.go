package agent

import (
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/collect/spool"
	"kubetrail/internal/server"
	"kubetrail/internal/trail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server with a trail, behind TLS and a network that can fail. The test's own
// goroutine uses it.
type site struct {
	*testing.T
	dir     string
	m       *collecttest.Model
	shipped *spool.Shipped
	stop    func()
	front   *httptest.Server
	ca      string

	mu   sync.Mutex // guards what follows
	to   *httputil.ReverseProxy
	rnd  *rand.Rand
	fail int // of a hundred requests
	cut  bool
	h2   int
}

func newSite(t *testing.T, seed uint64) *site {
	s := &site{T: t, dir: t.TempDir(), m: collecttest.New(), rnd: rand.New(rand.NewPCG(seed, 1))}
	s.front = httptest.NewUnstartedServer(http.HandlerFunc(s.network))
	s.front.EnableHTTP2 = true
	s.front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.front.StartTLS()
	s.ca = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.front.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() {
		s.stop()
		s.front.Close()
	})
	return s
}

// start starts the server on what is durable.
func (s *site) start() {
	s.Helper()
	var err error
	s.shipped, err = spool.OpenShipped(spool.ShippedConfig{Dir: s.dir, SegmentBytes: 20_000, MaxBytes: 8 << 20, Sources: s.m.Sources}, make(chan struct{}, 1))
	if err != nil {
		s.Fatal(err)
	}
	srv, err := server.New(server.Config{Listen: "127.0.0.1:0", Shipped: s.shipped})
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	to, err := url.Parse(srv.URL())
	if err != nil {
		s.Fatal(err)
	}
	transport := &http.Transport{}
	s.mu.Lock()
	s.to = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: transport,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	s.mu.Unlock()
	s.stop = func() {
		cancel()
		transport.CloseIdleConnections()
		if err := <-done; err != nil {
			s.Error(err)
		}
		s.shipped.Close()
	}
}

// network passes a request on, or loses it, or a part of it, or the answer.
func (s *site) network(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	to, cut := s.to, s.cut
	what := 5
	if s.rnd.IntN(100) < s.fail {
		what = s.rnd.IntN(4)
	}
	if r.ProtoMajor == 2 {
		s.h2++
	}
	s.mu.Unlock()
	lose := func() { panic(http.ErrAbortHandler) }
	switch {
	case cut || what == 0:
		lose()
	case what == 1:
		to.ServeHTTP(httptest.NewRecorder(), r)
		lose()
	case what == 2: // half of it
		r.Body = io.NopCloser(io.LimitReader(r.Body, r.ContentLength/2))
		to.ServeHTTP(httptest.NewRecorder(), r)
		lose()
	case what == 3:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		to.ServeHTTP(w, r)
	}
}

func (s *site) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// restart ends the server, killed or not, and starts it again.
func (s *site) restart() {
	s.stop()
	s.m.Crash()
	s.start()
}

// collect takes what was shipped into the trail.
func (s *site) collect(limit int64) {
	for _, f := range s.shipped.Feeds() {
		if _, err := f.Pull(s.Context(), s.m, limit); err != nil {
			s.Fatal(err)
		}
	}
}

func (s *site) commit() {
	if err := s.m.Commit(s.Context()); err != nil {
		s.Fatal(err)
	}
	for _, f := range s.shipped.Feeds() {
		f.Committed()
	}
}

// agent starts one; end ends it.
func (s *site) agent(log string, change func(*Config)) (a *Agent, end func()) {
	s.Helper()
	cfg := Config{Server: s.front.URL, Cluster: "prod", Name: "cp-1", Logs: []Log{{Path: log}}, CAFile: s.ca, Poll: time.Millisecond,
		Wait: func(ctx context.Context, d time.Duration) error { return wait(ctx, min(d, 5*time.Millisecond)) }}
	if change != nil {
		change(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.Run(ctx); err != nil {
			s.Error(err)
		}
	}()
	var once sync.Once
	end = func() { once.Do(func() { cancel(); <-done }) }
	s.Cleanup(end)
	return a, end
}

// until collects until something holds.
func (s *site) until(what string, holds func() bool) {
	s.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("%s does not come to pass; %d events", what, len(s.m.Lines))
		}
		s.collect(1 << 20)
		s.commit()
	}
}

// journal is a log that is written and rotated.
type journal struct {
	t       *testing.T
	path    string
	written []string
	half    string
	backups []string
}

func (j *journal) put(text string) {
	f, err := os.OpenFile(j.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		j.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		j.t.Fatal(err)
	}
}

// write writes n events, the last one perhaps only in part.
func (j *journal) write(n int, torn bool) {
	j.put(j.half)
	j.half = ""
	var b strings.Builder
	for range n {
		e := collecttest.Event(len(j.written))
		j.written = append(j.written, "prod\x00"+e)
		b.WriteString(e + "\n")
	}
	text := b.String()
	if torn && n > 0 {
		j.half, text = text[len(text)-50:], text[:len(text)-50]
	}
	j.put(text)
}

func (j *journal) rotate() {
	j.put(j.half)
	j.half = ""
	to := filepath.Join(filepath.Dir(j.path), fmt.Sprintf("audit-2026-11-20T15-%02d-%02d.000.log", len(j.backups)/60, len(j.backups)%60))
	if err := os.Rename(j.path, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		j.t.Fatal(err)
	}
	j.backups = append(j.backups, to)
}

// pack compresses the oldest backup that is plain.
func (j *journal) pack() {
	for _, name := range j.backups {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		out, err := os.Create(name + ".gz")
		if err != nil {
			j.t.Fatal(err)
		}
		z := gzip.NewWriter(out)
		z.Write(text)
		if err := errors.Join(z.Close(), out.Close(), os.Remove(name)); err != nil {
			j.t.Fatal(err)
		}
		return
	}
}

// TestAgentOnce ships a log through rotations while the network fails, and the agent and
// the server end and start again at any moment: the trail has every event once, from
// where it stands in its file.
func TestAgentOnce(t *testing.T) {
	runs := 4
	if testing.Short() {
		runs = 1
	}
	for range runs {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newSite(t, seed)
			s.fail = 30
			rnd := rand.New(rand.NewPCG(seed, 2))
			j := &journal{t: t, path: filepath.Join(t.TempDir(), "audit.log")}
			_, end := s.agent(j.path, nil)
			second := func() {}
			for range 300 {
				switch rnd.IntN(20) {
				default:
					j.write(rnd.IntN(40), rnd.IntN(3) == 0)
				case 8, 9, 10, 11:
					s.collect(int64(rnd.IntN(20_000)))
				case 12, 13:
					s.commit()
				case 14:
					j.rotate()
				case 15:
					j.pack()
				case 16:
					s.restart()
				case 17:
					end()
					_, end = s.agent(j.path, nil)
				case 18:
					s.set(func() { s.cut = !s.cut })
				case 19: // somebody copied the manifest to another node
					second()
					_, second = s.agent(j.path, nil)
				}
				time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond) // let it happen
			}
			s.set(func() { s.cut = false })
			j.write(1, false)
			s.until("all", func() bool { return len(s.m.Lines) >= len(j.written) })
			end()
			second()
			for range 3 {
				s.collect(1 << 20)
				s.commit()
			}
			slices.Sort(s.m.Lines)
			slices.Sort(j.written)
			if !slices.Equal(s.m.Lines, j.written) || len(s.m.Aside) > 0 {
				t.Errorf("%d events in the trail, want %d; set aside: %+v", len(s.m.Lines), len(j.written), s.m.Aside)
			}
			if s.h2 == 0 {
				t.Error("no request came over HTTP/2")
			}
			for _, x := range s.m.Sources() {
				if filepath.Dir(x.Name) != filepath.Dir(j.path) || x.Server != "cp-1" || x.Cluster != "prod" {
					t.Errorf("%+v", x)
				}
			}
		})
	}
}

// shipAll ships a log of one agent to its end and returns what is in the trail.
func shipAll(t *testing.T, path string, events int) (*site, *Agent, func()) {
	s := newSite(t, 1)
	a, end := s.agent(path, nil)
	s.until("all", func() bool { return len(s.m.Lines) >= events })
	return s, a, end
}

// TestAgentShrunk ships what is written to a log that became shorter, as after a power
// failure, and goes on there after a restart.
func TestAgentShrunk(t *testing.T) {
	j := &journal{t: t, path: filepath.Join(t.TempDir(), "audit.log")}
	j.write(100, false)
	s, _, end := shipAll(t, j.path, 100)
	size := int64(len(collecttest.Event(0)) + 1)
	for round := range 3 {
		info, err := os.Stat(j.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(j.path, info.Size()-5*(size+1)); err != nil { // not at the end of a line
			t.Fatal(err)
		}
		if round == 1 {
			end()
			s.restart()
			_, end = s.agent(j.path, nil)
		}
		// What is written before it was seen that the log is shorter cannot be told.
		for range 300 {
			s.collect(1 << 20)
			s.commit()
			time.Sleep(time.Millisecond)
		}
		j.put("\n")
		j.write(20, false)
		s.until("the rest", func() bool { return len(s.m.Lines) >= len(j.written) })
	}
	end()
	slices.Sort(s.m.Lines)
	slices.Sort(j.written)
	if !slices.Equal(s.m.Lines, j.written) {
		t.Errorf("%d events, want %d", len(s.m.Lines), len(j.written))
	}
	_, end = s.agent(j.path, nil) // knows all
	time.Sleep(50 * time.Millisecond)
	s.collect(1 << 20)
	s.commit()
	end()
	if len(s.m.Lines) != len(j.written) {
		t.Errorf("%d events after another start, want %d", len(s.m.Lines), len(j.written))
	}
}

// TestAgentHole ships a log that begins with a hole, and one that is damaged.
func TestAgentHole(t *testing.T) {
	dir := t.TempDir()
	j := &journal{t: t, path: filepath.Join(dir, "audit.log")}
	j.put(strings.Repeat("\x00", 700_000))
	j.write(50, false)
	packed := filepath.Join(dir, "audit-2026-11-20T15-00-00.000.log.gz")
	other := &journal{t: t, path: filepath.Join(t.TempDir(), "x.log")}
	other.written = make([]string, 1000)
	other.write(500, false)
	other.backups = []string{other.path}
	other.pack()
	text, err := os.ReadFile(other.path + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(packed, text[:len(text)-500], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(packed, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	s, _, end := shipAll(t, j.path, 60)
	s.until("both faults", func() bool { return len(s.m.Aside) >= 2 })
	end()
	s.restart()
	_, end = s.agent(j.path, nil)
	j.write(1, false)
	n := len(s.m.Lines)
	s.until("one more", func() bool { return len(s.m.Lines) > n })
	end()
	var reasons []string
	for _, f := range s.m.Aside {
		reasons = append(reasons, f.Reason)
	}
	slices.Sort(reasons)
	if len(reasons) < 2 || reasons[0] != "NUL bytes: a hole in the file" || !slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(r, "gzip") }) {
		t.Errorf("set aside: %q", reasons)
	}
	if n := slices.IndexFunc(s.m.Aside, func(f trail.Fault) bool { return f.Offset == 0 }); n < 0 || s.m.Aside[n].Length != 700_000 {
		t.Errorf("%+v", s.m.Aside)
	}
}

// TestAgentWaits reads nothing while the server takes nothing, and says how it is.
func TestAgentWaits(t *testing.T) {
	j := &journal{t: t, path: filepath.Join(t.TempDir(), "audit.log")}
	j.write(10, false)
	s, a, end := shipAll(t, j.path, 10)
	defer end()
	s.set(func() { s.cut = true })
	for range 40 {
		j.write(200, false)
	}
	s.until("a refusal", func() bool { return a.Status().Err != nil })
	if st := a.Status(); st.Waiting == 0 {
		t.Errorf("%+v", st)
	}
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	if code, text := ask("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "takes nothing") {
		t.Errorf("/readyz: %d %s", code, text)
	}
	before := a.batch.raw // the agent is in retry, and does not touch it
	if before > batchBytes+blockBytes {
		t.Errorf("%d bytes are in memory", before)
	}
	s.set(func() { s.cut = false })
	s.until("all", func() bool { return len(s.m.Lines) == len(j.written) })
	s.until("all well", func() bool { st := a.Status(); return st.Err == nil && st.Waiting == 0 && st.Behind == 0 })
	if code, text := ask("/readyz"); code != http.StatusOK || !strings.HasPrefix(text, "0 bytes wait") {
		t.Errorf("/readyz: %d %s", code, text)
	}
	if code, _ := ask("/livez"); code != http.StatusOK {
		t.Errorf("/livez: %d", code)
	}
	if _, text := ask("/metrics"); !strings.Contains(text, "kubetrail_agent_lag_bytes 0\n") || strings.Contains(text, "kubetrail_agent_failed_requests_total 0\n") {
		t.Errorf("/metrics: %s", text)
	}
}

// TestAgentCheck asks once and stores nothing.
func TestAgentCheck(t *testing.T) {
	j := &journal{t: t, path: filepath.Join(t.TempDir(), "audit.log")}
	j.write(100, false)
	s, _, end := shipAll(t, j.path, 100)
	end()
	j.rotate()
	j.write(50, false)
	old := time.Now().Add(-3 * time.Hour)
	if err := os.Chtimes(j.backups[0], old, old); err != nil {
		t.Fatal(err)
	}
	a, err := New(Config{Server: s.front.URL, Cluster: "prod", Name: "cp-1", Logs: []Log{{Path: j.path}}, CAFile: s.ca})
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Check(t.Context())
	if err != nil || len(r.Sources) != 1 || r.Holds < 179*time.Minute || r.Waiting == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	s.set(func() { s.cut = true })
	if _, err := a.Check(t.Context()); err == nil {
		t.Error("no error though nobody answers")
	}
	for _, bad := range []Config{{}, {Server: "x"}, {Server: s.front.URL, Cluster: "prod", Name: "cp-1"},
		{Server: s.front.URL, Cluster: "A", Name: "cp-1", Logs: []Log{{Path: "x"}}},
		{Server: s.front.URL, Cluster: "a", Name: "cp-1", Logs: []Log{{Path: "x", Kind: "poem"}}},
		{Server: s.front.URL, Cluster: "a", Name: "cp-1", Logs: []Log{{Path: "x"}}, TokenFile: "none"},
		{Server: s.front.URL, Cluster: "a", Name: "cp-1", Logs: []Log{{Path: "x"}}, CAFile: j.path}} {
		if _, err := New(bad); err == nil {
			t.Errorf("no error for %+v", bad)
		}
	}
}

// TestHeld tells how long a log holds what is written, by how it was rotated.
func TestHeld(t *testing.T) {
	now := time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC)
	ago := func(h float64, size int64, packed bool) file {
		return file{size, now.Add(-time.Duration(h * float64(time.Hour))), packed}
	}
	for _, c := range []struct {
		name string
		set  []file
		rate float64
		want time.Duration
	}{
		{"never rotated", []file{ago(0, 100, false)}, 0, 0},
		{"at the usual rate", []file{ago(10, 3600, false), ago(5, 18000, false), ago(0, 18000, false)}, 1, 10 * time.Hour},
		{"four times as fast", []file{ago(10, 3600, false), ago(5, 18000, false), ago(0, 18000, false)}, 4, 150 * time.Minute},
		{"slower counts as usual", []file{ago(10, 3600, false), ago(0, 36000, false)}, .1, 10 * time.Hour},
		{"compressed ones do not tell a rate", []file{ago(10, 1, true), ago(5, 1, true), ago(0, 18000, false)}, 2, 5 * time.Hour},
	} {
		if got := held(c.set, now, c.rate); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"audit.log", "audit-2026-11-20T15-13-23.604.log", "audit-2026-11-20T15-13-23.604.log.gz", "audit.log.1",
		"audit.log-20261120.gz", "audit-policy.yaml", "other.log", "audit-gce.log", "audit-gce-2026-11-20T15-13-23.604.log"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string][]int{"audit.log": {5}, "audit-gce.log": {2}, "other.log": {1}, "": {1, 2, 5}, "none.log": nil} {
		var got []int
		for _, set := range filesOf(filepath.Join(dir, path)) {
			got = append(got, len(set))
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%q has sets of %d files, want %d", path, got, want)
		}
	}
	for d, want := range map[time.Duration]string{76 * time.Hour: "3 d 4 h", 90 * time.Minute: "1 h 30 min", 61 * time.Second: "1 min 1 s", 5 * time.Second: "5 s"} {
		if got := Span(d); got != want {
			t.Errorf("%v is %q", d, got)
		}
	}
}

// FuzzBlocks: blocks are all bytes in order, whole lines where they fit, however the
// stream is cut.
func FuzzBlocks(f *testing.F) {
	f.Add("a\nb\nc", 2, true)
	f.Add(strings.Repeat("x", blockBytes+5)+"\ny\n", 1000, false)
	f.Fuzz(func(t *testing.T, text string, step int, growing bool) {
		in := &steps{text: text, step: max(1, step)}
		d := blocksOf(collect.AuditLog()).Decode(in, audit.ReaderConfig{StartOffset: 7, StartLine: 3, Growing: growing, Source: "s"})
		var got strings.Builder
		var e audit.Event
		for {
			err := d.Next(&e)
			if err == io.EOF && in.text == "" {
				break
			}
			if err == io.EOF && growing {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if e.Offset != 7+int64(got.Len()) || len(e.Raw) == 0 || len(e.Raw) > blockBytes || string(e.Text[audit.Source]) != "s" {
				t.Fatalf("%d bytes at %d after %d", len(e.Raw), e.Offset, got.Len())
			}
			if growing && e.Raw[len(e.Raw)-1] != '\n' && len(e.Raw) < blockBytes {
				t.Fatalf("half a line: %q", e.Raw)
			}
			got.Write(e.Raw)
		}
		want := text
		if growing && len(text)-got.Len() < blockBytes {
			want = text[:got.Len()]
			if strings.Contains(text[got.Len():], "\n") {
				t.Fatalf("%d bytes are left", len(text)-got.Len())
			}
		}
		if got.String() != want || d.Offset() != 7+int64(got.Len()) || d.Line() != 3+int64(strings.Count(got.String(), "\n")) {
			t.Fatalf("%d bytes of %d, offset %d, line %d", got.Len(), len(text), d.Offset(), d.Line())
		}
	})
}

// steps gives a text in steps, with io.EOF after each.
type steps struct {
	text string
	step int
}

func (s *steps) Read(b []byte) (int, error) {
	n := copy(b[:min(len(b), s.step)], s.text)
	if s.text = s.text[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// TestAgentDisagrees: a server that was set back is given again what it lost.
func TestAgentDisagrees(t *testing.T) {
	j := &journal{t: t, path: filepath.Join(t.TempDir(), "audit.log")}
	j.write(100, false)
	s, a, end := shipAll(t, j.path, 100)
	defer end()
	s.stop()
	s.m, s.dir = collecttest.New(), t.TempDir()
	s.start()
	j.write(50, false)
	s.until("all again", func() bool { return len(s.m.Lines) >= 150 })
	if a.Status().Restarts == 0 {
		t.Errorf("%+v", a.Status())
	}
	end()
	slices.Sort(s.m.Lines)
	slices.Sort(j.written)
	if !slices.Equal(s.m.Lines, j.written) {
		t.Errorf("%d events, want %d", len(s.m.Lines), len(j.written))
	}
}

func TestClearText(t *testing.T) {
	for server, want := range map[string]bool{"http://10.0.0.9:8417": true, "http://kubetrail.example:8417": true, "https://10.0.0.9:8417": false,
		"http://127.0.0.1:8417": false, "http://[::1]:8417": false, "http://localhost": false} {
		if ClearText(server) != want {
			t.Errorf("%s: %v", server, !want)
		}
	}
}

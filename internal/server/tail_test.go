package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/access"
	"kubetrail/internal/config"
	"kubetrail/internal/trail/disk"
)

// growing is a trail that the test appends to.
type growing struct {
	*testing.T
	w    *disk.Writer
	next int
}

func newGrowing(t *testing.T) (*growing, *disk.Trail) {
	t.Helper()
	dir := t.TempDir()
	w, err := disk.OpenWriter(disk.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close(); w.Close() })
	return &growing{t, w, 0}, tr
}

// append commits n events; every third is a delete, every second of cluster b.
func (g *growing) append(n int) {
	g.Helper()
	var e audit.Event
	for range n {
		line := fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"id-%d","stage":"ResponseComplete","requestURI":"/x","verb":"%s",`+
			`"user":{"username":"u"},"requestReceivedTimestamp":"2026-11-20T15:00:00.000000Z","stageTimestamp":"2026-11-20T15:00:00.000000Z"}`,
			g.next, []string{"delete", "get", "list"}[g.next%3])
		if err := e.Scan([]byte(line)); err != nil {
			g.Fatal(err)
		}
		e.Text[audit.Source], e.Text[audit.Cluster] = []byte("x"), []byte([]string{"a", "b"}[g.next%2])
		g.w.Append(&e)
		g.next++
	}
	if err := g.w.Commit(g.Context()); err != nil {
		g.Fatal(err)
	}
}

// message is one server-sent event.
type message struct{ id, kind, data string }

// tailing is a client of /api/v1/tail.
type tailing struct {
	*testing.T
	answer *http.Response
	lines  *bufio.Scanner
}

func openTail(t *testing.T, s *Server, query string, header ...string) *tailing {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL()+"/api/v1/tail"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		t.Logf("answered with %s", answer.Status)
	}
	t.Cleanup(func() { cancel(); answer.Body.Close(); http.DefaultClient.CloseIdleConnections() })
	return &tailing{t, answer, bufio.NewScanner(answer.Body)}
}

// message returns the next block of the stream; ok is false where it has ended.
func (c *tailing) message() (m message, ok bool) {
	for c.lines.Scan() {
		name, value, _ := strings.Cut(c.lines.Text(), ": ")
		switch name {
		case "":
			return m, true
		case "id":
			m.id = value
		case "event":
			m.kind = value
		case "data":
			m.data = value
		}
	}
	if err := c.lines.Err(); err != nil {
		c.Errorf("the stream broke off: %v", err)
	}
	return m, false
}

// want reads the events with these numbers.
func (c *tailing) want(seqs ...int) {
	c.Helper()
	for _, seq := range seqs {
		m, ok := c.message()
		for ok && m.data == "" {
			m, ok = c.message()
		}
		var x item
		if err := json.Unmarshal([]byte(m.data), &x); !ok || err != nil || m.id != fmt.Sprint(seq) || x.Seq != uint64(seq) {
			c.Fatalf("got %+v, %v, %v instead of %d", m, ok, err, seq)
		}
	}
}

func TestTail(t *testing.T) {
	g, tr := newGrowing(t)
	g.append(10)
	s := newServer(t, Config{Trail: tr, Tail: tr})
	d := readDocument(t, s)
	start(t, s)
	all := openTail(t, s, "")
	if got := all.answer.Header.Get("Content-Type"); got != "text/event-stream" || d.paths["/api/v1/tail"] == nil {
		t.Errorf("it is %s", got)
	}
	deletes := openTail(t, s, "?query=verb:delete&last=2")
	deletes.want(6, 9)
	again := openTail(t, s, "?after=7&query=verb:delete")
	again.want(9)
	back := openTail(t, s, "?last=5", "Last-Event-ID", "8") // as a browser does
	back.want(9)
	if m, _ := all.message(); m.id != "9" || m.data != "" { // when and from where to come again
		t.Errorf("the stream begins with %+v", m)
	}
	g.append(3)
	all.want(10, 11, 12)
	deletes.want(12)
	again.want(12)
	back.want(10, 11, 12)
	g.append(1)
	all.want(13)
	chosen := openTail(t, s, "?last=1&fields=verb")
	chosen.message()
	if m, _ := chosen.message(); m.id != "13" || !strings.HasSuffix(m.data, `"fields":{"verb":"get"}}`) {
		t.Errorf("chosen fields: %+v", m)
	}
	if n := gather(t, s, "kubetrail_tail_streams"); n != 5 {
		t.Errorf("%v streams, want 5", n)
	}
}

// gather reads one value from /metrics.
func gather(t *testing.T, s *Server, name string) float64 {
	t.Helper()
	for line := range strings.Lines(get(s, "/metrics").Body.String()) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			var f float64
			fmt.Sscan(value, &f)
			return f
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestTailRefuses(t *testing.T) {
	g, tr := newGrowing(t)
	g.append(10)
	s := newServer(t, Config{Trail: tr, Tail: tr, Tails: 1})
	d := readDocument(t, s)
	start(t, s)
	openTail(t, s, "")
	for query, want := range map[string]int{"": 429, "?query=verb:(": 400, "?fields=x": 400} {
		if w := get(s, "/api/v1/tail"+query); w.Code != want || d.checkResponse("/api/v1/tail", w) != nil {
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
	}
	free := newServer(t, Config{Trail: tr, Tail: tr})
	for query, want := range map[string]int{"?after=x": 400, "?after=-1": 400, "?last=x": 400, "?last=-1": 400, "?last=10001": 400,
		"?after=1&last=1": 400, "?after=10": 410, "?after=9223372036854775807": 410, "?x=1": 400, "?since=1h": 400} {
		if w := get(free, "/api/v1/tail"+query); w.Code != want || d.checkResponse("/api/v1/tail", w) != nil {
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
	}
	if w := get(newServer(t, Config{}), "/api/v1/tail"); w.Code != 404 {
		t.Errorf("without a trail that grows: %d", w.Code)
	}
}

// TestTailOutlivesTimeouts checks that a stream goes on though every limit of an
// ordinary answer is over, shows signs of life, and ends in order with the server.
func TestTailOutlivesTimeouts(t *testing.T) {
	g, tr := newGrowing(t)
	s := newServer(t, Config{Trail: tr, Tail: tr})
	s.http.ReadTimeout, s.http.WriteTimeout = 150*time.Millisecond, 150*time.Millisecond
	s.tails.beat = 100 * time.Millisecond
	stop := start(t, s)
	c := openTail(t, s, "")
	c.message()
	for range 4 { // beats, of which each comes 100 ms after the one before
		if m, ok := c.message(); !ok || m.data != "" {
			t.Fatalf("%+v, %v", m, ok)
		}
	}
	g.append(2)
	c.want(0, 1)
	for m, ok := c.message(); m.id != "1"; m, ok = c.message() {
		if !ok {
			t.Fatal("it ended")
		}
	}
	stop()
	for ok := true; ok; {
		_, ok = c.message() // complains if the end is no proper one
	}
}

// TestTailSlow lets a client take nothing while much arrives: it misses nothing.
func TestTailSlow(t *testing.T) {
	g, tr := newGrowing(t)
	s := newServer(t, Config{Trail: tr, Tail: tr})
	start(t, s)
	c := openTail(t, s, "")
	const events = 12_000 // several MB, more than buffers of sockets take
	for range 6 {
		g.append(events / 6)
	}
	for seq := range events {
		c.want(seq)
	}
}

// TestTailRemoved checks that a client is told of what retention took away.
func TestTailRemoved(t *testing.T) {
	g, tr := newGrowing(t)
	g.append(10)
	g.append(10)
	g.append(10)
	if _, err := g.w.Expire(t.Context(), disk.Retention{Before: audit.NoTime, MaxBytes: 1}); err != nil {
		t.Fatal(err)
	}
	g.append(2)
	s := newServer(t, Config{Trail: tr, Tail: tr})
	start(t, s)
	c := openTail(t, s, "?after=4")
	c.message()
	if m, _ := c.message(); m.kind != "removed" || m.data != `{"from":5,"events":24}` {
		t.Errorf("got %+v", m)
	}
	c.want(30, 31)
}

// TestTailScope checks that a token sees the events of its clusters alone, and that the
// stream ends when the token is taken away.
func TestTailScope(t *testing.T) {
	g, tr := newGrowing(t)
	g.append(4)
	dir := t.TempDir()
	token := func(name string) config.Token {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(strings.Repeat(name, 20)), 0o600); err != nil {
			t.Fatal(err)
		}
		return config.Token{Name: name, File: file, Roles: []config.Role{config.Read}, Clusters: []string{name}}
	}
	a := access.Rules{Tokens: []config.Token{token("a"), token("b")}}
	s := newServer(t, Config{Trail: tr, Tail: tr, Access: a})
	s.tails.beat = 20 * time.Millisecond
	start(t, s)
	c := openTail(t, s, "?last=10", "Authorization", "Bearer "+strings.Repeat("b", 20))
	c.want(1, 3)
	g.append(4)
	c.want(5, 7)
	if answer := openTail(t, s, "").answer; answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("nobody is answered with %s", answer.Status)
	}
	if err := s.SetAccess(access.Rules{Tokens: a.Tokens[:1]}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c.answer.Body); err != nil { // it ends, in order
		t.Error(err)
	}
}

// TestTailEndsWhileMuchArrives: a stream that never pauses ends too when the token is
// taken away.
func TestTailEndsWhileMuchArrives(t *testing.T) {
	g, tr := newGrowing(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(strings.Repeat("t", 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens := []config.Token{{Name: "t", File: file, Roles: []config.Role{config.Read}}, tokenNamed(t, t.TempDir(), "other", nil, config.Read)}
	s := newServer(t, Config{Trail: tr, Tail: tr, Access: access.Rules{Tokens: tokens}})
	s.tails.beat, s.tails.poll = 700*time.Millisecond, time.Millisecond
	start(t, s)
	c := openTail(t, s, "", "Authorization", "Bearer "+strings.Repeat("t", 20))
	if err := s.SetAccess(access.Rules{Tokens: tokens[1:]}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(c.answer.Body)
		ended <- err
	}()
	for range 3000 {
		g.append(1)
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
	t.Errorf("it goes on after %d events", g.next)
	c.answer.Body.Close()
	<-ended
}

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/server"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// growing is a trail on disk that a test appends to, behind a server that can be
// started again at the same address.
type growing struct {
	*testing.T
	w      *disk.Writer
	trail  *disk.Trail
	listen string
	stop   func()
	next   int
}

func newGrowing(t *testing.T) *growing {
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
	g := &growing{T: t, w: w, trail: tr, listen: "127.0.0.1:0"}
	g.start()
	t.Cleanup(func() { g.stop(); tr.Close(); w.Close() })
	return g
}

func (g *growing) start() {
	g.Helper()
	s, err := server.New(server.Config{Trail: g.trail, Tail: g.trail, Listen: g.listen})
	if err != nil {
		g.Fatal(err)
	}
	g.listen = strings.TrimPrefix(s.URL(), "http://")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			g.Error(err)
		}
	})
}

// append commits n events of which every third is a delete. Some lines are not as
// kube-apiserver writes them, so that they have to be asked for.
func (g *growing) append(n int) {
	g.Helper()
	var e audit.Event
	e.Text[audit.Source] = []byte("x")
	for range n {
		if err := e.Scan(growingLine(g.next)); err != nil {
			g.Fatal(err)
		}
		g.w.Append(&e)
		g.next++
	}
	if err := g.w.Commit(context.Background()); err != nil {
		g.Fatal(err)
	}
}

func growingLine(n int) []byte {
	blank := ""
	if n%10 == 7 {
		blank = "\r\n"
	}
	return fmt.Appendf(nil, `{"kind":"Event",%s"apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"id-%d","stage":"ResponseComplete","requestURI":"/%s","verb":"%s",`+
		`"user":{"username":"u"},"requestReceivedTimestamp":"2026-11-20T15:00:00.000000Z","stageTimestamp":"2026-11-20T15:00:00.000000Z"}`,
		blank, n, strings.Repeat("x", n*n%200), []string{"delete", "get", "list"}[n%3])
}

// cutter is a way to a server on which every connection breaks after some bytes.
func cutter(t *testing.T, to string, rnd *rand.Rand) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for least := int64(1000); ; least = 300 { // a first connection that fails ends a tail
			in, err := l.Accept()
			if err != nil {
				return
			}
			most := least + rnd.Int64N(40_000)
			running.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				var back sync.WaitGroup
				back.Go(func() { defer out.Close(); _, _ = io.Copy(out, in) })
				_, _ = io.CopyN(in, out, most)
				in.Close()
				out.Close()
				back.Wait()
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return "http://" + l.Addr().String()
}

// TestTail follows over connections that break all the time and servers that are
// started again: every answer comes once, in order, byte for byte.
func TestTail(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := newGrowing(t)
	g.append(20)
	r, err := Open(Config{URL: cutter(t, g.listen, rand.New(rand.NewPCG(seed, 0)))})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	where, err := query.Parse("not verb:get")
	if err != nil {
		t.Fatal(err)
	}
	const last = 1500
	var want []int // five of those that are there, and all that come
	for n := 12; n < last; n++ {
		if n%3 != 1 {
			want = append(want, n)
		}
	}
	enough, got, lost := errors.New("enough"), 0, 0
	grown := make(chan struct{})
	began := sync.OnceFunc(func() {
		go func() {
			defer close(grown)
			for g.next < last {
				g.append(min(60, last-g.next))
				if g.next == 20+60*12 {
					g.stop()
					g.start()
				}
			}
		}()
	})
	cfg := TailConfig{Last: 5, Wait: time.Millisecond, Idle: func() error { began(); return nil }, Lost: func(error) { lost++ }}
	err = r.Tail(t.Context(), trail.Always(where), cfg, audit.Set(audit.Line), func(e *audit.Event) error {
		if got >= len(want) || e.Seq != uint64(want[got]) || string(e.AppendLine(nil)) != string(growingLine(want[got])) {
			return fmt.Errorf("answer %d is number %d, want %d: %s", got, e.Seq, want[got], e.AppendLine(nil))
		}
		if got++; got == len(want) {
			return enough
		}
		return nil
	})
	began()
	<-grown
	if err != enough {
		t.Fatalf("after %d answers: %v", got, err)
	}
	if lost == 0 {
		t.Error("no connection broke")
	}
	t.Logf("%d answers, %d connections broke", got, lost)
}

// TestTailEnds checks what ends a tail.
func TestTailEnds(t *testing.T) {
	g := newGrowing(t)
	g.append(3)
	open := func(url string) *Trail {
		r, err := Open(Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	none := func(*audit.Event) error { return nil }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := open("http://"+l.Addr().String()).Tail(t.Context(), trail.Always(nil), TailConfig{}, 0, none); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
	if err := open("http://"+g.listen).Tail(t.Context(), trail.Always(nil), TailConfig{Last: 1 << 20}, 0, none); err == nil || !strings.Contains(err.Error(), "last") {
		t.Errorf("what the server refuses: %v", err)
	}
	r := open("http://" + g.listen)
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.Tail(ctx, trail.Always(nil), TailConfig{Idle: func() error { cancel(); return nil }}, 0, none); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	broken := errors.New("broken pipe")
	if err := r.Tail(t.Context(), trail.Always(nil), TailConfig{Last: 2, Idle: func() error { return broken }}, 0, none); err != broken {
		t.Errorf("nobody reads what is printed: %v", err)
	}
	silent, lost := 0, errors.New("none")
	ctx, cancel = context.WithCancel(t.Context())
	cfg := TailConfig{Silent: 50 * time.Millisecond, Wait: time.Millisecond, Lost: func(err error) {
		if lost = err; silent == 1 {
			cancel()
		}
		silent++
	}}
	if err := r.Tail(ctx, trail.Always(nil), cfg, 0, none); !errors.Is(err, context.Canceled) || lost != errSilent {
		t.Errorf("without signs of life: %v, %v", err, lost)
	}
}

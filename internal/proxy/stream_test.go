package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kubetrail/policy"
)

const watchPath = "/api/v1/namespaces/shop/pods?watch=true"

// talk is an upstream that streams a line for each element that its test sends.
func talk(lines <-chan string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json;stream=watch")
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		for {
			select {
			case line, ok := <-lines:
				if !ok {
					return
				}
				if line == "die" {
					panic(http.ErrAbortHandler)
				}
				io.WriteString(w, line+"\n")
				http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
}

func open(t *testing.T, ctx context.Context, c *http.Client, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer alice-token")
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// TestWatch checks that every event of a watch arrives while the watch is open, and that
// its end by the client is recorded as its end.
func TestWatch(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		lines := make(chan string)
		g := newRig(t, talk(lines), nil)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		resp := open(t, ctx, g.client(t, http2), g.URL()+watchPath)
		if e := g.events.wait(t, at(policy.StageResponseStarted, watchPath)); e.Verb != "watch" || e.ResponseStatus.Code != 200 {
			t.Errorf("event %+v", e)
		}
		in := bufio.NewReader(resp.Body)
		for i, line := range []string{"a", strings.Repeat("b", 100_000), "c"} {
			lines <- line
			if got, err := in.ReadString('\n'); err != nil || got != line+"\n" {
				t.Fatalf("line %d: %d bytes, %v", i, len(got), err)
			}
		}
		cancel()
		if e := g.events.wait(t, at(policy.StageResponseComplete, watchPath)); e.ResponseStatus.Code != 200 {
			t.Errorf("event %+v", e)
		}
	})
}

// TestUpstreamDies checks that a client sees that its answer was cut off.
func TestUpstreamDies(t *testing.T) {
	for _, path := range []string{watchPath, podPath + "/log?follow=true", podPath} {
		protocols(t, func(t *testing.T, http2 bool) {
			lines := make(chan string)
			g := newRig(t, talk(lines), nil)
			resp := open(t, t.Context(), g.client(t, http2), g.URL()+path)
			lines <- "first"
			in := bufio.NewReader(resp.Body)
			if got, err := in.ReadString('\n'); got != "first\n" {
				t.Fatal(got, err)
			}
			lines <- "die"
			if rest, err := io.ReadAll(in); err == nil {
				t.Errorf("the answer ended as if it were whole, with %q", rest)
			}
			e := g.events.wait(t, at(policy.StagePanic, path))
			if e.ResponseStatus.Code != 500 || e.ResponseStatus.Message != "APIServer panic'd: net/http: abort Handler" {
				t.Errorf("event %+v", e)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	g := newRig(t, nil, nil)
	g.up.CloseClientConnections()
	g.up.Listener.Close()
	resp, body := g.get(t, g.client(t, true), podPath)
	if resp.StatusCode != 503 || !strings.Contains(body, `"kind":"Status"`) || !strings.Contains(body, "does not answer") || strings.Contains(body, "127.0.0.1") {
		t.Fatalf("%s %s", resp.Status, body)
	}
	e := g.events.wait(t, complete)
	if e.ResponseStatus.Code != 503 || e.ResponseStatus.Reason != "ServiceUnavailable" || resp.Header.Get("Audit-Id") != e.AuditID {
		t.Errorf("event %+v, header %v", e, resp.Header)
	}
	// A token cannot be asked about, but its request passes, and its event says so.
	resp, _ = g.get(t, g.client(t, true), "/version", "Authorization: Bearer alice-token")
	e = g.events.wait(t, at(policy.StageResponseComplete, "/version"))
	if resp.StatusCode != 503 || e.User.Username != "" || !strings.Contains(e.Annotations[UserUnknownAnnotation], "cannot be asked") {
		t.Errorf("%s, event %+v", resp.Status, e)
	}
}

// upgrade is an upstream that changes to a protocol in which it says everything twice.
func upgrade(protocol string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != protocol || r.ProtoMajor != 1 {
			http.Error(w, "want an upgrade", http.StatusBadRequest)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n", protocol)
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprint(conn, line+line)
		}
	}
}

// shake begins an upgrade through the proxy.
func (g *rig) shake(t *testing.T, path, protocol string, header ...string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(g.URL(), "https://"), g.tls())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\nContent-Length: 0\r\n%s\r\n\r\n", path, protocol, strings.Join(header, "\r\n"))
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, in, resp
}

func TestUpgrade(t *testing.T) {
	path := podPath + "/exec?command=sh"
	for _, protocol := range []string{"SPDY/3.1", "websocket"} {
		g := newRig(t, upgrade(protocol), nil)
		conn, in, resp := g.shake(t, path, protocol, "Authorization: Bearer alice-token")
		if resp.StatusCode != 101 || resp.Header.Get("X-Stream-Protocol-Version") != "v4.channel.k8s.io" || resp.Header.Get("Upgrade") != protocol {
			t.Fatalf("%s: %s %v", protocol, resp.Status, resp.Header)
		}
		for range 3 {
			fmt.Fprint(conn, "ls\n")
			for range 2 {
				if got, err := in.ReadString('\n'); got != "ls\n" {
					t.Fatal(got, err)
				}
			}
		}
		e := g.events.wait(t, at(policy.StageResponseStarted, path))
		if e.ResponseStatus.Code != 101 || e.User.Username != "alice" || e.ObjectRef.Subresource != "exec" {
			t.Errorf("event %+v", e)
		}
		conn.Close()
		if e := g.events.wait(t, at(policy.StageResponseComplete, path)); e.ResponseStatus.Code != 101 {
			t.Errorf("event %+v", e)
		}
	}
}

// hijacked is an upstream that changes to another protocol and then does something.
func hijacked(does func(conn net.Conn, in *bufio.Reader)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
		does(conn, rw.Reader)
	}
}

// TestUpgradeEnds checks that an upgrade is over when the upstream ends it, though the
// client does not, and that all that the upstream has said arrives before.
func TestUpgradeEnds(t *testing.T) {
	path := podPath + "/exec?command=true"
	g := newRig(t, hijacked(func(conn net.Conn, _ *bufio.Reader) { fmt.Fprint(conn, "bye") }), nil)
	_, in, _ := g.shake(t, path, "SPDY/3.1")
	if e := g.events.wait(t, at(policy.StageResponseComplete, path)); e.ResponseStatus.Code != 101 {
		t.Errorf("event %+v", e)
	}
	if said, err := io.ReadAll(in); string(said) != "bye" || err != nil {
		t.Errorf("%q, %v", said, err)
	}
}

// TestHalfClosed checks that a client that has said everything still hears the answer.
func TestHalfClosed(t *testing.T) {
	g := newRig(t, hijacked(func(conn net.Conn, in *bufio.Reader) {
		all, err := io.ReadAll(in)
		fmt.Fprint(conn, string(all), err)
	}), nil)
	conn, in, _ := g.shake(t, podPath+"/exec?command=cat", "SPDY/3.1")
	fmt.Fprint(conn, "everything")
	if err := conn.(*tls.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(in); string(said) != "everything<nil>" || err != nil {
		t.Errorf("%q, %v", said, err)
	}
}

// TestDeafClient checks that the proxy can be stopped though a client does not read what an
// upgraded connection brings.
func TestDeafClient(t *testing.T) {
	full, release := make(chan bool), make(chan bool)
	g := newRig(t, hijacked(func(conn net.Conn, _ *bufio.Reader) {
		for chunk := make([]byte, 1<<20); ; {
			// What does not get on for so long is likely to wait for the client.
			_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err := conn.Write(chunk); err != nil {
				break
			}
		}
		full <- true
		<-release
	}), func(_ *rig, c *Config) { c.Serving.DrainTimeout = 10 * time.Millisecond })
	g.shake(t, podPath+"/exec?command=yes", "SPDY/3.1")
	<-full
	g.stop()
	close(release)
}

// TestProtocolToken checks that a browser's token is found where browsers put it.
func TestProtocolToken(t *testing.T) {
	g := newRig(t, upgrade("websocket"), nil)
	const token = "Sec-WebSocket-Protocol: v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.YWxpY2UtdG9rZW4"
	path := podPath + "/exec?command=sh"
	conn, _, resp := g.shake(t, path, "websocket", token)
	if resp.StatusCode != 101 {
		t.Fatal(resp.Status)
	}
	if e := g.events.wait(t, at(policy.StageResponseStarted, path)); e.User.Username != "alice" {
		t.Errorf("event %+v", e)
	}
	conn.Close()
	_, _, resp = g.shake(t, "/two", "websocket", token, "Authorization: Bearer bad")
	if resp.StatusCode != 401 || len(g.up.requests()) != 1 {
		t.Errorf("two tokens: %s, and the upstream got %d requests", resp.Status, len(g.up.requests()))
	}
}

// TestDrain checks that watches end in an orderly way when the proxy is stopped, that
// other requests are waited for, and that both are recorded.
func TestDrain(t *testing.T) {
	lines, entered, release := make(chan string), make(chan bool), make(chan bool)
	g := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == podPath {
			entered <- true
			<-release
			io.WriteString(w, "done")
			return
		}
		talk(lines)(w, r)
	}, nil)
	watch := open(t, t.Context(), g.client(t, true), g.URL()+watchPath)
	lines <- "a"
	slow := make(chan string)
	go func() {
		_, body := g.get(t, g.client(t, true), podPath)
		slow <- body
	}()
	<-entered
	stopped := make(chan bool)
	go func() { g.stop(); close(stopped) }()
	if all, err := io.ReadAll(watch.Body); err != nil || string(all) != "a\n" {
		t.Errorf("the watch ended with %q, %v", all, err)
	}
	close(release)
	if body := <-slow; body != "done" {
		t.Errorf("the slow request got %q", body)
	}
	<-stopped
	g.events.wait(t, at(policy.StageResponseComplete, watchPath))
	g.events.wait(t, complete)
}

// TestCutOff checks that what does not end is cut off when the time for it is over.
func TestCutOff(t *testing.T) {
	path := podPath + "/exec?command=sh"
	lines := make(chan string)
	g := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == podPath+"/log" {
			talk(lines)(w, r)
			return
		}
		upgrade("SPDY/3.1")(w, r)
	}, func(_ *rig, c *Config) { c.Serving.DrainTimeout = 10 * time.Millisecond })
	_, in, _ := g.shake(t, path, "SPDY/3.1")
	log := open(t, t.Context(), g.client(t, true), g.URL()+podPath+"/log?follow=true")
	lines <- "a"
	g.stop()
	if _, err := in.ReadByte(); err == nil {
		t.Error("the connection is still open")
	}
	if _, err := io.ReadAll(log.Body); err == nil {
		t.Error("the log ended as if it were whole")
	}
	g.events.wait(t, at(policy.StageResponseComplete, path))
	g.events.wait(t, at(policy.StagePanic, podPath+"/log?follow=true"))
}

// TestDrainUpgrade checks that a connection that has left HTTP is waited for as well.
func TestDrainUpgrade(t *testing.T) {
	path := podPath + "/exec?command=sh"
	g := newRig(t, upgrade("SPDY/3.1"), nil)
	conn, in, _ := g.shake(t, path, "SPDY/3.1")
	stopped := make(chan bool)
	go func() { g.stop(); close(stopped) }()
	eventually(t, g.server.draining.Load)
	for i := range 1000 {
		fmt.Fprint(conn, "ls\n")
		for range 2 {
			if got, err := in.ReadString('\n'); got != "ls\n" {
				t.Fatalf("line %d: %q, %v", i, got, err)
			}
		}
	}
	conn.Close()
	<-stopped
	g.events.wait(t, at(policy.StageResponseComplete, path))
}

// TestEnding checks that nobody is told of a client that did not wait, where the proxy
// did not.
func TestEnding(t *testing.T) {
	entered := make(chan bool)
	g := newRig(t, func(_ http.ResponseWriter, r *http.Request) {
		entered <- true
		<-r.Context().Done()
	}, func(_ *rig, c *Config) { c.Serving.DrainTimeout = 10 * time.Millisecond })
	r, err := http.NewRequest(http.MethodGet, g.URL()+podPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	var sent sync.WaitGroup
	sent.Go(func() {
		if resp, err := g.client(t, true).Do(r); err == nil { // it may be cut off before
			resp.Body.Close()
		}
	})
	<-entered
	g.stop()
	sent.Wait()
	if e := g.events.wait(t, complete); e.ResponseStatus.Code != 503 || e.ResponseStatus.Message != errEnding.Error() {
		t.Errorf("event %+v", e)
	}
}

// TestUpload checks that a large body passes while it is sent.
func TestUpload(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		got := make(chan string)
		g := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			first := make([]byte, 5)
			io.ReadFull(r.Body, first)
			got <- string(first)
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprintf(w, "%d %v", n, err)
		}, nil)
		reader, writer := io.Pipe()
		answer := make(chan string)
		go func() {
			_, body := g.send(t, g.client(t, http2), http.MethodPost, "/api/v1/namespaces/shop/configmaps", reader, "Content-Type: application/json")
			answer <- body
		}()
		io.WriteString(writer, "first")
		if s := <-got; s != "first" { // arrives before the body has ended
			t.Fatalf("the upstream got %q", s)
		}
		const size = 20 << 20
		if _, err := io.CopyN(writer, zeros{}, size); err != nil {
			t.Fatal(err)
		}
		writer.Close()
		if s := <-answer; s != fmt.Sprint(size, " <nil>") {
			t.Errorf("the upstream got %s bytes", s)
		}
		e := g.events.wait(t, at(policy.StageResponseComplete, "/api/v1/namespaces/shop/configmaps"))
		if e.Annotations["audit.k8s.io/truncated"] != "true" {
			t.Errorf("event %+v", e)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestBodyBreaks checks that an answer that ends early because of the body of its request is
// not recorded as one that the upstream broke off.
func TestBodyBreaks(t *testing.T) {
	started := make(chan bool)
	g := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		started <- true
		<-r.Context().Done()
	}, nil)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(g.URL(), "https://"), g.tls())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", podPath)
	<-started
	g.events.wait(t, at(policy.StageRequestReceived, podPath))
	fmt.Fprint(conn, "zz\r\n")
	if e := g.events.wait(t, func(e event) bool { return e.Stage == "ResponseComplete" || e.Stage == "Panic" }); e.Stage == "Panic" {
		t.Errorf("event %+v", e)
	}
}

// TestClientGone checks that a client that leaves before the answer ends its request at
// the upstream.
func TestClientGone(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		entered, left := make(chan bool), make(chan bool)
		g := newRig(t, func(_ http.ResponseWriter, r *http.Request) {
			entered <- true
			<-r.Context().Done()
			left <- true
		}, nil)
		ctx, cancel := context.WithCancel(context.Background())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL()+podPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			resp, err := g.client(t, http2).Do(r)
			if err == nil {
				resp.Body.Close()
			}
			done <- err
		}()
		<-entered
		cancel()
		<-left
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if e := g.events.wait(t, complete); e.ResponseStatus.Code != 504 {
			t.Errorf("event %+v", e)
		}
	})
}

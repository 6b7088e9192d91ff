package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"kubetrail/audit"
	"kubetrail/internal/server"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/file"
	"kubetrail/internal/trail/trailtest"
)

// serve puts a server in front of a trail and returns the trail that asks it.
func serve(t *testing.T, of trail.Reader) *Trail {
	t.Helper()
	s, err := server.New(server.Config{Trail: of, Listen: "127.0.0.1:0", Queries: 64})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r, err := Open(Config{URL: s.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

func inMemory(lines [][]byte) trail.Reader {
	var b []byte
	for _, l := range lines {
		b = append(append(b, l...), '\n')
	}
	return file.Open(file.Config{Cluster: trailtest.Cluster, Inputs: []file.Input{{Name: trailtest.Source,
		Each: func(visit func(string, io.Reader) error, _ func(*audit.Damage)) error {
			return visit(trailtest.Source, bytes.NewReader(b))
		}}}})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLaw(t *testing.T) {
	trailtest.RunReader(t, func(t *testing.T, lines [][]byte) trail.Reader { return serve(t, inMemory(lines)) })
}

func TestFaultsLaw(t *testing.T) {
	trailtest.RunFaults(t, func(t *testing.T, log []byte) trail.Reader {
		return serve(t, inMemory(bytes.Split(bytes.TrimSuffix(log, []byte("\n")), []byte("\n"))))
	})
}

// TestErrors checks what a person is told when the server is another one, not there,
// or refuses.
func TestErrors(t *testing.T) {
	for _, url := range []string{"", "localhost:80", "ftp://x", "http://"} {
		if _, err := Open(Config{URL: url}); err == nil {
			t.Errorf("%q is taken for an address", url)
		}
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"reason":"Unauthorized","message":"who asks?","hint":"send a token"}`)
			return
		}
		io.WriteString(w, `{"seq":1,"event":{`)
	}))
	defer refusing.Close()
	token := t.TempDir() + "/token"
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{URL: gone.URL}, "connection refused"},
		{Config{URL: refusing.URL}, "the server says: who asks?"},
		{Config{URL: refusing.URL, TokenFile: token}, "broke off"},
	} {
		r, err := Open(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = r.Search(t.Context(), trail.Always(nil), trail.Page{}, func(*audit.Event) error { return nil })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
		if hint, ok := errors.AsType[*Error](err); ok && hint.Hint() != "send a token" {
			t.Errorf("hint %q", hint.Hint())
		}
		r.Close()
	}
}

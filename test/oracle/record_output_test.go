package oracle

import (
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"

	upstreamaudit "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/server"
	upstreamoptions "k8s.io/apiserver/pkg/server/options"

	"kubetrail/record"
	"kubetrail/record/options"
)

// theirChain makes of flags what kube-apiserver makes of them.
func theirChain(tb testing.TB, flags ...string) audit.Backend {
	tb.Helper()
	o := upstreamoptions.NewAuditOptions()
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(fs)
	if err := fs.Parse(flags); err != nil {
		tb.Fatal(err)
	}
	if errs := o.Validate(); len(errs) > 0 {
		tb.Fatal(errs)
	}
	var c server.Config
	if err := o.ApplyTo(&c); err != nil {
		tb.Fatal(err)
	}
	return c.AuditBackend
}

// ourChainOf makes of flags what we make of them.
func ourChainOf(tb testing.TB, flags ...string) (record.Backend, *options.Runner) {
	tb.Helper()
	o := options.New()
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(fs)
	if err := fs.Parse(flags); err != nil {
		tb.Fatal(err)
	}
	if errs := o.Validate(); len(errs) > 0 {
		tb.Fatal(errs)
	}
	c, runner, err := o.Build(options.Env{Stdout: io.Discard})
	if err != nil {
		tb.Fatal(err)
	}
	return c.Backend, runner
}

// running runs one or two chains, upstream's and ours, and returns what ends them.
func running(tb testing.TB, theirs audit.Backend, ours *options.Runner) (end func()) {
	tb.Helper()
	stop := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	if ours == nil {
		ran <- nil
	} else {
		go func() { ran <- ours.Run(ctx) }()
	}
	if theirs == nil {
		theirs = audit.Union()
	}
	if err := theirs.Run(stop); err != nil {
		tb.Fatal(err)
	}
	return func() {
		close(stop)
		theirs.Shutdown()
		cancel()
		if err := <-ran; err != nil {
			tb.Error(err)
		}
	}
}

func policyFile(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte(what("Metadata")), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// TestRecordChains compares the chains that flags make, by their names.
func TestRecordChains(t *testing.T) {
	quiet(t)
	policy, hook := policyFile(t), newReceiver(t).kubeconfig(t, "", nil)
	logs := [][]string{nil, {"--audit-log-path=-"}, {"--audit-log-path=-", "--audit-log-mode=batch"}, {"--audit-log-path=-", "--audit-log-mode=blocking-strict", "--audit-log-truncate-enabled"}, {"--audit-log-path=-", "--audit-log-mode=batch", "--audit-log-truncate-enabled"}}
	hooks := [][]string{nil, {"--audit-webhook-config-file=" + hook}, {"--audit-webhook-config-file=" + hook, "--audit-webhook-mode=blocking", "--audit-webhook-truncate-enabled"}, {"--audit-webhook-config-file=" + hook, "--audit-webhook-mode=blocking-strict"}, {"--audit-webhook-config-file=" + hook, "--audit-webhook-truncate-enabled"}}
	for _, l := range logs {
		for _, h := range hooks {
			flags := slices.Concat([]string{"--audit-policy-file=" + policy}, l, h)
			want, got := "", ""
			if b := theirChain(t, flags...); b != nil {
				want = b.String()
			}
			if b, _ := ourChainOf(t, flags...); b != nil {
				got = b.String()
			}
			if got != want {
				t.Errorf("%v: %s, upstream %s", flags, got, want)
			}
		}
	}
}

// A file of a log, with what does not differ from run to run.
type logFile struct {
	Name    string
	Mode    os.FileMode
	Content string
}

var stamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}`)

// logFiles are the files of a directory and the mode of that, backups unpacked and in the
// order of their names.
func logFiles(t *testing.T, dir string) []logFile {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := []logFile{{Name: "directory", Mode: info.Mode()}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var r io.Reader = f
		if strings.HasSuffix(e.Name(), ".gz") {
			if r, err = gzip.NewReader(f); err != nil {
				t.Fatal(err)
			}
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, logFile{Name: stamp.ReplaceAllString(e.Name(), "<time>"), Mode: info.Mode(), Content: string(content)})
	}
	return all
}

// TestRecordLogFiles writes the same events to files, upstream's and ours: they must have
// names of the same pattern, the same modes and the same content.
func TestRecordLogFiles(t *testing.T) {
	quiet(t)
	policy := "--audit-policy-file=" + policyFile(t)
	const large = 300 << 10
	for name, c := range map[string]struct {
		flags  []string
		before int // bytes that the file has before
		mode   os.FileMode
		sizes  []int
		files  int // when all is done
	}{
		"plain":                   {sizes: []int{10, 20, 30}, files: 1},
		"legacy":                  {flags: []string{"--audit-log-format=legacy"}, sizes: []int{10, 20}, files: 1},
		"rotated":                 {flags: []string{"--audit-log-maxsize=1"}, sizes: slices.Repeat([]int{large}, 10), files: 4},
		"rotated at the byte":     {flags: []string{"--audit-log-maxsize=1"}, before: 1<<20 - 1, sizes: []int{10, 10}, files: 2},
		"full before":             {flags: []string{"--audit-log-maxsize=1"}, before: 1 << 20, sizes: []int{10, 10}, files: 2},
		"not full before":         {flags: []string{"--audit-log-maxsize=1"}, before: 1000, mode: 0o644, sizes: []int{10, 10}, files: 1},
		"mode kept":               {flags: []string{"--audit-log-maxsize=1"}, before: 1000, mode: 0o640, sizes: slices.Repeat([]int{large}, 5), files: 2},
		"never rotated":           {flags: []string{"--audit-log-maxsize=0"}, sizes: slices.Repeat([]int{large}, 5), files: 1},
		"two backups":             {flags: []string{"--audit-log-maxsize=1", "--audit-log-maxbackup=2"}, sizes: slices.Repeat([]int{large}, 20), files: 3},
		"compressed":              {flags: []string{"--audit-log-maxsize=1", "--audit-log-compress"}, sizes: slices.Repeat([]int{large}, 10), files: 4},
		"compressed, two backups": {flags: []string{"--audit-log-maxsize=1", "--audit-log-compress", "--audit-log-maxbackup=2"}, sizes: slices.Repeat([]int{large}, 20), files: 3},
		"batched":                 {flags: []string{"--audit-log-mode=batch"}, sizes: []int{10, 20, 30}, files: 1},
		"truncated":               {flags: []string{"--audit-log-truncate-enabled", "--audit-log-truncate-max-event-size=1000"}, sizes: []int{10, 2000, 30}, files: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var events []*upstreamaudit.Event
			for i, n := range c.sizes {
				events = append(events, sized(i, "RequestResponse", n))
			}
			a, b := both(t, events)
			var dirs [2]string
			for i := range dirs {
				dirs[i] = filepath.Join(t.TempDir(), "made")
				if c.before > 0 {
					if err := os.Mkdir(dirs[i], 0o755); err != nil {
						t.Fatal(err)
					}
					mode := max(c.mode, 0o600)
					if err := os.WriteFile(filepath.Join(dirs[i], "audit.log"), slices.Repeat([]byte("\n"), c.before), mode); err != nil {
						t.Fatal(err)
					}
				}
			}
			theirs := theirChain(t, append([]string{policy, "--audit-log-path=" + filepath.Join(dirs[0], "audit.log")}, c.flags...)...)
			ours, runner := ourChainOf(t, append([]string{policy, "--audit-log-path=" + filepath.Join(dirs[1], "audit.log")}, c.flags...)...)
			end := running(t, theirs, runner)
			for i := range a {
				if g, w := ours.ProcessEvents(b[i]), theirs.ProcessEvents(a[i]); g != w {
					t.Errorf("event %d: %v, upstream %v", i, g, w)
				}
				time.Sleep(2 * time.Millisecond) // upstream writes two backups of one millisecond over each other
			}
			settled := func(dir string) bool {
				entries, _ := os.ReadDir(dir)
				packed := 0
				for _, e := range entries {
					if strings.HasSuffix(e.Name(), ".gz") {
						packed++
					}
				}
				return len(entries) == c.files && (packed == 0) == !slices.Contains(c.flags, "--audit-log-compress") && (packed == 0 || packed == c.files-1)
			}
			for deadline := time.Now().Add(patience); !settled(dirs[0]) || !settled(dirs[1]); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					break
				}
			}
			end()
			want, got := logFiles(t, dirs[0]), logFiles(t, dirs[1])
			if !slices.Equal(got, want) {
				t.Errorf("got %.120v, upstream %.120v", got, want)
			}
		})
	}
}

// A receiver is a webhook that keeps what it is sent.
type receiver struct {
	*httptest.Server

	// code, if not nil, is told what was sent, and says how that is answered; what it
	// refuses is not kept. It may wait.
	code func(sent string) int

	mu  sync.Mutex
	got []string
}

func newReceiver(tb testing.TB) *receiver {
	r := new(receiver)
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(r.receive))
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.EnableHTTP2 = true
	r.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	r.StartTLS()
	tb.Cleanup(r.Close)
	return r
}

// receive keeps everything of a request that somebody might look at.
func (r *receiver) receive(w http.ResponseWriter, req *http.Request) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\n", req.Method, req.RequestURI, req.Proto)
	req.Header.Write(&b)
	fmt.Fprintf(&b, "%d bytes, %d certificates, to %q\n", req.ContentLength, len(req.TLS.PeerCertificates), req.TLS.ServerName)
	io.Copy(&b, req.Body)
	if r.code != nil {
		if n := r.code(b.String()); n >= 300 {
			w.WriteHeader(n)
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, b.String())
}

func (r *receiver) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// kubeconfig writes a file that names the receiver with a path, and how to reach it.
func (r *receiver) kubeconfig(tb testing.TB, path string, with map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	write := func(name string, data []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			tb.Fatal(err)
		}
		return file
	}
	key, err := x509.MarshalECPrivateKey(somebody().PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		tb.Fatal(err)
	}
	write("ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}))
	write("client.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: somebody().Certificate[0]}))
	write("client.key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key}))
	cluster := with["cluster"]
	if cluster == "" {
		cluster = "certificate-authority: " + filepath.Join(dir, "ca.crt")
	}
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: here\ncontexts: [{name: here, context: {cluster: it, user: me}}, {name: there, context: {cluster: gone, user: me}}]\n"+
		"clusters: [{name: gone, cluster: {server: 'https://127.0.0.1:1'}}, {name: it, cluster: {server: '%s%s', %s}}]\nusers: [{name: me, user: {%s}}]\n",
		r.URL, path, cluster, strings.ReplaceAll(with["user"], "DIR", dir))
	return write("kubeconfig", []byte(text))
}

// plainKubeconfig names a receiver without TLS.
func plainKubeconfig(tb testing.TB, url string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: here\ncontexts: [{name: here, context: {cluster: it}}]\nclusters: [{name: it, cluster: {server: '%s'}}]\n", url)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

// TestRecordWebhook sends the same events to a receiver by upstream's webhook and ours.
func TestRecordWebhook(t *testing.T) {
	quiet(t)
	r := newReceiver(t)
	policy := "--audit-policy-file=" + policyFile(t)
	for name, c := range map[string]struct {
		path string
		with map[string]string
	}{
		"plain":               {},
		"path":                {path: "/audit/events"},
		"path with a slash":   {path: "/audit/"},
		"query":               {path: "/audit?token=abc&x=%20"},
		"escapes":             {path: "/a%20b/%2F"},
		"token":               {with: map[string]string{"user": "token: secret"}},
		"password":            {with: map[string]string{"user": "username: jai, password: secret"}},
		"certificate":         {with: map[string]string{"user": "client-certificate: DIR/client.crt, client-key: DIR/client.key"}},
		"nobody verified":     {with: map[string]string{"cluster": "insecure-skip-tls-verify: true"}},
		"server name":         {with: map[string]string{"cluster": "tls-server-name: example.com, insecure-skip-tls-verify: true"}},
		"impersonation":       {with: map[string]string{"user": "token: secret, as: jai, as-groups: [devs]"}},
		"compression refused": {with: map[string]string{"cluster": "disable-compression: true, insecure-skip-tls-verify: true"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := "--audit-webhook-config-file=" + r.kubeconfig(t, c.path, c.with)
			for _, mode := range []string{"batch", "blocking", "blocking-strict"} {
				flags := []string{policy, config, "--audit-webhook-mode=" + mode, "--audit-webhook-batch-max-size=3", "--audit-webhook-batch-max-wait=1h"}
				a, b := both(t, []*upstreamaudit.Event{sized(1, "Request", 10), sized(2, "Metadata", 0), sized(3, "RequestResponse", 50_000)})
				theirs := theirChain(t, flags...)
				ours, runner := ourChainOf(t, flags...)
				end := running(t, theirs, runner)
				r.take()
				if !theirs.ProcessEvents(a...) {
					t.Error("upstream does not send")
				}
				want := r.await(t, 1)
				if !ours.ProcessEvents(b...) {
					t.Error("not sent")
				}
				if got := r.await(t, 1); !slices.Equal(got, want) {
					t.Errorf("%s: received\n%.1200s\nfrom upstream\n%.1200s", mode, got, want)
				}
				end()
			}
		})
	}
}

// await waits for n requests and takes them.
func (r *receiver) await(tb testing.TB, n int) []string {
	tb.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		r.mu.Lock()
		enough := len(r.got) >= n
		r.mu.Unlock()
		if enough {
			return r.take()
		}
	}
	tb.Fatalf("%d requests did not come", n)
	return nil
}

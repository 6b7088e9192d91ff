package oracle

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	upstreamaudit "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"

	columns "kubetrail/audit"
	"kubetrail/internal/rawjson"
	"kubetrail/internal/sample"
	"kubetrail/policy"
	"kubetrail/record"
)

// sampleEvent is the line of the sample log of a level that is the nearest to a size.
func sampleEvent(b *testing.B, level string, size int) []byte {
	b.Helper()
	r, err := zstd.NewReader(sample.Log())
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	var best []byte
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 32<<20)
	for lines.Scan() {
		e := ourEvent(b, lines.Bytes())
		if string(e.Text[columns.Level]) == level && (best == nil || abs(len(lines.Bytes())-size) < abs(len(best)-size)) {
			best = append([]byte(nil), lines.Bytes()...)
		}
	}
	if err := lines.Err(); err != nil {
		b.Fatal(err)
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// theirEvent decodes a line as upstream has its event before it encodes it.
func theirEvent(b *testing.B, line []byte) *upstreamaudit.Event {
	b.Helper()
	var e upstreamaudit.Event
	if err := runtime.DecodeInto(audit.Codecs.UniversalDecoder(), line, &e); err != nil {
		b.Fatal(err)
	}
	e.TypeMeta.Kind, e.TypeMeta.APIVersion = "", ""
	if got := upstreamLine(b, &e); string(got) != string(line)+"\n" {
		b.Fatalf("upstream encodes %s as %s", line, got)
	}
	return &e
}

// typicalEvents are what is measured: an event without bodies, and one with two.
func typicalEvents(b *testing.B, f func(b *testing.B, line []byte)) {
	for _, c := range []struct {
		name, level string
		size        int
	}{{"metadata", "Metadata", 1_129}, {"requestresponse", "RequestResponse", 5_219}} {
		line := sampleEvent(b, c.level, c.size)
		b.Run(c.name, func(b *testing.B) { f(b, line) })
	}
}

// BenchmarkRecordEncode makes a line of an event.
func BenchmarkRecordEncode(b *testing.B) {
	typicalEvents(b, func(b *testing.B, line []byte) {
		b.Run("upstream", func(b *testing.B) {
			e, codec := theirEvent(b, line), audit.Codecs.LegacyCodec(auditv1.SchemeGroupVersion)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if err := codec.Encode(e, io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("ours", func(b *testing.B) {
			e := ourEvent(b, line)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			var sent, answer []byte // checked, compacted and escaped, as upstream does to encode them
			for b.Loop() {
				sent, answer = logged(b, sent, e.RequestObject), logged(b, answer, e.ResponseObject)
				e.Changed()
				e.Line()
			}
		})
	})
}

// logged puts a body into memory as a handler's is when it is logged.
func logged(b *testing.B, into, raw []byte) []byte {
	if raw == nil {
		return into
	}
	into, err := rawjson.Append(into[:0], raw)
	if err != nil {
		b.Fatal(err)
	}
	return into
}

// BenchmarkRecordWrite writes the lines of events to a file by the system alone.
func BenchmarkRecordWrite(b *testing.B) {
	typicalEvents(b, func(b *testing.B, line []byte) {
		b.Run("ours", func(b *testing.B) {
			f, err := os.OpenFile(filepath.Join(b.TempDir(), "audit.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			line := append(line, '\n')
			spent := spending(b)
			for b.Loop() {
				if _, err := f.Write(line); err != nil {
					b.Fatal(err)
				}
			}
			spent(1)
		})
	})
}

// logFlags are a log as kube-apiserver has it by default, but for the files it keeps.
func logFlags(b *testing.B, more ...string) []string {
	return append([]string{"--audit-policy-file=" + policyFile(b), "--audit-log-path=" + filepath.Join(b.TempDir(), "audit.log"), "--audit-log-maxbackup=1"}, more...)
}

// BenchmarkRecordLog writes events to a file while their requests wait: those of one
// request after the other, those that came together in one call, and those of many requests at
// a time.
func BenchmarkRecordLog(b *testing.B) {
	quiet(b)
	typicalEvents(b, func(b *testing.B, line []byte) {
		b.Run("upstream", func(b *testing.B) {
			theirs, e := theirChain(b, logFlags(b)...), theirEvent(b, line)
			spent := spending(b)
			for b.Loop() {
				theirs.ProcessEvents(e)
			}
			spent(1)
		})
		b.Run("ours", func(b *testing.B) {
			ours, runner := ourChainOf(b, logFlags(b)...)
			end := running(b, nil, runner)
			e := ourEvent(b, line)
			spent := spending(b)
			for b.Loop() {
				e.Changed()
				ours.ProcessEvents(e)
			}
			spent(1)
			end()
		})
		const group = 400 // as a buffer hands them over
		b.Run("group/upstream", func(b *testing.B) {
			theirs := theirChain(b, logFlags(b)...)
			var events []*upstreamaudit.Event
			for range group {
				events = append(events, theirEvent(b, line))
			}
			spent := spending(b)
			for b.Loop() {
				theirs.ProcessEvents(events...)
			}
			spent(group)
		})
		b.Run("group/ours", func(b *testing.B) {
			ours, runner := ourChainOf(b, logFlags(b)...)
			end := running(b, audit.Union(), runner)
			var events []*record.Event
			for range group {
				events = append(events, ourEvent(b, line))
			}
			spent := spending(b)
			for b.Loop() {
				for _, e := range events {
					e.Changed()
				}
				ours.ProcessEvents(events...)
			}
			spent(group)
			end()
		})
		b.Run("parallel/upstream", func(b *testing.B) {
			theirs := theirChain(b, logFlags(b)...)
			b.SetParallelism(16)
			spent := spending(b)
			b.RunParallel(func(p *testing.PB) {
				e := theirEvent(b, line)
				for p.Next() {
					theirs.ProcessEvents(e)
				}
			})
			spent(1)
		})
		b.Run("parallel/ours", func(b *testing.B) {
			ours, runner := ourChainOf(b, logFlags(b)...)
			end := running(b, nil, runner)
			b.ResetTimer()
			b.SetParallelism(16)
			spent := spending(b)
			b.RunParallel(func(p *testing.PB) {
				e := ourEvent(b, line)
				for p.Next() {
					e.Changed()
					ours.ProcessEvents(e)
				}
			})
			spent(1)
			b.StopTimer()
			end()
		})
	})
}

// spending begins to measure what processors are busy for, which is what a quiet machine
// would take: a disk that is behind makes a writer wait. What it returns reports it, for
// so many events in an operation.
func spending(b *testing.B) func(events int) {
	now := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	begun := now()
	return func(events int) {
		took := now() - begun
		b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "cpu-ns/op")
		b.ReportMetric(float64(b.N*events)/took.Seconds(), "events/cpu-s")
		b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
	}
}

// BenchmarkRecordWebhook sends batches of 400 events to a receiver on loopback, which reads
// and forgets them: an operation is a batch.
func BenchmarkRecordWebhook(b *testing.B) {
	quiet(b)
	const batch = 400
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	config := plainKubeconfig(b, server.URL)
	flags := []string{"--audit-policy-file=" + policyFile(b), "--audit-webhook-config-file=" + config, "--audit-webhook-mode=blocking"}
	typicalEvents(b, func(b *testing.B, line []byte) {
		b.Run("upstream", func(b *testing.B) {
			theirs := theirChain(b, flags...)
			var events []*upstreamaudit.Event
			for range batch {
				events = append(events, theirEvent(b, line))
			}
			b.ResetTimer()
			spent := spending(b)
			for b.Loop() {
				theirs.ProcessEvents(events...)
			}
			spent(batch)
		})
		b.Run("ours", func(b *testing.B) {
			ours, runner := ourChainOf(b, flags...)
			end := running(b, nil, runner)
			var events []*record.Event
			for range batch {
				events = append(events, ourEvent(b, line))
			}
			b.ResetTimer()
			spent := spending(b)
			for b.Loop() {
				for _, e := range events {
					e.Changed()
				}
				ours.ProcessEvents(events...)
			}
			spent(batch)
			end()
		})
	})
}

// nowhere is a response that nobody reads, as net/http has them for HTTP/1.1.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Flush()                      {}
func (n nowhere) CloseNotify() <-chan bool    { return nil }

// BenchmarkRecordFilter serves requests: without auditing, with an event to a file at
// ResponseComplete, and with one that holds a pod twice.
func BenchmarkRecordFilter(b *testing.B) {
	quiet(b)
	creator := &user.DefaultInfo{
		Name: "system:serviceaccount:kube-system:replicaset-controller", UID: "2b9a3c1e-5d7f-4b8a-9c0e-1f2a3b4c5d6e",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
		Extra:  map[string][]string{"authentication.kubernetes.io/credential-id": {"JTI=2b9a3c1e-5d7f-4b8a-9c0e-1f2a3b4c5d6e"}},
	}
	allowed := []string{"authorization.k8s.io/decision", "allow", "authorization.k8s.io/reason", `RBAC: allowed by ClusterRoleBinding "system:controller:replicaset-controller" of ClusterRole "system:controller:replicaset-controller" to ServiceAccount "replicaset-controller/kube-system"`}
	created := notes(allowed, func(_ *callbacks, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	pods := resource("pods")
	withPod := func(p *corev1.Pod) script {
		return func(c *callbacks, w http.ResponseWriter, r *http.Request) {
			c.requestObject(r.Context(), p, v1, pods, "")
			c.responseObject(r.Context(), p, v1)
			created(c, w, r)
		}
	}
	// The callbacks of the scenes find an encoder for every object, as upstream must. Who
	// has ours need not.
	mine := ourCallbacks
	mine.requestObject = func(ctx context.Context, o runtime.Object, _ schema.GroupVersion, gvr schema.GroupVersionResource, sub string) {
		record.LogRequestObject(ctx, o, gvr, sub, nil)
	}
	mine.responseObject = func(ctx context.Context, o runtime.Object, _ schema.GroupVersion) {
		record.LogResponseObject(ctx, o, nil)
	}
	for _, c := range []struct {
		name, level string
		script      script
	}{
		{"off", "", created},
		{"metadata", "Metadata", created},
		{"pod", "RequestResponse", withPod(samplePod(b))},
	} {
		s := &scene{policy: what(c.level, omitting("RequestReceived")), script: c.script}
		s.sent.user = creator
		b.Run(c.name+"/upstream", func(b *testing.B) {
			if c.level == "" {
				h := filters.WithAuditInit(filters.WithRequestReceivedTimestamp(filters.WithRequestInfo(authenticated(s, s.handler(&upstreamCallbacks), nil, nil), infos)))
				requestsTo(b, h)
				return
			}
			theirs := theirChain(b, logFlags(b)...)
			h := filters.WithAudit(s.handler(&upstreamCallbacks), theirs, newJudge(b, []byte(s.policy)).rules, longRunning)
			h = filters.WithAuditInit(filters.WithRequestReceivedTimestamp(filters.WithRequestInfo(authenticated(s, h, nil, nil), infos)))
			requestsTo(b, h)
		})
		b.Run(c.name+"/ours", func(b *testing.B) {
			cfg := record.Config{User: func(r *http.Request) *record.User {
				u, _ := request.UserFrom(r.Context())
				return ourUser(u)
			}}
			if c.level == "" {
				requestsTo(b, authenticated(s, record.Handler(s.handler(&mine), cfg), nil, nil))
				return
			}
			doc, err := policy.Load([]byte(s.policy), 36)
			if err != nil {
				b.Fatal(err)
			}
			ours, runner := ourChainOf(b, logFlags(b)...)
			end := running(b, nil, runner)
			cfg.Policy, cfg.Backend = doc.Policy.Compile().Match, ours
			requestsTo(b, authenticated(s, record.Handler(s.handler(&mine), cfg), nil, nil))
			end()
		})
	}
}

// handler is the script as it stands behind filters.
func (s *scene) handler(c *callbacks) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.script(c, w, r) })
}

func requestsTo(b *testing.B, h http.Handler) {
	r, err := http.NewRequestWithContext(context.Background(), "POST", "https://10.0.0.1/api/v1/namespaces/shop/pods?fieldManager=kubectl", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.RemoteAddr, r.RequestURI = "10.0.0.7:41234", "/api/v1/namespaces/shop/pods?fieldManager=kubectl"
	r.Header.Set("User-Agent", "kube-controller-manager/v1.36.3 (linux/amd64) kubernetes/0123abc/system:serviceaccount:kube-system:replicaset-controller")
	w := nowhere{http.Header{}}
	b.ReportAllocs()
	spent := spending(b)
	for b.Loop() {
		clear(w.header)
		h.ServeHTTP(w, r)
	}
	spent(1)
}

// samplePod is a pod that was created in the sample log.
func samplePod(b *testing.B) *corev1.Pod {
	b.Helper()
	r, err := zstd.NewReader(sample.Log())
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 32<<20)
	for lines.Scan() {
		e := ourEvent(b, lines.Bytes())
		var p corev1.Pod
		if string(e.Text[columns.Verb]) == "create" && len(e.ResponseObject) > 2_000 && runtime.DecodeInto(codecs.UniversalDeserializer(), e.ResponseObject, &p) == nil {
			return &p
		}
	}
	b.Fatal("no pod in the sample")
	return nil
}

package record

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubetrail/policy"
)

// A file is a backend that writes each event to a file while its request waits.
type file struct{ *os.File }

func (f file) ProcessEvents(events ...*Event) bool {
	for _, e := range events {
		if _, err := f.Write(e.Line()); err != nil {
			return false
		}
	}
	return true
}

func (f file) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (f file) String() string                { return "file" }

// none takes events and does nothing with them; it encodes them if it is true.
type none bool

func (n none) ProcessEvents(events ...*Event) bool {
	for _, e := range events {
		if n {
			e.Line()
		}
	}
	return true
}

func (none) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (none) String() string                { return "none" }

type discard struct{ header http.Header }

func (d discard) Header() http.Header             { return d.header }
func (d discard) Write(b []byte) (int, error)     { return len(b), nil }
func (d discard) WriteHeader(int)                 {}
func (d discard) Flush()                          {}
func (d discard) SetReadDeadline(time.Time) error { return nil }

// pod is a pod like many.
func pod() *corev1.Pod {
	yes := true
	env := []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}, {Name: "DATABASE_HOST", Value: "db.shop.svc"}, {Name: "DATABASE_PORT", Value: "5432"}}
	limits := corev1.ResourceRequirements{
		Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")},
		Limits:   corev1.ResourceList{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("256Mi")},
	}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Scheme: "HTTP"}}, TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3}
	return &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: "frontend-7d4b9c6f5-x2x9k", GenerateName: "frontend-7d4b9c6f5-", Namespace: "shop", UID: "2b9a3c1e-5d7f-4b8a-9c0e-1f2a3b4c5d6e", ResourceVersion: "123456",
			CreationTimestamp: metav1.NewTime(time.Unix(1795305600, 0)),
			Labels:            map[string]string{"app": "frontend", "pod-template-hash": "7d4b9c6f5", "app.kubernetes.io/part-of": "shop"},
			OwnerReferences:   []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "frontend-7d4b9c6f5", UID: "8c1d", Controller: &yes, BlockOwnerDeletion: &yes}},
		},
		Spec: corev1.PodSpec{
			Volumes: []corev1.Volume{{Name: "kube-api-access-abcde", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}}}}},
			Containers: []corev1.Container{
				{Name: "server", Image: "registry.example.com/shop/frontend:v1.2.3", Args: []string{"--port=8080", "--verbose"}, Env: env, Resources: limits, ReadinessProbe: probe, LivenessProbe: probe,
					Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: "TCP"}}, VolumeMounts: []corev1.VolumeMount{{Name: "kube-api-access-abcde", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}},
					TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: "File", ImagePullPolicy: "IfNotPresent"},
			},
			RestartPolicy: "Always", DNSPolicy: "ClusterFirst", ServiceAccountName: "default", NodeName: "node-1", SchedulerName: "default-scheduler",
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute"}, {Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute"}},
		},
		Status: corev1.PodStatus{Phase: "Pending", QOSClass: "Burstable"},
	}
}

// request is one that a kubelet or a controller may send.
func benchRequest() *http.Request {
	req, _ := http.NewRequest("POST", "https://10.0.0.1/api/v1/namespaces/shop/pods?fieldManager=kubectl", nil)
	req.RemoteAddr = "10.0.0.7:41234"
	req.Header.Set("User-Agent", "kube-controller-manager/v1.36.3 (linux/amd64) kubernetes/0123abc/system:serviceaccount:kube-system:replicaset-controller")
	return req
}

func benchConfig(b Backend, l policy.Level) Config {
	u := &User{
		Username: "system:serviceaccount:kube-system:replicaset-controller", UID: "2b9a3c1e-5d7f-4b8a-9c0e-1f2a3b4c5d6e",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
		Extra:  map[string][]string{"authentication.kubernetes.io/credential-id": {"JTI=2b9a3c1e-5d7f-4b8a-9c0e-1f2a3b4c5d6e"}},
	}
	cfg := Config{Backend: b, User: func(*http.Request) *User { return u }}
	if l != "" {
		cfg.Policy = level(l, policy.StageRequestReceived)
	}
	return cfg
}

func benchFilter(b *testing.B, h http.Handler) {
	w := discard{http.Header{}}
	req := benchRequest()
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		h.ServeHTTP(w, req)
	}
}

func plainHandler(w http.ResponseWriter, req *http.Request) {
	Annotate(req.Context(), "authorization.k8s.io/decision", "allow")
	Annotate(req.Context(), "authorization.k8s.io/reason", `RBAC: allowed by ClusterRoleBinding "system:controller:replicaset-controller" of ClusterRole "system:controller:replicaset-controller" to ServiceAccount "replicaset-controller/kube-system"`)
	w.WriteHeader(http.StatusCreated)
}

func podHandler() http.HandlerFunc {
	p := pod()
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	return func(w http.ResponseWriter, req *http.Request) {
		LogRequestObject(req.Context(), p, gvr, "", nil)
		LogResponseObject(req.Context(), p, nil)
		plainHandler(w, req)
	}
}

func openFile(b *testing.B) file {
	f, err := os.Create(filepath.Join(b.TempDir(), "audit.log"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return file{f}
}

func BenchmarkFilter(b *testing.B) {
	handlers := []struct {
		name string
		h    http.HandlerFunc
	}{{"plain", plainHandler}, {"pod", podHandler()}}
	for _, h := range handlers {
		b.Run(h.name+"/off", func(b *testing.B) { benchFilter(b, Handler(h.h, benchConfig(nil, ""))) })
		for _, l := range policy.Levels() {
			b.Run(h.name+"/"+string(l)+"/nowhere", func(b *testing.B) { benchFilter(b, Handler(h.h, benchConfig(none(false), l))) })
			b.Run(h.name+"/"+string(l)+"/encoded", func(b *testing.B) { benchFilter(b, Handler(h.h, benchConfig(none(true), l))) })
			b.Run(h.name+"/"+string(l)+"/file", func(b *testing.B) { benchFilter(b, Handler(h.h, benchConfig(openFile(b), l))) })
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	f := openFile(b)
	line := make([]byte, 1100)
	for b.Loop() {
		f.Write(line)
	}
}

// BenchmarkEncode makes lines of events: at Metadata, and with two bodies that are checked
// and compacted for it.
func BenchmarkEncode(b *testing.B) {
	h := newRecorder(nil, benchConfig(none(true), policy.LevelRequestResponse), nil)
	raw, err := json.Marshal(pod())
	if err != nil {
		b.Fatal(err)
	}
	for _, bodies := range []bool{false, true} {
		r := h.begin(discard{http.Header{}}, benchRequest())
		r.request.Verb, r.uri = "create", "/api/v1/namespaces/shop/pods?fieldManager=kubectl"
		r.decide(h, benchRequest())
		plainHandler(discard{http.Header{}}, benchRequest().WithContext(r))
		p := &sheet{}
		b.Run(map[bool]string{false: "Metadata", true: "RequestResponse"}[bodies], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if bodies {
					r.set(0, r.convert(raw, "application/json", "", false))
					r.set(1, r.convert(raw, "application/json", "", false))
				}
				p.fill(r, complete, r.received)
				p.Line()
			}
			b.ReportMetric(float64(len(p.Line())), "B")
		})
	}
}

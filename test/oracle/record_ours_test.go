package oracle

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	serverfilters "k8s.io/apiserver/pkg/server/filters"
	pluginlog "k8s.io/apiserver/plugin/pkg/audit/log"

	"kubetrail/policy"
	"kubetrail/record"
	"kubetrail/record/backend"
)

// ourCallbacks are those of package record.
var ourCallbacks = callbacks{
	annotate: record.Annotate,
	impersonate: func(ctx context.Context, u user.Info, constraint string) {
		record.LogImpersonatedUser(ctx, ourUser(u), constraint)
	},
	requestObject: func(ctx context.Context, o runtime.Object, as schema.GroupVersion, gvr schema.GroupVersionResource, sub string) {
		record.LogRequestObject(ctx, o, gvr, sub, encoderFor(as))
	},
	requestPatch: record.LogRequestPatch,
	responseObject: func(ctx context.Context, o runtime.Object, as schema.GroupVersion) {
		record.LogResponseObject(ctx, o, encoderFor(as))
	},
}

func ourUser(u user.Info) *record.User {
	if u == nil {
		return nil
	}
	return &record.User{Username: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: u.GetExtra()}
}

// a writer is a backend that writes lines at once.
type writer struct{ to *lines }

func (b writer) ProcessEvents(events ...*record.Event) bool {
	for _, e := range events {
		b.to.Write(e.Line())
	}
	return true
}
func (writer) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (writer) String() string                { return "writer" }

// ourChain puts our middleware before a script, where upstream has its filters.
func ourChain(t *testing.T, s *scene, lines *lines) http.Handler {
	t.Helper()
	return ourFilters(t, s, record.Config{Backend: writer{lines}})
}

func ourFilters(t testing.TB, s *scene, cfg record.Config) http.Handler {
	t.Helper()
	doc, err := policy.Load([]byte(s.policy), 36)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Policy = doc.Policy.Compile().Match
	cfg.User = func(r *http.Request) *record.User {
		u, _ := request.UserFrom(r.Context())
		return ourUser(u)
	}
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.script(&ourCallbacks, w, r) })
	if s.around != nil {
		h = telling(h)
	}
	h = record.Handler(h, cfg)
	// What upstream's filters answer is theirs: they say it to both.
	failed := record.Failed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, apierrors.NewUnauthorized("Unauthorized"))
	}), cfg, nil)
	h = authenticated(s, h, failed, record.Annotate)
	if s.around != nil {
		h = s.around(h)
	}
	h = withDeadline(h, cfg)
	if !s.naked {
		h = serverfilters.WithPanicRecovery(h, infos)
	}
	return record.Init(h, cfg)
}

// withDeadline refuses what upstream's filter of this name refuses.
func withDeadline(next http.Handler, cfg record.Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, err := infos.NewRequestInfo(r)
		if err == nil {
			r = r.WithContext(request.WithRequestInfo(r.Context(), info))
		}
		value := r.URL.Query().Get("timeout")
		if err != nil || value == "" || longRunning(r, info) {
			next.ServeHTTP(w, r)
			return
		}
		if _, err = time.ParseDuration(value); err == nil {
			next.ServeHTTP(w, r)
			return
		}
		bad := apierrors.NewBadRequest("invalid timeout specified in the request URL - " + err.Error())
		record.Failed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			refuse(w, r, bad)
		}), cfg, func(*http.Request) string { return bad.Error() }).ServeHTTP(w, r)
	})
}

// refuse answers as upstream does, and logs what upstream logs meanwhile.
func refuse(w http.ResponseWriter, r *http.Request, err *apierrors.StatusError) {
	info, _ := request.RequestInfoFrom(r.Context())
	gv := schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}
	if apierrors.IsUnauthorized(err) {
		w = closing(w, r)
	}
	var status runtime.Object = func() *metav1.Status { s := err.Status(); return &s }()
	if acceptable(r) {
		record.LogResponseObject(r.Context(), status, encoderFor(gv))
	}
	responsewriters.ErrorNegotiated(err, codecs, gv, w, r)
}

// closing is what upstream's Unauthorized asks of a connection.
func closing(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if r.ProtoMajor == 2 {
		w.Header().Set("Connection", "close")
	}
	return w
}

// acceptable tells whether an answer can be negotiated.
func acceptable(r *http.Request) bool { return r.Header.Get("Accept") != "image/png" }

// TestRecordHandler plays every scene before upstream's filters and before ours: the
// events must be the same bytes, and so must be what the client gets.
func TestRecordHandler(t *testing.T) {
	quiet(t)
	recovering(t)
	for _, s := range scenes() {
		want, got := play(t, &s, upstreamChain), play(t, &s, ourChain)
		if why := differing[s.name]; why == "" {
			differ(t, s.name, got, want)
		} else if got.answer != want.answer || slices.Equal(got.events, want.events) {
			t.Errorf("%s: should differ, but in its events alone: %s", s.name, why)
		}
	}
}

// TestRecordLegacy plays them for the legacy format, which shows bytes that JSON does not.
func TestRecordLegacy(t *testing.T) {
	quiet(t)
	recovering(t)
	for _, s := range scenes() {
		want := play(t, &s, func(t *testing.T, s *scene, lines *lines) http.Handler {
			return upstreamFilters(t, s, pluginlog.NewBackend(lines, pluginlog.FormatLegacy, auditv1.SchemeGroupVersion))
		})
		got := play(t, &s, func(t *testing.T, s *scene, lines *lines) http.Handler {
			return ourFilters(t, s, record.Config{Backend: backend.Log(backend.LogConfig{Out: lines, Format: backend.FormatLegacy})})
		})
		if differing[s.name] == "" {
			differ(t, s.name, got, want)
		}
	}
}

// differing are the scenes whose events are not upstream's, and why.
var differing = map[string]string{
	"early hints, short":        informational,
	"early hints, long-running": informational,
	"early hints, HTTP/2":       informational,
	"processing, short":         informational,
	"processing, long-running":  informational,
	"processing, HTTP/2":        informational,

	"no such code, long-running": "columns cannot say the code 0, with which nothing is answered",
	"no such code, HTTP/2":       "columns cannot say the code 0, with which nothing is answered",

	"impersonating no name":                   unnamed,
	"impersonating no name with a constraint": unnamed,

	"an object that cannot be encoded, but named": "upstream forgets the name of an object that it cannot encode",

	"rows of raw objects, without managed fields": "upstream leaves the managed fields of objects that are JSON already",

	"slow and silent log": "what measures inside our Handler has done so before the event of an answer that never began",

	"agent replacement": `columns do not tell U+FFFD from bytes that are no UTF-8, which upstream writes \ufffd and which are what occurs`,
}

const (
	informational = "upstream takes a code that only announces the answer (1xx) for the answer's"
	unnamed       = `columns cannot say "impersonatedUser":{}, which nothing that impersonates can cause`
)

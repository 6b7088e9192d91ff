package record

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"kubetrail/internal/objectjson"
	"kubetrail/policy"
)

// Handler records the requests that next serves: it takes or makes their audit ID, asks
// the policy, and gives the backend an event at each stage that is not omitted. Inside
// next the functions of this package that take a context add to the event.
//
// What authenticates requests stands around it, as Config.User must know who sent them;
// what authorizes them stands in next, so that refusals are recorded. A request that
// [policy.ParseRequest] cannot resolve is answered with 500 and not recorded. A panic of
// next, [http.ErrAbortHandler] included, is recorded and goes on.
//
// Upstream: WithAuditInit, WithRequestInfo and WithAudit in pkg/endpoints/filters.
func Handler(next http.Handler, cfg Config) http.Handler { return newRecorder(next, cfg, nil) }

// Failed records requests that are refused before anybody is known, all of which next
// answers: whose credentials are bad (401), or whose ?timeout= is (400). Each is one
// event at ResponseStarted, whose user is empty whatever Config.User says. Its
// responseStatus.message is what message returns, unless next logs a Status; nil stands
// for [Attempted].
//
// Upstream: WithFailedAuthenticationAudit and withFailedRequestAudit.
func Failed(next http.Handler, cfg Config, message func(*http.Request) string) http.Handler {
	if message == nil {
		message = Attempted
	}
	return newRecorder(next, cfg, message)
}

// Attempted says by which credentials somebody tried to authenticate. Upstream:
// getAuthMethods.
func Attempted(req *http.Request) string {
	var methods []string
	if _, _, ok := req.BasicAuth(); ok {
		methods = append(methods, "basic")
	}
	scheme, _, more := strings.Cut(strings.TrimSpace(req.Header.Get("Authorization")), " ")
	if more && strings.EqualFold(scheme, "bearer") {
		methods = append(methods, "bearer")
	}
	if strings.TrimSpace(req.URL.Query().Get("access_token")) != "" {
		methods = append(methods, "access_token")
	}
	if req.TLS != nil && len(req.TLS.PeerCertificates) > 0 {
		methods = append(methods, "x509")
	}
	if methods == nil {
		return "Authentication failed, no credentials provided"
	}
	return "Authentication failed, attempted: " + strings.Join(methods, ", ")
}

// A recorder is what all requests through one Handler share.
type recorder struct {
	Config
	next   http.Handler
	failed func(*http.Request) string // the message of Failed, nil for Handler
	static []annotation               // Config.Annotations
	levels map[policy.Level]prometheus.Counter
	held   atomic.Int64 // bytes of bodies, as MaxBodies bounds them

	objects objectjson.Encoder
	sheets  sync.Pool // *sheet
	buffer  sync.Pool // *[]byte, for bodies
}

func newRecorder(next http.Handler, cfg Config, failed func(*http.Request) string) *recorder {
	cfg.setDefaults()
	h := &recorder{Config: cfg, next: next, failed: failed}
	for k, v := range cfg.Annotations {
		h.static = annotate(h.static, k, v)
	}
	if cfg.Metrics != nil {
		h.levels = map[policy.Level]prometheus.Counter{}
		for _, l := range policy.Levels() {
			h.levels[l] = cfg.Metrics.levels.WithLabelValues(string(l))
		}
	}
	return h
}

// Init makes or takes the audit ID of a request before it is authenticated, and notes when
// it was received, so that what stands between it and Handler or Failed can add
// annotations too. Without it Handler and Failed do so. It takes Annotations, Now, NewID
// and Logger of cfg, which should be those of the Handler inside.
//
// Upstream: WithAuditInit and WithRequestReceivedTimestamp.
func Init(next http.Handler, cfg Config) http.Handler {
	h := newRecorder(next, cfg, nil)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		next.ServeHTTP(w, req.WithContext(h.begin(w, req)))
	})
}

// begin makes the recording of a request.
func (h *recorder) begin(w http.ResponseWriter, req *http.Request) *recording {
	r := &recording{h: h, Context: req.Context(), received: h.Now()}
	r.lvl.Store(undecided)
	r.id = first(req.Header["Audit-Id"])
	if r.id == "" {
		r.id = h.NewID()
	}
	if header := w.Header(); first(header["Audit-Id"]) == "" {
		header["Audit-Id"] = []string{r.id}
	}
	r.annotations = append(r.inline.annotations[:0], h.static...)
	return r
}

func (h *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r, _ := req.Context().Value(contextKey{}).(*recording)
	switch {
	case r == nil:
		r = h.begin(w, req)
		req = req.WithContext(r)
	case r.level() != undecided: // one Handler around another: a request is one event
		h.next.ServeHTTP(w, req)
		return
	}
	uri := req.URL.RequestURI()
	info, err := policy.ParseRequest(req.Method, uri)
	if err != nil {
		h.Logger.Error("a request cannot be resolved", "auditID", r.id, "method", req.Method, "path", req.URL.Path[:min(len(req.URL.Path), maxAgent)]) // a query may hold tokens
		internalError(w, req.RequestURI, fmt.Sprintf("failed to create RequestInfo: %v", err))
		return
	}
	info.Path = req.URL.Path
	r.uri, r.request.RequestInfo = uri, info
	if !r.decide(h, req) {
		h.next.ServeHTTP(w, req)
		return
	}
	if h.failed == nil && !r.atStage(policy.StageRequestReceived) {
		h.rejected()
		internalError(w, req.RequestURI, errNotStored.Error())
		return
	}
	r.serve(w, req)
}

// decide asks the policy, and reports whether the request is recorded.
func (r *recording) decide(h *recorder, req *http.Request) bool {
	if h.failed == nil && h.User != nil {
		r.user = h.User(req)
	}
	if u := r.user; u != nil {
		r.request.Authenticated, r.request.User, r.request.Groups = true, u.Username, u.Groups
	}
	r.decision.Level = policy.LevelNone
	if h.Policy != nil && h.Backend != nil {
		r.decision = h.Policy(&r.request)
		if c := h.levels[r.decision.Level]; c != nil {
			c.Inc()
		}
	}
	l := levelOf(r.decision.Level)
	var message string
	if l >= metadata && h.failed != nil {
		message = h.failed(req)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h = h
	if l >= metadata {
		r.describe(req)
		r.answered, r.status.message = h.failed != nil, message
	}
	r.lvl.Store(l)
	return l >= metadata
}

// serve has the request answered and records how that ends.
func (r *recording) serve(w http.ResponseWriter, req *http.Request) {
	h := r.h
	r.long = h.failed != nil || h.LongRunning(req, &r.request.RequestInfo)
	wrapped := r.writer.wrap(w, r)
	if h.Wire != nil {
		r.tapRequest(req)
	}
	r.holdBack(w.Header(), req.RequestURI)
	defer func() {
		v := recover()
		if v != nil {
			defer panic(v)
		}
		r.end(v)
		r.writer.settle()
	}()
	h.next.ServeHTTP(wrapped, req)
}

// end records the last stages of a request whose handler panicked with v or returned.
func (r *recording) end(v any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.release()
	r.takeWire(v == nil)
	if r.pending {
		r.store(policy.StageResponseStarted)
	}
	switch {
	case r.h.failed != nil:
	case v != nil:
		if v != http.ErrAbortHandler {
			r.h.Logger.Error("a handler panicked", "auditID", r.id, "panic", v, "stack", string(debug.Stack()))
		}
		r.status = status{
			code: http.StatusInternalServerError, status: "Failure", reason: "InternalError",
			message: fmt.Sprintf("APIServer panic'd: %v", v),
		}
		r.store(policy.StagePanic)
		r.writer.hold.giveUp()
	default:
		if !r.answered {
			r.answered = true
			r.status = status{code: http.StatusOK, status: "Success", message: "Connection closed early"}
			if r.long {
				r.store(policy.StageResponseStarted)
			}
		}
		r.store(policy.StageResponseComplete)
	}
}

// omits tells whether there is no event at a stage.
func (r *recording) omits(s policy.Stage) bool { return slices.Contains(r.decision.OmitStages, s) }

// internalError answers with 500. Upstream: responsewriters.InternalError.
func internalError(w http.ResponseWriter, uri, cause string) {
	text := fmt.Sprintf("Internal Server Error: %q: %s", uri, cause)
	text = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
	http.Error(w, text, http.StatusInternalServerError)
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

package oracle

import (
	"context"
	"net/http"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	serverfilters "k8s.io/apiserver/pkg/server/filters"
	pluginlog "k8s.io/apiserver/plugin/pkg/audit/log"
)

// longRunning is kube-apiserver's own.
var longRunning = serverfilters.BasicLongRunningRequestCheck(
	sets.NewString("watch", "proxy"),
	sets.NewString("attach", "exec", "proxy", "log", "portforward"),
)

// upstreamCallbacks are those of k8s.io/apiserver.
var upstreamCallbacks = callbacks{
	annotate:    audit.AddAuditAnnotation,
	impersonate: audit.LogImpersonatedUser,
	requestObject: func(ctx context.Context, o runtime.Object, as schema.GroupVersion, gvr schema.GroupVersionResource, sub string) {
		audit.LogRequestObject(ctx, o, as, gvr, sub, codecs)
	},
	requestPatch: func(ctx context.Context, patch []byte, _ string) { audit.LogRequestPatch(ctx, patch) },
	responseObject: func(ctx context.Context, o runtime.Object, as schema.GroupVersion) {
		audit.LogResponseObject(ctx, o, as, codecs)
	},
}

// upstreamChain puts upstream's filters before a script, in the order of
// kube-apiserver, and its log backend behind them.
func upstreamChain(t *testing.T, s *scene, lines *lines) http.Handler {
	t.Helper()
	return upstreamFilters(t, s, pluginlog.NewBackend(lines, pluginlog.FormatJson, auditv1.SchemeGroupVersion))
}

func upstreamFilters(t testing.TB, s *scene, sink audit.Sink) http.Handler {
	t.Helper()
	rules := newJudge(t, []byte(s.policy)).rules
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.script(&upstreamCallbacks, w, r) })
	h = filters.WithAudit(h, sink, rules, longRunning)
	failed := filters.WithFailedAuthenticationAudit(filters.Unauthorized(codecs), sink, rules)
	h = authenticated(s, h, failed, audit.AddAuditAnnotation)
	if s.around != nil {
		h = s.around(h)
	}
	h = filters.WithRequestDeadline(h, sink, rules, longRunning, codecs, time.Minute)
	h = filters.WithRequestInfo(h, infos)
	h = filters.WithRequestReceivedTimestamp(h)
	if !s.naked {
		h = serverfilters.WithPanicRecovery(h, infos)
	}
	return filters.WithAuditInit(h)
}

// authenticated stands where a request is authenticated: the scene says who sent it.
func authenticated(s *scene, next, failed http.Handler, annotate func(ctx context.Context, key, value string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(s.early); i += 2 {
			annotate(r.Context(), s.early[i], s.early[i+1])
		}
		if s.sent.user == nil {
			failed.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(request.WithUser(r.Context(), user.Info(s.sent.user))))
	})
}

package proxy

import (
	"net/http"
	"strings"
	"time"

	"kubetrail/policy"
)

// badTimeout says what is wrong with the ?timeout= of a request, "" for nothing. The
// upstream refuses such requests before it looks who sends them, and so records another
// event of them. Upstream: WithRequestDeadline in pkg/endpoints/filters.
func badTimeout(r *http.Request) string {
	if q := r.URL.RawQuery; !strings.Contains(q, "timeout=") && !strings.Contains(q, "%") {
		return "" // as nearly all
	}
	value := r.URL.Query().Get("timeout")
	if value == "" {
		return ""
	}
	_, err := time.ParseDuration(value)
	if err == nil {
		return ""
	}
	if info, wrong := policy.ParseRequest(r.Method, r.URL.RequestURI()); wrong != nil || info.LongRunning() {
		return ""
	}
	return "invalid timeout specified in the request URL - " + err.Error()
}

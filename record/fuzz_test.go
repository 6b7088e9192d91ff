package record

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/policy"
)

// FuzzWire sends requests and answers of any bytes through a Handler that takes bodies
// from the wire. Each request is recorded at each of its stages by a line that is one
// valid event, and gets its answer.
func FuzzWire(f *testing.F) {
	const jsonType = "application/json"
	f.Add("POST", "/api/v1/namespaces/a/pods", "curl", jsonType, `{"metadata":{"name":"n"}}`, 201, jsonType, "", `{"kind":"Pod"}`)
	f.Add("PATCH", "/apis/apps/v1/namespaces/a/deployments/d?fieldManager=x", "\xff", "application/apply-patch+yaml", "a: <b>", 200, "application/json;as=Table;v=v1;g=meta.k8s.io", "gzip", `{"kind":"Status","message":"\u003c"}`)
	f.Add("PUT", "/api/v1/nodes/n", strings.Repeat("é", 600), "application/cbor", "\xd9\xd9\xf7\xa0", 409, "application/yaml", "", "kind: Status\nstatus: Failure\n")
	f.Add("DELETE", "/api/v1/pods?watch=1", "", "application/vnd.kubernetes.protobuf", "k8s\x00\x0a", 403, "application/vnd.kubernetes.protobuf", "", "k8s\x00\x0a\x00")
	f.Add("GET", "/api/v1/pods?watch=1", "", "", "", 410, jsonType, "", `{"kind":"Status","apiVersion":"v1","details":{ "name":"<"}}`)
	f.Fuzz(func(t *testing.T, method, uri, agent, sentType, sent string, code int, answerType, encoding, answer string) {
		req, err := http.NewRequest(method, "http://x/", strings.NewReader(sent))
		if err != nil {
			return
		}
		if u, err := req.URL.Parse(uri); err == nil {
			req.URL = u
		}
		info, err := policy.ParseRequest(method, req.URL.RequestURI())
		if err != nil || code < 200 || code > 999 {
			return
		}
		req.RemoteAddr = "10.0.0.1:1"
		req.Header = http.Header{"User-Agent": {agent}, "Content-Type": {sentType}, "X-Forwarded-For": {sent}}
		s := &store{}
		cfg := config(s, policy.LevelRequestResponse)
		cfg.Policy = func(*policy.Request) policy.Decision {
			return policy.Decision{Level: policy.LevelRequestResponse, OmitManagedFields: len(sent)%2 == 0}
		}
		cfg.Wire = bodies()
		w := &keeper{discard: discard{http.Header{}}}
		Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			io.Copy(io.Discard, req.Body)
			w.Header().Set("Content-Type", answerType)
			w.Header().Set("Content-Encoding", encoding)
			w.WriteHeader(code)
			io.WriteString(w, answer)
		}), cfg).ServeHTTP(w, req)
		if w.code != code || w.body.String() != answer {
			t.Errorf("answered with %d %q", w.code, w.body.String())
		}
		stages := 2
		if info.LongRunning() {
			stages = 3
		}
		lines := s.taken()
		if len(lines) != stages {
			t.Errorf("%d events, want %d", len(lines), stages)
		}
		for _, l := range lines {
			var e audit.Event
			if err := e.Scan([]byte(l)); err != nil || !json.Valid([]byte(l)) || strings.ContainsAny(l, "\n<>&") {
				t.Errorf("%v in %s", err, l)
			}
		}
	})
}

// A keeper keeps an answer.
type keeper struct {
	discard
	code int
	body strings.Builder
}

func (k *keeper) WriteHeader(code int)        { k.code = code }
func (k *keeper) Write(b []byte) (int, error) { return k.body.Write(b) }

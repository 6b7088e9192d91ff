package proxy

import (
	"net/http/httptest"
	"testing"
)

// TestBadTimeout compares with what a kube-apiserver answers 400.
func TestBadTimeout(t *testing.T) {
	for uri, bad := range map[string]bool{
		"/api/v1/pods":                                 false,
		"/api/v1/pods?timeout=":                        false,
		"/api/v1/pods?timeout=10s":                     false,
		"/api/v1/pods?timeout=-10s":                    false,
		"/api/v1/pods?timeout=1":                       true,
		"/api/v1/pods?timeout=soon":                    true,
		"/api/v1/pods?t%69meout=soon":                  true,
		"/api/v1/pods?timeout=100000000h":              true,
		"/api/v1/pods?timeout=1s&timeout=soon":         false,
		"/api/v1/pods?watch=1&timeout=soon":            false, // long-running
		"/api/v1/namespaces/a/pods/b/log?timeout=soon": false,
		"/version?timeout=soon":                        true,
		"/api/v1/pods?timeoutSeconds=soon":             false,
	} {
		if got := badTimeout(httptest.NewRequest("GET", uri, nil)); (got != "") != bad {
			t.Errorf("%s: %q", uri, got)
		}
	}
}

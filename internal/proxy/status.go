package proxy

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An apiError is what the proxy itself answers, as a metav1.Status.
type apiError struct {
	code    int
	reason  metav1.StatusReason
	message string
}

func unauthorized() apiError {
	return apiError{http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized"}
}

func unavailable(message string) apiError {
	return apiError{http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, message}
}

func timeout(message string) apiError {
	return apiError{http.StatusGatewayTimeout, metav1.StatusReasonTimeout, message}
}

func methodNotAllowed(method string) apiError {
	return apiError{http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "this proxy does not pass on the method " + strconv.Quote(method)}
}

func cannotImpersonate() apiError {
	return apiError{http.StatusForbidden, metav1.StatusReasonForbidden,
		"this proxy tells the API server of users with certificates by impersonation, so they cannot impersonate others themselves; ask with a token, or without --as"}
}

// writeStatus answers with e.
func writeStatus(w http.ResponseWriter, e apiError) {
	body, err := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Message: e.message, Reason: e.reason, Code: int32(e.code),
	})
	if err != nil {
		body = nil // strings can always be written
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache, private")
	w.WriteHeader(e.code)
	_, _ = w.Write(body) // the client may have gone
}

// statusOf makes JSON of the beginning of an answer that is an error.
func (c *Config) statusOf(resp *http.Response, head []byte) ([]byte, error) {
	status, err := c.Record.Wire.JSON(resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding"), head)
	if err == nil && !json.Valid(status) {
		err = errors.New("it is no JSON")
	}
	return status, err
}

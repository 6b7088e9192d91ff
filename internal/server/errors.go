package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// apiVersion is the version of every JSON document that the server writes itself.
const apiVersion = "kubetrail.io/v1alpha1"

// head begins every JSON document.
type head struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// apiError is an error as the API writes it.
type apiError struct {
	head
	Code      int       `json:"code"`   // the HTTP status
	Reason    string    `json:"reason"` // one word for programs
	Message   string    `json:"message"`
	Hint      string    `json:"hint,omitempty"`      // what to do next
	Parameter string    `json:"parameter,omitempty"` // the query parameter it is about
	Position  *position `json:"position,omitempty"`  // in the text of that parameter

	caret string // the text with a mark below the place, two lines; for people
}

// position is a stretch of a text in bytes, from 0.
type position struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

func (e *apiError) Error() string { return e.Message }

func newError(code int, reason, message, hint string) *apiError {
	return &apiError{head: head{apiVersion, "Error"}, Code: code, Reason: reason, Message: message, Hint: hint}
}

// badParameter is the error of a query parameter that cannot be understood.
func badParameter(name, message, hint string) *apiError {
	e := newError(http.StatusBadRequest, "BadParameter", name+": "+message, hint)
	e.Parameter = name
	return e
}

// badQuery is the error of a question, and where in its text it is.
func badQuery(err error) *apiError {
	var syntax *query.SyntaxError
	if !errors.As(err, &syntax) {
		return badParameter("query", err.Error(), "")
	}
	e := newError(http.StatusBadRequest, "BadQuery", syntax.Msg, syntax.Hint)
	e.Parameter = "query"
	end := min(syntax.End, len(syntax.Text)) // a caret may stand behind the last character
	e.Position = &position{min(syntax.Pos, end), end}
	e.caret = strings.TrimPrefix(syntax.Error(), syntax.Msg+"\n")
	e.caret = strings.TrimSuffix(e.caret, "\nhint: "+syntax.Hint)
	return e
}

// toAPIError says in the words of the API why a request failed.
func toAPIError(err error) *apiError {
	var known *apiError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.DeadlineExceeded):
		return newError(http.StatusServiceUnavailable, "Timeout", "the question took too long and was given up",
			"ask about less time with since and until, or name more of what you look for")
	case errors.Is(err, context.Canceled):
		return newError(http.StatusServiceUnavailable, "Canceled", "the request ended before its answer", "ask again")
	case errors.Is(err, trail.ErrTooMany):
		return newError(http.StatusBadRequest, "TooMany", "the answer is too large: "+err.Error(),
			"ask about less time, count by fields with fewer values, or take wider bars")
	}
	return newError(http.StatusInternalServerError, "Internal", "the trail did not answer: "+err.Error(), "")
}

// fail answers r with err. Where the answer has already begun, it can only be
// broken off, so that the client does not take a part for the whole.
func (s *Server) fail(w *response, r *http.Request, rt route, err error) {
	e := toAPIError(err)
	switch {
	case r.Context().Err() != nil:
		s.log.Debug("the client has gone", "handler", rt.name)
	case e.Code == http.StatusInternalServerError || w.status != 0:
		s.log.Error("request failed", "handler", rt.name, "begun", w.status != 0, "err", err)
	}
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	h.Del("Trailer")
	if e.Code == http.StatusTooManyRequests || e.Code == http.StatusServiceUnavailable {
		h.Set("Retry-After", "2")
	}
	if rt.page {
		s.pages.fail(w, r, e)
		return
	}
	writeJSON(w, e.Code, e)
}

// writeJSON sends v as the whole answer. A client that has gone is not an error.
func writeJSON(w http.ResponseWriter, code int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the media type keeps browsers from taking it for HTML
	if err := e.Encode(v); err != nil {
		panic(err) // v is one of our own types: strings, numbers, lists of those
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

package server

import (
	"context"
	"embed"
	"net/http"
	"strconv"
	"time"

	"kubetrail/internal/access"
	"kubetrail/internal/config"
)

//go:embed openapi.yaml page.html style.css icon.svg
var files embed.FS

// route is one path of the server.
type route struct {
	pattern string      // of http.ServeMux
	name    string      // in metrics and logs
	params  []string    // the query parameters that serve reads
	role    config.Role // that it takes; "": read
	open    bool        // answered without credentials, and while the server drains
	asks    bool        // reads the trail: takes a slot and has a deadline
	page    bool        // HTML: so are its errors
	body    bool        // reads a body
	endless bool        // goes on until the client has enough
	serve   func(w http.ResponseWriter, r *http.Request, p params) error
}

func (s *Server) allRoutes() []route {
	return []route{
		{pattern: "GET /api/v1/events", name: "events", asks: true, serve: s.events,
			params: []string{"query", "since", "until", "limit", "cursor", "order", "fields"}},
		{pattern: "GET /api/v1/events/{seq}", name: "event", asks: true, serve: s.event, params: []string{"raw"}},
		{pattern: "GET /api/v1/tail", name: "tail", endless: true, serve: s.tail, params: []string{"query", "last", "after", "fields"}},
		{pattern: "GET /api/v1/aggregate", name: "aggregate", asks: true, serve: s.aggregate,
			params: []string{"query", "since", "until", "by", "top"}},
		{pattern: "GET /api/v1/histogram", name: "histogram", asks: true, serve: s.histogram,
			params: []string{"query", "since", "until", "every"}},
		{pattern: "GET /api/v1/fields", name: "fields", serve: s.fields},
		{pattern: "GET /api/v1/summary", name: "summary", asks: true, serve: s.summary},
		{pattern: "GET /api/v1/faults", name: "faults", asks: true, serve: s.faults},
		{pattern: "GET /api/v1/gaps", name: "gaps", asks: true, serve: s.gaps, params: []string{"since", "until", "cluster", "server"}},
		{pattern: "GET /api/v1/servers", name: "servers", asks: true, serve: s.servers, params: []string{"query", "since", "until"}},
		{pattern: "GET /api/v1/openapi.yaml", name: "openapi", serve: embedded("openapi.yaml", "application/yaml")},
		{pattern: "POST /webhook/{cluster}", name: "webhook", role: config.Webhook, body: true, serve: s.webhook, params: []string{"timeout"}},
		{pattern: "POST /webhook/{cluster}/{server}", name: "webhook", role: config.Webhook, body: true, serve: s.webhook, params: []string{"timeout"}},
		{pattern: "GET /agent/{cluster}/{server}/positions", name: "agent positions", role: config.Agent, serve: s.positions},
		{pattern: "POST /agent/{cluster}/{server}", name: "agent", role: config.Agent, body: true, serve: s.ship},
		{pattern: "GET /livez", name: "livez", open: true, serve: s.livez, params: []string{"verbose"}},
		{pattern: "GET /healthz", name: "healthz", open: true, serve: s.livez, params: []string{"verbose"}},
		{pattern: "GET /readyz", name: "readyz", open: true, serve: s.readyz, params: []string{"verbose"}},
		{pattern: "GET /metrics", name: "metrics", role: config.Metrics, serve: s.serveMetrics},
		{pattern: "GET /{$}", name: "list page", asks: true, page: true, serve: s.listPage,
			params: []string{"query", "since", "until", "cursor", "lang"}},
		{pattern: "GET /events/{seq}", name: "event page", asks: true, page: true, serve: s.eventPage, params: []string{"lang"}},
		{pattern: "GET /style.css", name: "style", serve: embedded("style.css", "text/css; charset=utf-8")},
		{pattern: "GET /icon.svg", name: "icon", serve: embedded("icon.svg", "image/svg+xml")},
	}
}

// newMux returns the routes by their pattern, and a mux that finds the pattern of
// a request.
func newMux(s *Server) (*http.ServeMux, map[string]route) {
	mux, routes := http.NewServeMux(), map[string]route{}
	for _, rt := range s.allRoutes() {
		routes[rt.pattern] = rt
		mux.HandleFunc(rt.pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := s.answer(w, r, rt); err != nil {
				s.fail(w.(*response), r, rt, err)
			}
		})
	}
	return mux, routes
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w, start := &response{ResponseWriter: rw}, s.cfg.Now()
	handler, pattern := s.mux.Handler(r)
	rt, found := s.routes[pattern]
	if !found {
		rt.name = "none"
	}
	defer func() {
		s.metrics.requests.WithLabelValues(strconv.Itoa(w.code()), rt.name).Inc()
		if !rt.endless {
			s.metrics.duration.WithLabelValues(rt.name).Observe(s.cfg.Now().Sub(start).Seconds())
		}
	}()
	secure(w.Header())
	limit := int64(maxBodyBytes)
	if rt.body {
		limit = s.hook.bodyBytes.Load()
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	var err error
	w.may, err = s.guard.check(w, r, rt.open)
	if err == nil && !rt.body && r.ContentLength > limit {
		err = newError(http.StatusRequestEntityTooLarge, "BodyTooLarge", "no request needs a body here", "ask in the URL")
	}
	if err != nil {
		s.fail(w, r, rt, err)
		return
	}
	if !found {
		refusal := &discard{header: w.Header()}
		handler.ServeHTTP(refusal, r) // says 404, or 405 with the methods that are allowed
		s.fail(w, r, rt, unknownPath(r, refusal))
		return
	}
	s.mux.ServeHTTP(w, r)
}

func unknownPath(r *http.Request, refusal *discard) error {
	if refusal.status == http.StatusMethodNotAllowed {
		return newError(refusal.status, "MethodNotAllowed", "no method "+r.Method+" here", "use "+refusal.header.Get("Allow"))
	}
	return newError(http.StatusNotFound, "NotFound", "no such path", "/api/v1/openapi.yaml lists them all")
}

// answer serves a route whose request the guard has let through.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, rt route) error {
	ctx, err := authorize(r, rt, w.(*response).may)
	if err != nil {
		return err
	}
	r = r.WithContext(ctx)
	p, err := parseParams(r.URL.RawQuery, rt.params, s.cfg.Now())
	if err != nil {
		return err
	}
	if !rt.asks {
		return rt.serve(w, r, p)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	if err := s.takeSlot(ctx); err != nil {
		return err
	}
	defer func() { <-s.slots }()
	return rt.serve(w, r.WithContext(ctx), p)
}

// slotWait is how long a question waits for one of those before it to end.
const slotWait = time.Second

func (s *Server) takeSlot(ctx context.Context) error {
	timer := time.NewTimer(slotWait)
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return newError(http.StatusTooManyRequests, "TooManyRequests",
			strconv.Itoa(cap(s.slots))+" questions are being answered, no more are taken", "ask again in a moment")
	}
}

func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request, _ params) error {
	s.metrics.handler.ServeHTTP(w, r)
	return nil
}

// embedded serves a file that is part of the program.
func embedded(name, contentType string) func(http.ResponseWriter, *http.Request, params) error {
	return func(w http.ResponseWriter, _ *http.Request, _ params) error {
		b, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "max-age=600")
		_, _ = w.Write(b)
		return nil
	}
}

// response remembers whether the answer has begun. One request's goroutine uses it.
type response struct {
	http.ResponseWriter
	status int           // 0: not begun
	may    access.Grants // what the request may do
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// code is the status that net/http sends.
func (w *response) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// discard takes the headers and the status of an answer, not its text.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

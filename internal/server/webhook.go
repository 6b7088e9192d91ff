package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"kubetrail/internal/collect/spool"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

const (
	bodiesWait  = 2 * time.Second // that a post waits for the memory that its body takes
	judgedBytes = 64 << 10        // of a body are looked at
)

// webhook receives what kube-apiserver posts to POST /webhook/{cluster}, or to
// /webhook/{cluster}/{server} where it is to be told which API server it was. What is
// answered 200 is durable. Everything else makes kube-apiserver try again, five times
// within a hundred seconds, and then lose the events, whatever the status says: so
// nothing is refused that may hold events, however odd it is otherwise. What of it is
// no event is set aside when the spool is read.
type webhook struct {
	cfg       Config
	bodies    *semaphore.Weighted // the bytes of the bodies that are in memory
	bodyBytes atomic.Int64        // of one body at most
	inMemory  prometheus.Gauge
	received  *prometheus.CounterVec
}

// newWebhook returns the webhook and the metrics it keeps.
func newWebhook(cfg Config) (*webhook, []prometheus.Collector) {
	h := &webhook{cfg: cfg, bodies: semaphore.NewWeighted(cfg.BodiesBytes),
		inMemory: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kubetrail_webhook_bodies_bytes", Help: "Memory that the posts being received take.",
		}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubetrail_webhook_received_bytes_total", Help: "Bytes that were received and are durable, by cluster.",
		}, []string{"cluster"}),
	}
	h.bodyBytes.Store(cfg.BodyBytes)
	return h, []prometheus.Collector{h.inMemory, h.received}
}

// SetBodyBytes changes how large a post to the webhook may be, and returns what holds
// from now on: not more than there was memory for at the start.
func (s *Server) SetBodyBytes(n int64) int64 {
	n = min(n, s.cfg.BodiesBytes)
	s.hook.bodyBytes.Store(n)
	return n
}

// wait returns when no post is being received, and keeps others from being so.
func (h *webhook) wait() { _ = h.bodies.Acquire(context.Background(), h.cfg.BodiesBytes) }

// webhook answers one post.
func (s *Server) webhook(w http.ResponseWriter, r *http.Request, _ params) error {
	err := s.hook.receive(w, r, s.ready.Load())
	if err == nil {
		writeJSON(w, http.StatusOK, struct{}{})
		return nil
	}
	if r.Context().Err() == nil {
		s.log.Warn("a webhook's post was not taken", "cluster", r.PathValue("cluster"), "server", r.PathValue("server"), "from", r.RemoteAddr, "err", err)
	}
	return err
}

func (h *webhook) receive(w http.ResponseWriter, r *http.Request, ready bool) error {
	from := spool.Origin{Cluster: r.PathValue("cluster"), Server: r.PathValue("server")}
	switch {
	case h.cfg.Receive == nil:
		return newError(http.StatusNotFound, "NotFound", "this server receives nothing", "")
	case !ready:
		return unavailable("Draining", "this server is about to end")
	}
	if err := from.Check(); err != nil {
		return badCluster(err)
	}
	if err := checkMedia(r.Header); err != nil {
		return err
	}
	size, most := r.ContentLength, h.bodyBytes.Load()
	if size > most {
		return h.tooLarge()
	}
	if size < 0 { // not announced, as a proxy may send it
		size = most
	}
	waited, cancel := context.WithTimeout(r.Context(), bodiesWait)
	defer cancel()
	if err := h.bodies.Acquire(waited, size); err != nil {
		return unavailable("Busy", "as many posts are being received as there is memory for")
	}
	h.inMemory.Add(float64(size))
	defer func() {
		h.inMemory.Sub(float64(size))
		h.bodies.Release(size)
	}()
	body, err := h.read(w, r)
	if err != nil {
		return err
	}
	if err := judge(body); err != nil {
		return err
	}
	switch err := h.cfg.Receive(r.Context(), from, body); {
	case errors.Is(err, spool.ErrCluster):
		return badCluster(err)
	case errors.Is(err, spool.ErrFull):
		return unavailable("SpoolFull", err.Error())
	case err != nil:
		return unavailable("SpoolFailed", "what was sent could not be kept: "+err.Error())
	}
	h.received.WithLabelValues(from.Cluster).Add(float64(len(body)))
	return nil
}

func badCluster(err error) error {
	return newError(http.StatusBadRequest, "BadCluster", err.Error(),
		fmt.Sprintf("small letters, digits, dashes and dots make a name; %d clusters are received", spool.MaxClusters))
}

// unavailable is an error that passes: the sender shall come again.
func unavailable(reason, message string) error {
	return newError(http.StatusServiceUnavailable, reason, message, "send it again")
}

// checkMedia refuses what kube-apiserver does not send: another media type, which a
// page of another site could be made to send, and compressed bodies.
func checkMedia(header http.Header) error {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return newError(http.StatusUnsupportedMediaType, "BadMediaType",
			fmt.Sprintf("the Content-Type is %.80q, not application/json", header.Get("Content-Type")), "")
	}
	if coding := header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return newError(http.StatusUnsupportedMediaType, "BadMediaType",
			fmt.Sprintf("the Content-Encoding %.80q is not understood", coding), "send the body as it is")
	}
	return nil
}

func (h *webhook) tooLarge() error {
	return newError(http.StatusRequestEntityTooLarge, "BodyTooLarge", fmt.Sprintf("the body is larger than %d bytes", h.bodyBytes.Load()),
		"give kube-apiserver a smaller --audit-webhook-batch-max-size, or --audit-webhook-truncate-enabled")
}

// read reads the body within the time that it may take.
func (h *webhook) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// Not every kind of connection can: then the server's own limit holds.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.cfg.BodyTimeout))
	var body []byte
	var err error
	if r.ContentLength >= 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(r.Body)
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, h.tooLarge()
	}
	if err != nil {
		return nil, newError(http.StatusRequestTimeout, "BodyCut", "the body did not come whole, or not in time: "+err.Error(), "send it again")
	}
	return body, nil
}

// judge refuses a body that surely holds no audit events, so that whoever points
// something else here is told. It looks at the first members only: kube-apiserver
// begins a list with its kind and apiVersion.
func judge(body []byte) error {
	refuse := func(format string, args ...any) error {
		return newError(http.StatusBadRequest, "BadBody", "the body is "+fmt.Sprintf(format, args...),
			"an EventList of audit.k8s.io is received here, as kube-apiserver posts it")
	}
	d := json.NewDecoder(bytes.NewReader(body[:min(len(body), judgedBytes)]))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return refuse("no JSON object")
	}
	for known := 0; known < 2; {
		name, err := d.Token()
		switch {
		case err != nil:
			return refuse("not JSON: %v", err)
		case name == json.Delim('}'):
			return refuse("an object without a kind and items")
		case name == "items", name == "auditID":
			return nil
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			if len(body) > judgedBytes && errors.Is(err, io.ErrUnexpectedEOF) {
				return nil // a long member comes first: what follows it may hold events
			}
			return refuse("not JSON: %v", err)
		}
		text := strings.Trim(string(value), `"`)
		switch {
		case name == "kind" && text != "EventList" && text != "Event":
			return refuse("of kind %.80q", text)
		case name == "apiVersion" && !strings.HasPrefix(text, "audit.k8s.io/"):
			return refuse("of apiVersion %.80q", text)
		case name == "kind", name == "apiVersion":
			known++
		}
	}
	return nil
}

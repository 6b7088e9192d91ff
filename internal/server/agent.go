package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"kubetrail/internal/collect/spool"
	"kubetrail/internal/trail"
)

const (
	agentMediaType = "application/vnd.kubetrail.records"
	maxShipped     = 2 << 20 // of one append, as it is sent
	maxUnpacked    = 4 << 20 // and as it is then
	// agentBytes is the memory that appends being received may take together.
	agentBytes = 6 * (maxShipped + maxUnpacked)
)

// agents receives what kubetrail agent sends to POST /agent/{cluster}/{server}, and tells
// it how far everything is durable.
type agents struct {
	cfg      Config
	bodies   *semaphore.Weighted
	unpack   *zstd.Decoder // safe for concurrent use
	received *prometheus.CounterVec
	descs    map[string]*prometheus.Desc
}

func newAgents(cfg Config) (*agents, error) {
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderMaxWindow(maxUnpacked))
	h := &agents{cfg: cfg, bodies: semaphore.NewWeighted(agentBytes), unpack: unpack, descs: map[string]*prometheus.Desc{},
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubetrail_agent_received_bytes_total", Help: "Bytes that agents sent, compressed, and that are durable.",
		}, []string{"cluster", "server"})}
	for _, x := range agentMetrics() {
		h.descs[x[0]] = prometheus.NewDesc("kubetrail_agent_"+x[0], x[1], []string{"cluster", "server"}, nil)
	}
	return h, err
}

func agentMetrics() [][2]string {
	return [][2]string{
		{"last_contact_timestamp_seconds", "When an agent was heard of last."},
		{"lag_bytes", "Bytes that an agent has and did not send yet, by what it says."},
		{"lag_seconds", "Since when an agent has some."},
		{"holds_seconds", "How long the logs of an agent keep what was not sent; 0: unknown."},
		{"spool_bytes", "Bytes that an agent sent and that are not in the trail yet."},
	}
}

func (h *agents) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range h.descs {
		ch <- d
	}
}

// Collect tells of every agent that was heard of.
func (h *agents) Collect(ch chan<- prometheus.Metric) {
	if h.cfg.Shipped == nil {
		return
	}
	for _, c := range h.cfg.Shipped.Contacts() {
		for i, v := range []float64{float64(c.At.UnixMilli()) / 1000, float64(c.Waiting), c.Behind.Seconds(), c.Holds.Seconds(), float64(c.Unread)} {
			ch <- prometheus.MustNewConstMetric(h.descs[agentMetrics()[i][0]], prometheus.GaugeValue, v, c.Origin.Cluster, c.Origin.Server)
		}
	}
}

// shippedAnswer is how far sources are durable.
type shippedAnswer struct {
	head
	Sources []trail.Source `json:"sources"`
}

func writePositions(w http.ResponseWriter, sources []trail.Source) {
	if sources == nil {
		sources = []trail.Source{}
	}
	writeJSON(w, http.StatusOK, shippedAnswer{head{apiVersion, "Positions"}, sources})
}

// agent says who sends, or why nothing is taken from it.
func (s *Server) agent(r *http.Request) (spool.Origin, error) {
	from := spool.Origin{Cluster: r.PathValue("cluster"), Server: r.PathValue("server")}
	switch {
	case s.cfg.Shipped == nil:
		return from, newError(http.StatusNotFound, "NotFound", "this server receives nothing", "")
	case !s.ready.Load():
		return from, unavailable("Draining", "this server is about to end")
	}
	if err := from.Check(); err != nil {
		return from, badCluster(err)
	}
	number := func(name string) int64 {
		n, err := strconv.ParseInt(r.Header.Get(name), 10, 64)
		if err != nil {
			return 0
		}
		return min(max(n, 0), 1<<53)
	}
	seconds := func(name string) time.Duration { return time.Duration(min(number(name), 1<<31)) * time.Second }
	err := s.cfg.Shipped.Note(spool.Contact{Origin: from, At: s.cfg.Now(), Waiting: number("Kubetrail-Waiting-Bytes"),
		Behind: seconds("Kubetrail-Behind-Seconds"), Holds: seconds("Kubetrail-Holds-Seconds")})
	return from, shippedError(err)
}

// positions answers how far everything of an agent is durable.
func (s *Server) positions(w http.ResponseWriter, r *http.Request, _ params) error {
	from, err := s.agent(r)
	if err != nil {
		return err
	}
	sources, err := s.cfg.Shipped.Positions(from)
	if err != nil {
		return shippedError(err)
	}
	writePositions(w, sources)
	return nil
}

// ship keeps what an agent sent. What is answered 200 is durable.
func (s *Server) ship(w http.ResponseWriter, r *http.Request, _ params) error {
	from, err := s.agent(r)
	if err != nil {
		return err
	}
	sources, err := s.shipped.receive(w, r, from)
	if err == nil {
		writePositions(w, sources)
	} else if r.Context().Err() == nil {
		s.log.Warn("an agent's append was not taken", "cluster", from.Cluster, "server", from.Server, "from", r.RemoteAddr, "err", err)
	}
	return err
}

func (h *agents) receive(w http.ResponseWriter, r *http.Request, from spool.Origin) ([]trail.Source, error) {
	if media := r.Header.Get("Content-Type"); media != agentMediaType {
		return nil, newError(http.StatusUnsupportedMediaType, "BadMediaType", fmt.Sprintf("the Content-Type is %.80q, not %s", media, agentMediaType), "")
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "zstd" {
		return nil, newError(http.StatusUnsupportedMediaType, "BadMediaType", fmt.Sprintf("the Content-Encoding is %.80q, not zstd", coding), "")
	}
	if r.ContentLength > maxShipped {
		return nil, tooMuch("%d bytes are more than %d", r.ContentLength, maxShipped)
	}
	waited, cancel := context.WithTimeout(r.Context(), bodiesWait)
	defer cancel()
	if err := h.bodies.Acquire(waited, maxShipped+maxUnpacked); err != nil {
		return nil, unavailable("Busy", "as many appends are being received as there is memory for")
	}
	defer h.bodies.Release(maxShipped + maxUnpacked)
	// Not every kind of connection can: then the server's own limit holds.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.cfg.BodyTimeout))
	body, err := io.ReadAll(io.LimitReader(r.Body, maxShipped+1))
	if err != nil {
		return nil, newError(http.StatusRequestTimeout, "BodyCut", "the body did not come whole, or not in time: "+err.Error(), "send it again")
	}
	if len(body) > maxShipped {
		return nil, tooMuch("the body is larger than %d bytes", maxShipped)
	}
	plain, err := h.unpack.DecodeAll(body, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return nil, tooMuch("unpacked it is larger than %d bytes", maxUnpacked)
	}
	if err != nil {
		return nil, newError(http.StatusBadRequest, "BadBody", "the body is no zstd: "+err.Error(), "")
	}
	records, err := spool.ParseRecords(plain)
	if err != nil {
		return nil, newError(http.StatusBadRequest, "BadBody", err.Error(), "the agent may be of another version than this server")
	}
	sources, err := h.cfg.Shipped.Append(r.Context(), from, records)
	if err != nil {
		return nil, shippedError(err)
	}
	h.received.WithLabelValues(from.Cluster, from.Server).Add(float64(len(body)))
	return sources, nil
}

func tooMuch(format string, args ...any) error {
	return newError(http.StatusRequestEntityTooLarge, "BodyTooLarge", fmt.Sprintf(format, args...), "")
}

// shippedError says in the words of the API why nothing was kept.
func shippedError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, spool.ErrCluster):
		return badCluster(err)
	case errors.Is(err, spool.ErrOffset):
		return newError(http.StatusConflict, "Offset", err.Error(), "go on at what a GET of this path answers")
	case errors.Is(err, spool.ErrKind):
		return newError(http.StatusBadRequest, "BadKind", err.Error(), "the agent may be of a newer version than this server")
	case errors.Is(err, spool.ErrFull):
		return unavailable("SpoolFull", err.Error())
	}
	return unavailable("SpoolFailed", "what was sent could not be kept: "+err.Error())
}

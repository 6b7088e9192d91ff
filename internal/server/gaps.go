package server

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"

	"kubetrail/audit"
	"kubetrail/internal/gap"
	"kubetrail/internal/trail"
)

// fault is a fault as the API writes it.
type fault struct {
	trail.Fault
	Lost *loss `json:"lost,omitempty"`
}

// loss is what is known of events that were not observed.
type loss struct {
	From   gap.Time `json:"from"` // null where it is not known
	To     gap.Time `json:"to"`
	Events int64    `json:"events"`
	Cause  string   `json:"cause"`
}

// faults streams what was set aside, as JSON lines.
func (s *Server) faults(w http.ResponseWriter, r *http.Request, _ params) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	err := s.cfg.Trail.Faults(r.Context(), func(f trail.Fault) error {
		x := fault{Fault: f}
		if l := f.Lost; l != nil {
			x.Lost = &loss{gap.Time(l.From), gap.Time(l.To), l.Events, l.Cause}
		}
		return lines.Encode(x)
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// gapList is the answer to gaps.
type gapList struct {
	head
	gap.Report
}

// gaps looks for the times in which an API server was not observed.
func (s *Server) gaps(w http.ResponseWriter, r *http.Request, p params) error {
	q, err := p.gapQuestion()
	if err != nil {
		return err
	}
	if s.cfg.Receive != nil { // it collects: an API server may be silent now
		q.Now = p.now.UnixMicro()
	}
	report, err := s.findGaps(r.Context(), q)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, gapList{head{apiVersion, "GapList"}, report})
	return nil
}

// gapQuestion reads since, until, cluster and server.
func (p params) gapQuestion() (gap.Question, error) {
	times, err := p.question()
	if err != nil {
		return gap.Question{}, err
	}
	return gap.Question{Since: times.Since, Until: times.Until, Now: audit.NoTime, Cluster: p.get("cluster"), Server: p.get("server")}, nil
}

// findGaps lets one question of that kind be answered at a time: it reads most of the
// trail and holds a batch of it.
func (s *Server) findGaps(ctx context.Context, q gap.Question) (gap.Report, error) {
	select {
	case s.gapSlot <- struct{}{}:
		defer func() { <-s.gapSlot }()
	case <-ctx.Done():
		return gap.Report{}, ctx.Err()
	}
	return gap.Find(ctx, s.cfg.Trail, q)
}

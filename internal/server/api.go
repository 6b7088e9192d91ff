package server

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

const cursorTrailer = "Kubetrail-Next-Cursor"

// events streams one page of the answers to a question, as JSON lines or as one
// document.
func (s *Server) events(w http.ResponseWriter, r *http.Request, p params) error {
	q, err := p.question()
	if err != nil {
		return err
	}
	fields, err := p.fields("fields", maxFields)
	if err != nil {
		return err
	}
	iw := &itemWriter{fields: fields}
	page, err := p.page(iw.columns())
	if err != nil {
		return err
	}
	out := newListWriter(w, wantsDocument(r.Header.Get("Accept")))
	next, err := s.searchPage(r.Context(), q, page, func(e *audit.Event) error {
		out.line = iw.append(out.line[:0], e)
		return out.write()
	})
	if err != nil {
		return err
	}
	return out.end(next)
}

// searchPage calls yield for each event of a page that has room for one event too
// many, and returns the cursor of the next page if there is one.
func (s *Server) searchPage(ctx context.Context, q trail.Query, page trail.Page, yield func(*audit.Event) error) (next string, err error) {
	n, last := 0, trail.Cursor{}
	err = s.cfg.Trail.Search(ctx, q, page, func(e *audit.Event) error {
		if n++; n == page.Limit {
			next = trail.FormatCursor(page.Oldest, last)
			return nil
		}
		last = trail.Cursor{Time: e.Time(), Seq: e.Seq}
		return yield(e)
	})
	return next, err
}

// listWriter writes items as they come. What fits its buffer is held back: an error
// met until then still becomes a proper answer.
type listWriter struct {
	w        http.ResponseWriter
	buf      *bufio.Writer
	document bool
	items    int
	line     []byte // the next item
	flushed  time.Time
}

// flushEvery is how long an item waits at most for others, as long as others come.
const flushEvery = 250 * time.Millisecond

func newListWriter(w http.ResponseWriter, document bool) *listWriter {
	w.Header().Add("Vary", "Accept")
	l := &listWriter{w: w, buf: bufio.NewWriterSize(w, 64<<10), document: document, flushed: time.Now()}
	if document {
		w.Header().Set("Content-Type", "application/json")
	} else {
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Trailer", cursorTrailer)
	}
	return l
}

// write sends the item in line. An error means that the client has gone.
func (l *listWriter) write() error {
	if l.document {
		l.begin()
	}
	_, _ = l.buf.Write(l.line)
	if !l.document {
		_ = l.buf.WriteByte('\n')
	}
	if time.Since(l.flushed) < flushEvery {
		_, err := l.buf.Write(nil)
		return err
	}
	l.flushed = time.Now()
	if err := l.buf.Flush(); err != nil {
		return err
	}
	return http.NewResponseController(l.w).Flush()
}

// begin writes what stands before an item of a document.
func (l *listWriter) begin() {
	if l.items++; l.items == 1 {
		_, _ = l.buf.WriteString(`{"apiVersion":"` + apiVersion + `","kind":"EventList","items":[` + "\n")
	} else {
		_, _ = l.buf.WriteString(",\n")
	}
}

func (l *listWriter) end(next string) error {
	if l.document {
		if l.items == 0 {
			l.begin()
		}
		_, _ = l.buf.WriteString("\n]")
		if next != "" {
			_, _ = l.buf.WriteString(`,"nextCursor":"` + next + `"`)
		}
		_, _ = l.buf.WriteString("}\n")
	}
	err := l.buf.Flush()
	if !l.document && next != "" {
		l.w.Header().Set(cursorTrailer, next)
	}
	return err
}

// event answers with one event, as the list shows it or as it was found.
func (s *Server) event(w http.ResponseWriter, r *http.Request, p params) error {
	raw, err := p.flag("raw")
	if err != nil {
		return err
	}
	seq, err := parseSeq(r.PathValue("seq"))
	if err != nil {
		return err
	}
	iw, columns := &itemWriter{}, audit.Set(audit.Line)
	if !raw {
		columns = iw.columns()
	}
	var answer []byte
	err = s.oneEvent(r.Context(), seq, columns, func(e *audit.Event) {
		if raw {
			answer = e.AppendLine(nil)
		} else {
			answer = append(iw.append(nil, e), '\n')
		}
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	if raw {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	_, _ = w.Write(answer)
	return nil
}

func parseSeq(text string) (uint64, error) {
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		e := badParameter("seq", fmt.Sprintf("%q is no sequence number", text), "an event is named by the number that the list gives as seq")
		return 0, e
	}
	return seq, nil
}

// oneEvent calls use for the event with a sequence number. Its error may be a 404.
func (s *Server) oneEvent(ctx context.Context, seq uint64, columns audit.Columns, use func(*audit.Event)) error {
	notFound := newError(http.StatusNotFound, "NotFound", fmt.Sprintf("no event with sequence number %d", seq),
		"it may have been removed by retention; /api/v1/summary tells what the trail holds")
	if seq > math.MaxInt64 {
		return notFound
	}
	where, err := query.Parse("seq:" + strconv.FormatUint(seq, 10))
	if err != nil {
		return err
	}
	found := false
	page := trail.Page{Limit: 1, Columns: columns | audit.Set(audit.Seq)}
	err = s.cfg.Trail.Search(ctx, trail.Always(where), page, func(e *audit.Event) error {
		found = true
		use(e)
		return nil
	})
	if err == nil && !found {
		return notFound
	}
	return err
}

// aggregation is the answer to aggregate.
type aggregation struct {
	head
	By     []string    `json:"by"`
	Rows   []aggregate `json:"rows"`
	Groups int         `json:"groups"` // how many there are, of which rows are the largest
	Events uint64      `json:"events"` // that answer the question
}

type aggregate struct {
	Key   []string `json:"key"`
	Count uint64   `json:"count"`
}

// aggregate counts the answers to a question by the values of fields.
func (s *Server) aggregate(w http.ResponseWriter, r *http.Request, p params) error {
	q, err := p.question()
	if err != nil {
		return err
	}
	by, err := p.fields("by", maxBy)
	if err != nil {
		return err
	}
	if len(by) == 0 {
		return badParameter("by", "no field to count by", "by=user,verb counts the events of every pair of user and verb")
	}
	top, err := p.number("top", defaultTop, maxTop)
	if err != nil {
		return err
	}
	groups, err := s.cfg.Trail.Aggregate(r.Context(), q, by, top)
	if err != nil {
		return err
	}
	answer := aggregation{head: head{apiVersion, "Aggregation"}, Groups: groups.Groups, Events: groups.Events, Rows: []aggregate{}}
	for _, f := range by {
		answer.By = append(answer.By, f.Name)
	}
	for _, row := range groups.Rows {
		answer.Rows = append(answer.Rows, aggregate(row))
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// histogram is the answer to histogram.
type histogram struct {
	head
	EverySeconds float64  `json:"everySeconds"`
	Buckets      []bucket `json:"buckets"`
}

type bucket struct {
	Start string `json:"start"`
	Count uint64 `json:"count"`
}

// maxBuckets bounds the memory of a histogram: the empty ones are written too.
const maxBuckets = 10_000

func (s *Server) histogram(w http.ResponseWriter, r *http.Request, p params) error {
	q, err := p.question()
	if err != nil {
		return err
	}
	span, err := s.span(r.Context(), q)
	if err != nil {
		return err
	}
	every, err := p.every(span)
	if err != nil {
		return err
	}
	buckets, err := s.cfg.Trail.Histogram(r.Context(), q, every)
	if err != nil {
		return err
	}
	answer := histogram{head: head{apiVersion, "Histogram"}, EverySeconds: every.Seconds(), Buckets: []bucket{}}
	for _, b := range buckets {
		answer.Buckets = append(answer.Buckets, bucket{formatTime(b.Start), b.Count})
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// span returns how much time at most, in microseconds, the answers to q cover.
func (s *Server) span(ctx context.Context, q trail.Query) (int64, error) {
	summary, err := s.cfg.Trail.Summary(ctx)
	if err != nil || summary.First == audit.NoTime {
		return 0, err
	}
	first, last := summary.First, summary.Last
	if q.Since != audit.NoTime {
		first = max(first, q.Since)
	}
	if q.Until != audit.NoTime {
		last = min(last, q.Until)
	}
	return max(last-first, 0), nil
}

// every reads the width of the bars, or finds a round one that makes about a
// hundred of them.
func (p params) every(span int64) (time.Duration, error) {
	text := p.get("every")
	if text == "" {
		return roundWidth(span), nil
	}
	every, err := trail.ParseDuration(text)
	switch {
	case err != nil:
		return 0, badParameter("every", err.Error(), "")
	case every < time.Millisecond:
		return 0, badParameter("every", "must be 1ms at least", "")
	case span/every.Microseconds() >= maxBuckets:
		return 0, badParameter("every", fmt.Sprintf("more than %d bars", maxBuckets),
			fmt.Sprintf("the events cover %v: take wider bars, or less time with since and until", time.Duration(span/1e6)*time.Second))
	}
	return every, nil
}

// roundWidth returns the narrowest round width of which a hundred cover span
// microseconds.
func roundWidth(span int64) time.Duration {
	const day = 24 * time.Hour
	for _, w := range []time.Duration{
		time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute,
		time.Hour, 3 * time.Hour, 6 * time.Hour, day,
	} {
		if span/100 <= w.Microseconds() {
			return w
		}
	}
	weeks := span / 100 / (7 * day).Microseconds()
	return 7 * day * time.Duration(weeks+1)
}

// fieldList is the answer to fields.
type fieldList struct {
	head
	Items []field `json:"items"`
}

type field struct {
	Path  string            `json:"path"`
	Alias string            `json:"alias,omitempty"`
	Type  string            `json:"type"`
	Docs  map[string]string `json:"docs"` // by language
}

func (s *Server) fields(w http.ResponseWriter, _ *http.Request, _ params) error {
	list := fieldList{head{apiVersion, "FieldList"}, []field{}}
	for _, f := range audit.Fields() {
		list.Items = append(list.Items, field{f.Path, f.Alias, f.Type.String(), map[string]string{"en": f.Doc, "zh": f.DocZH}})
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// summary is the answer to summary.
type summary struct {
	head
	Events      uint64         `json:"events"`
	Parts       int            `json:"parts"`
	StoredBytes int64          `json:"storedBytes"`
	LineBytes   int64          `json:"lineBytes"`
	RawLines    uint64         `json:"rawLines"`
	First       *string        `json:"first"` // null where there is no event with a time
	Last        *string        `json:"last"`
	NextSeq     uint64         `json:"nextSeq"`
	Faults      uint64         `json:"faults"`
	Sources     []trail.Source `json:"sources"`
}

func (s *Server) summary(w http.ResponseWriter, r *http.Request, _ params) error {
	t, err := s.cfg.Trail.Summary(r.Context())
	if err != nil {
		return err
	}
	answer := summary{
		head: head{apiVersion, "Summary"}, Events: t.Events, Parts: t.Parts, StoredBytes: t.StoredBytes,
		LineBytes: t.LineBytes, RawLines: t.RawLines, NextSeq: t.NextSeq, Faults: t.Faults, Sources: t.Sources,
	}
	if t.First != audit.NoTime {
		first, last := formatTime(t.First), formatTime(t.Last)
		answer.First, answer.Last = &first, &last
	}
	if answer.Sources == nil {
		answer.Sources = []trail.Source{}
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// formatTime writes microseconds since the epoch as the API does.
func formatTime(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000000Z")
}

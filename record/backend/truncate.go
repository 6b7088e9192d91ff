package backend

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"kubetrail/audit"
	"kubetrail/record"
)

// TruncatedAnnotation is "true" on an event that lacks something for its size.
const TruncatedAnnotation = "audit.k8s.io/truncated"

// cutMark ends a text that was cut, as upstream ends a user agent that was.
const cutMark = "...TRUNCATED"

// TruncateConfig bounds events. Both sizes are in bytes of encoded lines and required.
type TruncateConfig struct {
	MaxEventSize int64

	// MaxBatchSize bounds the events of one ProcessEvents of the delegate. Where that
	// buffers, its own batches have to be bounded by the same number.
	MaxBatchSize int64

	Losses *Losses
}

// Truncate returns a backend that gives events to delegate in copies that are small
// enough: without bodies and, where that is not enough, with long texts cut. What still
// does not fit is lost and reported as not stored. Upstream: plugin/pkg/audit/truncate,
// which loses whatever is too large without its bodies, and reports it as stored.
func Truncate(delegate record.Backend, c TruncateConfig) record.Backend {
	return &truncate{delegate, c}
}

type truncate struct {
	delegate record.Backend
	c        TruncateConfig
}

func (t *truncate) Run(ctx context.Context) error { return t.delegate.Run(ctx) }
func (t *truncate) String() string                { return "truncate<" + t.delegate.String() + ">" }

func (t *truncate) ProcessEvents(events ...*record.Event) bool {
	ok := true
	events, lost := t.fit(events)
	if lost > 0 {
		t.c.Losses.Add("truncate", CauseTooLarge, lost)
		ok = false
	}
	for len(events) > 0 {
		n, size := 0, int64(0)
		for n < len(events) {
			size += int64(len(events[n].Line()))
			if n > 0 && size > t.c.MaxBatchSize {
				break
			}
			n++
		}
		ok = t.delegate.ProcessEvents(events[:n]...) && ok
		events = events[n:]
	}
	return ok
}

// fit returns events that are small enough, and how many of those given can not be. The
// slice given stays as it is.
func (t *truncate) fit(events []*record.Event) (fitting []*record.Event, lost int) {
	tooLarge := func(e *record.Event) bool { return int64(len(e.Line())) > t.c.MaxEventSize }
	if !slices.ContainsFunc(events, tooLarge) {
		return events, 0
	}
	fitting = make([]*record.Event, 0, len(events))
	for _, e := range events {
		if tooLarge(e) {
			if e = smaller(e, t.c.MaxEventSize); e == nil {
				lost++
				continue
			}
		}
		fitting = append(fitting, e)
	}
	return fitting, lost
}

// smaller returns a copy of e of at most max bytes, or nil if that cannot be. It shares
// nothing with e that is changed.
func smaller(e *record.Event, max int64) *record.Event {
	whole := e.Event
	whole.Text[audit.Annotations] = annotate(whole.Text[audit.Annotations], TruncatedAnnotation, "true")
	bodies := len(whole.RequestObject)+len(whole.ResponseObject) > 0
	whole.RequestObject, whole.ResponseObject = nil, nil
	if bodies {
		if cut := (&record.Event{Event: whole}); int64(len(cut.Line())) <= max {
			return cut
		}
	}
	for n := 4096; n >= 64; n /= 4 {
		cut := &record.Event{Event: whole}
		for c := range cut.Text {
			cut.Text[c] = shorten(audit.Column(c), cut.Text[c], n)
		}
		cut.Text[audit.Annotations] = annotate(cut.Text[audit.Annotations], TruncatedAnnotation, "true")
		if int64(len(cut.Line())) <= max {
			return cut
		}
	}
	return nil
}

// annotate returns a JSON object of annotations with one more, in place of what has that
// key. The others keep their bytes.
func annotate(object []byte, key, value string) []byte {
	all := map[string]json.RawMessage{}
	if len(object) > 0 && json.Unmarshal(object, &all) != nil {
		return object
	}
	all[key], _ = json.Marshal(value)
	if annotated, err := json.Marshal(all); err == nil {
		return annotated
	}
	return object
}

// shorten returns the value of a column with each text in it cut to n bytes, and no more
// than n/16 elements of a list or object. Objects that cannot be shortened so are left
// out if they are long.
func shorten(c audit.Column, value []byte, n int) []byte {
	if len(value) <= n {
		return value
	}
	switch {
	case !c.JSON():
		return []byte(cutText(string(value), n))
	case c == audit.StatusDetails || c == audit.Other:
		return nil
	}
	var v any
	if json.Unmarshal(value, &v) != nil {
		return nil
	}
	short, err := json.Marshal(shortenValue(v, n))
	if err != nil {
		return nil
	}
	return short
}

func shortenValue(v any, n int) any {
	switch v := v.(type) {
	case string:
		return cutText(v, n)
	case []any:
		if len(v) > n/16 {
			v = append(v[:n/16], cutMark)
		}
		for i := range v {
			v[i] = shortenValue(v[i], n)
		}
		return v
	case map[string]any:
		for i, key := range slices.Sorted(maps.Keys(v)) {
			element := v[key]
			if delete(v, key); i < n/16 {
				v[cutText(key, n)] = shortenValue(element, n)
			}
		}
	}
	return v
}

// cutText cuts a text that is longer than n bytes, between two runes.
func cutText(s string, n int) string {
	if len(s) <= n || len(s) <= len(cutMark) {
		return s
	}
	end := n
	for end > 0 && end > n-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.Clone(s[:end]) + cutMark
}

package output

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"kubetrail/audit"
)

// A Report is an answer that is no list of events, but was made of them: sessions,
// versions of an object, what somebody did.
type Report struct {
	Kind  string              // of the document, as SessionList
	Head  map[string]any      // what the document says beside its items; nil: nothing
	Items []any               // rows, each of which marshals to a JSON object
	Text  func(p *Page) error // prints it for people; it need not flush
	YAML  func(p *Page) error // where -o yaml is an object of Kubernetes instead: prints that; nil otherwise
}

// Print prints a report: for people where the format is table or wide, otherwise as
// jsonl, json or yaml, as [Rows] does.
func (r Report) Print(p *Page, format string) error {
	if format == "table" || format == "wide" {
		p.Wide = format == "wide"
		if err := r.Text(p); err != nil {
			return err
		}
		return p.W.Flush()
	}
	if format == "yaml" && r.YAML != nil {
		if err := r.YAML(p); err != nil {
			return err
		}
		return p.W.Flush()
	}
	var failed error
	head := map[string]any{}
	for k, v := range r.Head {
		head[k] = v
	}
	err := Rows(p.W, format, r.Kind, head, len(r.Items), func(b []byte, i int) []byte {
		line, err := AppendJSON(b, r.Items[i])
		if err != nil && failed == nil {
			failed = err
		}
		return line
	})
	if failed != nil {
		return failed
	}
	return err
}

// AppendJSON appends v as one line of JSON, without its newline and without the
// escapes meant for HTML.
func AppendJSON(b []byte, v any) ([]byte, error) {
	w := lines{b}
	e := json.NewEncoder(&w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return b, err
	}
	return w.b[:len(w.b)-1], nil
}

// lines appends what is written to it.
type lines struct{ b []byte }

func (l *lines) Write(p []byte) (int, error) {
	l.b = append(l.b, p...)
	return len(p), nil
}

// A Page is what a report is printed on for people, and in which language.
type Page struct {
	W       *bufio.Writer
	Chinese bool
	Wide    bool // -o wide: everything, however wide
	Headers bool // of tables
	Fit     int  // columns of the terminal that tables must fit in; 0: no limit
	Color   bool
}

// Table returns a table on the page. Its titles are English in both languages, as
// those of kubectl are.
func (p *Page) Table(titles ...string) *Table {
	t := &Table{W: p.W, Titles: titles, Headers: p.Headers, Fit: p.Fit}
	if p.Wide {
		t.Fit = 0
	}
	return t
}

// Pick returns the text in the language of the page.
func (p *Page) Pick(en, zh string) string {
	if p.Chinese {
		return zh
	}
	return en
}

// Say prints a line in the language of the page, formatted with the same arguments in
// both, and broken where the terminal ends; a comment in YAML stays whole. Text out of a log among them must be safe
// already: see [Plain] and [Cell].
func (p *Page) Say(en, zh string, args ...any) {
	text := fmt.Sprintf(p.Pick(en, zh), args...)
	if p.Fit > 0 && Width(text) > p.Fit && !strings.HasPrefix(text, "#") {
		start := strings.TrimLeft(text, "\n")
		line := strings.TrimLeft(start, " ")
		text = text[:len(text)-len(start)] + Paragraph(line, start[:len(start)-len(line)], p.Fit)
	}
	fmt.Fprintln(p.W, text)
}

// An EventRef names one event in an answer that was made of it, so that the answer can
// be checked: show finds it by its audit ID or its number.
type EventRef struct {
	Time    string `json:"time,omitempty"` // RFC 3339 in UTC, with microseconds
	AuditID string `json:"auditID,omitempty"`
	Stage   string `json:"stage,omitempty"`
	Seq     uint64 `json:"seq"`
	Cluster string `json:"cluster,omitempty"`
}

// RefColumns are the columns that [Ref] needs. A trail gives the time of an event that has
// but one for Staged alone: when a request was received is a column that costs as much as
// five others.
var RefColumns = audit.Set(audit.Staged, audit.AuditID, audit.Stage, audit.Seq, audit.Cluster)

// Ref names e. It keeps nothing of it.
func Ref(e *audit.Event) EventRef {
	return EventRef{Time: RFC3339(e.Time()), AuditID: string(e.Text[audit.AuditID]), Stage: string(e.Text[audit.Stage]),
		Seq: e.Seq, Cluster: string(e.Text[audit.Cluster])}
}

// RFC3339 writes microseconds since the epoch as JSON answers have them, empty for
// [audit.NoTime].
func RFC3339(t int64) string {
	if t == audit.NoTime {
		return ""
	}
	return time.UnixMicro(t).UTC().Format("2006-01-02T15:04:05.000000Z")
}

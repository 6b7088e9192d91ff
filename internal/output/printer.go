package output

import (
	"bufio"
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"kubetrail/audit"
)

// A Piece is one event ready to be printed: the cells of a table row, or text.
type Piece struct {
	row  []string
	Text []byte
}

func (p Piece) Size() int {
	n := len(p.Text)
	for _, c := range p.row {
		n += len(c)
	}
	return n
}

// A Printer writes events in one of the output formats. Render takes what it needs
// of the event, so that pieces may be printed later and in another order. Flush lets
// everything be seen that was printed. Close writes the end and flushes.
type Printer interface {
	Columns() audit.Columns
	Render(e *audit.Event) (Piece, error)
	Print(p Piece) error
	Flush() error
	Close() error
}

// Options say how events are printed.
type Options struct {
	Format  string      // table, wide, json, jsonl, yaml, name or raw
	Fields  []audit.Ref // instead of whole events; not with name and raw
	Headers bool        // of a table
	Fit     int         // columns of the terminal that a table must fit in; 0: no limit
	Color   bool
}

// NewPrinter returns a printer that writes to w.
func NewPrinter(w *bufio.Writer, o Options) Printer {
	if o.Format == "table" || o.Format == "wide" {
		return newTablePrinter(w, o)
	}
	fields := o.Fields
	p := &textPrinter{w: w, needs: audit.AllColumns, encode: appendV1}
	if len(fields) > 0 {
		p.needs = 0
		for _, r := range fields {
			p.needs |= r.Needs()
		}
		p.encode = func(e *audit.Event, b []byte) []byte { return appendObject(b, fields, e) }
	}
	switch o.Format {
	case "raw":
		p.needs = audit.Set(audit.Line)
		p.encode, p.end = func(e *audit.Event, b []byte) []byte { return e.AppendLine(b) }, "\n"
	case "jsonl":
		p.end = "\n"
	case "json":
		p.head, p.between, p.foot = listHead(len(fields) > 0), ",\n", "\n]}\n"
	case "yaml":
		p.yaml, p.head, p.foot = true, listHeadYAML(len(fields) > 0), ""
	case "name":
		p.end, p.needs = "\n", audit.Set(audit.Resource, audit.APIGroup, audit.Name, audit.RequestURI)
		p.encode = appendName
	}
	return p
}

// NewObjectPrinter returns a printer that writes what encode appends, one JSON object for
// an event, as lines (jsonl) or as the items of one document of that kind (json, yaml).
func NewObjectPrinter(w *bufio.Writer, format, kind string, needs audit.Columns, encode func(e *audit.Event, b []byte) []byte) Printer {
	p := &textPrinter{w: w, needs: needs, encode: encode}
	switch format {
	case "json":
		p.head, p.between, p.foot = `{"kind":"`+kind+`","apiVersion":"kubetrail.io/v1alpha1","items":[`+"\n", ",\n", "\n]}\n"
	case "yaml":
		p.yaml, p.head = true, "apiVersion: kubetrail.io/v1alpha1\nkind: "+kind+"\nitems:\n"
	default:
		p.end = "\n"
	}
	return p
}

// NewTextPrinter returns a printer that writes what encode appends, text that is safe
// already, with between after every event but the last.
func NewTextPrinter(w *bufio.Writer, needs audit.Columns, between string, encode func(e *audit.Event, b []byte) []byte) Printer {
	return &textPrinter{w: w, needs: needs, encode: encode, between: between}
}

// A list of whole events is an EventList of Kubernetes' own API, which other tools
// read; a list of chosen fields is ours.
func listHead(chosen bool) string {
	if chosen {
		return `{"kind":"FieldList","apiVersion":"kubetrail.io/v1alpha1","items":[` + "\n"
	}
	return `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + "\n"
}

func listHeadYAML(chosen bool) string {
	if chosen {
		return "apiVersion: kubetrail.io/v1alpha1\nkind: FieldList\nitems:\n"
	}
	return "apiVersion: audit.k8s.io/v1\nkind: EventList\nmetadata: {}\nitems:\n"
}

// textPrinter writes each event as one piece of text.
type textPrinter struct {
	w       *bufio.Writer
	needs   audit.Columns
	encode  func(e *audit.Event, b []byte) []byte
	yaml    bool
	head    string // before the first event
	between string // between two events
	end     string // after every event
	foot    string // after the last event
	printed int
}

func (p *textPrinter) Columns() audit.Columns { return p.needs }

func (p *textPrinter) Render(e *audit.Event) (Piece, error) {
	text := p.encode(e, nil)
	if p.yaml {
		y, err := yaml.JSONToYAML(text)
		if err != nil {
			return Piece{}, err
		}
		y = bytes.TrimSuffix(y, []byte("\n"))
		text = append([]byte("- "), bytes.ReplaceAll(y, []byte("\n"), []byte("\n  "))...)
		text = append(text, '\n')
	}
	return Piece{Text: text}, nil
}

func (p *textPrinter) Print(x Piece) error {
	lead := p.between
	if p.printed == 0 {
		lead = p.head
	}
	p.printed++
	p.w.WriteString(lead)
	p.w.Write(x.Text)
	_, err := p.w.WriteString(p.end) // a bufio.Writer repeats its first error
	return err
}

func (p *textPrinter) Flush() error { return p.w.Flush() }

func (p *textPrinter) Close() error {
	switch {
	case p.printed > 0 || p.head == "":
		p.w.WriteString(p.foot)
	case p.yaml:
		p.w.WriteString(strings.TrimSuffix(p.head, "\n") + " []\n")
	default:
		p.w.WriteString(strings.TrimSuffix(p.head, "\n") + "]}\n")
	}
	return p.w.Flush()
}

// appendObject appends the chosen fields of e as one JSON object, under the names
// they were asked for by.
func appendObject(b []byte, fields []audit.Ref, e *audit.Event) []byte {
	b = append(b, '{')
	for i, r := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, r.Name)
		b = append(b, ':')
		b = r.AppendJSON(b, e)
	}
	return append(b, '}')
}

// appendName appends "deployments.apps/nginx", or the path where the request was
// not about a resource.
func appendName(e *audit.Event, b []byte) []byte {
	if len(e.Text[audit.Resource]) == 0 {
		return append(b, Cell(Object(e))...)
	}
	s := string(e.Text[audit.Resource])
	if g := e.Text[audit.APIGroup]; len(g) > 0 {
		s += "." + string(g)
	}
	return append(b, Plain(s+"/"+string(e.Text[audit.Name]), false)...)
}

// TablePrinter writes each event as one row.
type TablePrinter struct {
	Table
	needs audit.Columns
	cells func(e *audit.Event) []string
}

func newTablePrinter(w *bufio.Writer, o Options) *TablePrinter {
	fields := o.Fields
	p := &TablePrinter{needs: tableColumns(), cells: everyday}
	p.Table = Table{W: w, Headers: o.Headers, Fit: o.Fit,
		Titles: []string{"TIME", "VERB", "RESOURCE", "OBJECT", "USER", "CODE", "ID"}, Soft: []int{3, 4, 2}}
	switch {
	case len(fields) > 0:
		p.needs, p.Titles, p.Fit = audit.Set(audit.Code), nil, 0
		for _, r := range fields {
			p.needs |= r.Needs()
			p.Titles = append(p.Titles, Cell(strings.ToUpper(r.Name)))
		}
		p.cells = func(e *audit.Event) []string { return chosen(fields, e) }
	case o.Format == "wide":
		p.needs |= audit.Set(audit.Stage, audit.Level, audit.SourceIPs, audit.UserAgent, audit.Seq)
		p.Titles = []string{"TIME", "VERB", "RESOURCE", "OBJECT", "USER", "CODE", "LEVEL", "STAGE", "SOURCE-IPS", "AGENT", "SEQ", "ID"}
		p.Fit, p.cells = 0, everything
	}
	if o.Color {
		at := slices.Index(p.Titles, "CODE")
		p.paint = func(row []string, line string) string { return paintCode(row, at, line) }
	}
	return p
}

func (p *TablePrinter) Columns() audit.Columns { return p.needs }

func (p *TablePrinter) Render(e *audit.Event) (Piece, error) { return Piece{row: p.cells(e)}, nil }

func (p *TablePrinter) Print(x Piece) error { return p.Add(x.row...) }

func (p *TablePrinter) Close() error { return p.Flush() }

func everyday(e *audit.Event) []string {
	return []string{When(e, time.Second), Cell(string(e.Text[audit.Verb])), Cell(Resource(e)),
		Cell(Object(e)), Cell(who(e)), Cell(Code(e)), Cell(shortID(e))}
}

func everything(e *audit.Event) []string {
	row := everyday(e)
	return append(row[:6], Cell(string(e.Text[audit.Level])), Cell(string(e.Text[audit.Stage])),
		Cell(strings.Join(StringList(e.Text[audit.SourceIPs]), ",")), Cell(string(e.Text[audit.UserAgent])),
		"#"+strconv.FormatUint(e.Seq, 10), Cell(string(e.Text[audit.AuditID])))
}

func chosen(fields []audit.Ref, e *audit.Event) []string {
	row := make([]string, len(fields))
	for i, r := range fields {
		row[i] = Cell(string(r.AppendText(nil, e)))
	}
	return row
}

// paintCode colours a row by its HTTP status: refused yellow, failed red.
func paintCode(row []string, at int, line string) string {
	if at < 0 || at >= len(row) || len(row[at]) != 3 {
		return line
	}
	switch row[at][0] {
	case '4':
		return "\x1b[33m" + line + "\x1b[0m"
	case '5':
		return "\x1b[31m" + line + "\x1b[0m"
	}
	return line
}

package main

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

const searchOutputs = "table, wide, json, jsonl, yaml, name, raw"

// A piece is one event ready to be printed: the cells of a table row, or text.
type piece struct {
	row  []string
	text []byte
}

func (p piece) size() int {
	n := len(p.text)
	for _, c := range p.row {
		n += len(c)
	}
	return n
}

// A printer writes events in one of the output formats. Render takes what it needs
// of the event, so that pieces may be printed later and in another order. Flush lets
// everything be seen that was printed. Close writes the end and flushes.
type printer interface {
	columns() audit.Columns
	render(e *audit.Event) (piece, error)
	print(p piece) error
	flush() error
	close() error
}

// newPrinter returns the printer for f.output; fields are those of --fields.
func newPrinter(a *app, f *asked, fields []audit.Ref) (printer, error) {
	w := a.stdout()
	if f.output == "table" || f.output == "wide" {
		return newTablePrinter(a, f, fields, w), nil
	}
	p := &textPrinter{w: w, needs: audit.AllColumns, encode: appendV1}
	if len(fields) > 0 {
		if f.output == "raw" || f.output == "name" {
			return nil, usage("use -o table, json, jsonl or yaml with --fields", "-o %s prints no fields", f.output)
		}
		p.needs = 0
		for _, r := range fields {
			p.needs |= r.Needs()
		}
		p.encode = func(e *audit.Event, b []byte) []byte { return appendObject(b, fields, e) }
	}
	switch f.output {
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
	return p, nil
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

func (p *textPrinter) columns() audit.Columns { return p.needs }

func (p *textPrinter) render(e *audit.Event) (piece, error) {
	text := p.encode(e, nil)
	if p.yaml {
		y, err := yaml.JSONToYAML(text)
		if err != nil {
			return piece{}, err
		}
		y = bytes.TrimSuffix(y, []byte("\n"))
		text = append([]byte("- "), bytes.ReplaceAll(y, []byte("\n"), []byte("\n  "))...)
		text = append(text, '\n')
	}
	return piece{text: text}, nil
}

func (p *textPrinter) print(x piece) error {
	lead := p.between
	if p.printed == 0 {
		lead = p.head
	}
	p.printed++
	p.w.WriteString(lead)
	p.w.Write(x.text)
	_, err := p.w.WriteString(p.end) // a bufio.Writer repeats its first error
	return err
}

func (p *textPrinter) flush() error { return p.w.Flush() }

func (p *textPrinter) close() error {
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
		b = appendString(b, r.Name)
		b = append(b, ':')
		b = r.AppendJSON(b, e)
	}
	return append(b, '}')
}

// appendName appends "deployments.apps/nginx", or the path where the request was
// not about a resource.
func appendName(e *audit.Event, b []byte) []byte {
	if len(e.Text[audit.Resource]) == 0 {
		return append(b, cell(object(e))...)
	}
	s := string(e.Text[audit.Resource])
	if g := e.Text[audit.APIGroup]; len(g) > 0 {
		s += "." + string(g)
	}
	return append(b, plain(s+"/"+string(e.Text[audit.Name]), false)...)
}

// tablePrinter writes each event as one row.
type tablePrinter struct {
	table
	needs audit.Columns
	cells func(e *audit.Event) []string
}

func newTablePrinter(a *app, f *asked, fields []audit.Ref, w *bufio.Writer) *tablePrinter {
	p := &tablePrinter{needs: tableColumns(), cells: everyday}
	p.table = table{w: w, headers: !f.noHeaders, fit: terminal(a.out),
		titles: []string{"TIME", "VERB", "RESOURCE", "OBJECT", "USER", "CODE", "ID"}, soft: []int{3, 4, 2}}
	switch {
	case len(fields) > 0:
		p.needs, p.titles, p.fit = audit.Set(audit.Code), nil, 0
		for _, r := range fields {
			p.needs |= r.Needs()
			p.titles = append(p.titles, cell(strings.ToUpper(r.Name)))
		}
		p.cells = func(e *audit.Event) []string { return chosen(fields, e) }
	case f.output == "wide":
		p.needs |= audit.Set(audit.Stage, audit.Level, audit.SourceIPs, audit.UserAgent, audit.Seq)
		p.titles = []string{"TIME", "VERB", "RESOURCE", "OBJECT", "USER", "CODE", "LEVEL", "STAGE", "SOURCE-IPS", "AGENT", "SEQ", "ID"}
		p.fit, p.cells = 0, everything
	}
	if a.colored(f.color, a.out) {
		at := slices.Index(p.titles, "CODE")
		p.paint = func(row []string, line string) string { return paintCode(row, at, line) }
	}
	return p
}

func (p *tablePrinter) columns() audit.Columns { return p.needs }

func (p *tablePrinter) render(e *audit.Event) (piece, error) { return piece{row: p.cells(e)}, nil }

func (p *tablePrinter) print(x piece) error { return p.add(x.row...) }

func (p *tablePrinter) close() error { return p.flush() }

func everyday(e *audit.Event) []string {
	return []string{when(e, time.Second), cell(string(e.Text[audit.Verb])), cell(resource(e)),
		cell(object(e)), cell(who(e)), cell(code(e)), cell(shortID(e))}
}

func everything(e *audit.Event) []string {
	row := everyday(e)
	return append(row[:6], cell(string(e.Text[audit.Level])), cell(string(e.Text[audit.Stage])),
		cell(strings.Join(stringList(e.Text[audit.SourceIPs]), ",")), cell(string(e.Text[audit.UserAgent])),
		"#"+strconv.FormatUint(e.Seq, 10), cell(string(e.Text[audit.AuditID])))
}

func chosen(fields []audit.Ref, e *audit.Event) []string {
	row := make([]string, len(fields))
	for i, r := range fields {
		row[i] = cell(string(r.AppendText(nil, e)))
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

package explain

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/kubectl"
	"kubetrail/internal/output"
)

// Whole is the format of everything that is known of an event: the seven questions, then
// what they leave out, bodies last.
const Whole = "whole"

// PrinterConfig says how events are explained.
type PrinterConfig struct {
	W       *bufio.Writer
	Format  string // text, table, json, jsonl, yaml or Whole
	Chinese bool
	Color   bool
	Fit     int  // columns of the terminal; 0: none
	Kubectl bool // add the command that makes the same request

	// Through tells through whom an event came about, by looking at the columns Needs;
	// nil: it is not asked for.
	Through func(e *audit.Event) (Told, error)
	Needs   audit.Columns
}

// Told is what was found out about an event, for programs and for people.
type Told struct {
	Value any    // marshals to JSON
	Text  string // lines that are safe to print
}

// printer explains each event on its own.
type printer struct {
	output.Printer
	cfg PrinterConfig
	x   *Explainer
	err error // of Through, for the event at hand
}

// NewPrinter returns a printer that writes sentences, or the seven questions where the
// format is table. As JSON an event is {"auditID","stage","sentence"}, and what was
// asked for besides.
func NewPrinter(cfg PrinterConfig) output.Printer {
	p := &printer{cfg: cfg, x: New(Config{Chinese: cfg.Chinese})}
	needs := WithBodies | output.RefColumns | cfg.Needs
	if cfg.Kubectl {
		needs |= kubectl.Columns
	}
	if cfg.Format == "table" {
		needs = audit.AllColumns &^ audit.Set(audit.Line)
	}
	switch cfg.Format {
	case "text":
		p.Printer = output.NewTextPrinter(cfg.W, needs, "", p.text)
	case "table":
		p.Printer = output.NewTextPrinter(cfg.W, needs, "\n", p.seven)
	case Whole:
		p.Printer = output.NewTextPrinter(cfg.W, audit.AllColumns, "\n", p.whole)
	default:
		p.Printer = output.NewObjectPrinter(cfg.W, cfg.Format, "ExplanationList", needs, p.object)
	}
	return p
}

func (p *printer) Render(e *audit.Event) (output.Piece, error) {
	x, err := p.Printer.Render(e)
	if p.err != nil {
		return x, p.err
	}
	return x, err
}

func (p *printer) through(e *audit.Event) Told {
	told, err := p.cfg.Through(e)
	p.err = err
	return told
}

func (p *printer) object(e *audit.Event, b []byte) []byte {
	b = output.AppendString(append(b, `{"auditID":`...), string(e.Text[audit.AuditID]))
	b = output.AppendString(append(b, `,"stage":`...), string(e.Text[audit.Stage]))
	b = output.AppendString(append(b, `,"sentence":`...), string(p.x.Append(nil, e)))
	if p.cfg.Kubectl {
		line, note := kubectl.Command(e, p.cfg.Chinese)
		b = output.AppendString(append(b, `,"kubectl":`...), line)
		if note != "" {
			b = output.AppendString(append(b, `,"note":`...), note)
		}
	}
	if p.cfg.Through != nil {
		b = append(b, `,"through":`...)
		line, err := output.AppendJSON(b, p.through(e).Value)
		if err != nil {
			p.err = err
		}
		b = line
	}
	return append(b, '}')
}

// text is a sentence with its time before it, and below it what was asked for besides.
func (p *printer) text(e *audit.Event, b []byte) []byte {
	columns := p.cfg.Fit
	if columns == 0 {
		columns = 1 << 30
	}
	b = append(b, output.Paragraph(output.When(e, time.Second)+"  "+string(p.x.Append(nil, e)), "", columns)...)
	return p.besides(e, append(b, '\n'))
}

// besides appends the chain and the command.
func (p *printer) besides(e *audit.Event, b []byte) []byte {
	if p.cfg.Through != nil {
		for line := range strings.Lines(p.through(e).Text) {
			b = append(append(b, "  "...), strings.TrimSuffix(line, "\n")...)
			b = append(b, '\n')
		}
	}
	if p.cfg.Kubectl {
		line, note := kubectl.Command(e, p.cfg.Chinese)
		if line != "" {
			// A here-document goes on at the margin, so that it can be copied and run.
			b = append(append(append(b, "  $ "...), output.Plain(line, true)...), '\n')
		}
		if note != "" {
			b = append(append(append(b, "  "...), output.Plain(note, false)...), '\n')
		}
	}
	return b
}

// seven appends the sentence and the seven questions with their answers.
func (p *printer) seven(e *audit.Event, b []byte) []byte {
	title := output.Cell(string(e.Text[audit.AuditID])) + "  " + output.Cell(string(e.Text[audit.Stage])) + "  #" + strconv.FormatUint(e.Seq, 10)
	if p.cfg.Color {
		title = "\x1b[1m" + title + "\x1b[0m"
	}
	b = append(append(b, title...), '\n')
	return p.besides(e, AppendSeven(b, e, p.cfg.Chinese))
}

// AppendSeven appends the seven questions of an audit, each with its answer, as lines
// for people.
func AppendSeven(b []byte, e *audit.Event, chinese bool) []byte {
	answers := Seven(e, chinese)
	width := 9 // so that the answers of all events stand below each other
	for _, x := range answers {
		width = max(width, output.Width(x.Question))
	}
	for _, x := range answers {
		b = append(append(b, output.Pad(x.Question, width+2)...), x.Text...)
		b = append(b, '\n')
	}
	return b
}

// whole appends the seven questions and everything that they leave out.
func (p *printer) whole(e *audit.Event, b []byte) []byte {
	b = p.seven(e, b)
	for _, l := range []struct {
		en, zh string
		raw    []byte
	}{
		{"Annotations", "注解", e.Text[audit.Annotations]},
		{"User extra", "用户附加信息", e.Text[audit.UserExtra]},
		{"Authentication metadata", "认证元数据", e.Text[audit.AuthenticationMetadata]},
		{"Status details", "状态详情", e.Text[audit.StatusDetails]},
		{"Other members", "其他成员", e.Text[audit.Other]},
		{"Request object", "请求体", e.RequestObject},
		{"Response object", "响应体", e.ResponseObject},
	} {
		if len(l.raw) == 0 {
			continue
		}
		name := l.en
		if p.cfg.Chinese {
			name = l.zh
		}
		b = append(append(append(b, name...), '\n'), indented(l.raw)...)
		b = append(b, '\n')
	}
	return b
}

// indented is JSON on many lines, safe to print. What is no JSON is printed as it is.
func indented(raw []byte) string {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "  ", "  "); err != nil {
		return "  " + output.Plain(string(raw), false)
	}
	return "  " + output.Plain(b.String(), true)
}

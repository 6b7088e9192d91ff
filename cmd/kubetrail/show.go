package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

const showOutputs = "text, json, jsonl, yaml, raw"

const showLong = `Show prints everything that is known of one request: the seven questions of an
audit (what, when, who, on what, observed where, from where, to where), how it
ended, annotations and bodies.

ID is an audit ID, the beginning of one as search prints it, or #SEQ, the
number of one event in the trail. A request is recorded at several stages that
share the audit ID, and a client may choose its audit ID: all events with it
are shown, oldest first.

With --faults and no ID it prints what imports into the trail set aside.`

const showExample = `  # by the ID that search prints
  kubetrail show afbd22bb

  # one event by its number, as YAML
  kubetrail show '#1042' -o yaml`

func (a *app) showVerb() *cobra.Command {
	f := &asked{}
	var faults bool
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show everything about one request",
		Long:    showLong,
		Example: showExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if faults && len(args) == 0 {
				return nil
			}
			if faults || len(args) != 1 || args[0] == "" {
				return usage("search prints the IDs in its last column", "want one ID, got %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if faults {
				return a.showFaults(cmd.Context(), f)
			}
			return a.show(cmd.Context(), f, args[0])
		},
	}
	f.where(cmd.Flags(), a)
	f.how(cmd.Flags(), a, showOutputs)
	cmd.Flags().Lookup("output").DefValue = "text"
	f.output = "text"
	cmd.Flags().BoolVar(&faults, "faults", false, "Show what imports set aside, instead of a request")
	cmd.Flags().IntVar(&f.limit, "limit", 50, "Show at most this many events; 0 is all")
	return cmd
}

func (a *app) show(ctx context.Context, f *asked, id string) error {
	if err := f.check(showOutputs); err != nil {
		return err
	}
	q, page, err := f.oneEvent(id)
	if err != nil {
		return err
	}
	var p output.Printer = newStory(a, f)
	if f.output != "text" {
		if p, err = a.printer(f, nil); err != nil {
			return err
		}
	}
	r, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer r.close()
	page.Columns = p.Columns()
	n, err := forward(ctx, r, q, page, p)
	if err == nil && n == 0 {
		return failed(errors.New("no event with the ID "+id), "search prints IDs in its last column; -f or --data may point elsewhere")
	}
	if err == nil {
		err = p.Close()
	}
	return a.finish(f, r, n, err)
}

// oneEvent is the question for an ID.
func (f *asked) oneEvent(id string) (trail.Query, trail.Page, error) {
	page := trail.Page{Limit: f.limit, Oldest: true}
	question := "auditID:" + phrase(id)
	if n, ok := strings.CutPrefix(id, "#"); ok {
		if _, err := strconv.ParseUint(n, 10, 64); err != nil {
			return trail.Query{}, page, usage("#SEQ is the number that search -o wide prints", "%q is no number", id)
		}
		question = "seq:" + n
	} else if len(id) < 36 && !strings.ContainsFunc(id, func(r rune) bool { return !isIDRune(r) }) {
		question = "auditID:" + id + "*"
	}
	if f.cluster != "" {
		question += " and cluster:" + phrase(f.cluster)
	}
	where, err := query.Parse(question)
	return trail.Always(where), page, err
}

// isIDRune tells the characters of UUIDs and of most IDs that clients choose, none
// of which means anything in a question.
func isIDRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}

// story prints events as text for people.
type story struct {
	w     *bufio.Writer
	words words
	bold  bool
	shown int
}

func newStory(a *app, f *asked) *story {
	return &story{w: a.stdout(), words: wordsOf(f.lang), bold: a.colored(f.color, a.out)}
}

func (s *story) Columns() audit.Columns { return audit.AllColumns }

func (s *story) Print(x output.Piece) error {
	if s.shown++; s.shown > 1 {
		s.w.WriteByte('\n')
	}
	_, err := s.w.Write(x.Text)
	return err
}

func (s *story) Flush() error { return s.w.Flush() }
func (s *story) Close() error { return s.w.Flush() }

func (s *story) Render(e *audit.Event) (output.Piece, error) {
	var b bytes.Buffer
	w := s.words
	title := output.Cell(string(e.Text[audit.AuditID])) + "  " + output.Cell(string(e.Text[audit.Stage])) + "  #" + strconv.FormatUint(e.Seq, 10)
	if s.bold {
		title = "\x1b[1m" + title + "\x1b[0m"
	}
	b.WriteString(title + "\n")
	for _, l := range []struct{ name, value string }{
		{w.what, what(e)},
		{w.when, s.times(e)},
		{w.who, person(e, audit.Username)},
		{w.as, person(e, audit.ImpersonatedUsername)},
		{w.onWhat, onWhat(e)},
		{w.observed, observed(e)},
		{w.from, strings.Join(append(output.StringList(e.Text[audit.SourceIPs]), string(e.Text[audit.UserAgent])), "  ")},
		{w.to, s.destination(e)},
		{w.result, result(e)},
		{w.decision, strings.TrimSpace(string(e.Text[audit.Decision]) + "  " + string(e.Text[audit.Reason]))},
	} {
		if l.value == "" && l.name == w.as {
			continue
		}
		if strings.TrimSpace(l.value) == "" {
			l.value = output.None
		}
		b.WriteString(output.Pad(l.name, 11) + output.Plain(l.value, false) + "\n")
	}
	for _, l := range []struct {
		name string
		raw  []byte
	}{
		{w.annotations, e.Text[audit.Annotations]},
		{w.userExtra, e.Text[audit.UserExtra]},
		{w.metadata, e.Text[audit.AuthenticationMetadata]},
		{w.details, e.Text[audit.StatusDetails]},
		{w.other, e.Text[audit.Other]},
		{w.request, e.RequestObject},
		{w.response, e.ResponseObject},
	} {
		if len(l.raw) > 0 {
			b.WriteString(l.name + "\n" + indented(l.raw) + "\n")
		}
	}
	return output.Piece{Text: b.Bytes()}, nil
}

func what(e *audit.Event) string {
	return string(e.Text[audit.Verb]) + "  " + string(e.Text[audit.RequestURI]) + "  (" + string(e.Text[audit.Level]) + ")"
}

func (s *story) times(e *audit.Event) string {
	t := output.When(e, time.Microsecond)
	if e.Staged != audit.NoTime && e.Received != audit.NoTime && e.Staged != e.Received {
		t += "  " + s.words.after + " " + time.Duration((e.Staged-e.Received)*1000).String()
	}
	return t
}

// person is a user with uid and groups; first is Username or ImpersonatedUsername.
func person(e *audit.Event, first audit.Column) string {
	s := string(e.Text[first])
	if uid := e.Text[first+(audit.UserUID-audit.Username)]; len(uid) > 0 {
		s += "  uid=" + string(uid)
	}
	if groups := output.StringList(e.Text[first+(audit.UserGroups-audit.Username)]); len(groups) > 0 {
		s += "  groups=" + strings.Join(groups, ",")
	}
	return s
}

func onWhat(e *audit.Event) string {
	s := output.Resource(e)
	if s == "" {
		return ""
	}
	s += "  " + output.Object(e)
	for _, x := range []struct {
		name   string
		column audit.Column
	}{{"version", audit.APIVersion}, {"uid", audit.ObjectUID}, {"resourceVersion", audit.ResourceVersion}} {
		if v := e.Text[x.column]; len(v) > 0 {
			s += "  " + x.name + "=" + string(v)
		}
	}
	return s
}

func observed(e *audit.Event) string {
	s := string(e.Text[audit.Source]) + ":" + strconv.FormatInt(e.Offset, 10)
	if server := e.Text[audit.Server]; len(server) > 0 {
		s = string(server) + "  " + s
	}
	if c := e.Text[audit.Cluster]; len(c) > 0 {
		s = string(c) + "  " + s
	}
	return s
}

// destination is where the request went on to. Kubernetes counts it among the seven
// questions, but its events do not tell: it is derived when an event is taken in.
func (s *story) destination(e *audit.Event) string {
	if to := output.StringList(e.Text[audit.Destination]); len(to) > 0 {
		return strings.Join(to, "  ")
	}
	return s.words.nowhere
}

func result(e *audit.Event) string {
	var parts []string
	for _, v := range []string{output.Code(e), string(e.Text[audit.Status]), string(e.Text[audit.StatusReason]), string(e.Text[audit.Message])} {
		if v != "" {
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, "  ")
}

// indented is JSON on many lines, safe to print. What is no JSON is printed as it is.
func indented(raw []byte) string {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "  ", "  "); err != nil {
		return "  " + output.Plain(string(raw), false)
	}
	return "  " + output.Plain(b.String(), true)
}

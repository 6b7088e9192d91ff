package power

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/recorded"
	"kubetrail/internal/schema"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/file"
	"kubetrail/policy"
)

// logOf is a trail over lines.
func logOf(lines []byte) trail.Reader {
	return sparing{file.Open(file.Config{Inputs: []file.Input{{Name: "audit.log", Each: func(visit func(string, io.Reader) error, _ func(*audit.Damage)) error {
		return visit("audit.log", bytes.NewReader(lines))
	}}}})}
}

// sparing is a trail that gives of events only what was asked for, as the one on disk
// does.
type sparing struct{ *file.Trail }

func (s sparing) Search(ctx context.Context, q trail.Query, page trail.Page, yield func(*audit.Event) error) error {
	return s.Trail.Search(ctx, q, page, func(e *audit.Event) error { return yield(spared(e, page.Columns)) })
}

func (s sparing) Scan(ctx context.Context, q trail.Query, columns audit.Columns, yield func(*audit.Event) error) error {
	return s.Trail.Scan(ctx, q, columns, func(e *audit.Event) error { return yield(spared(e, columns)) })
}

func spared(e *audit.Event, columns audit.Columns) *audit.Event {
	out := &audit.Event{Staged: audit.NoTime, Received: audit.NoTime, Seq: e.Seq}
	for c := range e.Text {
		if columns.Has(audit.Column(c)) {
			out.Text[c] = e.Text[c]
		}
	}
	if columns.Has(audit.Staged) {
		out.Staged = e.Staged
	}
	if columns.Has(audit.Received) {
		out.Received = e.Received
	}
	if columns.Has(audit.Code) {
		out.Code = e.Code
	}
	if columns.Has(audit.RequestObject) {
		out.RequestObject = e.RequestObject
	}
	if columns.Has(audit.ResponseObject) {
		out.ResponseObject = e.ResponseObject
	}
	return out
}

// corpus is the log of a real kube-apiserver and the policy that was in force.
func corpus(t *testing.T, name string) (trail.Reader, *recorded.Policy) {
	t.Helper()
	return logOf(corpustest.Members(t, name, "audit.log")[0].Data), policyOf(t, corpustest.Members(t, name, "policy.yaml")[0].Data)
}

func policyOf(t *testing.T, text []byte) *recorded.Policy {
	t.Helper()
	doc, err := policy.Load(text, policy.Newest)
	if err != nil {
		t.Fatal(err)
	}
	return &recorded.Policy{Doc: doc, Name: "policy.yaml"}
}

// when is a question about a time, RFC 3339, "" leaving that side open.
func when(t *testing.T, since, until, question string) trail.Query {
	t.Helper()
	q := trail.Always(nil)
	for _, side := range []struct {
		text string
		at   *int64
	}{{since, &q.Since}, {until, &q.Until}} {
		if side.text != "" {
			at, err := time.Parse(time.RFC3339, side.text)
			if err != nil {
				t.Fatal(err)
			}
			*side.at = at.UnixMicro()
		}
	}
	if question != "" {
		n, err := query.Parse(question)
		if err != nil {
			t.Fatal(err)
		}
		q.Where = n
	}
	return q
}

// told is a report as people read it.
func told(t *testing.T, r output.Report, chinese bool) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Print(&output.Page{W: bufio.NewWriter(&b), Chinese: chinese, Headers: true}, "table"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// items decodes the rows of a report as a program reads them.
func items[T any](t *testing.T, r output.Report) []T {
	t.Helper()
	var out []T
	for _, x := range r.Items {
		b, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		var v T
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// wants checks that a text has all of some lines or pieces.
func wants(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("no %q in:\n%s", w, got)
		}
	}
}

func secretAccess(t *testing.T, r trail.Reader, q trail.Query, p *recorded.Policy, target, namespace string) output.Report {
	t.Helper()
	report, err := Access(context.Background(), r, q, AccessConfig{Target: schema.ParseTarget(target), Namespace: namespace, Policy: p})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

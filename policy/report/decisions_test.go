package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"kubetrail/policy"
	"kubetrail/policy/explain"
)

// TestWholeLine checks that a line too long is passed over and the next one found.
func TestWholeLine(t *testing.T) {
	r := bufio.NewReaderSize(strings.NewReader("short\n"+strings.Repeat("x", 40)+"\n\nlast"), 16)
	for _, want := range []struct {
		line string
		err  error
	}{{"short", nil}, {"", errLongLine}, {"", nil}, {"last", io.EOF}, {"", io.EOF}} {
		line, err := wholeLine(r)
		if string(line) != want.line || err != want.err {
			t.Errorf("%q, %v; want %q, %v", line, err, want.line, want.err)
		}
	}
}

// FuzzDecide checks that any line gets one line of JSON or an error, and the decision
// that the plain evaluation comes to.
func FuzzDecide(f *testing.F) {
	for _, s := range []string{
		`{"method":"GET","uri":"/api/v1/namespaces/a/pods?watch=1","user":"alice","groups":["dev"]}`,
		`{"method":"GET","uri":"/api/v1/watch"}`, `{"method":"PUT","uri":"/healthz%2f","user":""}`,
		`{"uri":1}`, `[]`, `null`, ``, "{\"method\":\"\xff\",\"uri\":\"/\\u2028\"}", `{"method":"GET","uri":"//","METHOD":"POST"} x`,
	} {
		f.Add([]byte(s))
	}
	p := &policy.Policy{OmitStages: policy.Stages()[:1], Rules: []policy.PolicyRule{
		{Level: policy.LevelNone, Users: []string{"alice"}, Verbs: []string{"watch"}},
		{Level: policy.LevelMetadata, UserGroups: []string{"dev"}, Resources: []policy.GroupResources{{Resources: []string{"pods/*"}}}},
		{Level: policy.LevelRequest, NonResourceURLs: []string{"/healthz*"}},
	}}
	d := newDecider(p)
	f.Fuzz(func(t *testing.T, line []byte) {
		answer, err := d.decide(line)
		if err != nil {
			answer = appendError(nil, err)
		}
		var got struct {
			Level policy.Level
			Rule  int
			Error *string
		}
		if bytes.Count(answer, []byte("\n")) != 1 || json.Unmarshal(answer, &got) != nil || (got.Level == "") != (got.Error != nil) {
			t.Fatalf("%q: %q, %v", line, answer, err)
		}
		var q struct {
			Method, URI string
			User        *string
			Groups      []string
		}
		if got.Error != nil || json.Unmarshal(line, &q) != nil {
			return
		}
		info, err := policy.ParseRequest(q.Method, q.URI)
		if err != nil {
			t.Fatalf("%q: decided, but %v", line, err)
		}
		r := policy.Request{Authenticated: q.User != nil, Groups: q.Groups, RequestInfo: info}
		if q.User != nil {
			r.User = *q.User
		}
		if want := explain.Request(p, &r); want.Rule != got.Rule || want.Level != got.Level {
			t.Fatalf("%q: %s, want rule %d", line, answer, want.Rule)
		}
	})
}

package redact_test

import (
	"encoding/json"
	"strings"
	"testing"

	"kubetrail/audit"
)

// TestHostile redacts bodies that are made to take long, or much memory. Were any of them
// treated in more than linear time, this test would not end.
func TestHostile(t *testing.T) {
	nested := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	const many = 200_000
	tests := []struct{ name, what, resource, body string }{
		{"raw again and again", "env", "pods", `{` + strings.TrimSuffix(strings.Repeat(`"raw":1,`, many), ",") + `}`},
		{"numbers", "secrets", "secrets", `{"data":[` + strings.TrimSuffix(strings.Repeat("1,", many), ",") + `]}`},
		{"variables", "env", "pods", `{"env":[` + strings.TrimSuffix(strings.Repeat(`{"value":1},`, many), ",") + `]}`},
		{"data again and again", "secrets", "pods", `{` + strings.Repeat(`"data":"abcdefghijkl",`, many) + `"kind":"Secret"}`},
		{"Secrets in Secrets", "secrets", "pods", nested(`{"kind":"Secret","data":`, `"x"`, `}`, 9000)},
		{"Secrets in Secrets, kind last", "secrets", "pods", nested(`{"data":`, `"x"`, `,"kind":"Secret"}`, 9000)},
		{"messages in messages", "env", "pods", nested(`{"message":`, `[`+strings.TrimSuffix(strings.Repeat(`1,`, 20*many), ",")+`]`, `}`, 9000)},
		{"copies in copies", "secrets", "pods", nested(`{"kubectl.kubernetes.io/last-applied-configuration":`, `[`+strings.TrimSuffix(strings.Repeat(`1,`, 20*many), ",")+`]`, `}`, 9000)},
		{"copies far down", "path=requestObject.a", "pods", nested(`{"`+strings.Repeat("a", 100)+`":`, `{"metadata":{"annotations":{`+strings.TrimSuffix(strings.Repeat(`"kubectl.kubernetes.io/last-applied-configuration":"{}",`, many/4), ",")+`}}}`, `}`, 9000)},
		{"stars", "path=requestObject.*a*a*a*a*b", "pods", nested(`{"aaaaaaaa":`, `[`+strings.TrimSuffix(strings.Repeat(`{"x":1},`, 5*many), ",")+`]`, `}`, 5000)},
		{"too deep", "secrets", "pods", nested(`[`, ``, `]`, 20_000)},
		{"a long path", "path=requestObject.*.key", "pods", nested(`{"a":`, `[`+strings.TrimSuffix(strings.Repeat(`{"x":1},`, many), ",")+`]`, `}`, 5000)},
		{"a path just long enough", "path=requestObject.*.key", "pods", nested(`{"a":`, `[`+strings.TrimSuffix(strings.Repeat(`{"x":1},`, many), ",")+`]`, `}`, 250)},
		{"a long pointer", "secrets,env,path=requestObject.*.key", "pods", `[{"op":"add","path":"` + strings.Repeat("/a", many) + `","value":1}]`},
		{"a pointer of nothing", "secrets,env,path=requestObject.a", "pods", `[{"op":"add","path":"` + strings.Repeat("/", many) + `","value":1}]`},
		{"backslashes", "secrets", "secrets", `{"stringData":{"a":"` + strings.Repeat(`\\`, many) + `"}}`},
		{"quotes", "secrets", "secrets", `{"stringData":{"a":"` + strings.Repeat(`\"`, many) + `"}}`},
		{"copies", "secrets", "pods", `{"metadata":{"annotations":{` + strings.TrimSuffix(strings.Repeat(`"a/last-applied":"{}",`, many), ",") + `}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !json.Valid([]byte(tt.body)) && tt.name != "too deep" {
				t.Fatal("the body is no JSON")
			}
			e := event(tt.resource, tt.body)
			redactor(t, strings.Split(tt.what, ",")...).Redact(e)
			if got := e.RequestObject; !json.Valid(got) || len(got) > 4*len(tt.body)+4200 {
				t.Errorf("%d bytes became %d: %.100s", len(tt.body), len(got), got)
			}
		})
	}
}

// TestHostileURI does the same for URIs as long as headers may be.
func TestHostileURI(t *testing.T) {
	r := redactor(t, "tokens")
	for _, part := range []string{"&", "?", ";a=b", "&a=b", "%253F", "%26a%3Db", "a=", ";", "&token=x", "#"} {
		e := event("pods", "")
		e.Text[audit.RequestURI] = []byte("/x?" + strings.Repeat(part, 1<<20/len(part)) + "=")
		r.Redact(e)
		if len(e.Text[audit.RequestURI]) > 8<<20 {
			t.Errorf("%s: %d bytes", part, len(e.Text[audit.RequestURI]))
		}
	}
}

package answer

import (
	"bufio"
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/tally"
)

func newWriter(w io.Writer) *bufio.Writer { return bufio.NewWriter(w) }

func TestParseSubject(t *testing.T) {
	for text, want := range map[string]string{
		"alice":                             "user alice",
		"王芳":                                "user 王芳",
		"ci/deployer":                       "user system:serviceaccount:ci:deployer",
		"sa:ci/deployer":                    "user system:serviceaccount:ci:deployer",
		"system:serviceaccount:ci:deployer": "user system:serviceaccount:ci:deployer",
		"node:worker-1":                     "user system:node:worker-1",
		"system:node:worker-1":              "user system:node:worker-1",
		"group:dev-team":                    "group dev-team",
		"group:system:masters":              "group system:masters",
		"10.0.0.7":                          "address 10.0.0.7",
		"10.0.0.0/8":                        "address 10.0.0.0/8",
		"fe80::1":                           "address fe80::1",
		"ip:10.0.0.7":                       "address 10.0.0.7",
		"tool:kubectl":                      "tool kubectl",
		"user:10.0.0.7":                     "user 10.0.0.7",
		"https://issuer.example/u#7":        "user https://issuer.example/u#7",
		"a/b/c":                             "user a/b/c",
		"user:a/b":                          "user a/b",
		"node:":                             "user node:",
	} {
		s := ParseSubject(text)
		if got := s.Kind + " " + s.Name; got != want {
			t.Errorf("ParseSubject(%q) = %s, want %s", text, got, want)
		}
		if _, err := s.Where(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzParseSubject: whatever is asked about can be asked, and nothing in it is special.
func FuzzParseSubject(f *testing.F) {
	for _, s := range []string{"alice", `a"b\`, "tool:x*(or)", "ip:nonsense", "group:a b", "tool: or ", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := ParseSubject(text)
		n, err := s.Where()
		if !utf8.ValidString(text) || s.Kind != "user" || s.Name == "" {
			return // refused as a question, or a pattern
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		var e audit.Event
		e.Text[audit.Username] = []byte(s.Name)
		if !n.Match(&e) {
			t.Errorf("%q does not mean %q", text, s.Name)
		}
		if e.Text[audit.Username] = []byte(s.Name + "x"); n.Match(&e) {
			t.Errorf("%q means %qx too", text, s.Name)
		}
	})
}

// TestActivityCounts: every request of a subject is in exactly one row, whoever counts.
func TestActivityCounts(t *testing.T) {
	type count struct{ requests, refused int }
	for _, name := range []string{"a-gce-derived", "d-metadata-all"} {
		r, events := corpus(t, name)
		want := map[string]count{}
		for _, line := range events {
			var e struct {
				Stage            string
				User             struct{ Username string }
				ImpersonatedUser struct{ Username string }
				ResponseStatus   struct{ Code int }
			}
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatal(err)
			}
			code := e.ResponseStatus.Code
			if e.Stage != "ResponseComplete" && e.Stage != "Panic" && !(e.Stage == "ResponseStarted" && code == 401) {
				continue
			}
			for _, u := range slices.Compact([]string{e.User.Username, e.ImpersonatedUser.Username}) {
				c := want[u]
				c.requests++
				if code == 401 || code == 403 {
					c.refused++
				}
				want[u] = c
			}
		}
		onDisk := onDisk(t, events)
		for user, c := range want {
			if !slices.Contains([]string{"jai", "alice", "mallory", "王芳", "veeru", "system:anonymous", "system:kube-scheduler", "system:serviceaccount:ci:deployer"}, user) {
				continue // each is read from the whole log
			}
			report, err := Activity(t.Context(), r, asking(t, ""), ActivityConfig{Subject: ParseSubject("user:" + user)})
			if err != nil {
				t.Fatal(err)
			}
			got := count{refused: report.Head["refused"].(int)}
			for _, row := range report.Items {
				got.requests += row.(*Done).Count
			}
			if got != c || report.Head["requests"].(tally.Span).Count != c.requests {
				t.Errorf("%s: %s has %+v, want %+v", name, user, got, c)
			}
			again, err := Activity(t.Context(), onDisk, asking(t, ""), ActivityConfig{Subject: ParseSubject("user:" + user)})
			if err != nil {
				t.Fatal(err)
			}
			if a, b := withoutSeq(report), withoutSeq(again); !reflect.DeepEqual(a, b) {
				t.Errorf("%s: %s on disk is told otherwise:\n%v\n%v", name, user, b, a)
			}
		}
	}
}

// withoutSeq are the rows of an activity without what differs from trail to trail.
func withoutSeq(r output.Report) []Done {
	var out []Done
	for _, x := range r.Items {
		d := *x.(*Done)
		for i := range d.Events {
			d.Events[i].Seq = 0
		}
		d.names, d.refs = tally.Names{}, tally.Refs{}
		out = append(out, d)
	}
	return out
}

// TestActivityStory: what the planted story of the sample says of its people.
func TestActivityStory(t *testing.T) {
	for _, x := range []struct {
		subject string
		chinese bool
		notable bool
		says    []string
	}{
		{"mallory", false, false, []string{
			"mallory: 37 requests (6 writes, 15 reads, 16 refused), 2026-11-20 15:22:08–15:23:07 UTC",
			"ok           ran commands in Pod toolbox in kube-system",
			"ok           requested a token of ServiceAccount deployer in ci",
			"refused 403  tried to list Secrets in all namespaces 9 times",
			"203.0.113.8 > 127.0.0.1: 1, 15:22",
		}},
		{"mallory", true, true, []string{
			"mallory：37 个请求（6 个写操作，15 个读操作，被拒绝 16 个）",
			"escalation  申请 ci 命名空间的 ServiceAccount deployer 的令牌",
			"尝试列出所有命名空间的 Secret 9 次",
			"在 kube-system 命名空间的 Pod toolbox 中执行命令",
		}},
		{"veeru", false, false, []string{"identity    kubernetes-admin as veeru: ", "kubernetes-admin->veeru  listed Pods in default"}},
		{"ci/deployer", false, false, []string{"system:serviceaccount:ci:deployer (service account): ", "patched Deployment cart in shop"}},
		{"group:interns", false, false, []string{"interns (group): "}},
		{"203.0.113.7", false, false, []string{"(address): 1 request ("}},
		{"tool:curl", false, false, []string{"curl (tool): "}},
		{"nobody", false, false, []string{"nobody: no requests found. Only what the audit policy records is known."}},
	} {
		r, err := Activity(t.Context(), sampled(t), asking(t, ""), ActivityConfig{Subject: ParseSubject(x.subject), Notable: x.notable, Chinese: x.chinese})
		if err != nil {
			t.Fatal(err)
		}
		text := printed(t, r, x.chinese)
		for _, s := range x.says {
			if !strings.Contains(text, s) {
				t.Errorf("%s does not say %q:\n%s", x.subject, s, text)
			}
		}
	}
}

// TestActivityRoom: where there are too many kinds of requests, what is left out is said.
func TestActivityRoom(t *testing.T) {
	r, err := Activity(t.Context(), sampled(t), asking(t, ""), ActivityConfig{Subject: ParseSubject("kubernetes-admin"), Rows: 3})
	if err != nil {
		t.Fatal(err)
	}
	doc := asJSON(t, r)
	n := 0
	for _, x := range doc["items"].([]any) {
		n += int(x.(map[string]any)["count"].(float64))
	}
	all := int(doc["requests"].(map[string]any)["count"].(float64))
	if left := int(doc["requestsLeftOut"].(float64)); len(r.Items) != 3 || n+left != all || left == 0 {
		t.Errorf("%d rows with %d requests, %d left out, of %d", len(r.Items), n, left, all)
	}
	if !strings.Contains(printed(t, r, false), "more requests of kinds that there was no room for") {
		t.Error("nothing is said of what was left out")
	}
}

package lint

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"kubetrail/policy"
	"kubetrail/policy/yamltext"
)

// section is what docs/policy-lint.md says about one check.
type section struct {
	id, text  string
	bad, good []byte
	cfg       Config
}

// sections reads the page. An example that begins with rules: is completed; flags
// stand in its first line.
func sections(t testing.TB) []section {
	t.Helper()
	page, err := os.ReadFile("../../docs/policy-lint.md")
	if err != nil {
		t.Fatal(err)
	}
	var out []section
	for _, text := range strings.Split(string(page), "\n### ")[1:] {
		s := section{text: text}
		s.id, _, _ = strings.Cut(text, "\n")
		examples := regexp.MustCompile("(?s)(Bad|Good):\n\n```yaml\n(.*?)```\n").FindAllStringSubmatch(text, -1)
		if len(examples) != 2 || examples[0][1] != "Bad" || examples[1][1] != "Good" {
			t.Fatalf("%s: want a bad and a good example", s.id)
		}
		s.bad, s.good = complete(examples[0][2]), complete(examples[1][2])
		s.cfg.BlockingStrict = strings.Contains(text, "# --blocking-strict\n")
		if m := regexp.MustCompile(`# --kubernetes (\S+)`).FindStringSubmatch(text); m != nil {
			if s.cfg.Kubernetes, err = policy.ParseKubernetes(m[1]); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, s)
	}
	return out
}

func complete(example string) []byte {
	if strings.Contains(example, "apiVersion:") {
		return []byte(example)
	}
	return []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\n" + example)
}

func ids(findings []Finding, id string) (with []Finding) {
	for _, f := range findings {
		if f.Check == id {
			with = append(with, f)
		}
	}
	return with
}

// TestExamples runs the examples of the page: each bad one has its finding, each good
// one has not, and the repair of each finding makes it go away.
func TestExamples(t *testing.T) {
	noFix := map[string]bool{"exec-command": true, "group-wildcard": true, "ignore-without-reason": true, "upstream-warning": true, "ignored-document": true}
	for _, s := range sections(t) {
		t.Run(s.id, func(t *testing.T) {
			bad := ids(Run(s.bad, s.cfg), s.id)
			if len(bad) == 0 {
				t.Fatalf("the bad example has no such finding, but %v", Run(s.bad, s.cfg))
			}
			if got := ids(Run(s.good, s.cfg), s.id); len(got) > 0 {
				t.Errorf("the good example has one: %v", got)
			}
			fixes := 0
			for _, f := range bad {
				if f.Line < 3 && !strings.Contains(string(s.bad), "apiVersion: audit.k8s.io/v1beta1") {
					t.Errorf("it is about line %d, which is not in the example", f.Line)
				}
				if f.Fix != nil {
					fixes++
					checkFix(t, s.bad, s.cfg, f)
				}
			}
			if (fixes == 0) != noFix[s.id] {
				t.Errorf("%d repairs", fixes)
			}
			// All repairs together lead to a file without such findings.
			data := s.bad
			for range 10 {
				with := ids(Run(data, s.cfg), s.id)
				if len(with) == 0 || with[0].Fix == nil {
					break
				}
				data = yamltext.Apply(data, with[0].Fix.Edits)
			}
			for _, f := range ids(Run(data, s.cfg), s.id) {
				if f.Fix != nil {
					t.Errorf("still there after all repairs: %v\n%s", f, data)
				}
			}
		})
	}
}

// checkFix checks that the repair of f leads to a file that loads, without f, and that
// only what it edits differs.
// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
}

func checkFix(t tester, data []byte, cfg Config, f Finding) {
	t.Helper()
	fixed := yamltext.Apply(data, f.Fix.Edits)
	k := cfg.Kubernetes
	if k == 0 {
		k = policy.Newest
	}
	if _, err := policy.LoadAny(fixed, k); err != nil {
		if _, before := policy.LoadAny(data, k); before == nil {
			t.Errorf("%s at %d:%d: the repaired file does not load: %v\n%s", f.Check, f.Line, f.Column, err, fixed)
		}
	}
	count := func(data []byte) int { return len(ids(Run(data, cfg), f.Check)) }
	if before, after := count(data), count(fixed); after >= before {
		t.Errorf("%s at %d:%d: still there after its repair (%s)\n%s\n%s", f.Check, f.Line, f.Column, f.Message.En, strings.Join(yamltext.Diff(data, f.Fix.Edits), "\n"), fixed)
	}
}

// TestPage checks that the page has a section for each check, which says what it says.
func TestPage(t *testing.T) {
	page := sections(t)
	checks := Checks()
	if len(page) != len(checks) {
		t.Errorf("%d sections for %d checks", len(page), len(checks))
	}
	flat := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	for i, c := range checks {
		if i >= len(page) || page[i].id != c.ID {
			t.Fatalf("%s has no section in its place", c.ID)
		}
		for _, want := range []string{c.Why.En, c.Title.En + " (" + string(c.Severity) + ")."} {
			if !strings.Contains(flat(page[i].text), flat(want)) {
				t.Errorf("%s: the page does not say %q", c.ID, want)
			}
		}
		if c.Title.Zh == "" || c.Why.Zh == "" || c.Severity.rank() < 0 {
			t.Errorf("%s: not complete", c.ID)
		}
	}
}

// TestGoodExamplesAreClean checks that what is shown as good has no error of another
// kind.
func TestGoodExamplesAreClean(t *testing.T) {
	for _, s := range sections(t) {
		for _, f := range Run(s.good, s.cfg) {
			if f.Severity == Error && f.Check != "blocking-strict-void" {
				t.Errorf("the good example of %s has an error: %v %s", s.id, f.Check, f.Message.En)
			}
		}
		if bytes.Contains(s.good, []byte("\t")) {
			t.Errorf("%s: a tab", s.id)
		}
	}
}

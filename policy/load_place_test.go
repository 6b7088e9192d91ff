package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"kubetrail/internal/place"
)

const v1Head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"

// TestFindings holds the places of findings, as "line:column path", to what a person
// would point at.
func TestFindings(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"unknown member", v1Head + "rules:\n- level: None\n  verb: [get]\n", "5:3 rules[0].verb"},
		{"several", v1Head + "x: 1\nrules:\n- level: None\n  namespace: a\n  resources:\n  - group: apps\n    verbs: [get]\n", "6:3 rules[0].namespace, 9:5 rules[0].resources[0].verbs, 3:1 x"},
		{"a key that is true", v1Head + "rules:\n- level: None\n  y: 1\n  0x10: 1\n", "6:3 rules[0].16, 5:3 rules[0].true"},
		{"a key with dots", v1Head + "'a.b[0]': {c.d: 1}\nrules:\n- level: None\n", "3:1 a.b[0]"},
		{"twice", v1Head + "rules:\n- level: None\n  users: [a]\n  level: None\n", "6:3 rules[0].level"},
		{"twice in a line", v1Head + "rules: [{level: None, level: None}]\n", "3:23 rules[0].level"},
		{"twice in characters", v1Head + "rules: [{users: [é日😀], level: None, level: None}]\n", "3:37 rules[0].level"},
		{"merged and given", v1Head + "rules:\n- &r\n  level: None\n- <<: *r\n  level: None\n", "7:3 rules[1].level"},
		{"JSON unknown", "{\"apiVersion\":\"audit.k8s.io/v1\",\n \"rules\":[{\"é\":1,\"x\":2,\"level\":\"None\"}]}", "2:12 rules[0].é, 2:18 rules[0].x"},
		{"JSON twice", "{\"apiVersion\":\"audit.k8s.io/v1\",\n \"rules\":[{\"level\":\"None\",\"level\":\"None\"}]}", "2:27 rules[0].level"},

		{"level", v1Head + "rules:\n- level: none\n", "4:10 rules[0].level"},
		{"level missing", v1Head + "rules:\n- level: None\n- users: [a]\n", "5:3 rules[1].level"},
		{"level null", v1Head + "rules:\n- level:\n", "4:3 rules[0].level"},
		{"rule null", v1Head + "rules:\n- level: None\n-\n", "5:2 rules[1].level"},
		{"group", v1Head + "rules:\n- level: None\n  resources:\n  - group: apps\n  - group: Apps\n", "7:12 rules[0].resources[1].group"},
		{"names without resources", v1Head + "rules:\n- level: None\n  resources:\n  - {group: a, resourceNames: [b]}\n", "6:31 rules[0].resources[0].resourceNames"},
		{"URLs", v1Head + "rules:\n- level: None\n  nonResourceURLs: ['/é', \"a*b\"]\n", "5:27 rules[0].nonResourceURLs[1], 5:27 rules[0].nonResourceURLs[1]"},
		{"stages", v1Head + "omitStages:\n- Panic\n- panic\nrules:\n- level: None\n  omitStages: [Foo]\n", "5:3 omitStages[1], 8:16 rules[0].omitStages[0]"},
		{"by an anchor", v1Head + "rules:\n- &r\n  level: bad\n- <<: *r\n  users: [a]\n", "5:10 rules[0].level, 5:10 rules[1].level"},
		{"by several anchors", v1Head + "a: &a {level: x}\nb: &b {level: y}\nrules:\n- <<: [*b, *a]\n", "4:15 rules[0].level"},
		{"given before the merge", v1Head + "a: &a {level: x}\nrules:\n- level: y\n  <<: *a\n", "3:15 rules[0].level"},
		{"given behind the merge", v1Head + "a: &a {level: x}\nrules:\n- <<: *a\n  level: y\n", "6:10 rules[0].level"},
		{"two merge keys", v1Head + "a: &a {level: x}\nb: &b {level: z}\nrules:\n- <<: *a\n  <<: *b\n", "4:15 rules[0].level"},
		{"JSON level", "{\"apiVersion\":\"audit.k8s.io/v1\",\r\n\t\"rules\":[{\"level\":\"x\"}]}", "2:20 rules[0].level"},
		{"no rules", v1Head, "1:1 rules"},
		{"empty rules", v1Head + "rules: []\n", "3:8 rules"},
		{"after BOM and CRLF", "\ufeff" + strings.ReplaceAll(v1Head+"rules: []\n", "\n", "\r\n"), "3:8 rules"},
		{"second document", "# first\n---\n" + v1Head + "rules: []\n---\nx: y\n", "5:8 rules"},

		{"type", v1Head + "rules:\n- level: None\n  users: x\n", "5:10 rules[0].users"},
		{"type of an item", v1Head + "rules:\n- level: None\n- level: None\n  users: [é, {a: b}]\n", "6:14 rules[1].users[1]"},
		{"type of an entry", v1Head + "metadata:\n  labels: {a/b: x, c.d: 5}\nrules: []\n", "4:25 metadata.labels.c.d"},
		{"type of what is merged", v1Head + "a: &a {level: 5}\nrules:\n- <<: *a\n", "3:15 rules[0].level"},
		{"type in JSON", "{\"apiVersion\":\"audit.k8s.io/v1\",\n\"é\":\"é\",\"rules\":[{\"level\":[]}]}", "2:27 rules[0].level"},
		{"time", v1Head + "metadata:\n  name: x\n  creationTimestamp: x\n", "5:22 metadata.creationTimestamp"},
		{"time of a wrong type", v1Head + "metadata:\n  creationTimestamp: 5\n", "4:22 metadata.creationTimestamp"},
		{"time in managedFields", v1Head + "metadata:\n  managedFields: [{time: x}]\n", "4:26 metadata.managedFields[0].time"},
		{"type of the version", "kind: Policy\napiVersion: 1\n", "2:13 apiVersion"},
		{"version", "kind: Policy\napiVersion: v1\n", "2:13 apiVersion"},
		{"no version", "# c\nkind: Policy\n", "2:1 apiVersion"},
		{"kind", "apiVersion: audit.k8s.io/v1\nkind: Polly\n", "2:7 kind"},
		{"other kind", "apiVersion: audit.k8s.io/v1\nkind: Event\n", "2:7 kind"},
		{"array", "# c\n- a\n", "2:1 "},

		{"tab", v1Head + "rules:\n\t- level: None\n", "4:1 "},
		{"indentation", v1Head + "rules:\n  - level: None\n - level: None\n", "5:2 "},
		{"quote", v1Head + "rules: 'x\n", "3:1 "},
		{"unknown anchor", v1Head + "rules: [é, *nope]\n", "3:12 "},
		{"bad UTF-8", v1Head + "rules: [é, \xff]\n", "3:12 "},
		{"control character", v1Head + "# é\x07\n", "3:4 "},
		{"JSON syntax", "{\"a\": 1,\n \"é\": x}", "2:7 "},
		{"JSON end", "{\"a\": 1,\n", "1:9 "},
		{"JSON garbage", "{\"apiVersion\":\"audit.k8s.io/v1\"}\n\n  x", "3:3 "},
		{"nothing", "", "0:0 apiVersion"},
		{"protobuf", protobufPrefix, "0:0 "},
	} {
		doc, err := Load([]byte(c.data), 36)
		var findings []Finding
		if err != nil {
			findings = err.(*Rejection).Findings
		} else {
			findings = doc.Strict
		}
		var got []string
		for _, f := range findings {
			got = append(got, fmt.Sprintf("%d:%d %s", f.Line, f.Column, f.Path))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s:\n got %s\nwant %s\n%v", c.name, strings.Join(got, ", "), c.want, findings)
		}
		checkPlaces(t, lineLengths([]byte(c.data)), findings)
	}
}

func TestPosition(t *testing.T) {
	doc, err := Load([]byte(v1Head+`metadata: {annotations: {a.b: x, a: b, "a[0]": z}}
omitStages: [Panic]
rules:
- &r
  level: None
  users: &u [a, b]
- <<: *r
  resources:
  - group: ""
- {level: None, users: *u}
`), 36)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Position{
		"": {1, 1}, "kind": {2, 7}, "omitStages[0]": {4, 14}, "rules": {6, 1}, "rules[0]": {6, 3}, "rules[0].users[1]": {8, 17}, "rules[1].users[1]": {8, 17},
		"rules[1].level": {7, 10}, "rules[1].resources[0].group": {11, 12}, "rules[2].users": {8, 10}, "rules[2].users[0]": {8, 14}, "rules[2].verbs": {12, 3},
		"rules[3]": {6, 1}, "rules[-1]": {6, 1}, "rules[x]": {6, 1}, "rules[0": {6, 3}, "rules[0].level.x": {7, 10}, "x.y": {1, 1},
		"metadata.annotations.a.b": {3, 31}, "metadata.annotations.a": {3, 37}, "metadata.annotations.a[0]": {3, 48},
	} {
		if got := doc.Position(path); got != want {
			t.Errorf("%q stands at %v, want %v", path, got, want)
		}
	}
}

// TestPlaceProperty puts an unknown member anywhere into a policy, and wants it found
// there.
func TestPlaceProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		b.WriteString(v1Head + "rules:\n")
		rules := rapid.IntRange(1, 8).Draw(t, "rules")
		odd := rapid.IntRange(0, rules-1).Draw(t, "odd")
		flow := rapid.Bool().Draw(t, "flow")
		word := rapid.StringMatching(`[aé日😀 ]{0,9}`)
		var want Position
		for i := range rules {
			for range rapid.IntRange(0, 2).Draw(t, "comments") {
				b.WriteString("# " + word.Draw(t, "comment") + "\n")
			}
			user := word.Draw(t, "user")
			lines := strings.Count(b.String(), "\n")
			switch {
			case i == odd && flow:
				fmt.Fprintf(&b, "- {level: None, users: ['%s'], odd: 1}\n", user)
				want = Position{lines + 1, len("- {level: None, users: [''], ") + utf8.RuneCountInString(user) + 1}
			case i == odd:
				fmt.Fprintf(&b, "- level: None\n  users: ['%s']\n  odd: 1\n", user)
				want = Position{lines + 3, 3}
			default:
				fmt.Fprintf(&b, "- level: None\n  users: ['%s']\n", user)
			}
		}
		doc, err := Load([]byte(b.String()), Newest)
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		path := fmt.Sprintf("rules[%d].odd", odd)
		if len(doc.Strict) != 1 || doc.Strict[0].Path != path || doc.Strict[0].Position != want || doc.Warnings[0].Position != want {
			t.Fatalf("%v, want %s at %v\n%s", doc.Strict, path, want, b.String())
		}
	})
}

// TestHostile bounds what a file can cost.
func TestHostile(t *testing.T) {
	var aliases, merges strings.Builder
	aliases.WriteString(v1Head + "a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	merges.WriteString(v1Head + "m0: &m0 {k: 1}\n")
	for i := range 30 {
		fmt.Fprintf(&aliases, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), ", "))
		fmt.Fprintf(&merges, "m%d: &m%d {<<: [*m%d, *m%d]}\n", i+1, i+1, i, i)
	}
	for _, c := range []struct{ name, data, want string }{
		{"aliases", aliases.String() + "rules:\n- level: None\n", "failed decoding: yaml: document contains excessive aliasing"},
		{"merges", merges.String() + "rules:\n- <<: *m30\n", "failed decoding: yaml: document contains excessive aliasing"},
		{"deep flow", v1Head + "rules: " + strings.Repeat("[", 1<<20), "failed decoding: yaml: line 3: exceeded max depth of 10000"},
		{"deep blocks", v1Head + "rules:\n" + strings.Repeat("- ", 1<<20), "failed decoding: yaml: line 4: exceeded max depth of 10000"},
		{"deep JSON", `{"a":` + strings.Repeat("[", 1<<20), "failed decoding: couldn't get version/kind; json parse error: invalid character '[' exceeded max depth"},
		{"many keys", v1Head + "metadata:\n  labels:\n" + many("    k%d: 5\n", 50_000), "failed decoding: json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"},
		{"many twice", v1Head + many("k: %d\n", 50_000), "loaded illegal policy with 0 rules"},
		{"many findings", v1Head + "omitStages:\n" + many("- x%d\n", 50_000) + "rules:\n" + many("- level: %d é\n", 50_000), "[omitStages[0]: Invalid value: \"x0\""},
		{"a key of dots", v1Head + "? " + strings.Repeat(".", 1<<20) + "\n: 1\n", "loaded illegal policy with 0 rules"},
		{"a deep key twice", v1Head + many("k%d:\n - ", 1) + strings.Repeat("- ", 5000) + "{a: 1" + strings.Repeat(", a: 1", 20_000) + "}\n", "loaded illegal policy with 0 rules"},
	} {
		start := time.Now()
		_, err := Load([]byte(c.data), Newest)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %.200v\nwant %s", c.name, err, c.want)
			continue
		}
		// Seconds even where the machine is busy; what is not bounded takes hours.
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s took %v", c.name, took)
		}
		if r := err.(*Rejection); len(r.Strict) > 1100 {
			t.Errorf("%s: %d faults, want them bounded", c.name, len(r.Strict))
		}
	}

	// Beyond 4 MiB no places are looked for.
	doc, err := Load([]byte(v1Head+"rules:\n- level: None\n#"+strings.Repeat(" ", place.MaxSize)), Newest)
	if err != nil || doc.Position("rules[0].level") != (Position{}) {
		t.Errorf("%v", err)
	}
	if _, err := Convert([]byte("apiVersion: audit.k8s.io/v1beta1\nrules:\n- level: None\n#" + strings.Repeat(" ", place.MaxSize))); err == nil {
		t.Error("converted without knowing where the version stands")
	}
}

func many(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestPositionWithoutFile asks a Document that was not loaded.
func TestPositionWithoutFile(t *testing.T) {
	if at := (&Document{Policy: &Policy{}}).Position("rules[0]"); at != (Position{}) {
		t.Errorf("%v", at)
	}
}

// lineLengths are the numbers of characters of the lines of a file.
func lineLengths(data []byte) []int {
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	breaks := "\r\n"
	if !place.IsJSON(data) {
		breaks += "\u0085\u2028\u2029"
	}
	lengths := []int{0}
	for _, r := range text {
		if strings.ContainsRune(breaks, r) && r != utf8.RuneError {
			lengths = append(lengths, 0)
		} else {
			lengths[len(lengths)-1]++
		}
	}
	return lengths
}

// checkPlaces wants findings to lie inside a file, or right behind a line of it.
func checkPlaces(t *testing.T, lines []int, findings []Finding) {
	t.Helper()
	for _, f := range findings {
		if f.Position == (Position{}) {
			continue
		}
		if f.Line < 1 || f.Line > len(lines) || f.Column < 1 || f.Column > lines[f.Line-1]+1 {
			t.Errorf("%v lies outside the file", f)
		}
	}
}

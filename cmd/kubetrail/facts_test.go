package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubetrail/internal/corpustest"
	"kubetrail/internal/schema"
)

// A fact is a question about a real log whose answer was planted.
type fact struct {
	ID         string
	Question   string
	QuestionZH string `json:"question_zh"`
	Answer     any
	Seen       any      `json:"seen_in_log"` // what this log shows of it
	Match      bool     // Seen is Answer; otherwise the policy hides it
	Events     int      // that show it
	AuditIDs   []string // of these events; the first twelve, if there are more
}

// A factLog is a corpus with facts, as a file and as a trail.
type factLog struct {
	name  string
	facts map[string]fact // by id, without the letter of the corpus
	file  string
	trail string
	load  string // when its story was over
}

func openFacts(t *testing.T, name string) *factLog {
	t.Helper()
	l := &factLog{name: name, facts: map[string]fact{}, file: filepath.Join(t.TempDir(), "audit.log"), trail: t.TempDir()}
	var request struct{ Start string }
	first, _, _ := bytes.Cut(corpustest.Members(t, name, "requests.jsonl")[0].Data, []byte("\n"))
	unmarshal(t, first, &request)
	l.load = request.Start
	for line := range bytes.Lines(corpustest.Members(t, name, "facts.jsonl")[0].Data) {
		var f fact
		unmarshal(t, line, &f)
		_, id, _ := strings.Cut(f.ID, "-")
		l.facts[id] = f
	}
	if err := os.WriteFile(l.file, corpustest.Members(t, name, "audit.log")[0].Data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, code := runHere(t, "import", "-q", "--data", l.trail, l.file); code != exitOK {
		t.Fatalf("import of %s: exit code %d", name, code)
	}
	return l
}

func unmarshal(t *testing.T, data []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
}

// command is the command line of q for this log, as a person types it.
func (l *factLog) command(q plantedQuestion) string {
	return strings.ReplaceAll(q.command, "{load}", l.load)
}

// ask runs a command line on the trail, or with extra arguments elsewhere.
func (l *factLog) ask(t *testing.T, args []string, from ...string) []byte {
	t.Helper()
	out, code := runHere(t, slices.Concat(args, from)...)
	if code != exitOK {
		t.Fatalf("%q: exit code %d", args, code)
	}
	return out
}

// TestFacts asks 60 questions, one command each, of two real logs and compares with the
// answers that were planted: what -o jsonl holds, what people read in English and in
// Chinese, and the events that the answer names. Where the policy hides the answer
// (match is false), the right answer is what the log does show.
// docs/reference/questions.md is made of it.
func TestFacts(t *testing.T) {
	logs := []*factLog{openFacts(t, "a-gce-derived"), openFacts(t, "d-metadata-all")}
	for _, l := range logs {
		if len(l.facts) != len(plantedQuestions) {
			t.Errorf("%s has %d facts, the table %d questions", l.name, len(l.facts), len(plantedQuestions))
		}
	}
	answers := make([]map[string]any, len(logs))
	for i, l := range logs {
		answers[i] = map[string]any{}
		for n, q := range plantedQuestions {
			t.Run(l.facts[q.id].ID, func(t *testing.T) {
				answers[i][q.id] = checkFact(t, l, q)
				// Files without a trail must print the same: ten questions of each log.
				if n%6 == 3*i {
					args := shellWords(l.command(q))
					if diff := cmp.Diff(l.ask(t, args, "--data", l.trail), l.ask(t, args, "-f", l.file)); diff != "" {
						t.Errorf("%s: a trail and its file differ:\n%s", l.command(q), diff)
					}
				}
			})
		}
	}
	if !t.Failed() {
		checkDoc(t, questionsDoc(logs, answers))
	}
}

// checkFact asks q and returns the answer.
func checkFact(t *testing.T, l *factLog, q plantedQuestion) any {
	t.Helper()
	f, ok := l.facts[q.id]
	if !ok {
		t.Fatalf("%s has no fact %s", l.name, q.id)
	}
	if q.question != f.Question {
		t.Errorf("%s asks %q, not %q", f.ID, f.Question, q.question)
	}
	args := shellWords(l.command(q))
	found := slices.DeleteFunc(jsonRows(t, l.ask(t, args, "-o", "jsonl", "--data", l.trail)), func(row map[string]any) bool {
		return !tells(t, q.rows, row)
	})
	got, want := readAnswer(t, q.answer, found), wanted(t, q, f)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%s\n%s (-want +got):\n%s", f.Question, l.command(q), f.ID, diff)
	}
	checkEvents(t, f, found)
	for lang, line := range map[string]string{"en": q.en, "zh": q.zh} {
		text := l.ask(t, args, "--lang", lang, "--data", l.trail)
		checkText(t, l.command(q)+" --lang "+lang, string(text), line, got)
	}
	return got
}

// checkText looks for an answer in what is printed for people: the line that tells it,
// and whoever and whatever it names.
func checkText(t *testing.T, command, text, line string, answer any) {
	t.Helper()
	line = strings.ReplaceAll(line, "{n}", fmt.Sprint(answer))
	if !regexp.MustCompile("(?m)" + line).MatchString(text) {
		t.Errorf("%s: nothing like %s in\n%s", command, line, text)
	}
	var names []string
	switch v := answer.(type) {
	case []any:
		for _, x := range v {
			if text, ok := x.(string); ok {
				names = append(names, strings.Fields(text)...)
			}
		}
	case map[string]any:
		for x := range v {
			names = append(names, strings.FieldsFunc(x, func(r rune) bool { return r == ' ' || r == '/' })...)
		}
	}
	for _, name := range names[:min(len(names), 20)] {
		// People read kinds for resources, what was done for verbs, the last part of a
		// long name, and nothing of a code that is no failure.
		short := name[strings.LastIndexAny(name, "/:")+1:]
		if !slices.ContainsFunc([]string{name, short, singular(name)}, func(s string) bool { return strings.Contains(text, s) }) &&
			name != "200" && name != "get" && name != "list" && name != "delete" {
			t.Errorf("%s: no %s in\n%s", command, name, text)
		}
	}
}

// singular is the kind of a resource.
func singular(resource string) string {
	name, _, _ := strings.Cut(resource, "/")
	if t := schema.ParseTarget(name); t.Kind != "" {
		return t.Kind
	}
	return resource
}

// tells reports whether a row is one of those that tell.
func tells(t *testing.T, rows string, row map[string]any) bool {
	t.Helper()
	for _, test := range strings.Fields(rows) {
		if name, than, ok := strings.Cut(test, ">"); ok {
			n, err := strconv.ParseFloat(than, 64)
			if err != nil {
				t.Fatal(err)
			}
			if have, _ := row[name].(float64); have <= n {
				return false
			}
			continue
		}
		name, value, _ := strings.Cut(test, "=")
		if !slices.Contains(values(row, name), value) {
			return false
		}
	}
	return true
}

// checkEvents checks that an answer names the events it is made of: those planted, but
// for rows that stand for more events than they name.
func checkEvents(t *testing.T, f fact, found []map[string]any) {
	t.Helper()
	var ids []string
	whole := true
	for _, row := range found {
		named := slices.Concat(values(row, "id"), values(row, "auditID"), values(row, "event.auditID"), values(row, "events.auditID"))
		if len(named) == 0 {
			t.Errorf("%s: a row names no event: %v", f.ID, row)
		}
		whole = whole && (weight(row) <= float64(len(named)) && !slices.Contains(named, ""))
		if _, ok := row["reads"]; ok {
			whole = false // lists and refusals are events of the row, too
		}
		ids = append(ids, named...)
	}
	missing := 0
	for _, id := range f.AuditIDs {
		if !slices.Contains(ids, id) {
			missing++
		}
	}
	if whole && missing > 0 {
		t.Errorf("%s: %d of its events are not among those that the answer names: %q", f.ID, missing, ids)
	}
}

// wanted is the answer to f that its log can give, in the form of readAnswer.
func wanted(t *testing.T, q plantedQuestion, f fact) any {
	t.Helper()
	want := f.Answer
	if !f.Match {
		want = f.Seen
	}
	list, ok := want.([]any)
	if !ok {
		return want
	}
	for i, v := range list {
		// Fact 12 quotes the query of a URI where the field command gives its words.
		if s, ok := v.(string); ok && strings.HasPrefix(s, "command=") {
			query, err := url.ParseQuery(s)
			if err != nil {
				t.Fatal(err)
			}
			list[i] = strings.Join(query["command"], " ")
		}
	}
	if strings.HasPrefix(q.answer, "set ") {
		slices.SortFunc(list, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	}
	return list
}

// readAnswer computes an answer from the rows of an output:
//
//	count          how many events; a row without a count is one
//	sum a          the sum of a
//	set {a} {b}    the different values of the template, sorted
//	tally {a}/{b}  how many events have each of them
//	map {a} {b}    b by a; both must be one to one
//	list {a}       all values of a, in the order of the rows
//	codes {a}      the same, of words that stand for codes
//
// In a template {/a} is nothing where a is absent, and else a slash and a; {a+} is the
// elements of a, joined; {a~re} what the regular expression has in its parentheses. Of a
// list a template that is nothing else has the elements one by one.
func readAnswer(t *testing.T, how string, found []map[string]any) any {
	t.Helper()
	verb, template, _ := strings.Cut(how, " ")
	switch verb {
	case "count", "sum":
		n := 0.0
		for _, row := range found {
			if verb == "count" {
				n += weight(row)
			} else if v, ok := row[template].(float64); ok {
				n += v
			}
		}
		return n
	case "set":
		all := []any{}
		for _, row := range found {
			for _, v := range expandAll(t, template, row) {
				if !slices.Contains(all, any(v)) {
					all = append(all, v)
				}
			}
		}
		slices.SortFunc(all, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		return all
	case "tally":
		tally := map[string]any{}
		for _, row := range found {
			n, _ := tally[expand(t, template, row)].(float64)
			tally[expand(t, template, row)] = n + weight(row)
		}
		return tally
	case "map":
		key, value, _ := strings.Cut(template, " ")
		pairs := map[string]any{}
		for _, row := range found {
			for _, k := range expandAll(t, key, row) {
				if _, twice := pairs[k]; twice {
					t.Errorf("two rows for %s", k)
				}
				pairs[k] = expand(t, value, row)
			}
		}
		return pairs
	case "list":
		all := []any{}
		for _, row := range found {
			for _, v := range expandAll(t, template, row) {
				all = append(all, v)
			}
		}
		return all
	case "codes":
		all := []any{}
		for _, row := range found {
			all = append(all, map[string]any{"refused": 403.0, "listed": 200.0}[expand(t, template, row)])
		}
		return all
	}
	t.Fatalf("unknown answer %q", how)
	return nil
}

// weight is how many events a row stands for.
func weight(row map[string]any) float64 {
	if n, ok := row["count"].(float64); ok {
		return n
	}
	return 1
}

// values are what a row has at a path, elements of lists one by one.
func values(row map[string]any, path string) []string {
	v, ok := row[path] // a field of search, which may hold dots
	if !ok {
		name, rest, deeper := strings.Cut(path, ".")
		switch inner := row[name].(type) {
		case map[string]any:
			return values(inner, rest)
		case []any:
			var all []string
			for _, x := range inner {
				if m, ok := x.(map[string]any); ok && deeper {
					all = append(all, values(m, rest)...)
				}
			}
			return all
		}
		return nil
	}
	if list, ok := v.([]any); ok {
		var all []string
		for _, x := range list {
			all = append(all, fmt.Sprint(x))
		}
		return all
	}
	if v == nil {
		return nil
	}
	return []string{fmt.Sprint(v)}
}

var placeholder = regexp.MustCompile(`\{[^}]+\}`)

// expandAll expands a template that may be nothing but a list.
func expandAll(t *testing.T, template string, row map[string]any) []string {
	t.Helper()
	name := strings.Trim(template, "{}")
	if placeholder.FindString(template) == template && !strings.ContainsAny(name, "~+") {
		return values(row, name)
	}
	return []string{expand(t, template, row)}
}

func expand(t *testing.T, template string, row map[string]any) string {
	t.Helper()
	return placeholder.ReplaceAllStringFunc(template, func(p string) string {
		name, optional := strings.CutPrefix(strings.Trim(p, "{}"), "/")
		name, joined := strings.CutSuffix(name, "+")
		name, pattern, _ := strings.Cut(name, "~")
		v := values(row, name)
		switch {
		case len(v) == 0 && optional:
			return ""
		case len(v) == 0 || len(v) > 1 && !joined:
			t.Fatalf("%d of %s in the row %v", len(v), name, row)
		case optional:
			return "/" + v[0]
		case pattern != "":
			m := regexp.MustCompile(pattern).FindStringSubmatch(v[0])
			if m == nil {
				t.Fatalf("no %s in %s", pattern, v[0])
			}
			return m[1]
		}
		return strings.Join(v, " ")
	})
}

func jsonRows(t *testing.T, out []byte) (found []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(out) {
		var row map[string]any
		unmarshal(t, line, &row)
		found = append(found, row)
	}
	return found
}

// shellWords splits a command line as a shell does, as far as single quotes go, and
// leaves out the name of the program.
func shellWords(line string) (args []string) {
	var word strings.Builder
	quoted := false
	for _, r := range line + " " {
		switch {
		case r == '\'':
			quoted = !quoted
		case r == ' ' && !quoted:
			args = append(args, word.String())
			word.Reset()
		default:
			word.WriteRune(r)
		}
	}
	return args[1:]
}

// TestFactsNeedBodies asks the question that neither log can answer, for want of
// bodies, where they were recorded.
func TestFactsNeedBodies(t *testing.T) {
	line := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"b-1","stage":"ResponseComplete",` +
		`"requestURI":"/api/v1/namespaces/shop/configmaps/app-config","verb":"patch","user":{"username":"bob"},` +
		`"objectRef":{"resource":"configmaps","namespace":"shop","name":"app-config","apiVersion":"v1"},` +
		`"responseStatus":{"metadata":{},"code":200},"requestObject":{"data":{"LOG_LEVEL":"debug"}},` +
		`"requestReceivedTimestamp":"2026-11-20T15:22:04.140846Z","stageTimestamp":"2026-11-20T15:22:04.144000Z"}` + "\n"
	other := strings.NewReplacer("debug", "info", "bob", "alice").Replace(line)
	file := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(file, []byte(line+other), 0o600); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(plantedQuestions, func(q plantedQuestion) bool { return q.id == "f15" })
	l := &factLog{}
	found := slices.DeleteFunc(jsonRows(t, l.ask(t, shellWords(plantedQuestions[i].command), "-o", "jsonl", "-f", file)), func(row map[string]any) bool {
		return !tells(t, plantedQuestions[i].rows, row)
	})
	if diff := cmp.Diff(any([]any{"bob"}), readAnswer(t, plantedQuestions[i].answer, found)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", plantedQuestions[i].command, diff)
	}
}

const questionsHead = `# Sixty questions and their answers

Each of these questions is answered by one command. They were planted in two real
audit logs of a kube-apiserver v1.36: **a** was written under a policy derived from
GCE's, with bodies for some resources; **d** under one rule, Metadata for everything,
at all stages. Both logs hold the same story, then a load in the namespace load.

This page is made by the test that asks them (TestFacts in cmd/kubetrail):

    go test ./cmd/kubetrail -run TestFacts -update

It asks each as it stands here, in English and with --lang zh, looks for the answer in
what is printed, and compares -o jsonl with what was planted: those are the answers
below, with the events that show them. *Not in this log* means that the policy did not
record it, and that the command rightly finds nothing, or says that it is not recorded.
`

const questionsPath = "../../docs/reference/questions.md"

// questionsDoc writes docs/reference/questions.md.
func questionsDoc(logs []*factLog, answers []map[string]any) []byte {
	b := bytes.NewBufferString(questionsHead)
	for n, q := range plantedQuestions {
		f := logs[0].facts[q.id]
		fmt.Fprintf(b, "\n## %d. %s\n\n", n+1, f.Question)
		if f.QuestionZH != "" {
			fmt.Fprintf(b, "%s\n\n", f.QuestionZH)
		}
		b.WriteString("```sh\n")
		for i, l := range logs {
			switch command := l.command(q); {
			case command == q.command && i > 0: // the same for both
			case command == q.command:
				fmt.Fprintf(b, "%s\n", command)
			default:
				fmt.Fprintf(b, "%s  # %s\n", command, l.name[:1])
			}
		}
		b.WriteString("```\n\n")
		for i, l := range logs {
			fmt.Fprintf(b, "- %s: %s%s\n", l.name[:1], answerText(answers[i][q.id]), evidence(l.facts[q.id]))
		}
		if q.note != "" {
			fmt.Fprintf(b, "\n%s\n", q.note)
		}
	}
	return b.Bytes()
}

// evidence says what an answer rests on, unless the answer itself does.
func evidence(f fact) string {
	switch {
	case f.Events == 0:
		return fmt.Sprintf(" (planted: %s)", answerText(f.Answer))
	case f.Events == 1:
		return fmt.Sprintf(" (auditID %s)", f.AuditIDs[0])
	case f.Answer == float64(f.Events):
		return ""
	}
	return fmt.Sprintf(" (%d events)", f.Events)
}

// answerText writes an answer for people.
func answerText(answer any) string {
	const most = 6
	switch v := answer.(type) {
	case []any:
		var texts []string
		for _, x := range v[:min(len(v), most)] {
			texts = append(texts, "`"+fmt.Sprint(x)+"`")
		}
		switch {
		case len(v) == 0:
			return "*not in this log*"
		case len(v) > most:
			return strconv.Itoa(len(v)) + ": " + strings.Join(texts, ", ") + ", …"
		}
		return strings.Join(texts, ", ")
	case map[string]any:
		var texts []string
		for k, x := range v {
			texts = append(texts, fmt.Sprintf("`%s`: %v", k, x))
		}
		slices.Sort(texts)
		return strings.Join(texts, ", ")
	}
	return fmt.Sprint(answer)
}

func checkDoc(t *testing.T, doc []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(questionsPath, doc, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(questionsPath)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), string(doc)); diff != "" {
		t.Errorf("docs/reference/questions.md is old; go test ./cmd/kubetrail -run TestFacts -update (-have +want):\n%s", diff)
	}
}

package oracle

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"kubetrail/internal/corpustest"
	"kubetrail/policy"
	"kubetrail/policy/profile"
)

var (
	allReleases = flag.Bool("all-releases", false, "ask kube-apiserver of every release, not of five (downloads and builds each)")
	updateLoad  = flag.Bool("update-load", false, "write ../../policy/testdata/load.jsonl anew; needs -all-releases")
)

// A verdict is what kube-apiserver of some release says about a policy.
type verdict struct {
	Accepted bool            `json:"accepted,omitempty"`
	Error    string          `json:"error,omitempty"`
	Warnings []string        `json:"warnings,omitempty"`
	Policy   json.RawMessage `json:"policy,omitempty"`
	Panic    string          `json:"panic,omitempty"`
}

// judges maps each release that is always asked to the module file that ../judge is
// built with.
var judges = map[policy.Kubernetes]string{23: "v1.23.mod", 30: "v1.30.mod", 35: "v1.35.mod", 36: "v1.36.mod", 37: "go.mod"}

// otherJudges maps the other releases to the k8s.io/apiserver they are judged by.
var otherJudges = map[policy.Kubernetes]string{24: "v0.24.17", 25: "v0.25.16", 26: "v0.26.15", 27: "v0.27.16", 28: "v0.28.15", 29: "v0.29.15",
	31: "v0.31.14", 32: "v0.32.11", 33: "v0.33.7", 34: "v0.34.3"}

// TestLoadJudges asks kube-apiserver of each release about our own inputs, those of
// ../shared and mutations of both, and wants the same from policy.Load.
func TestLoadJudges(t *testing.T) {
	inputs := loadInputs(t)
	answers := map[policy.Kubernetes][]verdict{}
	for k := policy.Oldest; k <= policy.Newest; k++ {
		if judges[k] == "" && !*allReleases {
			continue
		}
		asked := inputs
		if k > 24 { // before, metadata had one field more
			asked = append(asked[:len(asked):len(asked)], brokenProtobuf(1, 2000)...)
		}
		answers[k] = ask(t, buildJudge(t, k), asked)
		compareLoads(t, k, asked, answers[k])
	}
	if *updateLoad && *allReleases && !t.Failed() {
		writeGoldens(t, ownInputs(), answers)
	}
}

// buildJudge makes the judge of a release and returns its path.
func buildJudge(t *testing.T, k policy.Kubernetes) string {
	t.Helper()
	judge := filepath.Join(t.TempDir(), "judge")
	build := exec.Command("go", "build", "-modfile="+judges[k], "-o", judge, ".")
	build.Dir = "../judge"
	if version, ok := otherJudges[k]; ok {
		main, err := os.ReadFile("../judge/main.go")
		if err != nil {
			t.Fatal(err)
		}
		build.Dir = t.TempDir()
		files := map[string]string{"main.go": string(main), "go.mod": "module judge\n\ngo 1.26.0\n\nrequire k8s.io/apiserver " + version + "\n"}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(build.Dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		build.Args = []string{"go", "build", "-mod=mod", "-o", judge, "."}
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", k, err, out)
	}
	return judge
}

// ask gives all inputs to a judge.
func ask(t *testing.T, judge string, inputs []string) []verdict {
	t.Helper()
	var questions bytes.Buffer
	enc := json.NewEncoder(&questions)
	for _, input := range inputs {
		q := map[string]any{"input": input}
		if !utf8.ValidString(input) {
			q = map[string]any{"input": base64.StdEncoding.EncodeToString([]byte(input)), "base64": true}
		}
		if err := enc.Encode(q); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(judge)
	cmd.Stdin, cmd.Stderr = &questions, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers []verdict
	dec := json.NewDecoder(bufio.NewReader(bytes.NewReader(out)))
	for dec.More() {
		var v verdict
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, v)
	}
	if len(answers) != len(inputs) {
		t.Fatalf("%d answers to %d questions", len(answers), len(inputs))
	}
	return answers
}

func compareLoads(t *testing.T, k policy.Kubernetes, inputs []string, want []verdict) {
	t.Helper()
	wrong := 0
	for i, input := range inputs {
		if diff := differs(ours([]byte(input), k), want[i]); diff != "" {
			if wrong++; wrong <= 10 {
				t.Errorf("%s: %s\ninput: %.600q", k, diff, input)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%s: %d of %d differ", k, wrong, len(inputs))
	} else {
		t.Logf("%s: %d inputs, no difference", k, len(inputs))
	}
}

// ours is what policy.Load says.
func ours(data []byte, k policy.Kubernetes) (v verdict) {
	doc, err := policy.Load(data, k)
	var warnings []policy.Finding
	if err != nil {
		r := err.(*policy.Rejection)
		v.Error, warnings = r.Text, r.Warnings
	} else {
		v.Accepted, warnings = true, doc.Warnings
		v.Policy, err = json.Marshal(doc.Policy)
		if err != nil {
			v.Panic = err.Error()
		}
	}
	for _, w := range warnings {
		v.Warnings = append(v.Warnings, w.Text)
	}
	return v
}

// differs tells how two verdicts differ, "" where they do not.
func differs(got, want verdict) string {
	switch {
	case want.Panic != "" && got.Panic != "": // fieldsV1 in protobuf that is no JSON
	case want.Panic != "" || got.Panic != "":
		return fmt.Sprintf("panic: got %s, want %s", got.Panic, want.Panic)
	case got.Accepted != want.Accepted || got.Error != want.Error:
		return fmt.Sprintf("verdict\n got %v %.900s\nwant %v %.900s", got.Accepted, got.Error, want.Accepted, want.Error)
	case strings.Join(got.Warnings, "\x00") != strings.Join(want.Warnings, "\x00"):
		return fmt.Sprintf("warnings\n got %.900q\nwant %.900q", got.Warnings, want.Warnings)
	case got.Accepted && canonical(got.Policy) != canonical(want.Policy):
		return fmt.Sprintf("policy\n got %.900s\nwant %.900s", got.Policy, want.Policy)
	}
	return ""
}

// canonical writes a policy with its members sorted and without the metadata that older
// releases write: a creationTimestamp that there is not, and clusterName.
func canonical(text []byte) string {
	var v map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return err.Error()
	}
	if meta, ok := v["metadata"].(map[string]any); ok {
		delete(meta, "clusterName")
		if meta["creationTimestamp"] == nil {
			delete(meta, "creationTimestamp")
		}
	}
	out, _ := json.Marshal(v)
	return string(out)
}

// sharedInputs are those that ../shared has upstream's verdict about.
func sharedInputs(t *testing.T) (inputs []string) {
	for line := range bytes.Lines(corpustest.Shared(t, "policy/load.jsonl.zst")) {
		var g struct{ Input string }
		if err := json.Unmarshal(line, &g); err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, g.Input)
	}
	return inputs
}

func loadInputs(t *testing.T) []string {
	var inputs []string
	for _, in := range ownInputs() {
		inputs = append(inputs, in.data)
	}
	for _, p := range profile.All() {
		inputs = append(inputs, string(p.YAML("en")), string(p.YAML("zh")))
	}
	inputs = append(inputs, sharedInputs(t)...)
	inputs = append(inputs, typeInputs(t)...)
	m := newMutator(1)
	for range 3000 {
		inputs = append(inputs, m.mutate(inputs))
	}
	return inputs
}

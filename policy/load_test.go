package policy

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"kubetrail/internal/corpustest"
)

// loadGolden is what the kube-apiservers of some releases say about an input. The
// module in test/oracle asks them, and writes testdata/load.jsonl with
// -all-releases -update-load.
type loadGolden struct {
	Name    string
	Input   string
	Bytes   []byte // of an input that is no UTF-8
	Answers []struct {
		Releases []Kubernetes
		loadAnswer
	}
}

type loadAnswer struct {
	Accepted bool
	Error    string
	Warnings []string
	Policy   json.RawMessage
}

func loadGoldens(tb testing.TB) (all []loadGolden) {
	tb.Helper()
	data, err := os.ReadFile("testdata/load.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var g loadGolden
		if err := json.Unmarshal(line, &g); err != nil {
			tb.Fatal(err)
		}
		if g.Bytes == nil {
			g.Bytes = []byte(g.Input)
		}
		all = append(all, g)
	}
	return all
}

// TestLoadGoldens holds Load to what kube-apiserver says, in every release.
func TestLoadGoldens(t *testing.T) {
	asked := map[Kubernetes]int{}
	for _, g := range loadGoldens(t) {
		for _, a := range g.Answers {
			for _, k := range a.Releases {
				asked[k]++
				checkLoad(t, g.Name, g.Bytes, k, a.loadAnswer)
			}
		}
	}
	for k := Oldest; k <= Newest; k++ {
		if asked[k] < 450 {
			t.Errorf("only %d answers of %s", asked[k], k)
		}
	}
}

func TestLoadShared(t *testing.T) {
	count := 0
	for line := range bytes.Lines(corpustest.Shared(t, "policy/load.jsonl.zst")) {
		var g struct {
			ID, Input string
			loadAnswer
		}
		if err := json.Unmarshal(line, &g); err != nil {
			t.Fatal(err)
		}
		count++
		checkLoad(t, g.ID, []byte(g.Input), 36, g.loadAnswer)
	}
	if count < 135 {
		t.Errorf("%d goldens, want all 135", count)
	}
}

func checkLoad(t *testing.T, name string, data []byte, k Kubernetes, want loadAnswer) {
	t.Helper()
	got := loadAnswer{}
	doc, err := Load(data, k)
	findings := []Finding(nil)
	if err == nil {
		findings, got.Accepted = doc.Warnings, true
		if got.Policy, err = json.Marshal(doc.Policy); err != nil {
			t.Errorf("%s: %s: %v", k, name, err)
		}
		if p, w := withoutNull(t, got.Policy), withoutNull(t, want.Policy); want.Accepted && p != w {
			t.Errorf("%s: %s: policy\n got %s\nwant %s", k, name, p, w)
		}
	} else {
		r := err.(*Rejection)
		findings, got.Error = r.Warnings, r.Text
		if len(r.Findings) == 0 {
			t.Errorf("%s: %s: rejected without a finding", k, name)
		}
	}
	for _, f := range findings {
		got.Warnings = append(got.Warnings, f.Text)
	}
	if got.Accepted != want.Accepted || got.Error != want.Error || !slices.Equal(got.Warnings, want.Warnings) {
		t.Errorf("%s: %s:\n got %v %q %q\nwant %v %q %q", k, name, got.Accepted, got.Error, got.Warnings, want.Accepted, want.Error, want.Warnings)
	}
}

// withoutNull writes a policy without what older releases write into metadata: a
// creationTimestamp that there is not, and clusterName.
func withoutNull(t *testing.T, text []byte) string {
	var p map[string]any
	if len(text) == 0 {
		return ""
	}
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	if meta := p["metadata"].(map[string]any); meta["creationTimestamp"] == nil {
		delete(meta, "creationTimestamp")
		delete(meta, "clusterName")
	}
	out, _ := json.Marshal(p)
	return string(out)
}

func TestLoadAny(t *testing.T) {
	for _, version := range []string{"v1beta1", "v1alpha1"} {
		data := []byte("kind: Policy\napiVersion: audit.k8s.io/" + version + "\nrules:\n- level: None\n")
		for k := Oldest; k <= Newest; k++ {
			doc, err := LoadAny(data, k)
			if err != nil {
				t.Fatalf("%s: %v", k, err)
			}
			// On 1.23 it is upstream that says so.
			said, other := doc.Notes, doc.Warnings
			if k <= 23 {
				said, other = doc.Warnings, doc.Notes
			}
			if len(said) != 1 || len(other) != 0 || said[0].Position != (Position{2, 13}) || !strings.Contains(said[0].Text, version) {
				t.Errorf("%s: warnings %v, notes %v", k, doc.Warnings, doc.Notes)
			}
			if doc.Version != "audit.k8s.io/"+version || doc.Policy.APIVersion != "audit.k8s.io/v1" {
				t.Errorf("%s: %s, %s", k, doc.Version, doc.Policy.APIVersion)
			}
			if _, err := Load(data, k); (err == nil) != (k == 23) {
				t.Errorf("%s: Load gives %v", k, err)
			}
		}
	}
}

func TestParseKubernetes(t *testing.T) {
	for text, want := range map[string]Kubernetes{"1.36": 36, "v1.36": 36, "v1.36.3": 36, "1.23.17": 23, "1.37.0": 37,
		"": 0, "1": 0, "36": 0, "1.": 0, "1.x": 0, "1.36.": 0, "1.36.3.1": 0, "2.36": 0, "1.22": 0, "1.38": 0, "1.-36": 0, "1.+36": 0, "1.99999999999999999999": 0, "v": 0, "vv1.36": 0} {
		k, err := ParseKubernetes(text)
		if k != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %v, %v", text, k, err)
		}
		if err != nil && !strings.Contains(err.Error(), "1.") {
			t.Errorf("%q: %v tells no way out", text, err)
		}
	}
}

// FuzzLoad wants of any file that loading it does not panic, that findings lie inside
// it, and that what was accepted is accepted again when written anew.
func FuzzLoad(f *testing.F) {
	for _, g := range loadGoldens(f) {
		f.Add(g.Bytes)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := lineLengths(data)
		for _, k := range []Kubernetes{23, 25, 36, Newest} {
			doc, err := Load(data, k)
			if err != nil {
				r := err.(*Rejection)
				checkPlaces(t, lines, slices.Concat(r.Findings, r.Warnings, r.Strict))
				continue
			}
			checkPlaces(t, lines, slices.Concat(doc.Warnings, doc.Notes, doc.Strict, []Finding{{Position: doc.Position("rules[0].level")}}))
			doc.Policy.Compile()
			if any, err := LoadAny(data, k); err != nil || any.Version != doc.Version {
				t.Errorf("%s: LoadAny gives %v", k, err)
			}
			again, err := json.Marshal(doc.Policy)
			if err != nil {
				continue // fieldsV1 in protobuf that is no JSON
			}
			doc, err = Load(again, k)
			if err != nil {
				t.Fatalf("%s: %v\n%s", k, err, again)
			}
			if third, _ := json.Marshal(doc.Policy); len(doc.Warnings) > 0 || !bytes.Equal(again, third) {
				t.Errorf("%s: %v\n%s\n%s", k, doc.Warnings, again, third)
			}
		}
		checkConvert(t, data)
	})
}

// checkConvert wants of what Convert makes that only the version differs.
func checkConvert(t *testing.T, data []byte) {
	t.Helper()
	converted, err := Convert(data)
	if err != nil {
		return
	}
	before, _ := LoadAny(data, Newest)
	after, err := Load(converted, Newest)
	if err != nil || after.Version != "audit.k8s.io/v1" {
		t.Fatalf("converted to what does not load: %v\n%s", err, converted)
	}
	if before.Version == after.Version && !bytes.Equal(data, converted) {
		t.Errorf("a v1 policy was changed:\n%q\n%q", data, converted)
	}
	if len(data)-len(before.Version) != len(converted)-len(after.Version) {
		t.Errorf("more than the version was changed:\n%q\n%q", data, converted)
	}
}

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unicode/utf8"

	"kubetrail/policy/lint"
	"kubetrail/policy/yamltext"
)

// shape is what SARIF 2.1.0 (OASIS, appendix of the schema) says about an object: its
// members, those that must be there ending in !, with the shape of their values; "" is
// no object. We write no other members than these.
type shape map[string]string

func sarifShapes() map[string]shape {
	return map[string]shape{
		"sarifLog":            {"$schema": "", "version!": "", "runs!": "run"},
		"run":                 {"tool!": "tool", "columnKind": "", "results": "result"},
		"tool":                {"driver!": "toolComponent"},
		"toolComponent":       {"name!": "", "version": "", "rules": "reportingDescriptor"},
		"reportingDescriptor": {"id!": "", "shortDescription": "multiformat", "fullDescription": "multiformat", "help": "multiformat", "defaultConfiguration": "configuration"},
		"multiformat":         {"text!": "", "markdown": ""},
		"configuration":       {"level": "level"},
		"result":              {"ruleId": "", "ruleIndex": "", "level": "level", "message!": "message", "locations": "location", "fixes": "fix"},
		"message":             {"text!": ""},
		"location":            {"physicalLocation": "physicalLocation"},
		"physicalLocation":    {"artifactLocation!": "artifactLocation", "region": "region"},
		"artifactLocation":    {"uri!": ""},
		"region":              {"startLine!": "", "startColumn": "", "endLine": "", "endColumn": ""},
		"fix":                 {"description": "message", "artifactChanges!": "artifactChange"},
		"artifactChange":      {"artifactLocation!": "artifactLocation", "replacements!": "replacement"},
		"replacement":         {"deletedRegion!": "region", "insertedContent": "artifactContent"},
		"artifactContent":     {"text": ""},
	}
}

func checkSARIF(t *testing.T, name string, value any) {
	t.Helper()
	if items, ok := value.([]any); ok {
		for _, item := range items {
			checkSARIF(t, name, item)
		}
		return
	}
	switch name {
	case "":
		return
	case "level":
		if !slices.Contains([]any{"error", "warning", "note", "none"}, value) {
			t.Errorf("level %v", value)
		}
		return
	}
	object, ok := value.(map[string]any)
	if !ok {
		t.Fatalf("%s is %T", name, value)
	}
	known := sarifShapes()[name]
	for member, v := range object {
		below, ok := known[member]
		if !ok {
			if below, ok = known[member+"!"]; !ok {
				t.Errorf("%s has a member %s", name, member)
			}
		}
		checkSARIF(t, below, v)
	}
	for member := range known {
		if n := len(member) - 1; member[n] == '!' && object[member[:n]] == nil {
			t.Errorf("%s lacks %s", name, member[:n])
		}
	}
}

// TestSARIF checks that what lint prints is SARIF 2.1.0, and that each fix, carried
// out by its regions as a reader of SARIF does, is the repair.
func TestSARIF(t *testing.T) {
	data, err := os.ReadFile("../../policy/lint/testdata/many.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a policy 王.yaml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := runHere(t, "policy", "lint", "-o", "sarif", path)
	if code != exitFindings {
		t.Fatalf("exit code %d", code)
	}
	var any any
	if err := json.Unmarshal(out, &any); err != nil {
		t.Fatal(err)
	}
	checkSARIF(t, "sarifLog", any)

	type region struct{ StartLine, StartColumn, EndLine, EndColumn int }
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           region
					}
				}
				Fixes []struct {
					ArtifactChanges []struct {
						Replacements []struct {
							DeletedRegion   region
							InsertedContent struct{ Text string }
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal(out, &log); err != nil {
		t.Fatal(err)
	}
	findings := lint.Run(data, lint.Config{})
	run := log.Runs[0]
	if len(run.Results) != len(findings) || len(findings) < 30 {
		t.Fatalf("%d results for %d findings", len(run.Results), len(findings))
	}
	for i, r := range run.Results {
		if run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || r.RuleID != findings[i].Check {
			t.Errorf("result %d: rule %s, index %d", i, r.RuleID, r.RuleIndex)
		}
		if at := r.Locations[0].PhysicalLocation; at.Region.StartLine != findings[i].Line || at.ArtifactLocation.URI == path {
			t.Errorf("result %d at %+v", i, at)
		}
		if (findings[i].Fix == nil) != (len(r.Fixes) == 0) {
			t.Fatalf("result %d: %d fixes", i, len(r.Fixes))
		}
		if len(r.Fixes) == 0 {
			continue
		}
		var edits []yamltext.Edit
		for _, c := range r.Fixes[0].ArtifactChanges[0].Replacements {
			d := c.DeletedRegion
			edits = append(edits, yamltext.Edit{Start: offsetOf(data, d.StartLine, d.StartColumn), End: offsetOf(data, d.EndLine, d.EndColumn), New: c.InsertedContent.Text})
		}
		if got, want := yamltext.Apply(data, edits), yamltext.Apply(data, findings[i].Fix.Edits); string(got) != string(want) {
			t.Errorf("result %d: the fix makes\n%s\nwant\n%s", i, got, want)
		}
	}
}

// offsetOf finds a place, columns counted in code points.
func offsetOf(data []byte, line, column int) int {
	at := 0
	for ; line > 1; at++ {
		if data[at] == '\n' {
			line--
		}
	}
	for ; column > 1; column-- {
		_, n := utf8.DecodeRune(data[at:])
		at += n
	}
	return at
}

// TestFixAll checks that repairing everything comes to an end, at a policy that loads
// and has nothing left to repair.
func TestFixAll(t *testing.T) {
	const name = "../../policy/lint/testdata/many.yaml"
	fixed, code := runHere(t, "policy", "lint", "--fix", "all", name)
	if code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	for _, f := range lint.Run(fixed, lint.Config{}) {
		if f.Fix != nil || f.Check == "rejected" {
			t.Errorf("%d: %s %s", f.Line, f.Check, f.Message.En)
		}
	}
}

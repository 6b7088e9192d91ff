package policy_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"kubetrail/policy"
	"kubetrail/policy/policytest"
)

// TestLoadWritten loads what was written, in YAML and in JSON, as what it was.
func TestLoadWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policytest.Policy(t)
		p.Kind, p.APIVersion = "Policy", "audit.k8s.io/v1"
		want, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		asYAML, err := yaml.JSONToYAML(want)
		if err != nil {
			t.Fatal(err)
		}
		wrong := p.Invalid(policy.Newest)
		for _, data := range [][]byte{want, asYAML} {
			doc, err := policy.Load(data, policy.Newest)
			if len(wrong) > 0 || len(p.Rules) == 0 {
				if err == nil {
					t.Fatalf("accepted in spite of %v\n%s", wrong, data)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if got, _ := json.Marshal(doc.Policy); !bytes.Equal(got, want) {
				t.Fatalf("got  %s\nwant %s", got, want)
			}
		}
	})
}

package selector

import (
	"strings"
	"testing"
)

func TestLabelLengths(t *testing.T) {
	for selector, want := range map[string]bool{
		strings.Repeat("k", 63):                                           true,
		strings.Repeat("k", 64):                                           false,
		"k=" + strings.Repeat("v", 63):                                    true,
		"k=" + strings.Repeat("v", 64):                                    false,
		strings.Repeat("d", 253) + "/k":                                   true,
		strings.Repeat("d", 254) + "/k":                                   false,
		strings.Repeat("d.", 126) + "d/" + strings.Repeat("k", 63) + "=1": true,
	} {
		if got := ValidLabels(selector); got != want {
			t.Errorf("%s: %v", selector, got)
		}
	}
}

// TestName has what is particular about field selectors; policy/testdata/requests.txt
// and the judge have the rest.
func TestName(t *testing.T) {
	for selector, want := range map[string]struct {
		name string
		ok   bool
	}{
		"":                                    {"", true},
		"metadata.name=a":                     {"a", true},
		"metadata.name==a":                    {"a", true},
		"metadata.name!=a":                    {"", true},
		"status.phase=Running":                {"", true},
		"x=1,metadata.name=b,metadata.name=a": {"a", true},
		`metadata.name=a\,b`:                  {"a,b", true},
		`metadata.name=a\b`:                   {"", false},
		"metadata.name":                       {"", false},
		"metadata.name=a=b":                   {"", false},
	} {
		if name, ok := Name(selector); name != want.name || ok != want.ok {
			t.Errorf("%s: %q, %v", selector, name, ok)
		}
	}
}

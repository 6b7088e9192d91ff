package policy

import (
	"errors"
	"strings"
	"testing"
)

func TestConvert(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"plain", "apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules:\n- level: None\n", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: None\n"},
		{"alpha", "apiVersion: audit.k8s.io/v1alpha1\nkind: Policy\nrules:\n- level: None\n", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: None\n"},
		{"comments and line breaks", "# audit.k8s.io/v1beta1\r\n---\r\nkind: Policy\r\n\r\napiVersion:   \"audit.k8s.io/v1beta1\"  # audit.k8s.io/v1beta1 é\r\nrules:\r\n  - level: None # x\r\n", "# audit.k8s.io/v1beta1\r\n---\r\nkind: Policy\r\n\r\napiVersion:   \"audit.k8s.io/v1\"  # audit.k8s.io/v1beta1 é\r\nrules:\r\n  - level: None # x\r\n"},
		{"BOM, no line break at the end", "\ufeffapiVersion: 'audit.k8s.io/v1beta1'\nrules: [{level: None}]", "\ufeffapiVersion: 'audit.k8s.io/v1'\nrules: [{level: None}]"},
		{"JSON", "{\n\t\"metadata\": {\"name\": \"audit.k8s.io/v1beta1\"}, \"apiVersion\" :\"audit.k8s.io/v1beta1\", \"rules\":[{\"level\":\"None\"}]}\n", "{\n\t\"metadata\": {\"name\": \"audit.k8s.io/v1beta1\"}, \"apiVersion\" :\"audit.k8s.io/v1\", \"rules\":[{\"level\":\"None\"}]}\n"},
		{"tag and anchor", "apiVersion: !!str &v audit.k8s.io/v1beta1\nrules:\n- level: None\n", "apiVersion: !!str &v audit.k8s.io/v1\nrules:\n- level: None\n"},
		{"folded", "apiVersion: >-\n  audit.k8s.io/v1beta1\nrules:\n- level: None\n", "apiVersion: >-\n  audit.k8s.io/v1\nrules:\n- level: None\n"},
		{"twice", "apiVersion: audit.k8s.io/v1beta1\napiVersion: audit.k8s.io/v1beta1\nrules:\n- level: None\n", "apiVersion: audit.k8s.io/v1beta1\napiVersion: audit.k8s.io/v1\nrules:\n- level: None\n"},
		{"later documents", "apiVersion: audit.k8s.io/v1beta1\nrules:\n- level: None\n---\napiVersion: audit.k8s.io/v1beta1\n", "apiVersion: audit.k8s.io/v1\nrules:\n- level: None\n---\napiVersion: audit.k8s.io/v1beta1\n"},
		{"other case", "# audit.k8s.io/v1beta1\nAPIVERSION: audit.k8s.io/v1beta1\nrules:\n- level: None\n", "# audit.k8s.io/v1beta1\nAPIVERSION: audit.k8s.io/v1\nrules:\n- level: None\n"},
		{"v1 stays", v1Head + "# é\r\nrules:\n- level:   None", v1Head + "# é\r\nrules:\n- level:   None"},
	} {
		got, err := Convert([]byte(c.data))
		if err != nil || string(got) != c.want {
			t.Errorf("%s:\n got %q, %v\nwant %q", c.name, got, err, c.want)
		}
		checkConvert(t, []byte(c.data))
	}
}

func TestConvertRefuses(t *testing.T) {
	for _, c := range []struct {
		name, data string
		rejected   bool
	}{
		{"other kind", "apiVersion: audit.k8s.io/v1\nkind: Event\n", true},
		{"no rules", "apiVersion: audit.k8s.io/v1beta1\n", true},
		{"escaped", `{"apiVersion":"audit.k8s.io\/v1beta1","rules":[{"level":"None"}],"metadata":{"name":"x"}}`, false},
		{"shared", "apiVersion: &v audit.k8s.io/v1beta1\nmetadata: {name: *v}\nrules:\n- level: None\n", false},
	} {
		got, err := Convert([]byte(c.data))
		_, rejected := errors.AsType[*Rejection](err)
		if err == nil || rejected != c.rejected || !rejected && !strings.Contains(err.Error(), "by hand") {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

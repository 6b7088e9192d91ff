package record

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/serializer/cbor/direct"

	"kubetrail/policy"
)

// TestEvasion sends what would have no name, another name or no body recorded, if bodies
// were not read as kube-apiserver reads them.
func TestEvasion(t *testing.T) {
	const (
		maps = "/api/v1/namespaces/ns/configmaps"
		json = "application/json"
		yaml = "application/yaml"
	)
	padding := strings.Repeat("# padding\n", 200_000)
	packed, err := direct.Marshal(map[string]any{"metadata": map[string]any{"name": "n"}, "data": map[string]any{"a": padding}})
	if err != nil {
		t.Fatal(err)
	}
	webhook := `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"admission webhook denied: \"x\" cannot create y","code":403}`
	for _, test := range []struct {
		name        string
		level       policy.Level
		contentType string
		body        string
		code        int
		answer      string
		want        string
	}{
		{"comments", policy.LevelMetadata, yaml, padding + "metadata:\n  name: \"n\"\n", 201, "{}", "configmaps v1 ns n;  201 ; ; ; "},
		{"comments at Request", policy.LevelRequest, yaml, padding + "metadata:\n  name: \"n\"\n", 201, "{}", `configmaps v1 ns n;  201 ; {"metadata":{"name":"n"}}; ; `},
		{"CBOR", policy.LevelMetadata, "application/cbor", string(packed), 201, "{}", "configmaps v1 ns n;  201 ; ; ; "},
		{"too much", policy.LevelMetadata, yaml, strings.Repeat(padding, 5) + "metadata:\n  name: \"n\"\n", 413, "{}", "configmaps v1 ns;  413 ; ; ; "},
		{"too much for us", policy.LevelMetadata, yaml, strings.Repeat(padding, 5) + "metadata:\n  name: \"n\"\n", 201, "{}", `configmaps v1 ns;  201 ; ; ; {"audit.k8s.io/truncated":"true"}`},
		{"too many values for us", policy.LevelMetadata, yaml, "pad: [" + strings.Repeat("{a},", 400_000) + "]\nmetadata:\n  name: \"n\"\n", 201, "{}", `configmaps v1 ns;  201 ; ; ; {"audit.k8s.io/truncated":"true"}`},
		{"many commas", policy.LevelMetadata, yaml, "data: |\n  " + strings.Repeat(`{"a": 1}, `, 60_000) + "\nmetadata:\n  name: \"n\"\n", 201, "{}", "configmaps v1 ns n;  201 ; ; ; "},
		{"names that meet", policy.LevelMetadata, yaml, "1: a\n\"1\": b\nmetadata:\n  name: n\n", 201, "{}", `configmaps v1 ns;  201 ; ; ; {"audit.k8s.io/truncated":"true"}`},
		{"no YAML", policy.LevelMetadata, yaml, "a: [", 400, "{}", "configmaps v1 ns;  400 ; ; ; "},
		{"a stream", policy.LevelMetadata, "application/json;stream=watch", `{"metadata":{"name":"n"}}`, 201, "{}", "configmaps v1 ns n;  201 ; ; ; "},
		{"a name that is none", policy.LevelMetadata, json, `{"Metadata":{"name":"decoy"},"metadata":{"name":"n"},"METADATA":{"name":"decoy"}}`, 201, "{}", "configmaps v1 ns n;  201 ; ; ; "},
		{"two names", policy.LevelMetadata, json, `{"apiVersion":"example.org/v1","metadata":{"name":"decoy"},"metadata":{"name":1,"name":"n"}}`, 201, "{}", "configmaps v1 ns n;  201 ; ; ; "},
		{"a message", policy.LevelRequest, json, `{"metadata":{"name":"n"}}`, 403, webhook, `configmaps v1 ns n;  403 Failure admission webhook denied: "x" cannot create y ; {"metadata":{"name":"n"}}; ; `},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(nil, test.level)
			cfg.Wire = bodies()
			e := one(t, cfg, "POST", maps, test.body, func(w http.ResponseWriter, req *http.Request) {
				_, _ = io.Copy(io.Discard, req.Body)
				w.Header().Set("Content-Type", json)
				w.WriteHeader(test.code)
				_, _ = io.WriteString(w, test.answer)
			}, "Content-Type", test.contentType)
			if got := bodiesOf(e); got != test.want {
				t.Errorf("got  %.300s\nwant %s", got, test.want)
			}
		})
	}
	t.Run("from a handler", func(t *testing.T) {
		e := one(t, config(nil, policy.LevelMetadata), "POST", maps, "", func(_ http.ResponseWriter, req *http.Request) {
			LogRequestJSON(req.Context(), []byte(`{"metadata":{"name":"n"},"Metadata":{"name":"decoy"}}`))
		})
		if got := bodiesOf(e); !strings.HasPrefix(got, "configmaps v1 ns n;") {
			t.Errorf("got %s", got)
		}
	})
}

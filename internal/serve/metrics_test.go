package serve

import (
	"context"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kubetrail/internal/config"
)

// TestMetricsDocumented checks that the manual lists every metric that serve can have,
// and that manual, alerts and dashboard name no other. All of them keep to the customs
// of Prometheus.
func TestMetricsDocumented(t *testing.T) {
	settings := config.Defaults(t.TempDir())
	settings.Listen = "127.0.0.1:0"
	d, err := Open(t.Context(), Config{Settings: settings, File: "config.yaml", Log: io.Discard,
		Env: func(string) string { return "" }, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	defer func() { // gives the address back
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.server.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	descs := make(chan *prometheus.Desc, 1000)
	d.web.Registry.Describe(descs)
	close(descs)
	var names []string
	for desc := range descs {
		name := regexp.MustCompile(`fqName: "([^"]*)"`).FindStringSubmatch(desc.String())[1]
		if strings.HasPrefix(name, "kubetrail_") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) < 40 {
		t.Errorf("only %d metrics", len(names))
	}
	read := func(path string) string {
		text, err := os.ReadFile("../../" + path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, page := range []string{"docs/operating.md", "docs/zh/operating.md"} {
		text := read(page)
		for _, name := range names {
			if !strings.Contains(text, "| `"+name+"` |") {
				t.Errorf("%s does not list %s", page, name)
			}
		}
	}
	for _, path := range []string{"docs/operating.md", "docs/zh/operating.md", "docs/collect.md", "docs/zh/collect.md",
		"deploy/prometheus/kubetrail.rules.yaml", "deploy/grafana/kubetrail.json"} {
		for _, name := range regexp.MustCompile(`kubetrail_[a-z_]+[a-z]`).FindAllString(read(path), -1) {
			name = regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(name, "")
			if !slices.Contains(names, name) {
				t.Errorf("%s names %s, which serve does not have", path, name)
			}
		}
	}
	problems, err := testutil.GatherAndLint(d.web.Registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

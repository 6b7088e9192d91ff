// Package deploy holds what is in ../../deploy against a real Prometheus, in a module
// of its own: its alerts are evaluated on the metrics of a real serve, and its
// dashboard's questions are read by the parser of PromQL.
package deploy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/util/teststorage"
)

const root = "../.."

var nan = math.NaN()

// running is a serve of the real program.
type running struct {
	*testing.T
	dir, url string
}

func serve(t *testing.T) *running {
	t.Helper()
	r := &running{T: t, dir: t.TempDir()}
	bin := filepath.Join(r.dir, "kubetrail")
	build := exec.Command("go", "build", "-o", bin, "./cmd/kubetrail")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r.config("")
	r.log("", 1)
	cmd := exec.Command(bin, "serve", "--config", filepath.Join(r.dir, "config.yaml"), "--listen", "127.0.0.1:0")
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	lines := bufio.NewScanner(said)
	for r.url == "" && lines.Scan() {
		r.url = regexp.MustCompile(`http://[0-9.]+:\d+`).FindString(lines.Text())
	}
	if r.url == "" {
		t.Fatal("serve does not say where it is")
	}
	go io.Copy(io.Discard, said) // ends with the process
	return r
}

// config puts a configuration in place, with more at its end.
func (r *running) config(more string) {
	r.Helper()
	text := "apiVersion: kubetrail.io/v1alpha1\nkind: Config\ndata: trail\nclusters:\n- name: prod\n  sources:\n  - {path: audit.log, server: cp-1}\n" + more
	if err := os.WriteFile(filepath.Join(r.dir, "config.yaml"), []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
}

const event = `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"0b7a3e6e-2b1f-4f0e-9d7c-1a2b3c4d5e6f","stage":"ResponseComplete","requestURI":"/healthz",` +
	`"verb":"get","user":{"username":"alice"},"requestReceivedTimestamp":"%[1]s","stageTimestamp":"%[1]s"}`

// log appends a line and n events that happen now.
func (r *running) log(line string, n int) {
	r.Helper()
	f, err := os.OpenFile(filepath.Join(r.dir, "audit.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.Fatal(err)
	}
	defer f.Close()
	for range n {
		line += fmt.Sprintf(event, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")) + "\n"
	}
	if _, err := f.WriteString(line); err != nil {
		r.Fatal(err)
	}
}

func (r *running) post(body string) {
	r.Helper()
	answer, err := http.Post(r.url+"/webhook/prod", "application/json", strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	answer.Body.Close()
}

// scrape reads the metrics once every one of these lines is among them.
func (r *running) scrape(want ...string) []sample {
	r.Helper()
	var body []byte
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		answer, err := http.Get(r.url + "/metrics")
		if err != nil {
			r.Fatal(err)
		}
		body, _ = io.ReadAll(answer.Body)
		answer.Body.Close()
		there := func(line string) bool { return !bytes.Contains(body, []byte("\n"+line)) }
		if !slices.ContainsFunc(want, there) {
			return parse(r.T, body)
		}
	}
	r.Fatalf("no %q in\n%s", want, body)
	return nil
}

// sample is one value of a scrape.
type sample struct {
	labels labels.Labels
	value  float64
}

func parse(t *testing.T, text []byte) (all []sample) {
	t.Helper()
	p := textparse.NewPromParser(text, labels.NewSymbolTable(), false)
	for {
		entry, err := p.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var l labels.Labels
		p.Labels(&l)
		_, _, v := p.Series()
		b := labels.NewBuilder(l)
		b.Set("job", "kubetrail").Set("instance", "one:8417")
		all = append(all, sample{b.Labels(), v})
	}
}

// change is what happens to a metric from the 30th minute on, by the minutes since.
type change map[string]func(before, minutes float64) float64

func to(v float64) func(float64, float64) float64 { return func(_, _ float64) float64 { return v } }
func by(v float64) func(float64, float64) float64 {
	return func(before, _ float64) float64 { return before + v }
}
func falling(a, perMinute float64) func(float64, float64) float64 {
	return func(_, m float64) float64 { return a - perMinute*m }
}

// fired plays 30 minutes of before and 90 of after, changed, and returns the alerts that
// fire in the latter. None may fire in the former.
func fired(t *testing.T, all []*rules.AlertingRule, before, after []sample, c change) []string {
	t.Helper()
	store := teststorage.New(t)
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	const quiet, total = 30, 120
	add := store.Appender(t.Context())
	for m := range total {
		at, now := start.Add(time.Duration(m)*time.Minute), before
		if m >= quiet {
			now = after
		}
		for _, s := range now {
			v := s.value
			name := s.labels.Get("__name__")
			if strings.HasSuffix(name, "_timestamp_seconds") { // the scrape is played at another time
				v = float64(at.Unix())
			}
			if m >= quiet {
				if f, ok := c[name]; ok {
					v = f(v, float64(m-quiet))
				}
			}
			if v != v { // it vanishes
				continue
			}
			if _, err := add.Append(0, s.labels, at.UnixMilli(), v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := add.Commit(); err != nil {
		t.Fatal(err)
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e7, Timeout: time.Minute})
	defer engine.Close()
	query := rules.EngineQueryFunc(engine, store)
	names := map[string]bool{}
	for m := range total {
		at := start.Add(time.Duration(m) * time.Minute)
		for _, rule := range all {
			if _, err := rule.Eval(context.Background(), 0, at, query, nil, 0); err != nil {
				t.Fatalf("%s: %v", rule.Name(), err)
			}
			firing := func(a *rules.Alert) bool { return a.State == rules.StateFiring }
			if !slices.ContainsFunc(rule.ActiveAlerts(), firing) {
				continue
			}
			if m < 16 { // Prometheus does not know yet what was before
				continue
			}
			if m < quiet {
				t.Fatalf("%s fires where all is well", rule.Name())
			}
			names[rule.Name()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func alerts(t *testing.T) []*rules.AlertingRule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(filepath.Join(root, "deploy/prometheus/kubetrail.rules.yaml"), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var all []*rules.AlertingRule
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			e, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"summary", "summary_zh", "runbook", "runbook_zh"} {
				if r.Annotations[name] == "" {
					t.Errorf("%s has no %s", r.Alert, name)
				}
			}
			if s := r.Labels["severity"]; s != "warning" && s != "critical" {
				t.Errorf("%s has severity %q", r.Alert, s)
			}
			all = append(all, rules.NewAlertingRule(r.Alert, e, time.Duration(r.For), 0,
				labels.FromMap(r.Labels), labels.EmptyLabels(), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler)))
		}
	}
	return all
}

// TestAlerts plays what goes wrong on the metrics of a real serve, one thing at a time,
// and what nearly goes wrong.
func TestAlerts(t *testing.T) {
	r := serve(t)
	r.log("", 200)
	r.post(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + fmt.Sprintf(event, "2026-11-20T15:00:00.000000Z") + `]}`)
	well := r.scrape("kubetrail_collect_stored_events_total 202", "kubetrail_config_reload_success 1")
	// What only other configurations have.
	more := parse(t, []byte(`kubetrail_agent_last_contact_timestamp_seconds{cluster="prod",server="cp-2"} 1
kubetrail_agent_holds_seconds{cluster="prod",server="cp-2"} 100000
kubetrail_gaps{cluster="prod",server="cp-1",cause="silence"} 1
kubetrail_silent_seconds{cluster="prod",server="cp-1"} 5
kubetrail_gap_smallest_seconds{cluster="prod",server="cp-1"} 20
kubetrail_apiserver_audit_missing_events_total{cluster="prod",server="cp-1",cause="x"} 3
kubetrail_server_clock_skew_seconds{cluster="prod",server="cp-1"} 0.2
kubetrail_collect_losses_total{cluster="prod",server="cp-1"} 2
kubetrail_collect_marked_events_total{cluster="prod",server="cp-1",mark="recovered"} 2
kubetrail_collect_marked_events_total{cluster="prod",server="cp-1",mark="repeat"} 2
`))
	well = append(slices.DeleteFunc(well, func(s sample) bool {
		return slices.ContainsFunc(more, func(m sample) bool { return m.labels.Get("__name__") == s.labels.Get("__name__") })
	}), more...)
	const size = 1e12
	for i, s := range well {
		switch s.labels.Get("__name__") {
		case "kubetrail_disk_size_bytes":
			well[i].value = size
		case "kubetrail_disk_free_bytes":
			well[i].value = .6 * size
		}
	}
	nothing := func(float64, float64) float64 { return nan }
	cases := []struct {
		want string // the alerts that fire
		change
	}{
		{"", nil},
		{"KubeTrailAbsent", change{"kubetrail_build_info": nothing}},
		{"KubeTrailNotCollecting", change{"kubetrail_collect_running": to(0)}},
		{"KubeTrailSourceFailing", change{"kubetrail_collect_failing": to(1)}},
		{"KubeTrailLagging", change{"kubetrail_collect_lag_seconds": to(61)}},
		{"", change{"kubetrail_collect_lag_seconds": to(59)}},
		{"KubeTrailLagging", change{"kubetrail_collect_lag_bytes": falling(100<<20, -1e6)}},
		{"", change{"kubetrail_collect_lag_bytes": falling(300<<20, 1e6)}}, // it catches up
		{"KubeTrailTrailNotWritable", change{"kubetrail_collect_trail_writable": to(0)}},
		{"KubeTrailDiskFillsUp KubeTrailDiskNearlyFull", change{"kubetrail_disk_free_bytes": to(.09 * size)}},
		{"KubeTrailDiskFillsUp", change{"kubetrail_disk_free_bytes": to(.11 * size)}}, // it has just lost half of it
		{"", change{"kubetrail_disk_free_bytes": to(.51 * size)}},
		{"KubeTrailDiskFillsUp", change{"kubetrail_disk_free_bytes": falling(.45*size, .002*size)}},
		{"KubeTrailSpoolNearlyFull", change{"kubetrail_collect_spool_bytes": to(.81 * (1 << 30))}},
		{"", change{"kubetrail_collect_spool_bytes": to(.79 * (1 << 30))}},
		{"KubeTrailEventsLost", change{"kubetrail_collect_losses_total": by(1)}},
		{"KubeTrailEventsLost", change{"kubetrail_apiserver_audit_missing_events_total": by(1)}},
		{"KubeTrailEventsRecovered", change{"kubetrail_collect_marked_events_total": by(1)}},
		{"KubeTrailGap", change{"kubetrail_gaps": by(1)}},
		{"KubeTrailServerSilent", change{"kubetrail_silent_seconds": to(121)}},
		{"", change{"kubetrail_silent_seconds": to(119)}},
		{"", change{"kubetrail_silent_seconds": to(1e4), "kubetrail_gap_smallest_seconds": to(0)}},
		{"KubeTrailAgentSilent", change{"kubetrail_agent_last_contact_timestamp_seconds": func(v, _ float64) float64 { return v - 301 }}},
		{"", change{"kubetrail_agent_last_contact_timestamp_seconds": func(v, _ float64) float64 { return v - 299 }}},
		{"KubeTrailAgentAboutToLose KubeTrailAgentSilent", change{"kubetrail_agent_last_contact_timestamp_seconds": func(v, _ float64) float64 { return v - 50_001 }}},
		{"KubeTrailUpkeepFailing", change{"kubetrail_trail_upkeep_failures_total": func(v, m float64) float64 { return v + m }}},
		{"", change{"kubetrail_trail_upkeep_failures_total": by(1)}},
		{"KubeTrailCommitsSlow", change{"kubetrail_collect_commit_duration_seconds_bucket": func(v, m float64) float64 { return v }}},
		{"KubeTrailClockSkew", change{"kubetrail_server_clock_skew_seconds": to(-31)}},
	}
	known := map[string]bool{}
	for _, a := range alerts(t) {
		known[a.Name()] = true
	}
	played := map[string]bool{}
	for _, c := range cases {
		after := well
		c.change = maps.Clone(c.change)
		if c.change == nil {
			c.change = change{}
		}
		if strings.Contains(c.want, "CommitsSlow") {
			after = slow(well)
			c.change["kubetrail_collect_commit_duration_seconds_bucket"] = func(v, m float64) float64 { return v * m }
		}
		names := strings.Fields(c.want)
		if slices.ContainsFunc(names, func(n string) bool { return !known[n] }) {
			continue // TestEveryAlertIsPlayed looks for the others
		}
		got := fired(t, alerts(t), well, after, c.change)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v fire, want %q", got, c.want)
		}
		for _, n := range names {
			played[n] = true
		}
	}
	// And what really goes wrong, at once.
	r.log("this is no event\n", 1)
	r.post("this is no list")
	r.config("keep: nothing\n")
	bad := append(r.scrape("kubetrail_config_reload_success 0", `kubetrail_http_requests_total{code="400",handler="webhook"} 1`,
		`kubetrail_collect_set_aside_total{cluster="prod",server="cp-1",source="`+filepath.Join(r.dir, "audit.log")+`"} 1`), more...)
	bad = slices.DeleteFunc(bad, func(s sample) bool {
		return slices.Contains([]string{"kubetrail_silent_seconds", "kubetrail_gap_smallest_seconds", "kubetrail_gaps"}, s.labels.Get("__name__"))
	})
	want := []string{"KubeTrailConfigReloadFailed", "KubeTrailSetAside", "KubeTrailWebhookRefused"}
	if got := fired(t, alerts(t), well, bad, change{"kubetrail_disk_size_bytes": to(size), "kubetrail_disk_free_bytes": to(.6 * size)}); !slices.Equal(got, want) {
		t.Errorf("%v fire, want %v", got, want)
	}
	for _, n := range want {
		played[n] = true
	}
	for n := range known {
		if !played[n] {
			t.Errorf("%s was not made to fire", n)
		}
	}
}

// slow puts what commits took into the last bucket but one.
func slow(all []sample) (out []sample) {
	for _, s := range all {
		if s.labels.Get("__name__") == "kubetrail_collect_commit_duration_seconds_bucket" {
			s.value = map[string]float64{"10": 1, "+Inf": 1}[s.labels.Get("le")]
		}
		out = append(out, s)
	}
	return out
}

// TestDashboard checks that the dashboard can be imported anywhere, and that what it
// asks is PromQL about metrics that are documented.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy/grafana/kubetrail.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID           *string
		ID            *int
		Title         string
		SchemaVersion int
		Templating    struct{ List []struct{ Name, Type string } }
		Panels        []struct {
			ID         int
			Title      string
			Type       string
			GridPos    struct{ X, Y, W, H int }
			Datasource struct{ UID string }
			Targets    []struct {
				Expr       string
				Datasource struct{ UID string }
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID != nil || d.ID != nil || d.SchemaVersion < 36 || d.Title == "" || len(d.Templating.List) == 0 || d.Templating.List[0].Type != "datasource" {
		t.Errorf("it cannot be imported everywhere: %+v", d.Templating)
	}
	manual, err := os.ReadFile(filepath.Join(root, "docs/operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x > 23 {
					t.Fatalf("%q lies on %q", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("%q asks nobody: %+v", p.Title, p.Datasource)
		}
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$cluster", ".*").Replace(target.Expr)
			e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
			if err != nil {
				t.Errorf("%q: %v", p.Title, err)
				continue
			}
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("%q names a data source of its own", p.Title)
			}
			parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
				if v, ok := n.(*parser.VectorSelector); ok && strings.HasPrefix(v.Name, "kubetrail_") {
					name := regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(v.Name, "")
					if !bytes.Contains(manual, []byte("`"+name+"`")) {
						t.Errorf("%q asks for %s, which is not documented", p.Title, name)
					}
				}
				return nil
			})
		}
	}
}

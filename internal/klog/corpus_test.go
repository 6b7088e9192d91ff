package klog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
)

// copies counts events by audit ID and stage.
type copies map[string]int

func (c copies) count(lines [][]byte, t *testing.T) {
	var e audit.Event
	for _, l := range lines {
		if err := e.Scan(l); err != nil {
			t.Fatal(err)
		}
		c[key(&e)]++
	}
}

func key(e *audit.Event) string {
	return string(e.Text[audit.AuditID]) + " " + string(e.Text[audit.Stage])
}

// recovered reads what a log of kube-apiserver tells, by plugin.
func recovered(t *testing.T, log []byte) map[string]copies {
	all := map[string]copies{"log": {}, "webhook": {}}
	var e audit.Event
	d := NewDecoder(strings.NewReader(string(log)), Config{})
	for d.Next(&e) == nil {
		var note map[string]string
		if err := json.Unmarshal(e.Text[audit.Annotations], &note); err != nil {
			t.Fatal(err)
		}
		plugin, cause, _ := strings.Cut(note[Annotation], ": ")
		if !strings.HasPrefix(cause, "json: error calling MarshalJSON for type *runtime.Unknown: ") {
			t.Errorf("the cause is %q", cause)
		}
		all[plugin][key(&e)]++
	}
	return all
}

// TestLostEvents checks a real kube-apiserver that lost events because of thirteen kinds
// of request: what its two backends have, and what is recovered from its stderr, is the
// same, nothing twice, nothing made up.
func TestLostEvents(t *testing.T) {
	log, webhook := copies{}, copies{}
	for _, m := range corpustest.Members(t, "lost-events", "audit.log") {
		log.count(m.Events(t), t)
	}
	for _, m := range corpustest.Members(t, "lost-events", "*.json") {
		webhook.count(m.Events(t), t)
	}
	back := recovered(t, corpustest.Members(t, "lost-events", "kube-apiserver.stderr.log")[0].Data)

	// Table: what the backends have of each case, and of five innocent requests beside it.
	rows := strings.Split(strings.TrimSpace(string(corpustest.Members(t, "lost-events", "table.txt")[0].Data)), "\n")
	if len(rows) != 14 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows[1:] {
		cell := strings.Split(row, " | ")
		number := func(i int) int {
			n, err := strconv.Atoi(cell[i])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		id := "lost-" + cell[0] + "-patch"
		for _, c := range []struct {
			what           string
			plugin         string
			key            string
			arrived, whole int
		}{
			{"received", "log", id + " RequestReceived", number(2), 1},
			{"final", "log", id + " ResponseComplete", number(3), 1},
			{"received", "webhook", id + " RequestReceived", number(4), 1},
			{"final", "webhook", id + " ResponseComplete", number(5), 1},
		} {
			if n := back[c.plugin][c.key]; n != c.whole-c.arrived {
				t.Errorf("%s, %s by %s: recovered %d times, arrived %d times", cell[0], c.what, c.plugin, n, c.arrived)
			}
		}
		for plugin, arrived := range map[string]int{"log": number(6), "webhook": number(7)} {
			n := 0
			for i := 1; i <= 5; i++ {
				n += back[plugin][fmt.Sprintf("lost-%s-innocent-%d ResponseComplete", cell[0], i)]
			}
			if n != 5-arrived {
				t.Errorf("%s: of 5 innocent requests %s has %d and %d were recovered", cell[0], plugin, arrived, n)
			}
		}
	}

	// Both backends got the same events.
	for plugin, have := range map[string]copies{"log": log, "webhook": webhook} {
		for k, n := range back[plugin] {
			if have[k] += n; have[k] > 1 && !strings.HasPrefix(k, "lost-") {
				t.Errorf("%s has %s and it was recovered", plugin, k)
			}
		}
	}
	if !maps.Equal(log, webhook) {
		t.Errorf("the backends differ: %v", difference(log, webhook))
	}

	// The counters of the API server.
	metrics := string(corpustest.Members(t, "lost-events", "audit-metrics.txt")[0].Data)
	for plugin, events := range back {
		n := 0
		for _, m := range events {
			n += m
		}
		m := regexp.MustCompile(`apiserver_audit_error_total\{plugin="` + plugin + `"\} (\d+)`).FindStringSubmatch(metrics)
		if m == nil || m[1] != strconv.Itoa(n) {
			t.Errorf("recovered %d of %s, the counter says %v", n, plugin, m)
		}
	}
}

func difference(a, b copies) []string {
	var out []string
	for k, n := range a {
		if b[k] != n {
			out = append(out, fmt.Sprintf("%s: %d, %d", k, n, b[k]))
		}
	}
	for k, n := range b {
		if a[k] == 0 {
			out = append(out, fmt.Sprintf("%s: 0, %d", k, n))
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 20)]
}

// TestFullDisk checks a kube-apiserver whose log could not be written: the events that it
// says it lost are all found, and with those in its log no request is left without one.
func TestFullDisk(t *testing.T) {
	log := corpustest.Members(t, "diskfull-blocking", "kube-apiserver.stderr.log")[0].Data
	want := 0
	for _, m := range regexp.MustCompile(`Error in audit plugin 'log' affecting (\d+) .*no space left on device`).FindAllSubmatch(log, -1) {
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		want += n
	}
	have := map[string]bool{}
	got := 0
	var e audit.Event
	for d := NewDecoder(bytes.NewReader(log), Config{}); d.Next(&e) == nil; got++ {
		have[string(e.Text[audit.AuditID])] = true
	}
	if got != want || got == 0 {
		t.Errorf("found %d of %d", got, want)
	}
	for r := audit.NewReader(bytes.NewReader(corpustest.Members(t, "diskfull-blocking", "audit.log")[0].Data), audit.ReaderConfig{}); ; {
		err := r.Next(&e)
		if err == io.EOF {
			break
		}
		if err == nil {
			have[string(e.Text[audit.AuditID])] = true
		}
	}
	requests := 0
	for line := range bytes.Lines(corpustest.Members(t, "diskfull-blocking", "requests.jsonl")[0].Data) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		id, _ := r["auditID"].(string)
		if id == "" {
			continue
		}
		if requests++; !have[id] {
			t.Errorf("no trace of %s", line)
		}
	}
	if requests < 500 {
		t.Errorf("%d requests", requests)
	}
}

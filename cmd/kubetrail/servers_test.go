package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"kubetrail/internal/collect/spool"
	"kubetrail/internal/skew"
	"kubetrail/internal/trail/disk"
)

// TestServersVerb: two API servers post, one with a clock that is five minutes slow, and
// one post comes again. A trail and a server tell the same of them.
func TestServersVerb(t *testing.T) {
	data := t.TempDir()
	w, err := disk.OpenWriter(disk.Config{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	s, err := spool.Open(spool.Config{Dir: filepath.Join(data, "spool")})
	if err != nil {
		t.Fatal(err)
	}
	line := func(n int, name, clock string) string {
		return fmt.Sprintf(`{"level":"Metadata","auditID":"%d","stage":"ResponseComplete","requestURI":"/","verb":"update",`+
			`"user":{"username":"kubelet"},"objectRef":{"resource":"leases","namespace":"kube-node-lease","name":%q,"apiGroup":"coordination.k8s.io","apiVersion":"v1","resourceVersion":"%d"},`+
			`"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-11-20T15:%s:%02d.%03d000Z","stageTimestamp":"2026-11-20T15:%[4]s:%02[5]d.%03[6]d900Z",`+
			`"annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}`, n, name, 100+n, clock, n/20, n%20*50)
	}
	list := func(items []string) []byte {
		return []byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + strings.Join(items, ",") + "]}\n")
	}
	var one, two []string // both renew both leases in turn
	for n := range 200 {
		if n%4 < 2 {
			one = append(one, line(n, []string{"n1", "n2"}[n%2], "30"))
		} else {
			two = append(two, line(n, []string{"n1", "n2"}[n%2], "25"))
		}
	}
	two = append(two, strings.NewReplacer(`"resource":"leases","namespace":"kube-node-lease"`, `"resource":"nodes","subresource":"proxy"`,
		`"apiGroup":"coordination.k8s.io",`, "").Replace(line(200, "n1", "25")))
	for _, x := range []struct {
		server string
		body   []byte
	}{{"cp-1", list(one)}, {"cp-2", list(two)}, {"cp-2", list(two)}} {
		if err := s.Receive(t.Context(), spool.Origin{Cluster: "prod", Server: x.server}, x.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	d := &daemon{T: t, bin: program(t), data: data}
	d.start()
	defer d.stop()
	for { // until the collector has read the spools
		if out, _ := runHere(t, "top", "--server", d.url, "--by", "server", "-o", "json"); strings.Contains(string(out), `"events": 302`) {
			break
		}
	}
	const want = "" + // and by how much it is behind
		"CLUSTER  SERVER  EVENTS  FIRST                 LAST                  SOURCES  PASSED-ON  CLOCK\n" +
		"prod     cp-1       100  2026-11-20T15:30:00Z  2026-11-20T15:30:09Z        1         0%  reference\n" +
		"prod     cp-2       202  2026-11-20T15:25:00Z  2026-11-20T15:25:10Z        1      0.99%  -5m0s ±"
	for _, from := range [][]string{{"--data", data}, {"--server", d.url}} {
		out, code := runHere(t, append([]string{"servers"}, from...)...)
		if code != 0 || !strings.HasPrefix(string(out), strings.TrimSuffix(want, "\n")) || !strings.Contains(string(out), " ±") {
			t.Errorf("%v: exit code %d, %s", from, code, out)
		}
		out, code = runHere(t, append([]string{"servers", "-o", "jsonl", "not is:repeat and server:cp-2", "--since", "2026-11-20"}, from...)...)
		var got skew.Server
		if err := json.Unmarshal(out, &got); err != nil || code != 0 || got.Events != 101 || got.Repeats != 0 || got.Passed != 1 || got.Clock.State != skew.Reference {
			t.Errorf("%v: exit code %d, %s", from, code, out)
		}
		out, _ = runHere(t, append([]string{"servers", "-o", "json"}, from...)...)
		var all struct {
			Kind  string
			Items []skew.Server
		}
		if err := json.Unmarshal(out, &all); err != nil || all.Kind != "ServerList" || len(all.Items) != 2 {
			t.Fatalf("%v: %s", from, out)
		}
		c := all.Items[1]
		if k := c.Clock; c.Repeats != 101 || k.State != skew.Estimated || k.Within > 1 || k.Ahead+k.Within < -300 || k.Ahead-k.Within > -300 {
			t.Errorf("%v: %s", from, out)
		}
		if _, code = runHere(t, append([]string{"servers", "--fail-empty", "server:cp-3"}, from...)...); code != exitNothing {
			t.Errorf("%v: exit code %d", from, code)
		}
	}
	// By the clocks all of cp-2 comes first; by the versions the servers take turns.
	out, code := runHere(t, "search", "--data", data, "--by-object", "name:n1 and resource:leases and not is:repeat", "--limit", "0", "-o", "json", "--fields", "server,objectRef.resourceVersion")
	if code != 0 || strings.Count(string(out), "cp-") != 100 {
		t.Errorf("%d, %s", code, out)
	}
	last := 0
	for _, line := range strings.Split(string(out), "resourceVersion\":\"")[1:] {
		var version int
		if _, err := fmt.Sscanf(line, "%d", &version); err != nil || version <= last {
			t.Errorf("version %d after %d (%v)", version, last, err)
		}
		last = version
	}
	if last != 298 {
		t.Errorf("the last version is %d", last)
	}
	if out, _ := runHere(t, "show", "--data", data, "200"); !strings.Contains(string(out), "Observed   prod  cp-2  webhook/prod/cp-2:") || !strings.Contains(string(out), "To         node/n1\n") {
		t.Errorf("%s", out)
	}
	if out, code := runHere(t, "servers", "--data", data, "--lang", "zh"); code != 0 || !strings.Contains(string(out), "基准") {
		t.Errorf("%s", out)
	}
	if _, code := runHere(t, "servers", "--data", data, "-o", "yaml"); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
}

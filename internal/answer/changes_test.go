package answer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/history"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

func changed(t *testing.T, r trail.Reader, question string, cfg ChangesConfig) output.Report {
	t.Helper()
	report, err := Changes(t.Context(), r, asking(t, question), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestChangesCount: every write of a real log is in a row, hidden by its class, or
// counted as failed, however the trail is read.
func TestChangesCount(t *testing.T) {
	for _, name := range []string{"a-gce-derived", "d-metadata-all"} {
		r, lines := corpus(t, name)
		var e audit.Event
		real, hidden, failed := 0, map[string]int{}, 0
		for _, line := range lines {
			if err := e.Scan(line); err != nil {
				t.Fatal(err)
			}
			verb := string(e.Text[audit.Verb])
			if stage := string(e.Text[audit.Stage]); stage != "ResponseComplete" && stage != "Panic" && e.Code != 401 || stage == "RequestReceived" ||
				!slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, verb) {
				continue
			}
			switch c := history.Classify(&e); c {
			case history.Real, history.Unknown:
				real++
			case history.Refused, history.Failed:
				failed++
			default:
				hidden[c.String()]++
			}
		}
		for _, r := range []trail.Reader{r, onDisk(t, lines)} {
			doc := asJSON(t, changed(t, r, "", ChangesConfig{Traced: 1}))
			n := 0
			for _, x := range doc["items"].([]any) {
				n += int(x.(map[string]any)["count"].(float64))
			}
			got := map[string]int{}
			for k, v := range doc["hidden"].(map[string]any) {
				got[k] = int(v.(float64))
			}
			if n != real || int(doc["failed"].(float64)) != failed || !reflect.DeepEqual(got, hidden) {
				t.Errorf("%s: %d changes, %v failed, hidden %v; want %d, %d, %v", name, n, doc["failed"], got, real, failed, hidden)
			}
		}
	}
}

// TestChangesStory: what changed in the sample, said in both languages.
func TestChangesStory(t *testing.T) {
	r := sampled(t)
	report := changed(t, r, "", ChangesConfig{})
	last := ""
	for _, x := range report.Items {
		d := x.(*Change)
		if d.Last < last {
			t.Errorf("%s comes after %s", d.Last, last)
		}
		last = d.Last
		if len(d.Events) == 0 {
			t.Errorf("%s names no event", d.Sentence)
		}
	}
	text := printed(t, report, false)
	for _, want := range []string{"bob          ", "deleted Deployment ledger in payments", "created 20 Nodes\n", "Hidden: ", "heartbeat 207", "leader lease 98",
		"writes that failed or were refused; --failed lists them"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Lease kwok-node-1 ") || strings.Contains(text, "tried to") {
		t.Errorf("routine or failures are shown:\n%s", text)
	}
	text = printed(t, changed(t, r, "", ChangesConfig{Failed: true, ByNamespace: true, Chinese: true}), true)
	for _, want := range []string{"删除 payments 命名空间的 Deployment ledger", "尝试过但未成功", "尝试删除 default 命名空间的 Deployment nginx\n", "已隐藏", "\npayments\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said:\n%s", want, text)
		}
	}
}

// TestConsequences: what controllers wrote is counted under the action that caused it,
// and every write is counted once.
func TestConsequences(t *testing.T) {
	r := sampled(t)
	plain, traced := changed(t, r, "", ChangesConfig{Traced: 1}), changed(t, r, "", ChangesConfig{})
	sum := func(r output.Report) (n, caused int) {
		for _, x := range r.Items {
			n += x.(*Change).Count
			caused += x.(*Change).ConsequenceCount
		}
		return n, caused
	}
	all, none := sum(plain)
	own, caused := sum(traced)
	if own+caused != all || none != 0 || caused < all/4 {
		t.Errorf("%d changes; traced %d and %d consequences", all, own, caused)
	}
	if plain.Head["traced"] != false || !strings.Contains(printed(t, plain, false), "there are too many writes") {
		t.Error("it is not said that nothing was traced")
	}
	for _, question := range []string{"", "user:jai"} { // consequences are no changes by jai, but of them
		found := map[string]*Change{}
		for _, x := range changed(t, r, question, ChangesConfig{}).Items {
			found[x.(*Change).Sentence] = x.(*Change)
		}
		d := found["jai deleted Deployment nginx-old in default"]
		if d == nil || d.ConsequenceCount != 3 || len(d.Consequences) != 3 {
			t.Fatalf("%q: %+v", question, d)
		}
		if got := d.consequences(false); got != "; controllers then deleted 2 Pods, deleted ReplicaSet" {
			t.Error(got)
		}
		if got := d.consequences(true); got != "，随后控制器：删除 2 个 Pod，删除 ReplicaSet" {
			t.Error(got)
		}
		if d := found["jai scaled Deployment web in shop"]; d == nil || d.Detail != "replicas 5" {
			t.Errorf("%q: %+v", question, d)
		}
	}
}

// TestChangesRoom: what there was no room for is said.
func TestChangesRoom(t *testing.T) {
	report := changed(t, sampled(t), "", ChangesConfig{Rows: 4})
	if n, _ := report.Head["changesLeftOut"].(int); n == 0 || len(report.Items) > 4 {
		t.Errorf("%d rows, %v left out", len(report.Items), report.Head)
	}
	if text := printed(t, report, false); !strings.Contains(text, "Left out: ") {
		t.Error(text)
	}
	if _, err := json.Marshal(report.Items); err != nil {
		t.Error(err)
	}
}

// What is hidden as routine, or as a dry run, must be that: in a trail as in a file.
func TestChangesHideNothing(t *testing.T) {
	event := func(id, user, agent, verb, uri, object, body string) []byte {
		return []byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"` + id + `","stage":"ResponseComplete","requestURI":"` + uri + `","verb":"` + verb +
			`","user":{"username":"` + user + `"},"userAgent":"` + agent + `","objectRef":{` + object + `,"apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},"requestObject":` + body +
			`,"requestReceivedTimestamp":"2026-01-01T10:00:00.000000Z","stageTimestamp":"2026-01-01T10:00:00.100000Z"}`)
	}
	lease := `"resource":"leases","namespace":"kube-system","name":"l","apiGroup":"coordination.k8s.io"`
	pod := `"resource":"pods","namespace":"shop","name":"web"`
	lines := [][]byte{
		event("lease", "eve", "kube-controller-manager/v1.36.3", "update", "/x", lease, "{}"),
		event("status", "eve", "curl/8", "patch", "/x", `"resource":"services","namespace":"shop","name":"web","subresource":"status"`, "{}"),
		event("uri", "eve", "curl/8", "delete", "/x?dryRun=All", pod, `{"kind":"DeleteOptions"}`),
		event("managed", "eve", "curl/8", "create", "/x", pod+`,"subresource":"eviction"`, `{"metadata":{"managedFields":[{"fieldsV1":{"dryRun":["All"]}}]}}`),
		event("leader", "system:kube-scheduler", "kube-scheduler/v1.36.3", "update", "/x", lease, "{}"),
		event("dry", "alice", "kubectl/v1.36.3", "delete", "/x", pod, `{"kind":"DeleteOptions","dryRun":["All"]}`),
	}
	for _, r := range []trail.Reader{logged(append(bytes.Join(lines, []byte("\n")), 10), nil), onDisk(t, lines)} {
		doc := asJSON(t, changed(t, r, "", ChangesConfig{}))
		var got []string
		for _, x := range doc["items"].([]any) {
			for _, ref := range x.(map[string]any)["events"].([]any) {
				got = append(got, ref.(map[string]any)["auditID"].(string))
			}
		}
		if slices.Sort(got); !slices.Equal(got, []string{"lease", "managed", "status", "uri"}) {
			t.Errorf("changes: %q", got)
		}
	}
}

// TestChangesAll: --all shows every write that did not fail, and tells a dry run from a
// deed; objects of the same name in several namespaces are several; what controllers did
// to the same objects again is told as often as it was done.
func TestChangesAll(t *testing.T) {
	r := sampled(t)
	report := changed(t, r, "", ChangesConfig{All: true})
	if hidden := report.Head["hidden"].(map[string]int); len(hidden) != 0 {
		t.Errorf("hidden: %v", hidden)
	}
	for _, x := range []struct {
		text string
		want []string
	}{
		{printed(t, report, false), []string{"created Deployment dry in shop (dry run: nothing was done)", "requested a token of ServiceAccount deployer in ci\n"}},
		{printed(t, changed(t, r, "", ChangesConfig{}), false), []string{"created 7 Roles\n", "created 4 ServiceAccounts\n"}},
		{printed(t, changed(t, r, "user:alice", ChangesConfig{}), false), []string{"Hidden: 1 write that"}},
	} {
		for _, want := range x.want {
			if !strings.Contains(x.text, want) {
				t.Errorf("%q is not said:\n%s", want, x.text)
			}
		}
	}
	for _, x := range changed(t, r, "verb:create and resource:nodes", ChangesConfig{}).Items {
		if got := x.(*Change).consequences(false); got != "; controllers then patched Nodes 60 times" {
			t.Error(got)
		}
	}
	report = changed(t, r, "sub:token", ChangesConfig{All: true, Chinese: true})
	if len(report.Items) == 0 {
		t.Error("no tokens")
	}
	for _, x := range changed(t, r, "resource:deployments and name:dry", ChangesConfig{All: true, Chinese: true}).Items {
		if got := x.(*Change).Sentence; got != "jai：创建 shop 命名空间的 Deployment dry（试运行，未实际执行）" {
			t.Error(got)
		}
	}
}

// Many changes that are alike leave room for those that are not.
func TestChangesAlikeMakeRoom(t *testing.T) {
	var log bytes.Buffer
	write := func(user, resource, name string) {
		fmt.Fprintf(&log, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"%s","stage":"ResponseComplete","requestURI":"/x","verb":"create","user":{"username":"%s"},`+
			`"objectRef":{"resource":"%s","namespace":"shop","name":"%s","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":201},"stageTimestamp":"2026-01-01T10:00:00.100000Z"}`+"\n", name, user, resource, name)
	}
	for i := range 1000 {
		write("eve", "configmaps", fmt.Sprint("c", i))
	}
	write("eve", "secrets", "s")
	report := changed(t, logged(log.Bytes(), nil), "", ChangesConfig{Rows: 40, Traced: 1})
	if len(report.Items) != 2 || report.Head["changesLeftOut"] != nil {
		t.Errorf("%d rows, %v left out: want the ConfigMaps and the Secret", len(report.Items), report.Head["changesLeftOut"])
	}
}

package explain

import (
	"testing"

	"kubetrail/audit"
)

// scan makes an event of a line.
func scan(t testing.TB, line string) *audit.Event {
	t.Helper()
	var e audit.Event
	if err := e.Scan([]byte(line)); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return &e
}

// both says an event in both languages.
func both(e *audit.Event) (en, zh string) {
	return string(New(Config{}).Append(nil, e)), string(New(Config{Chinese: true}).Append(nil, e))
}

func TestRefusedDelete(t *testing.T) {
	e := scan(t, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/default/deployments/nginx","verb":"delete","user":{"username":"veeru","groups":["demo","system:authenticated"]},"sourceIPs":["127.0.0.1"],"userAgent":"kubectl/v1.36.3 (linux/amd64) kubernetes/$Format","objectRef":{"resource":"deployments","namespace":"default","name":"nginx","apiGroup":"apps","apiVersion":"v1"},"responseStatus":{"metadata":{},"status":"Failure","message":"deployments.apps \"nginx\" is forbidden: User \"veeru\" cannot delete resource \"deployments\" in API group \"apps\" in the namespace \"default\"","reason":"Forbidden","code":403},"requestReceivedTimestamp":"2026-11-20T15:16:04.465031Z","stageTimestamp":"2026-11-20T15:16:04.465869Z","annotations":{"authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":""}}`)
	en, zh := both(e)
	if want := "veeru tried to delete Deployment nginx in default and was refused: no RBAC rule allows it. From 127.0.0.1 with kubectl v1.36.3."; en != want {
		t.Errorf("got  %s\nwant %s", en, want)
	}
	if want := "veeru 尝试删除 default 命名空间中的 Deployment nginx，被拒绝：没有任何 RBAC 规则允许。来自 127.0.0.1，使用 kubectl v1.36.3。"; zh != want {
		t.Errorf("got  %s\nwant %s", zh, want)
	}
}

func TestSeven(t *testing.T) {
	e := scan(t, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/pods/web/exec?command=id","verb":"get","user":{"username":"jai\u001b[2J","uid":"7","groups":["demo"]},"impersonatedUser":{"username":"veeru"},"sourceIPs":["203.0.113.7","127.0.0.1"],"userAgent":"kubectl/v1","objectRef":{"resource":"pods","namespace":"shop","name":"web","apiVersion":"v1","subresource":"exec"},"responseStatus":{"metadata":{},"code":101},"requestReceivedTimestamp":"2026-11-20T15:16:04.465031Z","stageTimestamp":"2026-11-20T15:16:04.565031Z","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"r"}}`)
	e.Text[audit.Source], e.Offset = []byte("audit.log"), 42
	check := func(e *audit.Event, zh bool, want ...string) {
		t.Helper()
		for i, a := range Seven(e, zh) {
			got := a.Key + "|" + a.Question + "|" + a.Text
			if !a.Known {
				got += "|?"
			}
			if i >= len(want) || got != want[i] {
				t.Errorf("got  %s\nwant %s", got, append(want, make([]string, 9)...)[i])
			}
		}
	}
	check(e, false,
		`what|What|get  /api/v1/namespaces/shop/pods/web/exec?command=id  (Metadata)`,
		`when|When|2026-11-20T15:16:04.565031Z  after 100ms`,
		`who|Who|jai\x1b[2J  uid=7  groups=demo  acting as veeru`,
		`onWhat|On what|pods/exec  shop/web  version=v1`,
		`observed|Observed|cannot know: the event does not name its API server  (audit.log:42)|?`,
		`from|From|127.0.0.1  passing on, as it claims, for 203.0.113.7  kubectl/v1`,
		`to|To|cannot know: the event does not name the node or backend that the API server asked|?`,
		`result|Result|101`,
		`decision|Decision|allow  r`)
	e.Text[audit.Cluster], e.Text[audit.Server], e.Text[audit.Destination] = []byte("prod"), []byte("cp-1"), []byte(`["node/n1"]`)
	check(e, true,
		`what|什么|get  /api/v1/namespaces/shop/pods/web/exec?command=id  (Metadata)`,
		`when|何时|2026-11-20T15:16:04.565031Z  收到后 100ms`,
		`who|谁|jai\x1b[2J  uid=7  groups=demo  扮演 veeru`,
		`onWhat|对象|pods/exec  shop/web  version=v1`,
		`observed|记录于|prod  cp-1  audit.log:42`,
		`from|来自|127.0.0.1  自称转发自 203.0.113.7  kubectl/v1`,
		`to|去往|node/n1`,
		`result|结果|101`,
		`decision|授权|allow  r`)
	empty := &audit.Event{Received: audit.NoTime, Staged: audit.NoTime}
	for _, a := range Seven(empty, false) {
		if a.Known {
			t.Errorf("an empty event: %+v", a)
		}
	}
	for _, zh := range []bool{false, true} {
		if s := New(Config{Chinese: zh}).Append(nil, empty); len(s) == 0 {
			t.Error("no sentence of an empty event")
		}
	}
}

func TestAllocations(t *testing.T) {
	x := New(Config{})
	e := made{verb: "delete", resource: "pods", namespace: "shop", name: "web", user: "alice", agent: "kubectl/v1.36.3", stage: "ResponseComplete", code: 200, decision: "allow", reason: `RBAC: allowed by RoleBinding "b1/ns1" of Role "r1" to User "u1"`}.event()
	b := x.Append(nil, e)
	if n := testing.AllocsPerRun(100, func() { b = x.Append(b[:0], e) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

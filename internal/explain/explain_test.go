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

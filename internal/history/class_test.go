package history

import (
	"testing"

	"kubetrail/audit"
)

func event(t testing.TB, line string) *audit.Event {
	t.Helper()
	e := &audit.Event{}
	if err := e.Scan([]byte(line)); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return e
}

func TestClassify(t *testing.T) {
	for _, x := range []struct {
		want             Class
		verb, uri, ref   string
		user, agent, end string // end: what follows objectRef
	}{
		{Real, "update", "/x", `"resource":"configmaps","namespace":"a","name":"b"`, "alice", "kubectl/v1", ok},
		{Real, "delete", "/x", `"resource":"events","namespace":"a","name":"b"`, "alice", "kubectl/v1", ok},
		{Real, "create", "/x", `"resource":"pods","namespace":"a","name":"b","subresource":"binding"`, "system:kube-scheduler", "x/1", created},
		{Real, "update", "/x", `"resource":"leases","namespace":"kube-system","name":"b","apiGroup":"coordination.k8s.io"`, "eve", "kubectl/v1.36", ok},
		{Real, "update", "/x", `"resource":"leases","namespace":"kube-system","name":"b","apiGroup":"coordination.k8s.io"`, "eve", "kube-scheduler/v1", ok},
		{Real, "update", "/x", `"resource":"leases","namespace":"kube-system","name":"b","apiGroup":"coordination.k8s.io"`, "system:anonymous", "kubelet/v1", ok},
		{LeaderLease, "update", "/x", `"resource":"leases","namespace":"kube-system","name":"b","apiGroup":"coordination.k8s.io"`, "system:kube-scheduler", "kube-scheduler/v1", ok},
		{Heartbeat, "update", "/x", `"resource":"leases","namespace":"kube-system","name":"b","apiGroup":"coordination.k8s.io"`, "system:apiserver", "x", ok},
		{Heartbeat, "patch", "/x", `"resource":"leases","namespace":"kube-node-lease","name":"b","apiGroup":"coordination.k8s.io"`, "system:node:b", "kubelet/v1", ok},
		{Real, "update", "/x", `"resource":"leases","namespace":"kube-node-lease","name":"b","apiGroup":"example.com"`, "system:node:b", "kubelet/v1", ok},
		{Heartbeat, "patch", "/x", `"resource":"nodes","name":"b","subresource":"status"`, "system:node:b", "kubelet/v1", ok},
		{StatusOnly, "patch", "/x", `"resource":"nodes","name":"b","subresource":"status"`, "alice", "kubectl/v1", ok},
		{StatusOnly, "update", "/x", `"resource":"deployments","name":"b","subresource":"status","apiGroup":"apps"`, "a", "", ok},
		{Note, "create", "/x", `"resource":"events","namespace":"a","name":"b"`, "a", "", created},
		{Note, "patch", "/x", `"resource":"events","namespace":"a","name":"b","apiGroup":"events.k8s.io"`, "a", "", ok},
		{DryRun, "patch", "/x?dryRun=All", `"resource":"pods","namespace":"a","name":"b"`, "a", "", ok},
		{DryRun, "patch", "/x?%64ryRun=All", `"resource":"pods","namespace":"a","name":"b"`, "a", "", ok},
		{Real, "patch", "/x?fieldManager=dryRun", `"resource":"pods","namespace":"a","name":"b"`, "a", "", ok},
		{Unknown, "delete", "/x?dryRun=All", `"resource":"pods","namespace":"a","name":"b"`, "a", "", ok},
		{DryRun, "delete", "/x", `"resource":"pods","namespace":"a","name":"b"`, "a", "", ok + `,"requestObject":{"kind":"DeleteOptions","dryRun":["All"]}`},
		{Real, "delete", "/x?dryRun=All", `"resource":"pods","namespace":"a","name":"b"`, "a", "", ok + `,"requestObject":{"kind":"DeleteOptions"}`},
		{DryRun, "create", "/x", `"resource":"pods","namespace":"a","name":"b","subresource":"eviction"`, "a", "", created + `,"requestObject":{"deleteOptions":{"dryRun":["All"]}}`},
		{Real, "create", "/x", `"resource":"pods","namespace":"a","name":"b"`, "a", "", created + `,"requestObject":{"metadata":{"annotations":{"x":"\"dryRun\":[\"All\"]"}}}`},
		{Refused, "delete", "/x", `"resource":"pods","namespace":"a","name":"b"`, "a", "", `"responseStatus":{"code":403}`},
		{Refused, "create", "/x", `"resource":"pods","namespace":"a","name":"b","subresource":"eviction"`, "a", "", `"responseStatus":{"code":429}`},
		{Failed, "update", "/x", `"resource":"pods","namespace":"a","name":"b"`, "a", "", `"responseStatus":{"code":409}`},
		{Failed, "get", "/x", `"resource":"pods","namespace":"a","name":"b"`, "a", "", `"responseStatus":{"code":404}`},
		{Read, "watch", "/x", `"resource":"pods","namespace":"a"`, "a", "", ok},
		{Read, "get", "/x", `"resource":"pods","namespace":"a","name":"b","subresource":"log"`, "a", "", ok},
		{Connect, "get", "/x", `"resource":"pods","namespace":"a","name":"b","subresource":"exec"`, "a", "", `"responseStatus":{"code":101}`},
		{Connect, "delete", "/x", `"resource":"services","namespace":"a","name":"b","subresource":"proxy"`, "a", "", ok},
		{Real, "update", "/x", `"resource":"gates","apiGroup":"example.com","name":"b","subresource":"proxy"`, "a", "", ok},
		{Review, "create", "/x", `"resource":"selfsubjectaccessreviews","apiGroup":"authorization.k8s.io"`, "a", "", created},
		{Real, "create", "/x", `"resource":"codereviews","apiGroup":"example.com"`, "a", "", created},
		{Credential, "create", "/x", `"resource":"serviceaccounts","namespace":"a","name":"b","subresource":"token"`, "a", "", created},
		{Unknown, "post", "/x", ``, "a", "", ok},
		{Unknown, "", "/x", `"resource":"pods"`, "a", "", ok},
	} {
		line := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","stage":"ResponseComplete","verb":"` + x.verb +
			`","requestURI":"` + x.uri + `","user":{"username":"` + x.user + `"},"userAgent":"` + x.agent + `","objectRef":{` + x.ref + `},` + x.end + `}`
		if got := Classify(event(t, line)); got != x.want {
			t.Errorf("%v, want %v: %s", got, x.want, line)
		}
	}
}

const (
	ok      = `"responseStatus":{"code":200}`
	created = `"responseStatus":{"code":201}`
)

func TestClassifyStages(t *testing.T) {
	for stage, want := range map[string]Class{"RequestReceived": Unfinished, "Panic": Failed, "ResponseComplete": Real} {
		if got := Classify(event(t, `{"stage":"`+stage+`","verb":"delete","objectRef":{"resource":"pods"},"responseStatus":{"code":200}}`)); got != want {
			t.Errorf("%s: %v, want %v", stage, got, want)
		}
	}
	for c := range Class(NumClasses) {
		if c.String() == "" || c.Chinese() == "" || c.English() == "" {
			t.Errorf("class %d has no name", c)
		}
	}
}

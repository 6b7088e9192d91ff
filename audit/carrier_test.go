package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubetrail/internal/corpustest"
)

// quoted is s as a JSON string.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// cloudWatch is one message of CloudWatch Logs, as EKS writes them.
func cloudWatch(event string) string {
	return `{"logStreamName":"kube-apiserver-audit-1","timestamp":1763652435398,"message":` + quoted(event) + `,"ingestionTime":1763652436000,"eventId":"375"}`
}

// azure is one record of AKS, as a diagnostic setting exports it.
func azure(event string) string {
	return `{"time":"2026-11-20T15:37:15Z","resourceId":"/SUBSCRIPTIONS/1","operationName":"Microsoft.ContainerService/managedClusters/diagnosticLogs/Read","category":"kube-audit","properties":{"containerID":"c","stream":"stdout","pod":"kube-apiserver-1","log":` + quoted(event+"\n") + `}}`
}

// gke is one entry of Google Cloud Logging, in the form that its documentation shows.
const gke = `{"protoPayload":{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","authenticationInfo":{"principalEmail":"alice@example.com"},"authorizationInfo":[{"granted":true,"permission":"io.k8s.core.v1.pods.exec.create","resource":"core/v1/namespaces/shop/pods/web-0/exec"}],"methodName":"io.k8s.core.v1.pods.exec.create","request":{"@type":"core.k8s.io/v1.PodExecOptions","command":["sh"]},"requestMetadata":{"callerIp":"203.0.113.7","callerSuppliedUserAgent":"kubectl/v1.36.3"},"resourceName":"core/v1/namespaces/shop/pods/web-0/exec","serviceName":"k8s.io","status":{"code":7,"message":"Forbidden"}},"insertId":"i","resource":{"type":"k8s_cluster","labels":{"cluster_name":"prod-1","location":"europe-west1","project_id":"p"}},"timestamp":"2026-11-20T15:37:15.398305Z","severity":"NOTICE","labels":{"authorization.k8s.io/reason":"access granted by IAM permissions.","k8s.io/deprecated":"true"},"logName":"projects/p/logs/cloudaudit.googleapis.com%2Factivity","operation":{"id":"0f1e","producer":"k8s.io","first":true,"last":true},"receiveTimestamp":"2026-11-20T15:37:20Z"}`

func TestCarriers(t *testing.T) {
	indented := func(s string) string { return pretty(t, s) }
	for name, data := range map[string]string{
		"JSON lines":                  streamOf(1, 3, sample, "", "\n"),
		"no newline at the end":       sample(1) + "\n" + sample(2) + "\n" + sample(3),
		"legacy":                      streamOf(1, 3, sampleLegacy, "", "\n"),
		"EventList":                   `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + sampleItem(1) + "," + sampleItem(2) + "," + sampleItem(3) + "]}",
		"EventList, sorted":           `{"apiVersion":"audit.k8s.io/v1","items":[` + sampleItem(1) + "," + sampleItem(2) + "," + sampleItem(3) + `],"kind":"EventList","metadata":{}}` + "\n",
		"EventLists":                  `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + sampleItem(1) + "]}\n" + `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[]}` + "\n" + `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":null}` + "\n" + `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + sampleItem(2) + "," + sampleItem(3) + "]}\n",
		"EventList, pretty":           indented(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + sampleItem(1) + "," + sampleItem(2) + "," + sampleItem(3) + "]}"),
		"EventList, pretty, sorted":   indented(`{"apiVersion":"audit.k8s.io/v1","items":[` + sampleItem(1) + "," + sampleItem(2) + "," + sampleItem(3) + `],"kind":"EventList","metadata":{}}`),
		"array":                       "[" + sample(1) + "," + sample(2) + "," + sample(3) + "]",
		"array, by line":              "[\n" + sample(1) + ",\n" + sample(2) + ",\n" + sample(3) + "\n]\n",
		"array, pretty":               indented("[" + sample(1) + "," + sample(2) + "," + sample(3) + "]"),
		"array of EventLists":         `[{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + sampleItem(1) + `]},{"apiVersion":"audit.k8s.io/v1","items":[` + sampleItem(2) + "," + sampleItem(3) + `],"kind":"EventList"}]`,
		"pretty":                      indented(sample(1)) + "\n" + indented(sample(2)) + "\n" + indented(sample(3)),
		"must-gather":                 streamOf(1, 3, sample, "ip-10-0-1-2.ec2.internal ", "\n"),
		"CloudWatch export":           streamOf(1, 3, sample, "2026-11-20T15:37:15.398Z ", "\n"),
		"container log":               streamOf(1, 3, sample, "2026-11-20T15:37:15.398305123Z stdout F ", "\n"),
		"Docker log":                  streamOf(1, 3, func(n int) string { return `{"log":` + quoted(sample(n)+"\n") + `,"stream":"stdout","time":"x"}` }, "", "\n"),
		"CloudWatch messages":         streamOf(1, 3, func(n int) string { return cloudWatch(sample(n)) }, "", "\n"),
		"CloudWatch events":           `{"events":[` + cloudWatch(sample(1)) + "," + cloudWatch(sample(2)) + "," + cloudWatch(sample(3)) + `],"nextForwardToken":"f/3","nextBackwardToken":"b/3"}`,
		"CloudWatch subscription":     `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"/aws/eks/c/cluster","logStream":"s","subscriptionFilters":["f"],"logEvents":[` + cloudWatch(sample(1)) + "," + cloudWatch(sample(2)) + "," + cloudWatch(sample(3)) + `]}`,
		"Fluent Bit to CloudWatch":    streamOf(1, 3, func(n int) string { return cloudWatch(`{"log":` + quoted(sample(n)) + `}`) }, "", "\n"),
		"Azure":                       streamOf(1, 3, func(n int) string { return azure(sample(n)) }, "", "\n"),
		"Azure records":               `{"records":[` + azure(sample(1)) + "," + azure(sample(2)) + "," + azure(sample(3)) + `]}`,
		"Azure, pretty":               indented(`{"records":[` + azure(sample(1)) + "," + azure(sample(2)) + "," + azure(sample(3)) + `]}`),
		"wrapped legacy":              streamOf(1, 3, func(n int) string { return cloudWatch(sampleLegacy(n)) }, "", "\n"),
		"all sorts":                   sample(1) + "\n" + sampleLegacy(2) + "\n" + azure(sample(3)),
		"members in another order":    streamOf(1, 3, func(n int) string { return sorted(sample(n)) }, "", "\n"),
		"blanks around":               streamOf(1, 3, sample, " \t", "  \n \n"),
		"an empty array, then events": "[]\n" + streamOf(1, 3, sample, "", "\n"),
	} {
		t.Run(name, func(t *testing.T) {
			got := checkResume(t, []byte(data), 1)
			got.wantIDs(t, 1, 3)
			if len(got.faults) > 0 {
				t.Errorf("faults %v", got.faults)
			}
			checkCovered(t, []byte(data), got)
		})
	}
}

// sorted is an object with its members in alphabetical order, as jq -S writes it.
func sorted(object string) string {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		panic(err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// What stands around an event stays with it; what is around a list does not.
func TestCarrierRaw(t *testing.T) {
	for _, c := range []struct{ data, raw string }{
		{sample(1) + "\r\n", sample(1)},
		{"host " + sample(1) + "\n", "host " + sample(1)},
		{cloudWatch(sample(1)) + "\n", cloudWatch(sample(1))},
		{"[ " + sample(1) + " ]", sample(1)},
		{`{"records":[` + azure(sample(1)) + `]}`, azure(sample(1))},
		{gke + "\n", gke},
	} {
		got := readString(c.data)
		if len(got.raws) != 1 || got.raws[0] != c.raw {
			t.Errorf("raw %q, want %q", got.raws, c.raw)
		}
	}
}

// An item is of the form that it has by itself: no list says more of it.
func TestCarrierForm(t *testing.T) {
	for _, version := range []string{"v1", "v1beta1", "v1alpha1"} {
		list := `{"kind":"EventList","apiVersion":"audit.k8s.io/` + version + `","metadata":{},"items":[` + sampleItem(1) + "," +
			strings.Replace(sample(2), "audit.k8s.io/v1", "audit.k8s.io/"+version, 1) + "]}"
		r := NewReader(strings.NewReader(list), ReaderConfig{})
		var e Event
		if err := r.Next(&e); err != nil || e.Form != FormV1Item {
			t.Errorf("%s: form %d, %v", version, e.Form, err)
		}
		want := map[string]Form{"v1": FormV1, "v1beta1": FormV1Beta1, "v1alpha1": FormV1Alpha1}[version]
		if err := r.Next(&e); err != nil || e.Form != want {
			t.Errorf("%s: form %d, %v", version, e.Form, err)
		}
	}
}

// columns is the text columns of an event that are not empty.
func columns(e *Event) map[Column]string {
	m := make(map[Column]string)
	for c, text := range e.Text {
		if len(text) > 0 {
			m[Column(c)] = string(text)
		}
	}
	return m
}

func TestGKE(t *testing.T) {
	r := NewReader(strings.NewReader(gke+"\n"+sample(1)), ReaderConfig{Source: "export.json"})
	var e Event
	if err := r.Next(&e); err != nil {
		t.Fatal(err)
	}
	want := map[Column]string{
		AuditID: "0f1e", Username: "alice@example.com", UserAgent: "kubectl/v1.36.3", SourceIPs: `["203.0.113.7"]`,
		Verb: "create", Resource: "pods", Subresource: "exec", Namespace: "shop", Name: "web-0", APIVersion: "v1",
		Message: "Forbidden", Decision: "allow", Reason: "access granted by IAM permissions.",
		Annotations: `{"k8s.io/deprecated":"true"}`, Cluster: "prod-1", Source: "export.json",
	}
	if diff := cmp.Diff(want, columns(&e)); diff != "" {
		t.Error(diff)
	}
	micros, _, _ := parseTime([]byte("2026-11-20T15:37:15.398305Z"))
	if e.Code != 403 || e.Received != micros || e.Staged != NoTime || e.Time() != micros {
		t.Errorf("code %d, times %d %d", e.Code, e.Received, e.Staged)
	}
	if string(e.RequestObject) != `{"@type":"core.k8s.io/v1.PodExecOptions","command":["sh"]}` || e.ResponseObject != nil {
		t.Errorf("bodies %s %s", e.RequestObject, e.ResponseObject)
	}
	if err := r.Next(&e); err != nil || len(e.Text[Cluster]) != 0 {
		t.Errorf("%v: the cluster %q stays", err, e.Text[Cluster])
	}
}

func TestGKEStatus(t *testing.T) {
	for status, want := range map[string]int32{
		`{}`: 0, `{"message":"x"}`: 0, `{"code":0}`: 200, `{"code":5}`: 404, `{"code":6}`: 409, `{"code":16}`: 401,
		`{"code":409}`: 409, `{"code":99}`: 0, `{"code":-1}`: 0,
	} {
		r := NewReader(strings.NewReader(strings.Replace(gke, `{"code":7,"message":"Forbidden"}`, status, 1)), ReaderConfig{})
		var e Event
		if err := r.Next(&e); err != nil || e.Code != want {
			t.Errorf("%s: %d, want %d (%v)", status, e.Code, want, err)
		}
	}
}

func TestGKEObject(t *testing.T) {
	for _, c := range []struct{ method, resource, want string }{
		{"io.k8s.core.v1.pods.create", "core/v1/namespaces/shop/pods/web-0", "create  v1 pods shop web-0 "},
		{"io.k8s.core.v1.namespaces.delete", "core/v1/namespaces/shop", "delete  v1 namespaces shop shop "},
		{"io.k8s.core.v1.namespaces.finalize.update", "core/v1/namespaces/shop/finalize", "update  v1 namespaces shop shop finalize"},
		{"io.k8s.core.v1.nodes.list", "core/v1/nodes", "list  v1 nodes   "},
		{"io.k8s.apps.v1.deployments.scale.patch", "apps/v1/namespaces/a/deployments/d/scale", "patch apps v1 deployments a d scale"},
		{"io.k8s.authorization.rbac.v1.clusterroles.get", "rbac.authorization.k8s.io/v1/clusterroles/view", "get rbac.authorization.k8s.io v1 clusterroles  view "},
		{"io.k8s.get", "healthz", "get      "},
	} {
		entry := gkeEntry{}
		entry.ProtoPayload.MethodName, entry.ProtoPayload.ResourceName = c.method, c.resource
		var e Event
		entry.fill(&e)
		got := fmt.Sprintf("%s %s %s %s %s %s %s", e.Text[Verb], e.Text[APIGroup], e.Text[APIVersion], e.Text[Resource], e.Text[Namespace], e.Text[Name], e.Text[Subresource])
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.method, got, c.want)
		}
	}
}

// The decision is what was granted, where no label says it.
func TestGKEDecision(t *testing.T) {
	denied := strings.Replace(gke, `"granted":true,`, ``, 1)
	r := NewReader(strings.NewReader(denied), ReaderConfig{Cluster: "mine"})
	var e Event
	if err := r.Next(&e); err != nil || string(e.Text[Decision]) != "forbid" || string(e.Text[Cluster]) != "mine" {
		t.Errorf("%v %q %q", err, e.Text[Decision], e.Text[Cluster])
	}
	other := strings.Replace(gke, `"serviceName":"k8s.io"`, `"serviceName":"container.googleapis.com"`, 1)
	if got := readString(other); len(got.ids) != 0 || len(got.faults) != 1 {
		t.Errorf("the cloud's own API: %v", got)
	}
}

func TestUnpack(t *testing.T) {
	one, two := streamOf(1, 2, sample, "", "\n"), streamOf(3, 4, sample, "", "\n")
	for name, data := range map[string]string{
		"x":                  one,
		"x/logs/audit-0.log": tarred(one),
	} {
		t.Run(name, func(t *testing.T) { checkUnpack(t, data, []string{name}, 2) })
	}
	checkUnpack(t, gzipped(one), []string{"x"}, 2)
	checkUnpack(t, zstded(one), []string{"x"}, 2)
	checkUnpack(t, "\x50\x2a\x4d\x18\x02\x00\x00\x00ab"+zstded(one), []string{"x"}, 2)
	checkUnpack(t, gzipped(zstded(one)), []string{"x"}, 2)
	checkUnpack(t, gzipped(tarred(one, gzipped(two))), []string{"x/logs/audit-0.log", "x/logs/audit-1.log"}, 4)
	checkUnpack(t, zstded(tarred(gzipped(tarred(one)), two)), []string{"x/logs/audit-0.log/logs/audit-0.log", "x/logs/audit-1.log"}, 4)
	checkUnpack(t, tarred(one, "I1120 15:34:42 klog\n", two), []string{"x/logs/audit-0.log", "x/logs/audit-1.log", "x/logs/audit-2.log"}, 4)
}

func checkUnpack(t *testing.T, data string, members []string, events int) {
	t.Helper()
	var names []string
	n := 0
	err := Unpack(strings.NewReader(data), "x", func(member string, plain io.Reader) error {
		names = append(names, member)
		n += len(read(NewReader(plain, ReaderConfig{}), nil).ids)
		return nil
	})
	if err != nil || fmt.Sprint(names) != fmt.Sprint(members) || n != events {
		t.Errorf("%v %v, %d events, want %v, %d", err, names, n, members, events)
	}
}

// Too many layers are damage, not a stack of any depth.
func TestUnpackDepth(t *testing.T) {
	data := sample(1)
	for range maxLayers {
		data = gzipped(data)
	}
	checkUnpack(t, data, []string{"x"}, 1)
	err := Unpack(strings.NewReader(gzipped(data)), "x", func(_ string, plain io.Reader) error {
		got := read(NewReader(plain, ReaderConfig{}), nil)
		if len(got.faults) != 1 || !strings.Contains(got.faults[0].Reason, "more than 8") {
			t.Errorf("%v", got)
		}
		return got.err
	})
	if err != nil {
		t.Error(err)
	}
}

// An archive that is cut between its members is damage, after the members before.
func TestUnpackCutTar(t *testing.T) {
	whole := tarred(sample(1), sample(2))
	n := 0
	err := Unpack(strings.NewReader(whole[:1700]), "x", func(string, io.Reader) error { n++; return nil })
	var damage *Damage
	if n != 1 || !errors.As(err, &damage) || damage.Format != "tar" {
		t.Errorf("%d members, %v", n, err)
	}
}

// An error of the source is not damage, and an error of visit comes back.
func TestUnpackErrors(t *testing.T) {
	broken := errors.New("input/output error")
	source := func() io.Reader {
		return io.MultiReader(strings.NewReader(gzipped(before)[:1000]), errReader{broken})
	}
	err := Unpack(source(), "x", func(_ string, plain io.Reader) error {
		return read(NewReader(plain, ReaderConfig{}), nil).err
	})
	if err != broken {
		t.Errorf("%v", err)
	}
	if err := Unpack(source(), "x", func(string, io.Reader) error { return io.ErrClosedPipe }); err != io.ErrClosedPipe {
		t.Errorf("%v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestSniff(t *testing.T) {
	for data, want := range map[string]string{
		"":                     "an empty file",
		sample(1):              "audit events in JSON lines",
		bom + "\n" + sample(1): "audit events behind something else",
		sampleLegacy(1):        "audit events in the legacy format",
		items(""):              "audit events in EventLists",
		"[" + sample(1):        "audit events in an array",
		gzipped("x"):           "a gzip file",
		tarred("x"):            "a tar archive",
		"PK\x03\x04":           "a zip file; unpack it first",
		"\x00\x00\x00":         "a hole: nothing but NUL bytes",
		"a\x00b":               "a binary file",
		"I1120 15:34:42.367674   14981 flags.go:64] FLAG\n":     "a component's own log (klog), not an audit log",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n":   "an audit policy, not an audit log",
		"apiVersion: v1\nclusters:\n- cluster:\nkind: Config\n": "a kubeconfig",
		"apiVersion: v1\nkind: Pod\n":                           "Kubernetes objects, not audit events",
		`{"apiVersion":"v1","items":[],"kind":"List"}`:          "Kubernetes objects, not audit events",
		gke:                         "audit events in a form of their own",
		`{"a":1}`:                   "JSON, but no audit events",
		"time=x level=info msg=y\n": "a program's own log, not an audit log",
		"hello":                     "text, but no audit log",
	} {
		if got := Sniff([]byte(data)); got != want {
			t.Errorf("%.40q: %q, want %q", data, got, want)
		}
	}
}

// A policy and a component's own log are told for what they are.
func TestSniffCorpus(t *testing.T) {
	for name, want := range map[string]string{
		"policy.yaml":               "an audit policy, not an audit log",
		"kube-apiserver.stderr.log": "a component's own log (klog), not an audit log",
		"audit.log":                 "audit events in JSON lines",
	} {
		m := corpustest.Members(t, "kill9-blocking", name)[0]
		if got := Sniff(m.Data[:min(len(m.Data), 4096)]); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if name != "audit.log" {
			if got := read(NewReader(bytes.NewReader(m.Data), ReaderConfig{}), nil); len(got.ids) > 0 {
				t.Errorf("%s: %d events", name, len(got.ids))
			}
		}
	}
}

package patch

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubetrail/internal/schema"
	"kubetrail/internal/stored"
	"kubetrail/internal/tree"
)

// TestJSONPatch is RFC 6902 as kube-apiserver v1.36 does it.
func TestJSONPatch(t *testing.T) {
	for _, c := range []struct{ doc, patch, want string }{
		{`{"a":1}`, `[{"op":"add","path":"/b","value":2}]`, `{"a":1,"b":2}`},
		{`{"a":[1,3]}`, `[{"op":"add","path":"/a/1","value":2}]`, `{"a":[1,2,3]}`},
		{`{"a":[1]}`, `[{"op":"add","path":"/a/-","value":2}]`, `{"a":[1,2]}`},
		{`{"a":[1,2]}`, `[{"op":"add","path":"/a/-1","value":3}]`, `{"a":[1,2,3]}`}, // not of the RFC
		{`{"a":[1]}`, `[{"op":"add","path":"/a/2","value":2}]`, "error"},
		{`{"a":1}`, `[{"op":"add","path":"/b/c","value":2}]`, "error"},
		{`{"a":1,"b":2}`, `[{"op":"remove","path":"/a"}]`, `{"b":2}`},
		{`{"a":[1,2]}`, `[{"op":"remove","path":"/a/-1"}]`, `{"a":[1]}`},
		{`{"b":2}`, `[{"op":"remove","path":"/a"}]`, "error"},
		{`{"a":1}`, `[{"op":"replace","path":"/a","value":null}]`, `{"a":null}`},
		{`{}`, `[{"op":"replace","path":"/a","value":1}]`, `{"a":1}`}, // not of the RFC
		{`{"a":{"b":[{"c":1}]}}`, `[{"op":"replace","path":"/a/b/0/c","value":2}]`, `{"a":{"b":[{"c":2}]}}`},
		{`{"a":1}`, `[{"op":"move","from":"/a","path":"/b"}]`, `{"b":1}`},
		{`{"a":[1,2,3]}`, `[{"op":"move","from":"/a/0","path":"/a/-"}]`, `{"a":[2,3,1]}`},
		{`{"a":{"x":1}}`, `[{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/b/y","value":2}]`, `{"a":{"x":1},"b":{"x":1,"y":2}}`},
		{`{"a/b":1,"c~d":2}`, `[{"op":"remove","path":"/a~1b"},{"op":"test","path":"/c~0d","value":2}]`, `{"c~d":2}`},
		{`{"a":1}`, `[{"op":"test","path":"/a","value":2}]`, "error"},
		{`{"a":1}`, `[{"op":"test","path":"/b","value":null}]`, `{"a":1}`},
		{`{"a":[1.0]}`, `[{"op":"test","path":"/a","value":[1]}]`, `{"a":[1]}`},
		{`{"a":1}`, `[{"op":"spread","path":"/a"}]`, "error"},
		{`{"a":1}`, `[{"op":"add","value":1}]`, "error"},
		{`{"a":1}`, `[]`, `{"a":1}`},
		{`{"a":1}`, `[{"op":"replace","path":"","value":{"b":1}}]`, `{"b":1}`},
	} {
		doc, patch, want := values3(t, c.doc, c.patch, c.want)
		got, err := tree.JSONPatch(doc, tree.List(patch))
		if err != nil {
			got = "error"
		}
		if !tree.Equal(got, want) {
			t.Errorf("%s with %s: %v, %v", c.doc, c.patch, got, err)
		}
	}
}

func values3(t *testing.T, texts ...string) (a, b, c any) {
	t.Helper()
	var out [3]any
	for i, text := range texts {
		if text == "error" {
			out[i] = text
			continue
		}
		v, err := tree.Decode([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		out[i] = v
	}
	return out[0], out[1], out[2]
}

// TestMergePatch is the table of RFC 7386, appendix A, but for patches that are no objects.
func TestMergePatch(t *testing.T) {
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`}, {`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`}, {`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`}, {`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`}, {`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		doc, patch, want := values3(t, c[0], c[1], c[2])
		if got := tree.MergePatch(doc, patch); !tree.Equal(got, want) {
			t.Errorf("%s with %s: %v", c[0], c[1], got)
		}
	}
}

func TestStrategicMergePatch(t *testing.T) {
	deployment := schema.TypeOf("apps", "v1", "Deployment")
	const before = `{metadata: {finalizers: [a, b], labels: {x: "1"}}, spec: {strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}},
  template: {spec: {containers: [{name: one, image: a, args: [x]}, {name: two, image: b}], volumes: [{name: v, emptyDir: {}}]}}}}`
	for name, c := range map[string]struct{ patch, want string }{
		"containers are merged by name": {`{spec: {template: {spec: {containers: [{name: two, image: c}]}}}}`,
			strings.Replace(before, "image: b", "image: c", 1)},
		"a new one comes first, as nothing says where": {`{spec: {template: {spec: {containers: [{name: three, image: c}]}}}}`,
			strings.Replace(before, "[{name: one", "[{name: three, image: c}, {name: one", 1)},
		"atomic lists are replaced": {`{spec: {template: {spec: {containers: [{name: one, args: [y, z]}]}}}}`,
			strings.Replace(before, "args: [x]", "args: [y, z]", 1)},
		"an item is deleted": {`{spec: {template: {spec: {containers: [{name: two, $patch: delete}]}}}}`,
			strings.Replace(before, ", {name: two, image: b}", "", 1)},
		"a list is replaced": {`{spec: {template: {spec: {containers: [{$patch: replace}, {name: x}]}}}}`,
			strings.Replace(before, "[{name: one, image: a, args: [x]}, {name: two, image: b}]", "[{name: x}]", 1)},
		"an order is set": {`{spec: {template: {spec: {$setElementOrder/containers: [{name: two}, {name: one}]}}}}`,
			strings.Replace(before, "[{name: one, image: a, args: [x]}, {name: two, image: b}]", "[{name: two, image: b}, {name: one, image: a, args: [x]}]", 1)},
		"sets are united": {`{metadata: {finalizers: [c]}}`, strings.Replace(before, "[a, b]", "[c, a, b]", 1)},
		"a value is deleted from a set, another ordered": {`{metadata: {$deleteFromPrimitiveList/finalizers: [a], $setElementOrder/finalizers: [b, c], finalizers: [c]}}`,
			strings.Replace(before, "[a, b]", "[b, c]", 1)},
		"keys are retained": {`{spec: {strategy: {$retainKeys: [type], type: Recreate}}}`,
			strings.Replace(before, "{type: RollingUpdate, rollingUpdate: {maxSurge: 1}}", "{type: Recreate}", 1)},
		"a volume changes its source": {`{spec: {template: {spec: {volumes: [{name: v, $retainKeys: [name, configMap], configMap: {name: c}}]}}}}`,
			strings.Replace(before, "emptyDir: {}", "configMap: {name: c}", 1)},
		"null deletes":             {`{metadata: {labels: {x: null}}}`, strings.Replace(before, `labels: {x: "1"}`, "labels: {}", 1)},
		"an object is replaced":    {`{metadata: {labels: {$patch: replace, z: "2"}}}`, strings.Replace(before, `{x: "1"}`, `{z: "2"}`, 1)},
		"an item without its key":  {`{spec: {template: {spec: {containers: [{image: c}]}}}}`, ""},
		"an unknown directive":     {`{metadata: {labels: {$patch: improve}}}`, ""},
		"an order that is broken":  {`{spec: {template: {spec: {$setElementOrder/containers: [{name: two}], containers: [{name: one}]}}}}`, ""},
		"keys that are not listed": {`{spec: {strategy: {$retainKeys: [type], rollingUpdate: {}}}}`, ""},
	} {
		got, err := strategicPatch(value(t, before), value(t, c.patch), deployment)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: %v", name, got)
			}
			continue
		}
		if diff := cmp.Diff(value(t, c.want), got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestQuantity(t *testing.T) {
	for in, want := range map[string]string{"100m": "100m", "1000m": "1", "1.5": "1500m", "0.1": "100m", "1024Mi": "1Gi", "1000Mi": "1000Mi",
		"1Ki": "1Ki", "512": "512", "1e3": "1e3", "1000": "1k", "2000k": "2M", "0": "0", "0.0": "0", "1.5Gi": "1536Mi", "0.5Ki": "512", "12e6": "12e6",
		"1P": "1P", "1E": "", "+5": "5", "-1": "-1", "100u": "100u", "1n": "1n", ".5": "500m", "5.": "5", "010": "10", "1Z": "", "": "", "m": "", "1.2.3": "",
		"--1": "", "1e": "", "99999999999999999999": "", "1 2": "", "1KI": ""} {
		if got, err := stored.Quantity(in, false); got != want || (err == nil) == (want == "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	if got, _ := stored.Quantity("100u", true); got != "1m" {
		t.Errorf("100u in a ResourceList: %q", got)
	}
}

// steps rebuilds an object through several requests.
func steps(t *testing.T, first string, requests ...*Request) *Version {
	t.Helper()
	v := Recorded(value(t, first))
	for _, r := range requests {
		if r.Verb == "" {
			r.Verb = "patch"
		}
		o := v.Object
		r.Group, r.Version = tree.SplitGroupVersion(tree.Text(o["apiVersion"]))
		r.Resource = strings.ToLower(tree.Text(o["kind"])) + "s"
		v = Rebuild(v, r)
	}
	return v
}

const configMap = `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, uid: u, creationTimestamp: "2026-11-20T10:00:00Z",
  managedFields: [{manager: kubectl, operation: Update, apiVersion: v1, fieldsV1: {"f:data": {".": {}, "f:a": {}}}}]}, data: {a: "1"}}`

func TestApply(t *testing.T) {
	apply := func(manager, data, force string) *Request {
		return &Request{URI: "/x?fieldManager=" + manager + force, Body: []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":` + data + `}`)}
	}
	for name, c := range map[string]struct {
		requests []*Request
		sure     Certainty
		data     string
	}{
		"what is applied is merged":                   {[]*Request{apply("one", `{"b":"2"}`, "&force=false")}, Exact, `{a: "1", b: "2"}`},
		"what is no longer applied is taken away":     {[]*Request{apply("one", `{"b":"2","c":"3"}`, "&force=true"), apply("one", `{"b":"2"}`, "&force=true")}, Exact, `{a: "1", b: "2"}`},
		"unless somebody else applied it":             {[]*Request{apply("one", `{"b":"2"}`, "&force=true"), apply("two", `{"b":"2"}`, "&force=true"), apply("one", `{}`, "&force=true")}, Exact, `{a: "1", b: "2"}`},
		"or changed it":                               {[]*Request{apply("one", `{"b":"2"}`, "&force=true"), {URI: "/x", UserAgent: "curl", Body: []byte(`{"data":{"b":"3"}}`)}, apply("one", `{}`, "&force=true")}, Exact, `{a: "1", b: "3"}`},
		"a conflict cannot have succeeded":            {[]*Request{apply("one", `{"a":"2"}`, "&force=false")}, Unknown, ""},
		"force takes over":                            {[]*Request{apply("one", `{"a":"2"}`, "&force=true"), apply("one", `{}`, "&force=true")}, Exact, ""},
		"without force in the URI it can be any":      {[]*Request{apply("one", `{"b":null}`, "")}, Derived, `{a: "1", b: ""}`},
		"but not an apply that would have conflicted": {[]*Request{apply("one", `{"a":null,"b":"2"}`, "")}, Exact, `{b: "2"}`},
	} {
		v := steps(t, configMap, c.requests...)
		if v.Sure != c.sure {
			t.Errorf("%s: %s, %s", name, v.Sure, v.Why.En)
			continue
		}
		want := value(t, "{}")
		if c.data != "" {
			want = value(t, "{data: "+c.data+"}")
		}
		if diff := cmp.Diff(want["data"], v.Object["data"]); v.Object != nil && diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// Whose fields they are is not known where managedFields were not recorded.
	bare := strings.Replace(configMap, "managedFields", "annotations: {}, otherFields", 1)
	if v := steps(t, bare, apply("one", `{"b":"2"}`, "&force=true")); v.Sure != Derived {
		t.Errorf("without managedFields: %s", v.Sure)
	}
}

// TestCertainty names what makes an object uncertain, and what does not.
func TestCertainty(t *testing.T) {
	const deployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, uid: u, creationTimestamp: "2026-11-20T10:00:00Z", generation: 1},
  spec: {replicas: 1, selector: {matchLabels: {a: b}}, strategy: {type: Recreate}, revisionHistoryLimit: 10, progressDeadlineSeconds: 600,
    template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "i:1", imagePullPolicy: IfNotPresent, resources: {}, tty: true,
      terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File}], dnsPolicy: ClusterFirst, restartPolicy: Always,
      schedulerName: default-scheduler, securityContext: {}, terminationGracePeriodSeconds: 30}}}, status: {}}`
	for name, c := range map[string]struct {
		sub, patch, annotations string
		sure                    Certainty
		path                    string // where, with dots, want stands
		want                    any
	}{
		"a number":                   {"", `{"spec":{"replicas":3}}`, "", Exact, "spec.replicas", int64(3)},
		"it is counted":              {"", `{"spec":{"replicas":3}}`, "", Exact, "metadata.generation", int64(2)},
		"no change":                  {"", `{"spec":{"replicas":1}}`, "", Exact, "metadata.generation", int64(1)},
		"a default":                  {"", `{"spec":{"replicas":null}}`, "", Exact, "spec.replicas", int64(1)},
		"a new strategy":             {"", `{"spec":{"strategy":{"type":"RollingUpdate"}}}`, "", Exact, "spec.strategy.rollingUpdate.maxSurge", "25%"},
		"the status":                 {"", `{"status":{"replicas":3}}`, "", Exact, "status.replicas", nil},
		"the status by /status":      {"status", `{"status":{"replicas":3}}`, "", Exact, "status.replicas", int64(3)},
		"the spec by /status":        {"status", `{"spec":{"replicas":3}}`, "", Exact, "spec.replicas", int64(1)},
		"unknown fields":             {"", `{"spec":{"replica":3}}`, "", Exact, "spec.replica", nil},
		"the uid":                    {"", `{"metadata":{"uid":"v"}}`, "", Unknown, "", nil},
		"another type":               {"", `{"spec":{"replicas":"3"}}`, "", Unknown, "", nil},
		"merge or strategic":         {"", `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i:2"}]}}}}`, "", Derived, "", nil},
		"it must be strategic":       {"", `{"spec":{"template":{"spec":{"containers":[{"name":"c","tty":false}]}}}}`, "", Exact, "", nil},
		"a webhook":                  {"", `{"spec":{"replicas":3}}`, `{"mutation.webhook.admission.k8s.io/round_0_index_0":"{\"configuration\":\"c\",\"webhook\":\"w\",\"mutated\":true}"}`, Derived, "", nil},
		"a webhook that did nothing": {"", `{"spec":{"replicas":3}}`, `{"mutation.webhook.admission.k8s.io/round_0_index_0":"{\"configuration\":\"c\",\"webhook\":\"w\",\"mutated\":false}"}`, Exact, "", nil},
		"a webhook with its patch":   {"", `{"spec":{"replicas":3}}`, `{"mutation.webhook.admission.k8s.io/round_0_index_0":"{\"mutated\":true}","patch.webhook.admission.k8s.io/round_0_index_0":"{\"patch\":[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":7}],\"patchType\":\"JSONPatch\"}"}`, Exact, "spec.replicas", int64(7)},
		"scale":                      {"scale", `{"spec":{"replicas":5}}`, "", Exact, "spec.replicas", int64(5)},
		"another subresource":        {"eviction", `{"spec":{"replicas":5}}`, "", Unknown, "", nil},
		"no body":                    {"", ``, "", Unknown, "", nil},
	} {
		v := steps(t, deployment, &Request{Subresource: c.sub, URI: "/x", UserAgent: "curl", Body: []byte(c.patch), Annotations: []byte(c.annotations)})
		if v.Sure != c.sure || c.sure != Exact && (v.Why.En == "" || v.Why.Zh == "") {
			t.Errorf("%s: %s, %+v", name, v.Sure, v.Why)
		}
		if c.path != "" && tree.At(v.Object, strings.Split(c.path, ".")...) != c.want {
			t.Errorf("%s: %v", name, tree.At(v.Object, strings.Split(c.path, ".")...))
		}
	}
}

// TestUpdateEndsDoubt has an update tell again what a patch left open.
func TestUpdateEndsDoubt(t *testing.T) {
	const quota = `{apiVersion: v1, kind: ResourceQuota, metadata: {name: q, uid: u, creationTimestamp: "2026-11-20T10:00:00Z", finalizers: [a, b]}, spec: {hard: {pods: "1"}}, status: {}}`
	open := &Request{URI: "/x", UserAgent: "curl", Body: []byte(`{"metadata":{"finalizers":["c"]}}`)}
	if v := steps(t, quota, open); v.Sure != Derived {
		t.Fatalf("two readings: %s", v.Sure)
	}
	update := &Request{Verb: "update", URI: "/x", UserAgent: "curl", Body: []byte(`{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q","finalizers":["d"]},"spec":{"hard":{"pods":"2"}},"status":{"hard":{"pods":"9"}}}`)}
	v := steps(t, quota, open, update)
	if v.Sure != Exact || len(tree.List(tree.At(v.Object, "metadata", "finalizers"))) != 1 || tree.At(v.Object, "spec", "hard", "pods") != "2" || tree.At(v.Object, "status", "hard") != nil {
		t.Errorf("%s %+v", v.Sure, v.Object)
	}
	// So does one after a webhook whose patch was not recorded, but not of what it leaves alone.
	const mutated = `{"mutation.webhook.admission.k8s.io/round_0_index_0":"{\"mutated\":true}"}`
	webhook := &Request{URI: "/x", UserAgent: "curl", Body: []byte(`{"spec":{"hard":{"pods":"3"}}}`), Annotations: []byte(mutated)}
	if v := steps(t, quota, webhook, update); v.Sure != Exact {
		t.Errorf("after a webhook: %s, %s", v.Sure, v.Why.En)
	}
	webhook = &Request{Subresource: "status", URI: "/x", UserAgent: "curl", Body: []byte(`{"status":{"hard":{"pods":"3"}}}`), Annotations: []byte(mutated)}
	if v := steps(t, quota, webhook, update); v.Sure != Derived {
		t.Errorf("after one that changed the status: %s", v.Sure)
	}
}

// TestCreated rebuilds an object from the body that created it.
func TestCreated(t *testing.T) {
	body := []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"shop"},"data":{"a":"1"}}`)
	r := &Request{Verb: "create", Version: "v1", Resource: "configmaps", Namespace: "shop", URI: "/x", UserAgent: "kubectl/v1", Body: body,
		Received: 1_700_000_000_100_000, Staged: 1_700_000_000_200_000}
	v := Rebuild(nil, r)
	if diff := cmp.Diff([]string{"metadata.uid"}, stored.Missing(v.Object)); v.Sure != Exact || diff != "" || tree.At(v.Object, "metadata", "creationTimestamp") != "2023-11-14T22:13:20Z" {
		t.Errorf("%s %s %v", v.Sure, diff, v.Object)
	}
	// Its fields are those of who created it: another cannot apply over them.
	apply := &Request{Verb: "patch", Version: "v1", Resource: "configmaps", URI: "/x?fieldManager=other&force=false",
		Body: []byte(`{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"2"}}`)}
	if next := Rebuild(v, apply); next.Sure != Unknown {
		t.Errorf("an apply that conflicts: %s", next.Sure)
	}
	r.Staged += 1_000_000
	if v := Rebuild(nil, r); tree.At(v.Object, "metadata", "creationTimestamp") != nil {
		t.Error("the second is not certain")
	}
	if v := Rebuild(&Version{}, apply); v.Sure != Unknown {
		t.Errorf("an apply to an object that is not known: %s", v.Sure)
	}
}

// TestLargeLists has hostile patches done in time that grows with their size.
func TestLargeLists(t *testing.T) {
	var items, order strings.Builder
	for i := range 30_000 {
		if i > 0 {
			items.WriteByte(',')
			order.WriteByte(',')
		}
		fmt.Fprintf(&items, `{"name":"n%d","value":"x"}`, i)
		fmt.Fprintf(&order, `{"name":"n%d"}`, 29_999-i)
	}
	pod := value(t, `{apiVersion: v1, kind: Pod, metadata: {name: p, uid: u}, spec: {containers: [{name: c, image: i}]}}`)
	v := Recorded(pod)
	for _, env := range []string{`"env":[` + items.String() + `]`, `"$setElementOrder/env":[` + order.String() + `],"env":[{"name":"n5","value":"y"}]`, `"env":[{"$patch":"delete","name":"n7"}]`} {
		body := `{"spec":{"containers":[{"name":"c",` + env + `}]}}`
		v = Rebuild(v, &Request{Verb: "patch", Version: "v1", Resource: "pods", URI: "/x?fieldManager=a", Body: []byte(body)})
	}
	tree.Changes(pod, v.Object)

	refs := strings.ReplaceAll(strings.ReplaceAll(items.String(), `"name"`, `"apiVersion":"v1","kind":"Pod","name":"x","uid"`), `,"value":"x"`, "")
	for _, patch := range []string{`{"metadata":{"ownerReferences":[` + refs + `]}}`, `[{"op":"add","path":"/metadata/ownerReferences","value":[` + refs + `]}]`} {
		v := Rebuild(Recorded(value(t, configMap)), &Request{Verb: "patch", Version: "v1", Resource: "configmaps", URI: "/x", Body: []byte(patch)})
		if len(tree.List(tree.At(v.Object, "metadata", "ownerReferences"))) != 30_000 {
			t.Errorf("%s, %s", v.Sure, v.Why.En)
		}
	}
}

func FuzzRebuild(f *testing.F) {
	for _, l := range lives(f) {
		for i := range min(3, len(l.Steps)) {
			r := l.request(i)
			f.Add([]byte(l.First), []byte(r.Body), r.URI, r.Subresource, []byte(nil))
		}
	}
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"managedFields":[{"fieldsV1":{"f:spec":{"k:{":{}}}}]}}`), []byte(`{"spec":null}`), "?force=&fieldManager=x", "", []byte(`{"mutation.webhook.admission.k8s.io/x":"{}"}`))
	f.Fuzz(func(t *testing.T, first, body []byte, uri, sub string, annotations []byte) {
		v, err := tree.Decode(first)
		o := tree.Object(v)
		if err != nil || o == nil {
			return
		}
		r := &Request{Verb: "patch", URI: uri, Subresource: sub, Body: body, Annotations: annotations}
		r.Group, r.Version = tree.SplitGroupVersion(tree.Text(o["apiVersion"]))
		for _, known := range schema.Resources() {
			if known.Group == r.Group && known.Kind == tree.Text(o["kind"]) {
				r.Resource = known.Name
			}
		}
		was := tree.Compact(o)
		before := Recorded(o)
		for _, verb := range []string{"patch", "update", "create"} {
			r.Verb = verb
			next := Rebuild(before, r)
			if (next.Object == nil) != (next.Sure == Unknown) || (next.Sure == Exact) != (next.Why.En == "") {
				t.Fatalf("%s: %s, %q, %v", verb, next.Sure, next.Why.En, next.Object)
			}
			if next.Object != nil {
				stored.Missing(next.Object)
				Rebuild(next, r)
			}
			Rebuild(nil, r)
		}
		if tree.Compact(o) != was {
			t.Fatal("the version before was changed")
		}
	})
}

func FuzzQuantity(f *testing.F) {
	for _, s := range []string{"1", "1.5Gi", "-3e-2", "100m", "9999999999999999999E"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, milli := range []bool{false, true} {
			q, err := stored.Quantity(s, milli)
			if err != nil {
				continue
			}
			if again, err := stored.Quantity(q, milli); again != q || err != nil {
				t.Fatalf("%q becomes %q, and that %q, %v", s, q, again, err)
			}
		}
	})
}

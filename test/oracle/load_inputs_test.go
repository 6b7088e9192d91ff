package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/runtime"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"kubetrail/policy"
)

// input is one of our own.
type input struct{ name, data string }

const (
	policyHead = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
	policyTail = "rules:\n- level: Metadata\n"
)

// ownInputs are those whose verdicts package policy keeps in its testdata.
func ownInputs() (inputs []input) {
	add := func(name string, data ...string) {
		inputs = append(inputs, input{name, strings.Join(data, "")})
	}
	for _, v := range []string{"audit.k8s.io/v1", "audit.k8s.io/v1beta1", "audit.k8s.io/v1alpha1", "audit.k8s.io/v2", "audit.k8s.io/__internal",
		"audit.k8s.io/", "audit.k8s.io", "/v1", "/", "v1", "foo/", "foo/v1", "foo/__internal", "__internal", "a/b/c", `""`, "null", "1", "[]", "true"} {
		for _, kind := range []string{"kind: Policy\n", "", "kind: Event\n", "kind: Nope\n", "kind: Status\n", "kind: WatchEvent\n"} {
			add("version "+v+" "+strings.TrimSpace(kind), "apiVersion: ", v, "\n", kind, policyTail)
		}
	}
	for _, kind := range []string{"PolicyList", "Event", "EventList", "WatchEvent", "ListOptions", "GetOptions", "DeleteOptions", "CreateOptions",
		"UpdateOptions", "PatchOptions", "Status", "APIVersions", "APIGroupList", "APIGroup", "APIResourceList", "Table", "List", "policy", `""`, "5", "[]"} {
		add("kind "+kind, "apiVersion: audit.k8s.io/v1\nkind: ", kind, "\n")
		add("core kind "+kind, "apiVersion: v1\nkind: ", kind, "\n")
		add("kind without version "+kind, "kind: ", kind, "\n", policyTail)
		add("internal kind "+kind, "apiVersion: audit.k8s.io/__internal\nkind: ", kind, "\nItems: 5\nLevel: 5\nType: 5\nObject: {a: 1}\n")
	}
	for _, rule := range []string{
		"level: metadata", "level: ''", "level: null", "level: 5", "level: no", `level: "<&>\u2028"`, `level: "a\"b\\c\td"`, "level: é", "levle: None",
		"level: None\n  nonResourceURLs: [/a, b, '*', '', '*/', /a*b, '/*', '**']",
		"level: None\n  nonResourceURLs: ['<&>', \"\\u2028\", 'é', \"/\\x7f*\\xff*\"]",
		"level: None\n  nonResourceURLs: [/a]\n  namespaces: ['']",
		"level: None\n  nonResourceURLs: ['/<a>', '/\"b\"']\n  resources: [{}]",
		"level: None\n  resources: [{group: '*'}]",
		"level: None\n  resources: [{group: '*', resourceNames: [x]}]",
		"level: None\n  resources: [{group: Apps}, {group: a_b}, {group: Apps}, {group: -a}, {group: a.}, {group: a..b}, {group: é}]",
		"level: None\n  resources: [{group: " + strings.Repeat("a", 254) + "}, {group: " + strings.Repeat("A", 254) + "}]",
		"level: None\n  resources: [{group: " + strings.Repeat("a.", 126) + "a}]",
		"level: None\n  resources: [{resourceNames: [a, \"b\\\"<\"]}]",
		"level: None\n  resources: [{group: apps, resourceNames: [a], resources: []}]",
		"level: None\n  omitStages: [Panic, panic, '', Panic, panic]",
		"level: None\n  omitManagedFields: yes",
		"level: None\n  omitManagedFields: 'true'",
		"level: None\n  verbs: [GET, '*', get, '', 1e3]",
		"level: None\n  verbs: [y, n]", "level: None\n  users: [2024-01-01, 0x1F, 017, 1_000, .5]", "level: None\n  users: 5", "level: None\n  users: {a: b}",
		"level: None\n  resources: [pods]", "level: None\n  resources: [[pods]]", "level: None\n  resources: {group: a}",
		"level: None\n  x: 1\n  y: 2\n  'a.b[0]': 3\n  5: 6\n  1.5: 2\n  null: 3", "level: None\n  x: 1\n  \"\\n\\\"\": 3", "level: None\n  ? [a]\n  : b",
		"level: None\n  level: Metadata\n  level: None", "level: None\n  users: [a]\n  'users': [b]", "<<: {level: None}", "<<: [{level: None}, {users: [a]}]\n  level: Request",
		"level: !!str None", "level: !!binary Tm9uZQ==", "level: !!int 5", "level: !!foo None", "level: |\n    None", "level: >-\n    None",
		"&a level: None\n  users: [*a]", "level: None\n  users: &u [*u]", "level: &l None\n  users: [*l]",
	} {
		add("rule "+rule, policyHead, "rules:\n- level: None\n- ", rule, "\n")
	}
	for i, meta := range metadataInputs {
		add(fmt.Sprint("metadata ", i), policyHead, "metadata: ", meta, "\n", policyTail)
	}
	for i, text := range oddFiles {
		add(fmt.Sprint("odd ", i), text)
	}
	return append(inputs, protobufInputs()...)
}

var metadataInputs = []string{
	"null", "{}", "[]", "p", "5", "{name: 5}", "{name: null}", "{labels: {a: 1}}", "{labels: {a: null}}", "{labels: []}", "{annotations: {a/b: c}}",
	"{creationTimestamp: 2024-01-02T03:04:05Z}", "{creationTimestamp: '2024-01-02T03:04:05.678+02:00'}", "{creationTimestamp: x}", "{creationTimestamp: 5}",
	"{creationTimestamp: 2024-01-02}", "{creationTimestamp: ''}", "{creationTimestamp: null}", "{deletionTimestamp: null}", "{deletionTimestamp: []}",
	"{generation: 5}", "{generation: -5}", "{generation: 1.5}", "{generation: 1e3}", "{generation: 99999999999999999999}", "{generation: '5'}",
	"{uid: 5}", "{uid: u}", "{clusterName: c}", "{clusterName: 5}", "{selfLink: s}", "{finalizers: [a, 5]}", "{foo: bar}", "{Name: p}",
	"{ownerReferences: [{apiVersion: v1, kind: A, name: b, uid: c, controller: true}]}", "{ownerReferences: [{x: y}, {uid: 5}]}", "{ownerReferences: {}}",
	"{ownerReferences: [{controller: 'true'}]}", "{managedFields: [{manager: m, operation: Apply, time: 2024-01-02T03:04:05Z, fieldsType: FieldsV1, fieldsV1: {'f:a': {}}, subresource: s}]}",
	"{managedFields: [{fieldsV1: null}, {fieldsV1: 5}, {fieldsV1: ' a  <b>'}]}", "{managedFields: [{time: x}]}", "{managedFields: [{operation: 5}]}", "{managedFields: [5]}",
	"{managedFields: [{manger: m}], name: n, nmae: n}", "{name: a, name: b}", "{deletionGracePeriodSeconds: 5}", "{deletionGracePeriodSeconds: x}",
}

var oddFiles = []string{
	"", " ", "\n", "---\n", "---\n---\n", "...\n", "# only a comment\n", "null", "~", "5", "text", "'text'", "[]", "{}", "{ }\n", "true", "a", "- a\n",
	"\ufeff" + policyHead + policyTail, "\ufeff{}", "\ufeff", strings.ReplaceAll(policyHead+policyTail, "\n", "\r\n"), strings.ReplaceAll(policyHead+policyTail, "\n", "\r"),
	strings.ReplaceAll(policyHead+policyTail, "\n", "\u0085"), "\t" + policyHead + policyTail, policyHead + "\trules: []\n", policyHead + "rules:\n\t- level: None\n",
	policyHead + policyTail + "---\n" + policyHead, policyHead + policyTail + "...\njunk: [", "---\n" + policyHead + policyTail, "# c\n---\n# d\n" + policyHead + policyTail,
	"---\n---\n" + policyHead + policyTail, policyHead + policyTail + "  - level: None\n", policyHead + policyTail + " - level: None\n", policyHead + policyTail + "x\n",
	policyHead + "rules: [{level: None}\n", policyHead + "rules: {level: None\n", policyHead + "rules: 'x\n", policyHead + "rules: \"\\q\"\n", policyHead + "rules: *x\n",
	policyHead + "rules: &x\n", policyHead + "rules: @x\n", policyHead + "rules: `x\n", policyHead + "rules: !<x\n", policyHead + "rules: |x\n", policyHead + "rules: % x\n",
	"%YAML 1.1\n---\n" + policyHead + policyTail, "%YAML 1.2\n---\n" + policyHead + policyTail, "%YAML 1.1\n%YAML 1.1\n---\n", "%TAG ! x\n---\n" + policyHead, "%FOO\n---\n" + policyHead + policyTail,
	policyHead + "rules: \x07\n", policyHead + "rules: \x00\n", policyHead + "rules: \xff\n", policyHead + "rules: \xc3\n", policyHead + "rules: \xc3", policyHead + "rules: \xed\xa0\x80\n",
	policyHead + "rules: \U0001f600\n", policyHead + "? a\n? b\n", policyHead + "a: b: c\n", policyHead + "a:\n  b\n c\n", policyHead + "a\n", policyHead + ": a\n", policyHead + "- a\n",
	policyHead + "x: 1\nx: 2\nX: 3\n" + policyTail, policyHead + policyTail + "kind: Policy\n", policyHead + policyTail + "apiVersion: audit.k8s.io/v1\napiVersion: audit.k8s.io/v1\n",
	policyHead + "rules: []\nrules:\n- level: None\n", policyHead + "rules:\n", policyHead + "rules: {}\n", policyHead + "rules: x\n", policyHead + "rules: [null]\n", policyHead + "rules: [x]\n", policyHead + "rules: [[]]\n",
	policyHead + "Rules: [{level: None}]\n", policyHead + "spec:\n  rules: [{level: None}]\n", policyHead + "omitStages: Panic\n" + policyTail, policyHead + "omitStages: [Foo, '']\n" + policyTail, policyHead + "omitStages: [1]\n" + policyTail,
	policyHead + "omitStages: [Foo]\nrules:\n- level: x\n- level: y\n  resources: [{group: A, resourceNames: [b]}]\n- {}\n", policyHead + "omitManagedFields: 1\n" + policyTail, policyHead + "status: {}\n" + policyTail,
	"APIVERSION: audit.k8s.io/v1\nKIND: Policy\n" + policyTail, "apiVersion: audit.k8s.io/v1\nKind: Event\n" + policyTail, "Rules: 5\n", "Rules: [{Level: 5}]\n", "Rules: [{Resources: [{Group: 5}]}]\n", "name: 5\n", "labels: 5\n", "labels: {a: 5}\n", "Rules: [{Level: None}]\n",
	"kind: PolicyList\nItems: [{name: 5}]\n", "kind: PolicyList\nresourceVersion: 5\n", "apiVersion: audit.k8s.io/v1\nkind: PolicyList\nitems: [{kind: 5}]\n", "apiVersion: audit.k8s.io/v1\nkind: PolicyList\nitems: [{metadata: {name: 5}}]\n", "apiVersion: audit.k8s.io/v1\nkind: PolicyList\nitems: [{rules: 5}]\nmetadata: {continue: 5}\n",
	"!!map\n" + policyHead + policyTail, "!!set\n{a, b}\n", "!!omap\n- a: b\n", policyHead + "x: !!timestamp 2024-01-01\n" + policyTail, policyHead + "x: !!float 1\n" + policyTail, policyHead + "x: .nan\n" + policyTail, policyHead + "x: .inf\n" + policyTail, policyHead + "metadata: {generation: .inf}\n" + policyTail,
	policyHead + ".inf: 1\n.nan: 2\n-.inf: 3\n" + policyTail, policyHead + "1: 1\n0x1: 2\n" + policyTail, policyHead + "yes: 1\ny: 2\ntrue: 3\n" + policyTail, policyHead + "1.0: 1\n1: 2\n" + policyTail, policyHead + "~: 1\n" + policyTail, policyHead + "2024-01-01: 1\n" + policyTail, policyHead + "!!binary YQ==: 1\na: 2\n" + policyTail,
	policyHead + "99999999999999999999: 1\n-99999999999999999999: 2\n18446744073709551615: 3\n" + policyTail, policyHead + "rules: &r\n- level: None\n- *r\n", policyHead + "a: &a\n  b: *a\n" + policyTail, policyHead + "a: &a [x]\nb: &a [y]\nc: *a\n" + policyTail, policyHead + "<<: x\n" + policyTail, policyHead + "<<: [x]\n" + policyTail, policyHead + "x: {<<: {a: 1}, a: 2}\n" + policyTail,
	`{}`, `{"apiVersion":"audit.k8s.io/v1","kind":"Policy"}`, `{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{"level":"None"}]}`, `{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{"level":"None"}]} {}`, `{"apiVersion":"audit.k8s.io/v1","rules":[{"level":"None","level":"Metadata","x":1,"x":2}],"rules":[{"level":"None"}]}`,
	"\u00a0{\"a\":1}", "\u2003{}", `{"a":}`, `{"a"`, `{`, `{"a":1}x`, `{'a':1}`, `{a: 1}`, `{"apiVersion":"audit.k8s.io/v1","rules":[{"level":"\ud83d\ude00"}]}`, `{"apiVersion":"audit.k8s.io/v1","rules":[{"level":"\ud83d"}]}`, "{\"apiVersion\":\"audit.k8s.io/v1\",\"rules\":[{\"level\":\"\xff\"}]}",
	`{"apiVersion":"audit.k8s.io/v1","rules":[{"level":5}]}`, `{"apiVersion":"audit.k8s.io/v1","rules":[{"level":"None","omitManagedFields":"x","users":5}]}`, "{\n\t\"apiVersion\": \"audit.k8s.io/v1\",\n\t\"rules\": [\n\t\t{\"level\": \"None\"},\n\t]\n}", "{\n\t\"apiVersion\": \"audit.k8s.io/v1\",\n\t\"rules\": [\n\t\t{\"level\": \"None\", \"users\": \"x\"}\n\t]\n}", `{"apiVersion":5}`, `{"kind":[]}`, `{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{"level":"None"}],"é":1,"a\nb":2}`,
	`{"apiVersion":"a/b/c"}`, `{"apiVersion":"foo/"}`, "foo: 1\napiVersion: foo/\n", "\"{}\"", "[{}]", `"text"`, "{} # comment\n", "{\n# comment\n}\n", `{"metadata":{"generation":1e400}}`, `{"apiVersion":"audit.k8s.io/v1","metadata":{"generation":1e400}}`,
}

// protobufInputs are policies in protobuf, whole and broken.
func protobufInputs() (inputs []input) {
	yes := true
	p := &auditv1.Policy{Rules: []auditv1.PolicyRule{
		{Level: "Metadata", Users: []string{"a", ""}, UserGroups: []string{"b"}, Verbs: []string{"c"}, Namespaces: []string{"d"}, OmitStages: []auditv1.Stage{"Panic"}, OmitManagedFields: &yes,
			Resources: []auditv1.GroupResources{{Group: "e", Resources: []string{"f"}, ResourceNames: []string{"g"}}}},
		{Level: "None", NonResourceURLs: []string{"/a*"}},
	}, OmitStages: []auditv1.Stage{"Panic"}, OmitManagedFields: true}
	if err := json.Unmarshal([]byte(fullMeta), &p.ObjectMeta); err != nil {
		panic(err)
	}
	raw, err := p.Marshal()
	if err != nil {
		panic(err)
	}
	wrap := func(version, kind string, raw []byte) string {
		u := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: version, Kind: kind}, Raw: raw, ContentType: "x"}
		data, err := u.Marshal()
		if err != nil {
			panic(err)
		}
		return "k8s\x00" + string(data)
	}
	whole := wrap("audit.k8s.io/v1", "Policy", raw)
	for name, data := range map[string]string{
		"prefix": "k8s\x00", "half a prefix": "k8s", "whole": whole, "no version": wrap("", "", raw), "no kind": wrap("audit.k8s.io/v1", "", raw), "no version but kind": wrap("", "Event", nil),
		"group only": wrap("audit.k8s.io/", "Policy", raw), "other group": wrap("foo/", "Policy", raw), "three parts": wrap("a/b/c", "Policy", raw), "empty": wrap("audit.k8s.io/v1", "Policy", nil),
		"v1beta1": wrap("audit.k8s.io/v1beta1", "Policy", raw), "event": wrap("audit.k8s.io/v1", "Event", nil), "status": wrap("x/y", "Status", nil), "nope": wrap("audit.k8s.io/v1", "Nope", nil),
		"watch": wrap("v1", "WatchEvent", nil), "internal watch": wrap("", "WatchEvent", nil), "internal list": wrap("", "PolicyList", nil), "group": wrap("audit.k8s.io/v1", "Policy", []byte("\x13\x08\x01\x14")),
		"end group": wrap("audit.k8s.io/v1", "Policy", []byte("\x14")), "tag 0": wrap("audit.k8s.io/v1", "Policy", []byte("\x00")), "wire 6": wrap("audit.k8s.io/v1", "Policy", []byte("\xfe\x01\x00")), "wrong wire": wrap("audit.k8s.io/v1", "Policy", []byte("\x10\x00")),
		"overflow": wrap("audit.k8s.io/v1", "Policy", []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")), "negative": wrap("audit.k8s.io/v1", "Policy", []byte("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")),
		"long": wrap("audit.k8s.io/v1", "Policy", []byte("\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f")), "skip long": wrap("audit.k8s.io/v1", "Policy", []byte("\x7a\xff\xff\xff\xff\xff\xff\xff\xff\x7f")), "skip open group": wrap("audit.k8s.io/v1", "Policy", []byte("\x7b\x08\x01")), "skip end": wrap("audit.k8s.io/v1", "Policy", []byte("\x7c")),
	} {
		inputs = append(inputs, input{"protobuf " + name, data})
	}
	slices.SortFunc(inputs, func(a, b input) int { return strings.Compare(a.name, b.name) })
	return inputs
}

// brokenProtobuf changes single bytes of a policy in protobuf.
func brokenProtobuf(seed uint64, n int) (inputs []string) {
	r := newMutator(seed)
	whole := protobufInputs()
	at := slices.IndexFunc(whole, func(in input) bool { return in.name == "protobuf whole" })
	for range n {
		data := []byte(whole[at].data)
		for range 1 + r.IntN(3) {
			i := 4 + r.IntN(len(data)-4)
			switch r.IntN(4) {
			case 0:
				data[i] = byte(r.IntN(256))
			case 1:
				data[i] ^= 1 << r.IntN(8)
			case 2:
				data = append(data[:i:i], data[i+1:]...)
			case 3:
				data = slices.Insert(data, i, byte(r.IntN(256)))
			}
		}
		inputs = append(inputs, string(data))
	}
	return inputs
}

// typeInputs puts every sort of value in the place of every member of every kind that
// upstream can decode.
func typeInputs(t *testing.T) (inputs []string) {
	for _, text := range fullObjects {
		var object any
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for _, value := range []any{nil, 5, -5, 1.5, "x", "", true, []any{}, map[string]any{}, []any{5}, []any{"x"}, []any{map[string]any{"x": 1}}, map[string]any{"a": 5}, map[string]any{"a": "b"}} {
			replaced(object, value, func() {
				out, _ := json.Marshal(object)
				inputs = append(inputs, string(out), "# YAML\n"+string(out))
			})
		}
	}
	return inputs
}

// replaced puts value in the place of each member and item under v, one after the
// other, and calls then each time.
func replaced(v, value any, then func()) {
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			old := v[k]
			v[k] = value
			then()
			v[k] = old
			replaced(old, value, then)
		}
	case []any:
		for i, old := range v {
			v[i] = value
			then()
			v[i] = old
			replaced(old, value, then)
		}
	}
}

const fullMeta = `{"name":"a","generateName":"b","namespace":"c","selfLink":"d","uid":"e","resourceVersion":"f","generation":1,"creationTimestamp":"2024-01-02T03:04:05Z","deletionTimestamp":"2024-01-02T03:04:05Z","deletionGracePeriodSeconds":2,"labels":{"g":"h"},"annotations":{"i":"j"},"ownerReferences":[{"apiVersion":"k","kind":"l","name":"m","uid":"n","controller":true,"blockOwnerDeletion":false}],"finalizers":["o"],"managedFields":[{"manager":"p","operation":"Apply","apiVersion":"q","time":"2024-01-02T03:04:05Z","fieldsType":"FieldsV1","fieldsV1":{"f:r":{}},"subresource":"s"}]}`

const fullRules = `[{"level":"Metadata","users":["a"],"userGroups":["b"],"verbs":["c"],"resources":[{"group":"d","resources":["e"],"resourceNames":["f"]}],"namespaces":["g"],"omitStages":["Panic"],"omitManagedFields":true},{"level":"None","nonResourceURLs":["/h"]}]`

const fullUser = `{"username":"a","uid":"b","groups":["c"],"extra":{"d":["e"]}}`

const fullStatus = `"status":"a","message":"b","reason":"c","details":{"name":"d","group":"e","kind":"f","uid":"g","causes":[{"reason":"h","message":"i","field":"j"}],"retryAfterSeconds":1},"code":2`

const fullListMeta = `{"selfLink":"a","resourceVersion":"b","continue":"c","remainingItemCount":1}`

const fullEvent = `"level":"None","auditID":"a","stage":"Panic","requestURI":"b","verb":"c","user":` + fullUser + `,"impersonatedUser":` + fullUser + `,"sourceIPs":["d"],"userAgent":"e","objectRef":{"resource":"f","namespace":"g","name":"h","uid":"i","apiGroup":"j","apiVersion":"k","resourceVersion":"l","subresource":"m"},"responseStatus":{"metadata":` + fullListMeta + `,` + fullStatus + `},"requestObject":{"a":1},"responseObject":{"a":1},"requestReceivedTimestamp":"2024-01-02T03:04:05.123456Z","stageTimestamp":"2024-01-02T03:04:05.123456Z","annotations":{"a":"b"}`

var fullObjects = []string{
	`{"apiVersion":"audit.k8s.io/v1","kind":"Policy","metadata":` + fullMeta + `,"rules":` + fullRules + `,"omitStages":["Panic"],"omitManagedFields":true}`,
	`{"apiVersion":"audit.k8s.io/v1beta1","kind":"Policy","rules":` + fullRules + `,"omitStages":["Panic"]}`,
	`{"apiVersion":"audit.k8s.io/v1","kind":"PolicyList","metadata":` + fullListMeta + `,"items":[{"apiVersion":"x","kind":"y","metadata":{"name":"z"},"rules":` + fullRules + `}]}`,
	`{"apiVersion":"audit.k8s.io/v1","kind":"Event",` + fullEvent + `}`,
	`{"apiVersion":"audit.k8s.io/v1","kind":"EventList","metadata":{"continue":"x"},"items":[{"apiVersion":"x","kind":"y","level":"None"}]}`,
	`{"apiVersion":"audit.k8s.io/v1beta1","kind":"Event","metadata":{"name":"x"},"timestamp":"2024-01-02T03:04:05Z","level":"None","objectRef":{"apiGroup":"x"},"user":{}}`,
	`{"apiVersion":"audit.k8s.io/v1alpha1","kind":"Event","metadata":{"name":"x"},"timestamp":"2024-01-02T03:04:05Z","level":"None","objectRef":{"apiGroup":"x","name":"y"},"user":{}}`,
	`{"apiVersion":"audit.k8s.io/v1alpha1","kind":"EventList","items":[{"level":"None"}]}`,
	`{"Rules":[{"Level":"None","Users":["a"],"Resources":[{"Group":"b","Resources":["c"]}],"OmitStages":["d"],"OmitManagedFields":true}],"OmitStages":["e"],"OmitManagedFields":true,"name":"f","labels":{"a":"b"},"creationTimestamp":"2024-01-02T03:04:05Z"}`,
	`{"kind":"PolicyList","resourceVersion":"a","Items":[{"kind":"x","name":"b","Rules":[{"Level":"None"}]}]}`,
	`{"kind":"Event","Level":"None","AuditID":"a","Stage":"b","User":` + fullUser + `,"ImpersonatedUser":{"uid":"x"},"SourceIPs":["c"],"ObjectRef":{"Resource":"d","UID":"e"},"ResponseStatus":{"code":1},"RequestObject":1,"StageTimestamp":"2024-01-02T03:04:05.123456Z","Annotations":{"a":"b"}}`,
	`{"kind":"EventList","resourceVersion":"a","Items":[{"kind":"x","Level":"None"}]}`,
	`{"kind":"WatchEvent","Type":"a","Object":null}`,
	`{"apiVersion":"v1","kind":"WatchEvent","type":"a","object":{"a":1}}`,
	`{"apiVersion":"v1","kind":"ListOptions","labelSelector":"a","fieldSelector":"b","watch":true,"allowWatchBookmarks":true,"resourceVersion":"c","resourceVersionMatch":"d","timeoutSeconds":1,"limit":2,"continue":"e"}`,
	`{"apiVersion":"audit.k8s.io/v1","kind":"GetOptions","resourceVersion":"a"}`,
	`{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":1,"preconditions":{"uid":"a","resourceVersion":"b"},"orphanDependents":true,"propagationPolicy":"c","dryRun":["d"]}`,
	`{"apiVersion":"v1","kind":"CreateOptions","dryRun":["a"],"fieldManager":"b","fieldValidation":"c"}`,
	`{"apiVersion":"v1","kind":"UpdateOptions","dryRun":["a"],"fieldManager":"b","fieldValidation":"c"}`,
	`{"apiVersion":"v1","kind":"PatchOptions","dryRun":["a"],"force":true,"fieldManager":"b","fieldValidation":"c"}`,
	`{"apiVersion":"x/y","kind":"Status","metadata":` + fullListMeta + `,` + fullStatus + `}`,
	`{"apiVersion":"v1","kind":"APIVersions","versions":["a"],"serverAddressByClientCIDRs":[{"clientCIDR":"b","serverAddress":"c"}]}`,
	`{"apiVersion":"v1","kind":"APIGroupList","groups":[{"kind":"x","name":"a","versions":[{"groupVersion":"b","version":"c"}],"preferredVersion":{"groupVersion":"d","version":"e"},"serverAddressByClientCIDRs":[{"clientCIDR":"f"}]}]}`,
	`{"apiVersion":"v1","kind":"APIGroup","name":"a","versions":[{"groupVersion":"b","version":"c"}]}`,
	`{"apiVersion":"v1","kind":"APIResourceList","groupVersion":"a","resources":[{"name":"b","singularName":"c","namespaced":true,"group":"d","version":"e","kind":"f","verbs":["g"],"shortNames":["h"],"categories":["i"],"storageVersionHash":"j"}]}`,
}

// writeGoldens writes what the judges said about our own inputs to where the tests of
// package policy find it.
func writeGoldens(t *testing.T, inputs []input, answers map[policy.Kubernetes][]verdict) {
	type answer struct {
		Releases []policy.Kubernetes `json:"releases"`
		verdict
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for i, in := range inputs {
		golden := struct {
			Name    string   `json:"name"`
			Input   string   `json:"input,omitempty"`
			Bytes   []byte   `json:"bytes,omitempty"` // an input that is no UTF-8
			Answers []answer `json:"answers"`
		}{Name: in.name, Input: in.data}
		if !utf8.ValidString(in.data) {
			golden.Input, golden.Bytes = "", []byte(in.data)
		}
		for k := policy.Oldest; k <= policy.Newest; k++ {
			if _, ok := answers[k]; !ok {
				continue
			}
			v := answers[k][i]
			at := slices.IndexFunc(golden.Answers, func(a answer) bool { return differs(a.verdict, v) == "" })
			if at < 0 {
				at = len(golden.Answers)
				golden.Answers = append(golden.Answers, answer{verdict: v})
			}
			golden.Answers[at].Releases = append(golden.Answers[at].Releases, k)
		}
		if err := enc.Encode(golden); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("../../policy/testdata/load.jsonl", out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

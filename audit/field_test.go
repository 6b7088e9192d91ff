package audit

import (
	"strings"
	"testing"
)

// fieldEvent is an event with something in every kind of field.
func fieldEvent(t *testing.T) *Event {
	t.Helper()
	const line = `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"a-1","stage":"ResponseComplete",` +
		`"requestURI":"/api/v1/namespaces/prod/pods/web/exec?command=sh&command=-c&command=echo+a%26b&container=c","verb":"create",` +
		`"user":{"username":"jai","uid":"u-1","groups":["dev","system:authenticated"],"extra":{"authentication.kubernetes.io/pod-name":["web-0"],"scopes":["a","b"]}},` +
		`"sourceIPs":["10.1.2.3","127.0.0.1"],"userAgent":"kubectl","objectRef":{"resource":"pods","namespace":"prod","name":"web","apiVersion":"v1","subresource":"exec"},` +
		`"responseStatus":{"metadata":{},"status":"Failure","message":"no \"exec\" for you","reason":"Forbidden","code":403},` +
		`"requestObject":{"metadata":{"labels":{"app.kubernetes.io/name":"web","app":{"kubernetes":{"io/name":"odd"}}},"annotations":{"a.b/c":"x\u0079"}},` +
		`"spec":{"replicas":3,"hostNetwork":true,"containers":[{"image":"nginx","args":["-a","-b"]},{"image":"busybox"}],"none":null,"matrix":[[1,2],[3]]}},` +
		`"requestReceivedTimestamp":"2026-11-20T15:21:41.557464Z","stageTimestamp":"2026-11-20T15:21:41.599740Z",` +
		`"annotations":{"a.io/first":"1","authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":"because","k8s.io/deprecated":"true"}}`
	e := new(Event)
	if err := e.Scan([]byte(line)); err != nil {
		t.Fatal(err)
	}
	e.Offset, e.Seq = 12, 7
	return e
}

func TestFieldValues(t *testing.T) {
	e := fieldEvent(t)
	for _, c := range []struct{ name, text, json string }{
		{"user", "jai", `"jai"`},
		{"user.username", "jai", `"jai"`},
		{"group", "dev,system:authenticated", `["dev","system:authenticated"]`},
		{"ip", "10.1.2.3,127.0.0.1", `["10.1.2.3","127.0.0.1"]`},
		{"user.extra.authentication.kubernetes.io/pod-name", "web-0", `["web-0"]`},
		{"extra.scopes", "a,b", `["a","b"]`},
		{"extra", `{"authentication.kubernetes.io/pod-name":["web-0"],"scopes":["a","b"]}`, `{"authentication.kubernetes.io/pod-name":["web-0"],"scopes":["a","b"]}`},
		{"code", "403", "403"},
		{"offset", "12", "12"},
		{"seq", "7", "7"},
		{"duration", "42.276", "42.276"},
		{"time", "2026-11-20T15:21:41.599740Z", `"2026-11-20T15:21:41.599740Z"`},
		{"command", "sh -c echo a&b", `"sh -c echo a\u0026b"`},
		{"message", `no "exec" for you`, `"no \"exec\" for you"`},
		{"decision", "forbid", `"forbid"`},
		{"annotations.authorization.k8s.io/decision", "forbid", `"forbid"`},
		{`annotations."authorization.k8s.io/decision"`, "forbid", `"forbid"`},
		{"reason", "because", `"because"`},
		{"annotations.k8s.io/deprecated", "true", `"true"`},
		{"annotations.nothing", "", "null"},
		{"annotations.k8s*/de*", "true", `"true"`},
		{"annotations.auth*", "forbid,because", `["forbid","because"]`},
		{"annotations",
			`{"a.io/first":"1","authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":"because","k8s.io/deprecated":"true"}`,
			`{"a.io/first":"1","authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":"because","k8s.io/deprecated":"true"}`},
		{"requestObject.spec.replicas", "3", "3"},
		{"request.spec.hostNetwork", "true", "true"},
		{"requestObject.spec.containers.image", "nginx,busybox", `["nginx","busybox"]`},
		{"requestObject.spec.containers.args", "-a,-b", `["-a","-b"]`},
		{"requestObject.spec.matrix", "1,2,3", `[[1,2],[3]]`},
		{"requestObject.spec.none", "null", "null"},
		{"requestObject.spec.nothing", "", "null"},
		{"requestObject.metadata.labels.app.kubernetes.io/name", "web,odd", `["web","odd"]`},
		{`requestObject.metadata.labels."app.kubernetes.io/name"`, "web", `"web"`},
		{"requestObject.metadata.annotations.a.b/c", "xy", `"x` + `\u0079"`},
		{"requestObject.metadata.labels.app", `{"kubernetes":{"io/name":"odd"}}`, `{"kubernetes":{"io/name":"odd"}}`},
		{"requestObject.*.image", "nginx,busybox", `["nginx","busybox"]`},
		{"requestObject.*image", "nginx,busybox", `["nginx","busybox"]`},
		{"requestObject.*.spec.containers.image", "", "null"},
		{"requestObject.metadata.*", "web,odd,xy", `["web","odd","x` + `\u0079"]`},
		{"responseObject", "", "null"},
		{"responseObject.x", "", "null"},
		{"objectRef.apiGroup", "", "null"},
	} {
		r, err := Resolve(c.name)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := string(r.AppendText(nil, e)); got != c.text {
			t.Errorf("%s as text: %s, want %s", c.name, got, c.text)
		}
		if got := string(r.AppendJSON(nil, e)); got != c.json {
			t.Errorf("%s as JSON: %s, want %s", c.name, got, c.json)
		}
		if again, err := Resolve(r.Path()); err != nil || again.Path() != r.Path() {
			t.Errorf("%s: its path %s resolves to %s, %v", c.name, r.Path(), again.Path(), err)
		}
	}
}

func TestFieldNeeds(t *testing.T) {
	for _, c := range []struct {
		name string
		want Columns
	}{
		{"annotations.authorization.k8s.io/decision", Set(Decision)},
		{"reason", Set(Reason)},
		{"annotations.k8s.io/deprecated", Set(Annotations)},
		{"annotations", Set(Annotations, Decision, Reason)},
		{"annotations.*/decision", Set(Annotations, Decision)},
		{"time", Set(Staged, Received)},
		{"requestObject.spec.x", Set(RequestObject)},
		{"command", Set(RequestURI)},
	} {
		r, err := Resolve(c.name)
		if err != nil || r.Needs() != c.want {
			t.Errorf("%s needs %b, want %b (%v)", c.name, r.Needs(), c.want, err)
		}
	}
}

func TestUnknownField(t *testing.T) {
	for name, want := range map[string]string{
		"usr":                        "user",
		"username":                   "user.username",
		"namespace":                  "objectRef.namespace",
		"objectref.NAME":             "objectRef.name",
		"requestObjct.spec.replicas": "requestObject.spec.replicas",
		"reponseStatus.code":         "responseStatus.code",
		"sourceIP":                   "sourceIPs",
		"impers":                     "impersonatedUser.username",
		"annotation.k8s.io/x":        "annotations.k8s.io/x",
		"qqqqqqqqqqqqqqqqqq":         "",
		"":                           "",
		"requestObject.a..b":         "",
	} {
		_, err := Resolve(name)
		unknown, ok := err.(*UnknownFieldError)
		if !ok || unknown.Nearest != want {
			t.Errorf("%q: %v, want the suggestion %q", name, err, want)
		}
	}
}

func TestDictionary(t *testing.T) {
	seen := map[string]string{}
	for _, f := range Fields() {
		for _, name := range []string{f.Path, f.Alias} {
			if other, dup := seen[name]; dup && name != "" && other != f.Path {
				t.Errorf("%s names %s and %s", name, other, f.Path)
			}
			seen[name] = f.Path
		}
		if f.Doc == "" || f.DocZH == "" || strings.ContainsAny(f.Doc+f.DocZH, "\n") || f.Needs == 0 {
			t.Errorf("%s: an entry needs columns and a line in each language", f.Path)
		}
	}
	for _, alias := range strings.Fields("user verb resource sub ns name code ip agent uri level stage id group decision reason") {
		if seen[alias] == "" {
			t.Errorf("no alias %s", alias)
		}
	}
	if n := len(seen) - 1; n < 60 {
		t.Errorf("%d names", n)
	}
}

func TestFieldWildcards(t *testing.T) {
	for name, want := range map[string]string{
		"objectRef.*":    "objectRef.resource objectRef.namespace objectRef.name objectRef.uid objectRef.apiGroup objectRef.apiVersion objectRef.resourceVersion objectRef.subresource",
		"user.*":         "user.username user.uid user.groups user.extra.*",
		"request*.image": "requestObject.*.image requestObject.image",
	} {
		refs, err := ResolveAll(name)
		var got []string
		for _, r := range refs {
			got = append(got, r.Path())
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s (%v)", name, strings.Join(got, " "), want, err)
		}
	}
}

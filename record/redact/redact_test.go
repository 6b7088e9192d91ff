package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/record"
	"kubetrail/record/redact"
)

var key = []byte("0123456789abcdef0123456789abcdef")

func redactor(t rapid.TB, what ...string) *redact.Redactor {
	t.Helper()
	c, err := redact.Parse(what)
	if err != nil {
		t.Fatal(err)
	}
	c.Key = key
	r, err := redact.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// event is a request for a resource, which may be "serviceaccounts/token".
func event(resource, body string) *record.Event {
	e := &record.Event{}
	resource, sub, _ := strings.Cut(resource, "/")
	e.Text[audit.Level] = []byte("RequestResponse")
	e.Text[audit.Resource], e.Text[audit.Subresource] = []byte(resource), []byte(sub)
	if body != "" {
		e.RequestObject = []byte(body)
	}
	return e
}

func TestBodies(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	tests := []struct {
		name, what, resource, body string
		want                       string // <x> is the hash of x; "=": unchanged
	}{
		{"data", "secrets", "secrets", `{"kind":"Secret","data":{"a":"` + b64("pw") + `"},"type":"Opaque"}`, `{"kind":"Secret","data":{"a":"<pw>"},"type":"Opaque"}`},
		{"string data is as data", "secrets", "secrets", `{"stringData":{"a":"pw"}}`, `{"stringData":{"a":"<pw>"}}`},
		{"no kind", "secrets", "secrets", `{"data":{"a":"` + b64("pw") + `","b":null}}`, `{"data":{"a":"<pw>","b":null}}`},
		{"kind after data", "secrets", "pods", `{"data":{"a":"` + b64("pw") + `"},"kind":"Secret"}`, `{"data":{"a":"<pw>"},"kind":"Secret"}`},
		{"deep inside another object", "secrets", "objects", `{"spec":{"manifest":[{"data":{"a":"` + b64("pw") + `"},"apiVersion":"v1","kind":"Secret"}]}}`, `{"spec":{"manifest":[{"data":{"a":"<pw>"},"apiVersion":"v1","kind":"Secret"}]}}`},
		{"one of two kinds", "secrets", "pods", `{"kind":"Secret","data":{"a":"x"},"kind":"ConfigMap"}`, `{"kind":"Secret","data":{"a":"<x>"},"kind":"ConfigMap"}`},
		{"data twice", "secrets", "secrets", `{"data":{"a":"` + b64("x") + `"},"data":{"a":"` + b64("y") + `"}}`, `{"data":{"a":"<x>"},"data":{"a":"<y>"}}`},
		{"more data than anybody has", "secrets", "pods", `{` + strings.Repeat(`"data":"!",`, 8) + `"kind":"Secret"}`, `{` + strings.Repeat(`"data":"<!>",`, 8) + `"kind":"Secret"}`},
		{"no base64", "secrets", "secrets", `{"data":{"a":"p w"}}`, `{"data":{"a":"<p w>"}}`},
		{"no strings", "secrets", "secrets", `{"data":{"a":17,"b":[true,"x!"],"c":{"d":null}}}`, `{"data":{"a":"<17>","b":["<true>","<x!>"],"c":{"d":null}}}`},
		{"data is no object", "secrets", "secrets", `{"data":"x!"}`, `{"data":"<x!>"}`},
		{"list", "secrets", "secrets", `{"kind":"SecretList","items":[{"data":{"a":"x!"}},{"metadata":{"name":"b"}},{"stringData":{"b":"y"}}]}`, `{"kind":"SecretList","items":[{"data":{"a":"<x!>"}},{"metadata":{"name":"b"}},{"stringData":{"b":"<y>"}}]}`},
		{"list of another resource", "secrets", "pods", `{"items":[{"data":{"a":"x"}}],"kind":"SecretList"}`, `{"items":[{"data":{"a":"<x>"}}],"kind":"SecretList"}`},
		{"table", "secrets", "secrets", `{"kind":"Table","rows":[{"cells":["n",1],"object":{"data":{"a":"x!"}}}]}`, `{"kind":"Table","rows":[{"cells":["n",1],"object":{"data":{"a":"<x!>"}}}]}`},
		{"watch", "secrets", "secrets", `{"type":"ADDED","object":{"data":{"a":"x!"}}}`, `{"type":"ADDED","object":{"data":{"a":"<x!>"}}}`},
		{"escaped name", "secrets", "secrets", `{"d\u0061ta":{"a":"x!"}}`, `{"d\u0061ta":{"a":"<x!>"}}`},
		{"another case", "secrets", "secrets", `{"DATA":{"a":"x!"},"StringData":{"b":"y"}}`, `{"DATA":{"a":"<x!>"},"StringData":{"b":"<y>"}}`},
		{"another case, as Go folds it", "secrets", "secrets", `{"ſtringData":{"b":"y"}}`, `{"ſtringData":{"b":"<y>"}}`},
		{"escaped kind", "secrets", "pods", `{"kind":"\u0053ecret","data":{"a":"x!"}}`, `{"kind":"\u0053ecret","data":{"a":"<x!>"}}`},
		{"kind with a Kelvin sign", "secrets", "pods", `{"` + "\u212a" + `ind":"Secret","data":{"a":"x!"}}`, `{"` + "\u212a" + `ind":"Secret","data":{"a":"<x!>"}}`},
		{"escapes in values", "secrets", "secrets", `{"stringData":{"a":"\u003cp\"w\\"}}`, `{"stringData":{"a":"<<p"w\>"}}`},
		{"a quote that is none", "secrets", "secrets", `{"data":{"a\\":"x!","b":"y!"}}`, `{"data":{"a\\":"<x!>","b":"<y!>"}}`},
		{"white space", "secrets", "secrets", "{ \"data\" : { \"a\" : \"x!\" } }", "{ \"data\" : { \"a\" : \"<x!>\" } }"},
		{"config map", "secrets", "configmaps", `{"kind":"ConfigMap","data":{"a":"b"}}`, "="},
		{"status of a secret", "secrets", "secrets", `{"kind":"Status","message":"x","details":{"name":"a"}}`, "="},
		{"off", "tokens", "secrets", `{"kind":"Secret","data":{"a":"b"}}`, "="},

		{"patch, an entry", "secrets", "secrets", `[{"op":"add","path":"/data/a","value":"` + b64("pw") + `"}]`, `[{"op":"add","path":"/data/a","value":"<pw>"}]`},
		{"patch, path last", "secrets", "secrets", `[{"op":"test","value":"pw","path":"/stringData/a"}]`, `[{"op":"test","value":"<pw>","path":"/stringData/a"}]`},
		{"patch, all data", "secrets", "secrets", `[{"op":"replace","path":"/data","value":{"a":"x!"}}]`, `[{"op":"replace","path":"/data","value":{"a":"<x!>"}}]`},
		{"patch, everything", "secrets", "secrets", `[{"op":"replace","path":"","value":{"data":{"a":"x!"}}}]`, `[{"op":"replace","path":"","value":{"data":{"a":"<x!>"}}}]`},
		{"patch, escaped path", "secrets", "secrets", `[{"op":"add","path":"\/d\u0061ta/a","value":"x!"}]`, `[{"op":"add","path":"\/d\u0061ta/a","value":"<x!>"}]`},
		{"patch, no pointer", "secrets", "secrets", `[{"op":"add","path":"data/a","value":"x!"}]`, `[{"op":"add","path":"data/a","value":"<x!>"}]`},
		{"patch, two paths", "secrets", "secrets", `[{"op":"add","path":"/metadata","path":"/data/a","value":"x!"}]`, `[{"op":"<add>","path":"</metadata>","path":"</data/a>","value":"<x!>"}]`},
		{"patch, label", "secrets", "secrets", `[{"op":"add","path":"/metadata/labels/data","value":"x"},{"op":"remove","path":"/data/a"}]`, "="},
		{"patch of another resource", "secrets", "configmaps", `[{"op":"add","path":"/data/a","value":"x"}]`, "="},
		{"raw", "secrets", "secrets", `{"raw":"` + b64("data: {a: b}") + `"}`, `{"raw":"<data: {a: b}>"}`},
		{"raw of another resource", "secrets", "pods", `{"raw":"AAAA"}`, "="},
		{"no JSON", "secrets", "pods", `{"kind":"Secret","data":{"a":"b"`, `{"raw":"<{"kind":"Secret","data":{"a":"b">"}`},

		{"last applied, a secret", "secrets", "secrets", `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{\"a\":\"b\"}}\n","x":"y"}}}`, `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"<{"data":{"a":"b"}}` + "\n" + `>","x":"y"}}}`},
		{"last applied, in a patch", "secrets", "secrets", `[{"op":"add","path":"/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration","value":"{\"data\":{\"a\":\"b\"}}"}]`, `[{"op":"add","path":"/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration","value":"<{"data":{"a":"b"}}>"}]`},
		{"last applied, harmless", "secrets,env", "configmaps", `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"kind\":\"ConfigMap\",\"data\":{\"a\":\"b\"}}"}}}`, "="},
		{"last applied, always", "last-applied", "configmaps", `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}","kapp.k14s.io/original":"x"}}}`, `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"<{}>","kapp.k14s.io/original":"<x>"}}}`},
		{"last applied, env", "env", "deployments", `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"spec\":{\"env\":[{\"name\":\"A\",\"value\":\"b\"}]}}"}}}`, `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"<{"spec":{"env":[{"name":"A","value":"b"}]}}>"}}}`},
		{"last applied, compressed", "secrets", "secrets", `{"metadata":{"annotations":{"objectset.rio.cattle.io/applied":"H4sI"}}}`, `{"metadata":{"annotations":{"objectset.rio.cattle.io/applied":"<H4sI>"}}}`},

		{"token request", "tokens", "serviceaccounts/token", `{"kind":"TokenRequest","spec":{"audiences":["a"]},"status":{"token":"ey","expirationTimestamp":"x"}}`, `{"kind":"TokenRequest","spec":{"audiences":["a"]},"status":{"token":"<ey>","expirationTimestamp":"x"}}`},
		{"token review", "tokens", "tokenreviews", `{"spec":{"token":"ey","audiences":["a"]}}`, `{"spec":{"token":"<ey>","audiences":["a"]}}`},
		{"token review by kind", "tokens", "others", `{"spec":{"token":"ey"},"kind":"TokenReview"}`, `{"spec":{"token":"<ey>"},"kind":"TokenReview"}`},
		{"another token", "tokens", "others", `{"spec":{"token":"ey"},"kind":"Other"}`, "="},

		{"env", "env", "deployments", `{"spec":{"template":{"spec":{"initContainers":[{"env":[{"name":"A","value":"b"},{"name":"C","valueFrom":{"fieldRef":{"fieldPath":"x"}}}]}]}}}}`, `{"spec":{"template":{"spec":{"initContainers":[{"env":[{"name":"A","value":"<b>"},{"name":"C","valueFrom":{"fieldRef":{"fieldPath":"x"}}}]}]}}}}`},
		{"env, one value by a patch", "env", "deployments", `[{"op":"replace","path":"/spec/template/spec/containers/0/env/3/value","value":"b"}]`, `[{"op":"replace","path":"/spec/template/spec/containers/0/env/3/value","value":"<b>"}]`},
		{"env, one by a patch", "env", "deployments", `[{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"A","value":"b"}}]`, `[{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"A","value":"<b>"}}]`},
		{"env, all by a patch", "env", "pods", `[{"op":"add","path":"/spec/containers/0/env","value":[{"name":"A","value":"b"}]}]`, `[{"op":"add","path":"/spec/containers/0/env","value":[{"name":"A","value":"<b>"}]}]`},
		{"env, a container by a patch", "env", "pods", `[{"op":"add","path":"/spec/containers/0","value":{"env":[{"name":"A","value":"b"}]}}]`, `[{"op":"add","path":"/spec/containers/0","value":{"env":[{"name":"A","value":"<b>"}]}}]`},
		{"env, in a message", "env", "jobs", `{"kind":"Status","message":"spec.template: Invalid value: core.EnvVar{}","details":{"causes":[{"message":"{\"env\":[]}"},{"message":"no"}]}}`, `{"kind":"Status","message":"<spec.template: Invalid value: core.EnvVar{}>","details":{"causes":[{"message":"<{"env":[]}>"},{"message":"no"}]}}`},
		{"another value", "env", "pods", `{"spec":{"tolerations":[{"key":"a","value":"b"}]}}`, "="},
		{"raw, with env", "env", "pods", `{"raw":"` + b64("x") + `"}`, `{"raw":"<x>"}`},

		{"path", "path=requestObject.spec.key", "pods", `{"spec":{"key":"a","other":"b"},"key":"c"}`, `{"spec":{"key":"<a>","other":"b"},"key":"c"}`},
		{"path, everything below", "path=requestObject.spec.key", "pods", `{"spec":{"key":{"a":["b",1,null]}}}`, `{"spec":{"key":{"a":["<b>","<1>",null]}}}`},
		{"path, through lists", "path=requestObject.items.key", "pods", `{"items":[{"key":"a"},{"key":"b"}]}`, `{"items":[{"key":"<a>"},{"key":"<b>"}]}`},
		{"path with *", "path=requestObject.*.password", "pods", `{"spec":{"db":{"password":"a"},"user":"b"}}`, `{"spec":{"db":{"password":"<a>"},"user":"b"}}`},
		{"path, a name with dots", `path=requestObject.metadata.annotations.example.com/note`, "pods", `{"metadata":{"annotations":{"example.com/note":"a"}}}`, `{"metadata":{"annotations":{"example.com/note":"<a>"}}}`},
		{"path, in a patch", "path=requestObject.spec.key", "pods", `[{"op":"add","path":"/spec/key/0","value":"a"},{"op":"add","path":"/spec","value":{"key":"b","x":"y"}}]`, `[{"op":"add","path":"/spec/key/0","value":"<a>"},{"op":"add","path":"/spec","value":{"key":"<b>","x":"y"}}]`},
		{"path, a list in a patch", "path=requestObject.spec.list.key", "pods", `[{"op":"add","path":"/spec/list/0","value":{"key":"b","x":"y"}}]`, `[{"op":"add","path":"/spec/list/0","value":{"key":"<b>","x":"y"}}]`},
		{"path, a number as a name", "path=requestObject.spec.7", "pods", `[{"op":"add","path":"/spec/7","value":"a"}]`, `[{"op":"add","path":"/spec/7","value":"<a>"}]`},
		{"path, in what was applied", "path=requestObject.spec.key", "pods", `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"spec\":{\"key\":\"a\"}}"}}}`, `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"<{"spec":{"key":"a"}}>"}}}`},
		{"path of the answer", "path=responseObject.spec.key", "pods", `{"spec":{"key":"a"}}`, "="},
		{"path, everything", "path=requestObject", "pods", `{"spec":{"key":"a"}}`, `{"spec":{"key":"<a>"}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := redactor(t, strings.Split(tt.what, ",")...)
			e := event(tt.resource, tt.body)
			before := bytes.Clone(e.RequestObject)
			given := e.RequestObject
			r.Redact(e)
			if !bytes.Equal(given, before) {
				t.Errorf("the body given was changed: %s", given)
			}
			want := tt.want
			if want == "=" {
				want = tt.body
			}
			want = hashes(r, want)
			if string(e.RequestObject) != want {
				t.Errorf("got  %s\nwant %s", e.RequestObject, want)
			}
		})
	}
}

// hashes puts hashes where a text says "<value>".
func hashes(r *redact.Redactor, text string) string {
	return regexp.MustCompile(`(?s)"<(.*?)>"([,:}\] \n]|$)`).ReplaceAllStringFunc(text, func(m string) string {
		end := strings.LastIndex(m, `>"`)
		return `"` + r.Hash([]byte(m[2:end])) + `"` + m[end+2:]
	})
}

func TestURI(t *testing.T) {
	tests := []struct{ uri, want string }{
		{"/api/v1/pods?watch=1&token=abc&x=1", "/api/v1/pods?watch=1&token=<abc>&x=1"},
		{"/apis?access_token=a%2Bb", "/apis?access_token=<a+b>"},
		{"/apis?access%5Ftoken=a", "/apis?access%5Ftoken=<a>"},
		{"/apis?ACCESS-TOKEN=a", "/apis?ACCESS-TOKEN=<a>"},
		{"/apis?%74oken=a", "/apis?%74oken=<a>"},
		{"/x/proxy/?X-Amz-Security-Token=a&X-Amz-Signature=b", "/x/proxy/?X-Amz-Security-Token=<a>&X-Amz-Signature=<b>"},
		{"/x?a=1;token=b", "/x?a=<1;token=b>"},
		{"/x?watch&token=b", "/x?watch&token=<b>"},
		{"/x?token=a;b&c=d", "/x?token=<a;b>&c=d"},
		{"/x?redirect=https%3A%2F%2Fy%2F%3Ftoken%3Da&b=c", "/x?redirect=<https://y/?token=a>&b=c"},
		{"/x?redirect=https%253A%252F%252Fy%252F%253Ftoken%253Da", "/x?redirect=<https%3A%2F%2Fy%2F%3Ftoken%3Da>"},
		{"/x?token=%zz", "/x?token=<%zz>"},
		{"/x?client_secret=a&Password=b&sig=c&apiKey=d", "/x?client_secret=<a>&Password=<b>&sig=<c>&apiKey=<d>"},
		{"/x;jwt=a?b=c", "/x;jwt=<a?b=c>"},
		{"/x?filter[token]=a", "/x?filter[token]=<a>"},

		{"/api/v1/pods?continue=abc&limit=5&resourceVersion=1&fieldSelector=metadata.name%3Dtoken", ""},
		{"/api/v1/pods?token=", ""},
		{"/api/v1/pods?token", ""},
		{"/api/v1/secrets/token", ""},
		{"/exec?command=sh&command=-c&command=echo+design%3D1&stdout=true", ""},
	}
	r := redactor(t, "tokens")
	for _, tt := range tests {
		e := event("pods", "")
		e.Text[audit.RequestURI] = []byte(tt.uri)
		r.Redact(e)
		want := regexp.MustCompile(`<.*?>`).ReplaceAllStringFunc(tt.want, func(m string) string { return r.Hash([]byte(m[1 : len(m)-1])) })
		if want == "" {
			want = tt.uri
		}
		if got := string(e.Text[audit.RequestURI]); got != want {
			t.Errorf("%s\n got %s\nwant %s", tt.uri, got, want)
		}
	}
}

func TestAnnotations(t *testing.T) {
	const patched = `"patch.webhook.admission.k8s.io/round_0_index_1":"{\"configuration\":\"c\",\"webhook\":\"w\",\"patch\":[{\"op\":\"add\",\"path\":\"/data/a\",\"value\":\"eHg=\"}],\"patchType\":\"JSONPatch\"}"`
	tests := []struct{ name, what, resource, annotations, hidden string }{
		{"patch of a webhook", "secrets", "secrets", `{` + patched + `,"x":"y"}`, "eHg="},
		{"of another resource", "secrets", "pods", `{` + patched + `}`, ""},
		{"patch that cannot be read", "env", "pods", `{"patch.webhook.admission.k8s.io/round_0_index_1":"{eHg="}`, "eHg="},
		{"path", "path=annotations.example.com/note", "pods", `{"example.com/note":"eHg=","x":"y"}`, "eHg="},
		{"all", "path=annotations.*", "pods", `{"a":"eHg=","x":"eHg="}`, "eHg="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := event(tt.resource, "")
			e.Text[audit.Annotations] = []byte(tt.annotations)
			redactor(t, tt.what).Redact(e)
			got := string(e.Text[audit.Annotations])
			switch {
			case tt.hidden == "" && got != tt.annotations:
				t.Errorf("changed: %s", got)
			case tt.hidden != "" && strings.Contains(got, tt.hidden):
				t.Errorf("not hidden: %s", got)
			case strings.Contains(tt.annotations, `"x":"y"`) && !strings.Contains(got, `"x":"y"`):
				t.Errorf("too much hidden: %s", got)
			}
		})
	}
}

func TestMessage(t *testing.T) {
	for what, message := range map[string]string{"path=responseStatus.message": "not so", "env": `Invalid value: core.EnvVar{Name:"A", Value:"b"}`,
		"secrets": `Secret in version "v1" cannot be handled as a Secret: v1.Secret.Data: base64Codec: illegal base64 data at input byte 3, error found in #10 byte of ...|"hidden!"}|..., bigger context ...|{"data":{"a":"hidden!"}|...`} {
		e := event("pods", "")
		e.Text[audit.Message] = []byte(message)
		text, _ := json.Marshal(message)
		e.Text[audit.StatusDetails] = []byte(`{"name":"a","causes":[{"message":` + string(text) + `}]}`)
		r := redactor(t, what)
		r.Redact(e)
		hash := r.Hash([]byte(message))
		if got := string(e.Text[audit.Message]); got != hash {
			t.Errorf("%s: %s", what, got)
		}
		if got := string(e.Text[audit.StatusDetails]); got != `{"name":"a","causes":[{"message":"`+hash+`"}]}` {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// TestLineIsMadeAnew checks that a line that was made too early does not stay.
func TestLineIsMadeAnew(t *testing.T) {
	e := event("secrets", `{"stringData":{"a":"hidden"}}`)
	e.Line()
	redactor(t, "secrets").Redact(e)
	if bytes.Contains(e.Line(), []byte("hidden")) {
		t.Errorf("%s", e.Line())
	}
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"", "secret", "path=", "path=requestURI", "path=nothing.there", "path=user.username"} {
		if _, err := redact.Parse([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if _, err := redact.New(redact.Config{Key: key[:31]}); err == nil {
		t.Error("a short key is accepted")
	}
	if _, err := redact.New(redact.Config{Key: key, Paths: []string{"verb"}}); err == nil {
		t.Error("a path that cannot be redacted is accepted")
	}
}

// TestRecipe checks that hashes are what the recipe of the manual makes without us:
//
//	printf %s s3cr3t | openssl dgst -sha256 -mac HMAC -macopt hexkey:$(od -An -v -tx1 KEYFILE | tr -d ' \n') -binary |
//	  head -c 16 | base64 | tr '+/' '-_' | tr -d =
func TestRecipe(t *testing.T) {
	if got, want := redactor(t, "secrets").Hash([]byte("s3cr3t")), "hmac:3eb1bd43:RitDFEWjJZ34drCcBxe7tg"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

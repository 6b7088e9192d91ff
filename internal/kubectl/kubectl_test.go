package kubectl

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
)

// event makes an event of a request. The body and the rest are JSON; "" is none.
func event(t testing.TB, verb, uri, body string, members ...string) *audit.Event {
	t.Helper()
	text := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	line := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"1","stage":"ResponseComplete",` +
		`"requestURI":` + text(uri) + `,"verb":` + text(verb) + `,"user":{"username":"jai"},"responseStatus":{"metadata":{},"code":200}`
	if body != "" {
		line += `,"requestObject":` + body
	}
	line += `,"requestReceivedTimestamp":"2026-11-20T15:22:04.140846Z","stageTimestamp":"2026-11-20T15:22:04.144000Z"`
	for _, m := range members {
		line = strings.Replace(line, `"user":{"username":"jai"}`, `"user":{"username":"jai"},`+m, 1)
	}
	e := new(audit.Event)
	if err := e.Scan([]byte(line + "}")); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return e
}

func TestCommand(t *testing.T) {
	const (
		shop = "/api/v1/namespaces/shop/"
		web  = "/apis/apps/v1/namespaces/shop/deployments/web"
	)
	for _, c := range []struct{ verb, uri, body, line, note string }{
		{"get", shop + "pods/web-1", "", "kubectl get pod web-1 -n shop", ""},
		{"get", web + "/status", "", "kubectl get deployment web -n shop --subresource=status", ""},
		{"get", "/api/v1/namespaces/shop", "", "kubectl get namespace shop", ""},
		{"get", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node", "", "kubectl get clusterrole system:node", ""},
		{"list", "/api/v1/pods?limit=500", "", "kubectl get pods -A", ""},
		{"list", shop + "pods?labelSelector=app%3Dcart%2Ctier+in+%28a%2Cb%29&limit=10", "", "kubectl get pods -n shop -l 'app=cart,tier in (a,b)' --chunk-size=10", ""},
		{"list", shop + "pods?fieldSelector=metadata.name%3Dweb-1", "", "kubectl get pods -n shop --field-selector=metadata.name=web-1", ""},
		{"list", "/api/v1/pods?resourceVersion=0", "", "kubectl get --raw '/api/v1/pods?resourceVersion=0'", ""},
		{"list", "/apis/events.k8s.io/v1/namespaces/shop/events", "", "kubectl get events.v1.events.k8s.io -n shop", ""},
		{"list", "/apis/autoscaling/v1/horizontalpodautoscalers", "", "kubectl get horizontalpodautoscalers.v1.autoscaling -A", ""},
		{"list", "/apis/autoscaling/v2/horizontalpodautoscalers", "", "kubectl get horizontalpodautoscalers -A", ""},
		{"list", "/apis/stable.example.com/v1/namespaces/shop/crontabs", "", "kubectl get crontabs.v1.stable.example.com -n shop", ""},
		{"watch", shop + "pods?resourceVersion=12&watch=true", "", "kubectl get pods -n shop --watch-only", "it watched from an earlier state on, kubectl watches from now on"},
		{"watch", "/api/v1/watch/namespaces/shop/configmaps", "", "kubectl get --raw /api/v1/watch/namespaces/shop/configmaps", ""},
		{"get", "/healthz", "", "kubectl get --raw /healthz", ""},
		{"get", shop + "pods/../secrets", "", "kubectl get --raw /api/v1/namespaces/shop/pods/../secrets", ""},
		{"get", "//api/v1/pods", "", "", "kubectl cannot send a request to this path"},
		{"get", shop + "services/cart/proxy/a?b=c d'", "", `kubectl get --raw '/api/v1/namespaces/shop/services/cart/proxy/a?b=c%20d%27'`, ""},

		{"get", shop + "pods/web-1/log?container=web&follow=true&tailLines=5&sinceSeconds=60", "", "kubectl logs web-1 -n shop -c web -f --since=60s --tail=5", ""},
		{"get", shop + "pods/web-1/log", "", "kubectl get --raw /api/v1/namespaces/shop/pods/web-1/log", ""},
		{"get", shop + "pods/web-1/exec?command=sh&command=-c&command=echo+%27a%27%0Ab&container=web&stderr=true&stdout=true", "", "kubectl exec web-1 -n shop -c web -- sh -c 'echo '\\''a'\\''\nb'", ""},
		{"get", shop + "pods/web-1/exec?command=sh&container=web&stdin=true&stdout=true&tty=true", "", "kubectl exec web-1 -n shop -c web -i -t -- sh", ""},
		{"create", shop + "pods/web-1/exec?command=sh&container=web&stderr=true&stdout=true", "", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false kubectl exec web-1 -n shop -c web -- sh", ""},
		{"get", shop + "pods/web-1/attach?container=web&stderr=true&stdout=true", "", "kubectl attach web-1 -n shop -c web", ""},
		{"get", shop + "pods/web-1/portforward", "", "kubectl port-forward pod/web-1 -n shop :8080", "which port was forwarded is not part of the request: 8080 stands for it"},

		{"create", shop + "configmaps?fieldManager=kubectl-create&fieldValidation=Strict", `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a\u003cb"}}`,
			"kubectl create -n shop -f - <<'EOF'\n{\n  \"kind\": \"ConfigMap\",\n  \"apiVersion\": \"v1\",\n  \"metadata\": {\n    \"name\": \"a<b\"\n  }\n}\nEOF", ""},
		{"create", shop + "configmaps?dryRun=All&fieldManager=me&fieldValidation=Warn", `{"kind":"ConfigMap","apiVersion":"v1"}`,
			"kubectl create -n shop --field-manager=me --validate=warn --dry-run=server -f - <<'EOF'\n{\n  \"kind\": \"ConfigMap\",\n  \"apiVersion\": \"v1\"\n}\nEOF", ""},
		{"create", shop + "configmaps", `{"kind":"Secret","apiVersion":"v1"}`,
			"kubectl create --raw /api/v1/namespaces/shop/configmaps -f - <<'EOF'\n{\n  \"kind\": \"Secret\",\n  \"apiVersion\": \"v1\"\n}\nEOF", ""},
		{"create", shop + "pods/web-1/eviction", `{"kind":"Eviction"}`,
			"kubectl create --raw /api/v1/namespaces/shop/pods/web-1/eviction -f - <<'EOF'\n{\n  \"kind\": \"Eviction\"\n}\nEOF", ""},
		{"create", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","metadata":{},"spec":{"resourceAttributes":{"namespace":"default","verb":"delete","group":"apps","resource":"deployments"}},"status":{"allowed":false}}`,
			"kubectl auth can-i delete deployments -n default", ""},
		{"create", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", `{"kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"verb":"*","resource":"*"}}}`,
			"kubectl auth can-i '*' '*' -A", ""},
		{"create", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", `{"kind":"SelfSubjectAccessReview","spec":{"nonResourceAttributes":{"verb":"get","path":"/logs/"}}}`,
			"kubectl auth can-i get /logs/", ""},
		{"create", "/apis/authentication.k8s.io/v1/selfsubjectreviews", `{"kind":"SelfSubjectReview"}`, "kubectl auth whoami", ""},
		{"create", shop + "serviceaccounts/ci/token", `{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","metadata":{},"spec":{"audiences":["vault"],"expirationSeconds":600,"boundObjectRef":null},"status":{"token":"","expirationTimestamp":null}}`,
			"kubectl create token ci -n shop --audience=vault --duration=10m0s", ""},

		{"delete", shop + "pods/web-1", `{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/__internal","propagationPolicy":"Background"}`, "kubectl delete pod web-1 -n shop", ""},
		{"delete", shop + "pods/web-1", `{"gracePeriodSeconds":0,"propagationPolicy":"Orphan","dryRun":["All"]}`, "kubectl delete pod web-1 -n shop --cascade=orphan --grace-period=0 --force --dry-run=server", ""},
		{"delete", shop + "pods/web-1?propagationPolicy=Foreground&gracePeriodSeconds=3", "", "kubectl delete pod web-1 -n shop --cascade=foreground --grace-period=3", ""},
		{"delete", shop + "pods/web-1", "", "kubectl delete --raw /api/v1/namespaces/shop/pods/web-1", ""},
		{"delete", shop + "pods/web-1", `{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/__internal","preconditions":{"uid":"u"}}`,
			"kubectl delete --raw /api/v1/namespaces/shop/pods/web-1 -f - <<'EOF'\n{\n  \"preconditions\": {\n    \"uid\": \"u\"\n  }\n}\nEOF", ""},
		{"deletecollection", shop + "configmaps?labelSelector=a%3Db", "", "kubectl delete --raw '/api/v1/namespaces/shop/configmaps?labelSelector=a%3Db'", ""},

		{"update", web + "?fieldManager=kubectl-replace&fieldValidation=Strict", `{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web","resourceVersion":"7"}}`,
			"kubectl replace -n shop -f - <<'EOF'\n{\n  \"kind\": \"Deployment\",\n  \"apiVersion\": \"apps/v1\",\n  \"metadata\": {\n    \"name\": \"web\",\n    \"resourceVersion\": \"7\"\n  }\n}\nEOF", ""},
		{"update", web, `{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web"}}`,
			"kubectl replace --raw /apis/apps/v1/namespaces/shop/deployments/web -f - <<'EOF'\n{\n  \"kind\": \"Deployment\",\n  \"apiVersion\": \"apps/v1\",\n  \"metadata\": {\n    \"name\": \"web\"\n  }\n}\nEOF", ""},
		{"update", "/apis/certificates.k8s.io/v1/certificatesigningrequests/jai/approval",
			`{"status":{"conditions":[{"type":"Approved","reason":"KubectlApprove","message":"This CSR was approved by kubectl certificate approve."}]}}`,
			"kubectl certificate approve jai", ""},

		{"create", shop + "services/cart/proxy/a", "", "kubectl create --raw /api/v1/namespaces/shop/services/cart/proxy/a -f body.json", "the body was not recorded: body.json stands for it"},
		{"delete", "/apis/stable.example.com/v1/namespaces/shop/crontabs/c", "", "kubectl delete crontabs.v1.stable.example.com c -n shop", "options in the body were not recorded"},

		{"patch", web, `[{"op":"replace","path":"/spec/replicas","value":4}]`, `kubectl patch deployment web -n shop --type=json -p '[{"op":"replace","path":"/spec/replicas","value":4}]'`, ""},
		{"patch", web, `{"metadata":{"labels":{"a":"b"}}}`, `kubectl patch deployment web -n shop --type=strategic -p '{"metadata":{"labels":{"a":"b"}}}'`, ""},
		{"patch", web + "?fieldManager=kubectl-label", `{"metadata":{"labels":{"a":"b"}}}`, `kubectl patch deployment web -n shop --type=merge --field-manager=kubectl-label -p '{"metadata":{"labels":{"a":"b"}}}'`, ""},
		{"patch", web, `{"spec":{"template":{"spec":{"containers":[]}}}}`, `kubectl patch deployment web -n shop --type=strategic -p '{"spec":{"template":{"spec":{"containers":[]}}}}'`,
			"the kind of patch is not in the event: kubectl's default is strategic, a merge patch would replace lists as a whole"},
		{"patch", web + "/scale", `{"spec":{"replicas":5}}`, "kubectl scale deployment web -n shop --replicas=5", ""},
		{"patch", web + "?fieldManager=me&force=true", `{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web"}}`,
			"kubectl apply --server-side -n shop --force-conflicts --field-manager=me -f - <<'EOF'\n{\n  \"kind\": \"Deployment\",\n  \"apiVersion\": \"apps/v1\",\n  \"metadata\": {\n    \"name\": \"web\"\n  }\n}\nEOF", ""},
		{"patch", "/apis/stable.example.com/v1/namespaces/shop/crontabs/c", `{"spec":{"a":1}}`, `kubectl patch crontabs.v1.stable.example.com c -n shop --type=merge -p '{"spec":{"a":1}}'`, ""},
		{"patch", shop + "services/cart/proxy/a", "", "", "kubectl can patch objects, but no other paths"},
		{"patch", web + "?x=y%1b", `{"a":1}`, `kubectl patch deployment web -n shop --type=strategic -p '{"a":1}'`, "kubectl patch cannot send x=y%1B"},
		{"", "/api/v1/namespaces/shop/configmaps", "", "", "kubectl never sends a request with this method"},
		{"options", "/api", "", "", "kubectl never sends a request with this method"},
	} {
		line, note := Command(event(t, c.verb, c.uri, c.body), false)
		if diff := cmp.Diff(c.line, line); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.verb, c.uri, diff)
		}
		if note != c.note {
			t.Errorf("%s %s: note %q, want %q", c.verb, c.uri, note, c.note)
		}
		if _, zh := Command(event(t, c.verb, c.uri, c.body), true); (zh == "") != (note == "") || zh != "" && zh == note {
			t.Errorf("%s %s: note %q, in Chinese %q", c.verb, c.uri, note, zh)
		}
	}
}

// TestNotRecorded asks for commands of events that hold less than the request did.
func TestNotRecorded(t *testing.T) {
	const configmap = "/api/v1/namespaces/shop/configmaps/a"
	metadata := func(verb, uri string) *audit.Event {
		e := event(t, verb, uri, "")
		e.Text[audit.Level] = []byte("Metadata")
		return e
	}
	large := event(t, "update", configmap, `{"kind":"ConfigMap","data":{"a":"`+strings.Repeat("x", mostBody)+`"}}`)
	truncated := event(t, "update", configmap, "")
	truncated.Text[audit.Annotations] = []byte(`{"audit.k8s.io/truncated":"true"}`)
	for _, c := range []struct {
		e        *audit.Event
		line, zh string
	}{
		{metadata("delete", configmap), "kubectl delete configmap a -n shop", "请求体中的删除选项未被记录"},
		{metadata("create", "/api/v1/namespaces/shop/configmaps"), "kubectl create -n shop -f manifest.yaml", "请求体未被记录：以 manifest.yaml 代替"},
		{metadata("patch", configmap), "kubectl patch configmap a -n shop --patch-file=patch.yaml", "请求体未被记录：以 patch.yaml 代替；补丁类型也不在事件中"},
		{metadata("update", "/apis/certificates.k8s.io/v1/certificatesigningrequests/a/approval"),
			"kubectl replace --subresource=approval -f manifest.yaml", "请求体未被记录：以 manifest.yaml 代替"},
		{large, "kubectl replace -n shop -f manifest.yaml", "请求体有 262180 字节，此处省略：以 manifest.yaml 代替"},
		{truncated, "kubectl replace -n shop -f manifest.yaml", "kube-apiserver 为缩小事件丢弃了请求体：以 manifest.yaml 代替"},
	} {
		line, zh := Command(c.e, true)
		if line != c.line || zh != c.zh {
			t.Errorf("%s %s:\n%s\n%s, want\n%s\n%s", c.e.Text[audit.Verb], c.e.Text[audit.RequestURI], line, zh, c.line, c.zh)
		}
	}
}

func TestImpersonation(t *testing.T) {
	for who, want := range map[string]string{
		`{"username":"veeru","groups":["system:authenticated"]}`:                                                                                  "--as=veeru",
		`{"username":"a b","groups":["dev team","system:authenticated"],"uid":"7"}`:                                                               "--as='a b' --as-group='dev team' --as-uid=7",
		`{"username":"eve","extra":{"scopes":["view","edit"],"reason":["x"]}}`:                                                                    "--as=eve --as-user-extra=reason=x --as-user-extra=scopes=view --as-user-extra=scopes=edit",
		`{"username":"system:serviceaccount:ci:deployer","groups":["system:serviceaccounts","system:serviceaccounts:ci","system:authenticated"]}`: "--as=system:serviceaccount:ci:deployer",
		`{"username":"system:serviceaccount:ci:deployer","groups":["system:authenticated"]}`:                                                      "--as=system:serviceaccount:ci:deployer --as-group=system:authenticated",
		`{"username":"system:anonymous","groups":["system:unauthenticated"]}`:                                                                     "--as=system:anonymous",
	} {
		line, note := Command(event(t, "get", "/version", "", `"impersonatedUser":`+who), false)
		if line != "kubectl get --raw /version "+want || note != "" {
			t.Errorf("%s: %s %s", who, line, note)
		}
	}
	refused := event(t, "list", "/api/v1/pods", "")
	refused.Code, refused.Text[audit.Message] = 403, []byte(`pods is forbidden: User "alice" cannot impersonate-on:user-info:list resource "pods"`)
	if line, note := Command(refused, false); line != "kubectl get pods -A" || note != "in whose name it was to be sent was not recorded" {
		t.Errorf("refused: %q, %q", line, note)
	}
	received := event(t, "list", "/api/v1/pods", "")
	received.Code, received.Text[audit.Stage] = 0, []byte("RequestReceived")
	if line, note := Command(received, true); line != "kubectl get pods -A" || note != "这一阶段尚不知道请求是否扮演了他人" {
		t.Errorf("received: %q, %q", line, note)
	}
	if line, note := Command(event(t, "get", "/version", "", `"impersonatedUser":{"groups":["a"]}`), false); line != "" || note == "" {
		t.Errorf("groups without a user: %q, %q", line, note)
	}
}

// TestRealLogs asks for the command of every event of real logs: whatever kubectl sent
// it can send again, and what it cannot send is said.
func TestRealLogs(t *testing.T) {
	for _, name := range []string{"a-gce-derived", "d-metadata-all"} {
		events, without := 0, 0
		for line := range bytes.Lines(corpustest.Members(t, name, "audit.log")[0].Data) {
			var e audit.Event
			if err := e.Scan(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
				t.Fatal(err)
			}
			events++
			command, note := Command(&e, false)
			if command != "" {
				continue
			}
			without++
			if note == "" || bytes.HasPrefix(e.Text[audit.UserAgent], []byte("kubectl/")) {
				t.Errorf("%s: no command, %q for %s %s", name, note, e.Text[audit.Verb], e.Text[audit.RequestURI])
			}
		}
		// Somebody sent FOO, OPTIONS and a path that begins with two slashes.
		if events == 0 || without == 0 || without > 10 {
			t.Errorf("%s: %d of %d events have no command", name, without, events)
		}
	}
}

func BenchmarkCommand(b *testing.B) {
	events := []*audit.Event{
		event(b, "list", "/api/v1/namespaces/shop/pods?labelSelector=app%3Dcart&limit=500", ""),
		event(b, "patch", "/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=kubectl-set", `{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"nginx"}],"containers":[{"image":"nginx:1.27","name":"nginx"}]}}}}`),
		event(b, "delete", "/api/v1/namespaces/shop/pods/web-1", `{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/__internal","propagationPolicy":"Background"}`),
	}
	for i := 0; b.Loop(); i++ {
		Command(events[i%len(events)], false)
	}
}

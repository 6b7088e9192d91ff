package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"kubetrail/test/e2e/plane"
)

// step is one act of the story: something that somebody does at one API server.
type step struct {
	kubectl []string // arguments of kubectl
	stdin   string
	request      // or one request
	loses   bool // kube-apiserver loses its event, because it cannot encode it
}

// sh is a kubectl command as one would type it.
func sh(who, line string) step {
	return step{request: request{who: who}, kubectl: strings.Fields(line)}
}

func apply(who, manifest string, args ...string) step {
	return step{request: request{who: who}, kubectl: append([]string{"apply", "-f", "-"}, args...), stdin: manifest}
}

func raw(who, method, uri, body string, headers ...string) step {
	return step{request: request{who, method, uri, body, headers}}
}

func named(kind, version, name, rest string) string {
	return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q}%s}`, version, kind, name, rest)
}

const (
	shop     = "/api/v1/namespaces/shop"
	rbac     = "/apis/rbac.authorization.k8s.io/v1"
	yamlType = "application/apply-patch+yaml"
)

// story is what people do: some of it is allowed, some refused, some malformed.
func story() (all []step) {
	chapters := [][]step{rights(), workloads(), objects(), escalation(), refused(), hostile()}
	for i, c := range chapters {
		all = append(append(all, c...), lost(i)...)
	}
	return append(all, farewell()...)
}

// rights gives alice a role in the shop and bob the whole cluster.
func rights() []step {
	return []step{
		sh("admin", "create namespace shop"),
		sh("admin", "create namespace payments"),
		sh("admin", "label namespace payments tier=gold"),
		sh("admin", "create role dev --verb=get,list,watch,create,update,patch,delete --resource=pods,configmaps,deployments.apps,services,serviceaccounts -n shop"),
		sh("admin", "create rolebinding dev --role=dev --group=dev-team -n shop"),
		sh("admin", "create clusterrolebinding ops --clusterrole=cluster-admin --group=ops-team"),
		sh("alice", "auth whoami"),
		sh("alice", "auth can-i create pods -n shop"),
		sh("mallory", "auth can-i --list -n shop"),
		sh("bob", "get clusterroles"),
		sh("admin", "create serviceaccount deployer -n shop"),
		sh("admin", "create token deployer -n shop"),
	}
}

func workloads() []step {
	all := []step{
		sh("alice", "create deployment web --image=nginx:1.27 -n shop"),
		sh("alice", "get deployments -n shop -o yaml"),
		sh("alice", "set image deployment/web nginx=nginx:1.28 -n shop"),
		sh("bob", "scale deployment web --replicas=3 -n shop"),
		sh("alice", "rollout restart deployment/web -n shop"),
		sh("alice", "expose deployment web --port=80 -n shop"),
		sh("alice", "run shell --image=busybox:1.37 -n shop --restart=Never -- sleep 3600"),
		sh("alice", "exec shell -n shop -- id"),
		sh("alice", "logs shell -n shop"),
		sh("alice", "get pods -n shop -o wide"),
		sh("alice", "describe pod shell -n shop"),
		sh("alice", "annotate pod shell team=shop -n shop"),
		sh("alice", "get pods -n payments"),
		sh("bob", "cordon node-that-is-not"),
		apply("alice", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app-config, namespace: shop}\ndata: {LOG_LEVEL: info}\n"),
		apply("alice", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app-config, namespace: shop}\ndata: {LOG_LEVEL: debug}\n", "--server-side", "--force-conflicts"),
		sh("王芳", "get configmaps -n shop"),
		sh("bob", "create secret generic db-password --from-literal=password=hunter2 -n payments"),
		sh("bob", "get secret db-password -n payments -o json"),
		sh("mallory", "get secret db-password -n payments"),
		sh("bob", "create quota q --hard=pods=10 -n payments"),
		sh("bob", "create job one --image=busybox:1.37 -n payments"),
		sh("bob", "create cronjob nightly --image=busybox:1.37 --schedule=0#3#*#*#* -n payments"),
		sh("bob", "patch deployment web -n shop --type=json -p [{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":1}]"),
		sh("bob", "delete pod shell -n shop --now"),
		sh("alice", "delete service web -n shop"),
		sh("bob", "get all -A"),
		sh("bob", "api-resources"),
	}
	for i := range all {
		for j := range all[i].kubectl { // an argument with blanks
			all[i].kubectl[j] = strings.ReplaceAll(all[i].kubectl[j], "#", " ")
		}
	}
	return all
}

// objects is the life of many small objects, in raw requests.
func objects() (all []step) {
	for i := range 8 {
		name := fmt.Sprintf("item-%d", i)
		at := shop + "/configmaps/" + name
		all = append(all,
			raw("alice", "POST", shop+"/configmaps", named("ConfigMap", "v1", name, `,"data":{"n":"0"}`)),
			raw("alice", "GET", at, ""),
			raw("alice", "PUT", at, named("ConfigMap", "v1", name, `,"data":{"n":"1"}`)),
			raw("alice", "PATCH", at, `{"data":{"n":"2"}}`, "Content-Type", "application/merge-patch+json"),
			raw("alice", "PATCH", at, `[{"op":"add","path":"/data/m","value":"3"}]`, "Content-Type", "application/json-patch+json"),
			raw("bob", "PATCH", at+"?fieldManager=bob&force=true", named("ConfigMap", "v1", name, `,"data":{"n":"4"}`), "Content-Type", yamlType),
			raw("王芳", "GET", at, ""),
			raw("alice", "GET", shop+"/configmaps?limit=2", ""),
			raw("alice", "GET", shop+"/configmaps?watch=true&timeoutSeconds=1", ""),
			raw("alice", "POST", shop+"/serviceaccounts?dryRun=All", named("ServiceAccount", "v1", name, "")),
			raw("alice", "DELETE", at, ""),
		)
	}
	return all
}

// escalation is how mallory becomes cluster-admin for a while.
func escalation() []step {
	binding := named("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", "temp-debug",
		`,"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"User","name":"mallory","apiGroup":"rbac.authorization.k8s.io"}]`)
	return []step{
		raw("bob", "POST", rbac+"/clusterrolebindings", binding),
		raw("mallory", "GET", "/api/v1/secrets", ""),
		raw("mallory", "GET", "/api/v1/namespaces/payments/secrets/db-password", ""),
		raw("mallory", "POST", shop+"/serviceaccounts/deployer/token", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":600}}`),
		raw("mallory", "POST", "/api/v1/namespaces/kube-system/pods", named("Pod", "v1", "toolbox", `,"spec":{"hostPID":true,"containers":[{"name":"c","image":"busybox","securityContext":{"privileged":true}}]}`)),
		raw("mallory", "GET", "/api/v1/namespaces/kube-system/pods/toolbox/exec?command=cat&command=/etc/shadow&stdout=true", ""),
		raw("mallory", "GET", "/api/v1/namespaces/kube-system/pods/toolbox/log", ""),
		raw("mallory", "DELETE", "/api/v1/namespaces/kube-system/pods/toolbox", `{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0}`),
		raw("bob", "DELETE", rbac+"/clusterrolebindings/temp-debug", ""),
		raw("mallory", "GET", "/api/v1/secrets", ""),
		raw("bob", "GET", shop+"/pods", "", "Impersonate-User", "alice", "Impersonate-Group", "dev-team"),
		raw("mallory", "GET", shop+"/pods", "", "Impersonate-User", "admin", "Impersonate-Group", "system:masters"),
		raw("bob", "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"mallory","resourceAttributes":{"verb":"get","resource":"secrets"}}}`),
		raw("bob", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"nonsense"}}`),
	}
}

// refused is what does not go: nobody, no right, no such thing, no such type.
func refused() (all []step) {
	for _, uri := range []string{"/api", "/apis", "/api/v1/nodes", shop + "/secrets", "/openapi/v2", "/metrics", "/nowhere", "/livez"} {
		all = append(all, raw("mallory", "GET", uri, ""), raw("", "GET", uri, ""),
			raw("", "GET", uri, "", "Authorization", "Bearer nonsense"))
	}
	return append(all,
		raw("alice", "GET", shop+"/configmaps/absent", ""),
		raw("alice", "POST", shop+"/configmaps", named("ConfigMap", "v1", "app-config", "")),
		raw("alice", "POST", shop+"/configmaps", `{"kind":"Pod"}`),
		raw("alice", "POST", shop+"/configmaps", `{"broken`),
		raw("alice", "POST", shop+"/configmaps", `a: b`, "Content-Type", "text/plain"),
		raw("alice", "PATCH", shop+"/configmaps/app-config", `{}`, "Content-Type", "application/json"),
		raw("alice", "PUT", shop+"/configmaps/app-config", named("ConfigMap", "v1", "other", "")),
		raw("alice", "DELETE", shop+"/secrets", ""),
		raw("bob", "DELETE", "/api/v1/namespaces/payments/configmaps", ""),
		raw("bob", "GET", "/api/v1/namespaces/payments/events", ""),
		raw("bob", "GET", "/version", ""),
		raw("bob", "GET", "/healthz", ""),
		raw("bob", "GET", "/apis/metrics.k8s.io/v1beta1/nodes", ""),
		raw("alice", "GET", "/api/v1/watch/namespaces/shop/configmaps?timeoutSeconds=1", ""),
	)
}

// hostile is what somebody sends who wants to harm who reads the log.
func hostile() (all []step) {
	at := shop + "/configmaps"
	all = append(all,
		raw("mallory", "GET", at, "", "User-Agent", `<script>alert(1)</script>`),
		raw("mallory", "GET", at, "", "User-Agent", "bad \xff\xfe utf-8"),
		raw("mallory", "GET", at, "", "User-Agent", strings.Repeat("long", 900)),
		raw("mallory", "GET", at, "", "User-Agent", "tab\tand \u202eright to left \u009b31m"),
		raw("mallory", "GET", at, "", "X-Forwarded-For", "10.0.0.1, not an address, 2001:db8::1"),
		raw("mallory", "GET", at+"?"+strings.Repeat("a=%2F%00&", 500), ""),
		raw("mallory", "GET", shop+"/../payments/secrets", ""),
		raw("mallory", "GET", "//api/v1/namespaces", ""),
		raw("mallory", "GET", at+"/%0a%7B%22kind%22%3A%22Event%22", ""),
		raw("mallory", "FOO", at, ""),
		raw("mallory", "OPTIONS", at, ""),
		raw("mallory", "HEAD", at, ""),
		raw("mallory", "TRACE", "/api", ""),
		raw("mallory", "GET", at, "", "Audit-ID", strings.Repeat("x", 200)),
		raw("mallory", "GET", at, "", "Audit-ID", `quoted " and { "kind":"Event" }`),
	)
	for range 8 { // an audit ID that two people choose
		all = append(all, raw("alice", "GET", at, "", "Audit-ID", "planted-audit-id-0001"), raw("mallory", "GET", at, "", "Audit-ID", "planted-audit-id-0001"))
	}
	return all
}

// lost are requests that kube-apiserver serves, and loses the event of: the body of the
// patch is no JSON, and it takes it into the event as if it were.
func lost(i int) []step {
	binding := fmt.Sprintf("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: quiet-%d\n"+
		"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\n"+
		"subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: mallory}]\n", i)
	at := fmt.Sprintf("%s/clusterrolebindings/quiet-%d", rbac, i)
	all := []step{
		raw("bob", "PATCH", at+"?fieldManager=quiet&force=true", binding, "Content-Type", yamlType),
		raw("bob", "PATCH", shop+"/serviceaccounts/deployer", `{"metadata":{"labels":`, "Content-Type", "application/merge-patch+json"),
	}
	for i := range all {
		all[i].loses = true
	}
	return append(all, raw("bob", "DELETE", at, ""), raw("bob", "GET", at, ""))
}

func farewell() []step {
	return []step{
		sh("bob", "get events -A"),
		sh("bob", "delete deployment web -n shop"),
		sh("bob", "delete namespace payments --wait=false"),
		sh("bob", "get namespaces"),
		sh("bob", "version"),
	}
}

// tell acts out the story, one step after the other with a pause between them, on
// alternating API servers. What has no answer, because the server was killed, is tried
// again: the story goes on only with an answer.
func (r *rig) tell(ctx context.Context, steps []step, pause func() time.Duration) error {
	for i, x := range steps {
		for tries := 0; ; tries++ {
			s := r.server(i + tries)
			err := r.act(ctx, s, x)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if tries == 100 {
				return fmt.Errorf("step %d: %w", i, err)
			}
			wait(ctx, 200*time.Millisecond)
		}
		r.told.Add(1)
		wait(ctx, pause())
	}
	return nil
}

func (r *rig) act(ctx context.Context, s *plane.Server, x step) error {
	if x.kubectl != nil {
		return r.clients.kubectl(ctx, s, x.who, x.stdin, x.kubectl...)
	}
	if x.loses {
		r.losing.Lock()
		defer r.losing.Unlock()
	}
	status, err := r.clients.do(ctx, s, x.request)
	if err == nil && status >= 500 && status != http.StatusGatewayTimeout && !strings.Contains(x.uri, "/exec") {
		return fmt.Errorf("%s %s was answered %d", x.method, x.uri, status)
	}
	return err
}

// load sends requests without an end: many small ones, and some whose events fill the
// log with a MiB a second.
func (r *rig) load(ctx context.Context, seed uint64) error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	words := strings.Fields("the quick brown fox jumps over the lazy dog while eleven pods of the shop wait for nodes")
	every := time.NewTicker(25 * time.Millisecond)
	defer every.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		s := r.server(n)
		q := request{who: "load", method: "GET", uri: fmt.Sprintf("%s/configmaps/load-%d", shop, rnd.IntN(100))}
		switch n % 8 {
		case 0, 1:
			var text strings.Builder
			for text.Len() < 150<<10 {
				fmt.Fprintf(&text, "%s-%x ", words[rnd.IntN(len(words))], rnd.Uint32())
			}
			q.method, q.uri = "POST", shop+"/serviceaccounts?dryRun=All"
			q.body = fmt.Sprintf(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"generateName":"load-","annotations":{"text":%q}}}`, text.String())
		case 2:
			q.method, q.uri, q.body = "POST", shop+"/configmaps?dryRun=All", named("ConfigMap", "v1", "load", "")
		case 3:
			q.uri = shop + "/configmaps?limit=10"
		}
		// A server that was killed does not answer, and one that starts does so badly.
		_, _ = r.clients.do(ctx, s, q)
	}
}

// replay sends requests with one audit ID, as many as are answered.
func (r *rig) replay(ctx context.Context, n int) error {
	for i, tries := 0, 0; i < n; tries++ {
		_, err := r.clients.do(ctx, r.server(0), request{who: "alice", method: "GET", uri: shop + "/configmaps/app-config", headers: []string{"Audit-ID", replayed}})
		if err == nil {
			i++
			continue
		}
		if tries == 2*n || ctx.Err() != nil {
			return fmt.Errorf("replay of an audit ID: %w", err)
		}
		wait(ctx, 20*time.Millisecond)
	}
	return nil
}

// replayed is the audit ID of replay.
const replayed = "00000000-1111-4222-8333-444444444444"

// wait waits, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

package lint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kubetrail/internal/corpustest"
	"kubetrail/policy"
	"kubetrail/policy/yamltext"
)

// found runs a policy whose rules are given and returns "line check" for each finding
// that is no info, or all that have one of the IDs.
func found(t *testing.T, rules string, ids ...string) []string {
	t.Helper()
	var out []string
	for _, f := range Run(complete(rules), Config{Kubernetes: 37}) {
		if len(ids) == 0 && f.Severity != Info || slices.Contains(ids, f.Check) {
			out = append(out, fmt.Sprintf("%d %s", f.Line, f.Check))
		}
	}
	return out
}

const catchAll = "- level: Metadata\n"

// TestValues checks single values that no request has, and those that look strange
// but are right.
func TestValues(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{`verbs: ["*"]`, "useless-wildcard"},
		{`verbs: ["get*"]`, "useless-wildcard"},
		{`verbs: ["GET"]`, "unknown-verb"},
		{`verbs: ["impersonate"]`, "unknown-verb"},
		{`verbs: ["post"]`, ""},
		{`verbs: ["post"], namespaces: [a]`, "wrong-kind-of-verb"},
		{`verbs: ["list"], nonResourceURLs: ["/x"]`, "wrong-kind-of-verb"},
		{`verbs: ["get", "head", "patch"], nonResourceURLs: ["/x"]`, ""},
		{`verbs: ["proxy"], resources: [{group: ""}]`, ""},
		{`users: ["*"]`, "useless-wildcard"},
		{`users: ["system:serviceaccount:*"]`, "useless-wildcard"},
		{`users: ["system:node:*"]`, "useless-wildcard"},
		{`users: ["alice*"]`, "useless-wildcard"},
		{`users: ["system:nodes"]`, "user-or-group"},
		{`users: ["system:masters", "alice"]`, "user-or-group"},
		{`users: ["system:serviceaccounts:ci"]`, "user-or-group"},
		{`users: ["system:serviceaccount:ci"]`, "malformed-user"},
		{`users: ["system:serviceaccount:ci:my.bot", "system:node:n1", "王芳", "a@b.c", "system:kube-proxy"]`, ""},
		{`users: [""]`, "malformed-user"},
		{`userGroups: ["system:serviceaccount:a:b"]`, "user-or-group"},
		{`userGroups: ["system:node:n1"]`, "user-or-group"},
		{`userGroups: ["system:serviceaccounts:a", "system:masters", "oidc:platform", "cluster-admin"]`, ""},
		{`userGroups: ["*"]`, "useless-wildcard"},
		{`namespaces: ["kube-*"]`, "useless-wildcard"},
		{`namespaces: ["*"], resources: [{group: ""}]`, "useless-wildcard"},
		{`namespaces: ["Prod"]`, "impossible-namespace"},
		{`namespaces: ["a_b"]`, "impossible-namespace"},
		{`namespaces: ["a", ""]`, ""},
		{`namespaces: [""], verbs: [list], resources: [{group: "", resources: [pods]}]`, ""},
		{`namespaces: [""], verbs: [get, list], resources: [{group: "", resources: [pods]}]`, "empty-namespace"},
		{`namespaces: [""], resources: [{group: "", resources: [pods, nodes]}]`, ""},
		{`namespaces: [a], resources: [{group: "", resources: [nodes]}]`, "cluster-scoped"},
		{`namespaces: [a], resources: [{group: "", resources: [namespaces]}]`, ""},
		{`namespaces: [a], resources: [{group: example.com, resources: [nodes]}]`, ""},
		{`nonResourceURLs: ["/api/v1/pods"]`, "dead-url"},
		{`nonResourceURLs: ["/api/v1/*"]`, "dead-url"},
		{`nonResourceURLs: ["/apis/apps/v1/deployments*"]`, "dead-url"},
		{`nonResourceURLs: ["/healthz?verbose"]`, "dead-url"},
		{`nonResourceURLs: ["/api*", "/apis/*", "/api/v1", "/apis/apps/v1", "/healthz/*", "/.well-known/*"]`, ""},
		{`resources: [{group: core}]`, "unknown-group"},
		{`resources: [{group: rbac}]`, "unknown-group"},
		{`resources: [{group: networking}]`, "unknown-group"},
		{`resources: [{group: authentication.k8.io}]`, "unknown-group"},
		{`resources: [{group: app}]`, "unknown-group"},
		{`resources: [{group: example.com}, {group: metrics.k8s.io}, {group: gateway.networking.k8s.io}, {group: snapshot.storage.k8s.io}, {group: custom.metrics.k8s.io}, {group: cert-manager.io}]`, ""},
		{`resources: [{group: extensions, resources: [ingresses]}]`, "gone-api"},
		{`resources: [{group: "", resources: [deployments]}]`, "wrong-group"},
		{`resources: [{group: "", resources: ["pods/scale"]}]`, "unknown-resource"},
		{`resources: [{group: autoscaling, resources: ["deployments/scale"]}]`, "wrong-group"},
		{`resources: [{group: policy, resources: ["pods/eviction"]}]`, "wrong-group"},
		{`resources: [{group: "", resources: ["deployments.apps"]}]`, "wrong-group"},
		{`resources: [{group: "", resources: ["Pods"]}]`, "unknown-resource"},
		{`resources: [{group: "", resources: ["ConfigMap"]}]`, "unknown-resource"},
		{`resources: [{group: "", resources: ["pods/"]}]`, "unknown-resource"},
		{`resources: [{group: "", resources: ["secret"]}]`, "unknown-resource"},
		{`resources: [{group: "", resources: ["cm"]}]`, "unknown-resource"},
		{`resources: [{group: "", resources: ["widgets"]}]`, "unknown-resource"},
		{`resources: [{group: "", resources: ["pods/log/x"]}]`, "unknown-resource"},
		{`resources: [{group: "", resources: ["pods/logs"]}]`, "unknown-resource"},
		{`resources: [{group: example.com, resources: ["Widgets"]}]`, "unknown-resource"},
		{`resources: [{group: example.com, resources: ["widgets/x", "things"]}]`, ""},
		{`resources: [{group: "", resources: ["*/*"]}]`, "useless-wildcard"},
		{`resources: [{group: "", resources: ["pod*"]}]`, "useless-wildcard"},
		{`resources: [{group: "", resources: ["*"]}, {group: apps, resources: ["*/scale", "deployments/*"]}, {group: "*", resources: ["*/status"]}]`, ""},
		{`resources: [{group: "", resources: [pods], resourceNames: ["web-*"]}]`, "useless-wildcard"},
		{`verbs: [create], resources: [{group: "", resources: [pods], resourceNames: [a]}]`, "name-in-body"},
		{`verbs: [create], resources: [{group: "", resources: [pods/exec], resourceNames: [a]}]`, ""},
		{`verbs: [create, get], resources: [{group: "", resources: [pods], resourceNames: ["", a]}]`, ""},
		{`users: ["system:anonymous"], userGroups: ["system:authenticated"]`, "contradiction"},
		{`users: ["alice"], userGroups: ["system:authenticated"]`, ""},
	} {
		// A level at which neither leaks nor losses are reported.
		got := found(t, "rules:\n- {level: Metadata, "+c.rule+"}\n- level: Metadata\n  omitStages: [RequestReceived]\n")
		want := []string{}
		if c.want != "" {
			want = append(want, c.want)
		}
		var names []string
		for _, g := range got {
			names = append(names, strings.Fields(g)[1])
		}
		if fmt.Sprint(slices.Compact(names)) != fmt.Sprint(want) {
			t.Errorf("%s: found %v, want %v", c.rule, got, want)
		}
	}
}

// TestMeaning checks what depends on what a policy as a whole does with a request.
func TestMeaning(t *testing.T) {
	const secret = "resources: [{group: \"\", resources: [secrets]}]"
	for _, c := range []struct{ name, rules, check, want string }{
		{"a get at Request has no body", "- {level: Request, verbs: [get, list, watch, delete], " + secret + "}\n", "secret-bodies", ""},
		{"its answer has", "- {level: RequestResponse, verbs: [get], " + secret + "}\n", "secret-bodies", "3:11 error"},
		{"a create has one", "- {level: Request, verbs: [create], " + secret + "}\n", "secret-bodies", "3:11 error"},
		{"of one user", "- {level: Request, users: [alice], " + secret + "}\n", "secret-bodies", "3:11 warning"},
		{"an earlier rule takes them", "- {level: Metadata, " + secret + "}\n- {level: Request, " + secret + "}\n", "secret-bodies", ""},
		{"of one namespace", "- {level: Request, namespaces: [payments], " + secret + "}\n", "secret-bodies", "3:11 error"},
		{"a token is in the answer", "- {level: Request, resources: [{group: \"\", resources: [serviceaccounts/token]}]}\n", "secret-bodies", "3:11 info"},
		{"a token that is reviewed is in the request", "- {level: Request, resources: [{group: authentication.k8s.io}]}\n", "secret-bodies", "3:11 error"},
		{"named on purpose", "- {level: Request, resources: [{group: \"\", resources: [configmaps]}]}\n", "configmap-bodies", "3:11 info"},
		{"among others", "- {level: Request, resources: [{group: \"\", resources: [configmaps, pods]}]}\n", "configmap-bodies", "3:11 warning"},
		{"lists of one user", "- {level: RequestResponse, users: [alice], resources: [{group: apps}]}\n", "costly-reads", "3:11 info"},
		{"lists", "- {level: RequestResponse, resources: [{group: apps}]}\n", "costly-reads", "3:11 warning"},
		{"no lists", "- {level: RequestResponse, verbs: [get, watch, create], resources: [{group: apps}]}\n", "costly-reads", ""},
		{"one node", "- {level: None, users: [\"system:node:n\"]}\n", "blind-spot", ""},
		{"reads of administrators", "- {level: None, userGroups: [\"system:masters\"], verbs: [get, list, watch]}\n", "blind-spot", ""},
		{"administrators", "- {level: None, userGroups: [\"system:masters\"]}\n", "blind-spot", "3:11 warning"},
		{"both groups of events", "- {level: None, resources: [{group: \"\", resources: [events]}]}\n- {level: None, resources: [{group: events.k8s.io}]}\n", "half-of-events", ""},
		{"events of nobody in particular", "- {level: None, resources: [{group: \"\", resources: [events]}]}\n", "half-of-events", "3:37 warning"},
		{"reads of one user", "- {level: None, users: [alice], verbs: [get, list]}\n", "secret-reads-lost", ""},
		{"failed logins dropped where they do not count", "- {level: Metadata, users: [alice], omitStages: [ResponseStarted]}\n", "failed-logins-lost", ""},
		{"failed logins", "- {level: Metadata, omitStages: [ResponseStarted]}\n", "failed-logins-lost", "3:34 warning"},
	} {
		var got []string
		for _, f := range ids(Run([]byte("apiVersion: audit.k8s.io/v1\nrules:\n"+c.rules+"- level: Metadata\n"), Config{}), c.check) {
			got = append(got, fmt.Sprintf("%d:%d %s", f.Line, f.Column, f.Severity))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %s %v, want %q", c.name, c.check, got, c.want)
		}
	}
}

// TestRepairs checks repairs byte for byte, in the styles that people write.
func TestRepairs(t *testing.T) {
	head := "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
	for _, c := range []struct{ name, check, before, after string }{
		{"first member behind the dash", "useless-wildcard",
			"rules:\n- verbs: [\"*\"]\n  level: None # why\n- level: Metadata\n",
			"rules:\n- level: None # why\n- level: Metadata\n"},
		{"block list", "unknown-verb",
			"rules:\n- level: Metadata\n  verbs:\n  - get # one\n  - bind # two\n  # three\n- level: Metadata\n",
			"rules:\n- level: Metadata\n  verbs:\n  - get # one\n  # three\n- level: Metadata\n"},
		{"single quotes", "unknown-verb",
			"rules:\n- level: Metadata\n  verbs: [ 'GET', list ]\n- level: Metadata\n",
			"rules:\n- level: Metadata\n  verbs: [ 'get', list ]\n- level: Metadata\n"},
		{"last of a flow list", "duplicate-value",
			"rules:\n- level: Metadata\n  verbs: [get,\n    list,\n    get]\n- level: Metadata\n",
			"rules:\n- level: Metadata\n  verbs: [get,\n    list]\n- level: Metadata\n"},
		{"JSON", "unknown-group",
			"rules: [{\"level\": \"Metadata\", \"resources\": [{\"group\": \"core\"}]}, {\"level\": \"Metadata\"}]\n",
			"rules: [{\"level\": \"Metadata\", \"resources\": [{\"group\": \"\"}]}, {\"level\": \"Metadata\"}]\n"},
		{"one value for a list", "rejected",
			"rules:\n- level: Metadata\n  verbs: get # only\n",
			"rules:\n- level: Metadata\n  verbs: [get] # only\n"},
		{"resources as in RBAC", "rejected",
			"rules:\n- level: Metadata\n  resources: [pods/exec, \"deployments\"]\n- level: Metadata\n",
			"rules:\n- level: Metadata\n  resources: [{group: \"\", resources: [\"pods/exec\"]}, {group: \"apps\", resources: [\"deployments\"]}]\n- level: Metadata\n"},
		{"version in the group", "rejected",
			"rules:\n- level: Metadata\n  resources:\n  - group: apps/v1\n",
			"rules:\n- level: Metadata\n  resources:\n  - group: apps\n"},
		{"stage in lower case", "rejected",
			"omitStages: [requestReceived]\nrules:\n- level: Metadata\n",
			"omitStages: [RequestReceived]\nrules:\n- level: Metadata\n"},
		{"no level", "rejected",
			"rules:\n  - verbs: [get]\n",
			"rules:\n  - level: Metadata\n    verbs: [get]\n"},
		{"mis-indented verbs", "unknown-field",
			"rules:\n- level: None\n  resources:\n  - group: coordination.k8s.io\n    resources: [leases]\n    verbs:\n    - watch\n- level: Metadata\n",
			"rules:\n- level: None\n  verbs: [watch]\n  resources:\n  - group: coordination.k8s.io\n    resources: [leases]\n- level: Metadata\n"},
		{"one name for a list", "unknown-field",
			"rules:\n- level: None\n  namespace: \"kube-system\"\n- level: Metadata\n",
			"rules:\n- level: None\n  namespaces: [\"kube-system\"]\n- level: Metadata\n"},
		{"apiGroups as in RBAC", "unknown-field",
			"rules:\n- level: None\n  resources:\n  - apiGroups: [\"apps\"]\n    resources: [deployments]\n- level: Metadata\n",
			"rules:\n- level: None\n  resources:\n  - group: \"apps\"\n    resources: [deployments]\n- level: Metadata\n"},
		{"apiGroups beside resources", "unknown-field",
			"rules:\n- level: None\n  apiGroups: [\"apps\"]\n  resources:\n  - resources: [deployments]\n- level: Metadata\n",
			"rules:\n- level: None\n  resources:\n  - group: \"apps\"\n    resources: [deployments]\n- level: Metadata\n"},
		{"duplicate key", "duplicate-key",
			"rules:\n- level: Metadata\n  verbs:\n  - get\n  verbs:\n  - list\n",
			"rules:\n- level: Metadata\n  verbs:\n  - list\n"},
		{"rule with its comment", "shadowed-rule",
			"rules:\n# all\n- level: Metadata\n\n# some\n# of them\n- level: None # x\n  verbs: [get] # y\n\n# end\n",
			"rules:\n# all\n- level: Metadata\n\n\n# end\n"},
		{"no newline at the end", "no-catch-all",
			"rules:\n    - level: Metadata\n      verbs: [get]",
			"rules:\n    - level: Metadata\n      verbs: [get]\n    - level: Metadata"},
		{"Windows", "no-catch-all",
			"rules:\r\n- level: Metadata\r\n  verbs: [get]\r\n",
			"rules:\r\n- level: Metadata\r\n  verbs: [get]\r\n- level: Metadata\r\n"},
		{"group without a key", "wrong-group",
			"rules:\n- level: Metadata\n  resources:\n  - resources: [deployments, daemonsets]\n- level: Metadata\n",
			"rules:\n- level: Metadata\n  resources:\n  - group: \"apps\"\n    resources: [deployments, daemonsets]\n- level: Metadata\n"},
		{"group in braces", "wrong-group",
			"rules:\n- level: Metadata\n  resources: [{resources: [deployments]}]\n- level: Metadata\n",
			"rules:\n- level: Metadata\n  resources: [{\"group\": \"apps\", resources: [deployments]}]\n- level: Metadata\n"},
		{"users that are groups", "useless-wildcard",
			"rules:\n- level: None\n  users:\n  - system:serviceaccount:ci:*\n  - \"system:node:*\"\n- level: Metadata\n",
			"rules:\n- level: None\n  userGroups:\n  - system:serviceaccounts:ci\n  - \"system:nodes\"\n- level: Metadata\n"},
		{"stage that is there twice", "failed-logins-lost",
			"omitStages: [ResponseStarted, Panic, ResponseStarted]\nrules:\n- level: Metadata\n",
			"omitStages: [\"Panic\"]\nrules:\n- level: Metadata\n"},
		{"unused comment", "unused-ignore",
			"rules:\n- level: Metadata   # kubetrail:ignore shadowed-rule: x\n",
			"rules:\n- level: Metadata\n"},
		{"level of the only resource", "secret-bodies",
			"rules:\n- level: Request # all of it\n  resources:\n  - group: \"\"\n    resources: [secrets]\n- level: Metadata\n",
			"rules:\n- level: Metadata # all of it\n  resources:\n  - group: \"\"\n    resources: [secrets]\n- level: Metadata\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := []byte(head + c.before)
			with := ids(Run(before, Config{}), c.check)
			if len(with) == 0 || with[0].Fix == nil {
				t.Fatalf("no repair: %v", with)
			}
			if got := string(yamltext.Apply(before, with[0].Fix.Edits)); got != head+c.after {
				t.Errorf("got\n%s\nwant\n%s", got, head+c.after)
			}
			checkFix(t, before, Config{}, with[0])
		})
	}
}

// TestNoRepair checks that nothing is edited where an edit would change another place,
// or where what was meant is unknown.
func TestNoRepair(t *testing.T) {
	for _, c := range []struct{ name, check, rules string }{
		{"alias", "unknown-verb", "rules:\n- level: Metadata\n  verbs: &v [GET]\n- level: Metadata\n  users: [a]\n  verbs: *v\n- level: Metadata\n"},
		{"users and groups", "user-or-group", "rules:\n- level: None\n  users: [\"system:nodes\"]\n  userGroups: [x]\n- level: Metadata\n"},
		{"the other name is there", "unknown-field", "rules:\n- level: Metadata\n  verb: [get]\n  verbs: [list]\n- level: Metadata\n"},
		{"the only rule", "unknown-verb", "rules:\n- level: Metadata\n  verbs: [bind]\n"},
		{"block scalar", "unknown-verb", "rules:\n- level: Metadata\n  verbs:\n  - |-\n    GET\n- level: Metadata\n"},
		{"namespace with a star", "useless-wildcard", "rules:\n- level: None\n  namespaces: [\"kube-*\"]\n- level: Metadata\n"},
	} {
		with := ids(Run(complete(c.rules), Config{}), c.check)
		if len(with) == 0 || with[0].Fix != nil {
			t.Errorf("%s: found %v, want one without a repair", c.name, with)
		}
	}
}

// TestShadowed checks which rules are named as the reason.
func TestShadowed(t *testing.T) {
	for _, c := range []struct{ name, rules, want string }{
		{"one", catchAll + "- {level: None, users: [a]}\n", "4:3 error rules[0] (line 3)"},
		{"same outcome", catchAll + "- {level: Metadata, users: [a]}\n", "4:3 warning rules[0] (line 3)"},
		{"other stages", catchAll + "- {level: Metadata, users: [a], omitStages: [Panic]}\n", "4:3 error rules[0] (line 3)"},
		{"two", "- {level: None, namespaces: [\"\", a]}\n- {level: None, verbs: [get], users: [a]}\n- {level: Metadata, namespaces: [a], users: [a]}\n", "5:3 error rules[0] (line 3)"},
		{"together", "- {level: None, verbs: [get], resources: [{group: apps}]}\n- {level: Metadata, verbs: [create], resources: [{group: apps}]}\n" +
			"- {level: Request, verbs: [get, create], resources: [{group: apps, resources: [deployments]}]}\n- level: Metadata\n", "5:3 error rules[0] (line 3), rules[1] (line 4) together"},
		{"all but odd ones", "- {level: Metadata, verbs: [get, list, watch, create, update, patch, delete, deletecollection], resources: [{group: apps}]}\n" +
			"- {level: None, resources: [{group: apps, resources: [deployments]}]}\n- level: Metadata\n", "4:3 warning the rules before it leave it only"},
		{"resource and subresources", "- {level: Metadata, resources: [{group: \"\", resources: [\"pods/*\"]}]}\n- {level: None, resources: [{group: \"\", resources: [pods/log]}]}\n- level: Metadata\n", "4:3 error rules[0] (line 3)"},
		{"URLs", "- {level: Metadata, nonResourceURLs: [\"/a*\"]}\n- {level: None, nonResourceURLs: [\"/ab\"]}\n- level: Metadata\n", "4:3 error rules[0] (line 3)"},
	} {
		data := []byte("apiVersion: audit.k8s.io/v1\nrules:\n" + c.rules)
		var got []string
		for _, f := range ids(Run(data, Config{}), "shadowed-rule") {
			got = append(got, fmt.Sprintf("%d:%d %s %s", f.Line, f.Column, f.Severity, f.Message.En))
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

// TestIgnore checks where a comment counts.
func TestIgnore(t *testing.T) {
	shadow := "rules:\n- level: Metadata\n%s- level: None%s\n  verbs: [get]\n"
	for _, c := range []struct {
		above, beside string
		want          string
	}{
		{"", "", "[5 shadowed-rule]"},
		{"", " # kubetrail:ignore shadowed-rule: for later", "[]"},
		{"# kubetrail:ignore shadowed-rule: for later\n# more\n", "", "[]"},
		{"# kubetrail:ignore no-catch-all, shadowed-rule: for later\n", "", "[5 unused-ignore]"},
		{"", " # kubetrail:ignore shadowed-rule", "[5 ignore-without-reason 5 shadowed-rule]"},
		{"", " # kubetrail:ignore shadowed-rule:  ", "[5 ignore-without-reason 5 shadowed-rule]"},
		{"", " # kubetrail:ignore shaded-rule: x", "[5 shadowed-rule 5 unused-ignore]"},
		{"", "# kubetrail:ignore shadowed-rule: no comment", "[]"},
	} {
		data := fmt.Sprintf(shadow, c.above, c.beside)
		if c.beside != "" && c.beside[0] == '#' {
			data = strings.Replace(fmt.Sprintf(shadow, "", ""), "[get]", `["# kubetrail:ignore shadowed-rule: x"]`, 1)
			c.want = "[5 shadowed-rule 6 unknown-verb]"
		}
		got := found(t, data, "shadowed-rule", "unused-ignore", "ignore-without-reason", "unknown-verb")
		slices.Sort(got)
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: found %v, want %s", data, got, c.want)
		}
	}
}

// TestReleases checks what depends on the release.
func TestReleases(t *testing.T) {
	star := complete("rules:\n- level: None\n  resources: [{group: \"*\"}]\n- level: Metadata\n")
	old := []byte("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules:\n- level: Metadata\n")
	of := func(group, resource string) []byte {
		return complete("rules:\n- level: Metadata\n  resources: [{group: " + group + ", resources: [" + resource + "]}]\n- level: Metadata\n")
	}
	psp := of("policy", "podsecuritypolicies")
	patch := complete("omitStages: [RequestReceived]\nrules:\n- {level: Request, resources: [{group: apps}]}\n- level: Metadata\n")
	for _, c := range []struct {
		data  []byte
		k     policy.Kubernetes
		check string
		want  int
	}{
		{star, 35, "group-wildcard", 1}, {star, 36, "group-wildcard", 0}, {star, 35, "rejected", 0},
		{old, 23, "old-version", 1}, {old, 24, "old-version", 1}, {old, 37, "rejected", 0},
		{psp, 24, "gone-api", 0}, {psp, 25, "gone-api", 1},
		// By the types of k8s.io/api 0.26 to 0.31.
		{of("networking.k8s.io", "clustercidrs"), 28, "gone-api", 0}, {of("networking.k8s.io", "clustercidrs"), 29, "gone-api", 1},
		{of("resource.k8s.io", "podschedulings"), 26, "gone-api", 0}, {of("resource.k8s.io", "podschedulings"), 27, "gone-api", 1},
		{of("resource.k8s.io", "resourceclaimparameters"), 30, "gone-api", 0}, {of("resource.k8s.io", "resourceclaimparameters"), 31, "gone-api", 1},
		{patch, 36, "patch-without-trace", 1}, {patch, 37, "patch-without-trace", 0},
	} {
		got := ids(Run(c.data, Config{Kubernetes: c.k}), c.check)
		if len(got) != c.want {
			t.Errorf("%s on %s: %d findings, want %d", c.check, c.k, len(got), c.want)
		}
	}
	if f := ids(Run(old, Config{Kubernetes: 23}), "old-version"); f[0].Severity != Warning {
		t.Errorf("v1beta1 on 1.23 is %s", f[0].Severity)
	}
}

// TestRealPolicies pins what is said about policies that people run. Each line was
// judged by hand to be true.
func TestRealPolicies(t *testing.T) {
	want := map[string]string{
		"gce-derived.yaml":            "13 outdated-exemption, 15 outdated-exemption, 74 half-of-events!, 115 gone-api, 125 exec-command, 125 managed-fields-kept, 137 gone-api, 146 noisy-leases, 146 noisy-health-checks",
		"docs-example.yaml":           "8 costly-reads!, 8 managed-fields-kept, 31 outdated-exemption, 39 configmap-bodies, 52 secret-bodies, 52 exec-command, 55 gone-api, 57 noisy-leases, 57 noisy-health-checks, 60 no-effect",
		"ack-registered-cluster.yaml": "14 outdated-exemption, 16 outdated-exemption, 59 half-of-events!, 81 gone-api, 85 gone-api, 88 secret-bodies!!, 88 exec-command, 88 managed-fields-kept, 98 gone-api, 102 gone-api, 105 noisy-leases, 105 noisy-health-checks",
	}
	for name, list := range want {
		data, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "policies", name))
		if err != nil {
			t.Skip("no ../shared/policies beside the repository")
		}
		var got []string
		for _, f := range Run(data, Config{}) {
			got = append(got, fmt.Sprintf("%d %s%s", f.Line, f.Check, strings.Repeat("!", f.Severity.rank())))
			if f.Fix != nil {
				checkFix(t, data, Config{}, f)
			}
		}
		if strings.Join(got, ", ") != list {
			t.Errorf("%s:\n got %s\nwant %s", name, strings.Join(got, ", "), list)
		}
	}
}

// TestAPIsAreReal compares the table with the requests that a real cluster answered.
func TestAPIsAreReal(t *testing.T) {
	all := builtin()
	seen := 0
	for _, m := range corpustest.Members(t, "d-metadata-all", "audit.log") {
		for line := range bytes.Lines(m.Data) {
			var e struct {
				ObjectRef struct {
					APIGroup, Resource, Subresource, Namespace string
				}
				ResponseStatus struct{ Code int }
			}
			if json.Unmarshal(line, &e) != nil || e.ResponseStatus.Code/100 != 2 || e.ObjectRef.Resource == "" {
				continue
			}
			o := e.ObjectRef
			if _, known := all[o.APIGroup]; !known {
				continue // somebody's own
			}
			seen++
			a, known := all[o.APIGroup][o.Resource]
			if !known || o.Subresource != "" && !slices.Contains(a.subresources, o.Subresource) || !a.namespaced && o.Namespace != "" && o.Resource != "namespaces" {
				t.Fatalf("%+v is not as the table says", o)
			}
		}
	}
	if seen < 1000 {
		t.Errorf("only %d requests were compared", seen)
	}
}

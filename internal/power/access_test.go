package power

import (
	"fmt"
	"strings"
	"testing"
)

func TestAccessOfSecret(t *testing.T) {
	for _, c := range []string{"a-gce-derived", "d-metadata-all"} {
		t.Run(c, func(t *testing.T) {
			r, p := corpus(t, c)
			report := secretAccess(t, r, when(t, "", "", ""), p, "secret/db-password", "payments")
			got := map[string]Accessor{}
			for _, x := range items[Accessor](t, report) {
				got[who(x.User, x.As, false)] = x
			}
			// facts f05 and f06: who read it, and who was refused; mallory listed all secrets
			// once and was refused that nine times.
			for user, want := range map[string][4]int{ // reads, lists, writes, refused
				"bob": {3, 0, 1, 0}, "breakglass": {1, 0, 0, 0}, "mallory": {1, 1, 0, 14}, "alice": {0, 0, 1, 0}, "carol": {0, 0, 0, 1},
				"jai": {0, 0, 0, 1}, "system:serviceaccount:ci:deployer": {0, 0, 0, 2}, "kubernetes-admin->system:serviceaccount:ci:deployer": {0, 0, 0, 1},
				"system:anonymous": {0, 0, 0, 1},
			} {
				x := got[user]
				if have := [4]int{x.Reads, x.Lists, x.Writes, x.Refused}; have != want {
					t.Errorf("%s: reads, lists, writes, refused %v, want %v", user, have, want)
				}
				if want[0]+want[1]+want[2]+want[3] > 0 && len(x.Events) == 0 {
					t.Errorf("%s: no events", user)
				}
			}
			for user, x := range got {
				if x.Reads > 0 && user != "bob" && user != "breakglass" && user != "mallory" {
					t.Errorf("%s is said to have read it", user)
				}
				if x.Counts == (Counts{}) {
					t.Errorf("%s did nothing", user)
				}
				if x.Open > 0 {
					t.Errorf("%s: %d requests without an end", user, x.Open)
				}
			}
			wants(t, told(t, report, false), "mallory was refused once: acting as somebody else is not allowed.", "The policy records every such request by anybody.",
				"Lists and watches return it too: 0 of the namespace, 3 of the whole cluster.")
			wants(t, told(t, report, true), "mallory 被拒绝 13 次：没有 RBAC 规则允许。", "审计策略会记录任何人的所有此类请求。")
		})
	}
}

func TestAccessComparesWithPast(t *testing.T) {
	r, _ := corpus(t, "a-gce-derived")
	report := secretAccess(t, r, when(t, "2026-11-20T15:22:12Z", "", ""), nil, "secret/db-password", "payments")
	text := told(t, report, false)
	wants(t, text, "mallory: never succeeded before in this trail, which begins at 2026-11-20T15:21:41.599740Z; was refused 8 times.",
		"breakglass: first time ever in this trail", "Whether all such requests are recorded is not known: --policy FILE tells.")
	for _, x := range items[Accessor](t, report) {
		if x.User == "system:apiserver" && (x.Usual == nil || x.Usual.FirstTime) {
			t.Error("the watch of the API server began in the past and is no first time")
		}
	}
}

func TestAccessNegative(t *testing.T) {
	r, p := corpus(t, "a-gce-derived")
	q := when(t, "", "", "resource:nothing")
	wants(t, told(t, secretAccess(t, r, when(t, "", "", ""), p, "widgets.example.com/nosuch", "shop"), false),
		"Nobody read or wrote widgets.example.com/nosuch in shop, or tried to: the policy records every such request by anybody.", "The trail covers 2026-11-20T15:21:41.599740Z to ")
	wants(t, told(t, secretAccess(t, r, q, p, "secret/nosuch", "shop"), false), "There was no such request for secrets/nosuch in shop: the policy records every such request by anybody.")
	other := policyOf(t, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Request}]"))
	text := told(t, secretAccess(t, r, q, other, "secret/nosuch", "shop"), false)
	wants(t, text, "The policy does not fit what is recorded, such as event ")
	if strings.Contains(text, "There was no such request") {
		t.Errorf("a policy that does not fit proves nothing:\n%s", text)
	}
	wants(t, told(t, secretAccess(t, r, q, nil, "secret/nosuch", "shop"), false),
		"No such request is in the trail.", "Whether all such requests are recorded is not known: --policy FILE tells.")
	text = told(t, secretAccess(t, r, q, p, "events", "kube-system"), false)
	wants(t, text, "that does not mean there was none", "Cannot know: rules[9] (line 72) records None of get, list, watch, create, update, patch, delete, deletecollection by anybody.")
	if strings.Contains(text, "Nobody") {
		t.Errorf("what is not recorded is told as a fact:\n%s", text)
	}
	wants(t, told(t, secretAccess(t, r, q, p, "cm/x", "kube-system"), true), "无法得知：rules[1]（第 14 行）的级别是 None，不记录用户 system:unsecured 的 get 请求。")
	wants(t, told(t, secretAccess(t, r, when(t, "2027-01-01T00:00:00Z", "", ""), p, "secret/x", "shop"), false), "The trail holds nothing of that time.")
}

// A line of a log with what matters here.
func line(id, stage, user, verb, uri, ref string, code int, received, staged string, more string) string {
	status := ""
	if code != 0 {
		status = fmt.Sprintf(`"responseStatus":{"metadata":{},"code":%d},`, code)
	}
	return fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":%q,"stage":%q,"requestURI":%q,"verb":%q,"user":{"username":%q},"sourceIPs":["10.0.0.1"],"userAgent":"kubectl/v1.36.3","objectRef":{%s},%s"requestReceivedTimestamp":"2026-01-01T%sZ","stageTimestamp":"2026-01-01T%sZ"%s}`+"\n",
		id, stage, uri, verb, user, ref, status, received, staged, more)
}

func TestAccessCountsWhatIncludesIt(t *testing.T) {
	const (
		inShop = `"resource":"secrets","namespace":"shop","apiVersion":"v1"`
		db     = `"resource":"secrets","namespace":"shop","name":"db","apiVersion":"v1"`
		other  = `"resource":"secrets","namespace":"blog","name":"db","apiVersion":"v1"`
		all    = `"resource":"secrets","apiVersion":"v1"`
		crd    = `"resource":"secrets","namespace":"shop","name":"db","apiGroup":"example.com","apiVersion":"v1"`
	)
	log := line("1", "ResponseComplete", "a", "list", "/api/v1/namespaces/shop/secrets?limit=500", inShop, 200, "10:00:00.000000", "10:00:00.100000", "") +
		line("2", "ResponseComplete", "a", "list", "/api/v1/secrets?labelSelector=a%3Db", all, 200, "10:00:01.000000", "10:00:01.100000", "") +
		line("3", "ResponseComplete", "a", "get", "/api/v1/namespaces/blog/secrets/db", other, 200, "10:00:02.000000", "10:00:02.100000", "") +
		line("4", "ResponseComplete", "a", "get", "/apis/example.com/v1/namespaces/shop/secrets/db", crd, 200, "10:00:02.000000", "10:00:02.100000", "") +
		line("5", "ResponseComplete", "b", "list", "/api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3Ddb", db, 200, "10:00:03.000000", "10:00:03.100000", "") +
		line("6", "ResponseComplete", "b", "get", "/api/v1/namespaces/shop/secrets/db", db, 404, "10:00:04.000000", "10:00:04.100000", "") +
		// The same audit ID for two requests; one of them has no end.
		line("same", "RequestReceived", "c", "get", "/api/v1/namespaces/shop/secrets/db", db, 0, "10:00:05.000000", "10:00:05.000000", "") +
		line("same", "RequestReceived", "c", "get", "/api/v1/namespaces/shop/secrets/db", db, 0, "10:00:06.000000", "10:00:06.000000", "") +
		line("same", "ResponseComplete", "c", "get", "/api/v1/namespaces/shop/secrets/db", db, 200, "10:00:06.000000", "10:00:06.200000", "") +
		line("7", "ResponseComplete", "d", "create", "/api/v1/namespaces/shop/secrets", inShop, 403, "10:00:07.000000", "10:00:07.100000", "") +
		line("8", "ResponseStarted", "e", "watch", "/api/v1/secrets?watch=1", all, 200, "10:00:08.000000", "10:00:08.100000", "") +
		line("9", "ResponseComplete", "system:node:n1", "get", "/api/v1/namespaces/shop/secrets/db", db, 200, "10:00:09.000000", "10:00:09.100000", "")
	report := secretAccess(t, logOf([]byte(log)), when(t, "", "", ""), nil, "secret/db", "shop")
	got := map[string][7]int{}
	for _, x := range items[Accessor](t, report) {
		got[x.User] = [7]int{x.Reads, x.Lists, x.Watches, x.InNamespace, x.InCluster, x.Selected, x.Open}
	}
	want := map[string][7]int{"a": {0, 2, 0, 1, 1, 1, 0}, "b": {0, 1}, "c": {1, 0, 0, 0, 0, 0, 1}, "e": {0, 0, 1, 0, 1}, "system:node:n1": {1}}
	for user, w := range want {
		if got[user] != w {
			t.Errorf("%s: %v, want %v", user, got[user], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("subjects %v", got)
	}
	wants(t, told(t, report, false), "Creations without a name in the event (refused, or generated): 1", "Nodes that read it: 1, for pods that mount it",
		"Requests of which no end is recorded, so that it is not known what they returned: 1.")
}

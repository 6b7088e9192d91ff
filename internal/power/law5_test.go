package power

import (
	"strconv"
	"strings"
	"testing"

	"kubetrail/internal/recorded"
	"kubetrail/internal/schema"
	"kubetrail/policy"
)

// A rule that hides any of what an answer tells about makes it say that it cannot know.
func TestHiddenRequests(t *testing.T) {
	config := AccessConfig{Target: schema.ParseTarget("widgets/w"), Namespace: "shop"}
	dotted := AccessConfig{Target: schema.ParseTarget("widgets.example.com/w"), Namespace: "shop"}
	for _, c := range []struct {
		name, rule string
		about      []recorded.Requests
		hidden     bool
	}{
		{"sessions", `resources: [{group: "", resources: [pods/log]}]`, sessionRequests(""), true},
		{"sessions", `resources: [{group: "", resources: [pods/attach]}]`, sessionRequests("shop"), true},
		{"sessions", `resources: [{group: "", resources: [pods]}]`, sessionRequests(""), false},
		{"grants", `resources: [{group: admissionregistration.k8s.io}]`, giftRequests(), true},
		{"grants", `{verbs: [deletecollection], resources: [{group: rbac.authorization.k8s.io}]}`, giftRequests(), true},
		{"grants", `resources: [{group: "", resources: [secrets]}]`, giftRequests(), true},
		{"grants", `{namespaces: [kube-system], resources: [{group: "", resources: [pods/exec]}]}`, giftRequests(), true},
		{"grants", `resources: [{group: "", resources: [configmaps]}]`, giftRequests(), false},
		{"access", `resources: [{group: example.com}]`, config.requests(), true},
		{"access", `resources: [{group: example.com, resources: [widgets/status]}]`, dotted.requests(), true},
		{"access", `resources: [{group: example.org}]`, dotted.requests(), false},
	} {
		doc, err := policy.Load([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: None, "+trimBraces(c.rule)+"}\n- {level: Metadata}\n"), policy.Newest)
		if err != nil {
			t.Fatal(err)
		}
		if v := recorded.By(doc, c.about...); v.All() == c.hidden {
			t.Errorf("%s, None for %s: all recorded is %t", c.name, c.rule, v.All())
		}
	}
}

func trimBraces(s string) string {
	if s[0] == '{' {
		return s[1 : len(s)-1]
	}
	return s
}

// Who grants, removes and follows logs is told whatever the URI says, and a removal that
// was only tried is none.
func TestTriedRemoval(t *testing.T) {
	const url = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
	const object = `"resource":"clusterrolebindings","name":"b","apiGroup":"rbac.authorization.k8s.io","apiVersion":"v1"`
	log := line("1", "ResponseComplete", "bob", "create", url, object, 201, "10:00:00.000000", "10:00:00.100000", `,"requestObject":{"kind":"ClusterRoleBinding","metadata":{"name":"b"}}`) +
		line("2", "ResponseComplete", "alice", "delete", url+"/b", object, 200, "10:00:01.000000", "10:00:01.100000", `,"requestObject":{"kind":"DeleteOptions","dryRun":["All"]}`)
	_, rows := giftsOf(t, logOf([]byte(log)), when(t, "", "", ""), GrantsConfig{})
	if len(rows) != 1 || rows[0].Removed != nil {
		t.Errorf("a dry run removed it: %+v", rows)
	}
	log += line("3", "ResponseComplete", "eve", "delete", url+"/b?dryRun=All", object, 200, "10:00:02.000000", "10:00:02.100000", `,"requestObject":{"kind":"DeleteOptions","propagationPolicy":"Background"}`)
	_, rows = giftsOf(t, logOf([]byte(log)), when(t, "", "", ""), GrantsConfig{})
	if len(rows) != 2 || rows[0].Removed == nil || rows[0].Removed.User != "eve" {
		t.Errorf("eve removed it: %+v", rows)
	}
}

func TestFollowedLogs(t *testing.T) {
	for query, want := range map[string]bool{"?follow": true, "?follow=": true, "?%66ollow=1": true, "?follow=FALSE": false, "?follow=0": false, "?tailLines=1": false, "": false} {
		log := line("1", "ResponseComplete", "eve", "get", "/api/v1/namespaces/a/pods/p/log"+query, `"resource":"pods","namespace":"a","name":"p","subresource":"log","apiVersion":"v1"`, 200,
			"10:00:00.000000", "10:00:00.100000", "")
		report, err := Sessions(t.Context(), logOf([]byte(log)), when(t, "", "", ""), SessionsConfig{})
		if err != nil || (len(report.Items) == 1) != want {
			t.Errorf("%q: %d sessions, %v", query, len(report.Items), err)
		}
	}
}

// More refused connections without an end than there is room for are not passed over
// in silence.
func TestManyOpen(t *testing.T) {
	var log strings.Builder
	for i := range 34_000 {
		log.WriteString(line(strconv.Itoa(i), "ResponseStarted", "eve", "get", "/api/v1/namespaces/a/pods/p/exec", `"resource":"pods","namespace":"a","name":"p","subresource":"exec","apiVersion":"v1"`, 403,
			"10:00:00.000000", "10:00:00.100000", ""))
	}
	report, err := Denied(t.Context(), logOf([]byte(log.String())), when(t, "", "", ""), DeniedConfig{By: "subject"})
	if err != nil || report.Head["openUnknown"] != true {
		t.Errorf("%v, %v", report.Head, err)
	}
	wants(t, told(t, report, false), "refused ones may be missing")
}

// Whatever the order in which a trail is read, who acted as somebody else did so first
// with the first request.
func TestFirstImpersonation(t *testing.T) {
	var log string
	for _, at := range []string{"10:00:02", "10:00:00", "10:00:01"} {
		log += strings.Replace(line(at, "ResponseComplete", "eve", "get", "/api/v1/nodes", `"resource":"nodes","apiVersion":"v1"`, 200, at+".000000", at+".100000", `,"userAgent":"t`+at[7:]+`/v1"`),
			`"user":{`, `"impersonatedUser":{"username":"bob"},"user":{`, 1)
	}
	_, rows := giftsOf(t, logOf([]byte(log)), when(t, "", "", ""), GrantsConfig{})
	if len(rows) != 1 || len(rows[0].Events) != 3 || rows[0].Events[0].AuditID != "10:00:00" || rows[0].Events[2].AuditID != "10:00:02" || rows[0].Tool != "t0" {
		t.Errorf("%+v", rows)
	}
}

package power

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"kubetrail/internal/output"
	"kubetrail/internal/rbac"
	"kubetrail/internal/trail"
)

func giftsOf(t *testing.T, r trail.Reader, q trail.Query, cfg GrantsConfig) (output.Report, []Gift) {
	t.Helper()
	report, err := Grants(context.Background(), r, q, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report, items[Gift](t, report)
}

// TestEscalation reads the planted escalation as one story: asked for what bob did, the
// answer goes on to what mallory did with it, and how it ended.
func TestEscalation(t *testing.T) {
	r, p := corpus(t, "a-gce-derived")
	report, _ := giftsOf(t, r, when(t, "", "", "user:bob"), GrantsConfig{Policy: p})
	text := told(t, report, false)
	at := 0
	for _, want := range []string{
		"bob bound ClusterRole cluster-admin to User mallory (ClusterRoleBinding temp-debug).", "Powerful: everything.",
		"First used 729ms later; 16 times within 2.3s by mallory (the authorizer names it): list secrets, get secrets payments/db-password,",
		"  2026-11-20T15:22:12Z mallory created Pod kube-system/toolbox: privileged, hostNetwork, hostPID, hostPath /.",
		"  2026-11-20T15:22:13Z mallory opened a session in Pod kube-system/toolbox: exec, echo pwned, container c.",
		"  2026-11-20T15:22:13Z mallory had a token issued for ServiceAccount ci/deployer.", "No use of it is recorded in the 2m28s until the trail ends.",
		"  2026-11-20T15:22:13Z mallory bound ClusterRole cluster-admin to ServiceAccount kube-system/backdoor (ClusterRoleBinding backdoor).",
		"    2026-11-20T15:22:15Z removed by kubernetes-admin, after 1.3s.", "  2026-11-20T15:22:14Z removed by kubernetes-admin, after 3.5s.",
	} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("no %q after byte %d of:\n%s", want, at, text)
		}
		at += i + len(want)
	}
	wants(t, told(t, report, true), "bob 将 ClusterRole cluster-admin 绑定到 User mallory（ClusterRoleBinding temp-debug）。", "高危权限：一切操作。",
		"729ms 后首次使用；2.3s 内由 mallory 使用 16 次（授权理由中写明）：", "被 kubernetes-admin 删除，存在了 3.5s。")
}

// TestUseTellsWhatIsNotRecorded: without bodies the reasons of later requests say which
// role was given to whom; where nobody used it, it cannot be known.
func TestUseTellsWhatIsNotRecorded(t *testing.T) {
	r, _ := corpus(t, "d-metadata-all")
	report, rows := giftsOf(t, r, when(t, "", "", ""), GrantsConfig{})
	find := func(name string) Gift {
		i := slices.IndexFunc(rows, func(x Gift) bool { return x.Name == name && x.Kind == "binding" && x.Action == "created" })
		if i < 0 {
			t.Fatalf("no binding %s", name)
		}
		return rows[i]
	}
	if x := find("temp-debug"); x.Known != "use" || x.Role != "cluster-admin" || !slices.Equal(x.To, []string{"User mallory"}) || !slices.Equal(x.Dangers, []rbac.Danger{rbac.DangerEverything}) || x.Removed == nil || x.Removed.User != "kubernetes-admin" {
		t.Errorf("%+v", x)
	}
	if x := find("backdoor"); !x.Unknown || x.Role != "" || len(x.To) > 0 || x.Use == nil || x.Use.Count != 0 {
		t.Errorf("%+v", x)
	}
	wants(t, told(t, report, false), "mallory created ClusterRoleBinding backdoor (which role it gives to whom is not recorded).",
		"bob bound ClusterRole cluster-admin to User mallory (ClusterRoleBinding temp-debug), as its use shows.", "created ClusterRole node-reader (what it gives is not recorded)")
	wants(t, told(t, report, true), "未记录将哪个角色授予谁", "从其使用情况得知")
}

func TestGrantsOfStory(t *testing.T) {
	r, _ := corpus(t, "a-gce-derived")
	report, rows := giftsOf(t, r, when(t, "", "", ""), GrantsConfig{})
	count := map[string]int{}
	for _, x := range rows {
		count[x.Kind+" "+x.Action+" "+x.Outcome+" "+x.User]++
		if x.Use != nil && x.Use.Count > 0 && (x.Use.Seconds < 0 || len(x.Use.Events) == 0) {
			t.Errorf("%+v", x.Use)
		}
	}
	// facts f09, f19, f23, f31 and f39
	for what, want := range map[string]int{"certificate approved done kubernetes-admin": 2, "certificate denied done kubernetes-admin": 1, "token issued done kubernetes-admin": 2,
		"token issued done mallory": 1, "binding created done bob": 1, "binding created refused mallory": 1, "impersonation used done kubernetes-admin": 4,
		"admission created done kubernetes-admin": 3, "session opened done mallory": 1, "pod created done mallory": 1} {
		if count[what] != want {
			t.Errorf("%s: %d, want %d", what, count[what], want)
		}
	}
	text := told(t, report, false)
	wants(t, text, "kubernetes-admin denied certificate request unknown-requester-csr", "mallory tried to create ClusterRoleBinding; refused: no RBAC rule allows it.",
		"by system:serviceaccount:ci:deployer (by the id of the token): get /api", "Not listed: 162 such requests of the control plane and of nodes; --all lists them.")
	if _, all := giftsOf(t, r, when(t, "", "", ""), GrantsConfig{All: true}); len(all) <= len(rows) {
		t.Errorf("--all lists %d, without it %d", len(all), len(rows))
	}
	if _, few := giftsOf(t, r, when(t, "", "", ""), GrantsConfig{Limit: 3}); len(few) != 3 {
		t.Errorf("%d with a limit of 3", len(few))
	}
}

func TestGrantsNext(t *testing.T) {
	r, _ := corpus(t, "a-gce-derived")
	_, rows := giftsOf(t, r, when(t, "", "", "user:bob"), GrantsConfig{Next: time.Second})
	if len(rows) == 0 || rows[0].Use == nil || rows[0].Use.Count != 2 {
		t.Errorf("within a second mallory used it twice: %+v", rows)
	}
}

func TestNoGrants(t *testing.T) {
	log := line("1", "ResponseComplete", "a", "get", "/api/v1/namespaces/shop/secrets/x", `"resource":"secrets","namespace":"shop","name":"x","apiVersion":"v1"`, 200, "10:00:00.000000", "10:00:00.100000", "")
	report, _ := giftsOf(t, logOf([]byte(log)), when(t, "", "", ""), GrantsConfig{Policy: policyOf(t, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]"))})
	wants(t, told(t, report, false), "No such power was given or taken: the policy records every such request by anybody.")
}

// What stands in bodies is chosen by whoever sends them.
func TestHostileBodies(t *testing.T) {
	for _, body := range []string{`[]`, `{"kind":1}`, `{"kind":"ClusterRoleBinding","roleRef":"x","subjects":{"a":1}}`, `{"kind":"ClusterRoleBinding","roleRef":{"name":7},"subjects":[1,null,{"kind":{}}]}`,
		`{"kind":"ClusterRoleBinding","metadata":{"name":"\u001b[31m"},"roleRef":{"kind":"\u001b","name":"\u001b]0;x"},"subjects":[{"kind":"User","name":"\u001b[2J"}]}`,
		strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)} {
		log := line("1", "ResponseComplete", "a", "create", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", `"resource":"clusterrolebindings","apiGroup":"rbac.authorization.k8s.io","apiVersion":"v1"`, 201,
			"10:00:00.000000", "10:00:00.100000", `,"requestObject":`+body+`,"responseObject":`+body)
		log += line("2", "ResponseComplete", "a", "create", "/api/v1/namespaces/x/pods", `"resource":"pods","namespace":"x","name":"p","apiVersion":"v1"`, 201,
			"10:00:00.000000", "10:00:00.100000", `,"requestObject":{"kind":"Pod","spec":{"containers":[{"securityContext":{"privileged":"privileged"}},1],"volumes":{"hostPath":1},"x":`+body+`}}`)
		report, _ := giftsOf(t, logOf([]byte(log)), when(t, "", "", ""), GrantsConfig{})
		for _, chinese := range []bool{false, true} {
			if text := told(t, report, chinese); strings.ContainsRune(text, 0x1b) {
				t.Errorf("%s: an escape sequence reaches the terminal: %q", body, text)
			}
		}
	}
}

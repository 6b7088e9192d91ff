package power

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/rbac"
	"kubetrail/internal/refusal"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
)

func denialsOf(t *testing.T, r trail.Reader, q trail.Query, cfg DeniedConfig) (output.Report, []Denial) {
	t.Helper()
	report, err := Denied(context.Background(), r, q, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report, items[Denial](t, report)
}

func TestDeniedOfStory(t *testing.T) {
	for _, c := range []struct {
		name                          string
		secrets, configmaps, failures int // facts f48, f49 and f45 with f56
		impersonated                  int // fact f57
	}{{"a-gce-derived", 607, 336, 201, 243}, {"d-metadata-all", 334, 189, 112, 144}} {
		t.Run(c.name, func(t *testing.T) {
			r, p := corpus(t, c.name)
			report, rows := denialsOf(t, r, when(t, "", "", ""), DeniedConfig{Policy: p})
			count := map[string]int{}
			for _, x := range rows {
				count[fmt.Sprintf("%s %s %s %s %s", who(x.User, x.As, false), x.Verb, x.resource(), x.Namespace, refusal.Refused{Cause: x.Cause, Detail: x.Detail}.Why())] += x.Count
				if x.Cause == refusal.Login {
					count["401"] += x.Count
				}
				times := 0
				for _, b := range x.Times {
					times += b.Count
				}
				if times != x.Count || len(x.Events) == 0 || len(x.Codes) == 0 {
					t.Errorf("%+v: %d by time, %d events", x, times, len(x.Events))
				}
			}
			for what, want := range map[string]int{
				"mallory list secrets load rbac": c.secrets, "mallory list secrets  rbac": 8, "mallory list secrets  impersonation": 1, "mallory watch secrets  rbac": 1,
				"veeru delete configmaps load rbac": c.configmaps, "kubernetes-admin->veeru get configmaps load rbac": c.impersonated, "401": c.failures,
				"alice list pods shop impersonation": 1, "alice create pods/eviction shop disruptionBudget": 1,
				"kubernetes-admin create pods sandbox podSecurity:restricted:latest": 1,
				"jai create deployments.apps shop admissionPolicy:replica-limit":     1, "kubernetes-admin get services/proxy shop backend": 1,
				"system:serviceaccount:kube-system:root-ca-cert-publisher create configmaps sandbox terminating": 1, "veeru get pods/exec default rbac": 1,
			} {
				if count[what] != want {
					t.Errorf("%s: %d, want %d", what, count[what], want)
				}
			}
			wants(t, told(t, report, false), "mallory: refused ", "Against failed authentication (401,", "Dangerous, it lets them read Secrets: a grant to ",
				"would allow what RBAC refused: kubetrail denied --grant prints YAML")
			wants(t, told(t, report, true), "身份认证失败（401", "有风险的授权（可以读取 Secret）")
		})
	}
}

// TestGrantsAllowWhatWasRefused judges the proposals against every refusal of a real
// log, one by one, as RBAC decides.
func TestGrantsAllowWhatWasRefused(t *testing.T) {
	r, _ := corpus(t, "a-gce-derived")
	report, _ := denialsOf(t, r, when(t, "", "", ""), DeniedConfig{})
	var objects []rbac.Object
	for _, p := range report.Head["proposals"].([]*Proposal) {
		objects = append(objects, p.Objects...)
	}
	refused := 0
	err := tally.Scan(context.Background(), r, when(t, "", "", `code:403 and decision:forbid and stage:ResponseComplete`), audit.AllColumns, func(e *audit.Event) error {
		a, ok := rbac.ParseRefusal(string(e.Text[audit.Message])) // in kube-apiserver's own words
		if !ok {
			t.Fatalf("cannot read %s", e.Text[audit.Message])
		}
		if !a.Grantable() {
			return nil
		}
		refused++
		if !allowed(objects, a) {
			t.Errorf("still refused: %+v", a)
		}
		if a.Resource != "" {
			a.Verb = "deletecollection"
			if allowed(objects, a) {
				t.Errorf("allowed, though nobody asked for it: %+v", a)
			}
		}
		return nil
	})
	if err != nil || refused < 1500 {
		t.Errorf("%d refusals, %v", refused, err)
	}
}

// allowed is RBAC as far as these grants need it: no wildcards, and every binding names
// the role of its own name.
func allowed(objects []rbac.Object, a rbac.Attributes) bool {
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	return slices.ContainsFunc(objects, func(binding rbac.Object) bool {
		if binding.RoleRef == nil || binding.Kind == "RoleBinding" && binding.Metadata.Namespace != a.Namespace ||
			!slices.ContainsFunc(binding.Subjects, func(s rbac.Subject) bool {
				return s.Kind == "User" && s.Name == a.User || s.Kind == "ServiceAccount" && "system:serviceaccount:"+s.Namespace+":"+s.Name == a.User
			}) {
			return false
		}
		return slices.ContainsFunc(objects, func(role rbac.Object) bool {
			return role.RoleRef == nil && role.Kind == binding.RoleRef.Kind && role.Metadata == binding.Metadata && slices.ContainsFunc(role.Rules, func(r rbac.Rule) bool {
				return slices.Contains(r.Verbs, a.Verb) && (slices.Contains(r.NonResourceURLs, a.Path) || a.Resource != "" && slices.Contains(r.APIGroups, a.Group) &&
					slices.Contains(r.Resources, resource) && (len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, a.Name)))
			})
		})
	})
}

func TestGrantIsYAML(t *testing.T) {
	r, _ := corpus(t, "a-gce-derived")
	report, _ := denialsOf(t, r, when(t, "", "", "user:(alice or veeru)"), DeniedConfig{Grant: true})
	text := told(t, report, false)
	wants(t, text, "# alice in shop: allows what was refused 3 times.", "# DANGER: it lets them act as others (impersonate).", "impersonate:user-info", "# note: too many names to list: holds for every name.")
	documents := 0
	for part := range strings.SplitSeq(text, "---\n") {
		var object rbac.Object
		if err := yaml.UnmarshalStrict([]byte(part), &object); err != nil || object.APIVersion != "rbac.authorization.k8s.io/v1" || object.Metadata.Name == "" {
			t.Errorf("%v: %+v of\n%s", err, object, part)
		}
		documents++
	}
	if documents != 10 {
		t.Errorf("%d documents", documents)
	}
	var b bytes.Buffer
	report, _ = denialsOf(t, r, when(t, "", "", "user:bob"), DeniedConfig{Grant: true})
	if err := report.Print(&output.Page{W: bufio.NewWriter(&b)}, "table"); err != nil || b.String() != "# RBAC refused nothing that a grant could allow.\n" {
		t.Errorf("%v, %q", err, b.String())
	}
}

func TestDeniedOverTime(t *testing.T) {
	var log strings.Builder
	ref := `"resource":"secrets","namespace":"shop","apiVersion":"v1"`
	for i := range 120 {
		at := fmt.Sprintf("10:%02d:%02d.000000", i/2, i%2*30)
		log.WriteString(line(fmt.Sprint(i), "ResponseComplete", "eve", "list", "/api/v1/namespaces/shop/secrets", ref, 403, at, at, `,"annotations":{"authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":""}`))
	}
	// A watch that is refused has two stages, and counts once; so it does where only the
	// first is recorded.
	watch := func(id, stage string) string {
		return line(id, stage, "eve", "watch", "/api/v1/namespaces/shop/secrets?watch=1&x="+id, ref, 403, "10:00:00.000000", "10:00:00.000000", `,"annotations":{"authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":""}`)
	}
	log.WriteString(watch("a", "ResponseStarted") + watch("a", "ResponseComplete") + watch("b", "ResponseStarted"))
	report, rows := denialsOf(t, logOf([]byte(log.String())), when(t, "", "", ""), DeniedConfig{Every: 15 * time.Minute})
	if len(rows) != 2 || rows[0].Count != 120 || rows[1].Count != 2 || report.Head["total"] != 122 {
		t.Fatalf("%+v", rows)
	}
	if len(rows[0].Times) != 4 || rows[0].Times[0] != (Bucket{"2026-01-01T10:00:00.000000Z", 30}) || report.Head["every"] != "15m" {
		t.Errorf("every %v: %+v", report.Head["every"], rows[0].Times)
	}
	wants(t, told(t, report, false), "█", "One bar is 15m.")
}

func TestManySlots(t *testing.T) {
	d := &denied{rows: map[denialKey]*Denial{}, unit: time.Second, first: 0, last: 3 * maxSlots * 1e6}
	x := &Denial{at: map[int64]int{}, Count: 3 * maxSlots}
	d.rows[denialKey{}] = x
	for i := range int64(3 * maxSlots) {
		d.count(x, i*1e6)
	}
	total := 0
	for _, n := range x.at {
		total += n
	}
	if d.unit != 5*time.Second || len(x.at) > maxSlots || total != 3*maxSlots {
		t.Errorf("unit %v, %d slots, %d counted", d.unit, len(x.at), total)
	}
}

package diff

import (
	"strings"
	"testing"

	"kubetrail/policy"
	"kubetrail/policy/space"
)

func TestConditions(t *testing.T) {
	only := func(s ...string) space.Values { return space.Values{Only: s} }
	but := func(s ...string) space.Values { return space.Values{But: s} }
	for _, c := range []struct {
		r      space.Region
		en, zh string
	}{
		{space.Region{}, "any resource", "任意资源"},
		{space.Region{APIGroups: only("")}, "any resource of API group core", "任意资源（API 组 core）"},
		{space.Region{APIGroups: only(""), Resources: only("pods", "pods/log")}, "pods, pods/log", "pods、pods/log"},
		{space.Region{APIGroups: only(""), Resources: but("pods")}, "any resource but pods; API group core", "任意资源，pods 除外；API 组 core"},
		{space.Region{Resources: space.Values{Only: []string{"pods/*"}, But: []string{"pods"}}}, "pods/*, but not pods; any API group", "pods/*，但不含 pods；任意 API 组"},
		{space.Region{Resources: only("pods")}, "pods of any API group", "pods（任意 API 组）"},
		{space.Region{APIGroups: but("", "apps")}, "any resource; any API group but core, apps", "任意资源；任意 API 组，core、apps 除外"},
		{space.Region{Verbs: only("get", ""), Namespaces: only("")}, `verb get, ""; any resource; without a namespace`, `动词 get、""；任意资源；不带命名空间`},
		{space.Region{Namespaces: only("", "a")}, "any resource; in namespace a, or without one", "任意资源；命名空间 a，或不带命名空间"},
		{space.Region{Namespaces: but("")}, "any resource; in any namespace", "任意资源；带命名空间"},
		{space.Region{Namespaces: but("", "a")}, "any resource; in any namespace but a", "任意资源；带命名空间，a 除外"},
		{space.Region{Namespaces: but("a")}, "any resource; not in namespace a", "任意资源；不在命名空间 a"},
		{space.Region{Names: only("")}, "any resource; without a name", "任意资源；不带名称"},
		{space.Region{Names: only("", "a")}, "any resource; named a, or without a name", "任意资源；名称 a，或不带名称"},
		{space.Region{Names: but("")}, "any resource; with a name", "任意资源；带名称"},
		{space.Region{Names: but("a")}, "any resource; not named a", "任意资源；名称不是 a"},
		{space.Region{URL: true, Paths: but("/a*"), Verbs: only("get")}, "any URL but /a*; verb get", "任意 URL，/a* 除外；动词 get"},
		{space.Region{URL: true, Resource: true, Users: but("a b")}, `every request; any user but "a b"`, `所有请求；任意用户，"a b" 除外`},
		{space.Region{Users: only("a"), Groups: [][]string{{"g", "h"}, {"i"}}, NotGroups: []string{"j"}}, "any resource; user a, in group g or h in group i not in group j", "任意资源；用户 a，属于组 g 或 h，属于组 i，不属于组 j"},
		{space.Region{Resources: only("a", "b", "c", "d", "e", "f", "g", "h", "i", "j"), APIGroups: only("x")}, "a, b, c, d, e, f, g, h, 2 more of API group x", "a、b、c、d、e、f、g、h、另外 2 个（API 组 x）"},
	} {
		c.r.Resource, c.r.Authenticated, c.r.Failed = !c.r.URL || c.r.Resource, true, c.r.Users.Only == nil
		if got := (speaker{policy.English}).conditions([]space.Region{c.r}, true); got != c.en {
			t.Errorf("%q, not %q", got, c.en)
		}
		if got := (speaker{policy.Chinese}).conditions([]space.Region{c.r}, true); got != c.zh {
			t.Errorf("%q, not %q", got, c.zh)
		}
	}
}

func TestWordsOfEachDirection(t *testing.T) {
	rule := func(l policy.Level, omit ...policy.Stage) *policy.Policy {
		return &policy.Policy{Rules: []policy.PolicyRule{{Level: l, OmitStages: omit}}}
	}
	kept, left := rule(policy.LevelRequest), rule(policy.LevelRequest)
	left.OmitManagedFields = true
	for _, c := range []struct {
		a, b *policy.Policy
		want string
	}{
		{rule(policy.LevelMetadata), rule(policy.LevelRequest), "B records more: Metadata -> Request at every stage"},
		{rule(policy.LevelMetadata), &policy.Policy{}, "B records less: Metadata -> None at every stage"},
		{kept, left, "B records less: Request with other managedFields at ResponseStarted, ResponseComplete, Panic"},
		{left, kept, "B records more: Request with other managedFields at ResponseStarted, ResponseComplete, Panic"},
		{rule(policy.LevelMetadata, policy.StagePanic), rule(policy.LevelMetadata, policy.StageRequestReceived), "B records differently: Metadata -> None at RequestReceived None -> Metadata at Panic"},
		{rule(policy.LevelMetadata, policy.StageRequestReceived), rule(policy.LevelRequest, policy.StageRequestReceived), "B records more: Metadata -> Request at every stage that is recorded"},
	} {
		r, err := Diff(c.a, c.b, Options{})
		if err != nil || len(r.Changes) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		var lines []string
		none := func(int) int { return 0 }
		for _, l := range r.Changes[0].Words(policy.English, none, none) {
			if strings.HasPrefix(l.Text, "where ") {
				break
			}
			lines = append(lines, l.Text)
		}
		if got := strings.Join(lines, " "); got != c.want {
			t.Errorf("%q, not %q", got, c.want)
		}
	}
}

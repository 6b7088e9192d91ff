// Package policytest draws audit policies and requests for property tests.
package policytest

import (
	"strings"

	"pgregory.net/rapid"

	"kubetrail/policy"
)

// The constants that policies and requests share, odd ones among them, so that they
// often meet.
var (
	users      = []string{"alice", "Alice", "system:node:n1", "system:node:*", "*", ""}
	groups     = []string{"dev", "system:nodes", "system:authenticated", "system:*", "*", ""}
	verbs      = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "post", "head", "GET", "*", "", "proxy"}
	namespaces = []string{"", "default", "kube-system", "Default", "kube-*", "*", "default/"}
	apiGroups  = []string{"", "apps", "core", "*", "batch"}
	items      = []string{"pods", "pods/log", "pods/*", "*/log", "*", "*/*", "Pods", "pods/", "/log", "", "/", "/*", "*/", "namespaces", "pods/log/x", "pods/*/*", "deployments"}
	names      = []string{"", "a", "A", "b", "*", "a/b"}
	urls       = []string{"*", "/healthz", "/healthz/", "/healthz*", "/healthz/*", "/Healthz", "/", "/*", "/api*", "/healthz/**", "/metrics"}
	resources  = []string{"pods", "deployments", "namespaces", "Pods", "", "*", "pods/log"}
	subs       = []string{"", "", "log", "status", "*", "exec", "/", "log/x"}
	paths      = []string{"/healthz", "/healthz/", "/healthz/ping", "/Healthz", "/", "/healthzz", "/debug/pprof/heap", "/api", "//", "/*", "*"}
)

func some(from []string) *rapid.Generator[[]string] {
	return rapid.OneOf(rapid.Just([]string(nil)), rapid.SliceOfN(rapid.SampledFrom(from), 0, 3))
}

func rule(t *rapid.T) policy.PolicyRule {
	r := policy.PolicyRule{
		Level:      rapid.SampledFrom(policy.Levels()).Draw(t, "level"),
		Users:      some(users).Draw(t, "users"),
		UserGroups: some(groups).Draw(t, "userGroups"),
		Verbs:      some(verbs).Draw(t, "verbs"),
		OmitStages: rapid.SliceOfN(rapid.SampledFrom(policy.Stages()), 0, 3).Draw(t, "omitStages"),
	}
	if rapid.Bool().Draw(t, "omitManagedFields is set") {
		omit := rapid.Bool().Draw(t, "omitManagedFields")
		r.OmitManagedFields = &omit
	}
	if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
		r.NonResourceURLs = some(urls).Draw(t, "nonResourceURLs")
		return r
	}
	r.Namespaces = some(namespaces).Draw(t, "namespaces")
	for range rapid.IntRange(0, 3).Draw(t, "entries") {
		g := policy.GroupResources{Group: rapid.SampledFrom(apiGroups).Draw(t, "group"), Resources: some(items).Draw(t, "resources")}
		if len(g.Resources) > 0 {
			g.ResourceNames = some(names).Draw(t, "resourceNames")
		}
		r.Resources = append(r.Resources, g)
	}
	return r
}

// Policy draws a policy, which need not be valid.
func Policy(t *rapid.T) *policy.Policy {
	p := &policy.Policy{
		OmitStages:        rapid.SliceOfN(rapid.SampledFrom(policy.Stages()), 0, 2).Draw(t, "omitStages of the policy"),
		OmitManagedFields: rapid.Bool().Draw(t, "omitManagedFields of the policy"),
	}
	for range rapid.IntRange(1, 8).Draw(t, "rules") {
		p.Rules = append(p.Rules, rule(t))
	}
	return p
}

// Request draws a request that often has something in common with a rule of p.
func Request(t *rapid.T, p *policy.Policy) *policy.Request {
	rule := p.Rules[rapid.IntRange(0, len(p.Rules)-1).Draw(t, "near rule")]
	of := func(near, any []string, label string) string {
		if len(near) > 0 && rapid.Bool().Draw(t, label+" of the rule") {
			any = near
		}
		return rapid.SampledFrom(any).Draw(t, label)
	}
	r := &policy.Request{
		Authenticated: rapid.IntRange(0, 7).Draw(t, "authenticated") > 0,
		User:          of(rule.Users, users, "user"),
		Groups:        append(some(groups).Draw(t, "groups"), of(rule.UserGroups, groups, "group")),
	}
	r.Verb = of(rule.Verbs, verbs, "verb")
	if len(rule.NonResourceURLs) > 0 || rapid.IntRange(0, 7).Draw(t, "kind of request") == 0 {
		r.Path = of(rule.NonResourceURLs, paths, "path")
		return r
	}
	var entry policy.GroupResources
	if len(rule.Resources) > 0 {
		entry = rapid.SampledFrom(rule.Resources).Draw(t, "entry")
	}
	r.IsResourceRequest = true
	r.APIGroup = of([]string{entry.Group}, apiGroups, "apiGroup")
	r.Namespace = of(rule.Namespaces, namespaces, "namespace")
	r.Name = of(entry.ResourceNames, names, "name")
	r.Resource, r.Subresource, _ = strings.Cut(of(entry.Resources, resources, "resource"), "/")
	if rapid.Bool().Draw(t, "another subresource") {
		r.Subresource = rapid.SampledFrom(subs).Draw(t, "subresource")
	}
	return r
}

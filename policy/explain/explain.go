// Package explain tells how a policy comes to its decision about a request: which rule
// decides, why each one before it does not match, and what may have been overlooked
// there; as data, and in words.
//
// [Request] tries rule by rule and condition by condition, as plain as can be. It shares
// no code with [policy.Matcher], which must come to the same decision, and so is also
// what that one is tested against.
package explain

import (
	"slices"
	"strings"

	"kubetrail/policy"
)

// Condition is what of a rule a request has to fulfil, by the name of its member.
type Condition string

// The conditions, in the order in which kube-apiserver tries them.
const (
	ConditionUsers           Condition = "users"
	ConditionUserGroups      Condition = "userGroups"
	ConditionVerbs           Condition = "verbs"
	ConditionNamespaces      Condition = "namespaces"
	ConditionResources       Condition = "resources"
	ConditionNonResourceURLs Condition = "nonResourceURLs"
)

// Cause is why a condition does not hold.
type Cause string

// The causes. The last three are those of ConditionResources, of which the one is
// given that comes nearest to holding.
const (
	CauseUnauthenticated Cause = "unauthenticated" // users or groups, but the request has no user
	CauseNotListed       Cause = "notListed"       // the request's value is not in the list
	CauseNoResource      Cause = "noResource"      // namespaces or resources, but the URL is no resource's
	CauseIsResource      Cause = "isResource"      // URLs, but the request is for a resource
	CauseAPIGroup        Cause = "apiGroup"        // no entry for the API group
	CauseResource        Cause = "resource"        // an entry for the group, but not for the resource
	CauseName            Cause = "name"            // an entry for the resource, but not for the name
)

// Hint is what may have been overlooked where a condition nearly holds.
type Hint string

// The hints. [Test].Value is the value of the rule that each is about.
const (
	HintNoWildcard    Hint = "noWildcard"      // * is an ordinary character here
	HintCase          Hint = "case"            // differs only in upper and lower case
	HintVerbOfAPI     Hint = "verbOfAPI"       // an HTTP method, where verbs of the API are compared
	HintHTTPMethod    Hint = "httpMethod"      // a verb of the API, where HTTP methods are compared
	HintCollection    Hint = "collection"      // get, delete or list, but the URL makes another verb of it
	HintAnyNamespace  Hint = "anyNamespace"    // "" is no namespace, not any
	HintOwnNamespace  Hint = "ownNamespace"    // a Namespace lies in the namespace of its name
	HintNoNamespace   Hint = "noNamespace"     // the URL names none
	HintSubresource   Hint = "subresource"     // the resource, but not its subresource
	HintParent        Hint = "parent"          // a subresource, but not the resource itself
	HintStarStar      Hint = "starStar"        // */* matches nothing
	HintOtherAPIGroup Hint = "otherAPIGroup"   // the resource, in another group
	HintCoreGroup     Hint = "coreGroup"       // the core group is "", not core
	HintNoName        Hint = "noName"          // the URL names no object
	HintBelow         Hint = "below"           // a path above that of the request
	HintTrailingSlash Hint = "trailingSlash"   // differs only in a slash at the end
	HintPrefixSlash   Hint = "prefixWithSlash" // /a/* does not take /a
)

// Test is one condition of a rule, put to a request.
type Test struct {
	Condition Condition `json:"condition"`

	// Cause is why it does not hold, empty where it does.
	Cause Cause `json:"cause,omitempty"`

	// Value is what the rule lists that made it hold, or what Hint is about. It is
	// unset with neither.
	Value string `json:"value"`

	// Entry is the index in the rule's Resources of what Cause or Value is about, and
	// -1 where it is about none.
	Entry int `json:"entry"`

	Hint Hint `json:"hint,omitempty"`

	// Would are values each of which, listed in place of Value, would have held.
	Would []string `json:"would,omitempty"`
}

// Holds tells whether the condition holds.
func (t Test) Holds() bool { return t.Cause == "" }

// Trial is one rule, put to a request.
type Trial struct {
	Rule int // index in the policy

	// Tests has one for each condition of the rule, in the order in which
	// kube-apiserver tries them, which stops at the first that does not hold.
	Tests []Test
}

// Matches tells whether all conditions hold.
func (t Trial) Matches() bool { return len(t.Misses()) == 0 }

// Misses are the conditions that do not hold.
func (t Trial) Misses() []Test {
	var misses []Test
	for _, test := range t.Tests {
		if !test.Holds() {
			misses = append(misses, test)
		}
	}
	return misses
}

// Explanation is how a policy comes to its decision about a request.
type Explanation struct {
	policy.Decision

	// Trials are the rules that were tried, in order: the last one matches, unless
	// Rule is -1.
	Trials []Trial

	policy  *policy.Policy
	request *policy.Request
}

// Request puts the rules of p to r one after the other, until one matches. The
// Explanation keeps p and r; do not change them while it is in use.
// Upstream: policyRuleEvaluator in pkg/audit/policy.
func Request(p *policy.Policy, r *policy.Request) Explanation {
	x := Explanation{policy: p, request: r}
	x.Decision = policy.Decision{Level: policy.LevelNone, OmitStages: everyStage(p.OmitStages), OmitManagedFields: p.OmitManagedFields, Rule: -1}
	for i := range p.Rules {
		rule := &p.Rules[i]
		trial := Trial{i, tests(rule, r)}
		x.Trials = append(x.Trials, trial)
		if !trial.Matches() {
			continue
		}
		x.Decision = policy.Decision{Level: rule.Level, OmitStages: everyStage(p.OmitStages, rule.OmitStages), OmitManagedFields: p.OmitManagedFields, Rule: i}
		if rule.OmitManagedFields != nil {
			x.OmitManagedFields = *rule.OmitManagedFields
		}
		break
	}
	return x
}

// everyStage is what stands in any of the lists, sorted, each once.
func everyStage(lists ...[]policy.Stage) []policy.Stage {
	var all []policy.Stage
	for _, list := range lists {
		for _, s := range list {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	slices.Sort(all)
	return all
}

// combined is the resource as rules write it: pods or pods/log.
func combined(r *policy.Request) string {
	if r.Subresource == "" {
		return r.Resource
	}
	return r.Resource + "/" + r.Subresource
}

// tests puts every condition of the rule to r.
func tests(rule *policy.PolicyRule, r *policy.Request) []Test {
	var tests []Test
	if len(rule.Users) > 0 {
		tests = append(tests, testUsers(rule, r))
	}
	if len(rule.UserGroups) > 0 {
		tests = append(tests, testUserGroups(rule, r))
	}
	if len(rule.Verbs) > 0 {
		tests = append(tests, testVerbs(rule, r))
	}
	switch {
	case len(rule.Namespaces) > 0 && !r.IsResourceRequest:
		tests = append(tests, Test{Condition: ConditionNamespaces, Cause: CauseNoResource, Entry: -1})
	case len(rule.Resources) > 0 && !r.IsResourceRequest:
		tests = append(tests, Test{Condition: ConditionResources, Cause: CauseNoResource, Entry: -1})
	case len(rule.Namespaces)+len(rule.Resources) > 0:
		if len(rule.Namespaces) > 0 {
			tests = append(tests, testNamespaces(rule, r))
		}
		if len(rule.Resources) > 0 {
			tests = append(tests, testResources(rule, r))
		}
	case len(rule.NonResourceURLs) > 0 && r.IsResourceRequest:
		tests = append(tests, Test{Condition: ConditionNonResourceURLs, Cause: CauseIsResource, Entry: -1})
	case len(rule.NonResourceURLs) > 0:
		tests = append(tests, testURLs(rule, r))
	}
	return tests
}

func testUsers(rule *policy.PolicyRule, r *policy.Request) Test {
	if !r.Authenticated {
		return Test{Condition: ConditionUsers, Cause: CauseUnauthenticated, Entry: -1}
	}
	return listed(ConditionUsers, rule.Users, r.User)
}

func testUserGroups(rule *policy.PolicyRule, r *policy.Request) Test {
	if !r.Authenticated {
		return Test{Condition: ConditionUserGroups, Cause: CauseUnauthenticated, Entry: -1}
	}
	t := Test{Condition: ConditionUserGroups, Cause: CauseNotListed, Entry: -1}
	for _, group := range r.Groups {
		one := listed(ConditionUserGroups, rule.UserGroups, group)
		if one.Holds() {
			return one
		}
		if t.Hint == "" {
			t = one
		}
	}
	return t
}

// listed tests whether list holds value, and if not, whether it holds what was meant
// to.
func listed(c Condition, list []string, value string) Test {
	if slices.Contains(list, value) {
		return Test{Condition: c, Value: value, Entry: -1}
	}
	t := Test{Condition: c, Cause: CauseNotListed, Entry: -1}
	for _, v := range list {
		if strings.EqualFold(v, value) {
			t.Value, t.Hint, t.Would = v, HintCase, []string{value}
			return t
		}
		if strings.HasSuffix(v, "*") && strings.HasPrefix(value, strings.TrimRight(v, "*")) && t.Hint == "" {
			t.Value, t.Hint, t.Would = v, HintNoWildcard, []string{value}
		}
	}
	return t
}

func testVerbs(rule *policy.PolicyRule, r *policy.Request) Test {
	t := listed(ConditionVerbs, rule.Verbs, r.Verb)
	if t.Holds() || t.Hint != "" || r.Verb == "" {
		return t
	}
	resources, urls := len(rule.Namespaces)+len(rule.Resources) > 0, len(rule.NonResourceURLs) > 0
	if resources && !r.IsResourceRequest || urls && r.IsResourceRequest {
		return t // another verb would not help
	}
	for _, v := range rule.Verbs {
		if hint := verbHint(v, r); hint != "" {
			t.Value, t.Hint, t.Would = v, hint, []string{r.Verb}
			return t
		}
	}
	return t
}

// verbHint tells why a request may have been expected to have the verb v.
func verbHint(v string, r *policy.Request) Hint {
	pair := func(verb string, others ...string) bool { return r.Verb == verb && slices.Contains(others, v) }
	v = strings.ToLower(v)
	switch {
	case !r.IsResourceRequest && (pair("post", "create") || pair("put", "update") || pair("get", "list", "watch") || pair("delete", "deletecollection")):
		return HintHTTPMethod
	case !r.IsResourceRequest:
		return ""
	case pair("create", "post"), pair("update", "put"), pair("get", "head"), pair("list", "head"), pair("watch", "head"):
		return HintVerbOfAPI
	case pair("list", "get"), pair("watch", "get", "list"), pair("deletecollection", "delete"):
		return HintCollection
	}
	return ""
}

func testNamespaces(rule *policy.PolicyRule, r *policy.Request) Test {
	t := listed(ConditionNamespaces, rule.Namespaces, r.Namespace)
	empty := slices.Contains(rule.Namespaces, "")
	switch {
	case t.Holds(), t.Hint != "":
	case r.Namespace == "":
		t.Hint, t.Value, t.Would = HintNoNamespace, "", []string{""}
	case empty && r.Resource == "namespaces":
		t.Hint, t.Would = HintOwnNamespace, []string{r.Namespace}
	case empty:
		t.Hint, t.Would = HintAnyNamespace, []string{r.Namespace}
	}
	return t
}

// testResources returns the test of the first entry that matches, or of the one that
// comes nearest.
func testResources(rule *policy.PolicyRule, r *policy.Request) Test {
	nearness := func(t Test) int {
		n := 2 * slices.Index([]Cause{CauseAPIGroup, CauseResource, CauseName}, t.Cause)
		if t.Hint != "" {
			n++
		}
		return n
	}
	var best Test
	for i := range rule.Resources {
		t := testEntry(&rule.Resources[i], r)
		t.Entry = i
		if t.Holds() {
			return t
		}
		if i == 0 || nearness(t) > nearness(best) {
			best = t
		}
	}
	return best
}

// testEntry puts one entry to r. It leaves Entry to the caller.
func testEntry(g *policy.GroupResources, r *policy.Request) Test {
	t := testItems(g, r)
	if g.Group != r.APIGroup && g.Group != "*" {
		shared := t.Holds() && t.Value != "" && t.Value != "*"
		t = Test{Condition: ConditionResources, Cause: CauseAPIGroup}
		switch {
		case g.Group == "core" && r.APIGroup == "":
			t.Hint, t.Value, t.Would = HintCoreGroup, g.Group, []string{""}
		case shared:
			t.Hint, t.Value, t.Would = HintOtherAPIGroup, g.Group, []string{r.APIGroup}
		}
		return t
	}
	if !t.Holds() || len(g.Resources) == 0 || len(g.ResourceNames) == 0 || slices.Contains(g.ResourceNames, r.Name) {
		return t
	}
	t = listed(ConditionResources, g.ResourceNames, r.Name)
	t.Cause = CauseName
	if r.Name == "" {
		t.Hint, t.Value, t.Would = HintNoName, "", []string{""}
	}
	return t
}

// testItems puts the list of resources alone to r. An empty one takes all.
func testItems(g *policy.GroupResources, r *policy.Request) Test {
	t := Test{Condition: ConditionResources}
	for _, v := range g.Resources {
		if takesResource(v, r) {
			t.Value = v
			return t
		}
	}
	if len(g.Resources) == 0 {
		return t
	}
	t.Cause = CauseResource
	wanted := combined(r)
	for _, v := range g.Resources {
		parent, sub, _ := strings.Cut(v, "/")
		switch {
		case v == "*/*":
			t.Hint, t.Would = HintStarStar, []string{"*"}
		case strings.EqualFold(v, wanted):
			t.Hint, t.Would = HintCase, []string{wanted}
		case v == r.Resource && r.Resource != "":
			t.Hint, t.Would = HintSubresource, []string{wanted, r.Resource + "/*"}
		case parent == r.Resource && parent != "" && sub != "" && r.Subresource == "":
			t.Hint, t.Would = HintParent, []string{r.Resource, r.Resource + "/*"}
		default:
			continue
		}
		t.Value = v
		return t
	}
	return t
}

// takesResource tells whether the item v of a list of resources takes what r is for. The
// Matcher has its own, of which this one is the check.
func takesResource(v string, r *policy.Request) bool {
	parent, all := strings.CutSuffix(v, "/*")
	sub, any := strings.CutPrefix(v, "*/")
	return v == "*" || v == combined(r) ||
		any && r.Subresource != "" && sub == r.Subresource ||
		all && parent == r.Resource
}

func testURLs(rule *policy.PolicyRule, r *policy.Request) Test {
	t := Test{Condition: ConditionNonResourceURLs, Entry: -1}
	for _, v := range rule.NonResourceURLs {
		prefix, wild := strings.CutSuffix(v, "*")
		if v == r.Path || wild && strings.HasPrefix(r.Path, strings.TrimRight(prefix, "*")) {
			t.Value = v
			return t
		}
	}
	t.Cause = CauseNotListed
	for _, v := range rule.NonResourceURLs {
		switch {
		case strings.EqualFold(v, r.Path):
			t.Hint, t.Would = HintCase, []string{r.Path}
		case strings.TrimRight(v, "/") == strings.TrimRight(r.Path, "/"):
			t.Hint, t.Would = HintTrailingSlash, []string{r.Path, strings.TrimRight(v, "/") + "*"}
		case strings.TrimRight(v, "*") == r.Path+"/":
			t.Hint, t.Would = HintPrefixSlash, []string{r.Path + "*"}
		case v != "/" && strings.HasPrefix(r.Path, strings.TrimSuffix(v, "/")+"/"):
			t.Hint, t.Would = HintBelow, []string{strings.TrimSuffix(v, "/") + "/*", strings.TrimSuffix(v, "/") + "*"}
		default:
			continue
		}
		t.Value = v
		return t
	}
	return t
}

// Package recorded tells whether an audit policy records every request of a kind,
// whoever sends it. Only where it does may an answer say that nobody did something:
// otherwise it names the rule that hides it.
package recorded

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"kubetrail/policy"
	"kubetrail/policy/space"
)

// Requests are the requests that an answer is about: everybody's with one of the verbs,
// on one resource. Lists and watches of everything that holds the object are among them.
type Requests struct {
	Verbs        []string
	Group        string // "" is the core group
	AnyGroup     bool   // the group is not known
	Resource     string // plural
	Subresources []string
	Namespace    string // "" is none: of the cluster
	AnyNamespace bool
	Name         string
	AnyName      bool
}

// A Hole is requests of which nothing, or not the result, is recorded.
type Hole struct {
	Rule    int            `json:"rule"` // index in the policy, -1 where no rule matches
	Line    int            `json:"line,omitempty"`
	Level   policy.Level   `json:"level"`
	Omitted []policy.Stage `json:"omitStages,omitempty"` // where the level is not what hides it
	Verbs   []string       `json:"verbs,omitempty"`
	Users   []string       `json:"users,omitempty"` // that the rule asks for; without Groups too: anybody
	Groups  []string       `json:"userGroups,omitempty"`

	// Example is a request that falls into it.
	Example policy.Request `json:"-"`
}

// Verdict is what a policy does with the requests asked about.
type Verdict struct {
	Holes   []Hole `json:"holes,omitempty"`        // nothing is recorded
	Results []Hole `json:"resultsLost,omitempty"`  // recorded, but not with what result
	Logins  []Hole `json:"loginsLost,omitempty"`   // with failed authentication, nothing is recorded
	Patches []Hole `json:"patchesLost,omitempty"`  // patches that are no JSON leave no event before Kubernetes 1.37
	Bodies  bool   `json:"bodies,omitempty"`       // what is written, but for subresources, is recorded with its body
	TooMany bool   `json:"tooManyToTry,omitempty"` // the policy names too many values: nothing is proved
}

// All tells that every request is recorded, so that what is not in the trail was not
// sent to the API servers that it covers.
func (v *Verdict) All() bool { return len(v.Holes) == 0 && !v.TooMany }

// maxTries bounds the work for one question.
const maxTries = 2_000_000

// somebody is a user whom no policy names.
const somebody = "kubetrail.io:somebody"

// By tells what doc records of requests. It is exact: a rule decides about some
// request if and only if it does so for a user of whom as little as possible holds,
// and these are all tried.
func By(doc *policy.Document, requests ...Requests) Verdict {
	w := walk{doc: doc, matcher: doc.Policy.Compile(), people: people(doc.Policy)}
	w.v.Bodies = true
	for _, r := range requests {
		for _, q := range shapes(doc.Policy, r) {
			if w.tries += len(w.people); w.tries > maxTries {
				return Verdict{TooMany: true}
			}
			w.try(q)
		}
	}
	return w.v
}

// Anything tells what doc records of all requests there are. A Hole has no Verbs then.
func Anything(doc *policy.Document) Verdict {
	label := func(l space.Leaf) int {
		n := 2 * (l.Rules[0] + 1)
		if l.Authenticated {
			n++
		}
		return n
	}
	parts, err := space.Split(space.Budget, label, doc.Policy)
	if err != nil {
		return Verdict{TooMany: true}
	}
	w := walk{doc: doc}
	examples := parts.Examples()
	for _, n := range slices.Sorted(maps.Keys(examples)) {
		q, d := &examples[n].Request, doc.Policy.Decision(n/2-1)
		switch {
		case !hides(q, d) && q.Authenticated && slices.Contains(d.OmitStages, policy.StageResponseComplete):
			w.add(&w.v.Results, q, d)
		case !hides(q, d):
		case q.Authenticated:
			w.add(&w.v.Holes, q, d)
		default:
			w.add(&w.v.Logins, q, d)
		}
	}
	for _, holes := range [][]Hole{w.v.Holes, w.v.Results, w.v.Logins} {
		for i := range holes {
			holes[i].Verbs = nil
		}
	}
	return w.v
}

// hides tells whether nothing is recorded of a request.
func hides(q *policy.Request, d policy.Decision) bool {
	return d.Level == policy.LevelNone || !slices.ContainsFunc(q.Stages(), func(s policy.Stage) bool { return !slices.Contains(d.OmitStages, s) })
}

type walk struct {
	doc     *policy.Document
	matcher *policy.Matcher
	people  []policy.Request // whoever a rule can tell from others; only who asks is set
	tries   int
	v       Verdict
}

func (w *walk) try(q policy.RequestInfo) {
	for _, who := range w.people {
		who.RequestInfo = q
		d := w.matcher.Match(&who)
		switch {
		case !who.Authenticated:
			if hides(&who, d) {
				w.add(&w.v.Logins, &who, d)
			}
			continue
		case hides(&who, d):
			w.add(&w.v.Holes, &who, d)
			continue
		case slices.Contains(d.OmitStages, policy.StageResponseComplete):
			w.add(&w.v.Results, &who, d)
		case q.Verb == "patch" && policy.LevelMetadata.Less(d.Level) && slices.Contains(d.OmitStages, policy.StageRequestReceived):
			w.add(&w.v.Patches, &who, d)
		}
		if q.Subresource == "" && q.Verb != "get" && q.Verb != "list" && q.Verb != "watch" && d.Level.Less(policy.LevelRequest) {
			w.v.Bodies = false
		}
	}
}

func (w *walk) add(holes *[]Hole, r *policy.Request, d policy.Decision) {
	i := slices.IndexFunc(*holes, func(h Hole) bool { return h.Rule == d.Rule })
	if i < 0 {
		h := Hole{Rule: d.Rule, Level: d.Level, Example: *r}
		if d.Level != policy.LevelNone {
			h.Omitted = d.OmitStages
		}
		if d.Rule >= 0 {
			rule := &w.doc.Policy.Rules[d.Rule]
			h.Users, h.Groups = rule.Users, rule.UserGroups
			h.Line = w.doc.Position(fmt.Sprintf("rules[%d]", d.Rule)).Line
		}
		*holes = append(*holes, h)
		i = len(*holes) - 1
	}
	if h := &(*holes)[i]; !slices.Contains(h.Verbs, r.Verb) {
		h.Verbs = append(h.Verbs, r.Verb)
	}
}

// people are those whom the rules of p can tell apart, each in as few groups as it
// takes: everybody who logs in is in system:authenticated, unless what authenticates them
// puts them into system:unauthenticated; who does not is system:anonymous in that one,
// and who fails has no user at all.
func people(p *policy.Policy) []policy.Request {
	users, groups := []string{somebody}, []string{"system:authenticated"}
	for _, r := range p.Rules {
		for _, u := range r.Users {
			if u != "" && !slices.Contains(users, u) {
				users = append(users, u)
			}
		}
		for _, g := range r.UserGroups {
			if g != "system:unauthenticated" && !slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
	}
	all := []policy.Request{{}, {Authenticated: true, User: "system:anonymous", Groups: []string{"system:unauthenticated"}}}
	for _, u := range users {
		all = append(all, policy.Request{Authenticated: true, User: u, Groups: []string{"system:unauthenticated"}})
		for _, g := range groups {
			q := policy.Request{Authenticated: true, User: u, Groups: []string{"system:authenticated"}}
			if g != "system:authenticated" {
				q.Groups = append(q.Groups, g)
			}
			all = append(all, q)
			if len(all) > maxTries {
				return all // By gives up before it tries them
			}
		}
	}
	return all
}

// shapes are the requests of r that the constants of p can tell apart.
func shapes(p *policy.Policy, r Requests) []policy.RequestInfo {
	names, namespaces := []string{r.Name}, []string{r.Namespace}
	if r.AnyName {
		names = constants(p, func(rule *policy.PolicyRule) (all []string) {
			for _, g := range rule.Resources {
				all = append(all, g.ResourceNames...)
			}
			return all
		})
	}
	if r.AnyNamespace {
		namespaces = constants(p, func(rule *policy.PolicyRule) []string { return rule.Namespaces })
	}
	groups := []string{r.Group}
	if r.AnyGroup {
		groups = append(constants(p, func(rule *policy.PolicyRule) (all []string) {
			for _, g := range rule.Resources {
				all = append(all, g.Group)
			}
			return all
		}), "")
	}
	subs := r.Subresources
	if len(subs) == 0 {
		subs = []string{""}
	}
	var all []policy.RequestInfo
	have := map[policy.RequestInfo]bool{}
	for _, verb := range r.Verbs {
		for _, sub := range subs {
			for _, ns := range namespaces {
				for _, name := range names {
					for _, at := range places(verb, sub, ns, name) {
						for _, group := range groups {
							q := policy.RequestInfo{IsResourceRequest: true, Verb: verb, APIPrefix: "apis", APIGroup: group, APIVersion: "v1",
								Resource: r.Resource, Subresource: sub, Namespace: at[0], Name: at[1]}
							if !have[q] && len(all) < maxTries {
								have[q], all = true, append(all, q)
							}
						}
					}
				}
			}
		}
	}
	return all
}

// places are the namespaces and names in the URLs of requests that concern an object.
func places(verb, sub, namespace, name string) [][2]string {
	switch {
	case verb == "create" && sub == "":
		return [][2]string{{namespace, ""}}
	case verb == "deletecollection":
		return [][2]string{{namespace, ""}, {namespace, name}}
	case verb == "list" || verb == "watch":
		return [][2]string{{namespace, ""}, {"", ""}, {namespace, name}, {"", name}}
	}
	return [][2]string{{namespace, name}}
}

// constants are the values that rules name, none of them empty, and one that none does.
func constants(p *policy.Policy, of func(*policy.PolicyRule) []string) []string {
	all := []string{"kubetrail-any"}
	for i := range p.Rules {
		for _, v := range of(&p.Rules[i]) {
			if v != "" && !slices.Contains(all, v) {
				all = append(all, v)
			}
		}
	}
	return all
}

// Text says what the hole hides, in one clause.
func (h *Hole) Text(chinese bool) string {
	verbs, who := strings.Join(h.Verbs, ", "), h.who(chinese)
	if chinese {
		verbs = strings.Join(h.Verbs, "、")
	}
	if verbs == "" {
		verbs = "some requests"
		if chinese {
			verbs = "某些"
		}
	}
	stages := make([]string, len(h.Omitted))
	for i, s := range h.Omitted {
		stages[i] = string(s)
	}
	switch {
	case h.Rule < 0 && chinese:
		return fmt.Sprintf("没有规则匹配 %s 请求，因此不记录", verbs)
	case h.Rule < 0:
		return fmt.Sprintf("no rule matches %s, so nothing of it is recorded", verbs)
	case h.Level == policy.LevelNone && chinese:
		return fmt.Sprintf("rules[%d]（第 %d 行）的级别是 None，不记录%s的 %s 请求", h.Rule, h.Line, who, verbs)
	case h.Level == policy.LevelNone:
		return fmt.Sprintf("rules[%d] (line %d) records None of %s by %s", h.Rule, h.Line, verbs, who)
	case chinese:
		return fmt.Sprintf("rules[%d]（第 %d 行）对%s的 %s 请求省略了阶段 %s", h.Rule, h.Line, who, verbs, strings.Join(stages, "、"))
	}
	return fmt.Sprintf("rules[%d] (line %d) omits %s of %s by %s", h.Rule, h.Line, strings.Join(stages, " and "), verbs, who)
}

// who is whom the rule asks for.
func (h *Hole) who(chinese bool) string {
	list := func(names []string) string {
		if more := len(names) - 3; more > 0 {
			return fmt.Sprintf("%s (+%d)", strings.Join(names[:3], ", "), more)
		}
		return strings.Join(names, ", ")
	}
	switch {
	case len(h.Users) > 0 && len(h.Groups) > 0 && chinese:
		return fmt.Sprintf("用户 %s（且属于组 %s）", list(h.Users), list(h.Groups))
	case len(h.Users) > 0 && len(h.Groups) > 0:
		return fmt.Sprintf("%s in %s", list(h.Users), list(h.Groups))
	case len(h.Users) > 0 && chinese:
		return "用户 " + list(h.Users) + " "
	case len(h.Users) > 0:
		return list(h.Users)
	case len(h.Groups) > 0 && chinese:
		return "组 " + list(h.Groups) + " "
	case len(h.Groups) > 0:
		return "group " + list(h.Groups)
	case chinese:
		return "任何人"
	}
	return "anybody"
}

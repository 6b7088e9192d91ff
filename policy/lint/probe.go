package lint

import (
	"slices"
	"strings"

	"kubetrail/policy"
)

// What requests are tried with that no policy names.
const (
	someone   = "kubetrail-lint:someone"
	somewhere = "kubetrail-lint-somewhere"
	something = "kubetrail-lint-something"
)

// target is what a request is for.
type target struct{ group, resource, sub string }

func (t target) String() string {
	if t.sub != "" {
		return t.resource + "/" + t.sub
	}
	return t.resource
}

// request makes a request as an ordinary user would, for an object in a namespace
// unless named otherwise. A list or watch has no name, nor has what is created.
func request(verb string, t target) policy.Request {
	r := policy.Request{Authenticated: true, User: someone, Groups: []string{"system:authenticated"}, RequestInfo: policy.RequestInfo{
		IsResourceRequest: true, Verb: verb, APIPrefix: "apis", APIGroup: t.group, APIVersion: "v1",
		Namespace: somewhere, Resource: t.resource, Subresource: t.sub, Name: something}}
	if t.group == "" {
		r.APIPrefix = "api"
	}
	if t.sub == "" && slices.Contains([]string{"create", "list", "watch", "deletecollection"}, verb) {
		r.Name = ""
	}
	return r
}

// getURL is a request for a path that is no resource's.
func getURL(path string) policy.Request {
	return policy.Request{Authenticated: true, User: someone, Groups: []string{"system:authenticated"},
		RequestInfo: policy.RequestInfo{Path: path, Verb: "get"}}
}

// inCluster moves a request for an object that is in no namespace there.
func inCluster(r policy.Request) policy.Request {
	r.Namespace = ""
	return r
}

// asks tries all requests with these verbs for t that a rule can tell apart by the
// constants that it names itself, until one is decided by it.
func (l *linter) asks(i int, verbs []string, t target, clusterScoped bool) (policy.Request, bool) {
	r := &l.policy.Rules[i]
	spaces := some(r.Namespaces, somewhere)
	if clusterScoped {
		spaces = []string{""}
	}
	var names []string
	for _, g := range r.Resources {
		names = append(names, g.ResourceNames...)
	}
	for _, verb := range verbs {
		for _, user := range some(r.Users, someone) {
			for _, group := range some(r.UserGroups, "system:authenticated") {
				for _, namespace := range spaces {
					for _, name := range append(few(names), something) {
						q := request(verb, t)
						q.User, q.Namespace = user, namespace
						q.Groups = []string{"system:authenticated", group}
						if q.Name != "" {
							q.Name = name
						}
						if l.matcher.Match(&q).Rule == i {
							return q, true
						}
					}
				}
			}
		}
	}
	return policy.Request{}, false
}

// some is a few of the values of a list, or one for any where it is empty.
func some(list []string, any string) []string {
	if len(list) == 0 {
		return []string{any}
	}
	return few(list)
}

// few bounds how many combinations are tried: a leak through the ninth namespace of a
// rule comes with one through the first.
func few(list []string) []string { return slices.Clone(list[:min(8, len(list))]) }

// ordinary tells requests that need no particular user.
func ordinary(q policy.Request) bool {
	return q.User == someone && !slices.ContainsFunc(q.Groups, notEverybody)
}

func notEverybody(group string) bool { return group != "system:authenticated" }

// itself tells whether rule i names nothing but these resources, so that its level
// can be changed without changing that of others.
func (l *linter) itself(i int, targets ...target) bool {
	r := &l.policy.Rules[i]
	for _, g := range r.Resources {
		if len(g.Resources) == 0 {
			return false
		}
		for _, text := range g.Resources {
			base, sub, _ := strings.Cut(text, "/")
			if !slices.Contains(targets, target{g.Group, base, strings.TrimSuffix(sub, "*")}) {
				return false
			}
		}
	}
	return len(r.Resources) > 0
}

// ruleFor writes a rule of the given level for these targets, as lines of YAML.
func ruleFor(level policy.Level, targets []target, more ...string) []string {
	lines := append([]string{"- level: " + string(level)}, more...)
	lines = append(lines, "  resources:")
	for n, t := range targets {
		switch {
		case n > 0 && targets[n-1].group == t.group:
			lines[len(lines)-1] = strings.TrimSuffix(lines[len(lines)-1], "]") + `, "` + t.String() + `"]`
		default:
			lines = append(lines, `    - group: "`+t.group+`"`, `      resources: ["`+t.String()+`"]`)
		}
	}
	return lines
}

// recordAt repairs rule i: it, or one before it, records the targets at level.
func (l *linter) recordAt(i int, level policy.Level, targets ...target) *Fix {
	what := say("record %s at level %s", "以级别 %[2]s 记录 %[1]s", names(targets), level)
	if i < 0 {
		return l.file.fix(what, l.file.appendRule(ruleFor(level, targets)...))
	}
	if l.itself(i, targets...) {
		return l.file.fix(what, l.file.SetAt(string(level), "rules", i, "level"))
	}
	return l.file.fix(what, l.file.insertRule(i, ruleFor(level, targets)...))
}

// names lists the first few of the targets.
func names(targets []target) string {
	const most = 5
	var out []string
	for n, t := range targets {
		if n == most {
			return strings.Join(out, ", ") + " …"
		}
		out = append(out, t.String())
	}
	return strings.Join(out, ", ")
}

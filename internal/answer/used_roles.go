package answer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kubetrail/internal/output"
	"kubetrail/internal/tally"
)

// A grant is one rule of a role, and what it was used for.
type grant struct {
	group     string
	resources []string
	paths     []string
	verbs     []string
	names     []string
	tally.Span
}

// same reports whether a right can join the rule.
func (g *grant) same(r *Right, names []string) bool {
	return r.Path == "" && len(g.paths) == 0 && g.group == r.Group && slices.Equal(g.resources, []string{r.Resource}) && slices.Equal(g.names, names)
}

// roles prints roles that allow what was used: a ClusterRole for what was used in the
// whole cluster, and a Role for each namespace.
func (u *used) roles(p *output.Page, rights []*Right) error {
	name := output.Plain(u.cfg.Subject.Name, false)
	fmt.Fprintf(p.W, "# %s\n", p.Pick(
		fmt.Sprintf("Rights that %s used in %d allowed requests, %s.", name, u.requests.Count, tally.LongPeriod(u.requests.From, u.requests.To)),
		fmt.Sprintf("%s 在 %s 的 %d 个被允许的请求中使用过的权限。", name, tally.LongPeriod(u.requests.From, u.requests.To), u.requests.Count)))
	for _, line := range u.caveats(p) {
		fmt.Fprintf(p.W, "# %s\n", line)
	}
	var order []string
	scopes := map[string][]*Right{}
	everybody := 0
	for _, r := range rights {
		if r.Everybody {
			everybody += r.Count
			continue
		}
		scope := ""
		if r.namespacedRight() {
			scope = r.Namespace
		}
		if scopes[scope] == nil {
			order = append(order, scope)
		}
		scopes[scope] = append(scopes[scope], r)
	}
	if everybody > 0 {
		fmt.Fprintf(p.W, "# %s\n", p.Pick(
			fmt.Sprintf("Left out: what all users may (system:discovery and the like), %d requests.", everybody),
			fmt.Sprintf("未列入：所有用户都有的权限（system:discovery 等），%d 个请求。", everybody)))
	}
	slices.Sort(order)
	for i, scope := range order {
		if i > 0 {
			fmt.Fprintln(p.W, "---")
		}
		u.role(p, scope, merged(scopes[scope], u.cfg.Names))
	}
	return nil
}

// merged makes rules of rights: verbs on the same resource are one, then resources with
// the same verbs.
func merged(rights []*Right, named bool) []*grant {
	var all []*grant
	for _, r := range rights {
		var names []string
		if named && r.restrictable() {
			names = r.Names
		}
		if r.Path != "" {
			all = append(all, &grant{paths: []string{r.Path}, verbs: []string{r.Verb}, Span: r.Span})
			continue
		}
		i := slices.IndexFunc(all, func(g *grant) bool { return g.same(r, names) })
		if i < 0 {
			all = append(all, &grant{group: r.Group, resources: []string{r.Resource}, verbs: []string{r.Verb}, names: names, Span: r.Span})
			continue
		}
		all[i].Join(r.Span)
		if !slices.Contains(all[i].verbs, r.Verb) {
			all[i].verbs = append(all[i].verbs, r.Verb)
		}
	}
	var out []*grant
	for _, g := range all {
		i := slices.IndexFunc(out, func(x *grant) bool {
			return len(x.names)+len(g.names) == 0 && x.group == g.group && (len(x.paths) > 0) == (len(g.paths) > 0) && slices.Equal(x.verbs, g.verbs)
		})
		if i < 0 {
			out = append(out, g)
			continue
		}
		out[i].Join(g.Span)
		out[i].resources = append(out[i].resources, g.resources...)
		for _, path := range g.paths {
			if !slices.Contains(out[i].paths, path) {
				out[i].paths = append(out[i].paths, path)
			}
		}
	}
	return out
}

// role prints one role: a ClusterRole where namespace is empty.
func (u *used) role(p *output.Page, namespace string, rules []*grant) {
	kind := either(namespace == "", "ClusterRole", "Role")
	fmt.Fprintf(p.W, "apiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata:\n  name: %s\n", kind, strconv.Quote(roleName(u.cfg.Subject)))
	if namespace != "" {
		fmt.Fprintf(p.W, "  namespace: %s\n", yamlString(namespace))
	}
	fmt.Fprintln(p.W, "rules:")
	for _, g := range rules {
		fmt.Fprintf(p.W, "# %s\n", p.Pick(fmt.Sprintf("used %s, last %s", times(g.Count), tally.Clock(g.To, false)), fmt.Sprintf("使用 %d 次，最近 %s", g.Count, tally.Clock(g.To, false))))
		if len(g.paths) > 0 {
			fmt.Fprintf(p.W, "- nonResourceURLs: %s\n", flow(g.paths))
		} else {
			fmt.Fprintf(p.W, "- apiGroups: %s\n  resources: %s\n", flow([]string{g.group}), flow(g.resources))
		}
		if len(g.names) > 0 {
			fmt.Fprintf(p.W, "  resourceNames: %s\n", flow(g.names))
		}
		fmt.Fprintf(p.W, "  verbs: %s\n", flow(g.verbs))
	}
}

// flow writes a list of strings in YAML.
func flow(list []string) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = yamlString(s)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// yamlString writes any string in YAML: JSON is YAML.
func yamlString(s string) string {
	return string(output.AppendString(nil, strings.ToValidUTF8(s, "\ufffd")))
}

// roleName is a name for the roles of a subject.
func roleName(s Subject) string {
	name := strings.TrimPrefix(strings.TrimPrefix(s.Name, "system:serviceaccount:"), "system:")
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name = strings.Trim(b.String()[:min(b.Len(), 200)], "-")
	return either(name == "", "used", name+"-used")
}

func itoa(n int) string { return strconv.Itoa(n) }

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return itoa(n) + " times"
}

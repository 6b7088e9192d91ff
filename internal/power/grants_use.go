package power

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/rbac"
	"kubetrail/internal/request"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
)

// impersonations notes who acted as whom, once for each pair.
func (g *gifts) impersonations(ctx context.Context, r trail.Reader, q trail.Query) error {
	q, err := tally.Narrowed(q, "as:*")
	if err != nil {
		return err
	}
	rows := map[[3]string]*Gift{}
	columns := output.RefColumns | audit.Set(audit.Username, audit.ImpersonatedUsername, audit.Code, audit.SourceIPs, audit.UserAgent)
	err = tally.Scan(ctx, r, q, columns, func(e *audit.Event) error {
		if !request.Ended(e) {
			return nil
		}
		key := [3]string{string(e.Text[audit.Username]), string(e.Text[audit.ImpersonatedUsername]), string(e.Text[audit.Cluster])}
		x := rows[key]
		if x == nil {
			if len(rows) == maxGifts {
				g.more++
				return nil
			}
			x = &Gift{Kind: "impersonation", Action: "used", User: key[0], As: key[1], cluster: key[2], Outcome: "done", at: e.Time(), Address: address(e), Tool: tool(e)}
			rows[key] = x
		}
		x.Count++
		if e.Code == 403 || e.Code == 401 {
			x.Refused++
		}
		if t := e.Time(); t != audit.NoTime && (x.at == audit.NoTime || t < x.at) {
			x.at, x.Address, x.Tool = t, address(e), tool(e) // of the first, in whatever order they come
		}
		x.Time, x.Last = output.RFC3339(x.at), max(x.Last, output.RFC3339(e.Time()))
		x.Events = keptRef(x.Events, output.Ref(e))
		return nil
	})
	for _, x := range rows {
		slices.SortFunc(x.Events, func(a, b output.EventRef) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Seq, b.Seq)) })
		g.list = append(g.list, x)
	}
	return err
}

// bindingKey is what names a binding.
func bindingKey(cluster, kind, namespace, name string) string {
	return cluster + "\x00" + kind + "\x00" + namespace + "\x00" + name
}

// bindingKey names the binding that x made, if it made one.
func (x *Gift) bindingKey() string {
	if x.Kind != "binding" || x.Name == "" || x.Outcome != "done" || x.Action == "removed" || x.at == audit.NoTime {
		return ""
	}
	return bindingKey(x.cluster, x.ObjectAs, x.Namespace, x.Name)
}

// reasonName is the binding as the authorizer's reasons name it.
func (x *Gift) reasonName() string {
	if x.Namespace == "" {
		return x.Name
	}
	return x.Name + "/" + x.Namespace
}

// maxAsked is how many names one question of uses has.
const maxAsked = 400

// uses looks for requests that the authorizer allowed because of the bindings that were
// given, and for those sent with the tokens that were issued.
func (g *gifts) uses(ctx context.Context, r trail.Reader) error {
	given := map[string][]*Gift{}
	var reasons, ids []string
	from, to := int64(audit.NoTime), int64(audit.NoTime)
	for _, x := range g.list {
		if x.Outcome != "done" || x.at == audit.NoTime || x.Action == "removed" {
			continue
		}
		switch {
		case x.bindingKey() != "":
			reasons = appendOnce(reasons, query.Quote(x.reasonName()))
			given[x.bindingKey()] = append(given[x.bindingKey()], x)
		case x.credential != "":
			ids = appendOnce(ids, query.Quote(x.credential))
			k := bindingKey(x.cluster, "credential", "", x.credential)
			given[k] = append(given[k], x)
		default:
			continue
		}
		x.Use = &Use{first: audit.NoTime, last: audit.NoTime}
		from, to = earlier(from, x.at), max(to, x.at)
	}
	if from == audit.NoTime {
		return nil
	}
	next := g.cfg.Next.Microseconds()
	q := trail.Query{Since: from, Until: to + next}
	columns := request.KeyColumns | output.RefColumns | audit.Set(audit.Resource, audit.APIGroup, audit.Subresource, audit.Namespace, audit.Name, audit.Reason, audit.UserExtra, audit.Code,
		audit.ImpersonatedUsername)
	for _, list := range []struct {
		field string
		words []string
	}{{"reason", reasons}, {"user.extra.authentication.kubernetes.io/credential-id", ids}} {
		for words := range slices.Chunk(list.words, maxAsked) {
			narrow, err := tally.Narrowed(q, list.field+":("+strings.Join(words, " or ")+")")
			if err != nil {
				return err
			}
			err = r.Search(ctx, narrow, trail.Page{Oldest: true, Columns: columns}, func(e *audit.Event) error {
				if !request.Ended(e) {
					return nil
				}
				if list.field == "reason" {
					if b, ok := rbac.ParseReason(string(e.Text[audit.Reason])); ok {
						latest(given[bindingKey(string(e.Text[audit.Cluster]), b.Kind, b.Namespace, b.Name)], e, next).used(e, b)
					}
					return nil
				}
				for _, id := range strs(object(e.Text[audit.UserExtra]), "authentication.kubernetes.io/credential-id") {
					latest(given[bindingKey(string(e.Text[audit.Cluster]), "credential", "", id)], e, next).used(e, rbac.Binding{})
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func appendOnce(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// latest is the gift that e used: the last one before it, no longer ago than next.
func latest(given []*Gift, e *audit.Event, next int64) *Gift {
	var found *Gift
	for _, x := range given {
		if x.at <= e.Time() && e.Time() <= x.at+next {
			found = x
		}
	}
	return found
}

// used notes one request.
func (x *Gift) used(e *audit.Event, b rbac.Binding) {
	if x == nil {
		return
	}
	u := x.Use
	u.Count++
	if u.first == audit.NoTime {
		u.first = e.Time()
	}
	u.last = max(u.last, e.Time())
	user := string(e.Text[audit.Username])
	if as := string(e.Text[audit.ImpersonatedUsername]); as != "" {
		user += "->" + as
	}
	u.by.Add(user)
	u.did.Add(did(e))
	u.Events = keptRef(u.Events, output.Ref(e))
	if b.Name != "" && x.Unknown {
		// What the body would have said, the authorizer does.
		x.Unknown, x.Known, x.RoleKind, x.Role = false, "use", b.RoleKind, b.Role
	}
	if x.Known == "use" && b.Subject != "" && len(x.To) < 50 {
		x.To = appendOnce(x.To, strings.ReplaceAll(b.Subject, `"`, ""))
	}
}

// did is what a request did, in few words.
func did(e *audit.Event) string {
	what := string(e.Text[audit.Resource])
	if what == "" {
		path, _, _ := strings.Cut(string(e.Text[audit.RequestURI]), "?")
		return string(e.Text[audit.Verb]) + " " + path
	}
	if sub := e.Text[audit.Subresource]; len(sub) > 0 {
		what += "/" + string(sub)
	}
	where := ""
	if o := output.Object(e); o != "" {
		where = " " + o
	}
	if e.Code >= 400 {
		where += fmt.Sprintf(" (%d)", e.Code)
	}
	return string(e.Text[audit.Verb]) + " " + what + where
}

// removals looks for who took back what was given, at whatever time.
func (g *gifts) removals(ctx context.Context, r trail.Reader) error {
	given := map[string][]*Gift{}
	from := int64(audit.NoTime)
	var names []string
	for _, x := range g.list {
		if x.Outcome == "done" && x.Action != "removed" && (x.Kind == "binding" || x.Kind == "role" || x.Kind == "admission") && x.Name != "" && x.at != audit.NoTime {
			k := bindingKey(x.cluster, x.Group+"/"+x.Resource, x.Namespace, x.Name)
			given[k] = append(given[k], x)
			names = appendOnce(names, query.Quote(x.Name))
			from = earlier(from, x.at)
		}
	}
	for words := range slices.Chunk(names, maxAsked) {
		q, err := tally.Narrowed(trail.Query{Since: from, Until: audit.NoTime}, `verb:delete and apigroup:("`+rbacGroup+`" or "admissionregistration.k8s.io") and name:(`+strings.Join(words, " or ")+")")
		if err != nil {
			return err
		}
		columns := output.RefColumns | request.DryRunColumns | audit.Set(audit.Resource, audit.APIGroup, audit.Namespace, audit.Name, audit.Username, audit.ImpersonatedUsername, audit.Code)
		err = r.Search(ctx, q, trail.Page{Oldest: true, Columns: columns}, func(e *audit.Event) error {
			text := func(c audit.Column) string { return string(e.Text[c]) }
			if dry, _ := request.DryRun(e); dry || !request.Ended(e) || e.Code < 200 || e.Code >= 300 {
				return nil
			}
			for _, x := range given[bindingKey(text(audit.Cluster), text(audit.APIGroup)+"/"+text(audit.Resource), text(audit.Namespace), text(audit.Name))] {
				if x.Removed == nil && x.at <= e.Time() {
					x.Removed = &Removal{Time: output.RFC3339(e.Time()), User: text(audit.Username), As: text(audit.ImpersonatedUsername), Seconds: float64(e.Time()-x.at) / 1e6, Event: output.Ref(e)}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// join finishes the gifts, and puts under a binding what was given by using it.
func (g *gifts) join() {
	bindings := map[string][]*Gift{}
	removed := map[output.EventRef]bool{}
	for _, x := range g.list {
		if k := x.bindingKey(); k != "" {
			bindings[k] = append(bindings[k], x)
			x.Dangers = g.ofRole(x)
		}
		if x.Removed != nil {
			removed[x.Removed.Event] = true
		}
	}
	for _, x := range g.list {
		if u := x.Use; u != nil {
			u.First, u.Last, u.By, u.Did, u.More = output.RFC3339(u.first), output.RFC3339(u.last), u.by.Values(), slices.Clone(u.did.List), u.did.More
			if u.Count > 0 {
				u.Seconds = float64(u.first-x.at) / 1e6
			}
		}
		if x.Action == "removed" && len(x.Events) > 0 && removed[x.Events[0]] {
			x.under = true // is told with what it removes
			continue
		}
		for _, by := range bindings[bindingKey(x.cluster, x.binding.Kind, x.binding.Namespace, x.binding.Name)] {
			if by != x && by.at <= x.at {
				by.through, x.under = append(by.through, x), true
				break
			}
		}
	}
}

// ofRole is what is dangerous about the role that a binding gives.
func (g *gifts) ofRole(x *Gift) []rbac.Danger {
	if x.Role == "" {
		return nil
	}
	if d, ok := g.roles[roleKey(x.cluster, x.Namespace, x.RoleKind, x.Role)]; ok {
		return d
	}
	if x.RoleKind == "ClusterRole" {
		d, _ := rbac.BuiltIn(x.Role)
		return d
	}
	return nil
}

// known tells whether the rules of the role that a binding gives are.
func (g *gifts) knowsRole(x *Gift) bool {
	_, recorded := g.roles[roleKey(x.cluster, x.Namespace, x.RoleKind, x.Role)]
	_, always := rbac.BuiltIn(x.Role)
	return recorded || always && x.RoleKind == "ClusterRole"
}

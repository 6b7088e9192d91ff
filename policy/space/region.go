package space

import (
	"slices"
	"strings"
)

// Region is a set of requests: those that fulfil all conditions and are in no Region
// of Except.
type Region struct {
	// Resources and URLs tell which requests these are: for resources, for other
	// URLs, or both. Where it is both, there is no condition but on who asks.
	Resource bool `json:"resource"`
	URL      bool `json:"nonResourceURL"`

	Verbs      Values `json:"verbs,omitzero"` // of the API, or HTTP methods in lower case
	APIGroups  Values `json:"apiGroups,omitzero"`
	Resources  Values `json:"resources,omitzero"`       // as in a policy: pods, pods/log, pods/* (with pods itself), */log, *
	Namespaces Values `json:"namespaces,omitzero"`      // "" is none
	Names      Values `json:"resourceNames,omitzero"`   // "" is none
	Paths      Values `json:"nonResourceURLs,omitzero"` // as in a policy: a trailing * stands for any rest

	Users     Values     `json:"users,omitzero"`
	Groups    [][]string `json:"userGroups,omitempty"`    // the user is in at least one of each; who failed authentication is in none
	NotGroups []string   `json:"notUserGroups,omitempty"` // the user is in none

	Authenticated bool `json:"authenticated"`        // requests with a user are among them
	Failed        bool `json:"failedAuthentication"` // requests that failed authentication are among them

	Except []Region `json:"except,omitempty"`
}

// Values are those named in Only, or all where it is nil, without those in But. Of
// patterns the most specific one that fits a value counts.
type Values struct {
	Only []string `json:"only,omitempty"`
	But  []string `json:"but,omitempty"`
}

// Any tells that there is no condition.
func (v Values) Any() bool { return v.Only == nil && len(v.But) == 0 }

// region describes a box.
func (p *Partition) region(b box) Region {
	kinds := b.sets[levelKind]
	r := Region{
		Resource: kinds == nil || kinds.has(kindResource),
		URL:      kinds == nil || kinds.has(kindURL),
		Verbs:    p.values(b, levelVerb), APIGroups: p.values(b, levelAPIGroup), Resources: p.resources(b),
		Namespaces: p.values(b, levelNamespace), Names: p.values(b, levelName), Paths: p.paths(b),
		Users: p.values(b, levelUser), NotGroups: p.groupNames(b.groups.not),
	}
	if !r.Resource {
		r.Verbs = p.values(b, levelMethod)
	}
	users := b.sets[levelUser]
	r.Failed = users == nil || users.has(p.failedAuthentication())
	r.Authenticated = users == nil || users.next(0) < p.failedAuthentication()
	if !r.Authenticated {
		r.NotGroups = nil
	}
	for _, g := range b.groups.any {
		r.Groups = append(r.Groups, p.groupNames(g))
	}
	return r
}

func (p *Partition) groupNames(g set) []string {
	var out []string
	for i := g.next(0); i >= 0 && i < len(p.groups); i = g.next(i + 1) {
		out = append(out, p.groups[i].names...)
	}
	slices.Sort(out)
	return out
}

// values describes the classes of one level of a box.
func (p *Partition) values(b box, l level) Values {
	if b.sets[l] == nil {
		return Values{}
	}
	in, out, others := []string(nil), []string(nil), false
	for i, c := range p.dims[l] {
		for _, v := range c.values {
			listed := v.named || l == levelVerb || v.text == "" && l != levelUser
			switch has := b.sets[l].has(i); {
			case !listed:
				others = others || has
			case has:
				in = append(in, v.text)
			default:
				out = append(out, v.text)
			}
		}
	}
	order := strings.Compare
	if l == levelVerb {
		others = len(out) < len(in)
		order = func(a, b string) int { return verbIndex(a) - verbIndex(b) }
	}
	slices.SortFunc(in, order)
	slices.SortFunc(out, order)
	switch {
	case others:
		return Values{But: out}
	case l == levelUser && len(in) == 0:
		return Values{} // only failed authentication
	}
	return Values{Only: in}
}

func verbIndex(verb string) int {
	return slices.IndexFunc(apiVerbs(), func(v value) bool { return v.text == verb })
}

// resources describes the resources of a box.
func (p *Partition) resources(b box) Values {
	if b.sets[levelResource] == nil {
		return Values{}
	}
	// A request with verb proxy has no subresource: what is said of the resource
	// counts for all.
	whole := p.values(b, levelVerb)
	proxy := len(whole.Only) == 1 && whole.Only[0] == "proxy"
	g := grid{in: map[[2]string]bool{}, other: map[bool]string{}}
	literal := false
	for i, c := range p.dims[levelResource] {
		for _, v := range c.values {
			has := b.sets[levelResource].has(i)
			if v.text == "*" || v.sub == "*" {
				literal = literal || has
				continue
			}
			g.add(v, has, proxy)
		}
	}
	slices.Sort(g.rows)
	slices.Sort(g.cols)
	if g.in[[2]string{g.other[false], ""}] {
		return Values{But: g.list(false), Only: g.also()}
	}
	list := g.list(true)
	if literal && len(list) == 0 {
		list = append(list, "*/*")
	}
	return Values{Only: list, But: g.except(true)}
}

// grid is the pairs of a resource and a subresource that a box holds.
type grid struct {
	in         map[[2]string]bool
	rows, cols []string        // named resources and subresources
	other      map[bool]string // what stands for all other resources (false) and subresources (true)
}

func (g *grid) add(v value, has, proxy bool) {
	if proxy && v.sub != "" {
		return
	}
	g.in[[2]string{v.text, v.sub}] = has
	if !v.named {
		g.other[false] = v.text
	} else if !slices.Contains(g.rows, v.text) {
		g.rows = append(g.rows, v.text)
	}
	switch {
	case v.sub == "":
	case !v.subNamed:
		g.other[true] = v.sub
	case !slices.Contains(g.cols, v.sub):
		g.cols = append(g.cols, v.sub)
	}
}

// is tells whether a pair is held, or is not.
func (g *grid) is(want bool, resource, sub string) bool {
	has, ok := g.in[[2]string{resource, sub}]
	if !ok { // of verb proxy
		has = g.in[[2]string{resource, ""}]
	}
	return has == want
}

// list names, in patterns, the pairs that are held (want) or not: whole columns, whole
// rows, and what is left one by one.
func (g *grid) list(want bool) []string {
	out := []string{}
	wholeCol := func(s string) bool { return g.is(want, g.other[false], s) }
	for _, r := range g.rows {
		wholeRow := g.is(want, r, g.other[true]) && g.other[true] != ""
		switch {
		case wholeRow:
			out = append(out, r+"/*")
		case g.is(want, r, ""):
			out = append(out, r)
		}
		for _, s := range g.cols {
			if !wholeRow && !wholeCol(s) && g.is(want, r, s) {
				out = append(out, r+"/"+s)
			}
		}
	}
	for _, s := range g.cols {
		if wholeCol(s) {
			out = append(out, "*/"+s)
		}
	}
	return out
}

// except names the pairs that list(want) holds wrongly.
func (g *grid) except(want bool) []string {
	var out []string
	for _, r := range g.rows {
		wholeRow := g.is(want, r, g.other[true]) && g.other[true] != ""
		if wholeRow && !g.is(want, r, "") {
			out = append(out, r)
		}
		for _, s := range g.cols {
			if (wholeRow || g.is(want, g.other[false], s)) && !g.is(want, r, s) {
				out = append(out, r+"/"+s)
			}
		}
	}
	return out
}

// also is everything together with what list(false) excludes wrongly; nil where that
// is nothing.
func (g *grid) also() []string {
	if more := g.except(false); more != nil {
		return append([]string{"*"}, more...)
	}
	return nil
}

// paths describes the paths of a box.
func (p *Partition) paths(b box) Values {
	if b.sets[levelPath] == nil {
		return Values{}
	}
	patterns := map[string]bool{} // pattern to whether it is held
	var order []string
	for i, c := range p.dims[levelPath] {
		for _, v := range c.values {
			pattern := v.text
			if !v.named {
				pattern = v.sub + "*"
			}
			patterns[pattern] = b.sets[levelPath].has(i)
			order = append(order, pattern)
		}
	}
	slices.Sort(order)
	var out Values
	for _, s := range order {
		over, has := "", patterns[s]
		for _, o := range order { // the longest prefix that holds s and is not s
			if q, ok := strings.CutSuffix(o, "*"); ok && o != s && strings.HasPrefix(s, q) && len(o) > len(over) {
				over = o
			}
		}
		switch {
		case has && !patterns[over]:
			out.Only = append(out.Only, s)
		case !has && patterns[over]:
			out.But = append(out.But, s)
		}
	}
	if len(out.Only) == 1 && out.Only[0] == "*" {
		out.Only = nil
	}
	return out
}

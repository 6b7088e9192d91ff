package kubectl

import (
	"slices"
	"strconv"
	"strings"

	"kubetrail/internal/schema"
)

// params are the parameters of a query that a form has not said yet.
type params map[string][]string

// left returns the parameters of the query without those that change only how the
// answer comes, and without the further ones.
func (r *request) left(without ...string) params {
	p := params{}
	for k, v := range r.query {
		if k != "timeout" && k != "timeoutSeconds" && k != "pretty" && !slices.Contains(without, k) {
			p[k] = v
		}
	}
	return p
}

// take removes a parameter and returns its value. One that is given twice is left.
func (p params) take(name string) (string, bool) {
	v := p[name]
	if len(v) != 1 {
		return "", false
	}
	delete(p, name)
	return v[0], true
}

// yes removes a parameter that is true, as a boolean option of the API is read.
func (p params) yes(name string) bool {
	v, ok := p.take(name)
	return ok && v != "false" && v != "0"
}

// manager removes the field manager and gives it as a flag, unless it is kubectl's own.
func (p params) manager(c *command, own string) {
	if v, ok := p.take("fieldManager"); ok && v != own {
		c.flag("field-manager", v)
	}
}

// validation removes the strictness about unknown fields and gives it as a flag. What
// was not asked for is "Warn", which matters where fields may be unknown.
func (p params) validation(c *command, known bool) {
	switch v, given := p.take("fieldValidation"); {
	case v == "Ignore":
		c.flag("validate", "ignore")
	case v == "Warn" || !given && !known:
		c.flag("validate", "warn")
	case v != "" && v != "Strict":
		p["fieldValidation"] = []string{v}
	}
}

func (p params) dryRun(c *command) {
	if v, ok := p.take("dryRun"); ok {
		if v == "All" {
			c.flag("dry-run", "server")
		} else {
			p["dryRun"] = []string{v}
		}
	}
}

// builtIn returns the resource of the request if it is built in, in that version.
func (r *request) builtIn() *schema.Resource {
	for _, x := range schema.Resources() {
		if x.Group == r.info.APIGroup && x.Name == r.info.Resource && x.Version == r.info.APIVersion {
			return x
		}
	}
	return nil
}

// typeWord returns what kubectl calls the type of the request, in that version.
func (r *request) typeWord(plural bool) string {
	i := &r.info
	if b := r.builtIn(); b != nil && preferred(b) {
		word := b.Singular
		if plural {
			word = b.Name
		}
		if t := schema.ParseTarget(word); t.Group == i.APIGroup && t.Resource == i.Resource {
			return word
		}
	}
	return i.Resource + "." + i.APIVersion + "." + i.APIGroup
}

// preferred reports whether kubectl uses this version where none is named: API servers
// prefer the newest, and the table has them in order.
func preferred(b *schema.Resource) bool {
	last := b
	for _, x := range schema.Resources() {
		if x.Group == b.Group && x.Name == b.Name {
			last = x
		}
	}
	return last == b
}

// named starts a command about the object of the request, nil where kubectl cannot
// name it.
func (r *request) named(words ...string) *command {
	i := &r.info
	if !r.canonical || !sound(i.Name) || !sound(i.Resource) {
		return nil
	}
	c := newCommand(append(words, r.typeWord(false), i.Name)...)
	if !r.inNamespace(c) {
		return nil
	}
	return c
}

// inNamespace adds the namespace. It reports false where a request has none and needs
// one, or the other way round: kubectl makes no such request.
func (r *request) inNamespace(c *command) bool {
	i := &r.info
	if i.Resource == "namespaces" && i.APIGroup == "" {
		return true
	}
	if b := r.builtIn(); b != nil && b.Namespaced != (i.Namespace != "") {
		return false
	}
	if i.Namespace != "" {
		c.add("-n", i.Namespace)
	}
	return true
}

// sound reports whether kubectl takes a word for a name: no flag, and no part of a path.
func sound(word string) bool {
	return word != "" && word[0] != '-' && word != "." && word != ".." && !strings.ContainsAny(word, "/%,=") &&
		!strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r == 0x7f || hidden(r, 0) })
}

// getOne is a get of one object, or of a subresource.
func (r *request) getOne() *command {
	if r.method != "GET" || r.info.Name == "" || r.info.Verb != "get" {
		return nil
	}
	switch r.info.Subresource {
	case "proxy", "log", "exec", "attach", "portforward":
		return nil
	}
	c := r.named("get")
	if c == nil || len(r.left("includeObject")) > 0 {
		return nil
	}
	if s := r.info.Subresource; s != "" {
		c.flag("subresource", s)
	}
	return c
}

// list is a list or a watch.
func (r *request) list() *command {
	i := &r.info
	if r.method != "GET" || i.Subresource != "" || i.Verb != "list" && i.Verb != "watch" || !sound(i.Resource) {
		return nil
	}
	p := r.left("includeObject", "allowWatchBookmarks")
	c := newCommand("get", r.typeWord(true))
	switch b := r.builtIn(); {
	case i.Namespace != "" && b != nil && !b.Namespaced:
		return nil
	case i.Namespace != "":
		c.add("-n", i.Namespace)
	case b == nil || b.Namespaced:
		c.add("-A")
	}
	if v, ok := p.take("labelSelector"); ok && v != "" {
		c.add("-l", v)
	}
	if v, ok := p.take("fieldSelector"); ok && v != "" {
		c.flag("field-selector", v)
	}
	if p.yes("watch") {
		c.add("--watch-only")
		if v, ok := p.take("resourceVersion"); ok && v != "0" && v != "" {
			c.say("it watched from an earlier state on, kubectl watches from now on", "原请求从先前的状态开始监视，kubectl 从当前状态开始")
		}
	} else if v, ok := p.take("limit"); ok && v != "500" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return nil
		}
		c.flag("chunk-size", strconv.Itoa(n))
	}
	if len(p) > 0 {
		return nil
	}
	return c
}

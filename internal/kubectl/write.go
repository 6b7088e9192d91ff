package kubectl

import (
	"encoding/json"
	"strconv"
	"strings"
)

// object is what of a body decides whether kubectl sends it as it is.
type object struct {
	APIVersion string
	Kind       string
	Metadata   struct {
		Name            string
		Namespace       string
		ResourceVersion string
		Annotations     map[string]any
	}
	Items json.RawMessage
}

// manifest reads the body of a create, update or apply. It reports false for one that
// kubectl would change or send elsewhere.
func (r *request) manifest() (o object, ok bool) {
	if json.Unmarshal(r.body, &o) != nil || o.Kind == "" || o.Items != nil {
		return o, false
	}
	group := r.info.APIVersion
	if r.info.APIGroup != "" {
		group = r.info.APIGroup + "/" + group
	}
	if b := r.builtIn(); b != nil && b.Kind != o.Kind || o.APIVersion != group {
		return o, false
	}
	// kubectl creates and replaces what it once applied with a new record of that.
	_, applied := o.Metadata.Annotations["kubectl.kubernetes.io/last-applied-configuration"]
	return o, !applied && (o.Metadata.Namespace == "" || o.Metadata.Namespace == r.info.Namespace)
}

// create makes an object.
func (r *request) create() *command {
	if r.method != "POST" || r.info.Name != "" || r.info.Subresource != "" {
		return nil
	}
	if r.body != nil {
		if o, ok := r.manifest(); !ok || o.Metadata.ResourceVersion != "" {
			return nil
		}
	}
	return r.send("kubectl-create", newCommand("create"))
}

// replace updates an object, or a subresource that has its kind.
func (r *request) replace() *command {
	i := &r.info
	if r.method != "PUT" || i.Name == "" || !sound(i.Name) {
		return nil
	}
	if r.body != nil {
		// Without a resourceVersion kubectl would look for one, and send that.
		if o, ok := r.manifest(); !ok || o.Metadata.Name != i.Name || o.Metadata.ResourceVersion == "" {
			return nil
		}
	}
	c := newCommand("replace")
	if i.Subresource != "" {
		c.flag("subresource", i.Subresource)
	}
	return r.send("kubectl-replace", c)
}

// send completes a create or replace.
func (r *request) send(manager string, c *command) *command {
	if !r.inNamespace(c) {
		return nil
	}
	p := r.left()
	p.manager(c, manager)
	p.validation(c, r.builtIn() != nil)
	p.dryRun(c)
	if len(p) > 0 {
		return nil
	}
	r.give(c, "manifest.yaml")
	return c
}

// deleteOptions are the options that kubectl can send.
type deleteOptions struct {
	Kind               string   `json:"kind"`
	APIVersion         string   `json:"apiVersion"`
	GracePeriodSeconds *int64   `json:"gracePeriodSeconds"`
	PropagationPolicy  string   `json:"propagationPolicy"`
	DryRun             []string `json:"dryRun"`
}

// remove deletes one object. A collection is deleted by its URI, since kubectl lists
// what it is to delete and deletes one after the other.
func (r *request) remove() *command {
	if r.info.Verb == "deletecollection" || r.info.Subresource != "" || r.info.Name == "" {
		return r.rawDelete()
	}
	p := r.left()
	var o deleteOptions
	switch {
	case r.size > 0:
		return nil
	case r.body != nil:
		if strict(r.body, &o) != nil {
			return r.rawDelete()
		}
	case len(p) > 0: // options of a request without a body
		o.PropagationPolicy, _ = p.take("propagationPolicy")
		if v, ok := p.take("gracePeriodSeconds"); ok {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return nil
			}
			o.GracePeriodSeconds = &n
		}
		if v, ok := p.take("dryRun"); ok {
			o.DryRun = []string{v}
		}
	case r.bodiless:
		return nil
	default:
		o.PropagationPolicy = "Background"
	}
	c := r.named("delete")
	if c == nil || len(p) > 0 || !o.flags(c) {
		return r.rawDelete()
	}
	if r.body == nil && !r.bodiless {
		c.say("options in the body were not recorded", "请求体中的删除选项未被记录")
	}
	return c
}

// flags says the options. It reports false where kubectl cannot: it always says what is
// to become of dependents, and never a grace period below zero.
func (o *deleteOptions) flags(c *command) bool {
	switch o.PropagationPolicy {
	case "Background":
	case "Foreground", "Orphan":
		c.flag("cascade", strings.ToLower(o.PropagationPolicy))
	default:
		return false
	}
	if g := o.GracePeriodSeconds; g != nil {
		if *g < 0 {
			return false
		}
		c.flag("grace-period", strconv.FormatInt(*g, 10))
		if *g == 0 {
			c.add("--force")
		}
	}
	switch {
	case len(o.DryRun) == 1 && o.DryRun[0] == "All":
		c.flag("dry-run", "server")
	case len(o.DryRun) > 0:
		return false
	}
	return true
}

// rawDelete deletes by the URI, with the options as they were recorded: kube-apiserver
// writes the name of its internal version where the request named none.
func (r *request) rawDelete() *command {
	var head struct{ APIVersion string }
	if r.body != nil && json.Unmarshal(r.body, &head) == nil && strings.HasSuffix(head.APIVersion, "/__internal") {
		var members map[string]json.RawMessage
		if json.Unmarshal(r.body, &members) == nil {
			delete(members, "apiVersion")
			delete(members, "kind")
			if text, err := json.Marshal(members); err == nil {
				r.body, r.size = readBody(text)
			}
		}
	}
	return r.raw()
}

// strict decodes JSON that has no other members than v.
func strict(text []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

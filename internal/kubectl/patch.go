package kubectl

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// longestWord is how long a patch may be as an argument: Linux takes 128 KiB.
const longestWord = 64 << 10

// patch changes an object. Which of the four kinds of patch it was stands in the header
// Content-Type, which no event holds: it is told from the body and the query.
func (r *request) patch() *command {
	if !r.canonical || r.info.Name == "" {
		r.impossible = note1("kubectl can patch objects, but no other paths", "kubectl 只能 patch 对象，不能 patch 其他路径")
		return nil
	}
	if c := r.scale(); c != nil {
		return c
	}
	kind, why := r.patchKind()
	if kind == "apply" {
		c := r.apply()
		if c == nil {
			r.impossible = note1("kubectl cannot send this server-side apply", "kubectl 无法发出该服务器端 apply 请求")
			return nil
		}
		if why != (note{}) {
			c.notes = append(c.notes, why)
		}
		return c
	}
	c := r.named("patch")
	if c == nil {
		r.impossible = note1("kubectl cannot name this object", "kubectl 无法指定该对象")
		return nil
	}
	if s := r.info.Subresource; s != "" {
		c.flag("subresource", s)
	}
	if kind != "" {
		c.flag("type", kind)
	}
	p := r.left()
	p.manager(c, "kubectl-patch")
	p.dryRun(c)
	if v, ok := p.take("fieldValidation"); ok && (v != "Warn" && r.code >= 400 || v != "Warn" && v != "Strict" && v != "Ignore") {
		p["fieldValidation"] = []string{v}
	}
	for _, name := range sortedKeys(p) {
		text := url.QueryEscape(name) + "=" + url.QueryEscape(strings.Join(p[name], ","))
		c.notef("kubectl patch cannot send %s", "kubectl patch 无法发送 %s", text[:min(len(text), 200)])
	}
	switch {
	case r.body == nil:
		c.flag("patch-file", "patch.yaml")
		if r.size > 0 {
			c.notef("the patch of %d bytes is left out: %s stands for it", "补丁有 %d 字节，此处省略：以 %s 代替", r.size, "patch.yaml")
			break
		}
		c.unrecorded(r, "patch.yaml")
	case len(r.body) > longestWord:
		c.flag("patch-file", "/dev/stdin")
		c.stdin = indent(r.body)
	default:
		c.add("-p", string(r.body))
	}
	if why != (note{}) {
		c.notes = append(c.notes, why)
	}
	return c
}

// patchKind tells the kind of patch, and what is to be said of that: json, merge,
// strategic or apply, empty where there is no body to tell it from.
func (r *request) patchKind() (kind string, why note) {
	manager := r.query.Get("fieldManager")
	if r.query.Has("force") {
		return "apply", note{}
	}
	if r.body == nil {
		why = note1("nor does the event hold the kind of patch", "补丁类型也不在事件中")
		if r.builtIn() == nil {
			return "merge", why // kubectl's default is for built-in kinds
		}
		return "", why
	}
	if r.body[0] == '[' {
		return "json", note{}
	}
	var o object
	if json.Unmarshal(r.body, &o) == nil && o.APIVersion != "" && o.Kind != "" && manager != "" && !strings.HasPrefix(manager, "kubectl-") {
		return "apply", note1("taken for a server-side apply, since it has a whole object and a field manager",
			"含完整对象和字段管理器，因此视为服务器端 apply")
	}
	directives := bytes.Contains(r.body, []byte(`"$patch":`)) || bytes.Contains(r.body, []byte(`"$setElementOrder/`)) ||
		bytes.Contains(r.body, []byte(`"$deleteFromPrimitiveList/`)) || bytes.Contains(r.body, []byte(`"$retainKeys":`))
	switch {
	case directives:
		return "strategic", note{}
	case r.builtIn() == nil: // strategic merge patch is for built-in kinds
		return "merge", note{}
	case slices.Contains([]string{"kubectl-label", "kubectl-annotate"}, manager):
		return "merge", note{}
	case slices.Contains([]string{"kubectl-set", "kubectl-rollout", "kubectl-taint", "kubectl-edit", "kubectl-client-side-apply"}, manager):
		return "strategic", note{}
	case r.info.Subresource == "scale":
		return "merge", note{}
	case bytes.IndexByte(r.body, '[') < 0:
		return "strategic", note{} // the same as a merge patch: they treat lists alone differently
	}
	return "strategic", note1("the kind of patch is not in the event: kubectl's default is strategic, a merge patch would replace lists as a whole",
		"事件中没有补丁类型：kubectl 默认为 strategic，若为 merge 则会整体替换列表")
}

// scale is what kubectl scale sends: a merge patch of the subresource.
func (r *request) scale() *command {
	if r.info.Subresource != "scale" || r.body == nil {
		return nil
	}
	var b struct {
		Metadata *struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Spec struct {
			Replicas *int32 `json:"replicas"`
		} `json:"spec"`
	}
	c := r.named("scale")
	if c == nil || strict(r.body, &b) != nil || b.Spec.Replicas == nil || *b.Spec.Replicas < 0 {
		return nil
	}
	c.flag("replicas", strconv.Itoa(int(*b.Spec.Replicas)))
	if b.Metadata != nil {
		if b.Metadata.ResourceVersion == "" {
			return nil
		}
		c.flag("resource-version", b.Metadata.ResourceVersion)
	}
	p := r.left()
	p.dryRun(c)
	if len(p) > 0 {
		return nil
	}
	return c
}

// apply is a server-side apply.
func (r *request) apply() *command {
	c := newCommand("apply", "--server-side")
	if s := r.info.Subresource; s != "" {
		c.flag("subresource", s)
	}
	if !r.inNamespace(c) {
		return nil
	}
	p := r.left()
	if p.yes("force") {
		c.add("--force-conflicts")
	}
	p.manager(c, "kubectl")
	p.validation(c, r.builtIn() != nil)
	p.dryRun(c)
	if r.body != nil {
		var o object
		if json.Unmarshal(r.body, &o) != nil || o.Kind == "" || o.Metadata.Name != r.info.Name || o.Items != nil ||
			o.Metadata.Namespace != "" && o.Metadata.Namespace != r.info.Namespace {
			return nil
		}
	}
	if len(p) > 0 {
		return nil
	}
	r.give(c, "manifest.yaml")
	return c
}

package explain

import (
	"bytes"
	"strings"

	"kubetrail/audit"
)

// slot is something that a pattern speaks of, by its name in patterns.
type slot string

// slots are all there are.
const slots = " object object's bare place namespace selectors page duration verb method path sub container " +
	" command ports follow lines previous node replicas approved denied debugger question asked " +
	" answer owner signer role grantee machine about force manager forced initial cordoned uncordoned " +
	" restarted they their "

// knows reports whether there is something to fill a slot with that acts ask for.
func (x *Explainer) knows(s slot, r *request) bool {
	switch s {
	case "":
		return true
	case "follow":
		return r.is(pFollow)
	case "force":
		return r.params[pForce] != nil && len(r.params[pFieldManager]) > 0
	case "machine":
		name := r.Text[audit.Username]
		return bytes.HasPrefix(name, []byte("system:")) && string(name) != "system:anonymous"
	case "initial":
		return r.is(pInitialEvents)
	case "cordoned":
		return string(patched(r.RequestObject, "spec", "unschedulable")) == "true"
	case "uncordoned":
		v := string(patched(r.RequestObject, "spec", "unschedulable"))
		return v == "null" || v == "false"
	case "restarted":
		return patched(r.RequestObject, "spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt") != nil
	case "approved":
		return string(r.condition()) == "Approved"
	case "denied":
		return string(r.condition()) == "Denied"
	case "role":
		return field(r.RequestObject, "roleRef", "name") != nil && field(r.RequestObject, "subjects", "^", "name") != nil
	case "question":
		return field(r.RequestObject, "spec", "resourceAttributes", "verb") != nil || field(r.RequestObject, "spec", "nonResourceAttributes", "verb") != nil
	case "about":
		return field(r.RequestObject, "reason") != nil
	}
	return len(r.value(s)) > 0
}

// condition is the decision about a CertificateSigningRequest.
func (r *request) condition() []byte {
	if string(r.verb) == "patch" {
		return patched(r.RequestObject, "status", "conditions", "$", "type")
	}
	return field(r.RequestObject, "status", "conditions", "$", "type")
}

// value returns what a slot is filled with where that is one name or number out of the
// event; nil where the event does not say.
func (r *request) value(s slot) []byte {
	switch s {
	case "container":
		return r.params[pContainer]
	case "command":
		return r.params[pCommand]
	case "ports":
		return r.params[pPorts]
	case "lines":
		return r.params[pTailLines]
	case "manager":
		return r.params[pFieldManager]
	case "namespace":
		return r.namespace
	case "node":
		return field(r.RequestObject, "target", "name")
	case "replicas":
		if string(r.verb) == "patch" {
			return patched(r.RequestObject, "spec", "replicas")
		}
		return field(r.RequestObject, "spec", "replicas")
	case "debugger":
		if string(r.verb) == "patch" {
			return patched(r.RequestObject, "spec", "ephemeralContainers", "$", "name")
		}
		return field(r.RequestObject, "spec", "ephemeralContainers", "$", "name")
	case "signer":
		return field(r.RequestObject, "spec", "signerName")
	case "path":
		return r.below()
	}
	return nil
}

// below is the path that a proxy request goes to, or the whole path of what is no
// resource.
func (r *request) below() []byte {
	if len(r.resource) == 0 {
		return r.path
	}
	_, rest, ok := bytes.Cut(r.path, []byte("/proxy/"))
	if !ok || len(rest) == 0 {
		return nil
	}
	return r.path[len(r.path)-len(rest)-1:]
}

// fill appends what a slot stands for, nothing where the event does not say.
func (x *Explainer) fill(s slot, r *request) {
	switch s {
	case "object", "object's", "bare":
		x.object(r, s)
	case "place":
		if r.namespace != nil && !r.thing.cluster {
			x.words("在")
			x.name(r.namespace)
			x.words("命名空间中")
		}
	case "selectors":
		x.selectors(r)
	case "page":
		x.page(r)
	case "duration":
		if d := r.duration(); d > 0 {
			x.duration(d)
		}
	case "verb":
		x.name(r.verb)
	case "method":
		x.apart()
		x.words(method(r))
	case "sub":
		if !x.zh {
			x.words("the subresource ")
		}
		x.name(r.sub)
	case "command":
		x.command(r)
	case "previous":
		if r.is(pPrevious) {
			x.say("previous ", "上一个实例")
		}
	case "forced":
		if r.is(pForce) {
			x.say(", by force", "强制")
		}
	case "they":
		x.words(pick(person(r), "they", "it"))
	case "their":
		x.words(pick(person(r), "their", "its"))
	case "question", "asked", "answer", "owner", "role", "grantee", "about":
		x.body(s, r)
	case "replicas":
		x.replicas(r.value(s))
	default:
		x.decoded(r.value(s))
	}
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

func person(r *request) bool {
	name := r.Text[audit.Username]
	return !bytes.HasPrefix(name, []byte("system:"))
}

// decoded appends a value that may be percent-encoded, as a name.
func (x *Explainer) decoded(v []byte) {
	if len(v) == 0 {
		return
	}
	if bytes.IndexByte(v, '%') >= 0 || bytes.IndexByte(v, '+') >= 0 {
		x.scratch = appendDecoded(x.scratch[:0], v[:min(len(v), 8*nameLength)])
		v = x.scratch
	}
	x.name(v)
}

func (x *Explainer) replicas(n []byte) {
	x.name(n)
	if len(n) > 0 {
		x.say(pick(string(n) == "1", " replica", " replicas"), "")
	}
}

// command appends the command of exec, its words as a shell would need them.
func (x *Explainer) command(r *request) {
	out := x.scratch[:0]
	for rest := r.query; len(rest) > 0 && len(out) < 2*messageLength; {
		var one []byte
		one, rest, _ = bytes.Cut(rest, []byte("&"))
		if word, ok := bytes.CutPrefix(one, []byte("command=")); ok {
			if len(out) > 0 {
				out = append(out, ' ')
			}
			out = appendDecoded(out, word[:min(len(word), 4*messageLength)])
		}
	}
	x.scratch = out
	x.quote(out, messageLength)
}

// methods are the HTTP methods of verbs.
var methods = map[string]string{
	"get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "patch": "PATCH",
	"delete": "DELETE", "deletecollection": "DELETE",
}

// method is the HTTP method of a verb: that of a path is its own verb. That of an unknown
// one is not in the event.
func method(r *request) string {
	if m := methods[string(r.verb)]; m != "" {
		return m
	}
	for _, c := range r.verb {
		if c < 'a' || c > 'z' || len(r.verb) > 20 {
			return "HTTP"
		}
	}
	return strings.ToUpper(string(r.verb))
}

// duration appends how long something took, in the two largest units.
func (x *Explainer) duration(micros int64) {
	seconds := micros / 1e6
	one := func(n int64, en, zh string) {
		x.number(n)
		x.say(en, zh)
	}
	switch {
	case seconds < 1:
		one(max(micros/1000, 1), " ms", "毫秒")
	case seconds < 60:
		one(seconds, " s", "秒")
	case seconds < 3600:
		one(seconds/60, " min", "分")
		if seconds%60 > 0 {
			x.words(pick(x.zh, "", " "))
			one(seconds%60, " s", "秒")
		}
	default:
		one(seconds/3600, " h", "小时")
		if seconds%3600 >= 60 {
			x.words(pick(x.zh, "", " "))
			one(seconds%3600/60, " min", "分")
		}
	}
}

// page appends, in English before the object, which part of a list was asked for.
func (x *Explainer) page(r *request) {
	if v := r.limit(); len(v) > 0 {
		x.words("up to ")
		x.decoded(v)
		x.words(" ")
	}
	if len(r.params[pContinue]) > 0 {
		x.words("more ")
	}
}

// limit is how many objects a list was limited to, nil where it was not. 500 is how many
// client-go fetches at a time for whoever wants all of them, and says nothing.
func (r *request) limit() []byte {
	if v := r.params[pLimit]; string(v) != "0" && string(v) != "500" {
		return v
	}
	return nil
}

// selectors appends which of the objects were asked for, and how.
func (x *Explainer) selectors(r *request) {
	mark := len(x.b)
	next := func(en, zh string) {
		switch {
		case !x.zh:
			x.words(en)
		case len(x.b) == mark:
			x.words("（" + zh)
		default:
			x.words("，" + zh)
		}
	}
	if v := r.params[pLabelSelector]; len(v) > 0 {
		next(" with labels ", "标签符合")
		x.decoded(v)
	}
	if v := r.params[pFieldSelector]; len(v) > 0 && !r.selectsName(v) {
		next(pick(len(x.b) > mark, " and fields ", " with fields "), "字段符合")
		x.decoded(v)
	}
	if v := r.params[pResourceVersion]; len(v) > 0 && string(v) != "0" && len(r.params[pContinue]) == 0 {
		switch string(r.verb) {
		case "watch":
			next(" from version ", "自版本")
			x.decoded(v)
			x.say(" on", "起")
		case "list":
			next(" as of version ", "版本")
			x.decoded(v)
		}
	}
	if x.zh && string(r.verb) == "list" {
		if len(r.params[pContinue]) > 0 {
			next("", "续前页")
		}
		if v := r.limit(); len(v) > 0 {
			next("", "最多")
			x.decoded(v)
			x.words("个")
		}
	}
	if x.zh && len(x.b) > mark {
		x.words("）")
	}
}

// selectsName reports whether a field selector says no more than the name that the event
// has as well.
func (r *request) selectsName(v []byte) bool {
	if len(r.name) == 0 {
		return false
	}
	v, ok := bytes.CutPrefix(v, []byte("metadata.name"))
	if !ok {
		return false
	}
	v = bytes.TrimPrefix(bytes.TrimPrefix(v, []byte("%3D")), []byte("="))
	return bytes.Equal(v, r.name)
}

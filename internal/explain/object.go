package explain

import "bytes"

// object appends what the request is about: one object, or many of a kind, and where.
func (x *Explainer) object(r *request, form slot) {
	if x.zh {
		if form != "bare" {
			x.placeChinese(r, form)
		}
		x.called(r)
		return
	}
	x.called(r)
	x.placeEnglish(r)
}

// called appends kind and name.
func (x *Explainer) called(r *request) {
	name := r.name
	if len(name) == 0 {
		name = r.made
	}
	switch t := r.thing; {
	case len(name) > 0:
		x.kind(r, t.one)
		x.words(" ")
		x.name(name)
	case string(r.verb) == "create" && len(r.sub) == 0:
		x.one(r)
	case x.zh:
		x.kind(r, t.one)
	default:
		x.kind(r, t.many)
	}
}

// one appends a new object without a name.
func (x *Explainer) one(r *request) {
	t := r.thing
	switch {
	case x.zh:
		x.words("一个")
		x.kind(r, t.one)
		if t.one == "" && r.bodyKind() == "" {
			x.words("对象")
		}
	case t.one == "" && r.bodyKind() != "":
		x.words(article(r.bodyKind()))
		x.kind(r, "")
	case t.one == "":
		x.words("an object of ")
		x.kind(r, "")
	default:
		x.words(t.article)
		x.words(t.one)
	}
	if len(r.prefix) > 0 {
		x.say(" of generated name ", "（名称自动生成，前缀")
		x.name(r.prefix)
		x.say("", "）")
	}
}

// kind appends the kind, or what stands for that of a resource nobody told us about.
func (x *Explainer) kind(r *request, kind string) {
	if kind != "" {
		x.words(kind)
		return
	}
	if kind := r.bodyKind(); kind != "" {
		if !x.zh && len(r.name) == 0 && string(r.verb) != "create" {
			kind = many(kind, "")
		}
		x.words(kind)
		return
	}
	x.scratch = append(x.scratch[:0], r.resource...)
	if len(r.group) > 0 {
		x.scratch = append(append(x.scratch, '.'), r.group...)
	}
	x.name(x.scratch)
}

// bodyKind is the kind that a body names, of a resource that is not built in. A body
// that names a kind the resource cannot have is not believed.
func (r *request) bodyKind() string {
	if len(r.sub) > 0 {
		return ""
	}
	body := r.ResponseObject
	if r.mood != done || len(body) == 0 {
		body = r.RequestObject
	}
	kind := field(body, "kind")
	if string(r.verb) == "list" {
		kind = bytes.TrimSuffix(kind, []byte("List"))
	}
	if len(kind) < 3 || len(kind) > 63 {
		return ""
	}
	for i, c := range kind {
		if (c < 'A' || c > 'Z') && (i == 0 || (c < 'a' || c > 'z') && (c < '0' || c > '9')) {
			return ""
		}
	}
	if !bytes.HasPrefix(r.resource, bytes.ToLower(kind[:len(kind)-1])) {
		return ""
	}
	return string(kind)
}

func (x *Explainer) placeEnglish(r *request) {
	switch {
	case r.thing.cluster:
	case len(r.namespace) > 0:
		x.words(" in ")
		x.name(r.namespace)
	case len(r.name) > 0 || string(r.verb) == "create":
	case r.thing.one == "":
		x.words(" in the whole cluster")
	default:
		x.words(" in all namespaces")
	}
}

func (x *Explainer) placeChinese(r *request, form slot) {
	switch {
	case r.thing.cluster:
		return
	case len(r.namespace) > 0:
		x.name(r.namespace)
		x.words("命名空间中")
	case len(r.name) > 0 || string(r.verb) == "create":
		return
	case r.thing.one == "":
		x.words("整个集群中")
	default:
		x.words("所有命名空间中")
	}
	if form != "object's" {
		x.words("的")
	}
}

// body appends what only the bodies say.
func (x *Explainer) body(s slot, r *request) {
	switch s {
	case "question":
		x.question(r.RequestObject)
	case "asked":
		if user := field(r.RequestObject, "spec", "user"); user != nil {
			x.name(user)
		} else if user = field(r.RequestObject, "spec", "groups", "^"); user != nil {
			x.say("group ", "组")
			x.name(user)
		} else {
			x.say("somebody", "某个主体")
		}
	case "answer":
		if r.mood == done {
			switch string(field(r.ResponseObject, "status", "allowed")) {
			case "true":
				x.say("yes", "可以")
			case "false":
				x.say("no", "不可以")
			}
		}
	case "owner":
		if r.mood != done {
			return
		}
		if user := field(r.ResponseObject, "status", "user", "username"); len(user) > 0 {
			x.name(user)
		} else if string(field(r.ResponseObject, "kind")) == "TokenReview" {
			x.say("that it is not valid", "该令牌无效")
		}
	case "role":
		x.name(field(r.RequestObject, "roleRef", "kind"))
		x.words(" ")
		x.name(field(r.RequestObject, "roleRef", "name"))
	case "grantee":
		x.name(field(r.RequestObject, "subjects", "^", "kind"))
		x.words(" ")
		x.name(field(r.RequestObject, "subjects", "^", "name"))
		if several(r.RequestObject, "subjects") {
			x.say(" and others", "等")
		}
	case "about":
		x.name(field(r.RequestObject, "reason"))
		for _, key := range [...]string{"involvedObject", "regarding"} {
			if kind := field(r.RequestObject, key, "kind"); kind != nil {
				x.say(", about ", "，关于")
				x.name(kind)
				x.words(" ")
				x.name(field(r.RequestObject, key, "name"))
				return
			}
		}
	}
}

// question appends what an access review asks: a verb and what it would be done to.
func (x *Explainer) question(spec []byte) {
	verb := field(spec, "spec", "nonResourceAttributes", "verb")
	if path := field(spec, "spec", "nonResourceAttributes", "path"); path != nil && x.zh {
		x.words("对")
		x.name(path)
		x.words("执行")
		x.name(verb)
		return
	} else if path != nil {
		x.name(verb)
		x.words(" ")
		x.name(path)
		return
	}
	get := func(key string) []byte { return field(spec, "spec", "resourceAttributes", key) }
	if x.zh {
		x.words("对")
		if ns := get("namespace"); len(ns) > 0 {
			x.name(ns)
			x.words("命名空间中的")
		}
	} else {
		x.name(get("verb"))
		x.words(" ")
	}
	out := append(x.scratch[:0], get("resource")...)
	if sub := get("subresource"); sub != nil {
		out = append(append(out, '/'), sub...)
	}
	if group := get("group"); len(group) > 0 {
		out = append(append(out, '.'), group...)
	}
	x.scratch = out
	x.name(out)
	if name := get("name"); len(name) > 0 {
		x.words(" ")
		x.name(name)
	}
	if x.zh {
		x.words("执行")
		x.name(get("verb"))
	} else if ns := get("namespace"); len(ns) > 0 {
		x.words(" in ")
		x.name(ns)
	}
}

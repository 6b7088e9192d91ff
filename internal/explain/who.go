package explain

import (
	"bytes"
	"unicode/utf8"

	"kubetrail/audit"
	"kubetrail/internal/subject"
)

// who appends the subject of the sentence: who sent the request, and as whom.
func (x *Explainer) who(r *request) {
	name := r.Text[audit.Username]
	if len(name) == 0 && r.Code == 401 {
		x.say("A client without valid credentials", "没有有效凭据的客户端")
		return
	}
	x.subject(name, true)
	as, groups := r.Text[audit.ImpersonatedUsername], r.Text[audit.ImpersonatedGroups]
	if len(as) == 0 && len(groups) == 0 {
		return
	}
	x.say(", acting as ", "以")
	if len(as) > 0 {
		x.subject(as, false)
	} else {
		x.say("somebody without a name", "无名用户")
	}
	x.more(r, groups, as)
	x.say(",", "的身份")
}

// subject appends somebody by the user name, at the beginning of the sentence or inside
// it.
func (x *Explainer) subject(name []byte, begin bool) {
	k := append(x.key[:0], name...)
	if begin {
		k = append(k, 0)
	}
	x.key = k
	s, ok := x.subjects.get(k)
	if !ok {
		w := Explainer{writer: writer{zh: x.zh}}
		w.describe(name)
		if begin && !x.zh && isPhrase(subject.Of(string(name)).Kind) {
			w.b[0] -= 'a' - 'A'
		}
		s = string(w.b)
		x.subjects.put(k, s)
	}
	if isPhrase(subject.Of(string(name)).Kind) {
		x.words(s)
		return
	}
	x.apart()
	x.b = append(x.b, s...)
	x.named = x.zh && s[len(s)-1] >= utf8.RuneSelf
}

// isPhrase tells the subjects that are named with words of ours first.
func isPhrase(k subject.Kind) bool { return k != subject.Person }

// describe appends somebody by the user name.
func (x *Explainer) describe(name []byte) {
	switch s := subject.Of(string(name)); s.Kind {
	case subject.Unknown:
		x.say("somebody unknown", "未知用户")
	case subject.Anonymous:
		x.say("an anonymous client", "匿名客户端")
	case subject.ServiceAccount:
		x.say("service account ", "服务账号")
		x.name([]byte(s.Namespace + "/" + s.Name))
	case subject.Node:
		x.say("node ", "节点")
		x.name([]byte(s.Name))
	case subject.ControlPlane:
		x.say("the control plane's ", "控制平面的")
		x.name([]byte(s.Name))
	case subject.Bootstrap:
		x.say("bootstrap token ", "引导令牌")
		x.name([]byte(s.Name))
	default:
		x.name(name)
	}
}

// more appends uid and groups that are impersonated, where they say more than the name.
func (x *Explainer) more(r *request, groups, as []byte) {
	mark := len(x.b)
	next := func(en, zh string) {
		if len(x.b) == mark {
			x.say(" (", "（")
		} else {
			x.say(", ", "，")
		}
		x.say(en, zh)
	}
	if uid := r.Text[audit.ImpersonatedUID]; len(uid) > 0 {
		next("uid ", "uid ")
		x.name(uid)
	}
	n := 0
	eachString(groups, func(group []byte) {
		if implied(group) {
			return
		}
		if n++; n > 3 {
			return
		}
		next("group ", "组")
		x.name(group)
	})
	if n > 3 {
		x.say(", and more", "等")
	}
	if len(x.b) > mark {
		x.say(")", "）")
	}
}

// implied tells the groups that everybody is in, or every service account.
func implied(group []byte) bool {
	return string(group) == "system:authenticated" || bytes.HasPrefix(group, []byte("system:serviceaccounts"))
}

// eachString calls f for each string of a JSON list of strings.
func eachString(list []byte, f func([]byte)) {
	for i := space(list, 0) + 1; i < len(list); i++ {
		if list[i] != '"' {
			continue
		}
		end := skipString(list, i)
		if end < 0 {
			return
		}
		f(unescape(list[i+1 : end-1]))
		i = end - 1
	}
}

// origin appends from where the request came, and with which program.
func (x *Explainer) origin(r *request) {
	last, claimed, n := addresses(r.Text[audit.SourceIPs])
	agent := r.Text[audit.UserAgent]
	if n == 0 && len(agent) == 0 {
		return
	}
	x.say(" ", "")
	if n > 0 {
		x.say("From ", "来自")
		x.name(last)
		switch {
		case n > 1:
			x.say(", which claims to pass on for ", "，自称转发自")
			x.name(claimed)
		case r.Form == audit.FormLegacy:
			x.say(" (perhaps only claimed)", "（可能只是自称）")
		}
	}
	switch {
	case len(agent) > 0 && n > 1:
		x.say(", with ", "，使用")
	case len(agent) > 0 && n > 0:
		x.say(" with ", "，使用")
	case len(agent) > 0:
		x.say("With ", "使用")
	}
	if len(agent) > 0 {
		x.tool(agent)
	}
	x.say(".", "。")
}

// addresses returns the last address of sourceIPs, which is the only one that the API
// server saw itself, the first, which the client may have made up, and how many there
// are.
func addresses(list []byte) (last, first []byte, n int) {
	eachString(list, func(ip []byte) {
		if last = ip; n == 0 {
			first = ip
		}
		n++
	})
	return last, first, n
}

// tool appends the program that a user agent names.
func (x *Explainer) tool(agent []byte) {
	s, ok := x.tools.get(agent)
	if !ok {
		w := writer{zh: x.zh}
		name, version := subject.Tool(string(agent))
		w.name([]byte(name))
		if version != "" {
			w.words(" ")
			w.name([]byte(version))
		}
		s = string(w.b)
		x.tools.put(agent, s)
	}
	x.apart()
	x.b = append(x.b, s...)
}

package explain

import (
	"bytes"
	"strconv"

	"kubetrail/audit"
	"kubetrail/internal/refusal"
	"kubetrail/internal/schema"
)

// cause is why a request failed, as far as the event says it.
type cause uint8

const (
	noCause            cause = iota
	failed                   // with the code, and nothing more to say
	credentials              // 401
	noRule                   // no authorizer allows it
	denied                   // the authorizer says why
	unsaid                   // refused, and the event does not say why
	impersonation            // not allowed to act as somebody else
	podSecurity              // Pod Security admission
	overQuota                // resource quota
	terminating              // the namespace is being deleted
	webhook                  // an admission webhook refused
	admissionPolicy          // a ValidatingAdmissionPolicy refused
	forbidden                // refused after authorization, with words of its own
	missing                  // it does not exist
	missingOther             // something else that is named does not exist
	noSuchResource           // the API server has no such resource
	exists                   // it exists already
	stale                    // it was changed meanwhile
	otherObject              // the uid does not fit
	fieldConflict            // server-side apply: fields belong to others
	conflict                 // 409 of another make
	expired                  // the version or page is no longer kept
	invalid                  // 422
	malformed                // 400
	badMethod                // 405
	unacceptable             // 406
	tooLarge                 // 413
	mediaType                // 415
	budget                   // PodDisruptionBudget
	throttled                // 429
	timeout                  // 408, 504
	internal                 // 500
	webhookUnreachable       // 500: a webhook could not be called
	unavailable              // 502, 503
	aborted                  // stage Panic: the connection was cut
	panicked                 // stage Panic
	redirected               // 3xx
	notReady                 // 500 of a health check
)

// refused reports whether somebody decided that the request must not be, rather than it
// could not be.
func (c cause) refused() bool { return c >= credentials && c <= forbidden }

var causes = map[int32]cause{
	400: malformed, 401: credentials, 405: badMethod, 406: unacceptable, 408: timeout, 410: expired,
	413: tooLarge, 415: mediaType, 422: invalid, 429: throttled, 500: internal, 502: unavailable, 503: unavailable, 504: timeout,
}

// causeOf tells why a request failed, and what the API server says about it that is worth
// repeating.
func causeOf(r *request) (cause, []byte) {
	m := r.Text[audit.Message]
	if string(r.Text[audit.Stage]) == "Panic" {
		said, _ := bytes.CutPrefix(m, []byte("APIServer panic'd: "))
		if string(said) == "net/http: abort Handler" {
			return aborted, nil
		}
		return panicked, said
	}
	switch {
	case r.Code == 403 || string(r.Text[audit.Decision]) == "forbid":
		return forbiddenBecause(r, m)
	case r.Code == 404:
		return missingBecause(r, m)
	case r.Code == 409:
		return conflictBecause(m)
	case r.Code == 429 && bytes.Contains(m, []byte("disruption budget")):
		return budget, nil
	case r.Code == 422 && bytes.Contains(m, []byte("ValidatingAdmissionPolicy '")), bytes.HasPrefix(m, []byte("admission webhook ")):
		return forbiddenBecause(r, m)
	case r.Code == 422:
		if _, rest, ok := bytes.Cut(m, []byte(" is invalid: ")); ok {
			return invalid, rest
		}
	case r.Code == 500 && bytes.Contains(m, []byte(`failed calling webhook "`)):
		_, rest, _ := bytes.Cut(m, []byte(`failed calling webhook "`))
		name, _, _ := bytes.Cut(rest, []byte{'"'})
		return webhookUnreachable, name
	case r.Code == 500 && len(m) == 0 && len(r.resource) > 0:
		return failed, nil // the backend of an aggregated API, perhaps
	case r.Code == 500:
		return internal, bytes.TrimPrefix(m, []byte("Internal error occurred: "))
	case r.Code >= 300 && r.Code < 400:
		return redirected, nil
	}
	if c := causes[r.Code]; c != noCause {
		return c, m
	}
	return failed, m
}

// forbiddenBecause takes a 403 apart: the authorizer's, or one of admission.
func forbiddenBecause(r *request, m []byte) (cause, []byte) {
	rest := m
	if _, after, ok := bytes.Cut(m, []byte("forbidden: ")); ok {
		rest = after
	}
	if len(m) == 0 && len(r.Text[audit.Decision]) == 0 {
		return unsaid, nil
	}
	if refusal.OfImpersonation(r.Event) {
		return impersonation, target(m)
	}
	if string(r.Text[audit.Decision]) == "forbid" || bytes.HasPrefix(rest, []byte(`User "`)) && string(r.Text[audit.Decision]) == "" {
		if why := r.Text[audit.Reason]; len(why) > 0 {
			return denied, why
		}
		if why := saidBehind(rest); len(why) > 0 {
			return denied, why
		}
		return noRule, nil
	}
	switch {
	case bytes.HasPrefix(rest, []byte("violates PodSecurity ")):
		return podSecurity, bytes.TrimPrefix(rest, []byte("violates PodSecurity "))
	case bytes.HasPrefix(rest, []byte("exceeded quota: ")):
		return overQuota, bytes.TrimPrefix(rest, []byte("exceeded quota: "))
	case bytes.HasPrefix(rest, []byte("unable to create new content in namespace ")) && bytes.HasSuffix(rest, []byte("because it is being terminated")):
		return terminating, nil
	case bytes.HasPrefix(rest, []byte("ValidatingAdmissionPolicy '")):
		return admissionPolicy, bytes.TrimPrefix(rest, []byte("ValidatingAdmissionPolicy "))
	case bytes.HasPrefix(m, []byte(`admission webhook "`)):
		return webhook, bytes.TrimPrefix(m, []byte("admission webhook "))
	case len(m) == 0:
		return failed, nil
	}
	return forbidden, rest
}

// saidBehind returns what an authorizer had to say, at the end of the message of a 403.
func saidBehind(rest []byte) []byte {
	if _, why, ok := bytes.Cut(rest, []byte("at the cluster scope: ")); ok {
		return why
	}
	if _, why, ok := bytes.Cut(rest, []byte(` in the namespace "`)); ok {
		_, why, _ = bytes.Cut(why, []byte(`": `))
		return why
	}
	return nil
}

// target returns whom the client wanted to be, where the message of a refused
// impersonation names a user: users "bob" is forbidden: …
func target(m []byte) []byte {
	rest, ok := bytes.CutPrefix(m, []byte(`users "`))
	if !ok {
		rest, ok = bytes.CutPrefix(m, []byte(`users.authentication.k8s.io "`))
	}
	if name, _, whole := bytes.Cut(rest, []byte(`" is forbidden: `)); ok && whole {
		return name
	}
	return nil
}

// missingBecause takes a 404 apart: namespaces "kube-system" not found.
func missingBecause(r *request, m []byte) (cause, []byte) {
	what, ok := bytes.CutSuffix(m, []byte(" not found"))
	if bytes.HasPrefix(m, []byte("the server could not find the requested resource")) {
		return noSuchResource, nil
	}
	if !ok {
		if len(r.resource) > 0 && len(r.name) > 0 && len(m) == 0 {
			return missing, nil
		}
		return noSuchResource, m
	}
	i := bytes.Index(what, []byte(` "`))
	if i > 0 && bytes.Equal(bytes.Trim(what[i+1:], `"`), r.name) && bytes.HasPrefix(what, r.resource) {
		return missing, nil
	}
	return missingOther, what
}

// conflictBecause takes a 409 apart.
func conflictBecause(m []byte) (cause, []byte) {
	switch {
	case bytes.HasSuffix(m, []byte(" already exists")):
		return exists, nil
	case bytes.HasPrefix(m, []byte("Apply failed with ")):
		return fieldConflict, m
	case bytes.Contains(m, []byte("the UID in the precondition")) || bytes.Contains(m, []byte("Precondition failed: UID")):
		return otherObject, nil
	case bytes.Contains(m, []byte("the object has been modified")) || bytes.Contains(m, []byte("the ResourceVersion in the precondition")) ||
		bytes.Contains(m, []byte("Precondition failed: ResourceVersion")):
		return stale, nil
	}
	return conflict, m
}

// outcome appends what came of the request, where that is not said by the verb.
func (x *Explainer) outcome(r *request) {
	switch {
	case r.mood == asks:
		x.say("; the outcome is not known yet", "，结果尚不可知")
	case r.mood == unknown:
		x.say("; the outcome is not recorded", "，结果未被记录")
	case r.mood == tried && r.refusal.refused():
		x.say(" and was refused: ", "，被拒绝：")
		x.refused(r)
	case r.mood == tried:
		x.say(", but ", "，但")
		x.failed(r)
	case r.refusal == notReady:
		x.say("; the answer was no", "，答复为否")
	case r.Code == 304:
		x.say("; nothing had changed", "，内容没有变化")
	case string(r.Text[audit.Message]) == "Connection closed early":
		x.say("; the connection was closed early", "，连接被提前关闭")
	}
}

// refused appends who or what refused the request, and why.
func (x *Explainer) refused(r *request) {
	switch m := r.reason; r.refusal {
	case credentials:
		if len(r.Text[audit.Username]) > 0 {
			x.say("the credentials are not accepted", "凭据不被接受")
		} else {
			x.say("authentication failed", "身份验证失败")
		}
	case noRule:
		x.say("no RBAC rule allows it", "没有任何 RBAC 规则允许")
	case unsaid:
		x.say("the event does not say why", "事件未记录原因")
	case denied:
		x.message(m)
	case impersonation:
		if len(m) > 0 {
			x.say("no RBAC rule allows acting as ", "没有任何 RBAC 规则允许以")
			x.name(m)
			x.say("", "的身份行事")
		} else {
			x.say("no RBAC rule allows doing this as somebody else", "没有任何 RBAC 规则允许以他人身份这样做")
		}
	case podSecurity:
		level, what, _ := bytes.Cut(m, []byte(": "))
		level = bytes.Trim(level, `"`)
		x.say("it violates Pod Security ", "违反 Pod Security ")
		x.name(level)
		x.say(": ", "：")
		x.message(what)
	case overQuota:
		name, what, _ := bytes.Cut(m, []byte(", "))
		x.say("it exceeds ResourceQuota ", "超出 ResourceQuota ")
		x.name(name)
		if len(what) > 0 {
			x.say(": ", "：")
			x.message(what)
		}
	case terminating:
		x.say("Namespace ", "命名空间")
		x.name(r.namespace)
		x.say(" is being deleted", "正在被删除")
	case webhook:
		name, what, _ := bytes.Cut(bytes.TrimPrefix(m, []byte{'"'}), []byte(`" denied the request`))
		x.say("admission webhook ", "准入 webhook ")
		x.name(name)
		x.say(" denied it", "不允许")
		if what = bytes.TrimPrefix(what, []byte(": ")); len(what) > 0 && !bytes.HasPrefix(what, []byte(" without explanation")) {
			x.say(": ", "：")
			x.message(what)
		}
	case admissionPolicy:
		name, what, _ := bytes.Cut(bytes.TrimPrefix(m, []byte{'\''}), []byte{'\''})
		x.say("ValidatingAdmissionPolicy ", "ValidatingAdmissionPolicy ")
		x.name(name)
		x.say(" denied it", "不允许")
		if _, what, ok := bytes.Cut(what, []byte("denied request: ")); ok {
			x.say(": ", "：")
			x.message(what)
		}
	default:
		x.message(m)
	}
}

// plainCauses are those that need no words of the API server.
var plainCauses = map[cause][2]string{
	missing:        {"it does not exist", "该对象不存在"},
	noSuchResource: {"the API server has nothing there", "API server 上没有该资源"},
	exists:         {"it already exists", "该对象已存在"},
	stale:          {"it had been changed in the meantime", "该对象在此期间已被修改"},
	otherObject:    {"it is another object by now (the UID differs)", "该对象已不是原来那个（UID 不符）"},
	expired:        {"the version asked for is no longer kept", "所请求的版本已过期"},
	badMethod:      {"the API server does not allow this there", "API server 不支持此操作"},
	unacceptable:   {"the API server cannot answer in a format that the client accepts", "API server 无法以客户端接受的格式应答"},
	tooLarge:       {"the request is too large", "请求体过大"},
	mediaType:      {"the API server does not know the format of the request", "API server 不支持请求体的格式"},
	budget:         {"the disruption budget does not allow it now", "干扰预算目前不允许"},
	throttled:      {"the API server had too much to do", "API server 过于繁忙，请求被限流"},
	timeout:        {"it took too long", "请求超时"},
	aborted:        {"the answer broke off", "应答中途中断"},
	redirected:     {"was sent elsewhere", "被重定向到别处"},
}

// failed appends what went wrong.
func (x *Explainer) failed(r *request) {
	m := r.reason
	if p, ok := plainCauses[r.refusal]; ok {
		x.words(pick(x.zh, p[1], p[0]))
		return
	}
	said := func() {
		if len(m) > 0 {
			x.say(": ", "：")
			x.message(m)
		}
	}
	switch r.refusal {
	case missingOther:
		what, name, _ := bytes.Cut(m, []byte(" "))
		resource, group, _ := bytes.Cut(what, []byte("."))
		if kind := schema.Find(string(group), string(resource)); kind != nil {
			x.words(kind.Kind)
		} else {
			x.name(what)
		}
		if name = bytes.Trim(name, `"`); len(name) > 0 {
			x.words(" ")
			x.name(name)
		}
		x.say(" does not exist", "不存在")
	case fieldConflict:
		x.fieldConflict(m)
	case conflict:
		x.say("it conflicts with what is there", "与现状冲突")
		said()
	case invalid:
		x.say("it is not valid", "内容无效")
		said()
	case malformed:
		x.say("the request is malformed", "请求有误")
		said()
	case internal:
		x.say("the API server failed", "API server 内部出错")
		said()
	case webhookUnreachable:
		x.say("admission webhook ", "准入 webhook ")
		x.name(m)
		x.say(" could not be asked", "无法调用")
	case unavailable:
		x.say("the service behind it was not available", "提供该 API 的服务不可用")
		said()
	case panicked:
		x.say("the API server panicked", "API server 发生 panic")
		said()
	default:
		x.say("it failed with code ", "失败了，状态码")
		x.number(int64(r.Code))
		said()
	}
}

// fieldConflict appends who has the fields that an apply would have taken:
//
//	Apply failed with 2 conflicts: conflicts with "alice-mgr":
//	- .data.color
func (x *Explainer) fieldConflict(m []byte) {
	_, rest, _ := bytes.Cut(m, []byte(`with "`))
	manager, rest, ok := bytes.Cut(rest, []byte{'"'})
	if !ok {
		x.say("other managers own some of the fields", "部分字段由其他管理者持有")
		return
	}
	n := bytes.Count(rest, []byte("\n- "))
	if _, other, several := bytes.Cut(rest, []byte(`with "`)); several {
		other, _, _ = bytes.Cut(other, []byte{'"'})
		x.say("field managers ", "字段管理者")
		x.name(manager)
		x.say(" and ", "、")
		x.name(other)
		x.say(" own some of the fields", "等持有其中的字段")
		return
	}
	x.say("field manager ", "字段管理者")
	x.name(manager)
	if n == 0 {
		x.say(" owns some of the fields", "持有其中的字段")
		return
	}
	x.say(" owns ", "持有")
	for i, shown := 0, 0; i < n; i++ {
		var line []byte
		_, rest, _ = bytes.Cut(rest, []byte("\n- "))
		line, _, _ = bytes.Cut(rest, []byte{'\n'})
		if shown++; shown > 3 {
			x.words(x.pick(" and "+strconv.Itoa(n-3)+" more fields", "等 "+strconv.Itoa(n)+" 个字段"))
			return
		}
		if i > 0 {
			x.say(", ", "、")
		}
		x.name(line)
	}
}

// Package refusal tells why a request was refused: by RBAC, by admission, because acting
// as somebody else is not allowed, or because nobody knows who sent it.
package refusal

import (
	"bytes"
	"regexp"
	"strings"

	"kubetrail/audit"
)

// Cause is who refused a request.
type Cause string

// The causes of refusals.
const (
	RBAC          Cause = "rbac"             // no authorizer allows it
	Impersonation Cause = "impersonation"    // acting as somebody else is not allowed
	Login         Cause = "authentication"   // 401: nobody knows who sent it
	PodSecurity   Cause = "podSecurity"      // Pod Security admission
	Policy        Cause = "admissionPolicy"  // a ValidatingAdmissionPolicy
	Webhook       Cause = "webhook"          // an admission webhook
	Quota         Cause = "quota"            // a ResourceQuota, or a LimitRange
	Terminating   Cause = "terminating"      // the namespace is being deleted
	Budget        Cause = "disruptionBudget" // a PodDisruptionBudget does not let a pod be evicted
	Overload      Cause = "overload"         // 429: priority and fairness, or too many requests
	Escalation    Cause = "escalation"       // RBAC: nobody may grant what they do not have
	Node          Cause = "nodeRestriction"  // a node may touch its own objects only
	Admission     Cause = "admission"        // another admission plugin
	Backend       Cause = "backend"          // what the request was passed on to refused it
	Unknown       Cause = "unknown"          // the event does not tell
)

// Columns are what Of needs of an event.
var Columns = audit.Set(audit.Code, audit.Message, audit.Decision, audit.Username, audit.Resource, audit.Subresource, audit.Verb)

// Refused is why a request was refused.
type Refused struct {
	Cause  Cause
	Detail string // the name of the policy, webhook or standard, where the event has it
}

// Of tells why a request was refused; Cause is empty where it was not.
func Of(e *audit.Event) Refused {
	message := string(e.Text[audit.Message])
	switch {
	case e.Code == 401:
		return Refused{Cause: Login}
	case e.Code == 429:
		if strings.Contains(message, "disruption budget") {
			return Refused{Cause: Budget}
		}
		return Refused{Cause: Overload}
	case e.Code == 422:
		// A ValidatingAdmissionPolicy answers so; most other 422 are invalid objects.
		if name, ok := quotedAfter(message, " is forbidden: ValidatingAdmissionPolicy '", "'"); ok {
			return Refused{Policy, name}
		}
		return Refused{}
	case strings.HasPrefix(message, "admission webhook \""):
		// A webhook chooses its code.
		if name, ok := quotedAfter(message, "admission webhook \"", "\""); ok && e.Code >= 400 && strings.Contains(message, "denied the request") {
			return Refused{Webhook, name}
		}
	}
	if e.Code != 403 {
		return Refused{}
	}
	if OfImpersonation(e) {
		return Refused{Cause: Impersonation}
	}
	if string(e.Text[audit.Decision]) == "forbid" {
		return Refused{Cause: RBAC}
	}
	return admission(e, message)
}

// impersonating is how the message of a 403 begins where acting as somebody else was
// refused, of a resource and of any other path. Names stand in it quoted, but not that
// of the resource, which a client may choose so that it reads like this message.
var impersonating = [2]*regexp.Regexp{
	regexp.MustCompile(`^[a-z0-9./-]+(?: "(?:[^"\\]|\\.)*")? is forbidden: User "(?:[^"\\]|\\.)*" cannot impersonate[^ ]* resource "`),
	regexp.MustCompile(`^forbidden: User "(?:[^"\\]|\\.)*" cannot impersonate[^ ]* path "`),
}

// OfImpersonation tells whether a 403 says that acting as somebody else is not allowed.
func OfImpersonation(e *audit.Event) bool {
	m := e.Text[audit.Message]
	return bytes.Contains(m, []byte(`" cannot impersonate`)) && (impersonating[0].Match(m) || len(e.Text[audit.Resource]) == 0 && impersonating[1].Match(m))
}

// admission tells which plugin refused what the authorizer allowed.
func admission(e *audit.Event, message string) Refused {
	switch {
	case strings.Contains(message, "violates PodSecurity \""):
		level, _ := quotedAfter(message, "violates PodSecurity \"", "\"")
		return Refused{PodSecurity, level}
	case strings.Contains(message, "ValidatingAdmissionPolicy '"):
		name, _ := quotedAfter(message, "ValidatingAdmissionPolicy '", "'")
		return Refused{Policy, name}
	case strings.Contains(message, "admission webhook \""):
		name, _ := quotedAfter(message, "admission webhook \"", "\"")
		return Refused{Webhook, name}
	case strings.Contains(message, "exceeded quota: "), strings.Contains(message, "failed quota: "):
		_, rest, _ := strings.Cut(message, "quota: ")
		name, _, _ := strings.Cut(rest, ":")
		name, _, _ = strings.Cut(name, ",")
		return Refused{Quota, name}
	case strings.Contains(message, " usage per "), strings.Contains(message, "is forbidden: minimum "), strings.Contains(message, "is forbidden: maximum "):
		return Refused{Quota, "LimitRange"}
	case strings.Contains(message, "because it is being terminated"):
		return Refused{Cause: Terminating}
	case strings.Contains(message, "attempting to grant RBAC permissions not currently held"):
		return Refused{Cause: Escalation}
	case bytes.HasPrefix(e.Text[audit.Username], []byte("system:node:")) && strings.Contains(message, "node \""):
		return Refused{Cause: Node}
	case string(e.Text[audit.Decision]) == "":
		return Refused{Cause: Unknown}
	case message == "" && Proxied(e):
		return Refused{Cause: Backend}
	case strings.Contains(message, "is forbidden"):
		return Refused{Cause: Admission}
	}
	return Refused{Cause: Unknown}
}

// Proxied tells the requests that a node, a service or a pod answered.
func Proxied(e *audit.Event) bool {
	switch string(e.Text[audit.Subresource]) {
	case "proxy", "exec", "attach", "portforward", "log":
		return true
	}
	return string(e.Text[audit.Verb]) == "proxy"
}

// quotedAfter is what stands between two marks.
func quotedAfter(text, before, after string) (string, bool) {
	_, rest, ok := strings.Cut(text, before)
	if !ok {
		return "", false
	}
	name, _, ok := strings.Cut(rest, after)
	return name, ok
}

// Why names the refusal in one text, by which refusals are counted together.
func (r Refused) Why() string {
	if r.Detail != "" {
		return string(r.Cause) + ":" + r.Detail
	}
	return string(r.Cause)
}

// Text says for people a refusal as Why names it.
func Text(why string, chinese bool) string {
	cause, detail, _ := strings.Cut(why, ":")
	en, zh := "", ""
	switch Cause(cause) {
	case RBAC:
		en, zh = "no RBAC rule allows it", "没有 RBAC 规则允许"
	case Impersonation:
		en, zh = "acting as somebody else is not allowed", "不允许扮演其他用户"
	case Login:
		en, zh = "authentication failed (401)", "身份认证失败（401）"
	case PodSecurity:
		en, zh = "it violates Pod Security", "违反 Pod Security"
	case Policy:
		en, zh = "a ValidatingAdmissionPolicy denies it", "被 ValidatingAdmissionPolicy 拒绝"
	case Webhook:
		en, zh = "an admission webhook denies it", "被准入 webhook 拒绝"
	case Quota:
		en, zh = "it exceeds a quota", "超出配额"
	case Terminating:
		en, zh = "the namespace is being deleted", "命名空间正在删除"
	case Budget:
		en, zh = "a PodDisruptionBudget does not allow it", "PodDisruptionBudget 不允许"
	case Overload:
		en, zh = "too many requests (429)", "请求过多（429）"
	case Escalation:
		en, zh = "it would grant what they do not have themselves", "试图授予自己没有的权限"
	case Node:
		en, zh = "a node may touch its own objects only", "节点只能操作自己的对象"
	case Admission:
		en, zh = "an admission plugin denies it", "被准入插件拒绝"
	case Backend:
		en, zh = "what it was passed on to refused it", "被转发到的后端拒绝"
	default:
		en, zh = "the event does not tell why", "事件没有说明原因"
	}
	if chinese {
		en = zh
	}
	if detail != "" {
		en += " (" + detail + ")"
	}
	return en
}

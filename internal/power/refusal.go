package power

import (
	"bytes"
	"encoding/json"
	"strings"

	"kubetrail/audit"
)

// Cause is who refused a request.
type Cause string

// The causes of refusals.
const (
	CauseRBAC          Cause = "rbac"             // no authorizer allows it
	CauseImpersonation Cause = "impersonation"    // acting as somebody else is not allowed
	CauseLogin         Cause = "authentication"   // 401: nobody knows who sent it
	CausePodSecurity   Cause = "podSecurity"      // Pod Security admission
	CausePolicy        Cause = "admissionPolicy"  // a ValidatingAdmissionPolicy
	CauseWebhook       Cause = "webhook"          // an admission webhook
	CauseQuota         Cause = "quota"            // a ResourceQuota, or a LimitRange
	CauseTerminating   Cause = "terminating"      // the namespace is being deleted
	CauseBudget        Cause = "disruptionBudget" // a PodDisruptionBudget does not let a pod be evicted
	CauseOverload      Cause = "overload"         // 429: priority and fairness, or too many requests
	CauseEscalation    Cause = "escalation"       // RBAC: nobody may grant what they do not have
	CauseNode          Cause = "nodeRestriction"  // a node may touch its own objects only
	CauseAdmission     Cause = "admission"        // another admission plugin
	CauseBackend       Cause = "backend"          // what the request was passed on to refused it
	CauseUnknown       Cause = "unknown"          // the event does not tell
)

// Refused is why a request was refused.
type Refused struct {
	Cause  Cause
	Detail string // the name of the policy, webhook or standard, where the event has it
}

// Refusal tells why a request was refused; Cause is empty where it was not.
func Refusal(e *audit.Event) Refused {
	message := string(e.Text[audit.Message])
	switch {
	case e.Code == 401:
		return Refused{Cause: CauseLogin}
	case e.Code == 429:
		if strings.Contains(message, "disruption budget") {
			return Refused{Cause: CauseBudget}
		}
		return Refused{Cause: CauseOverload}
	case e.Code == 422:
		// A ValidatingAdmissionPolicy answers so; most other 422 are invalid objects.
		if name, ok := quotedAfter(message, "ValidatingAdmissionPolicy '", "'"); ok {
			return Refused{CausePolicy, name}
		}
		return Refused{}
	case strings.HasPrefix(message, "admission webhook \""):
		// A webhook chooses its code.
		if name, ok := quotedAfter(message, "admission webhook \"", "\""); ok && e.Code >= 400 && strings.Contains(message, "denied the request") {
			return Refused{CauseWebhook, name}
		}
	}
	if e.Code != 403 {
		return Refused{}
	}
	if strings.Contains(message, " cannot impersonate") {
		return Refused{Cause: CauseImpersonation}
	}
	if string(e.Text[audit.Decision]) == "forbid" {
		return Refused{Cause: CauseRBAC}
	}
	return admission(e, message)
}

// admission tells which plugin refused what the authorizer allowed.
func admission(e *audit.Event, message string) Refused {
	switch {
	case strings.Contains(message, "violates PodSecurity \""):
		level, _ := quotedAfter(message, "violates PodSecurity \"", "\"")
		return Refused{CausePodSecurity, level}
	case strings.Contains(message, "ValidatingAdmissionPolicy '"):
		name, _ := quotedAfter(message, "ValidatingAdmissionPolicy '", "'")
		return Refused{CausePolicy, name}
	case strings.Contains(message, "admission webhook \""):
		name, _ := quotedAfter(message, "admission webhook \"", "\"")
		return Refused{CauseWebhook, name}
	case strings.Contains(message, "exceeded quota: "), strings.Contains(message, "failed quota: "):
		_, rest, _ := strings.Cut(message, "quota: ")
		name, _, _ := strings.Cut(rest, ":")
		name, _, _ = strings.Cut(name, ",")
		return Refused{CauseQuota, name}
	case strings.Contains(message, " usage per "), strings.Contains(message, "is forbidden: minimum "), strings.Contains(message, "is forbidden: maximum "):
		return Refused{CauseQuota, "LimitRange"}
	case strings.Contains(message, "because it is being terminated"):
		return Refused{Cause: CauseTerminating}
	case strings.Contains(message, "attempting to grant RBAC permissions not currently held"):
		return Refused{Cause: CauseEscalation}
	case bytes.HasPrefix(e.Text[audit.Username], []byte("system:node:")) && strings.Contains(message, "node \""):
		return Refused{Cause: CauseNode}
	case string(e.Text[audit.Decision]) == "":
		return Refused{Cause: CauseUnknown}
	case message == "" && proxied(e):
		return Refused{Cause: CauseBackend}
	case strings.Contains(message, "is forbidden"):
		return Refused{Cause: CauseAdmission}
	}
	return Refused{Cause: CauseUnknown}
}

// proxied tells the requests that a node, a service or a pod answered.
func proxied(e *audit.Event) bool {
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

// sayWhy says a refusal for people.
func sayWhy(why string, chinese bool) string {
	cause, detail, _ := strings.Cut(why, ":")
	en, zh := "", ""
	switch Cause(cause) {
	case CauseRBAC:
		en, zh = "no RBAC rule allows it", "没有 RBAC 规则允许"
	case CauseImpersonation:
		en, zh = "acting as somebody else is not allowed", "不允许扮演其他用户"
	case CauseLogin:
		en, zh = "authentication failed (401)", "身份认证失败（401）"
	case CausePodSecurity:
		en, zh = "it violates Pod Security", "违反 Pod Security"
	case CausePolicy:
		en, zh = "a ValidatingAdmissionPolicy denies it", "被 ValidatingAdmissionPolicy 拒绝"
	case CauseWebhook:
		en, zh = "an admission webhook denies it", "被准入 webhook 拒绝"
	case CauseQuota:
		en, zh = "it exceeds a quota", "超出配额"
	case CauseTerminating:
		en, zh = "the namespace is being deleted", "命名空间正在删除"
	case CauseBudget:
		en, zh = "a PodDisruptionBudget does not allow it", "PodDisruptionBudget 不允许"
	case CauseOverload:
		en, zh = "too many requests (429)", "请求过多（429）"
	case CauseEscalation:
		en, zh = "it would grant what they do not have themselves", "试图授予自己没有的权限"
	case CauseNode:
		en, zh = "a node may touch its own objects only", "节点只能操作自己的对象"
	case CauseAdmission:
		en, zh = "an admission plugin denies it", "被准入插件拒绝"
	case CauseBackend:
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

// object decodes a body that was recorded, nil where it was not or is no object.
func object(body []byte) map[string]any {
	if len(body) == 0 || len(body) > maxBody {
		return nil
	}
	var m map[string]any
	if json.Unmarshal(body, &m) != nil {
		return nil
	}
	return m
}

// maxBody is the largest body that is decoded: a role or a pod is never so large.
const maxBody = 3 << 20

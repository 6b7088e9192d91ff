package answer

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"kubetrail/internal/output"
	"kubetrail/internal/schema"
	"kubetrail/internal/tally"
)

// A deed is what requests have in common that one sentence tells of.
type deed struct {
	verb, group, resource, sub string
	namespace                  string
	path                       string // of requests that are not about a resource
	names                      []string
	named                      int  // how many different names there are
	atLeast                    bool // there are more
	unnamed                    bool // some requests named none
	count                      int
	code                       int32
	dryRun                     bool // nothing was done
}

// wording is how a verb is said: done, tried, and in Chinese, each with %s for what it
// was done to.
type wording struct{ past, base, zh string }

// wordingOf chooses the words for a verb on a resource and a subresource.
func wordingOf(verb, resource, sub string) wording {
	if w, ok := subWording(verb, resource, sub); ok {
		return w
	}
	// What is known as neither anybody may have chosen.
	verb, sub = strings.ReplaceAll(output.Plain(verb, false), "%", "%25"), strings.ReplaceAll(output.Plain(sub, false), "%", "%25")
	w := wording{verb + " %s", verb + " %s", verb + " %s"}
	switch verb {
	case "get":
		w = wording{"read %s", "read %s", "读取 %s"}
	case "list":
		w = wording{"listed %s", "list %s", "列出 %s"}
	case "watch":
		w = wording{"watched %s", "watch %s", "监视 %s"}
	case "create":
		w = wording{"created %s", "create %s", "创建 %s"}
	case "update":
		w = wording{"updated %s", "update %s", "更新 %s"}
	case "patch":
		w = wording{"patched %s", "patch %s", "修改 %s"}
	case "delete":
		w = wording{"deleted %s", "delete %s", "删除 %s"}
	case "deletecollection":
		w = wording{"deleted all %s", "delete all %s", "批量删除 %s"}
	case "head", "options":
		w = wording{"asked for %s", "ask for %s", "探测 %s"}
	case "post":
		w = wording{"posted to %s", "post to %s", "向 %s 提交"}
	case "put":
		w = wording{"wrote to %s", "write to %s", "写入 %s"}
	case "":
		w = wording{"sent an unknown method to %s", "send an unknown method to %s", "以未知方法请求 %s"}
	}
	if sub == "" {
		return w
	}
	return wording{strings.Replace(w.past, "%s", sub+" of %s", 1), strings.Replace(w.base, "%s", sub+" of %s", 1), w.zh + " 的 " + sub}
}

// subWording is how people speak of the well-known subresources.
func subWording(verb, resource, sub string) (wording, bool) {
	read := verb == "get" || verb == "list" || verb == "watch"
	switch {
	case sub == "exec":
		return wording{"ran commands in %s", "run commands in %s", "在 %s 中执行命令"}, true
	case sub == "attach":
		return wording{"attached to %s", "attach to %s", "附着到 %s"}, true
	case sub == "portforward":
		return wording{"forwarded ports of %s", "forward ports of %s", "转发 %s 的端口"}, true
	case sub == "log":
		return wording{"read the log of %s", "read the log of %s", "查看 %s 的日志"}, true
	case sub == "proxy":
		return wording{"reached %s through the API server", "reach %s through the API server", "经 API 服务器代理访问 %s"}, true
	case sub == "eviction":
		return wording{"evicted %s", "evict %s", "驱逐 %s"}, true
	case sub == "binding":
		return wording{"bound %s to a node", "bind %s to a node", "将 %s 绑定到节点"}, true
	case sub == "token" && resource == "serviceaccounts":
		return wording{"requested a token of %s", "request a token of %s", "申请 %s 的令牌"}, true
	case sub == "approval":
		return wording{"approved or denied %s", "approve or deny %s", "批准或拒绝 %s"}, !read
	case sub == "ephemeralcontainers":
		return wording{"put a debug container into %s", "put a debug container into %s", "向 %s 注入调试容器"}, !read
	case sub == "resize":
		return wording{"resized %s", "resize %s", "调整 %s 的资源"}, !read
	case sub == "finalize":
		return wording{"finalized %s", "finalize %s", "清除 %s 的终结器"}, !read
	case sub == "scale" && read:
		return wording{"read the scale of %s", "read the scale of %s", "读取 %s 的副本数"}, true
	case sub == "scale":
		return wording{"scaled %s", "scale %s", "伸缩 %s"}, true
	case sub == "status" && read:
		return wording{"read the status of %s", "read the status of %s", "读取 %s 的状态"}, true
	case sub == "status":
		return wording{"wrote the status of %s", "write the status of %s", "更新 %s 的状态"}, true
	case asks(resource, sub) && resource == "tokenreviews":
		return wording{"had a token checked", "have a token checked", "校验令牌"}, true
	case asks(resource, sub) && resource == "selfsubjectreviews":
		return wording{"asked who they are", "ask who they are", "查询自己的身份"}, true
	case asks(resource, sub) && strings.HasPrefix(resource, "self"):
		return wording{"asked what they may do", "ask what they may do", "查询自己的权限"}, true
	case asks(resource, sub):
		return wording{"asked what others may do", "ask what others may do", "查询他人的权限"}, true
	}
	return wording{}, false
}

// sentence tells what was done, how often and how it ended, without who and when. It is
// safe to print.
func (d *deed) sentence(chinese bool) string {
	if chinese {
		return d.phrase(true) + outcome(d.code, "，被拒绝", "，失败（%d）", "，结果未记录")
	}
	return d.phrase(false) + outcome(d.code, ", refused", ", failed (%d)", ", result not recorded")
}

// phrase is the sentence without how it ended.
func (d *deed) phrase(chinese bool) string {
	w := wordingOf(d.verb, d.resource, d.sub)
	if chinese {
		s := fill(w.zh, d.objectZH())
		if !tally.Succeeded(d.code) {
			s = "尝试" + s
		}
		if d.repeats() {
			s += fmt.Sprintf(" %d 次", d.count)
		}
		return s + either(d.dryRun, "（试运行，未实际执行）", "")
	}
	s := w.past
	if !tally.Succeeded(d.code) {
		s = "tried to " + w.base
	}
	s = fill(s, d.object())
	if d.repeats() {
		s += fmt.Sprintf(" %d times", d.count)
	}
	return s + either(d.dryRun, " (dry run: nothing was done)", "")
}

// repeats reports whether something was done more often than there are objects to do it
// to.
func (d *deed) repeats() bool { return d.count > 1 && (d.unnamed || d.count != d.named) }

// fill puts what into a wording that has a place for it. Chinese characters have no
// spaces between them.
func fill(wording, what string) string {
	before, after, ok := strings.Cut(wording, "%s")
	if !ok || what == "" {
		return wording
	}
	first, _ := utf8.DecodeRuneInString(what)
	last, _ := utf8.DecodeLastRuneInString(what)
	if output.RuneWidth(first) == 2 {
		before = strings.TrimSuffix(before, " ")
	}
	if output.RuneWidth(last) == 2 {
		after = strings.TrimPrefix(after, " ")
	}
	return before + what + after
}

func outcome(code int32, no, failed, unknown string) string {
	switch {
	case code == 0:
		return unknown
	case tally.Refused(code):
		return no
	case !tally.Succeeded(code):
		return fmt.Sprintf(failed, code)
	}
	return ""
}

// shown is how many names a sentence spells out.
const shown = 3

func (d *deed) object() string {
	if d.resource == "" {
		return output.Plain(d.path, false)
	}
	kind, namespaced := kindOf(d.group, d.resource)
	names := d.safeNames()
	var s string
	switch {
	case len(names) == 0 && d.verb == "create" && d.count == 1:
		s = either(strings.ContainsRune("AEIO", rune(kind[0])), "an ", "a ") + kind
	case len(names) == 0:
		s = plural(kind)
	case d.named > len(names):
		s = fmt.Sprintf("%s%d %s", either(d.atLeast, "more than ", ""), d.named, plural(kind))
	case len(names) == 1:
		s = kind + " " + names[0]
	default:
		s = plural(kind) + " " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
	}
	switch {
	case d.namespace != "" && d.resource != "namespaces":
		s += " in " + output.Plain(d.namespace, false)
	case namespaced && d.namespace == "" && len(names) == 0 && d.verb != "create":
		s += " in all namespaces"
	}
	return s
}

func (d *deed) objectZH() string {
	if d.resource == "" {
		return output.Plain(d.path, false)
	}
	kind, namespaced := kindOf(d.group, d.resource)
	names := d.safeNames()
	s := kind
	switch {
	case len(names) == 0:
	case d.named > len(names):
		s = fmt.Sprintf("%s%d 个 %s", either(d.atLeast, "超过 ", ""), d.named, kind)
	default:
		s = kind + " " + strings.Join(names, "、")
	}
	switch {
	case d.namespace != "" && d.resource != "namespaces":
		s = output.Plain(d.namespace, false) + " 命名空间的 " + s
	case namespaced && d.namespace == "" && len(names) == 0 && d.verb != "create":
		return "所有命名空间的 " + s
	}
	return s
}

// safeNames are the names that a sentence spells out, none where some are unknown.
func (d *deed) safeNames() []string {
	if d.unnamed {
		return nil
	}
	var out []string
	for _, n := range d.names[:min(len(d.names), shown)] {
		out = append(out, output.Plain(n, false))
	}
	return out
}

// kindOf is what people call a resource: its kind, or for one that is not built in what
// kubectl would call it.
func kindOf(group, resource string) (kind string, namespaced bool) {
	if r := schema.Find(group, resource); r != nil {
		return r.Kind, r.Namespaced
	}
	if group != "" {
		return output.Plain(resource+"."+group, false), false
	}
	return output.Plain(resource, false), false
}

// plural is the plural of a kind in English; what is written in lower case is one.
func plural(kind string) string {
	switch {
	case kind == "" || kind[0] >= 'a' && kind[0] <= 'z', strings.HasSuffix(kind, "s") && !strings.HasSuffix(kind, "ss"):
		return kind
	case strings.HasSuffix(kind, "ss"):
		return kind + "es"
	case strings.HasSuffix(kind, "cy"), strings.HasSuffix(kind, "ry"), strings.HasSuffix(kind, "ty"):
		return kind[:len(kind)-1] + "ies"
	}
	return kind + "s"
}

func either(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

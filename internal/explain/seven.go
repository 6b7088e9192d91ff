package explain

import (
	"strconv"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
)

// An Answer is one of the seven questions of an audit, or of the two that belong to them,
// and what an event says to it.
type Answer struct {
	Key      string // in JSON: what, when, who, onWhat, observed, from, to, result, decision
	Question string // for people, in their language
	Text     string // safe to show; where the event does not say, why it cannot be known
	Known    bool   // the event says it
}

// cannot begins an answer that is not known.
func cannot(chinese bool, en, zh string) string {
	if chinese {
		return "无法得知：" + zh
	}
	return "cannot know: " + en
}

// Seven answers the seven questions of an audit about e, as Kubernetes documents them:
// what happened, when, who did it, on what, where was it observed, from where did it
// come, and where was it going; then how it ended, and why it was allowed or not. It
// looks at all columns of the event but bodies.
func Seven(e *audit.Event, chinese bool) []Answer {
	s := seven{e: e, zh: chinese}
	s.r.read(e)
	s.what()
	s.when()
	s.who()
	s.onWhat()
	s.observed()
	s.from()
	s.to()
	s.result()
	s.decision()
	return s.answers
}

type seven struct {
	e       *audit.Event
	r       request
	zh      bool
	answers []Answer
}

// add adds an answer, or, where known is empty, why there is none.
func (s *seven) add(key, en, zh, known, whyEN, whyZH string) {
	a := Answer{Key: key, Question: en, Text: known, Known: known != ""}
	if s.zh {
		a.Question = zh
	}
	if !a.Known {
		a.Text = cannot(s.zh, whyEN, whyZH)
	}
	a.Text = output.Plain(a.Text, false)
	s.answers = append(s.answers, a)
}

// text is a text column.
func (s *seven) text(c audit.Column) string { return string(s.e.Text[c]) }

// pick is the text in the language.
func (s *seven) pick(en, zh string) string { return pick(s.zh, zh, en) }

// joined is what is known of several things.
func joined(parts ...string) string {
	var all []string
	for _, p := range parts {
		if p != "" {
			all = append(all, p)
		}
	}
	return strings.Join(all, "  ")
}

// labelled is a value with its name, nothing where there is no value.
func labelled(name, value string) string {
	if value == "" {
		return ""
	}
	return name + "=" + value
}

func (s *seven) what() {
	known := joined(s.text(audit.Verb), s.text(audit.RequestURI))
	if level := s.text(audit.Level); known != "" && level != "" {
		known += "  (" + level + ")"
	}
	s.add("what", "What", "什么", known, "the event has neither verb nor URI", "事件中既没有动词也没有 URI")
}

func (s *seven) when() {
	known := ""
	if t := s.e.Time(); t != audit.NoTime {
		known = output.When(s.e, time.Microsecond)
		if took := s.e.Staged - s.e.Received; s.e.Staged != audit.NoTime && s.e.Received != audit.NoTime && took != 0 {
			known += "  " + s.pick("after ", "收到后 ") + time.Duration(took*1000).String()
		}
	}
	s.add("when", "When", "何时", known, "the event has no time", "事件中没有时间")
}

// user is a user with uid and groups; first is Username or ImpersonatedUsername.
func (s *seven) user(first audit.Column) string {
	return joined(s.text(first), labelled("uid", s.text(first+audit.UserUID-audit.Username)),
		labelled("groups", strings.Join(output.StringList(s.e.Text[first+audit.UserGroups-audit.Username]), ",")))
}

func (s *seven) who() {
	known := s.user(audit.Username)
	if as := s.user(audit.ImpersonatedUsername); as != "" {
		known = joined(known, s.pick("acting as ", "扮演 ")+as)
	}
	if s.e.Code == 401 {
		s.add("who", "Who", "谁", known, "authentication failed, so nobody is named", "身份验证失败，因此没有用户")
		return
	}
	s.add("who", "Who", "谁", known, "the event names no user", "事件中没有用户")
}

func (s *seven) onWhat() {
	r := &s.r
	if len(r.resource) == 0 {
		known := ""
		if len(r.path) > 0 {
			known = s.pick("no object, but the path ", "不是对象，而是路径 ") + string(r.path)
		}
		s.add("onWhat", "On what", "对象", known, "the event names no object and no path", "事件中既没有对象也没有路径")
		return
	}
	what := string(r.resource)
	if len(r.group) > 0 {
		what += "." + string(r.group)
	}
	if len(r.sub) > 0 {
		what += "/" + string(r.sub)
	}
	name := string(r.name)
	if name == "" {
		name = string(r.made)
	}
	if len(r.namespace) > 0 && string(r.resource) != "namespaces" {
		name = string(r.namespace) + "/" + name
	}
	known := joined(what, name, labelled("version", s.text(audit.APIVersion)), labelled("uid", s.text(audit.ObjectUID)),
		labelled("resourceVersion", s.text(audit.ResourceVersion)))
	if string(r.verb) == "create" && len(r.name) == 0 && len(r.made) == 0 && r.mood == done && len(r.sub) == 0 {
		known += "  " + s.pick("(its name cannot be known: the API server chose it, and the answer is not recorded)",
			"（名称无法得知：由 API server 生成，而应答体未被记录）")
	}
	s.add("onWhat", "On what", "对象", known, "", "")
}

func (s *seven) observed() {
	found := s.text(audit.Source)
	if found != "" {
		found += ":" + strconv.FormatInt(s.e.Offset, 10)
	}
	place := joined(s.text(audit.Cluster), s.text(audit.Server))
	if place == "" && found != "" {
		found = "  (" + found + ")"
		s.add("observed", "Observed", "记录于", "", "the event does not name its API server"+found, "事件不记录是哪个 API server"+found)
		return
	}
	s.add("observed", "Observed", "记录于", joined(place, found), "the event does not name its API server", "事件不记录是哪个 API server")
}

func (s *seven) from() {
	last, first, n := addresses(s.e.Text[audit.SourceIPs])
	known := string(last)
	switch {
	case n > 1:
		known += s.pick("  passing on, as it claims, for ", "  自称转发自 ") + string(first)
	case n == 1 && s.e.Form == audit.FormLegacy:
		known += s.pick("  (perhaps only claimed)", "（可能只是自称）")
	}
	s.add("from", "From", "来自", joined(known, s.text(audit.UserAgent)), "the event has neither address nor user agent", "事件中既没有地址也没有 user agent")
}

// to is where the request went on to. Events do not tell: it is derived when they are
// taken in, and here from what the resource is.
func (s *seven) to() {
	known := strings.Join(output.StringList(s.e.Text[audit.Destination]), "  ")
	if known != "" {
		s.add("to", "To", "去往", known, "", "")
		return
	}
	switch r := &s.r; string(r.sub) {
	case "exec", "attach", "portforward", "log", "proxy":
		s.add("to", "To", "去往", "", "the event does not name the node or backend that the API server asked", "事件不记录 API server 转发到的节点或后端")
	default:
		if len(r.resource) > 0 && thingOf(string(r.group), string(r.resource)).one == "" {
			s.add("to", "To", "去往", "", "another API server may stand behind a resource that is not built in", "非内置资源可能由其他 API server 提供")
			return
		}
		if len(r.path) == 0 {
			s.add("to", "To", "去往", "", "the event names no object and no path", "事件中既没有对象也没有路径")
			return
		}
		s.add("to", "To", "去往", s.pick("no further than the API server, as far as is known", "据所知未离开 API server"), "", "")
	}
}

func (s *seven) result() {
	code := ""
	if s.e.Code != 0 {
		code = strconv.Itoa(int(s.e.Code))
	}
	known := joined(code, s.text(audit.Status), s.text(audit.StatusReason), s.text(audit.Message))
	if s.text(audit.Stage) == "RequestReceived" {
		s.add("result", "Result", "结果", known, "the request had only arrived at this stage", "此阶段请求刚刚到达")
		return
	}
	s.add("result", "Result", "结果", known, "the event has no response status", "事件中没有应答状态")
}

func (s *seven) decision() {
	known := joined(s.text(audit.Decision), s.text(audit.Reason))
	en, zh := "the event has no decision of an authorizer", "事件中没有授权结论"
	switch {
	case s.text(audit.Stage) == "RequestReceived":
		en, zh = "nothing was decided yet at this stage", "此阶段尚未授权"
	case s.e.Code == 401:
		en, zh = "authentication failed before", "身份验证已失败，未进入授权"
	case s.e.Form == audit.FormLegacy:
		en, zh = "the legacy format does not record it", "legacy 格式不记录授权结论"
	}
	s.add("decision", "Decision", "授权", known, en, zh)
}

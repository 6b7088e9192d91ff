package power

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/recorded"
	"kubetrail/internal/refusal"
	"kubetrail/internal/request"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
)

// SessionsConfig says what is wanted of sessions.
type SessionsConfig struct {
	Limit     int // newest ones; 0: 10,000
	Namespace string
	Policy    *recorded.Policy // nil: not known
}

// Session is one connection through the API server into a pod, or to a node or service:
// exec, attach, port-forward, debug, log -f, proxy, or cp, which is an exec of tar.
type Session struct {
	Kind string `json:"kind"`
	User string `json:"user"`
	As   string `json:"as,omitempty"`
	Place
	Talk

	Start     string  `json:"start,omitempty"`
	End       string  `json:"end,omitempty"` // absent where no end is recorded
	Seconds   float64 `json:"seconds,omitempty"`
	Ended     bool    `json:"ended"`     // false: still open, or its end was not recorded
	Connected bool    `json:"connected"` // data could flow

	Code     int32    `json:"code,omitempty"`
	Outcome  string   `json:"outcome"` // connected, refused, failed, unknown
	Refusal  string   `json:"refusal,omitempty"`
	Message  string   `json:"message,omitempty"`  // of a refusal or failure
	Attempts int      `json:"attempts,omitempty"` // where a client tried the same again at once
	Address  string   `json:"address,omitempty"`
	Via      []string `json:"via,omitempty"` // addresses that the sender may have made up
	Agent    string   `json:"userAgent,omitempty"`
	Tool     string   `json:"tool,omitempty"`

	Events []output.EventRef `json:"events"`

	received, started, ended int64
	verb                     string
}

// Place is where a session leads to.
type Place struct {
	Resource  string `json:"resource"` // pods, nodes, services
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Container string `json:"container,omitempty"`
	Node      string `json:"node,omitempty"` // whose kubelet it went to, where that is known
}

// Talk is what a session is for.
type Talk struct {
	Command   []string `json:"command,omitempty"`
	Copied    string   `json:"copied,omitempty"`   // of cp: fromContainer or toContainer
	CopyPath  string   `json:"copyPath,omitempty"` // of cp: in the container
	Ports     []string `json:"ports,omitempty"`    // of a port-forward, where the URI has them
	Path      string   `json:"path,omitempty"`     // of a proxy: behind it
	Image     string   `json:"image,omitempty"`    // of debug, where the body was recorded
	Stdin     bool     `json:"stdin,omitempty"`
	TTY       bool     `json:"tty,omitempty"`
	Truncated bool     `json:"truncated,omitempty"` // the command was longer
}

const sessionQuestion = `sub:(exec or attach or portforward or proxy) or verb:proxy or (sub:log and uri:(*follow* or *%*)) or (sub:ephemeralcontainers and verb:(patch or update))`

var sessionColumns = request.KeyColumns | output.RefColumns | audit.Set(audit.Resource, audit.APIGroup, audit.Subresource, audit.Namespace,
	audit.Name, audit.ImpersonatedUsername, audit.UserAgent, audit.SourceIPs, audit.Code, audit.Message, audit.Decision, audit.Destination)

const maxSessions = 10_000

// Sessions tells of every connection into a pod, or to a node or a service, that began
// or ended in the time of q.
func Sessions(ctx context.Context, r trail.Reader, q trail.Query, cfg SessionsConfig) (output.Report, error) {
	narrow, err := tally.Narrowed(q, sessionQuestion)
	if err != nil {
		return output.Report{}, err
	}
	// A session that began in the time asked about may have ended after it.
	narrow.Until = audit.NoTime
	s := &sessions{limit: cmp.Or(cfg.Limit, maxSessions), keys: request.NewKeys(), until: q.Until, beyond: map[uint64]bool{}}
	err = r.Search(ctx, narrow, trail.Page{Columns: sessionColumns}, s.note)
	if err != nil {
		return output.Report{}, err
	}
	rows := s.finish()
	if err := debugged(ctx, r, narrow, rows); err != nil {
		return output.Report{}, err
	}
	rows = joined(rows)
	cover, err := recorded.Cover(ctx, r, q, cfg.Policy, sessionRequests(cfg.Namespace)...)
	if err != nil {
		return output.Report{}, err
	}
	report := output.Report{Kind: "SessionList", Head: map[string]any{"coverage": cover, "more": len(s.beyond)}}
	for _, x := range rows {
		report.Items = append(report.Items, x)
	}
	report.Text = func(p *output.Page) error { return printSessions(p, rows, len(s.beyond), &cover) }
	return report, nil
}

// sessionRequests are those whose absence may be told.
func sessionRequests(namespace string) []recorded.Requests {
	r := recorded.Requests{Verbs: []string{"get", "create"}, Resource: "pods", Subresources: []string{"exec", "attach", "portforward"},
		Namespace: namespace, AnyNamespace: namespace == "", AnyName: true}
	patch, proxy, node, log := r, r, r, r
	log.Verbs, log.Subresources = []string{"get"}, []string{"log"}
	patch.Verbs, patch.Subresources = []string{"patch", "update"}, []string{"ephemeralcontainers"}
	proxy.Verbs, proxy.Subresources = []string{"get", "create", "update", "patch", "delete"}, []string{"proxy"}
	node.Resource, node.Verbs, node.Subresources = "nodes", proxy.Verbs, proxy.Subresources
	node.Namespace, node.AnyNamespace = "", false
	service := proxy
	service.Resource = "services"
	if namespace != "" {
		return []recorded.Requests{r, patch, proxy, log, service}
	}
	return []recorded.Requests{r, patch, proxy, log, service, node}
}

type sessions struct {
	limit  int
	keys   request.Keys
	byKey  map[uint64]*Session
	rows   []*Session
	until  int64
	beyond map[uint64]bool // sessions that there was no room for
}

// note takes one stage of a session, the newest first.
func (s *sessions) note(e *audit.Event) error {
	kind := sessionKind(e)
	if kind == "" || s.until != audit.NoTime && e.Received != audit.NoTime && e.Received >= s.until {
		return nil
	}
	k := s.keys.Of(e)
	if s.byKey == nil {
		s.byKey = map[uint64]*Session{}
	}
	x := s.byKey[k]
	switch {
	case x == nil && len(s.rows) >= s.limit:
		if len(s.beyond) < request.MaxOpen {
			s.beyond[k] = true
		}
		return nil
	case x == nil:
		x = newSession(e, kind)
		s.byKey[k], s.rows = x, append(s.rows, x)
	}
	x.stage(e)
	return nil
}

// sessionKind is what a request is, empty where it is no session.
func sessionKind(e *audit.Event) string {
	switch sub := string(e.Text[audit.Subresource]); {
	case sub == "portforward":
		return "port-forward"
	case sub == "ephemeralcontainers":
		return "debug"
	case sub == "log":
		if !truth(parameters(e), "follow") {
			return ""
		}
		return "logs -f"
	case sub == "proxy" || string(e.Text[audit.Verb]) == "proxy":
		return "proxy"
	case sub == "exec" || sub == "attach":
		return sub
	}
	return ""
}

// parameters are those of the URI; what cannot be read of it is left out.
func parameters(e *audit.Event) url.Values {
	_, text, _ := strings.Cut(string(e.Text[audit.RequestURI]), "?")
	values, _ := url.ParseQuery(text)
	return values
}

// maxCommand is how many bytes of a command are kept.
const maxCommand = 8 << 10

func newSession(e *audit.Event, kind string) *Session {
	text := func(c audit.Column) string { return string(e.Text[c]) }
	x := &Session{Kind: kind, User: text(audit.Username), As: text(audit.ImpersonatedUsername),
		Place: Place{Resource: text(audit.Resource), Namespace: text(audit.Namespace), Name: text(audit.Name)}, verb: text(audit.Verb), Agent: text(audit.UserAgent), Tool: tool(e),
		received: e.Received, started: audit.NoTime, ended: audit.NoTime}
	if ips := output.StringList(e.Text[audit.SourceIPs]); len(ips) > 0 {
		x.Address, x.Via = ips[len(ips)-1], ips[:len(ips)-1]
	}
	values := parameters(e)
	x.Container = values.Get("container")
	x.Stdin, x.TTY = truth(values, "stdin"), truth(values, "tty")
	switch kind {
	case "exec":
		room := maxCommand
		for _, word := range values["command"] {
			if room -= len(word); room < 0 {
				x.Truncated = true
				break
			}
			x.Command = append(x.Command, word)
		}
		x.copies()
	case "port-forward":
		x.Ports = values["ports"]
	case "proxy":
		path, _, _ := strings.Cut(text(audit.RequestURI), "?")
		if i := strings.Index(path, "/proxy"); i >= 0 {
			x.Path = path[i+len("/proxy"):]
		}
	case "attach":
		if strings.HasPrefix(x.Name, "node-debugger-") || strings.HasPrefix(x.Container, "debugger-") {
			x.Kind = "debug"
		}
	}
	return x
}

// truth reads a parameter as kube-apiserver does: whatever it is, it means yes, but for 0
// and false. Upstream: Convert_Slice_string_To_bool in k8s.io/apimachinery.
func truth(values url.Values, name string) bool {
	v := values[name]
	return len(v) > 0 && v[0] != "0" && !strings.EqualFold(v[0], "false")
}

// copies recognises kubectl cp, which executes tar in the container.
func (x *Session) copies() {
	words := x.Command
	if len(words) == 3 && words[0] == "sh" && words[1] == "-c" && strings.HasPrefix(words[2], "tar cf - ") && strings.Contains(words[2], "| tail -c+") {
		path, _, _ := strings.Cut(strings.TrimPrefix(words[2], "tar cf - "), "|")
		x.Kind, x.Copied, x.CopyPath = "cp", "fromContainer", strings.TrimSpace(path)
		return
	}
	if len(words) < 3 || words[0] != "tar" || !slices.Contains(words, "-") {
		return
	}
	switch {
	case words[1] == "cf" && words[2] == "-" && len(words) >= 4:
		x.Kind, x.Copied, x.CopyPath = "cp", "fromContainer", strings.Join(words[3:], " ")
	case slices.Contains(words, "-xmf") || slices.Contains(words, "xf") || slices.Contains(words, "-xf"):
		x.Kind, x.Copied = "cp", "toContainer"
		if i := slices.Index(words, "-C"); i > 0 && i+1 < len(words) {
			x.CopyPath = words[i+1]
		}
	}
}

// stage adds what one stage tells.
func (x *Session) stage(e *audit.Event) {
	if len(x.Events) < maxRefs {
		x.Events = append(x.Events, output.Ref(e))
	}
	for _, to := range output.StringList(e.Text[audit.Destination]) {
		if node, ok := strings.CutPrefix(to, "node/"); ok {
			x.Node = node
		}
	}
	switch {
	case request.Ended(e):
		x.Ended, x.ended = true, e.Staged
		if e.Code == 401 {
			x.started = e.Staged
		}
	case string(e.Text[audit.Stage]) == "ResponseStarted":
		x.started = e.Staged
	}
	if as := string(e.Text[audit.ImpersonatedUsername]); as != "" {
		x.As = as // not known yet when the request was received
	}
	if e.Code != 0 && (x.Code == 0 || request.Ended(e)) {
		x.Code = e.Code
		if e.Code >= 400 {
			x.Message = string(e.Text[audit.Message])
			x.Refusal = refusal.Of(e).Why()
		}
	}
}

// finish sets what depends on all stages, and returns the sessions, the first one first.
func (s *sessions) finish() []*Session {
	for _, x := range s.rows {
		x.Start, x.End = output.RFC3339(x.received), output.RFC3339(x.ended)
		x.Connected = x.Code > 0 && x.Code < 400 && (x.Kind != "debug" || x.verb == "get" || x.verb == "create")
		switch {
		case x.Code == 0:
			x.Outcome = "unknown"
		case x.Refusal != "":
			x.Outcome = "refused"
		case x.Code >= 400:
			x.Outcome = "failed"
		default:
			x.Outcome = "connected"
		}
		if from := cmp.Or(known(x.started), known(x.received)); known(x.ended) != 0 && from != 0 {
			x.Seconds = max(0, float64(x.ended-from)/1e6)
		}
		slices.SortFunc(x.Events, func(a, b output.EventRef) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Seq, b.Seq)) })
	}
	slices.SortStableFunc(s.rows, func(x, y *Session) int {
		return cmp.Or(cmp.Compare(x.received, y.received), cmp.Compare(x.started, y.started))
	})
	return s.rows
}

// known is t, 0 where it is not known.
func known(t int64) int64 {
	if t == audit.NoTime {
		return 0
	}
	return t
}

// debugged adds what the bodies of debug say: container, image and command.
func debugged(ctx context.Context, r trail.Reader, q trail.Query, rows []*Session) error {
	byID := map[string]*Session{}
	for _, x := range rows {
		if x.Kind == "debug" && x.verb != "get" && x.verb != "create" && len(x.Events) > 0 {
			byID[x.Start+x.User+x.Name] = x
		}
	}
	if len(byID) == 0 {
		return nil
	}
	q, err := tally.Narrowed(q, "sub:ephemeralcontainers and requestObject:*")
	if err != nil {
		return err
	}
	return tally.Scan(ctx, r, q, sessionColumns|audit.Set(audit.RequestObject), func(e *audit.Event) error {
		x := byID[output.RFC3339(e.Received)+string(e.Text[audit.Username])+string(e.Text[audit.Name])]
		if x == nil || x.Container != "" {
			return nil
		}
		spec, _ := object(e.RequestObject)["spec"].(map[string]any)
		list, _ := spec["ephemeralContainers"].([]any)
		if len(list) == 0 {
			return nil
		}
		last, _ := list[len(list)-1].(map[string]any)
		x.Container, _ = last["name"].(string)
		x.Image, _ = last["image"].(string)
		words, _ := last["command"].([]any)
		if args, ok := last["args"].([]any); ok {
			words = append(words, args...)
		}
		for _, w := range words {
			if s, ok := w.(string); ok && len(strings.Join(x.Command, " "))+len(s) < maxCommand {
				x.Command = append(x.Command, s)
			}
		}
		return nil
	})
}

// joined makes one session of a debug container and the attach to it, and of a request
// and its immediate repetition in another protocol, as kubectl does when it is refused.
func joined(rows []*Session) []*Session {
	const soon = int64(2 * time.Minute / time.Microsecond)
	const atOnce = int64(2 * time.Second / time.Microsecond)
	last := map[[4]string]*Session{}
	var out []*Session
	for _, x := range rows {
		who := [4]string{x.User, x.As, x.Namespace, x.Name}
		before := last[who]
		switch {
		case before == nil:
		case before.Kind == "debug" && before.Code < 400 && !before.Connected && x.Kind == "debug" && x.Connected && x.received-before.received < soon &&
			(before.Container == "" || before.Container == x.Container):
			before.Container, before.Connected, before.Ended, before.End, before.Seconds = x.Container, true, x.Ended, x.End, x.Seconds
			before.Stdin, before.TTY, before.Node, before.Code = x.Stdin, x.TTY, cmp.Or(x.Node, before.Node), x.Code
			before.Events = append(before.Events, x.Events...)
			continue
		case x.Outcome == before.Outcome && x.Code >= 400 && x.Kind == before.Kind && x.verb != before.verb && x.received-before.received < atOnce &&
			slices.Equal(x.Command, before.Command) && x.Agent == before.Agent:
			before.Attempts = max(before.Attempts, 1) + 1
			before.Events = append(before.Events, x.Events...)
			continue
		}
		last[who] = x
		out = append(out, x)
	}
	return out
}

func printSessions(p *output.Page, rows []*Session, more int, cover *recorded.Coverage) error {
	if len(rows) == 0 {
		cover.None(p, "There was no such session", "没有这样的会话")
		return nil
	}
	from, day := clock(p, rows)
	t := p.Table("START", "LASTED", "WHO", "WHAT", "WHERE", "COMMAND", "CODE", "FROM", "TOOL", "NODE")
	t.Soft, t.Spare = []int{4, 5, 2}, []int{9, 8, 7, 6}
	short := func(s string, n int) string { // on a narrow page, so that something of WHERE remains
		if p.Fit == 0 || p.Wide {
			return s
		}
		return output.Clip(s, max(n, n*p.Fit/80))
	}
	open, refused := 0, 0
	for _, x := range rows {
		if !x.Ended {
			open++
		}
		if x.Outcome == "refused" {
			refused++
		}
		if err := t.Add(from(x.received), x.lasted(p.Chinese), short(who(x.User, x.As, p.Chinese), 14), output.Cell(strings.ReplaceAll(x.Kind, " ", "")), x.where(),
			short(x.line(p.Chinese), 16), x.result(), output.Cell(x.Address), output.Cell(x.Tool), output.Cell(x.Node)); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(p.W)
	if day != "" {
		p.Say("Times are of %s, in UTC.", "时间均为 %s（UTC）。", day)
	}
	if refused > 0 {
		p.Say("Refused: %d.", "被拒绝：%d 次。", refused)
	}
	if open > 0 {
		p.Say("Without a recorded end: %d. They were still open, or their end is not in the trail.", "没有记录到结束：%d 个。它们当时仍在进行，或结束事件不在日志中。", open)
	}
	if more > 0 {
		p.Say("Earlier sessions, not listed: %d; --limit lists more.", "另有更早的 %d 个会话未列出，可用 --limit 调整。", more)
	}
	p.Say("What was typed, answered and with which exit code is in no audit log.", "会话中的输入、输出和退出码，任何审计日志都不会记录。")
	cover.Rest(p)
	return nil
}

// clock writes when sessions began: without the day where the page is narrow and they are
// all of one, which is returned then.
func clock(p *output.Page, rows []*Session) (write func(int64) string, day string) {
	for _, x := range rows {
		of := shortTime(x.received)
		if p.Fit == 0 || p.Wide || len(of) < 20 || day != "" && of[:10] != day {
			return shortTime, ""
		}
		day = of[:10]
	}
	return func(t int64) string { return shortTime(t)[11:19] }, day
}

func (x *Session) lasted(chinese bool) string {
	switch {
	case x.Outcome == "refused" || x.Outcome == "failed":
		en, zh := x.Outcome, map[string]string{"refused": "被拒绝", "failed": "失败"}[x.Outcome]
		if chinese {
			return zh
		}
		return en
	case !x.Ended && chinese:
		return "未结束？"
	case !x.Ended:
		return "open?"
	}
	d := time.Duration(x.Seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// where is the object, with its container.
func (x *Session) where() string {
	s := x.Name
	if x.Resource != "pods" {
		s = x.Resource + "/" + s
	}
	if x.Namespace != "" {
		s = x.Namespace + "/" + s
	}
	if x.Container != "" {
		s += "(" + x.Container + ")"
	}
	return output.Cell(s)
}

func (x *Session) result() string {
	if x.Code == 0 {
		return output.None
	}
	return fmt.Sprint(x.Code)
}

// line is the command, or what stands for it.
func (x *Session) line(chinese bool) string {
	switch {
	case x.Kind == "cp" && x.Copied == "fromContainer":
		if chinese {
			return "从容器取出 " + output.Plain(x.CopyPath, false)
		}
		return "out of it: " + output.Plain(x.CopyPath, false)
	case x.Kind == "cp":
		if chinese {
			return "写入容器 " + output.Plain(x.CopyPath, false)
		}
		return "into it: " + output.Plain(x.CopyPath, false)
	case len(x.Ports) > 0:
		return output.Plain(strings.Join(x.Ports, ","), false)
	case x.Kind == "proxy":
		return output.Cell(x.Path)
	case len(x.Command) == 0:
		return output.None
	}
	s := output.Plain(shellWords(x.Command), false)
	if x.TTY {
		s += " (tty)"
	}
	return s
}

// shellWords writes a command as one would type it.
func shellWords(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		if w == "" || strings.ContainsFunc(w, func(r rune) bool {
			return !(r == '-' || r == '_' || r == '.' || r == '/' || r == ':' || r == '=' || r == ',' || r == '@' || r == '%' || r == '+' ||
				r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80)
		}) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		out[i] = w
	}
	return strings.Join(out, " ")
}

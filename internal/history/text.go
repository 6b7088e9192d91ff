package history

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"kubetrail/internal/output"
	"kubetrail/internal/subject"
)

// text prints a story for people.
func (s *Story) text(p *output.Page) error {
	s.opening(p)
	if len(s.Rows) > 0 {
		if err := s.table(p); err != nil {
			return err
		}
	}
	s.closing(p)
	return nil
}

// opening says what the object is and how it stands.
func (s *Story) opening(p *output.Page) {
	name := s.name()
	switch {
	case !s.wrote && s.Beats == 0:
		s.cover.None(p, "Nobody wrote to "+name, "没有人写入过 "+name)
	case s.Lives > 1:
		p.Say("%s: %d objects of this name, one after the other", "%s：先后有 %d 个同名对象", name, s.Lives)
	case s.found:
		p.W.WriteString(name + "\n")
	}
}

// name is like Deployment shop/cart.
func (s *Story) name() string {
	kind := s.Target.Kind
	if kind == "" {
		kind = s.Target.Resource
	}
	object := s.Target.Name
	if s.Target.Namespace != "" {
		object = s.Target.Namespace + "/" + object
	}
	return output.Plain(kind+" "+object, false)
}

// changeWidth is where a table clips what changed; -o wide does not.
const changeWidth = 60

func (s *Story) table(p *output.Page) error {
	t := p.Table("TIME", "ACTOR", "TOOL", "VERB", "CHANGE", "CERTAINTY")
	t.Soft, t.Spare = []int{4, 1}, []int{2, 3}
	actorWidth := 30
	if p.Fit > 0 && p.Fit < 100 {
		actorWidth = 14
	}
	if p.Wide {
		t = p.Table("TIME", "ACTOR", "TOOL", "VERB", "CLASS", "VERSION", "CHANGE", "CERTAINTY", "EVENT", "REASON")
	}
	if s.cfg.Diff && !p.Wide {
		return s.diffs(p)
	}
	for _, r := range s.Rows {
		actor, tool := r.through()
		when, verb := clock(r), output.Cell(r.verb())
		actor, tool = output.Cell(actor), output.Cell(tool)
		change := r.changed(p)
		if p.Wide {
			why := r.why.in(p)
			if why == "" {
				why = output.None
			}
			if err := t.Add(when, actor, tool, verb, r.Class.String(), output.Cell(r.Version), change, r.certainty(p), output.Cell(r.Event.AuditID), why); err != nil {
				return err
			}
			continue
		}
		if err := t.Add(when, output.Clip(actor, actorWidth), output.Clip(tool, 25), verb, output.Clip(change, changeWidth), r.certainty(p)); err != nil {
			return err
		}
	}
	return t.Flush()
}

// clock is the time of a row to the second.
func clock(r *Row) string {
	if len(r.Event.Time) < 19 {
		return output.None
	}
	return r.Event.Time[:19] + "Z"
}

func (r *Row) certainty(p *output.Page) string {
	if r.Certainty == "" {
		return output.None
	}
	return p.Pick(string(r.Certainty), r.Certainty.Chinese())
}

// verb is patch, or patch/scale on a subresource.
func (r *Row) verb() string {
	if r.Subresource != "" {
		return r.Verb + "/" + r.Subresource
	}
	return r.Verb
}

// through is who was behind a request, or else who sent it, and with which tool: that of
// somebody who was behind it is the controller.
func (r *Row) through() (actor, tool string) {
	switch {
	case r.root != "":
		return short(r.root), short(r.User)
	case r.As != "":
		return short(r.User) + "->" + short(r.As), r.Tool
	}
	return short(r.User), r.Tool
}

// short is a user name without what its kind says, where that is plain.
func short(user string) string {
	switch s := subject.Of(user); s.Kind {
	case subject.ControlPlane:
		return s.Name
	case subject.ServiceAccount:
		return s.Namespace + "/" + s.Name
	case subject.Node:
		return "node/" + s.Name
	}
	return user
}

// behind reports whether somebody else may have been behind a request.
func (r *Row) behind() bool {
	k := subject.Of(r.User).Kind
	return r.As == "" && (k == subject.ControlPlane || k == subject.ServiceAccount || k == subject.Node)
}

// change_ is what changed, in short.
func (r *Row) changed(p *output.Page) string {
	if r.did.en != "" {
		return r.did.in(p)
	}
	var parts []string
	for i, c := range r.inOrder() {
		if i == 8 {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, c.short(p))
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, "; ")
	case r.Class == NoChange:
		return p.Pick("nothing", "无变化")
	case r.Class == ManagedFieldsOnly:
		return "managedFields"
	case r.Certainty == Unsure:
		return p.Pick("not known", "未知")
	}
	return p.Pick("nothing recorded", "无已记录的变化")
}

// inOrder are the changes as people want to know them: those of metadata and status last.
func (r *Row) inOrder() []Change {
	rank := func(c Change) int {
		switch {
		case inStatus(c.Path):
			return 2
		case strings.HasPrefix(c.Path, "metadata.annotations"):
			return 1
		}
		return 0
	}
	all := slices.Clone(r.Changes)
	slices.SortStableFunc(all, func(a, b Change) int { return rank(a) - rank(b) })
	return all
}

// short is like image nginx:1.25 → nginx:1.27.
func (c Change) short(p *output.Page) string {
	name := output.Plain(field(c.Path), false)
	switch {
	case c.Op == "moved":
		return p.Pick("order of "+name, name+" 的顺序")
	case c.Op == "set":
		return name + "=" + brief(c.New)
	case c.Old == nil && c.Op == "added":
		if m, ok := c.New.(map[string]any); ok && len(m) == 1 && (name == "annotations" || name == "labels") {
			for k, v := range m {
				return "+" + output.Plain(k, false) + " " + brief(v)
			}
		}
		return strings.TrimSuffix("+"+name+" "+brief(c.New), " ")
	case c.New == nil && c.Op == "removed":
		return "-" + name
	}
	from, to := brief(c.Old), brief(c.New)
	if i := strings.LastIndexByte(from, '/'); name == "image" && i > 0 && strings.HasPrefix(to, from[:i+1]) {
		from, to = from[i+1:], to[i+1:] // of the same registry
	}
	return name + " " + from + " → " + to
}

// field is the end of a path, as people name it: replicas, containers[web], or the key of
// a label.
func field(path string) string {
	if !strings.HasSuffix(path, "]") {
		return path[strings.LastIndexAny(path, ".]")+1:]
	}
	open := strings.LastIndexByte(path, '[')
	if open < 0 {
		return path
	}
	above := path[:open]
	above = above[strings.LastIndexAny(above, ".]")+1:]
	switch above {
	case "labels", "annotations", "data", "stringData", "matchLabels", "nodeSelector":
		return path[open+1 : len(path)-1]
	}
	return above + path[open:]
}

// brief is a value in few characters; nothing for objects and lists.
func brief(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case map[string]any, []any:
		return ""
	case string:
		s := output.Clip(output.Plain(v, false), 40)
		if s == "" || strings.HasSuffix(s, " ") {
			return fmt.Sprintf("%q", s)
		}
		return s
	default:
		text, _ := json.Marshal(v)
		return string(text)
	}
}

// closing tells of the end of the object, and of what was left out.
func (s *Story) closing(p *output.Page) {
	s.ending(p)
	if s.Left > 0 {
		p.Say("%d earlier ones are left out; ask for them with --until", "省略了更早的 %d 条；可用 --until 查询", s.Left)
	}
	if s.Beyond > 0 {
		p.Say("%d later events are not looked at: there are too many", "之后的 %d 个事件未查看：数量过多", s.Beyond)
	}
	for _, r := range s.reasons() {
		p.Say("%s: %s", "%s：%s", p.Pick(string(r.Certainty), r.Certainty.Chinese()), r.why.in(p))
	}
	s.leftOut(p)
	if s.cfg.Policy != nil && len(s.Rows) > 0 {
		s.cover.Rest(p)
	}
}

// reasons are rows with different reasons for not being certain, at most four.
func (s *Story) reasons() []*Row {
	var out []*Row
	for _, r := range s.Rows {
		if r.why.en != "" && r.Certainty != Exact && len(out) < 4 && !slices.ContainsFunc(out, func(x *Row) bool { return x.why == r.why }) {
			out = append(out, r)
		}
	}
	return out
}

// leftOut counts what nobody asked for.
func (s *Story) leftOut(p *output.Page) {
	var parts []string
	for c := range Class(NumClasses) {
		n := s.Hidden[c]
		if c == s.Target.beat() {
			n += int(s.Beats)
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf(p.Pick("%[1]d × %[2]s", "%[2]s %[1]d 次"), n, p.Pick(c.English(), c.Chinese())))
		}
	}
	if len(parts) > 0 {
		p.Say("left out: %s; --all shows them", "未显示：%s；--all 可显示", strings.Join(parts, p.Pick(", ", "，")))
	}
}

// ending tells how the object came to its end, if it did.
func (s *Story) ending(p *output.Page) {
	if s.life.now.exists != no || len(s.ends) == 0 {
		return
	}
	first, last := s.ends[0], s.ends[len(s.ends)-1]
	who := func(r *Row) string {
		actor, tool := r.through()
		return output.Plain(actor, false) + " (" + output.Plain(tool, false) + ")"
	}
	p.Say("deleted by %s at %s", "%s 于 %s 删除", who(first), clock(first))
	if last != first {
		p.Say("gone at %[2]s, by %[1]s: %[3]s", "%[1]s 于 %[2]s 使其消失：%[3]s", who(last), clock(last), last.did.in(p))
	}
}

// diffs prints every row as a line, and below it what changed.
func (s *Story) diffs(p *output.Page) error {
	for i, r := range s.Rows {
		if i > 0 {
			p.W.WriteByte('\n')
		}
		actor, tool := r.through()
		head := fmt.Sprintf("%s  %s  %s  %s  %s", clock(r), output.Cell(actor), output.Cell(tool), output.Cell(r.verb()), r.certainty(p))
		p.W.WriteString(bold(head, p.Color) + "\n")
		if r.Diff == "" {
			p.W.WriteString("  " + r.changed(p) + "\n")
			continue
		}
		for line := range strings.Lines(r.Diff) {
			p.W.WriteString(tinted(output.Plain(strings.TrimSuffix(line, "\n"), true), p.Color) + "\n")
		}
	}
	_, err := p.W.WriteString("\n")
	return err
}

func bold(s string, color bool) string {
	if !color {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

// tinted colours a line of a difference.
func tinted(line string, color bool) string {
	if !color || line == "" {
		return line
	}
	switch line[0] {
	case '+':
		return "\x1b[32m" + line + "\x1b[0m"
	case '-':
		return "\x1b[31m" + line + "\x1b[0m"
	case '@':
		return "\x1b[36m" + line + "\x1b[0m"
	}
	return line
}

package power

import (
	"cmp"
	"fmt"
	"strings"

	"kubetrail/internal/output"
	"kubetrail/internal/recorded"
	"kubetrail/internal/refusal"
)

// print tells the gifts in the order of time, each with what came of it.
func (g *gifts) print(p *output.Page, cover *recorded.Coverage) error {
	if len(g.list) == 0 {
		cover.None(p, "No such power was given or taken", "没有授予或收回这类权限的请求")
		g.asides(p)
		return nil
	}
	for i, x := range g.list {
		if x.under {
			continue
		}
		if i > 0 {
			fmt.Fprintln(p.W)
		}
		g.tell(p, x, "", 0)
	}
	fmt.Fprintln(p.W)
	g.asides(p)
	cover.Rest(p)
	return nil
}

func (g *gifts) asides(p *output.Page) {
	if g.machines > 0 {
		p.Say("Not listed: %d such requests of the control plane and of nodes; --all lists them.", "未列出控制平面和节点的此类请求 %d 个；--all 列出。", g.machines)
	}
	if g.more > 0 {
		p.Say("Earlier ones, not listed: %d; --limit lists more.", "另有更早的 %d 条未列出，可用 --limit 调整。", g.more)
	}
}

// maxDepth is how far stories in stories are indented.
const maxDepth = 8

// tell prints one gift, and under it what was given by using it.
func (g *gifts) tell(p *output.Page, x *Gift, indent string, depth int) {
	paragraph := func(indent, en, zh string) {
		columns := p.Fit
		if columns == 0 || p.Wide {
			columns = 1 << 20
		}
		fmt.Fprintln(p.W, output.Paragraph(p.Pick(en, zh), indent, columns))
	}
	en, zh := x.sentence()
	paragraph(indent, shortTime(x.at)+" "+en, shortTime(x.at)+" "+zh)
	below := indent + "  "
	if len(x.Dangers) > 0 && x.Outcome == "done" {
		list, listZH := make([]string, len(x.Dangers)), make([]string, len(x.Dangers))
		for i, d := range x.Dangers {
			list[i], listZH[i] = d.Brief(false), d.Brief(true)
		}
		paragraph(below, "Powerful: "+strings.Join(list, ", ")+".", "高危权限："+strings.Join(listZH, "、")+"。")
	}
	if x.Kind == "binding" && x.Role != "" && x.Outcome == "done" && !g.knowsRole(x) {
		role := output.Cell(x.RoleKind) + " " + output.Cell(x.Role)
		paragraph(below, "Cannot know what it gives: the rules of "+role+" are not in what was asked.", "无法得知它授予什么："+role+" 的规则不在查询范围内。")
	}
	g.told(x, func(en, zh string) { paragraph(below, en, zh) })
	for _, y := range x.through {
		if depth < maxDepth {
			g.tell(p, y, below, depth+1)
		}
	}
	if r := x.Removed; r != nil {
		paragraph(below, fmt.Sprintf("%s removed by %s, after %s.", r.Time[:19]+"Z", who(r.User, r.As, false), output.Lasting(r.Seconds)),
			fmt.Sprintf("%s 被 %s 删除，存在了 %s。", r.Time[:19]+"Z", who(r.User, r.As, true), output.Lasting(r.Seconds)))
	}
}

// told says what it was used for.
func (g *gifts) told(x *Gift, say func(en, zh string)) {
	u := x.Use
	if u == nil {
		return
	}
	next := output.Brief(g.cfg.Next)
	evidence, evidenceZH := "the authorizer names it", "授权理由中写明"
	if x.Kind == "token" {
		evidence, evidenceZH = "by the id of the token", "由令牌的 ID 得知"
	}
	if left := g.last - x.at; u.Count == 0 && left < g.cfg.Next.Microseconds() {
		until := output.Lasting(float64(left) / 1e6)
		say("No use of it is recorded in the "+until+" until the trail ends.", "到日志结束为止（"+until+"）没有使用它的记录。")
		return
	}
	if u.Count == 0 {
		say("No use of it within "+next+" is recorded.", next+" 内没有使用它的记录。")
		return
	}
	var list []string
	for _, d := range u.Did {
		s := output.Plain(d.Value, false)
		if d.Count > 1 {
			s += fmt.Sprintf(" (x%d)", d.Count)
		}
		list = append(list, s)
	}
	if u.More > 0 {
		list = append(list, fmt.Sprintf("+%d", u.More))
	}
	by := make([]string, len(u.By))
	for i, t := range u.By {
		by[i] = output.Cell(t.Value)
	}
	span := ""
	if u.last > u.first {
		span = output.Lasting(float64(u.last-u.first) / 1e6)
	}
	say(fmt.Sprintf("First used %s later; %s within %s by %s (%s): %s.", output.Lasting(u.Seconds), times(u.Count, false), cmp.Or(span, next), strings.Join(by, ", "), evidence, strings.Join(list, ", ")),
		fmt.Sprintf("%s 后首次使用；%s 内由 %s 使用 %s（%s）：%s。", output.Lasting(u.Seconds), cmp.Or(span, next), strings.Join(by, "、"), times(u.Count, true), evidenceZH, strings.Join(list, "、")))
}

// sentence says who did what.
func (x *Gift) sentence() (en, zh string) {
	en, zh = x.deed()
	user, userZH := who(x.User, x.As, false), who(x.User, x.As, true)
	if x.Kind == "impersonation" {
		user, userZH = output.Cell(x.User), output.Cell(x.User)
	}
	if x.Outcome != "done" {
		past, rest, _ := strings.Cut(en, " ")
		en, zh = cmp.Or(map[string]string{"created": "create", "changed": "change", "removed": "remove", "bound": "bind", "approved": "approve", "denied": "deny",
			"had": "have", "opened": "open"}[past], past)+" "+rest, strings.Replace(zh, "了", "", 1)
	}
	switch x.Outcome {
	case "refused":
		return user + " tried to " + en + "; refused: " + output.Plain(refusal.Text(x.Why, false), false) + ".", userZH + " 尝试" + zh + "，被拒绝：" + output.Plain(refusal.Text(x.Why, true), false) + "。"
	case "failed":
		return user + " tried to " + en + "; it failed.", userZH + " 尝试" + zh + "，失败。"
	}
	return user + " " + en + ".", userZH + " " + zh + "。"
}

// deed is what was done, without who did it.
func (x *Gift) deed() (en, zh string) {
	name := x.object()
	detail := output.Plain(strings.Join(x.Detail, ", "), false)
	switch x.Kind {
	case "binding":
		return x.bound(name)
	case "certificate":
		en, zh = map[string]string{"approved": "approved", "denied": "denied", "decided": "approved or denied (which is not recorded)"}[x.Action],
			map[string]string{"approved": "批准了", "denied": "拒绝了", "decided": "批准或拒绝了（事件没有记录是哪一种）"}[x.Action]
		en, zh = en+" certificate request "+output.Cell(x.Name), zh+"证书请求 "+output.Cell(x.Name)
		if detail != "" {
			en, zh = en+" ("+detail+")", zh+"（"+detail+"）"
		}
		return en, zh
	case "token":
		return "had a token issued for ServiceAccount " + output.Cell(x.Namespace+"/"+x.Name), "获取了 ServiceAccount " + output.Cell(x.Namespace+"/"+x.Name) + " 的令牌"
	case "pod":
		return x.Action + " " + name + ": " + detail, x.pastZH() + " " + name + "：" + detail
	case "session":
		return "opened a session in Pod " + output.Cell(x.Namespace+"/"+x.Name) + ": " + detail, "进入了 Pod " + output.Cell(x.Namespace+"/"+x.Name) + "：" + detail
	case "secret":
		return "created a Secret with a token of a service account: " + output.Cell(x.Namespace+"/"+x.Name), "创建了存放服务账号令牌的 Secret " + output.Cell(x.Namespace+"/"+x.Name)
	case "impersonation":
		en = fmt.Sprintf("acted as %s %s", output.Cell(x.As), times(x.Count, false))
		zh = fmt.Sprintf("扮演 %s %s", output.Cell(x.As), times(x.Count, true))
		if x.Count > 1 && len(x.Last) > 19 {
			en, zh = en+" until "+x.Last[:19]+"Z", zh+"，直到 "+x.Last[:19]+"Z"
		}
		switch {
		case x.Refused == x.Count:
			en, zh = fmt.Sprintf("%s; %s may not do what was asked", en, output.Cell(x.As)), fmt.Sprintf("%s，均因 %s 无权而被拒绝", zh, output.Cell(x.As))
		case x.Refused > 0:
			en, zh = fmt.Sprintf("%s; %d of these were refused to %s", en, x.Refused, output.Cell(x.As)), fmt.Sprintf("%s，其中 %d 次因 %s 无权而被拒绝", zh, x.Refused, output.Cell(x.As))
		}
		return en, zh
	}
	en, zh = x.Action+" "+name, x.pastZH()+" "+name
	if x.Unknown && x.Outcome == "done" {
		en, zh = en+" (what it gives is not recorded)", zh+"（未记录它授予什么）"
	}
	return en, zh
}

// object is "ClusterRole view" or "Role shop/reader".
func (x *Gift) object() string {
	kind := output.Cell(cmp.Or(x.ObjectAs, x.Resource))
	switch {
	case x.Name == "" && x.Namespace == "":
		return kind
	case x.Name == "":
		return kind + " " + output.Cell(x.Namespace+"/?")
	case x.Namespace == "":
		return kind + " " + output.Cell(x.Name)
	}
	return kind + " " + output.Cell(x.Namespace+"/"+x.Name)
}

// bound says a binding.
func (x *Gift) bound(name string) (en, zh string) {
	if x.Role == "" {
		en, zh = x.Action+" "+name, x.pastZH()+" "+name
		if x.Unknown && x.Outcome == "done" {
			en, zh = en+" (which role it gives to whom is not recorded)", zh+"（未记录将哪个角色授予谁）"
		}
		return en, zh
	}
	role := output.Cell(x.RoleKind) + " " + output.Cell(x.Role)
	to, toZH := "nobody", "空主体"
	if len(x.To) > 0 {
		to = output.Plain(strings.Join(x.To, ", "), false)
		toZH = output.Plain(strings.Join(x.To, "、"), false)
	}
	verb, verbZH := "bound", "将"
	if x.Action == "changed" {
		verb, verbZH = "changed a binding: now", "修改绑定：将"
	}
	en, zh = fmt.Sprintf("%s %s to %s (%s)", verb, role, to, name), fmt.Sprintf("%s %s 绑定到 %s（%s）", verbZH, role, toZH, name)
	if x.Known == "use" {
		en, zh = en+", as its use shows", zh+"，从其使用情况得知"
	}
	return en, zh
}

func (x *Gift) pastZH() string {
	return map[string]string{"created": "创建了", "changed": "修改了", "removed": "删除了"}[x.Action]
}

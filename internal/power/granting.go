package power

import (
	"fmt"
	"strings"

	"kubetrail/internal/output"
)

// printGrants writes grants as documents that kubectl apply takes, with what to know of
// each in comments.
func printGrants(p *output.Page, proposals []*Proposal) error {
	if len(proposals) == 0 {
		p.Say("# RBAC refused nothing that a grant could allow.", "# RBAC 没有拒绝任何可以通过授权解决的请求。")
		return nil
	}
	for i, x := range proposals {
		if i > 0 {
			fmt.Fprintln(p.W, "---")
		}
		p.Say("# %s%s: allows what was refused %s.", "# %s%s：允许此前被拒绝 %s 的请求。", comment(x.User), x.in(p.Chinese), times(x.Requests, p.Chinese))
		for _, d := range x.Dangers {
			p.Say("# DANGER: it %s.", "# 危险：%s。", d.Text(p.Chinese))
		}
		for _, n := range x.Notes {
			p.Say("# note: %s.", "# 注意：%s。", sayNote(n, p.Chinese))
		}
		for n, object := range x.Objects {
			if n > 0 {
				fmt.Fprintln(p.W, "---")
			}
			text, err := object.YAML()
			if err != nil {
				return err
			}
			p.W.Write(text)
		}
	}
	return nil
}

// comment is text out of a log that can end no comment.
func comment(s string) string { return strings.ReplaceAll(output.Plain(s, false), "\n", " ") }

// sayNote says a note of a proposal.
func sayNote(en string, chinese bool) string {
	switch {
	case !chinese:
		return en
	case strings.HasPrefix(en, "too many names"):
		return "名称过多，无法逐一列出：对所有名称有效"
	case strings.HasPrefix(en, "constrained impersonation"):
		return "受约束的扮演（Kubernetes 1.36）还需要对目标用户、组或 ServiceAccount（API 组 authentication.k8s.io）授予动词 impersonate:user-info（或 impersonate:serviceaccount）；事件中没有目标的名称"
	case strings.HasPrefix(en, "system:anonymous"):
		return "system:anonymous 是任何能访问 API server 的人"
	}
	return en
}

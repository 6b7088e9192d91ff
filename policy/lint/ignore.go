package lint

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"kubetrail/policy"
	"kubetrail/policy/yamltext"
)

// ignoring is a comment that silences findings.
type ignoring struct {
	policy.Position
	end    policy.Position
	line   int // whose findings it silences
	checks []string
	reason string
	start  int // of the comment in the file
	used   map[string]bool
}

var ignoreComment = regexp.MustCompile(`#\s*kubetrail:ignore\b([^:\r\n]*)(:[^\r\n]*)?`)

// ignore takes out what comments silence, and reports comments without a reason and
// those that silence nothing.
func (l *linter) ignore() {
	comments := l.ignorings()
	l.found = slices.DeleteFunc(l.found, func(f Finding) bool {
		for _, c := range comments {
			if c.line == f.Line && slices.Contains(c.checks, f.Check) && c.reason != "" {
				c.used[f.Check] = true
				return true
			}
		}
		return false
	})
	for _, c := range comments {
		if c.reason == "" {
			l.about(c, "ignore-without-reason", say("say why: # kubetrail:ignore %s: REASON; without a reason it silences nothing", "请说明原因：# kubetrail:ignore %s: 原因；没有原因则不生效", strings.Join(c.checks, ", ")))
			continue
		}
		for _, id := range c.checks {
			if c.used[id] {
				continue
			}
			msg := say("%s finds nothing here: this comment silences nothing", "%s 在此处没有发现问题：该注释不起作用", id)
			if _, known := l.severities[id]; !known {
				msg = say("no check is called %q", "没有名为 %q 的检查", id)
			}
			f := l.about(c, "unused-ignore", msg)
			if len(c.checks) == 1 {
				f.Fix = l.removeComment(c)
			}
		}
	}
}

func (l *linter) about(c *ignoring, id string, msg Text) *Finding {
	f := l.report(id, msg)
	f.Position, f.End = c.Position, c.end
	return f
}

// ignorings finds the comments. A # inside a value begins none.
func (l *linter) ignorings() []*ignoring {
	data := l.file.Data
	type span struct{ start, end int }
	var values []span
	if l.file.Root != nil {
		yamltext.Walk(l.file.Root, func(n *yaml.Node) {
			start, end, ok := l.file.Scalar(n)
			if !ok && n.Kind == yaml.ScalarNode && n.Value != "" {
				// A block scalar: all of its lines.
				start, ok = l.file.Offset(n.Line, n.Column)
				end = start + len(n.Value) + strings.Count(n.Value, "\n")*n.Column
			}
			if ok {
				values = append(values, span{start, end})
			}
		})
	}
	var out []*ignoring
	for _, m := range ignoreComment.FindAllSubmatchIndex(data, -1) {
		at := m[0]
		if at > 0 && !bytes.ContainsRune([]byte(" \t\r\n"), rune(data[at-1])) ||
			slices.ContainsFunc(values, func(v span) bool { return v.start <= at && at < v.end }) {
			continue
		}
		c := &ignoring{Position: l.file.Position(at), end: l.file.Position(m[1]), start: at, used: map[string]bool{}}
		c.line = c.Line
		c.checks = strings.FieldsFunc(string(data[m[2]:m[3]]), func(r rune) bool { return strings.ContainsRune(", \t", r) })
		if m[4] >= 0 {
			c.reason = strings.TrimSpace(strings.TrimPrefix(string(data[m[4]:m[5]]), ":"))
		}
		if len(c.checks) == 0 {
			c.reason = "" // nothing to silence: it is asked for the whole
		}
		// Alone on its line it is about the next one that is no comment.
		for line := c.line; line <= l.file.Lines(); line++ {
			start, end := l.file.Line(line)
			text := bytes.TrimSpace(data[start:end])
			if len(text) > 0 && text[0] != '#' || line == c.line && !bytes.HasPrefix(text, []byte("#")) {
				c.line = line
				break
			}
		}
		out = append(out, c)
	}
	return out
}

// removeComment takes out a comment, with its line where it stands alone.
func (l *linter) removeComment(c *ignoring) *Fix {
	line, end := l.file.Line(c.Line)
	stop := end
	for stop > c.start && (l.file.Data[stop-1] == '\n' || l.file.Data[stop-1] == '\r') {
		stop--
	}
	e := &yamltext.Edit{Start: c.start, End: stop}
	before := bytes.TrimRight(l.file.Data[line:c.start], " \t")
	if len(before) == 0 {
		e = &yamltext.Edit{Start: line, End: end}
	} else {
		e.Start = line + len(before)
	}
	return l.file.fix(say("remove the comment", "删除该注释"), e)
}

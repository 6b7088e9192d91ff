package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"kubetrail/internal/output"
	"kubetrail/internal/tree"
)

// ErrGone is the error for an object that did not exist at the time asked for.
var ErrGone = errors.New("it did not exist at that time")

// ErrUnknown is the error for an object of which nothing was recorded that shows it.
var ErrUnknown = errors.New("nothing that was recorded shows it: events without bodies do not tell what an object was")

// Whole is the report of the object as it was at the end of the story, as YAML that can be
// applied; last asks for the last version even where it was gone then.
func (s *Story) Whole(last, managedFields bool) (output.Report, error) {
	v := s.life.now
	switch {
	case last && s.life.last.object != nil:
		v = s.life.last
		v.blind = s.life.now.blind
	case v.exists == no && !last:
		return output.Report{}, ErrGone
	}
	if v.object == nil {
		return output.Report{}, ErrUnknown
	}
	v.object = v.shown()
	if s.Target.secret() && !s.cfg.ShowSecrets {
		v.object = hidden(v.object, nil)
	}
	if v.blind > 0 {
		v.sure = Unsure
		v.why = words{"of " + plural(v.blind, "later write") + " the content was not recorded", fmt.Sprintf("其后 %d 次写入的内容未记录", v.blind)}
	}
	type item struct {
		Version   string          `json:"version,omitempty"`
		Event     output.EventRef `json:"event"`
		Certainty Certainty       `json:"certainty"`
		Reason    string          `json:"reason,omitempty"`
		Object    any             `json:"object"`
	}
	one := item{v.rv, v.by.Event, v.sure, v.why.en, v.object}
	return output.Report{Kind: "ObjectVersion", Head: s.head(), Items: []any{one}, Text: func(p *output.Page) error {
		s.heading(p, v)
		_, err := p.W.Write(tree.AppendYAML(nil, applyable(v.object, managedFields)))
		return err
	}}, nil
}

// heading says in comments what the YAML below is, and how sure that is.
func (s *Story) heading(p *output.Page, v version) {
	by := v.by
	p.Say("# %s, resourceVersion %s, uid %s", "# %s，resourceVersion %s，uid %s", s.name(), output.Cell(v.rv), output.Cell(v.uid))
	p.Say("# after %s by %s at %s (audit ID %s)", "# %[3]s %[2]s 执行 %[1]s 之后（审计 ID %[4]s）",
		output.Cell(by.verb()), output.Cell(by.actor()), output.Cell(by.Event.Time), output.Cell(by.Event.AuditID))
	sure := p.Pick(string(v.sure), v.sure.Chinese())
	if v.why.en != "" {
		sure += p.Pick(": ", "：") + v.why.in(p)
	}
	p.W.WriteString("# " + sure + "\n")
	if missing := v.missing(); len(missing) > 0 && v.sure != Unsure {
		p.Say("# not recorded: %s", "# 未记录：%s", output.Plain(strings.Join(missing, ", "), false))
	}
	if s.Target.secret() && !s.cfg.ShowSecrets {
		p.Say("# values are hidden: --show-secrets prints them", "# 值已隐藏：--show-secrets 可显示")
	}
}

// applyable is an object as it can be given to the API server again: without what only
// the server sets.
func applyable(o map[string]any, managedFields bool) map[string]any {
	meta, _ := o["metadata"].(map[string]any)
	out := make(map[string]any, len(meta))
	for k, v := range meta {
		switch k {
		case "resourceVersion", "uid", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink":
		case "managedFields":
			if managedFields {
				out[k] = v
			}
		default:
			out[k] = v
		}
	}
	return put(o, out, "metadata")
}

// Blamed is a value of an object, and who set it.
type Blamed struct {
	Path  string           `json:"path"`
	Value any              `json:"value"`
	User  string           `json:"user,omitempty"`
	As    string           `json:"as,omitempty"`
	Tool  string           `json:"tool,omitempty"` // or the manager, where no event tells
	Time  string           `json:"time,omitempty"`
	Event *output.EventRef `json:"event,omitempty"`
	How   string           `json:"how"` // created, changed, managedFields or unknown
	Note  string           `json:"note,omitempty"`

	note words
	row  *Row
}

// book remembers which row changed which path last.
type book struct {
	base   *Row           // made the object; nil where that is not known
	first  *Row           // showed it for the first time
	places map[string]int // path to place in rows, from 1
	rows   []*Row
}

// maxBook bounds what a book remembers.
const maxBook = 100_000

// note takes in a row that made a version.
func (b *book) note(row *Row, before version) {
	if row.created || before.object == nil {
		*b = book{first: row, places: map[string]int{}}
		if row.created {
			b.base = row
			return
		}
	}
	if len(b.places) > maxBook {
		return
	}
	b.rows = append(b.rows, row)
	for _, c := range row.Changes {
		if c.Op != "moved" && c.Op != "removed" {
			b.places[c.Path] = len(b.rows)
		}
	}
}

// latest finds the row that changed a path, or what it is a part of, last.
func (b *book) latest(path string) *Row {
	best := b.places[path]
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			best = max(best, b.places[path[:i]])
		}
	}
	if best == 0 {
		return b.base
	}
	return b.rows[best-1]
}

// Blame is the report of who set each value of the object as it was at the end of the
// story.
func (s *Story) Blame(last bool) (output.Report, error) {
	v := s.life.now
	if last || v.exists == no {
		v = s.life.last
	}
	if v.object == nil {
		return output.Report{}, ErrUnknown
	}
	shown := v.object
	if s.Target.secret() && !s.cfg.ShowSecrets {
		shown = hidden(shown, nil)
	}
	managers := managersOf(v)
	var items []any
	tree.Leaves(shown, func(path string, value any) {
		if b := s.blame(path, value, managers, v.blind); b != nil {
			items = append(items, b)
		}
	})
	return output.Report{Kind: "Blame", Head: s.head(), Items: items, Text: func(p *output.Page) error { return s.blames(p, items) }}, nil
}

func (s *Story) blame(path string, value any, managers map[string]manager, blind int) *Blamed {
	switch path {
	case "apiVersion", "kind", "metadata.uid", "metadata.creationTimestamp", "metadata.generation", "metadata.name", "metadata.namespace":
		return nil // not set by anybody, or never again
	}
	if !s.cfg.All && inStatus(path) {
		return nil
	}
	b := &Blamed{Path: path, Value: value, How: "unknown", note: words{"set before the first event", "在首个事件之前设置"}}
	row := s.book.latest(path)
	if row == nil {
		if m, ok := managerOf(managers, path); ok {
			b.How, b.Tool, b.Time = "managedFields", m.name, m.time
			b.note = words{"set by manager " + output.Plain(m.name, false) + ", before the first event", "由 " + output.Plain(m.name, false) + " 在首个事件之前设置"}
		}
	} else {
		b.row, b.How = row, "changed"
		b.User, b.As, b.Tool, b.Time, b.Event = row.User, row.As, row.Tool, row.Event.Time, &row.Event
		if b.note = row.why; row.created {
			b.How = "created"
		}
	}
	if blind > 0 && b.note.en == "" {
		b.note = words{"or by a later write, whose content was not recorded", "或由其后未记录内容的写入设置"}
	}
	b.Note = b.note.en
	return b
}

func (s *Story) blames(p *output.Page, items []any) error {
	t := p.Table("TIME", "ACTOR", "TOOL", "FIELD", "VALUE")
	t.Soft, t.Spare = []int{4, 3}, []int{2}
	notes := map[words]int{}
	var order []words
	for _, x := range items {
		b := x.(*Blamed)
		when, actor := output.None, output.None
		if len(b.Time) >= 19 {
			when = b.Time[:19] + "Z"
		}
		if b.row != nil {
			name, _ := b.row.through()
			actor = output.Cell(name)
		}
		if b.note.en != "" {
			if notes[b.note] == 0 {
				order = append(order, b.note)
				notes[b.note] = len(order)
			}
			when += fmt.Sprintf(" (%d)", notes[b.note])
		}
		path := output.Plain(b.Path, false)
		if p.Fit > 0 && p.Fit < 120 && !p.Wide {
			path, actor = ending(path, 34), output.Clip(actor, 14)
		}
		value := brief(b.Value)
		if value == "" {
			value = "{}"
		}
		if err := t.Add(when, actor, output.Cell(b.Tool), path, value); err != nil {
			return err
		}
	}
	err := t.Flush()
	for i, n := range order {
		p.Say("(%d) %s", "(%d) %s", i+1, n.in(p))
	}
	if !s.cfg.All && s.Target.hasStatus() {
		p.Say("left out: the status; --all shows it", "未显示：status；--all 可显示")
	}
	return err
}

// ending is the end of a path, which tells more than its beginning.
func ending(path string, columns int) string {
	r := []rune(path)
	if len(r) <= columns {
		return path
	}
	return "…" + string(r[len(r)-columns+1:])
}

// manager is who the API server noted as having set a field, and when.
type manager struct{ name, time string }

// managersOf reads metadata.managedFields: from paths to managers.
func managersOf(v version) map[string]manager {
	out := map[string]manager{}
	for _, x := range v.managed() {
		entry, _ := x.(map[string]any)
		name, _ := entry["manager"].(string)
		when, _ := entry["time"].(string)
		fields, _ := entry["fieldsV1"].(map[string]any)
		managed("", fields, func(path string) {
			if old, ok := out[path]; !ok || when > old.time {
				out[path] = manager{name, when}
			}
		})
	}
	return out
}

// managed calls yield for every path that a tree of fieldsV1 owns.
func managed(path string, fields map[string]any, yield func(path string)) {
	for k, v := range fields {
		at, ok := path, false
		switch kind, rest, _ := strings.Cut(k, ":"); kind {
		case "f":
			at, ok = joined(path, rest), true
		case "k", "v":
			at, ok = path+"["+named(rest)+"]", true
		case "i":
			at, ok = path+"["+rest+"]", true
		}
		below, _ := v.(map[string]any)
		switch {
		case !ok: // the dot stands for the object that holds the others
		case len(below) == 0:
			yield(at)
		default:
			managed(at, below, yield)
		}
	}
}

// joined is the path of a member, as tree.Changes writes it.
func joined(path, key string) string {
	switch {
	case strings.ContainsAny(key, ".[]/ ") || key == "":
		return path + "[" + key + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// named is how tree.Changes names an item of a list: by the values of its keys.
func named(text string) string {
	v, err := tree.Decode([]byte(text))
	if err != nil {
		return text
	}
	keys, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(v)
	}
	var parts []string
	d := json.NewDecoder(strings.NewReader(text)) // in the order they are written
	for d.More() {
		t, err := d.Token()
		if err != nil {
			break
		}
		if k, ok := t.(string); ok && keys[k] != nil {
			parts = append(parts, fmt.Sprint(keys[k]))
			if _, err := d.Token(); err != nil {
				break
			}
		}
	}
	return strings.Join(parts, ",")
}

// managerOf finds who manages a path, or what it is a part of.
func managerOf(managers map[string]manager, path string) (manager, bool) {
	if m, ok := managers[path]; ok {
		return m, true
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			if m, ok := managers[path[:i]]; ok {
				return m, true
			}
		}
	}
	return manager{}, false
}

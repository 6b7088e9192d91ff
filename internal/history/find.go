package history

import (
	"context"
	"encoding/json"
	"slices"

	"kubetrail/audit"
	"kubetrail/internal/cause"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/recorded"
	"kubetrail/internal/trail"
	"kubetrail/internal/tree"
)

// Config says what is to be told of an object.
type Config struct {
	Target Target

	// Where and Since choose the requests that are told; all of them are read, because
	// what one of them changed is known from those before. Until ends the history.
	Where        *query.Node // nil: all
	Since, Until int64       // microseconds since the epoch, or audit.NoTime

	All         bool // heartbeats, status, what changed nothing and what was refused too
	Diff        bool // every change as YAML
	Objects     bool // every version whole
	Blame       bool // who set which value of the object last, instead
	Whole       bool // the object as it was at the end of the history, instead
	Last        bool // the object as it was last, even where it is gone
	Managed     bool // with Whole: metadata.managedFields, too
	ShowSecrets bool // the values in Secrets

	// Policy is the audit policy that was in force, nil where it is not known: it tells
	// whether no request means that there was none.
	Policy *recorded.Policy
}

// What a history keeps at most.
const (
	maxRows    = 20_000   // the latest; those before are counted
	maxObjects = 64 << 20 // bytes of objects, and of diffs
	maxThrough = 12       // rows for which somebody behind them is looked for: the first one and the latest
)

// Story is the life of an object as a trail tells it.
type Story struct {
	Target Target
	Rows   []*Row
	Hidden map[Class]int // what was left out because nobody asked for it
	Left   int           // rows before the first one that were left out for want of space
	Beyond int           // events after the last one that was looked at, for want of space
	Beats  uint64        // renewals of a sign of life, which were not looked at
	Lives  int

	life  *life
	book  book
	found bool   // the namespace was not given
	wrote bool   // somebody wrote to it, or may have
	ends  []*Row // the deletion of the last life, from the request to the end
	size  int
	asked []suspect // for Through
	cfg   *Config
	cover recorded.Coverage // what may be said of requests that are not there
}

// suspect is a request that somebody else than its sender may have been behind.
type suspect struct {
	row   *Row
	event *audit.Event
}

// Answer tells the life of an object, or what it was in the end.
func Answer(ctx context.Context, r trail.Reader, cfg Config) (output.Report, error) {
	s, err := Find(ctx, r, cfg)
	switch {
	case err != nil:
		return output.Report{}, err
	case cfg.Blame:
		return s.Blame(cfg.Last)
	case cfg.Whole:
		return s.Whole(cfg.Last, cfg.Managed)
	}
	return s.Report(), nil
}

// Find tells the life of an object.
func Find(ctx context.Context, r trail.Reader, cfg Config) (*Story, error) {
	s := &Story{Hidden: map[Class]int{}, cfg: &cfg, found: cfg.Target.Namespace == "" && cfg.Target.namespaced()}
	more := audit.Columns(0)
	if cfg.Where != nil {
		more = cfg.Where.Needs()
	}
	x, err := read(ctx, r, &cfg.Target, cfg.Until, cfg.All, more|audit.Set(audit.Message, audit.Status, audit.StatusDetails))
	if err != nil {
		return nil, err
	}
	s.Target, s.Beats, s.Beyond, s.life = cfg.Target, x.beats, x.left, newLife(&cfg.Target)
	err = x.each(ctx, func(e *audit.Event) error {
		before := s.life.now
		if row := s.life.step(e); row != nil {
			s.wrote = s.wrote || row.Class.Wrote()
			if cfg.Blame && s.life.now.by == row && s.life.now.object != nil {
				s.book.note(row, before)
			}
			s.take(e, row, before)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.Lives, s.ends = s.life.number, s.life.ends
	if s.cover, err = recorded.Cover(ctx, r, trail.Query{Since: cfg.Since, Until: cfg.Until}, cfg.Policy, cfg.Target.writes()...); err != nil {
		return nil, err
	}
	if generated(cfg.Target.Name) && s.cover.Recorded == "yes" && !s.cover.Verdict.Bodies {
		s.cover.Recorded = "unknown" // a create with generateName does not tell the name
	}
	return s, s.through(ctx, r)
}

// take keeps a row, or counts it.
func (s *Story) take(e *audit.Event, row *Row, before version) {
	asked := (s.cfg.Where == nil || s.cfg.Where.Match(e)) && (s.cfg.Since == audit.NoTime || e.Time() >= s.cfg.Since)
	switch {
	case !asked:
		return
	case !s.cfg.All && !row.interesting():
		s.Hidden[row.Class]++
		return
	}
	if len(s.Rows) == 2*maxRows {
		s.Left += maxRows
		s.Rows = append(s.Rows[:0], s.Rows[maxRows:]...)
	}
	s.dress(row, before)
	if row.behind() {
		if len(s.asked) == maxThrough {
			s.asked = slices.Delete(s.asked, 1, 2)
		}
		s.asked = append(s.asked, suspect{row, keep(e, false)})
	}
	s.Rows = append(s.Rows, row)
}

// interesting reports whether a row is told without being asked for.
func (r *Row) interesting() bool { return r.Removed || r.Class == Real || r.Class == Unknown }

// dress puts the object and the difference into a row, and takes secrets out of it.
func (s *Story) dress(row *Row, before version) {
	hide := s.Target.secret() && !s.cfg.ShowSecrets
	if hide {
		hideChanges(row.Changes)
	}
	after := s.life.now
	if after.by != row && !row.same {
		return
	}
	from, to := before.object, after.object
	if s.cfg.Diff && to != nil && s.size < maxObjects && (from != nil || row.created) && (len(row.Changes) > 0 || row.created) {
		if row.created {
			from = nil
		}
		if hide {
			from, to = hidden(from, nil), hidden(to, from)
		}
		row.Diff = unified(from, to, row.Subresource != "" || !s.Target.hasStatus())
		s.size += len(row.Diff)
	}
	if !s.cfg.Objects || after.object == nil {
		return
	}
	o := after.shown()
	if hide {
		o = hidden(o, nil)
	}
	text, err := json.Marshal(o)
	if s.size += len(text); err != nil || s.size > maxObjects {
		row.say(row.Certainty, "the object is left out: together they are too large; ask for less with --since", "省略对象：总量过大，请用 --since 缩小范围")
		return
	}
	row.Object = json.RawMessage(text)
}

// shown is the object without what a request does not tell of it: a version that was
// worked out has no resourceVersion.
func (v version) shown() map[string]any {
	if !v.rebuilt {
		return v.object
	}
	return tree.Canonical(v.object)
}

// unified is the difference of two objects as YAML, without the status where the request
// did not write it.
func unified(from, to map[string]any, status bool) string {
	var a []byte
	if from != nil {
		a = tree.AppendYAML(nil, trimmed(from, status))
	}
	return tree.Unified(a, tree.AppendYAML(nil, trimmed(to, status)), 3)
}

// trimmed is an object as people keep it in files: without what the API server keeps of it.
func trimmed(o map[string]any, status bool) map[string]any {
	meta, _ := o["metadata"].(map[string]any)
	out := make(map[string]any, len(meta))
	for k, v := range meta {
		switch k {
		case "resourceVersion", "managedFields", "generation", "uid", "creationTimestamp", "selfLink":
		default:
			out[k] = v
		}
	}
	o = put(o, out, "metadata")
	if !status {
		delete(o, "status") // put made a copy
	}
	return o
}

// through asks who was behind requests of controllers and service accounts.
func (s *Story) through(ctx context.Context, r trail.Reader) error {
	for _, x := range s.asked {
		chain, err := cause.Of(ctx, r, x.event)
		if err != nil {
			return err
		}
		if chain.Root != nil && chain.Root.User != x.row.User {
			x.row.Through, x.row.root = &chain, chain.Root.User
		}
	}
	s.asked = nil
	return nil
}

// Report is the story for people and for programs.
func (s *Story) Report() output.Report {
	items := make([]any, len(s.Rows))
	for i, r := range s.Rows {
		items[i] = r
	}
	return output.Report{Kind: "ObjectHistory", Head: s.head(), Items: items, Text: s.text}
}

func (s *Story) head() map[string]any {
	object := map[string]any{"resource": s.Target.Resource, "name": s.Target.Name}
	for k, v := range map[string]string{"group": s.Target.Group, "kind": s.Target.Kind, "namespace": s.Target.Namespace, "cluster": s.Target.Cluster} {
		if v != "" {
			object[k] = v
		}
	}
	left := map[string]int{}
	for c, n := range s.Hidden {
		left[c.String()] = n
	}
	if s.Beats > 0 {
		left[s.Target.beat().String()] += int(s.Beats)
	}
	return map[string]any{"object": object, "lives": s.Lives, "hidden": left, "leftOut": s.Left + s.Beyond, "coverage": s.cover}
}

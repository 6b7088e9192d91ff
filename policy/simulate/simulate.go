package simulate

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"kubetrail/audit"
	"kubetrail/policy"
)

// Config says what to simulate.
type Config struct {
	// Candidate is the policy to try.
	Candidate *policy.Document

	// Current is the policy that was in force when the events were recorded. Without
	// it, less is known of what was never recorded.
	Current *policy.Document

	// Groups is how many users, how many resources and how many groups of vanishing
	// events are told apart; up to twice as many are held in memory, of about 1 KiB
	// each. 0 is 10,000.
	Groups int
}

// Simulation replays events under a candidate. It is not safe for concurrent use. Its
// memory is bounded by Config.Groups, whatever the events.
type Simulation struct {
	cfg                Config
	candidate, current *policy.Matcher
	resolve            *resolver

	first, last              int64
	total                    Change
	vanished                 Volume
	lowered, raised, cleaned Change
	rules                    []Change // of the candidate, and one more for none
	levels                   map[policy.Level]*Change
	users, resources         *tally[string]
	vanish                   *tally[vanishKey]
	unknown                  unknown
	line                     []byte // of one event, to measure it
}

// vanishKey is what tells groups of vanishing events apart.
type vanishKey struct {
	user, verb, resource string
	rule                 int
	stage                policy.Stage
}

// New prepares a simulation. It fails where cfg has no candidate.
func New(cfg Config) (*Simulation, error) {
	if cfg.Candidate == nil || cfg.Candidate.Policy == nil {
		return nil, errors.New("no candidate policy")
	}
	if cfg.Groups <= 0 {
		cfg.Groups = 10_000
	}
	byBytes := func(g *group) int64 { return g.Before.Bytes }
	s := &Simulation{
		cfg: cfg, candidate: cfg.Candidate.Policy.Compile(), resolve: newResolver(),
		first: audit.NoTime, last: audit.NoTime,
		rules:     make([]Change, len(cfg.Candidate.Policy.Rules)+1),
		levels:    map[policy.Level]*Change{},
		users:     newTally[string](cfg.Groups, byBytes),
		resources: newTally[string](cfg.Groups, byBytes),
		vanish:    newTally[vanishKey](cfg.Groups, func(g *group) int64 { return g.Before.Events }),
		unknown:   newUnknown(),
	}
	for _, l := range append(policy.Levels(), "") {
		s.levels[l] = &Change{}
	}
	if cfg.Current != nil {
		s.current = cfg.Current.Policy.Compile()
	}
	return s, nil
}

// Add replays one event, which needs its whole line ([audit.Line]). It keeps nothing
// of it. An event that no policy can judge is counted as such; the error says why.
func (s *Simulation) Add(e *audit.Event) error {
	line := s.measure(e)
	from := levelOf(e.Text[audit.Level])
	s.time(e.Time())
	s.total.Before.add(line)
	s.levels[from].Before.add(line)
	user := s.resolve.user(e)
	byUser, _ := s.users.at(user.key)
	byUser.Before.add(line)
	what := s.resolve.what(e)
	byResource, _ := s.resources.at(what.resource)
	byResource.Before.add(line)
	if err := cmp.Or(user.err, what.err); err != nil {
		s.unknown.unreadable(e, err, line)
		return err
	}

	req := policy.Request{Authenticated: user.authenticated, User: user.name, Groups: user.groups, RequestInfo: what.info}
	d := s.candidate.Match(&req)
	rule := &s.rules[len(s.rules)-1]
	if d.Rule >= 0 {
		rule = &s.rules[d.Rule]
	}
	rule.Before.add(line)
	var cur *policy.Decision
	if s.current != nil {
		x := s.current.Match(&req)
		cur = &x
	}
	s.unknown.compare(e, &req, from, d, cur)

	stage := stageOf(e.Text[audit.Stage])
	omitted := omits(d, stage)
	if d.Level == policy.LevelNone || omitted {
		key := vanishKey{user: user.key, verb: what.verb, resource: what.resource, rule: d.Rule}
		if d.Level != policy.LevelNone {
			key.stage = stage
		}
		g, isNew := s.vanish.at(key)
		if isNew || g.example.after(e) {
			g.example = example(e)
		}
		g.Before.add(line)
		s.vanished.add(line)
		return nil
	}

	to := resize(e, &req, line, from, d)
	if cur != nil && cur.OmitManagedFields && !d.OmitManagedFields && hasBody(e, &req, d.Level) {
		s.unknown.uncleaned.add(line)
		to.atLeast = true
	}
	for _, c := range []*Change{&s.total, rule, s.levels[d.Level], &byUser.Change, &byResource.Change} {
		c.keep(to)
	}
	s.kept(from, d, line, to)
	return nil
}

// Seen is how many events were added so far.
func (s *Simulation) Seen() Volume { return s.total.Before }

// kept counts what becomes of an event that is kept.
func (s *Simulation) kept(from policy.Level, d policy.Decision, line int64, to resized) {
	count := func(c *Change) {
		c.Before.add(line)
		c.keep(to)
	}
	switch {
	case from == "":
		s.unknown.noLevel.add(line)
	case d.Level.Less(from):
		count(&s.lowered)
		if to.truncated {
			s.unknown.truncated.add(line)
		}
	case from.Less(d.Level):
		count(&s.raised)
		if to.grows {
			s.unknown.raise(from, d.Level, line)
		}
	}
	if to.managed > 0 {
		count(&s.cleaned)
	}
}

// measure returns the length of the event's line with its newline.
func (s *Simulation) measure(e *audit.Event) int64 {
	if e.Raw != nil {
		return int64(len(e.Raw)) + 1
	}
	// Bodies go in as they are: copying them only to count them is most of the work.
	request, response := e.RequestObject, e.ResponseObject
	e.RequestObject, e.ResponseObject = nil, nil
	s.line = e.AppendColumns(s.line[:0])
	e.RequestObject, e.ResponseObject = request, response
	n := len(s.line) + 1
	if len(request) > 0 {
		n += len(`,"requestObject":`) + len(request)
	}
	if len(response) > 0 {
		n += len(`,"responseObject":`) + len(response)
	}
	return int64(n)
}

func (s *Simulation) time(t int64) {
	if t == audit.NoTime {
		return
	}
	if s.first == audit.NoTime || t < s.first {
		s.first = t
	}
	s.last = max(s.last, t)
}

func omits(d policy.Decision, stage policy.Stage) bool {
	for _, s := range d.OmitStages {
		if s == stage {
			return true
		}
	}
	return false
}

// maxText bounds every text of an event that is kept: names and URIs are as long as
// whoever sent the request likes.
const maxText = 256

func example(e *audit.Event) Example {
	return Example{
		AuditID: clip(e.Text[audit.AuditID]), Verb: clip(e.Text[audit.Verb]), URI: clip(e.Text[audit.RequestURI]),
		User: clip(e.Text[audit.Username]), Time: e.Time(),
	}
}

// after tells whether e is the better example, so that their order does not matter.
func (x *Example) after(e *audit.Event) bool {
	switch t := e.Time(); {
	case t == x.Time:
		return string(e.Text[audit.AuditID]) < x.AuditID
	case t == audit.NoTime || x.Time == audit.NoTime:
		return x.Time == audit.NoTime
	default:
		return t < x.Time
	}
}

// clip copies a text, of a long one its beginning.
func clip[T string | []byte](text T) string {
	if len(text) <= maxText {
		return string(text)
	}
	end := maxText - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return string(text[:end]) + "…"
}

// Report tells what the events so far came to.
func (s *Simulation) Report() Report {
	r := Report{
		First: s.first, Last: s.last, Total: s.total, Vanished: s.vanished,
		Lowered: s.lowered, Raised: s.raised, Cleaned: s.cleaned,
		Users: topOf(s.users), Resources: topOf(s.resources),
		Unknown: s.unknown.report(s.current != nil),
	}
	reach := explore(s.cfg.Candidate, s.cfg.Current)
	if cur := r.Unknown.Current; cur != nil {
		cur.Invisible, cur.TooLarge = reach.invisible, reach.tooLarge
	}
	rules := s.cfg.Candidate.Policy.Rules
	for i, c := range s.rules {
		switch {
		case i < len(rules):
			rule := RuleChange{Rule: i, Line: s.cfg.Candidate.Position(rulePath(i)).Line, Level: rules[i].Level, Change: c}
			if c.Before.Events == 0 {
				rule.Never = reach.why(i)
			}
			r.Rules = append(r.Rules, rule)
		case c.Before.Events > 0:
			r.Rules = append(r.Rules, RuleChange{Rule: -1, Level: policy.LevelNone, Change: c})
		}
	}
	for _, l := range append(policy.Levels()[1:], "") {
		if c := *s.levels[l]; l != "" || c.Before.Events > 0 {
			r.Levels = append(r.Levels, LevelChange{Level: l, Change: c})
		}
	}
	r.Vanish = Top[Vanishing]{Rows: []Vanishing{}, Folded: s.vanish.folded, Others: s.vanish.others, Missed: s.vanish.missed}
	for _, k := range s.vanish.sorted(compareVanish) {
		g := s.vanish.rows[k]
		r.Vanish.Rows = append(r.Vanish.Rows, Vanishing{User: k.user, Verb: k.verb, Resource: k.resource,
			Rule: k.rule, Stage: k.stage, Volume: g.Before, Example: g.example})
	}
	return r
}

func rulePath(i int) string { return "rules[" + strconv.Itoa(i) + "]" }

func topOf(t *tally[string]) Top[Named] {
	out := Top[Named]{Rows: []Named{}, Folded: t.folded, Others: t.others, Missed: t.missed}
	for _, k := range t.sorted(strings.Compare) {
		out.Rows = append(out.Rows, Named{Name: k, Change: t.rows[k].Change})
	}
	return out
}

func compareVanish(a, b vanishKey) int {
	return cmp.Or(strings.Compare(a.user, b.user), strings.Compare(a.verb, b.verb),
		strings.Compare(a.resource, b.resource), cmp.Compare(a.rule, b.rule), cmp.Compare(a.stage, b.stage))
}

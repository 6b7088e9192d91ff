package simulate

import (
	"cmp"
	"maps"
	"slices"

	"kubetrail/audit"
	"kubetrail/policy"
)

// unknown gathers what a replay cannot tell. Its maps are bounded by the number of
// levels, stages and maxReasons.
type unknown struct {
	raised                        map[[2]policy.Level]*Volume
	seen, missing                 map[policy.Stage]int64
	reasons                       map[string]*Reason
	noLevel, truncated, uncleaned Volume

	agree    int64
	disagree map[disagreeKey]*Disagree
}

type disagreeKey struct {
	recorded, policy policy.Level
	stage            policy.Stage
}

func newUnknown() unknown {
	return unknown{
		raised: map[[2]policy.Level]*Volume{},
		seen:   map[policy.Stage]int64{}, missing: map[policy.Stage]int64{},
		reasons: map[string]*Reason{}, disagree: map[disagreeKey]*Disagree{},
	}
}

// maxReasons bounds how many reasons are told apart: some quote the event.
const maxReasons = 20

func (u *unknown) unreadable(e *audit.Event, err error, line int64) {
	text := clip(err.Error())
	if u.reasons[text] == nil {
		if len(u.reasons) >= maxReasons {
			text = "other reasons"
		}
		if u.reasons[text] == nil {
			u.reasons[text] = &Reason{Text: text, Example: example(e)}
		}
	}
	x := u.reasons[text]
	if x.add(line); x.Example.after(e) {
		x.Example = example(e)
	}
}

func (u *unknown) raise(from, to policy.Level, line int64) {
	key := [2]policy.Level{from, to}
	if u.raised[key] == nil {
		u.raised[key] = &Volume{}
	}
	u.raised[key].add(line)
}

// compare sets an event beside what the policy in force says of it, cur, nil where
// that is not known.
func (u *unknown) compare(e *audit.Event, req *policy.Request, from policy.Level, d policy.Decision, cur *policy.Decision) {
	stage := stageOf(e.Text[audit.Stage])
	u.seen[stage]++
	if cur != nil && from != "" {
		u.agrees(e, from, stage, cur)
	}
	if d.Level == policy.LevelNone || cur != nil && cur.Level == policy.LevelNone {
		return
	}
	for _, s := range lacking(stage, req) {
		if !omits(d, s) && (cur == nil || omits(*cur, s)) {
			u.missing[s]++
		}
	}
}

// agrees counts whether the policy in force would have recorded an event so.
func (u *unknown) agrees(e *audit.Event, from policy.Level, stage policy.Stage, cur *policy.Decision) {
	key := disagreeKey{recorded: from, policy: cur.Level}
	if from == cur.Level {
		if !omits(*cur, stage) {
			u.agree++
			return
		}
		key.stage = stage
	}
	if u.disagree[key] == nil {
		u.disagree[key] = &Disagree{Recorded: from, Policy: cur.Level, Stage: key.stage, Example: example(e)}
	}
	x := u.disagree[key]
	if x.Events++; x.Example.after(e) {
		x.Example = example(e)
	}
}

// lacking returns the stages of which a request must have had one too, each, given
// that it had this one. A request is counted at the end of its life, or where that is
// not recorded at its beginning.
func lacking(stage policy.Stage, req *policy.Request) []policy.Stage {
	switch {
	case stage == policy.StageRequestReceived:
		return beforeEnd[:]
	case stage != policy.StageResponseComplete && stage != policy.StagePanic:
		return nil
	case req.LongRunning():
		return beforeLongEnd[:]
	}
	return beforeShortEnd[:]
}

var (
	beforeEnd      = [...]policy.Stage{policy.StageResponseComplete}
	beforeShortEnd = [...]policy.Stage{policy.StageRequestReceived}
	beforeLongEnd  = [...]policy.Stage{policy.StageRequestReceived, policy.StageResponseStarted}
)

// report returns what was gathered. withCurrent tells whether the policy that was in
// force is known.
func (u *unknown) report(withCurrent bool) Unknown {
	out := Unknown{
		Raised: []Raise{}, Stages: []MissingStage{}, Unreadable: []Reason{},
		NoLevel: u.noLevel, Truncated: u.truncated, Cleaned: u.uncleaned,
	}
	for _, from := range policy.Levels() {
		for _, to := range policy.Levels() {
			if v := u.raised[[2]policy.Level{from, to}]; v != nil {
				out.Raised = append(out.Raised, Raise{From: from, To: to, Volume: *v})
			}
		}
	}
	for _, s := range policy.Stages() {
		// Without the policy, a stage counts as missing where the log has none of it.
		if n := u.missing[s]; n > 0 && (withCurrent || u.seen[s] == 0) {
			out.Stages = append(out.Stages, MissingStage{Stage: s, Requests: n})
		}
	}
	for _, text := range slices.Sorted(maps.Keys(u.reasons)) {
		out.Unreadable = append(out.Unreadable, *u.reasons[text])
	}
	slices.SortStableFunc(out.Unreadable, func(a, b Reason) int { return cmp.Compare(b.Events, a.Events) })
	if withCurrent {
		out.Current = &CurrentUnknown{Agree: u.agree, Disagree: []Disagree{}}
		for _, d := range u.disagree {
			out.Current.Disagree = append(out.Current.Disagree, *d)
		}
		slices.SortFunc(out.Current.Disagree, func(a, b Disagree) int {
			return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Recorded, b.Recorded),
				cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Stage, b.Stage))
		})
	}
	return out
}

package simulate

import (
	"time"

	"kubetrail/audit"
	"kubetrail/policy"
)

// Volume is a number of events and of the bytes of their lines, newlines included.
type Volume struct {
	Events int64 `json:"events"`
	Bytes  int64 `json:"bytes"`
}

func (v *Volume) add(bytes int64) {
	v.Events++
	v.Bytes += bytes
}

// Change is what was recorded, and what the candidate would have recorded of it.
type Change struct {
	Before Volume `json:"before"`
	After  Volume `json:"after"`

	// Partly counts the events in After of whose bytes only a part is known: After has
	// at least as many as it says.
	Partly int64 `json:"partlyKnown,omitempty"`
}

// keep counts an event that the candidate keeps.
func (c *Change) keep(to resized) {
	c.After.add(to.bytes)
	if to.atLeast {
		c.Partly++
	}
}

func (c *Change) add(d *Change) {
	c.Before.Events += d.Before.Events
	c.Before.Bytes += d.Before.Bytes
	c.After.Events += d.After.Events
	c.After.Bytes += d.After.Bytes
	c.Partly += d.Partly
}

// Report is what a Simulation came to.
type Report struct {
	// First and Last are the times of the oldest and the newest event, microseconds
	// since the epoch, audit.NoTime where no event has one.
	First int64 `json:"-"`
	Last  int64 `json:"-"`

	Total    Change `json:"total"`
	Vanished Volume `json:"vanished"` // as recorded; the candidate keeps nothing of them
	Lowered  Change `json:"lowered"`  // kept at a lower level
	Raised   Change `json:"raised"`   // kept at a higher level
	Cleaned  Change `json:"cleaned"`  // kept without metadata.managedFields

	Rules     []RuleChange   `json:"rules"`  // every rule of the candidate, then none (index -1) if any event met none
	Levels    []LevelChange  `json:"levels"` // every level from Metadata, then "" if any event has none
	Users     Top[Named]     `json:"users"`
	Resources Top[Named]     `json:"resources"`
	Vanish    Top[Vanishing] `json:"vanish"`
	Unknown   Unknown        `json:"unknown"`
}

// MoreEvents tells whether it is known that the candidate records, or may record, more
// events than Total.After says.
func (r *Report) MoreEvents() bool {
	u := &r.Unknown
	return len(u.Unreadable)+len(u.Stages) > 0 || u.Current != nil && (len(u.Current.Invisible) > 0 || u.Current.TooLarge)
}

// MoreBytes tells the same of bytes.
func (r *Report) MoreBytes() bool { return r.Total.Partly > 0 || r.MoreEvents() }

// RuleChange is what one rule of the candidate decides about.
type RuleChange struct {
	Rule  int          `json:"rule"` // index, -1: no rule matched
	Line  int          `json:"line,omitempty"`
	Level policy.Level `json:"level"`
	Change

	Never Never `json:"never,omitempty"` // why it matched no event; empty where it did
}

// Never is why a rule matched no event.
type Never string

// The reasons. Only the first is known without the policy in force.
const (
	NeverReached  Never = "neverReached"  // no request leads to it: earlier rules decide about all
	NeverRecorded Never = "neverRecorded" // the policy in force records nothing of its requests
	NeverSeen     Never = "neverSeen"     // there was no such request, or it was not recorded
)

// LevelChange is what was recorded at a level, and what the candidate would record at it.
type LevelChange struct {
	Level policy.Level `json:"level"`
	Change
}

// Named is what goes by one name: a user, or a resource such as
// "deployments.apps/scale", or the path of a URL that is none.
type Named struct {
	Name string `json:"name"`
	Change
}

// Vanishing is a group of events that the candidate keeps nothing of.
type Vanishing struct {
	User     string `json:"user"`
	Verb     string `json:"verb"`
	Resource string `json:"resource"`
	Rule     int    `json:"rule"` // the candidate's, -1: none

	// Stage is the stage that the candidate omits. It is empty where nothing of the
	// request is recorded, because its level is None.
	Stage policy.Stage `json:"stage,omitempty"`

	Volume
	Example Example `json:"example"`
}

// Example is one of the events that a statement is about, the oldest.
type Example struct {
	AuditID string `json:"auditID"`
	Verb    string `json:"verb"`
	URI     string `json:"requestURI"`
	User    string `json:"user"`
	Time    int64  `json:"-"` // microseconds since the epoch, or audit.NoTime
}

// Top is a list of groups, the biggest first, and what became of the others.
type Top[Row any] struct {
	Rows []Row `json:"rows"`

	// Folded counts the groups that were added to Others because more came up than
	// are told apart. A group in Rows may then lack up to Missed (bytes of users and
	// resources, events of what vanishes) from before it was told apart for good.
	Folded int    `json:"folded,omitempty"`
	Others Change `json:"others,omitzero"`
	Missed int64  `json:"missed,omitempty"`

	More int `json:"more,omitempty"` // rows that Limit cut off
}

func (t *Top[Row]) limit(n int) {
	if cut := len(t.Rows) - n; n > 0 && cut > 0 {
		t.Rows, t.More = t.Rows[:n], t.More+cut
	}
}

// Unknown is what a replay cannot tell, because it was never recorded.
type Unknown struct {
	// Raised are the events that the candidate records at a higher level, where that
	// adds bodies nobody has: their bytes count as far as they are known.
	Raised []Raise `json:"raised"`

	// Stages are those that the candidate records and the log lacks.
	Stages []MissingStage `json:"stages"`

	// Unreadable are events that no policy can judge, by reason. They count before,
	// not after.
	Unreadable []Reason `json:"unreadable"`

	// NoLevel are events that do not say at which level they were recorded (the
	// legacy format): they count after with the bytes they have.
	NoLevel Volume `json:"noLevel"`

	// Truncated are events whose bodies --audit-log-truncate-enabled cut off, and
	// which would perhaps be short enough at the candidate's level to keep one.
	Truncated Volume `json:"truncated"`

	// Cleaned are events recorded without metadata.managedFields, which the candidate
	// keeps. It is known only with the policy that was in force.
	Cleaned Volume `json:"cleaned"`

	// Current is known only with the policy that was in force.
	Current *CurrentUnknown `json:"current,omitempty"`
}

// Raise counts the events recorded at a level and wanted at a higher one.
type Raise struct {
	From policy.Level `json:"from"`
	To   policy.Level `json:"to"`
	Volume
}

// MissingStage counts the requests of which the candidate would record one more event
// each. Those that were recorded at no other stage are not among them: failed logins,
// where the stage is ResponseStarted.
type MissingStage struct {
	Stage    policy.Stage `json:"stage"`
	Requests int64        `json:"requests"`
}

// Reason counts the events that something is true of.
type Reason struct {
	Text string `json:"text"`
	Volume
	Example Example `json:"example"`
}

// CurrentUnknown is what the policy that was in force tells.
type CurrentUnknown struct {
	// Disagree are events that the policy would not have recorded so: it is not the
	// one that was in force, or not all the time, or not in this apiserver.
	Agree    int64      `json:"agree"`
	Disagree []Disagree `json:"disagree"`

	// Invisible are the candidate's rules that could match requests of which the
	// policy in force records nothing: how many there are is not known. TooLarge
	// tells that the two policies name too much to find out.
	Invisible []Invisible `json:"invisible"`
	TooLarge  bool        `json:"tooLarge,omitempty"`
}

// Disagree counts events recorded otherwise than the policy says.
type Disagree struct {
	Recorded policy.Level `json:"recorded"`
	Policy   policy.Level `json:"policy"`

	// Stage is the stage of the event where the policy omits it and the levels agree.
	Stage policy.Stage `json:"stage,omitempty"`

	Events  int64   `json:"events"`
	Example Example `json:"example"`
}

// Invisible is a rule of the candidate that records requests which the policy in force
// does not.
type Invisible struct {
	Rule    int          `json:"rule"`
	Line    int          `json:"line,omitempty"`
	Level   policy.Level `json:"level"`
	Example RequestLine  `json:"example"` // one such request, a smallest one
}

// RequestLine is a request as kubetrail policy explain --requests reads it. It was not
// authenticated where it has no user.
type RequestLine struct {
	Method string   `json:"method"`
	URI    string   `json:"uri"`
	User   string   `json:"user,omitempty"`
	Groups []string `json:"groups,omitempty"`
}

// Span is the time between the oldest event and the newest.
func (r *Report) Span() time.Duration {
	if r.First == audit.NoTime {
		return 0
	}
	return time.Duration(r.Last-r.First) * time.Microsecond
}

// PerDay extrapolates a number from the span to 24 hours. It is 0 where the events
// span no time.
func (r *Report) PerDay(n int64) float64 {
	span := r.Span()
	if span <= 0 {
		return 0
	}
	return float64(n) * float64(24*time.Hour) / float64(span)
}

// Limit shortens the lists of users, resources and what vanishes to n rows each; 0
// leaves them whole.
func (r *Report) Limit(n int) {
	r.Users.limit(n)
	r.Resources.limit(n)
	r.Vanish.limit(n)
}

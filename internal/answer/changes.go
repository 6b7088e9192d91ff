package answer

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/history"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/request"
	"kubetrail/internal/subject"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
)

// ChangesConfig says which changes are wanted, and how they are told.
type ChangesConfig struct {
	Chinese     bool // the sentences in JSON
	All         bool // routine too
	Failed      bool // list the writes that failed, apart
	ByNamespace bool // print them by namespace
	Rows        int  // at most so many; 0 is 10,000
	Traced      int  // of so many writes at most is it found out whose consequence they are; 0 is 10,000
}

// changesColumns is what changes look at, of many events: no bodies, but
// for those of deletions.
var changesColumns = history.ClassColumns | output.RefColumns | audit.Set(audit.ImpersonatedUsername)

// Change is one action, or the same one done several times: by a person to one object,
// by a program to the objects of one resource in a namespace.
type Change struct {
	User string `json:"user"`         // who did it
	As   string `json:"as,omitempty"` // whom they impersonated
	Tool string `json:"tool,omitempty"`

	Verb        string   `json:"verb"`
	Group       string   `json:"group,omitempty"`
	Resource    string   `json:"resource,omitempty"`
	Subresource string   `json:"subresource,omitempty"`
	Namespace   string   `json:"namespace,omitempty"` // empty for objects of the cluster, and for a controller's work in several
	Names       []string `json:"names,omitempty"`     // the first in the alphabet; NAMESPACE/NAME where it is several
	Objects     int      `json:"objects,omitempty"`   // how many names there are

	Class    string `json:"class"` // as history.Class
	Code     int32  `json:"code,omitempty"`
	Detail   string `json:"detail,omitempty"` // what it did, where few words say more than the verb
	Cause    string `json:"cause,omitempty"`  // of a controller's: what it reacted to, or why that is unknown
	Sentence string `json:"sentence"`
	tally.Span
	Events []output.EventRef `json:"events"` // the first of them

	// Consequences are what controllers wrote because of it.
	Consequences     []Consequence `json:"consequences,omitempty"`
	ConsequenceCount int           `json:"consequenceCount,omitempty"`

	path    string
	unnamed bool
	names   tally.Names
	refs    tally.Refs
	deed    deed
	follows map[followKey]*follow
}

// changes collects changes. Its memory is bounded by cfg.
type changes struct {
	cfg    ChangesConfig
	key    []byte
	rows   map[string]*Change
	left   int  // changes that there was no row for
	full   bool // rows are too different to be joined
	shown  tally.Span
	hidden [history.NumClasses]int // by class
	failed int                     // writes that failed or were refused
	tool   tally.Memo[[2]string]
	trace  *tracing // nil where there are too many writes
}

// deleting are the writes whose bodies may say that they are dry runs.
const deleting = "verb:(delete or deletecollection) or sub:eviction"

const changing = "verb:(create or update or patch or delete or deletecollection)"

// Changes answers what changed: real changes, those of controllers under the action
// that caused them, routine counted and hidden.
func Changes(ctx context.Context, r trail.Reader, q trail.Query, cfg ChangesConfig) (output.Report, error) {
	if cfg.Rows <= 0 {
		cfg.Rows = 10_000
	}
	if cfg.Traced <= 0 {
		cfg.Traced = 10_000
	}
	c := &changes{cfg: cfg, rows: map[string]*Change{}, shown: tally.NewSpan(), tool: tally.Memo[[2]string]{Work: tally.Tool}}
	var err error
	if c.trace, err = newTracing(ctx, r, q, cfg.Traced); err != nil {
		return output.Report{}, err
	}
	narrow := tally.Requests(q)
	narrow.Where = query.Both(narrow.Where, tally.Must(changing))
	for _, part := range []struct {
		question string
		columns  audit.Columns
	}{{deleting, changesColumns | request.DryRunColumns}, {"not (" + deleting + ")", changesColumns}} {
		some := narrow
		some.Where = query.Both(narrow.Where, tally.Must(part.question))
		if err := tally.Scan(ctx, r, some, part.columns, c.add); err != nil {
			return output.Report{}, err
		}
	}
	if c.trace != nil {
		err = c.trace.consequences(ctx, r, q, c)
	}
	return c.report(), err
}

func Tool(agent string) [2]string {
	name, version := subject.Tool(agent)
	return [2]string{tally.Clip(name), tally.Clip(version)}
}

// add takes in one write.
func (c *changes) add(e *audit.Event) error {
	if !tally.Ended(e) {
		return nil
	}
	class := history.Classify(e)
	switch {
	case class == history.Refused || class == history.Failed:
		c.failed++
		if !c.cfg.Failed {
			return nil
		}
	case class == history.Real || class == history.Unknown || c.cfg.All:
	case class == history.StatusOnly && byHand(e): // an address of a Service, a condition of a certificate
	default:
		c.hidden[class]++
		return nil
	}
	if c.trace != nil && class == history.Real {
		if machine(e) && !untraced(string(e.Text[audit.Resource])) {
			c.trace.waits[e.Seq] = struct{}{}
			return nil
		}
		c.trace.roots[e.Seq] = c.count(e, class, "")
		return nil
	}
	c.count(e, class, "")
	return nil
}

// count gives a write to its row, and returns that; nil where there is no room.
func (c *changes) count(e *audit.Event, class history.Class, cause string) *Change {
	at := e.Time()
	d := c.row(e, class, cause)
	c.shown.Note(at)
	if d == nil {
		c.left++
		return nil
	}
	d.Note(at)
	d.refs.Note(e)
	if name := e.Text[audit.Name]; len(name) > 0 && machine(e) && len(e.Text[audit.Namespace]) > 0 {
		d.names.Note(slices.Concat(e.Text[audit.Namespace], []byte("/"), name)) // it may be about several
	} else if len(name) > 0 {
		d.names.Note(name)
	} else {
		d.unnamed = true
	}
	return d
}

// machine reports whether a controller or a node wrote, and nobody through it.
func machine(e *audit.Event) bool {
	return len(e.Text[audit.ImpersonatedUsername]) == 0 && subject.Of(string(e.Text[audit.Username])).Machine()
}

// byHand reports whether somebody wrote who is no part of the cluster. Of pods and nodes
// that is no news: there are kubelets of all kinds.
func byHand(e *audit.Event) bool {
	switch string(e.Text[audit.Resource]) {
	case "pods", "nodes":
		return false
	}
	return len(e.Text[audit.ImpersonatedUsername]) > 0 || !bytes.HasPrefix(e.Text[audit.Username], []byte("system:")) ||
		string(e.Text[audit.Username]) == "system:anonymous"
}

// row returns the row for a write, nil where there is no room for another one.
func (c *changes) row(e *audit.Event, class history.Class, cause string) *Change {
	t := func(col audit.Column) string { return string(e.Text[col]) }
	k := c.key[:0]
	for _, col := range [...]audit.Column{audit.Username, audit.ImpersonatedUsername, audit.Verb, audit.APIGroup, audit.Resource, audit.Subresource} {
		k = append(append(k, e.Text[col]...), 0)
	}
	k = append(k, byte(class), byte(e.Code), byte(e.Code>>8))
	k = append(append(k, cause...), 0)
	byMachine := machine(e)
	if !byMachine {
		k = append(append(k, e.Text[audit.Namespace]...), 0)
	}
	if !byMachine && subject.Of(t(audit.Username)).Kind != subject.ServiceAccount {
		k = append(append(k, e.Text[audit.Name]...), 0)
	}
	if len(e.Text[audit.Resource]) == 0 {
		k = append(k, e.Text[audit.RequestURI][:min(len(e.Text[audit.RequestURI]), 512)]...)
	}
	c.key = k
	d := c.rows[string(k)]
	if d == nil && len(c.rows) == c.cfg.Rows && !c.full && c.trace == nil {
		c.fold()
	}
	if d == nil && len(c.rows) < c.cfg.Rows {
		d = &Change{User: t(audit.Username), As: t(audit.ImpersonatedUsername), Tool: c.tool.Of(e.Text[audit.UserAgent])[0],
			Verb: t(audit.Verb), Group: t(audit.APIGroup), Resource: t(audit.Resource), Subresource: t(audit.Subresource),
			Namespace: t(audit.Namespace), Class: class.String(), Code: e.Code, Cause: cause}
		if d.Resource == "" {
			d.path = tally.Clip(t(audit.RequestURI))
		}
		c.rows[string(k)] = d
	}
	if d != nil && byMachine && d.Namespace != t(audit.Namespace) {
		d.Namespace = "" // in several
	}
	return d
}

// finish writes what a row says.
func (c *changes) finish(d *Change) {
	d.Written()
	d.Events = d.refs.List()
	slices.SortStableFunc(d.Consequences, func(x, y Consequence) int {
		return cmp.Or(cmp.Compare(x.Event.Time, y.Event.Time), cmp.Compare(x.Event.Seq, y.Event.Seq))
	})
	d.Names, d.Objects = d.names.First, d.names.Len()
	if d.Namespace != "" {
		for i, name := range d.Names {
			d.Names[i] = strings.TrimPrefix(name, d.Namespace+"/")
		}
	}
	d.deed = deed{verb: d.Verb, group: d.Group, resource: d.Resource, sub: d.Subresource, namespace: d.Namespace, path: d.path,
		names: d.Names, named: d.Objects, atLeast: d.names.Full, unnamed: d.unnamed, count: d.Count, code: d.Code, dryRun: d.Class == history.DryRun.String()}
	d.Sentence = who(d.User, d.As, c.cfg.Chinese) + either(c.cfg.Chinese, "：", " ") + d.deed.sentence(c.cfg.Chinese)
}

// fold makes room by joining rows as [folded] does in the end, so that nobody hides a
// change behind many others that are alike.
func (c *changes) fold() {
	keys := make(map[*Change]string, len(c.rows))
	for k, d := range c.rows {
		keys[d] = k
	}
	kept := folded(c.rows)
	clear(c.rows)
	for _, d := range kept {
		c.rows[keys[d]] = d
	}
	c.full = len(c.rows) > c.cfg.Rows-c.cfg.Rows/8 // it does not pay to look again
}

// few is up to how many objects of one resource are rows of their own.
const few = 5

// folded joins the rows of what somebody did to many objects of one resource in one
// namespace.
func folded(rows map[string]*Change) []*Change {
	type key struct {
		who, as, verb, group, resource, sub, namespace, class, path, cause string
		code                                                               int32
	}
	groups := map[key][]*Change{}
	for _, d := range rows {
		k := key{d.User, d.As, d.Verb, d.Group, d.Resource, d.Subresource, d.Namespace, d.Class, d.path, d.Cause, d.Code}
		groups[k] = append(groups[k], d)
	}
	var out []*Change
	for _, g := range groups {
		if len(g) <= few {
			out = append(out, g...)
			continue
		}
		slices.SortFunc(g, func(x, y *Change) int { return cmp.Compare(x.From, y.From) })
		for _, d := range g[1:] {
			g[0].take(d)
		}
		out = append(out, g[0])
	}
	return out
}

// take makes d tell of what x tells of as well.
func (d *Change) take(x *Change) {
	d.Join(x.Span)
	d.names.Join(&x.names)
	d.unnamed = d.unnamed || x.unnamed
	d.refs.Join(&x.refs)
	d.caused(x)
}

// sorted are the rows in the order of time, those that failed after all others.
func (c *changes) sorted() (done, failed []*Change) {
	for _, d := range folded(c.rows) {
		c.finish(d)
		if d.unsuccessful() {
			failed = append(failed, d)
		} else {
			done = append(done, d)
		}
	}
	order := func(x, y *Change) int {
		return cmp.Or(cmp.Compare(x.To, y.To), cmp.Compare(x.From, y.From), cmp.Compare(x.Sentence, y.Sentence), cmp.Compare(x.Code, y.Code))
	}
	slices.SortFunc(done, order)
	slices.SortFunc(failed, order)
	return done, failed
}

// report puts the answer together.
func (c *changes) report() output.Report {
	done, failed := c.sorted()
	r := output.Report{Kind: "ChangeList", Head: map[string]any{}}
	for _, d := range append(done, failed...) {
		r.Items = append(r.Items, d)
	}
	hidden := map[string]int{}
	for class, n := range c.hidden {
		if n > 0 {
			hidden[history.Class(class).String()] = n
		}
	}
	r.Head["hidden"], r.Head["failed"], r.Head["traced"] = hidden, c.failed, c.trace != nil
	if c.left > 0 {
		r.Head["changesLeftOut"] = c.left
	}
	r.Text = func(p *output.Page) error { return c.print(p, done, failed) }
	return r
}

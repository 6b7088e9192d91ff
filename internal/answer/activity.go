package answer

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/subject"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
)

// ActivityConfig says whose activity, and how it is told.
type ActivityConfig struct {
	Subject Subject
	Chinese bool // the sentences in JSON
	Notable bool // what deserves a look first
	Rows    int  // at most so many; 0 is 10,000
}

// activityColumns is what an activity looks at.
var activityColumns = output.RefColumns | audit.Set(audit.Verb, audit.APIGroup, audit.Resource, audit.Subresource, audit.Namespace,
	audit.Name, audit.RequestURI, audit.Username, audit.ImpersonatedUsername, audit.UserExtra, audit.UserAgent, audit.SourceIPs, audit.Code)

// Done is requests that one sentence tells of: the same subject did the same to objects
// of one resource in one namespace, with the same result.
type Done struct {
	User string `json:"user"`         // who sent them, "" where authentication failed
	As   string `json:"as,omitempty"` // whom they impersonated

	Verb        string   `json:"verb"`
	Group       string   `json:"group,omitempty"`
	Resource    string   `json:"resource,omitempty"`
	Subresource string   `json:"subresource,omitempty"`
	Namespace   string   `json:"namespace,omitempty"`
	Path        string   `json:"path,omitempty"`    // of requests that are not about a resource
	Names       []string `json:"names,omitempty"`   // the first in the alphabet
	Objects     int      `json:"objects,omitempty"` // how many names there are
	AtLeast     bool     `json:"atLeast,omitempty"` // there are more

	Code     int32  `json:"code,omitempty"`
	Refused  bool   `json:"refused,omitempty"`
	Write    bool   `json:"write,omitempty"`
	Notable  string `json:"notable,omitempty"` // why it deserves a look: see [notable]
	Sentence string `json:"sentence"`
	tally.Span
	Events []output.EventRef `json:"events"` // the first of them

	unnamed bool
	names   tally.Names
	refs    tally.Refs
	deed    deed
}

// identity is who acted, and as whom.
type identity struct{ user, as string }

// activity collects what a subject did. Its memory is bounded by cfg.Rows.
type activity struct {
	cfg      ActivityConfig
	key      []byte
	rows     map[string]*Done
	left     tally.Span // requests that there was no row for
	requests tally.Span
	refused  int
	writes   int
	who      *tally.By[identity]
	creds    *tally.By[string]
	from     *tally.By[string]
	tools    *tally.By[[2]string]

	credential tally.Memo[string]
	chain      tally.Memo[string]
	tool       tally.Memo[[2]string]
}

// Activity answers what a subject did, and what others did in the subject's name.
func Activity(ctx context.Context, r trail.Reader, q trail.Query, cfg ActivityConfig) (output.Report, error) {
	where, err := cfg.Subject.Where()
	if err != nil {
		return output.Report{}, err
	}
	q.Where = query.Both(q.Where, where)
	if cfg.Rows <= 0 {
		cfg.Rows = 10_000
	}
	a := &activity{cfg: cfg, rows: map[string]*Done{}, who: tally.New[identity](1000), creds: tally.New[string](1000), from: tally.New[string](1000), tools: tally.New[[2]string](1000),
		credential: tally.Memo[string]{Work: credentialOf}, chain: tally.Memo[string]{Work: chainOf},
		tool: tally.Memo[[2]string]{Work: tally.Tool}}
	if err := tally.Scan(ctx, r, tally.Requests(q), activityColumns, a.add); err != nil {
		return output.Report{}, err
	}
	return a.report(), nil
}

// add takes in one request.
func (a *activity) add(e *audit.Event) error {
	if !tally.Ended(e) {
		return nil
	}
	at := e.Time()
	if c := a.credential.Of(e.Text[audit.UserExtra]); c != "" {
		a.creds.Note(c, at)
	}
	if c := a.chain.Of(e.Text[audit.SourceIPs]); c != "" {
		a.from.Note(c, at)
	}
	if agent := e.Text[audit.UserAgent]; len(agent) > 0 {
		a.tools.Note(a.tool.Of(agent), at)
	}
	d := a.row(e)
	if d == nil {
		a.left.Note(at)
		return nil
	}
	d.Note(at)
	d.refs.Note(e)
	if name := e.Text[audit.Name]; len(name) > 0 {
		d.names.Note(name)
	} else if d.Resource != "" {
		d.unnamed = true
	}
	return nil
}

// total counts what the rows tell of together.
func (a *activity) total() {
	a.requests = a.left
	for _, d := range a.rows {
		a.requests.Join(d.Span)
		switch {
		case d.Refused:
			a.refused += d.Count
		case d.Write:
			a.writes += d.Count
		}
		a.who.Add(identity{d.User, d.As}, d.Span)
	}
}

// row returns the row for a request, nil where there is no room for another one.
func (a *activity) row(e *audit.Event) *Done {
	k := a.key[:0]
	columns := [...]audit.Column{audit.Username, audit.ImpersonatedUsername, audit.Verb, audit.APIGroup, audit.Resource, audit.Subresource, audit.Namespace}
	for _, c := range columns {
		k = append(append(k, e.Text[c]...), 0)
	}
	k = append(k, byte(e.Code), byte(e.Code>>8))
	var path []byte
	if len(e.Text[audit.Resource]) == 0 {
		path = e.Text[audit.RequestURI]
		if i := slices.Index(path, '?'); i >= 0 {
			path = path[:i]
		}
		path = path[:min(len(path), 1024)]
		k = append(k, path...)
	}
	a.key = k
	d := a.rows[string(k)]
	if d == nil && len(a.rows) < a.cfg.Rows {
		t := func(c audit.Column) string { return string(e.Text[c]) }
		d = &Done{User: t(audit.Username), As: t(audit.ImpersonatedUsername), Verb: t(audit.Verb), Group: t(audit.APIGroup),
			Resource: t(audit.Resource), Subresource: t(audit.Subresource), Namespace: t(audit.Namespace), Path: string(path),
			Code: e.Code, Refused: tally.Refused(e.Code)}
		d.Write = writes(d.Verb, d.Resource, d.Subresource)
		a.rows[string(k)] = d
	}
	return d
}

// credentialOf names the credential that user.extra tells of, and the pod that a
// service account's token was made for.
func credentialOf(extra string) string {
	var m map[string][]string
	if extra == "" || json.Unmarshal([]byte(extra), &m) != nil {
		return ""
	}
	id := strings.Join(m["authentication.kubernetes.io/credential-id"], ",")
	if pod := m["authentication.kubernetes.io/pod-name"]; len(pod) > 0 {
		id = strings.TrimSpace(id + " pod/" + pod[0])
	}
	return tally.Clip(id)
}

// chainOf writes the addresses of a request as "203.0.113.7 > 127.0.0.1": only the last
// one is sure, the others are what the client or a proxy said.
func chainOf(ips string) string {
	return tally.Clip(strings.Join(output.StringList([]byte(ips)), " > "))
}

// clip bounds what is kept of a text that a client chose.
func Clip(s string) string {
	const most = 512
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// finish writes what a row says.
func (a *activity) finish(d *Done) {
	d.Written()
	d.Events = d.refs.List()
	d.Names, d.Objects, d.AtLeast = d.names.First, d.names.Len(), d.names.Full
	d.deed = deed{verb: d.Verb, group: d.Group, resource: d.Resource, sub: d.Subresource, namespace: d.Namespace, path: d.Path,
		names: d.Names, named: d.Objects, atLeast: d.AtLeast, unnamed: d.unnamed, count: d.Count, code: d.Code}
	d.Notable = notable(d)
	d.Sentence = d.told(a.cfg.Chinese)
}

// told is the sentence of a row, with whose identity was used and when.
func (d *Done) told(chinese bool) string {
	s := d.deed.sentence(chinese)
	if d.As != "" && chinese {
		s += "，以 " + output.Plain(d.As, false) + " 的身份"
	} else if d.As != "" {
		s += ", as " + output.Plain(d.As, false)
	}
	if when := tally.Period(d.From, d.To); when != "" && chinese {
		s += "，" + when
	} else if when != "" {
		s += ", " + when
	}
	return s
}

// notable says why a row deserves a look, "" where it does not:
//
//	secret         a Secret was read or written
//	escalation     who may do what was changed, or somebody else's identity taken
//	exec           somebody was inside a container, or behind its port
//	impersonation  it was done as somebody else
//	refused        it was tried, and refused
func notable(d *Done) string {
	escalates := d.Write && (d.Group == "rbac.authorization.k8s.io" || d.Group == "admissionregistration.k8s.io") ||
		d.Resource == "serviceaccounts" && d.Subresource == "token" ||
		d.Resource == "certificatesigningrequests" && d.Write || d.Resource == "nodes" && d.Subresource == "proxy" ||
		d.Resource == "serviceaccounts" && d.Verb == "create"
	machine := subject.Of(d.User).Machine() && d.As == ""
	switch {
	case d.Refused:
		return "refused"
	case escalates && !machine:
		return "escalation"
	case d.Resource == "secrets" && d.Group == "" && !machine:
		return "secret"
	case d.Resource == "pods" && (d.Subresource == "exec" || d.Subresource == "attach" || d.Subresource == "portforward" || d.Subresource == "ephemeralcontainers"):
		return "exec"
	case d.As != "":
		return "impersonation"
	}
	return ""
}

// order is how notable rows come first.
var notableOrder = map[string]int{"escalation": 1, "secret": 2, "exec": 3, "impersonation": 4, "refused": 5, "": 6}

// sorted are the rows as they are printed: writes before reads, each in the order of
// time, or what is notable before all others.
func (a *activity) sorted() []*Done {
	rows := make([]*Done, 0, len(a.rows))
	for _, d := range a.rows {
		a.finish(d)
		rows = append(rows, d)
	}
	slices.SortFunc(rows, func(x, y *Done) int {
		first := 0
		if a.cfg.Notable {
			first = cmp.Compare(notableOrder[x.Notable], notableOrder[y.Notable])
		}
		return cmp.Or(first, cmp.Compare(rank(y.Write), rank(x.Write)), cmp.Compare(x.From, y.From),
			cmp.Compare(x.Sentence, y.Sentence), cmp.Compare(x.User, y.User), cmp.Compare(x.Code, y.Code), cmp.Compare(x.Verb, y.Verb))
	})
	return rows
}

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

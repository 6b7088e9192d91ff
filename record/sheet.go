package record

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"kubetrail/audit"
	"kubetrail/policy"
)

// maxPooled is how much memory of one event is kept for the next.
const maxPooled = 128 << 10

// A sheet is an event and the memory of its columns. It belongs to one stage of one
// request at a time.
type sheet struct {
	Event
	scratch []byte
	list    [1]*Event // of Event
}

// fill makes the event of a stage from all that is known by now. r.mu is held.
func (p *sheet) fill(r *recording, stage policy.Stage, now time.Time) {
	e := &p.Event
	p.scratch = p.scratch[:0]
	clear(e.Text[:])
	e.Changed()
	e.Received, e.Staged = r.received.UnixMicro(), now.UnixMicro()
	p.text(audit.Level, string(r.decision.Level))
	p.text(audit.Stage, string(stage))
	p.text(audit.Verb, r.request.Verb)
	p.text(audit.AuditID, r.id)
	p.text(audit.RequestURI, r.uri)
	p.agent(r.agent)
	p.user(audit.Username, r.user)
	p.user(audit.ImpersonatedUsername, r.impersonated)
	if r.constraint != "" {
		n := len(p.scratch)
		p.scratch = appendString(append(p.scratch, `{"impersonationConstraint":`...), r.constraint)
		p.scratch = append(p.scratch, '}')
		p.take(audit.AuthenticationMetadata, n)
	}
	if len(r.ips) > 0 {
		n := len(p.scratch)
		p.scratch = append(p.scratch, r.ips...)
		p.take(audit.SourceIPs, n)
	}
	if r.ref.present {
		p.ref(&r.ref)
	}
	e.Code = r.status.code
	p.text(audit.Status, r.status.status)
	p.text(audit.Message, r.status.message)
	p.text(audit.StatusReason, r.status.reason)
	if len(r.status.details) > 0 {
		n := len(p.scratch)
		p.scratch = append(p.scratch, r.status.details...)
		p.take(audit.StatusDetails, n)
	}
	list := r.annotations
	e.RequestObject, e.ResponseObject = r.bodies[0].bytes(), r.bodies[1].bytes()
	if r.truncated {
		e.RequestObject, e.ResponseObject = nil, nil
		list = annotate(slices.Clip(list), truncatedKey, "true")
	}
	p.annotations(list)
}

// truncatedKey is the annotation of an event that has lost its bodies. Upstream:
// plugin/pkg/audit/truncate.
const truncatedKey = "audit.k8s.io/truncated"

// text sets a column.
func (p *sheet) text(c audit.Column, s string) {
	n := len(p.scratch)
	p.scratch = append(p.scratch, s...)
	p.take(c, n)
}

// take sets a column to what scratch has from n on.
func (p *sheet) take(c audit.Column, n int) {
	p.Text[c] = p.scratch[n:len(p.scratch):len(p.scratch)]
}

// agent sets the user agent, cut where upstream cuts it: maybe inside a rune.
func (p *sheet) agent(s string) {
	n := len(p.scratch)
	if len(s) > maxAgent {
		p.scratch = append(append(p.scratch, s[:maxAgent]...), "...TRUNCATED"...)
	} else {
		p.scratch = append(p.scratch, s...)
	}
	p.take(audit.UserAgent, n)
}

// user sets the four columns of a user.
func (p *sheet) user(c audit.Column, u *User) {
	if u == nil {
		return
	}
	p.text(c, u.Username)
	p.text(c+(audit.UserUID-audit.Username), u.UID)
	if len(u.Groups) > 0 {
		n := len(p.scratch)
		p.scratch = appendStrings(p.scratch, u.Groups)
		p.take(c+(audit.UserGroups-audit.Username), n)
	}
	if len(u.Extra) > 0 {
		n := len(p.scratch)
		p.scratch = append(p.scratch, '{')
		var few [8]string
		keys := slices.AppendSeq(few[:0], maps.Keys(u.Extra))
		slices.Sort(keys)
		for _, k := range keys {
			p.scratch = appendString(p.scratch, k)
			p.scratch = appendStrings(append(p.scratch, ':'), u.Extra[k])
			p.scratch = append(p.scratch, ',')
		}
		p.scratch[len(p.scratch)-1] = '}'
		p.take(c+(audit.UserExtra-audit.Username), n)
	}
}

func (p *sheet) ref(o *objectRef) {
	p.text(audit.Resource, o.resource)
	p.text(audit.Namespace, o.namespace)
	p.text(audit.Name, o.name)
	p.text(audit.ObjectUID, o.uid)
	p.text(audit.APIGroup, o.group)
	p.text(audit.APIVersion, o.version)
	p.text(audit.ResourceVersion, o.resourceVersion)
	p.text(audit.Subresource, o.sub)
}

const (
	decisionKey = "authorization.k8s.io/decision"
	reasonKey   = "authorization.k8s.io/reason"
)

// annotations sets the annotations: decision and reason in columns of their own where
// both are there, as these are how nearly every event has them.
func (p *sheet) annotations(list []annotation) {
	if i, found := search(list, decisionKey); found && list[i].value != "" {
		if j, found := search(list, reasonKey); found {
			p.text(audit.Decision, list[i].value)
			p.text(audit.Reason, list[j].value)
			p.otherAnnotations(list, i, j)
			return
		}
	}
	p.otherAnnotations(list, -1, -1)
}

// otherAnnotations sets the column of all annotations but those at i and j.
func (p *sheet) otherAnnotations(list []annotation, i, j int) {
	n := len(p.scratch)
	for k, a := range list {
		if k == i || k == j {
			continue
		}
		p.scratch = append(p.scratch, ',')
		p.scratch = appendString(p.scratch, a.key)
		p.scratch = appendString(append(p.scratch, ':'), a.value)
	}
	if len(p.scratch) == n {
		return
	}
	p.scratch[n] = '{'
	p.scratch = append(p.scratch, '}')
	p.take(audit.Annotations, n)
}

// appendStrings appends a list as JSON, null where it is nil.
func appendStrings(dst []byte, list []string) []byte {
	if list == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

// appendString appends a string as encoding/json writes it, safe for HTML.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	n := len(dst)
	dst = append(dst, s...)
	if !plain(dst[n:]) {
		text, _ := json.Marshal(s) // no string fails
		return append(dst[:n-1], text...)
	}
	return append(dst, '"')
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x8080808080808080
)

// plain tells whether a JSON string holds b as it is: eight bytes at a time, of which one
// with its high bit set in the sum is a control character, a quote (2 being flipped, so
// that it is the one before !), a backslash, &, < or > (which differ in 2), or no ASCII.
func plain(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		control := x ^ 2*eachByte - '!'*eachByte
		slash := x ^ '\\'*eachByte - eachByte
		and := x ^ '&'*eachByte - eachByte
		angle := x&^(2*eachByte) ^ '<'*eachByte - eachByte
		if (control|slash|and|angle|x)&highBits != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

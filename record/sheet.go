package record

import (
	"encoding/binary"
	"encoding/json"
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
	clear(e.Text[:])
	e.Changed()
	e.Received, e.Staged, e.Code = r.received.UnixMicro(), now.UnixMicro(), r.status.code

	b := p.scratch[:0]
	b = p.text(b, audit.Level, string(r.decision.Level))
	b = p.text(b, audit.Stage, string(stage))
	b = p.text(b, audit.Verb, r.request.Verb)
	b = p.text(b, audit.AuditID, r.id)
	b = p.text(b, audit.RequestURI, r.uri)
	b = p.user(b, audit.Username, r.user)
	b = p.user(b, audit.ImpersonatedUsername, r.impersonated)
	if r.constraint != "" {
		n := len(b)
		b = append(appendString(append(b, `{"impersonationConstraint":`...), r.constraint), '}')
		p.Text[audit.AuthenticationMetadata] = tail(b, n)
	}
	e.Text[audit.SourceIPs] = r.ips
	b = p.agent(b, r.agent)
	if r.ref.present {
		b = p.ref(b, &r.ref)
	}
	b = p.text(b, audit.Status, r.status.status)
	b = p.text(b, audit.Message, r.status.message)
	b = p.text(b, audit.StatusReason, r.status.reason)
	e.Text[audit.StatusDetails] = r.status.details
	e.RequestObject, e.ResponseObject = r.bodies[0].bytes(), r.bodies[1].bytes()
	list := r.annotations
	if r.truncated {
		e.RequestObject, e.ResponseObject = nil, nil
		list = annotate(slices.Clip(list), truncatedKey, "true")
	}
	p.scratch = p.annotations(b, list)
}

// truncatedKey is the annotation of an event that has lost its bodies. Upstream:
// plugin/pkg/audit/truncate.
const truncatedKey = "audit.k8s.io/truncated"

// tail is what b has from n on, whose spare memory is not its own.
func tail(b []byte, n int) []byte { return b[n:len(b):len(b)] }

// text sets a column to a string, which it appends to b. So do the methods below.
func (p *sheet) text(b []byte, c audit.Column, s string) []byte {
	if s == "" {
		return b
	}
	n := len(b)
	b = append(b, s...)
	p.Text[c] = tail(b, n)
	return b
}

// agent sets the user agent, cut where upstream cuts it: maybe inside a rune.
func (p *sheet) agent(b []byte, s string) []byte {
	n := len(b)
	if len(s) > maxAgent {
		b = append(append(b, s[:maxAgent]...), "...TRUNCATED"...)
	} else {
		b = append(b, s...)
	}
	p.Text[audit.UserAgent] = tail(b, n)
	return b
}

// user sets the four columns of a user.
func (p *sheet) user(b []byte, c audit.Column, u *User) []byte {
	if u == nil {
		return b
	}
	b = p.text(b, c, u.Username)
	b = p.text(b, c+(audit.UserUID-audit.Username), u.UID)
	if len(u.Groups) > 0 {
		n := len(b)
		b = appendStrings(b, u.Groups)
		p.Text[c+(audit.UserGroups-audit.Username)] = tail(b, n)
	}
	if len(u.Extra) > 0 {
		n := len(b)
		b = appendExtra(b, u.Extra)
		p.Text[c+(audit.UserExtra-audit.Username)] = tail(b, n)
	}
	return b
}

// appendExtra appends a map that is not empty as JSON, sorted by key.
func appendExtra(b []byte, extra map[string][]string) []byte {
	var few [8]string
	keys := few[:0]
	for k := range extra {
		keys = append(keys, k)
	}
	if len(keys) > 1 {
		slices.Sort(keys)
	}
	for i, k := range keys {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		b = appendString(append(b, separator), k)
		b = appendStrings(append(b, ':'), extra[k])
	}
	return append(b, '}')
}

func (p *sheet) ref(b []byte, o *objectRef) []byte {
	b = p.text(b, audit.Resource, o.resource)
	b = p.text(b, audit.Namespace, o.namespace)
	b = p.text(b, audit.Name, o.name)
	b = p.text(b, audit.ObjectUID, o.uid)
	b = p.text(b, audit.APIGroup, o.group)
	b = p.text(b, audit.APIVersion, o.version)
	b = p.text(b, audit.ResourceVersion, o.resourceVersion)
	return p.text(b, audit.Subresource, o.sub)
}

const (
	decisionKey = "authorization.k8s.io/decision"
	reasonKey   = "authorization.k8s.io/reason"
)

// annotations sets the annotations: decision and reason in columns of their own where
// both are there, as these are how nearly every event has them.
func (p *sheet) annotations(b []byte, list []annotation) []byte {
	i := slices.IndexFunc(list, func(a annotation) bool { return a.key == decisionKey })
	j := slices.IndexFunc(list, func(a annotation) bool { return a.key == reasonKey })
	both := i >= 0 && j >= 0 && list[i].value != ""
	if both {
		b = p.text(b, audit.Decision, list[i].value)
		b = p.text(b, audit.Reason, list[j].value)
	}
	n := len(b)
	for k, a := range list {
		if both && (k == i || k == j) {
			continue
		}
		b = appendString(append(b, ','), a.key)
		b = appendString(append(b, ':'), a.value)
	}
	if len(b) > n {
		b[n] = '{'
		b = append(b, '}')
		p.Text[audit.Annotations] = tail(b, n)
	}
	return b
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

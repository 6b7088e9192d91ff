package audit

import (
	"strconv"
	"unicode/utf8"
)

// ScanError says why a line is not one audit event.
type ScanError struct {
	Offset int    // of the first byte that is wrong
	Reason string // in words, for people

	// Trailing is true where a whole event ends before Offset and something else
	// than white space follows it on the line. The event was filled from
	// line[:Offset].
	Trailing bool
}

func (err *ScanError) Error() string {
	return err.Reason + " at byte " + strconv.Itoa(err.Offset)
}

// Scan fills e from line, which holds one event: a JSON object in any version of
// audit.k8s.io, as a log line or as an item of an EventList, or a line of the legacy
// format. The columns that are not in the line, Offset and Seq stay as they are,
// everything else is set.
// The event keeps slices of line. Its error is a [*ScanError].
//
// An object is an audit event if it says so, with an apiVersion in audit.k8s.io and
// no kind but Event, and has one of the members level, auditID, stage, requestURI
// and verb; without an apiVersion it must have two of these.
//
// Members may come in any order. Of two with the same name the last counts. What is
// not of the type that the API gives it counts as absent. None of that is lost,
// because [Event.Exact] is false then and the line is kept.
func (e *Event) Scan(line []byte) error {
	e.reset(line)
	i := space(line, 0)
	if i == len(line) {
		return &ScanError{Offset: i, Reason: "an empty line"}
	}
	if line[i] != '{' {
		return e.scanLegacy(line, i)
	}
	s := scanner{Event: e, b: line, created: NoTime, timestamp: NoTime}
	end, f := s.event(i)
	if f != none {
		return &ScanError{Offset: end, Reason: f.reason()}
	}
	if reason := s.finish(); reason != "" {
		return &ScanError{Offset: i, Reason: reason}
	}
	if rest := space(line, end); rest != len(line) {
		e.Raw = line[:end]
		return &ScanError{Offset: end, Reason: "more after the end of the event", Trailing: true}
	}
	return nil
}

// reset empties e, but for what the reader of the line sets.
func (e *Event) reset(line []byte) {
	clear(e.Text[:Cluster])
	e.Form = FormV1
	e.Received, e.Staged, e.Nanos, e.Code = NoTime, NoTime, 0, 0
	e.RequestObject, e.ResponseObject = nil, nil
	e.Raw, e.Length = line, int32(len(line))
	e.scratch = e.scratch[:0]
	e.others = e.others[:0]
}

// scanner reads one JSON object into an event. Its methods take the offset of a
// value in b and return the offset after it, or that of a fault.
type scanner struct {
	*Event
	b []byte

	kind, version      []byte
	created, timestamp int64 // of v1alpha1 and v1beta1
}

// member reads the name of the next member of an object, where i is the offset
// after the opening brace (first) or after the value before. It returns the decoded
// name and the offset of the value, or ended and the offset after the object.
func (s *scanner) member(i int, first bool) ([]byte, int, fault) {
	b := s.b
	if i = space(b, i); i >= len(b) {
		return nil, i, cutShort
	}
	switch {
	case b[i] == '}':
		return nil, i + 1, ended
	case first:
	case b[i] == ',':
		i = space(b, i+1)
	case b[i] == ']':
		return nil, i, wrongClose
	default:
		return nil, i, noComma
	}
	if i >= len(b) {
		return nil, i, cutShort
	}
	if b[i] != '"' {
		return nil, i, noKey
	}
	name, i, f := s.string(i)
	if f != none {
		return nil, i, f
	}
	if i+1 < len(b) && b[i] == ':' && b[i+1] > ' ' {
		return name, i + 1, none
	}
	i, f = skipColon(b, i)
	return name, i, f
}

// string decodes the string at i: a slice of the line, or of scratch if it is
// written with escapes or is not UTF-8.
func (s *scanner) string(i int) ([]byte, int, fault) {
	b := s.b
	start := i + 1
	end, high := stringEnd(b, start)
	if end < len(b) && b[end] == '"' {
		text := b[start:end]
		if high != 0 && !utf8.Valid(text) {
			text = s.unescape(text)
		}
		return text, end + 1, none
	}
	end, f := skipString(b, end)
	if f != none {
		return nil, end, f
	}
	return s.unescape(b[start : end-1]), end, none
}

// unescape decodes the raw bytes of a string into scratch.
func (s *scanner) unescape(raw []byte) []byte {
	n := len(s.scratch)
	s.scratch = appendUnescaped(s.scratch, raw)
	return s.scratch[n:len(s.scratch):len(s.scratch)]
}

// text reads a string into a column.
func (s *scanner) text(i int, c Column) (int, fault) {
	if i < len(s.b) && s.b[i] == '"' {
		text, end, f := s.string(i)
		s.Text[c] = text
		return end, f
	}
	s.Text[c] = nil
	return skip(s.b, i)
}

// raw reads a value that begins with open into a column, as it is written.
func (s *scanner) raw(i int, c Column, open byte) (int, fault) {
	end, f := skip(s.b, i)
	if f != none {
		return end, f
	}
	s.Text[c] = nil
	if s.b[i] == open {
		s.Text[c] = s.b[i:end]
	}
	return end, none
}

// body reads a value of any type.
func (s *scanner) body(i int, to *[]byte) (int, fault) {
	end, f := skip(s.b, i)
	if f == none {
		*to = s.b[i:end]
	}
	return end, f
}

// time reads a time.
func (s *scanner) time(i int, to *int64) (int, fault) {
	*to = NoTime
	if i >= len(s.b) || s.b[i] != '"' {
		return skip(s.b, i)
	}
	text, end, f := s.string(i)
	if f == none {
		if t, _, ok := parseTime(text); ok {
			*to = t
		}
	}
	return end, f
}

// code reads the code of a status.
func (s *scanner) code(i int) (int, fault) {
	s.Code = 0
	end, f := skip(s.b, i)
	if f != none {
		return end, f
	}
	s.Code = parseInt32(s.b[i:end])
	return end, none
}

// parseInt32 reads an integer as JSON writes it; anything else is 0.
func parseInt32(b []byte) int32 {
	digits, sign := b, int64(1)
	if len(b) > 0 && b[0] == '-' {
		digits, sign = b[1:], -1
	}
	if len(digits) == 0 || len(digits) > 10 {
		return 0
	}
	var n int64
	for _, c := range digits {
		if c-'0' > 9 {
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	if n *= sign; n != int64(int32(n)) {
		return 0
	}
	return int32(n)
}

// event reads the object whose brace is at i.
func (s *scanner) event(i int) (int, fault) {
	start := i
	if i = s.inOrder(i); i == start {
		i++ // no member yet
	}
	for first := i == start+1; ; first = false {
		name, value, f := s.member(i, first)
		if f != none {
			if f == ended {
				f = none
			}
			return value, f
		}
		switch string(name) {
		case "kind":
			s.kind, i, f = s.word(value)
		case "apiVersion":
			s.version, i, f = s.word(value)
		case "level":
			i, f = s.text(value, Level)
		case "auditID":
			i, f = s.text(value, AuditID)
		case "stage":
			i, f = s.text(value, Stage)
		case "requestURI":
			i, f = s.text(value, RequestURI)
		case "verb":
			i, f = s.text(value, Verb)
		case "user":
			i, f = s.user(value, Username)
		case "impersonatedUser":
			i, f = s.user(value, ImpersonatedUsername)
		case "authenticationMetadata":
			i, f = s.raw(value, AuthenticationMetadata, '{')
		case "sourceIPs":
			i, f = s.raw(value, SourceIPs, '[')
		case "userAgent":
			i, f = s.text(value, UserAgent)
		case "objectRef":
			i, f = s.objectRef(value)
		case "responseStatus":
			i, f = s.responseStatus(value)
		case "requestObject":
			i, f = s.body(value, &s.RequestObject)
		case "responseObject":
			i, f = s.body(value, &s.ResponseObject)
		case "requestReceivedTimestamp":
			i, f = s.time(value, &s.Received)
		case "stageTimestamp":
			i, f = s.time(value, &s.Staged)
		case "annotations":
			i, f = s.annotations(value)
		case "metadata":
			i, f = s.metadata(value)
		case "timestamp":
			i, f = s.time(value, &s.timestamp)
		default:
			i, f = s.other(i, value)
		}
		if f != none {
			return i, f
		}
	}
}

// word decodes the value at i if it is a string.
func (s *scanner) word(i int) ([]byte, int, fault) {
	if i < len(s.b) && s.b[i] == '"' {
		return s.string(i)
	}
	end, f := skip(s.b, i)
	return nil, end, f
}

// user reads a user into the four columns from first.
func (s *scanner) user(i int, first Column) (int, fault) {
	clear(s.Text[first : first+4])
	if i >= len(s.b) || s.b[i] != '{' {
		return skip(s.b, i)
	}
	i++
	for head := true; ; head = false {
		name, value, f := s.member(i, head)
		if f != none {
			if f == ended {
				f = none
			}
			return value, f
		}
		switch string(name) {
		case "username":
			i, f = s.text(value, first)
		case "uid":
			i, f = s.text(value, first+(UserUID-Username))
		case "groups":
			i, f = s.raw(value, first+(UserGroups-Username), '[')
		case "extra":
			i, f = s.raw(value, first+(UserExtra-Username), '{')
		default:
			i, f = skip(s.b, value)
		}
		if f != none {
			return i, f
		}
	}
}

// objectRef reads the reference to the object of the request.
func (s *scanner) objectRef(i int) (int, fault) {
	clear(s.Text[Resource : Subresource+1])
	if i >= len(s.b) || s.b[i] != '{' {
		return skip(s.b, i)
	}
	i++
	for first := true; ; first = false {
		name, value, f := s.member(i, first)
		if f != none {
			if f == ended {
				f = none
			}
			return value, f
		}
		switch string(name) {
		case "resource":
			i, f = s.text(value, Resource)
		case "namespace":
			i, f = s.text(value, Namespace)
		case "name":
			i, f = s.text(value, Name)
		case "uid":
			i, f = s.text(value, ObjectUID)
		case "apiGroup":
			i, f = s.text(value, APIGroup)
		case "apiVersion":
			i, f = s.text(value, APIVersion)
		case "resourceVersion":
			i, f = s.text(value, ResourceVersion)
		case "subresource":
			i, f = s.text(value, Subresource)
		default:
			i, f = skip(s.b, value)
		}
		if f != none {
			return i, f
		}
	}
}

// responseStatus reads the status of the response.
func (s *scanner) responseStatus(i int) (int, fault) {
	clear(s.Text[Status : StatusDetails+1])
	s.Code = 0
	if i >= len(s.b) || s.b[i] != '{' {
		return skip(s.b, i)
	}
	i++
	for first := true; ; first = false {
		name, value, f := s.member(i, first)
		if f != none {
			if f == ended {
				f = none
			}
			return value, f
		}
		switch string(name) {
		case "status":
			i, f = s.text(value, Status)
		case "message":
			i, f = s.text(value, Message)
		case "reason":
			i, f = s.text(value, StatusReason)
		case "details":
			i, f = s.raw(value, StatusDetails, '{')
		case "code":
			i, f = s.code(value)
		default:
			i, f = skip(s.b, value)
		}
		if f != none {
			return i, f
		}
	}
}

const (
	decisionName = "authorization.k8s.io/decision"
	reasonName   = "authorization.k8s.io/reason"
)

// annotations reads the annotations: decision and reason into their columns, the
// others together as one object. Where they are the whole object that is the line's
// own, elsewhere it is built in scratch.
func (s *scanner) annotations(i int) (int, fault) {
	s.Text[Decision], s.Text[Reason], s.Text[Annotations] = nil, nil, nil
	if i >= len(s.b) || s.b[i] != '{' {
		return skip(s.b, i)
	}
	start, end, f := i, i+1, none
	var name []byte
	var value, taken int
	for first := true; ; first = false {
		name, value, f = s.member(end, first)
		if f != none {
			break
		}
		switch c := annotationColumn(name); c {
		case Annotations:
			end, f = skip(s.b, value)
		default:
			taken++
			end, f = s.text(value, c)
		}
		if f != none {
			return end, f
		}
	}
	if f != ended {
		return value, f
	}
	end = value
	if taken == 0 {
		s.Text[Annotations] = s.b[start:end]
		return end, none
	}
	s.otherAnnotations(start)
	return end, none
}

// annotationColumn tells the column of an annotation.
func annotationColumn(name []byte) Column {
	switch string(name) {
	case decisionName:
		return Decision
	case reasonName:
		return Reason
	}
	return Annotations
}

// otherAnnotations builds the object of the annotations without a column of their
// own. The object at i is known to be well formed.
func (s *scanner) otherAnnotations(i int) {
	n := len(s.scratch)
	i++
	for first := true; ; first = false {
		from := space(s.b, i)
		if !first && s.b[from] == ',' {
			from = space(s.b, from+1)
		}
		at := len(s.scratch)
		name, value, f := s.member(i, first)
		if f != none {
			break
		}
		plain := annotationColumn(name) == Annotations
		s.scratch = s.scratch[:at] // the name is of no more use
		if i, _ = skip(s.b, value); !plain {
			continue
		}
		s.scratch = appendMember(s.scratch, n, s.b[from:i])
	}
	if len(s.scratch) > n {
		s.scratch = append(s.scratch, '}')
		s.Text[Annotations] = s.scratch[n:len(s.scratch):len(s.scratch)]
	}
}

// appendMember appends a raw member to the object that is being built from dst[n:].
func appendMember(dst []byte, n int, member []byte) []byte {
	sep := byte(',')
	if len(dst) == n {
		sep = '{'
	}
	return append(append(dst, sep), member...)
}

// other adds the member whose value is at value, and which follows what ends at i,
// to the members that no version of the API knows.
func (s *scanner) other(i, value int) (int, fault) {
	end, f := skip(s.b, value)
	if f != none {
		return end, f
	}
	from := space(s.b, i)
	if s.b[from] == ',' {
		from = space(s.b, from+1)
	}
	s.others = appendMember(s.others, 0, s.b[from:end])
	return end, none
}

// metadata reads the ObjectMeta of v1alpha1 and v1beta1, of which kube-apiserver
// set nothing but creationTimestamp.
func (s *scanner) metadata(i int) (int, fault) {
	s.created = NoTime
	if i >= len(s.b) || s.b[i] != '{' {
		return skip(s.b, i)
	}
	i++
	for first := true; ; first = false {
		name, value, f := s.member(i, first)
		if f != none {
			if f == ended {
				f = none
			}
			return value, f
		}
		if string(name) == "creationTimestamp" {
			i, f = s.time(value, &s.created)
		} else {
			i, f = skip(s.b, value)
		}
		if f != none {
			return i, f
		}
	}
}

// finish judges what was read, and settles what depends on the version. It returns
// why the object is no audit event.
func (s *scanner) finish() string {
	const group = "audit.k8s.io/"
	audit := len(s.version) > len(group) && string(s.version[:len(group)]) == group
	known := 0
	for _, c := range [...]Column{Level, AuditID, Stage, RequestURI, Verb} {
		if s.Text[c] != nil {
			known++
		}
	}
	switch {
	case s.kind != nil && string(s.kind) != "Event":
		return "an object of another kind than Event"
	case s.version != nil && !audit:
		return "an object of another API than audit.k8s.io"
	case known == 0 || known == 1 && !audit:
		return "an object that is no audit event"
	}
	switch {
	case s.version == nil:
		s.Form = FormV1Item
	case string(s.version) == "audit.k8s.io/v1beta1":
		s.Form = FormV1Beta1
	case string(s.version) == "audit.k8s.io/v1alpha1":
		s.Form = FormV1Alpha1
		s.splitGroup()
	}
	if len(s.others) > 0 {
		s.others = append(s.others, '}')
		s.Text[Other] = s.others
	}
	if s.Staged == NoTime {
		s.Staged = s.created
	}
	if s.Received == NoTime {
		s.Received = s.timestamp
	}
	return ""
}

// splitGroup takes the group out of objectRef.apiVersion, which v1alpha1 writes as
// "group/version".
func (s *scanner) splitGroup() {
	v := s.Text[APIVersion]
	for i := len(v) - 1; i >= 0; i-- {
		if v[i] == '/' {
			s.Text[APIGroup], s.Text[APIVersion] = v[:i], v[i+1:]
			return
		}
	}
}

package audit

import (
	"bytes"
	"strconv"
)

// AppendLine appends the line of e to dst, without a newline: Raw where that is
// kept, and what [Event.AppendColumns] writes otherwise.
func (e *Event) AppendLine(dst []byte) []byte {
	if e.Raw != nil {
		return append(dst, e.Raw...)
	}
	return e.AppendColumns(dst)
}

// AppendColumns appends what kube-apiserver would write for the columns of e in the
// form of e, without a newline. Raw JSON, bodies included, goes in as it is.
//
// A line of JSON is that of encoding/json for the types of k8s.io/api/audit, with
// one exception: U+FFFD is written \ufffd, because the apiserver gets it from bytes
// that are no UTF-8 (a header, a user agent cut inside a rune) and hardly ever from
// a string that holds it.
func (e *Event) AppendColumns(dst []byte) []byte {
	if e.Form == FormLegacy {
		return e.appendLegacy(dst)
	}
	dst = e.appendHead(dst)
	if len(e.RequestObject) > 0 {
		dst = append(append(dst, requestObjectKey...), e.RequestObject...)
	}
	if len(e.ResponseObject) > 0 {
		dst = append(append(dst, responseObjectKey...), e.ResponseObject...)
	}
	return e.appendTail(dst)
}

// Exact reports whether [Event.AppendColumns] would write Raw, that is, whether the
// columns are enough to give the line back. Bodies that are slices of Raw, as Scan
// leaves them, are not looked at again.
func (e *Event) Exact() bool {
	if e.Form == FormLegacy {
		e.encoded = e.appendLegacy(e.encoded[:0])
		return bytes.Equal(e.encoded, e.Raw)
	}
	e.encoded = e.appendHead(e.encoded[:0])
	rest, ok := bytes.CutPrefix(e.Raw, e.encoded)
	if ok && len(e.RequestObject) > 0 {
		rest, ok = cutBody(rest, requestObjectKey, e.RequestObject)
	}
	if ok && len(e.ResponseObject) > 0 {
		rest, ok = cutBody(rest, responseObjectKey, e.ResponseObject)
	}
	if !ok {
		return false
	}
	e.encoded = e.appendTail(e.encoded[:0])
	return bytes.Equal(rest, e.encoded)
}

// cutBody cuts the member with the name and the body given from the beginning of
// rest.
func cutBody(rest []byte, key string, body []byte) ([]byte, bool) {
	n := len(key)
	if len(rest) < n+len(body) || string(rest[:n]) != key {
		return rest, false
	}
	rest = rest[n:]
	if len(body) > 0 && &rest[0] != &body[0] && !bytes.HasPrefix(rest, body) {
		return rest, false
	}
	return rest[len(body):], true
}

const (
	requestObjectKey  = `,"requestObject":`
	responseObjectKey = `,"responseObject":`
)

// appendHead appends the members before the bodies.
func (e *Event) appendHead(dst []byte) []byte {
	switch e.Form {
	case FormV1Item:
		dst = append(dst, `{"level":`...)
	case FormV1Beta1:
		dst = append(dst, `{"kind":"Event","apiVersion":"audit.k8s.io/v1beta1"`...)
		dst = e.appendMeta(dst)
	case FormV1Alpha1:
		dst = append(dst, `{"kind":"Event","apiVersion":"audit.k8s.io/v1alpha1"`...)
		dst = e.appendMeta(dst)
	default:
		dst = append(dst, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":`...)
	}
	dst = appendText(dst, e.Text[Level])
	if e.Form == FormV1Beta1 || e.Form == FormV1Alpha1 {
		dst = appendSecondTime(append(dst, `,"timestamp":`...), e.Received)
	}
	dst = appendText(append(dst, `,"auditID":`...), e.Text[AuditID])
	dst = appendText(append(dst, `,"stage":`...), e.Text[Stage])
	dst = appendText(append(dst, `,"requestURI":`...), e.Text[RequestURI])
	dst = appendText(append(dst, `,"verb":`...), e.Text[Verb])
	dst = e.appendUser(append(dst, `,"user":`...), Username)
	if e.any(ImpersonatedUsername, ImpersonatedExtra) {
		dst = e.appendUser(append(dst, `,"impersonatedUser":`...), ImpersonatedUsername)
	}
	dst = appendRawMember(dst, `,"authenticationMetadata":`, e.Text[AuthenticationMetadata])
	dst = appendRawMember(dst, `,"sourceIPs":`, e.Text[SourceIPs])
	dst = appendTextMember(dst, `,"userAgent":`, e.Text[UserAgent])
	if e.any(Resource, Subresource) {
		dst = e.appendObjectRef(dst)
	}
	if e.Code != 0 || e.any(Status, StatusDetails) {
		dst = e.appendStatus(dst)
	}
	return dst
}

// appendTail appends the members after the bodies.
func (e *Event) appendTail(dst []byte) []byte {
	dst = append(dst, `,"requestReceivedTimestamp":`...)
	n := len(dst)
	dst = appendTime(dst, e.Received)
	received := dst[n:]
	dst = append(dst, `,"stageTimestamp":`...)
	second, fraction := split(e.Staged, 1e6)
	if other, _ := split(e.Received, 1e6); second == other && e.Staged != NoTime && e.Received != NoTime {
		dst = appendFraction(append(dst, received[:len(`"2006-01-02T15:04:05`)]...), fraction)
	} else {
		dst = appendTime(dst, e.Staged)
	}
	dst = e.appendAnnotations(dst)
	if o := e.Text[Other]; len(o) > 2 {
		dst = append(append(dst, ','), o[1:len(o)-1]...)
	}
	return append(dst, '}')
}

// any reports whether some column from first to last is there.
func (e *Event) any(first, last Column) bool {
	n := 0
	for c := first; c <= last; c++ {
		n |= len(e.Text[c])
	}
	return n != 0
}

// appendMeta appends the ObjectMeta and the level's name, as v1alpha1 and v1beta1
// have them.
func (e *Event) appendMeta(dst []byte) []byte {
	dst = appendSecondTime(append(dst, `,"metadata":{"creationTimestamp":`...), e.Staged)
	return append(dst, `},"level":`...)
}

// appendTextMember appends a string, with its name before it, unless it is empty.
func appendTextMember(dst []byte, name string, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	return appendText(append(dst, name...), text)
}

// appendRawMember appends raw JSON, with its name before it, unless it is empty.
func appendRawMember(dst []byte, name string, raw []byte) []byte {
	if len(raw) == 0 {
		return dst
	}
	return append(append(dst, name...), raw...)
}

// closeObject turns the comma before the first member of an object that begins at
// dst[n] into its brace, and closes it.
func closeObject(dst []byte, n int) []byte {
	if len(dst) == n {
		return append(dst, '{', '}')
	}
	dst[n] = '{'
	return append(dst, '}')
}

// appendUser appends the user in the four columns from first.
func (e *Event) appendUser(dst []byte, first Column) []byte {
	n := len(dst)
	dst = appendTextMember(dst, `,"username":`, e.Text[first])
	dst = appendTextMember(dst, `,"uid":`, e.Text[first+(UserUID-Username)])
	dst = appendRawMember(dst, `,"groups":`, e.Text[first+(UserGroups-Username)])
	dst = appendRawMember(dst, `,"extra":`, e.Text[first+(UserExtra-Username)])
	return closeObject(dst, n)
}

func (e *Event) appendObjectRef(dst []byte) []byte {
	dst = append(dst, `,"objectRef":`...)
	n := len(dst)
	dst = appendTextMember(dst, `,"resource":`, e.Text[Resource])
	dst = appendTextMember(dst, `,"namespace":`, e.Text[Namespace])
	dst = appendTextMember(dst, `,"name":`, e.Text[Name])
	dst = appendTextMember(dst, `,"uid":`, e.Text[ObjectUID])
	if group := e.Text[APIGroup]; e.Form == FormV1Alpha1 && len(group) > 0 {
		dst = appendText(append(dst, `,"apiVersion":`...), group)
		dst[len(dst)-1] = '/'
		slash := len(dst) - 1
		dst = appendText(dst, e.Text[APIVersion])
		dst = append(dst[:slash+1], dst[slash+2:]...)
	} else {
		dst = appendTextMember(dst, `,"apiGroup":`, group)
		dst = appendTextMember(dst, `,"apiVersion":`, e.Text[APIVersion])
	}
	dst = appendTextMember(dst, `,"resourceVersion":`, e.Text[ResourceVersion])
	dst = appendTextMember(dst, `,"subresource":`, e.Text[Subresource])
	return closeObject(dst, n)
}

func (e *Event) appendStatus(dst []byte) []byte {
	dst = append(dst, `,"responseStatus":{"metadata":{}`...)
	dst = appendTextMember(dst, `,"status":`, e.Text[Status])
	dst = appendTextMember(dst, `,"message":`, e.Text[Message])
	dst = appendTextMember(dst, `,"reason":`, e.Text[StatusReason])
	dst = appendRawMember(dst, `,"details":`, e.Text[StatusDetails])
	if e.Code != 0 {
		dst = appendInt(append(dst, `,"code":`...), e.Code)
	}
	return append(dst, '}')
}

// appendAnnotations appends all annotations: the others in their order, decision
// and reason each before the first that sorts after it.
func (e *Event) appendAnnotations(dst []byte) []byte {
	decision, reason, others := e.Text[Decision], e.Text[Reason], e.Text[Annotations]
	if len(decision) == 0 && len(reason) == 0 {
		return appendRawMember(dst, `,"annotations":`, others)
	}
	dst = append(dst, `,"annotations":`...)
	n := len(dst)
	step := 0
	for i := 1; i < len(others); {
		end, f := skipKey(others, i)
		if f == none {
			end, f = skip(others, end)
		}
		if f != none {
			break // no object of members, so nothing that Scan has put there
		}
		name := others[i+1 : end]
		dst, step = e.appendDecision(dst, step, name)
		dst = append(append(dst, ','), others[i:end]...)
		i = end + 1
	}
	dst, _ = e.appendDecision(dst, step, nil)
	return closeObject(dst, n)
}

// appendDecision appends what is left of decision (step 0) and reason (step 1) and
// sorts before the annotation whose text begins with next; everything if next is
// nil. It returns the step to go on with.
func (e *Event) appendDecision(dst []byte, step int, next []byte) ([]byte, int) {
	if step == 0 {
		if next != nil && string(next) <= decisionName {
			return dst, step
		}
		dst = appendTextMember(dst, `,"`+decisionName+`":`, e.Text[Decision])
		step = 1
	}
	if step == 1 {
		if next != nil && string(next) <= reasonName {
			return dst, step
		}
		if len(e.Text[Decision])+len(e.Text[Reason]) > 0 {
			dst = appendText(append(dst, `,"`+reasonName+`":`...), e.Text[Reason])
		}
		step = 2
	}
	return dst, step
}

// appendInt appends a number.
func appendInt(dst []byte, n int32) []byte {
	return strconv.AppendInt(dst, int64(n), 10)
}

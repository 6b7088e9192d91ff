package audit

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"testing"
	"time"
)

// object is a JSON object as encoding/json reads it: names are case-sensitive, and of
// two members with one name the last counts.
type object = map[string]json.RawMessage

// objectOf reads an object; anything else has no members.
func objectOf(raw []byte) object {
	var o object
	if json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return o
}

// textOf decodes a string; anything else is empty.
func textOf(raw []byte) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// rfc3339 is the grammar; the time package accepts more than that (go.dev/issue/54580).
var rfc3339 = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`)

// timeOf reads a time as the time package does.
func timeOf(raw []byte) int64 {
	t, err := time.Parse(time.RFC3339Nano, textOf(raw))
	if err != nil || !rfc3339.MatchString(textOf(raw)) {
		return NoTime
	}
	if t = t.UTC(); t.Year() < 0 || t.Year() > 9999 {
		return NoTime
	}
	return t.UnixMicro()
}

// open returns raw where it begins with a bracket.
func open(raw []byte, bracket byte) string {
	if len(raw) == 0 || raw[0] != bracket {
		return ""
	}
	return string(raw)
}

// judged is an event as encoding/json sees it.
type judged struct {
	text               [NumText]string
	received, staged   int64
	code               int32
	request, response  string
	annotations, other object
}

// judge reads an event with encoding/json. The line is known to be an object.
func judge(line []byte, form Form) judged {
	o := objectOf(line)
	var j judged
	for name, c := range map[string]Column{
		"level": Level, "stage": Stage, "verb": Verb, "auditID": AuditID,
		"requestURI": RequestURI, "userAgent": UserAgent,
	} {
		j.text[c] = textOf(o[name])
	}
	j.text[AuthenticationMetadata] = open(o["authenticationMetadata"], '{')
	j.text[SourceIPs] = open(o["sourceIPs"], '[')
	j.user(objectOf(o["user"]), Username)
	j.user(objectOf(o["impersonatedUser"]), ImpersonatedUsername)
	j.objectRef(objectOf(o["objectRef"]), form)
	j.status(objectOf(o["responseStatus"]))
	j.request, j.response = string(o["requestObject"]), string(o["responseObject"])
	j.received, j.staged = timeOf(o["requestReceivedTimestamp"]), timeOf(o["stageTimestamp"])
	if j.received == NoTime {
		j.received = timeOf(o["timestamp"])
	}
	if j.staged == NoTime {
		j.staged = timeOf(objectOf(o["metadata"])["creationTimestamp"])
	}
	j.annotations = objectOf(o["annotations"])
	j.text[Decision] = textOf(j.annotations["authorization.k8s.io/decision"])
	j.text[Reason] = textOf(j.annotations["authorization.k8s.io/reason"])
	delete(j.annotations, "authorization.k8s.io/decision")
	delete(j.annotations, "authorization.k8s.io/reason")
	j.other = o
	for _, known := range []string{
		"kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb", "user",
		"impersonatedUser", "authenticationMetadata", "sourceIPs", "userAgent", "objectRef",
		"responseStatus", "requestObject", "responseObject", "requestReceivedTimestamp",
		"stageTimestamp", "annotations", "metadata", "timestamp",
	} {
		delete(j.other, known)
	}
	return j
}

func (j *judged) user(o object, first Column) {
	j.text[first] = textOf(o["username"])
	j.text[first+1] = textOf(o["uid"])
	j.text[first+2] = open(o["groups"], '[')
	j.text[first+3] = open(o["extra"], '{')
}

func (j *judged) objectRef(o object, form Form) {
	for name, c := range map[string]Column{
		"resource": Resource, "namespace": Namespace, "name": Name, "uid": ObjectUID,
		"apiGroup": APIGroup, "apiVersion": APIVersion,
		"resourceVersion": ResourceVersion, "subresource": Subresource,
	} {
		j.text[c] = textOf(o[name])
	}
	v := j.text[APIVersion]
	if i := bytes.LastIndexByte([]byte(v), '/'); form == FormV1Alpha1 && i >= 0 {
		j.text[APIGroup], j.text[APIVersion] = v[:i], v[i+1:]
	}
}

func (j *judged) status(o object) {
	j.text[Status] = textOf(o["status"])
	j.text[Message] = textOf(o["message"])
	j.text[StatusReason] = textOf(o["reason"])
	j.text[StatusDetails] = open(o["details"], '{')
	if json.Unmarshal(o["code"], &j.code) != nil {
		j.code = 0
	}
}

// check compares every column of e with what encoding/json reads from its line.
func (j *judged) check(t *testing.T, e *Event) {
	t.Helper()
	for c := range Column(Cluster) {
		switch c {
		case Annotations, Other:
			want, got := j.annotations, objectOf(e.Text[c])
			if c == Other {
				want = j.other
			}
			if len(want) != len(got) || len(want) > 0 && !reflect.DeepEqual(want, got) {
				t.Errorf("column %d: got %s, want %s", c, got, want)
			}
		default:
			if got := string(e.Text[c]); got != j.text[c] {
				t.Errorf("column %d: got %q, want %q", c, got, j.text[c])
			}
		}
	}
	if e.Received != j.received || e.Staged != j.staged || e.Code != j.code {
		t.Errorf("got received %d, staged %d, code %d; want %d, %d, %d", e.Received, e.Staged, e.Code, j.received, j.staged, j.code)
	}
	if string(e.RequestObject) != j.request || string(e.ResponseObject) != j.response {
		t.Errorf("got bodies %q and %q, want %q and %q", e.RequestObject, e.ResponseObject, j.request, j.response)
	}
	if t.Failed() {
		t.Logf("line: %.2000q", e.Raw)
	}
}

// differ names the first column in which two events differ, or nothing.
func differ(a, b *Event) string {
	for c := range Column(NumText) {
		if !bytes.Equal(a.Text[c], b.Text[c]) {
			return "text column " + string(appendInt(nil, int32(c)))
		}
	}
	switch {
	case a.Form != b.Form:
		return "form"
	case a.Received != b.Received || a.Staged != b.Staged || a.Nanos != b.Nanos:
		return "time"
	case a.Code != b.Code:
		return "code"
	case !bytes.Equal(a.RequestObject, b.RequestObject):
		return "request object"
	case !bytes.Equal(a.ResponseObject, b.ResponseObject):
		return "response object"
	}
	return ""
}

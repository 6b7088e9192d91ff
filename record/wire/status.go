package wire

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// maxKept is how much is kept of an answer that may be a metav1.Status.
const maxKept = 64 << 10

// Status begins to look at an answer that comes with the headers given: w is written its
// body, and told says which metav1.Status it was when all of that has passed, nil for
// every other kind. It returns nil for an answer that is no object.
func Status(contentType, contentEncoding string) (w io.Writer, told func() *metav1.Status) {
	s := newStatusLook(contentType, contentEncoding)
	if s.none {
		return nil, nil
	}
	return &s, s.Status
}

// A statusLook looks at an answer while it passes, and keeps it as long as it may be a
// metav1.Status, at most 64 KiB of it. Most answers say in their first bytes that they are
// none, and then cost nothing more.
//
// It is not safe for concurrent use.
type statusLook struct {
	format format
	packed string
	kept   []byte
	none   bool // it is no Status
}

// newStatusLook begins to look at an answer with the headers given.
func newStatusLook(contentType, contentEncoding string) statusLook {
	s := statusLook{format: formatOf(contentType)}
	if contentEncoding != "" && contentEncoding != "identity" {
		s.packed = contentEncoding
	}
	s.none = contentType == "" || s.format == formatUnknown || strings.Contains(contentType, "stream=")
	return s
}

// Write is told the next bytes of the answer. It never fails, and does not keep p.
func (s *statusLook) Write(p []byte) (int, error) {
	n := len(p)
	if s.none {
		return n, nil
	}
	head := p
	if len(s.kept) > 0 {
		head = s.kept
	}
	if len(s.kept)+n > maxKept || s.isOther(head) {
		s.kept, s.none = nil, true
		return n, nil
	}
	s.kept = append(s.kept, p...)
	return n, nil
}

// isOther tells whether an answer that begins with head is surely no Status.
func (s *statusLook) isOther(head []byte) bool {
	switch {
	case s.packed != "":
		return false
	case s.format == formatJSON:
		return otherJSON(head)
	case s.format == formatProtobuf:
		return otherProtobuf(head)
	}
	return false
}

// Status returns the Status that the answer was, or nil.
func (s *statusLook) Status() *metav1.Status {
	if s.none || len(s.kept) == 0 || s.isOther(s.kept) {
		return nil
	}
	if s.packed == "" && !bytes.Contains(s.kept, []byte("Status")) {
		return nil
	}
	out, err := contentJSON(s.format, s.packed, s.kept, 4*maxKept)
	if err != nil {
		return nil
	}
	return statusOf(out)
}

// statusOf returns the metav1.Status that some JSON is, or nil.
func statusOf(body []byte) *metav1.Status {
	if otherJSON(body) || !bytes.Contains(body, []byte("Status")) {
		return nil
	}
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil || status.Kind != "Status" || status.APIVersion != "v1" {
		return nil
	}
	return &status
}

// otherJSON reads the members at the beginning of an object as long as they are texts,
// which kind and apiVersion nearly always are.
func otherJSON(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 {
		return false
	}
	if b[0] != '{' {
		return true
	}
	for {
		name, rest, ok := cutText(b[1:])
		if !ok || len(rest) == 0 || rest[0] != ':' {
			return false
		}
		text, rest, ok := cutText(rest[1:])
		if !ok || len(rest) == 0 || rest[0] != ',' && rest[0] != '}' {
			return false
		}
		if string(name) == "kind" {
			return string(text) != "Status"
		}
		if string(name) == "apiVersion" && string(text) != "v1" {
			return true
		}
		b = rest
	}
}

// cutText cuts a string without escapes off, and the space around it.
func cutText(b []byte) (text, rest []byte, ok bool) {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	end := textEnd(b, 1)
	if end >= len(b) || b[end] != '"' {
		return nil, nil, false
	}
	return b[1:end], bytes.TrimLeft(b[end+1:], " \t\r\n"), true
}

// otherProtobuf reads the type, which comes first.
func otherProtobuf(b []byte) bool {
	if len(b) < len(magic) {
		return false
	}
	f, _, ok := nextField(b[len(magic):])
	if !ok || f.number != 1 || f.kind != wireBytes {
		return false
	}
	var meta runtime.TypeMeta
	return string(b[:len(magic)]) != magic || meta.Unmarshal(f.payload) == nil && meta.Kind != "Status"
}

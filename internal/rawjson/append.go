package rawjson

import (
	"encoding/base64"
	"fmt"
)

// MaxDepth is how deep a value may be nested. encoding/json reads 10,000 levels, and
// so does every reader made with it; a body stands in an event, which stands in a list,
// and whoever passes that on may wrap it again.
const MaxDepth = 9_990

// Append appends the one JSON value in raw as encoding/json would write it inside a
// marshalled object: without space between tokens, and with <, >, &, U+2028 and U+2029
// escaped. Everything else stays as it is: numbers, escapes, the order of members,
// members named twice, bytes that are no UTF-8. What is no JSON value, or nested deeper
// than MaxDepth, is an error, and dst is then returned as it was.
//
// raw and the spare capacity of dst must not overlap. Nothing is allocated but what dst
// has to grow by.
func Append(dst, raw []byte) ([]byte, error) { return appendValue(dst, raw, false) }

// OmitManagedFields is Append for an object of the API without the managed
// fields of itself, of the items of a list and of the objects in the rows of a Table: the
// bytes are those of the object encoded with metadata.managedFields unset. A list is what
// has an array "items", whatever its kind. A Table is what says so before its rows, as all
// encoders of Kubernetes do.
// Upstream: copyWithoutManagedFields in k8s.io/apiserver/pkg/audit.
func OmitManagedFields(dst, raw []byte) ([]byte, error) { return appendValue(dst, raw, true) }

// Raw appends {"raw":"..."} with body in base64: how an event holds bytes that
// are no JSON and cannot be turned into it.
func Raw(dst, body []byte) []byte {
	dst = append(dst, `{"raw":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, body)
	return append(dst, `"}`...)
}

func appendValue(dst, raw []byte, omit bool) ([]byte, error) {
	c := copier{dst: dst, src: raw, omit: omit}
	c.next, c.leaving = whole, -1
	if fault := c.value(); fault != "" {
		return dst, fmt.Errorf("no JSON: %s at byte %d", fault, c.at)
	}
	return c.dst, nil
}

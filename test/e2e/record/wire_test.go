package record_test

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// cbor encodes text, numbers, maps and lists as CBOR, with the tag that says so, after
// the names of a run were put in.
func cbor(v any, s *script) string {
	return "\xd9\xd9\xf7" + cborItem(v, s)
}

func cborItem(v any, s *script) string {
	head := func(major byte, n int) string {
		if n < 24 {
			return string([]byte{major<<5 | byte(n)})
		}
		return string(binary.BigEndian.AppendUint16([]byte{major<<5 | 25}, uint16(n)))
	}
	switch v := v.(type) {
	case string:
		v = s.expand(v)
		return head(2, len(v)) + v // text of objects is written as bytes by Kubernetes, and read either way
	case int:
		return head(0, v)
	case map[string]any:
		var keys []string
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		out := head(5, len(keys))
		for _, k := range keys {
			out += cborItem(k, s) + cborItem(v[k], s)
		}
		return out
	}
	panic(fmt.Sprintf("%T", v))
}

// field is a field of a protobuf message that holds bytes.
func field(number int, text string) string {
	return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3|2), uint64(len(text)))) + text
}

// protobuf puts an encoded object into the envelope that Kubernetes sends it in.
func protobuf(version, kind, object string) string {
	return "k8s\x00" + field(1, field(1, version)+field(2, kind)) + field(2, object)
}

// configMap is one with a name and one datum.
func configMap(name, key, value string) string {
	return field(1, field(1, name)) + field(2, field(1, key)+field(2, value))
}

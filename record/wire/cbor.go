package wire

import (
	"encoding/binary"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/serializer/cbor/direct"
)

// fromCBOR reads CBOR as kube-apiserver does: a byte string is its text, or in base64
// where its tag says so; numbers are int64 or float64; keys given twice, infinities and
// big numbers are errors.
func fromCBOR(body []byte, max int) ([]byte, error) {
	if len(body) > maxTree(max) || cborValues(body) > maxValues(max) {
		return nil, errTooLarge
	}
	var tree any
	if err := direct.Unmarshal(body, &tree); err != nil {
		return nil, fmt.Errorf("no CBOR: %w", err)
	}
	w := treeWriter{max: max}
	if err := w.value(tree); err != nil {
		return nil, err
	}
	return w.out, nil
}

// cborValues counts the heads of values. What is malformed ends it: that is not read.
func cborValues(body []byte) (n int) {
	for len(body) > 0 {
		kind, size := body[0]>>5, uint64(body[0]&31)
		body = body[1:]
		n++
		if size >= 24 && size < 28 {
			var b [8]byte
			width := 1 << (size - 24)
			if len(body) < width {
				return n
			}
			copy(b[8-width:], body)
			size, body = binary.BigEndian.Uint64(b[:]), body[width:]
		} else if size >= 28 {
			size = 0 // of indefinite length, or its end
		}
		if kind == 2 || kind == 3 { // bytes and text
			if size > uint64(len(body)) {
				return n
			}
			body = body[size:]
		}
	}
	return n
}

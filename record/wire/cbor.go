package wire

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/serializer/cbor/direct"
)

// fromCBOR reads CBOR as kube-apiserver does: a byte string is its text, or in base64
// where its tag says so; numbers are int64 or float64; keys given twice, infinities and
// big numbers are errors.
func fromCBOR(body []byte, max int) ([]byte, error) {
	if len(body) > maxTree(max) {
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

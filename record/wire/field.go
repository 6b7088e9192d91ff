package wire

import "encoding/binary"

// The wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// A field is one field of a message of protobuf. Upstream: protowire.
type field struct {
	number  uint64
	kind    uint64
	payload []byte // of wireBytes
}

// nextField cuts the first field off a message, and tells whether there is one that is
// well formed.
func nextField(b []byte) (f field, rest []byte, ok bool) {
	tag, n := binary.Uvarint(b)
	if n <= 0 {
		return f, nil, false
	}
	b = b[n:]
	f.number, f.kind = tag>>3, tag&7
	switch f.kind {
	case wireVarint:
		_, n = binary.Uvarint(b)
	case wireFixed64:
		n = 8
	case wireFixed32:
		n = 4
	case wireBytes:
		var size uint64
		size, n = binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return f, nil, false
		}
		b = b[n:]
		n = int(size)
		f.payload = b[:n]
	default:
		return f, nil, false
	}
	if n < 0 || n > len(b) || n == 0 && f.kind != wireBytes || f.number == 0 {
		return f, nil, false
	}
	return f, b[n:], true
}

const (
	// elementCost is what an element of a repeated field may take in memory however short
	// it is, about as much as a container of a pod. Each of its bytes lessens that by
	// byteCredit: of a long one the body has only few.
	elementCost, byteCredit = 1 << 10, 16
	// maxMessages is how deep messages are looked into. Those of the API are less deep.
	maxMessages = 16
)

// budget is what the elements of a message may cost in all.
func budget(max int) int { return 12 * max }

// cost guesses, without types, what reading a message takes: a few bytes on the wire can
// be an element of a thousand in memory. What is taken for a message may be a text, which
// nearly never looks like one for more than a few bytes.
func cost(b []byte, depth int) int {
	total := 0
	var seen uint64 // numbers of fields below 64
	for len(b) > 0 {
		f, rest, ok := nextField(b)
		if !ok {
			break
		}
		b = rest
		if f.kind != wireBytes {
			continue
		}
		bit := uint64(1) << (f.number & 63)
		if seen&bit != 0 {
			total += max(0, elementCost-byteCredit*len(f.payload))
		}
		seen |= bit
		if depth < maxMessages {
			total += cost(f.payload, depth+1)
		}
	}
	return total
}

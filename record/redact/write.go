package redact

import (
	"encoding/base64"
	"hash"
	"slices"
)

// work is what one call of Redact needs beside the event. It is used again.
type work struct {
	f    finder
	mac  hash.Hash
	sum  []byte
	text []byte // of a value
	id   string // what hashes begin with
}

// maxKept bounds the memory that is kept for the next call.
const maxKept = 1 << 20

// appendHash appends what stands for value.
func (w *work) appendHash(dst, value []byte) []byte {
	w.mac.Reset()
	w.mac.Write(value) // never fails
	w.sum = w.mac.Sum(w.sum[:0])
	dst = append(dst, w.id...)
	return base64.RawURLEncoding.AppendEncode(dst, w.sum[:hashBytes])
}

// maxGrowth bounds how much longer a body becomes, since a hash is longer than a number.
const maxGrowth = 4

// rewrite returns b with what was found replaced; nil where nothing was. What would become
// much longer is replaced as a whole.
func (w *work) rewrite(b []byte) []byte {
	spans := w.f.spans
	if len(spans) == 0 {
		return nil
	}
	slices.SortFunc(spans, func(a, b span) int { return a.start - b.start })
	dst := make([]byte, 0, len(b)+32*len(spans))
	done, limit := 0, maxGrowth*len(b)+4096
	for _, s := range spans {
		if s.start < done {
			continue // inside the one before
		}
		dst = append(dst, b[done:s.start]...)
		if dst = w.appendLeaves(dst, b[s.start:s.end], s.how, limit); len(dst) > limit {
			return w.whole(b)
		}
		done = s.end
	}
	return append(dst, b[done:]...)
}

// whole returns what is recorded instead of all of a body.
func (w *work) whole(b []byte) []byte { return append(w.appendHash([]byte(`{"raw":"`), b), `"}`...) }

// appendLeaves appends a value with a hash for each string, number and boolean in it.
// Names stay, and so does null, which removes something in a patch.
// It ends where dst is longer than limit.
func (w *work) appendLeaves(dst, b []byte, how coding, limit int) []byte {
	f := finder{b: b}
	for i := 0; i < len(b) && len(dst) <= limit; {
		switch c := b[i]; {
		case c == '"':
			end := f.skipString(i)
			if f.peek(f.space(end)) == ':' {
				dst = append(dst, b[i:end]...)
			} else {
				dst = append(w.appendHash(append(dst, '"'), w.decode(b[i:end], how)), '"')
			}
			i = end
		case isScalar(c):
			end := i
			for isScalar(f.peek(end)) {
				end++
			}
			if string(b[i:end]) == "null" {
				dst = append(dst, "null"...)
			} else {
				dst = append(w.appendHash(append(dst, '"'), b[i:end]), '"')
			}
			i = end
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst
}

// decode returns what a string says. It is valid until the next call.
func (w *work) decode(raw []byte, how coding) []byte {
	text := unquoted(raw)
	if how == asText {
		return text
	}
	// As encoding/json reads bytes.
	var err error
	w.text, err = base64.StdEncoding.AppendDecode(w.text[:0], text)
	if err != nil {
		return text
	}
	return w.text
}

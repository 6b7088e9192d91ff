package space

import "math/bits"

// set is a set of small integers. Sets over the same things have the same length.
type set []uint64

func newSet(n int) set { return make(set, (n+63)/64) }

func (s set) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s set) remove(i int)   { s[i/64] &^= 1 << (i % 64) }
func (s set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

func (s set) empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

// meets tells whether s and o have a member in common.
func (s set) meets(o set) bool {
	for i, w := range s {
		if w&o[i] != 0 {
			return true
		}
	}
	return false
}

// within tells whether o holds all members of s.
func (s set) within(o set) bool {
	for i, w := range s {
		if w&^o[i] != 0 {
			return false
		}
	}
	return true
}

func (s set) clone() set { return append(set(nil), s...) }

// and, or and minus return new sets.
func (s set) and(o set) set {
	r := s.clone()
	for i := range r {
		r[i] &= o[i]
	}
	return r
}

func (s set) or(o set) set {
	r := s.clone()
	for i := range r {
		r[i] |= o[i]
	}
	return r
}

func (s set) minus(o set) set {
	r := s.clone()
	for i := range r {
		r[i] &^= o[i]
	}
	return r
}

// next returns the smallest member from i on, or -1.
func (s set) next(i int) int {
	for w := i / 64; w < len(s); w++ {
		v := s[w]
		if w == i/64 {
			v &= ^uint64(0) << (i % 64)
		}
		if v != 0 {
			return w*64 + bits.TrailingZeros64(v)
		}
	}
	return -1
}

// cut removes the members from lo up to, but without, hi.
func (s set) cut(lo, hi int) {
	for i := s.next(lo); i >= 0 && i < hi; i = s.next(i + 1) {
		s.remove(i)
	}
}

// appendKey appends a text that is the same for equal sets alone.
func (s set) appendKey(b []byte) []byte {
	for _, w := range s {
		b = append(b, byte(w), byte(w>>8), byte(w>>16), byte(w>>24), byte(w>>32), byte(w>>40), byte(w>>48), byte(w>>56))
	}
	return b
}

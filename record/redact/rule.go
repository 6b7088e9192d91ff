package redact

// A rule is one path, in which "*" stands for any text. It is held against the path where
// a finder is while that grows, a byte at a time, so that a body costs a rule as much as
// the names in it are long, however deep they are. See audit.Glob for what it means.
//
// A state is how many bytes of text the path has matched, gone where it cannot match any
// more. What stands between two stars is looked for from the left, once found for good.
type rule struct {
	text string // in lower case
	back []int  // by state: the one to try where the next byte does not match
}

const gone = -1

func newRule(text string) rule {
	r := rule{text, make([]int, len(text)+1)}
	begin := gone // of what stands after the last star
	for s := range r.back {
		switch {
		case s > 0 && text[s-1] == '*':
			begin = s
			r.back[s] = s // the star takes the byte
		case begin == gone || s == begin+1:
			r.back[s] = begin
		default:
			// The longest part of text from begin that text to s ends with, not all of it.
			k := r.back[s-1]
			for k > begin && text[k] != text[s-1] {
				k = r.back[k]
			}
			if text[k] == text[s-1] {
				k++
			}
			r.back[s] = k
		}
	}
	return r
}

// stars passes over stars, which may stand for nothing.
func (r *rule) stars(s int) int {
	for s < len(r.text) && r.text[s] == '*' {
		s++
	}
	return s
}

// walk returns the state after s and more of the path.
func (r *rule) walk(s int, more []byte) int {
	for _, c := range more {
		for s != gone && (s == len(r.text) || r.text[s] != c) && r.back[s] != s {
			s = r.back[s]
		}
		switch {
		case s == gone:
			return gone
		case s < len(r.text) && r.text[s] == c:
			s = r.stars(s + 1)
		}
	}
	return s
}

// start begins at f.path.
func (f *finder) start() {
	f.states = f.states[:0]
	for k := range f.rules {
		r := &f.rules[k]
		f.states = append(f.states, r.walk(r.stars(0), f.path))
	}
}

// A position is where a finder was.
type position struct{ path, states int }

// push goes to a member, and returns what pop comes back to.
func (f *finder) push(key []byte) position {
	back := position{len(f.path), len(f.states)}
	if len(f.rules) == 0 {
		return back
	}
	if back.path > 0 {
		f.path = append(f.path, '.')
	}
	for _, c := range key {
		f.path = append(f.path, lower(c))
	}
	from := f.states[back.states-len(f.rules):]
	for k := range f.rules {
		f.states = append(f.states, f.rules[k].walk(from[k], f.path[back.path:]))
	}
	return back
}

func (f *finder) pop(to position) { f.path, f.states = f.path[:to.path], f.states[:to.states] }

// matches reports whether a rule names where the finder is.
func (f *finder) matches() bool {
	for k, s := range f.states[len(f.states)-len(f.rules):] {
		if s == len(f.rules[k].text) {
			return true
		}
	}
	return false
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

package audit

import (
	"fmt"
	"strings"
)

// UnknownFieldError says that no field has a name.
type UnknownFieldError struct {
	Name    string
	Nearest string // a field that may have been meant; empty where none comes near
}

func (e *UnknownFieldError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf("no field %q", e.Name)
	}
	return fmt.Sprintf("no field %q; did you mean %q?", e.Name, e.Nearest)
}

// Resolve finds the field that name (a path, an alias, or one of these continued by
// a key or path) names. Below a Map everything that follows is one key; below an
// Object dots separate the elements of a path, and a key that has dots itself is
// found all the same. An element in double quotes is taken as it is, with \" and \\
// for these two characters. A * stands for any characters of a key or path:
// requestObject.*.image names every image however deep. The error is an
// [UnknownFieldError] that suggests the nearest name.
func Resolve(name string) (Ref, error) {
	fields := Fields()
	for _, f := range fields {
		if name == f.Path || name == f.Alias && name != "" {
			return Ref{Field: f, Name: name}, nil
		}
	}
	best, rest := -1, ""
	for i, f := range fields {
		if f.Type != Map && f.Type != Object {
			continue
		}
		for _, head := range []string{f.Path, f.Alias} {
			below, ok := strings.CutPrefix(name, head+".")
			if ok && head != "" && below != "" && (best < 0 || len(below) < len(rest)) {
				best, rest = i, below
			}
		}
	}
	if best < 0 {
		return Ref{}, &UnknownFieldError{Name: name, Nearest: nearest(fields, name)}
	}
	r := Ref{Field: fields[best], Name: name}
	if !r.below(rest) {
		return Ref{}, &UnknownFieldError{Name: name}
	}
	if r.Field.at == Annotations && !r.glob && (r.Sub[0] == decisionName || r.Sub[0] == reasonName) {
		exact, err := Resolve("annotations." + r.Sub[0])
		exact.Name = name
		return exact, err
	}
	return r, nil
}

// Below makes a Ref for a path relative to a JSON object, for [Ref.AnyIn].
func Below(path string) (Ref, error) {
	r := Ref{Field: Field{Type: Object, at: atRelative}, Name: path}
	if !r.below(path) {
		return Ref{}, &UnknownFieldError{Name: path}
	}
	return r, nil
}

// ResolveAll finds every field that a name with * in it may name: objectRef.* is
// eight fields, *.image every image in every tree. A name without a * is resolved
// as by Resolve.
func ResolveAll(name string) ([]Ref, error) {
	if !strings.Contains(name, "*") {
		r, err := Resolve(name)
		return []Ref{r}, err
	}
	if r, err := Resolve(name); err == nil {
		return []Ref{r}, nil
	}
	var refs []Ref
	for _, f := range Fields() {
		if f.Type != Map && f.Type != Object {
			if Glob(name, f.Path) {
				refs = append(refs, Ref{Field: f, Name: f.Path})
			}
			continue
		}
		for _, rest := range remainders(name, f.Path+".") {
			r := Ref{Field: f, Name: f.Path + "." + rest}
			if r.below(rest) {
				refs = append(refs, r)
			}
		}
	}
	if len(refs) == 0 {
		return nil, &UnknownFieldError{Name: name}
	}
	return refs, nil
}

// remainders returns what can be left of a pattern once it has matched head: for
// "*.image" and "requestObject." that is "*.image" and "image".
func remainders(pattern, head string) []string {
	at := map[int]bool{0: true}
	for i := range len(head) {
		next := map[int]bool{}
		for p := range at {
			for p < len(pattern) && pattern[p] == '*' {
				next[p] = true
				p++
			}
			if p < len(pattern) && pattern[p] == head[i] {
				next[p+1] = true
			}
		}
		at = next
	}
	var rests []string
	for p := range len(pattern) {
		if at[p] && (p == 0 || pattern[p] != '*' || !at[p-1] || pattern[p-1] != '*') {
			rests = append(rests, pattern[p:])
		}
	}
	return rests
}

// below sets the path below r.Field; false where it has an empty element or a quote
// that does not close.
func (r *Ref) below(path string) bool {
	elements, glob, ok := splitPath(path)
	if !ok {
		return false
	}
	switch {
	case glob:
		r.glob, r.Sub = true, []string{strings.Join(elements, ".")}
	case r.Field.Type == Map:
		r.Sub = []string{strings.Join(elements, ".")}
	default:
		r.Sub = elements
	}
	return true
}

// splitPath splits a path at the dots outside quotes.
func splitPath(path string) (elements []string, glob, ok bool) {
	for {
		el, rest, quoted := path, "", false
		if strings.HasPrefix(path, `"`) {
			el, rest, ok = cutQuoted(path)
			quoted = true
			if !ok || rest != "" && rest[0] != '.' {
				return nil, false, false
			}
		} else if i := strings.IndexByte(path, '.'); i >= 0 {
			el, rest = path[:i], path[i:]
		}
		if el == "" {
			return nil, false, false
		}
		glob = glob || !quoted && strings.Contains(el, "*")
		elements = append(elements, el)
		if rest == "" {
			return elements, glob, true
		}
		path = rest[1:]
	}
}

// cutQuoted takes a string in double quotes off the front of s.
func cutQuoted(s string) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// Path returns the full name of r that Resolve reads again, whatever alias it was
// asked by, quotes put where a key needs them.
func (r Ref) Path() string {
	var b strings.Builder
	b.WriteString(r.Field.Path)
	for _, el := range r.Sub {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		if r.glob || plainElement(el, r.Field.Type == Map) {
			b.WriteString(el)
			continue
		}
		b.WriteByte('"')
		for i := range len(el) {
			if el[i] == '"' || el[i] == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(el[i])
		}
		b.WriteByte('"')
	}
	return b.String()
}

func plainElement(el string, dots bool) bool {
	for i := range len(el) {
		c := el[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '-' || c == '_' || c == '/' || c == '.' && dots && i > 0 && i < len(el)-1 && el[i-1] != '.') {
			return false
		}
	}
	return el != ""
}

// nearest returns the name that was most likely meant by an unknown one.
func nearest(fields []Field, name string) string {
	if name == "" {
		return ""
	}
	best, score := "", len(name)/3+2
	try := func(candidate string, distance int) {
		if candidate != "" && distance < score {
			best, score = candidate, distance
		}
	}
	low := strings.ToLower(name)
	head, rest, _ := strings.Cut(low, ".")
	for _, f := range fields {
		path := strings.ToLower(f.Path)
		last := path[strings.LastIndexByte(path, '.')+1:]
		if low == last || low == path || low == f.Alias {
			try(f.Path, 0)
		}
		try(f.Alias, distance(low, f.Alias))
		try(f.Path, distance(low, path))
		try(f.Path, 1+distance(low, last))
		if rest != "" && (f.Type == Map || f.Type == Object) {
			try(f.Path+name[len(head):], min(distance(head, path), distance(head, f.Alias+" ")))
		}
	}
	if best != "" {
		return best
	}
	for _, f := range fields {
		if len(low) >= 2 && (strings.HasPrefix(strings.ToLower(f.Path), low) || strings.HasPrefix(f.Alias, low)) {
			return f.Path
		}
	}
	return ""
}

// distance counts the insertions, deletions, substitutions and swaps of neighbours
// that make a into b.
func distance(a, b string) int {
	if b == "" || a == "" || len(a) > 100 {
		return max(len(a), len(b))
	}
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range row {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			d := min(row[j], last[j+1]) + 1
			if a[i] == b[j] {
				d = min(d, last[j])
			} else {
				d = min(d, last[j]+1)
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			row[j+1] = d
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

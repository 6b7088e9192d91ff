package explain

import "strings"

// A pattern is one action in one language, with the verb in its forms, what is filled in,
// and groups that are left out where nothing fills them:
//
//	<run|ran> {command} in [container {container} of ]{object}
//	在{object's}[的容器 {container}]中<执行>命令 {command}
//
// The English verb is written in its two forms, which the mood chooses from. The Chinese
// verb is followed by 了 where the action is done, unless it is written <=verb>.
type pattern []piece

type piece struct {
	kind pieceKind
	text string // words; base form of the verb
	past string // of a verb
	slot slot
	end  int // of a group: the index behind its last piece
}

type pieceKind uint8

const (
	words pieceKind = iota
	verbForms
	filler
	group
)

// compile makes a pattern of its text. It panics on one that is malformed: patterns are
// constants.
func compile(text string) pattern {
	var p pattern
	for text != "" {
		var closing string
		switch text[0] {
		case '<':
			closing = ">"
		case '{':
			closing = "}"
		case '[':
			closing = "]"
		default:
			n := strings.IndexAny(text, "<{[")
			if n < 0 {
				n = len(text)
			}
			p, text = append(p, piece{text: text[:n]}), text[n:]
			continue
		}
		inside, rest, ok := strings.Cut(text[1:], closing)
		if !ok {
			panic("pattern without " + closing + ": " + text)
		}
		switch closing {
		case ">":
			p = append(p, verb(inside))
		case "}":
			if !strings.Contains(slots, " "+inside+" ") {
				panic("no slot " + inside)
			}
			p = append(p, piece{kind: filler, slot: slot(inside)})
		case "]":
			at := len(p)
			p = append(append(p, piece{kind: group}), compile(inside)...)
			p[at].end = len(p)
		}
		text = rest
	}
	return p
}

func verb(text string) piece {
	if base, ok := strings.CutPrefix(text, "="); ok {
		return piece{kind: verbForms, text: base, past: base}
	}
	base, past, ok := strings.Cut(text, "|")
	if !ok {
		past = base + "了"
	}
	return piece{kind: verbForms, text: base, past: past}
}

// render appends the pattern as it reads for the request.
func (x *Explainer) render(p pattern, r *request) {
	for i := 0; i < len(p); i++ {
		switch one := &p[i]; one.kind {
		case words:
			x.words(one.text)
		case verbForms:
			if r.mood == done {
				x.words(one.past)
			} else {
				x.words(one.text)
			}
		case filler:
			x.fill(one.slot, r)
		case group:
			before := x.writer
			if !x.group(p[i+1:one.end], r) {
				x.writer = before
			}
			i = one.end - 1
		}
	}
}

// group renders a group, and reports whether all of its slots were filled.
func (x *Explainer) group(p pattern, r *request) bool {
	for i := range p {
		if p[i].kind == words {
			x.words(p[i].text)
			continue
		}
		n := len(x.b)
		if x.fill(p[i].slot, r); len(x.b) == n {
			return false
		}
	}
	return true
}

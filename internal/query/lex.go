package query

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// value is one piece of text in a question, escapes resolved.
type value struct {
	parts    []string // the text around the stars; one part where there is none
	pos, end int
	quoted   bool
}

// wild reports whether v has a * that stands for any characters.
func (v *value) wild() bool { return len(v.parts) > 1 }

// text is v as it would read without escapes.
func (v *value) text() string { return strings.Join(v.parts, "*") }

// raw is v as it was written.
func (p *parser) raw(v *value) string { return p.text[v.pos:v.end] }

// isSpecial reports whether c ends a word.
func isSpecial(c byte) bool { return strings.IndexByte("():<>\"{}", c) >= 0 }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// space steps over white space and returns the next byte, 0 at the end. A no-break
// space and the wide space of Chinese input count as white space.
func (p *parser) space() byte {
	for p.pos < len(p.text) {
		rest := p.text[p.pos:]
		switch {
		case isSpace(rest[0]):
			p.pos++
		case strings.HasPrefix(rest, "\u00a0"), strings.HasPrefix(rest, "\u3000"):
			_, n := utf8.DecodeRuneInString(rest)
			p.pos += n
		default:
			return rest[0]
		}
	}
	return 0
}

// keyword returns and, or or not where that word stands at pos, else "".
func (p *parser) keyword() string {
	for _, k := range []string{"and", "or", "not"} {
		rest := p.text[p.pos:]
		if len(rest) < len(k) || !strings.EqualFold(rest[:len(k)], k) {
			continue
		}
		if len(rest) == len(k) || isSpace(rest[len(k)]) || strings.IndexByte("(){\"", rest[len(k)]) >= 0 {
			return k
		}
	}
	return ""
}

// word reads the word at pos: everything up to white space or a special character.
// In a value colons that something follows belong to the word; in a field name a
// key in quotes after a dot does.
func (p *parser) word(inValue bool) (value, error) {
	v := value{pos: p.pos}
	var b strings.Builder
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		switch {
		case c == ':' && inValue && p.colonGoesOn():
			b.WriteByte(c)
			p.pos++
		case c == '"' && !inValue && p.pos > v.pos && p.text[p.pos-1] == '.':
			key, err := p.quoted()
			if err != nil {
				return v, err
			}
			b.WriteString(p.raw(&key))
		case isSpace(c) || isSpecial(c):
			v.parts, v.end = append(v.parts, b.String()), p.pos
			return v, nil
		case c == '*':
			v.parts = append(v.parts, b.String())
			b.Reset()
			p.pos++
		case c == '\\':
			if err := p.escape(&b); err != nil {
				return v, err
			}
		default:
			r, n := utf8.DecodeRuneInString(p.text[p.pos:])
			if r == '\u00a0' || r == '\u3000' {
				v.parts, v.end = append(v.parts, b.String()), p.pos
				return v, nil
			}
			b.WriteString(p.text[p.pos : p.pos+n])
			p.pos += n
		}
	}
	v.parts, v.end = append(v.parts, b.String()), p.pos
	return v, nil
}

// colonGoesOn reports whether the colon at pos is inside a word.
func (p *parser) colonGoesOn() bool {
	if p.pos+1 >= len(p.text) {
		return false
	}
	c := p.text[p.pos+1]
	return !isSpace(c) && (c == ':' || !isSpecial(c))
}

// escape reads a backslash outside quotes and what it stands for.
func (p *parser) escape(b *strings.Builder) error {
	start := p.pos
	p.pos++
	if k := p.keyword(); k != "" {
		b.WriteString(p.text[p.pos : p.pos+len(k)])
		p.pos += len(k)
		return nil
	}
	if p.pos < len(p.text) {
		c := p.text[p.pos]
		switch {
		case c == '\\' || c == '*' || isSpecial(c):
			b.WriteByte(c)
			p.pos++
			return nil
		case strings.IndexByte("trn", c) >= 0:
			b.WriteByte("\t\r\n"[strings.IndexByte("trn", c)])
			p.pos++
			return nil
		case c == 'u' && p.unicode(b):
			return nil
		}
	}
	return p.errorAt(start, min(start+2, len(p.text)), "a backslash takes the meaning from the character after it, and this one has none",
		`write \\ for a backslash, or put the text in double quotes`)
}

// unicode reads what follows \ in \uXXXX, or in a pair of these.
func (p *parser) unicode(b *strings.Builder) bool {
	r, ok := hex4(p.text[p.pos+1:])
	if !ok {
		return false
	}
	p.pos += 5
	if utf16.IsSurrogate(r) {
		if strings.HasPrefix(p.text[p.pos:], `\u`) {
			if low, ok := hex4(p.text[p.pos+2:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
				r = utf16.DecodeRune(r, low)
				p.pos += 6
			}
		}
	}
	b.WriteRune(r)
	return true
}

// hex4 reads the four hexadecimal digits that s begins with.
func hex4[T string | []byte](s T) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n := rune(0)
	for i := range 4 {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		n = n<<4 | rune(c)
	}
	return n, true
}

// quoted reads the text in double quotes at pos. Only \" \\ \t \r \n and \uXXXX are
// escapes there, and a * is a star.
func (p *parser) quoted() (value, error) {
	v := value{pos: p.pos, quoted: true}
	var b strings.Builder
	p.pos++
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		if c == '"' {
			p.pos++
			v.end = p.pos
			v.parts = []string{b.String()}
			return v, nil
		}
		if c == '\\' && p.pos+1 < len(p.text) {
			next := p.text[p.pos+1]
			if next == '"' || next == '\\' {
				b.WriteByte(next)
				p.pos += 2
				continue
			}
			if i := strings.IndexByte("trn", next); i >= 0 {
				b.WriteByte("\t\r\n"[i])
				p.pos += 2
				continue
			}
			p.pos++
			if next == 'u' && p.unicode(&b) {
				continue
			}
			p.pos--
		}
		b.WriteByte(c)
		p.pos++
	}
	return v, p.errorAt(v.pos, v.pos+1, `this quote is never closed`, `put a second " behind the text`)
}

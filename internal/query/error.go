package query

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// SyntaxError says where a question cannot be understood, and what to do.
type SyntaxError struct {
	Text     string // the question
	Pos, End int    // the bytes of Text it is about; equal at a place between two
	Msg      string
	Hint     string // empty where there is nothing to advise
}

// shownBefore and shownAfter are how many characters of a long line are shown on
// each side of the place.
const (
	shownBefore = 60
	shownAfter  = 60
)

// Error shows the message, the line of the question with a caret under the place,
// and the hint.
func (e *SyntaxError) Error() string {
	var b strings.Builder
	b.WriteString(e.Msg)
	line, pos, end := e.line()
	if line != "" {
		b.WriteString("\n  " + line + "\n  " + strings.Repeat(" ", width(line[:pos])) + "^")
		b.WriteString(strings.Repeat("~", max(0, width(line[pos:end])-1)))
	}
	if e.Hint != "" {
		b.WriteString("\nhint: " + e.Hint)
	}
	return b.String()
}

// line returns the line of the question that the place is in, cut to what can be
// read at a glance, and the place in it.
func (e *SyntaxError) line() (line string, pos, end int) {
	pos = min(max(e.Pos, 0), len(e.Text))
	end = min(max(e.End, pos), len(e.Text))
	from := strings.LastIndexByte(e.Text[:pos], '\n') + 1
	to := len(e.Text)
	if i := strings.IndexByte(e.Text[pos:], '\n'); i >= 0 {
		to = pos + i
	}
	before, after := e.Text[from:pos], e.Text[pos:to]
	end = min(end, to)
	if short := lastRunes(before, shownBefore); short != before {
		before = "…" + short
	}
	if short := firstRunes(after, shownAfter); short != after {
		end = min(end, pos+len(short))
		after = short + "…"
	}
	show := func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}
	marked := strings.Map(show, after[:end-pos])
	before = strings.Map(show, before)
	return before + marked + strings.Map(show, after[end-pos:]), len(before), len(before) + len(marked)
}

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

func lastRunes(s string, n int) string {
	i := len(s)
	for ; i > 0 && n > 0; n-- {
		_, size := utf8.DecodeLastRuneInString(s[:i])
		i -= size
	}
	return s[i:]
}

// width is how many columns of a terminal s takes: wide characters of East Asia
// take two, marks that combine none.
func width(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case wide(r):
			n += 2
		default:
			n++
		}
	}
	return n
}

func wide(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana) ||
		r >= 0x3000 && r <= 0x303e || // punctuation of Chinese and Japanese
		r >= 0xff01 && r <= 0xff60 || r >= 0xffe0 && r <= 0xffe6 || // full-width forms
		r >= 0x1f300 && r <= 0x1faff // pictures
}

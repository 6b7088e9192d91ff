// Package output prints events and other rows for people and for programs: as tables
// that fit a terminal, as JSON, YAML or names, with text that can do no harm.
package output

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// None stands for a value that is absent, in tables and in show.
const None = "-"

// Plain makes text out of a log safe to show on a terminal. Anybody who can send a
// request chooses user agents, URIs and names that end up in the log: control
// characters, escape sequences, bidirectional overrides and bytes that are not
// UTF-8 come out as Go escapes, so that they can neither act on the terminal nor
// make one value look like another. Newlines are kept where lines is true.
func Plain(s string, lines bool) string {
	ok := true
	for _, r := range s {
		if !showable(r, lines) {
			ok = false
			break
		}
	}
	if ok && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case showable(r, lines):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += n
	}
	return b.String()
}

func showable(r rune, lines bool) bool {
	if r == '\n' || r == '\t' {
		return lines
	}
	if r < 0x20 || r >= 0x7f && r < 0xa0 {
		return false
	}
	// Cf holds the bidirectional controls, zero-width characters and tags; Zl and
	// Zp are line ends for some terminals.
	return r < 0x80 || r == utf8.RuneError || !unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co)
}

// Cell is plain for one cell of a table: empty becomes a dash, and what holds a
// space is quoted, so that columns can be cut by white space.
func Cell(s string) string {
	if s == "" {
		return None
	}
	s = Plain(s, false)
	if strings.ContainsFunc(s, unicode.IsSpace) {
		return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
	}
	return s
}

// Count is "1 event" or "2 events".
func Count[N int | uint64](n N, noun string) string {
	if n != 1 {
		noun += "s"
		if strings.HasSuffix(noun, "chs") {
			noun = strings.TrimSuffix(noun, "s") + "es"
		}
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// Width is how many columns s takes on a terminal.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += RuneWidth(r)
	}
	return n
}

// RuneWidth is how many columns of a terminal r takes.
func RuneWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case isWide(r):
		return 2
	}
	return 1
}

// isWide tells the characters that a terminal draws two columns wide: the classes W
// and F of Unicode's EastAsianWidth.txt, neighbouring ranges joined.
func isWide(r rune) bool {
	switch {
	case r < 0x1100:
		return false
	case r <= 0x115f, // Hangul Jamo
		r == 0x231a, r == 0x231b, r >= 0x23e9 && r <= 0x23ec,
		r >= 0x2e80 && r <= 0x303e, // radicals, CJK punctuation
		r >= 0x3041 && r <= 0x4dbf, // kana, compatibility, extension A
		r >= 0x4e00 && r <= 0xa4cf, // unified ideographs, Yi
		r >= 0xa960 && r <= 0xa97c,
		r >= 0xac00 && r <= 0xd7a3, // Hangul syllables
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f,
		r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, // full-width forms
		r >= 0x16fe0 && r <= 0x1b2ff,
		r >= 0x1f300 && r <= 0x1f64f, r >= 0x1f680 && r <= 0x1f6ff, r >= 0x1f900 && r <= 0x1faff,
		r >= 0x20000 && r <= 0x3fffd: // extensions B and later
		return true
	}
	return false
}

// Clip shortens s to at most max columns, its last one an ellipsis.
func Clip(s string, max int) string {
	if Width(s) <= max {
		return s
	}
	n := 0
	for i, r := range s {
		if n += RuneWidth(r); n > max-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// Pad fills s with spaces to n columns.
func Pad(s string, n int) string {
	if w := Width(s); w < n {
		return s + strings.Repeat(" ", n-w)
	}
	return s
}

package kubectl

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// quote writes one word for a POSIX shell. What would act on a terminal, or hide there,
// becomes a printf that makes it again. A NUL, which no argument can hold, is left out.
func quote(word string) string {
	if word != "" && word[0] != '=' && !strings.ContainsFunc(word, special) {
		return word
	}
	var b strings.Builder
	if name, value, ok := strings.Cut(word, "="); ok && strings.HasPrefix(name, "--") && !strings.ContainsFunc(name, special) {
		b.WriteString(name + "=")
		word = value
	}
	quoted := false
	toggle := func(want bool) {
		if quoted != want {
			b.WriteByte('\'')
			quoted = want
		}
	}
	for i := 0; i < len(word); {
		r, n := utf8.DecodeRuneInString(word[i:])
		switch {
		case r == 0:
		case r == '\'':
			toggle(false)
			b.WriteString(`\'`)
		case hidden(r, n):
			toggle(false)
			b.WriteString(`"$(printf '`)
			for i < len(word) {
				if r, n = utf8.DecodeRuneInString(word[i:]); !hidden(r, n) || r == 0 {
					break
				}
				for _, c := range []byte(word[i : i+n]) {
					fmt.Fprintf(&b, `\%03o`, c)
				}
				i += n
			}
			b.WriteString(`')"`)
			n = 0
		default:
			toggle(true)
			b.WriteString(word[i : i+n])
		}
		i += n
	}
	if b.Len() == 0 {
		return "''"
	}
	toggle(false)
	return b.String()
}

// special tells what a word must be quoted for: all but what no shell gives a meaning
// wherever it stands.
func special(r rune) bool {
	return r >= 0x80 || !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:=,@%+", r))
}

// hidden tells what must not stand in a line that is shown: control characters but
// newline and tab, what is not UTF-8, and what turns or hides text.
func hidden(r rune, n int) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < 0x20 || r >= 0x7f && r < 0xa0 || r == utf8.RuneError && n == 1:
		return true
	}
	return r >= 0x80 && r != utf8.RuneError && unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co)
}

// hereDocument writes text as the standard input of a command. No line of it begins as
// the end does, as far as there are letters: dash loses a byte that is not ASCII behind
// such a beginning.
func hereDocument(text []byte) string {
	lines, end := append([]byte{'\n'}, text...), "EOF"
	for c := 'A'; c <= 'Z' && bytes.Contains(lines, []byte("\n"+end[:1])); c++ {
		end = string(c) + "EOF"
	}
	for bytes.Contains(lines, []byte("\n"+end)) {
		end += "_"
	}
	return " <<'" + end + "'\n" + strings.TrimSuffix(string(text), "\n") + "\n" + end
}

package query

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// String returns the question in KQL that Parse reads into an equal tree.
func (n *Node) String() string {
	var b strings.Builder
	n.print(&b)
	return b.String()
}

func (n *Node) print(b *strings.Builder) {
	switch n.Op {
	case All:
		b.WriteByte('*')
	case And, Or:
		word := map[Op]string{And: " and ", Or: " or "}[n.Op]
		for i, k := range n.Kids {
			if i > 0 {
				b.WriteString(word)
			}
			k.printInside(b)
		}
	case Not:
		b.WriteString("not ")
		n.Kids[0].printInside(b)
	case Test:
		n.printTest(b)
	case Text:
		if len(n.text.parts) == 1 {
			printQuoted(b, n.text.parts[0])
			return
		}
		printPattern(b, n.text.parts)
	}
}

// printInside prints n where only one operand may stand.
func (n *Node) printInside(b *strings.Builder) {
	if n.Op != And && n.Op != Or {
		n.print(b)
		return
	}
	b.WriteByte('(')
	n.print(b)
	b.WriteByte(')')
}

func (n *Node) printTest(b *strings.Builder) {
	t := n.test
	printName(b, n.Ref.Path())
	if t.op != "" {
		b.WriteString(" " + t.op + " ")
		printValue(b, []byte(t.bound))
		return
	}
	b.WriteByte(':')
	switch t.kind {
	case exists:
		b.WriteByte('*')
	case between, within:
		printValue(b, []byte(t.bound))
	case nested:
		b.WriteString("{ ")
		t.sub.print(b)
		b.WriteString(" }")
	case equal:
		if len(t.words) == 1 {
			printValue(b, t.words[0])
			return
		}
		for i, w := range t.words {
			b.WriteString([]string{" or ", "("}[btoi(i == 0)])
			printValue(b, w)
		}
		b.WriteByte(')')
	default:
		if len(t.words) == 1 {
			printQuoted(b, t.words[0])
			return
		}
		printPattern(b, t.words)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// printName prints a field name: as it is, but for what ends a name outside quotes.
func printName(b *strings.Builder, name string) {
	quoted := false
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c == '"' && (quoted || i > 0 && name[i-1] == '.'):
			quoted = !quoted
		case quoted && c == '\\' && i+1 < len(name):
			b.WriteByte(c)
			i++
			c = name[i]
		case !quoted && (isSpace(c) || isSpecial(c) || c == '\\'):
			fmt.Fprintf(b, `\u%04x`, c)
			continue
		}
		b.WriteByte(c)
	}
}

// printValue prints a value without quotes where it is simple.
func printValue(b *strings.Builder, v []byte) {
	for i, c := range string(v) {
		if !(isSimple(c) && (i > 0 || c != '/' && c != '-' && c != '.')) {
			printQuoted(b, v)
			return
		}
	}
	switch strings.ToLower(string(v)) {
	case "", "and", "or", "not":
		printQuoted(b, v)
		return
	}
	b.Write(v)
}

func isSimple(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		r == '-' || r == '_' || r == '.' || r == '/' || r == '@'
}

func printQuoted(b *strings.Builder, v []byte) {
	b.WriteByte('"')
	for _, c := range v {
		switch c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			if c < ' ' {
				fmt.Fprintf(b, `\u%04x`, c)
				continue
			}
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}

// printPattern prints what stands between stars. A slash at the end is escaped: with
// one at the beginning it could look like a regular expression.
func printPattern(b *strings.Builder, words [][]byte) {
	for i, w := range words {
		if i > 0 {
			b.WriteByte('*')
		}
		for k, r := range string(w) {
			if (isSimple(r) || r >= utf8.RuneSelf && unicode.IsLetter(r)) && !(r == '/' && i == len(words)-1 && k == len(w)-1) {
				b.WriteRune(r)
				continue
			}
			if strings.ContainsRune(`:()<>"{}\`, r) {
				b.WriteString(`\` + string(r))
				continue
			}
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(b, `\u%04x`, u)
			}
		}
	}
}

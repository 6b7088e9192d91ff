package output

import "strings"

// Paragraph is a text in lines of at most columns, without a newline at its end. The
// first begins with indent, all others with two columns more. It breaks at spaces
// outside of quotes and before Chinese characters; what is longer than a line stays
// whole. The text must be safe already: see [Plain].
func Paragraph(text, indent string, columns int) string {
	var lines []string
	line, col := indent, Width(indent)
	for i, word := range unbroken(text) {
		n := Width(strings.TrimRight(word, " "))
		if i > 0 && col+n > columns {
			lines = append(lines, strings.TrimRight(line, " "))
			line, col = indent+"  ", Width(indent)+2
		}
		line += word
		col += Width(word)
	}
	return strings.Join(append(lines, strings.TrimRight(line, " ")), "\n")
}

// unbroken cuts a text into the pieces that stay on one line. A Chinese mark stays with
// what it follows, or opens.
func unbroken(text string) []string {
	var words []string
	var word strings.Builder
	quoted, escaped, opened := false, false, false
	cut := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	for _, r := range text {
		if wide := RuneWidth(r) == 2; wide && !quoted && !opened && !strings.ContainsRune("，。、；：）", r) {
			cut()
		}
		word.WriteRune(r)
		opened = r == '（'
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = quoted
		case r == '"':
			quoted = !quoted
		case !quoted && strings.ContainsRune(" ，、；：", r):
			cut()
		}
	}
	cut()
	return words
}

package tree

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// AppendYAML appends a value as YAML to b, members ordered by name, as kubectl prints
// objects. Every YAML parser, of version 1.1 or 1.2, reads the same value again.
func AppendYAML(b []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		if len(v) > 0 {
			return yamlObject(b, v, 0, false)
		}
	case []any:
		if len(v) > 0 {
			return yamlList(b, v, 0)
		}
	}
	return append(yamlScalar(b, v, 0), '\n')
}

// yamlObject writes the members of m, the first one where the line stands if inline.
func yamlObject(b []byte, m map[string]any, indent int, inline bool) []byte {
	keys := make([]string, 0, len(m))
	for k := range maps.Keys(m) {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i, k := range keys {
		if i > 0 || !inline {
			b = spaces(b, indent)
		}
		b = yamlString(b, k)
		b = append(b, ':')
		switch v := m[k].(type) {
		case map[string]any:
			if len(v) > 0 {
				b = append(b, '\n')
				b = yamlObject(b, v, indent+2, false)
				continue
			}
		case []any:
			if len(v) > 0 {
				b = append(b, '\n')
				b = yamlList(b, v, indent)
				continue
			}
		}
		b = append(b, ' ')
		b = append(yamlScalar(b, m[k], indent+2), '\n')
	}
	return b
}

func yamlList(b []byte, l []any, indent int) []byte {
	for _, v := range l {
		b = spaces(b, indent)
		b = append(b, '-', ' ')
		switch v := v.(type) {
		case map[string]any:
			if len(v) > 0 {
				b = yamlObject(b, v, indent+2, true)
				continue
			}
		case []any:
			if len(v) > 0 { // a list in a list begins on a line of its own
				b = append(b[:len(b)-1], '\n')
				b = yamlList(b, v, indent+2)
				continue
			}
		}
		b = append(yamlScalar(b, v, indent+2), '\n')
	}
	return b
}

func spaces(b []byte, n int) []byte {
	for range n {
		b = append(b, ' ')
	}
	return b
}

func yamlScalar(b []byte, v any, indent int) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		text, err := json.Marshal(v)
		if err != nil {
			return append(b, "null"...)
		}
		return append(b, text...)
	case string:
		if indent > 0 && isBlock(v) {
			return yamlBlock(b, v, indent)
		}
		return yamlString(b, v)
	case map[string]any:
		return append(b, "{}"...)
	case []any:
		return append(b, "[]"...)
	}
	return append(b, "null"...)
}

// isBlock tells whether a text of several lines can stand as it is, below a |.
func isBlock(s string) bool {
	if !strings.Contains(s, "\n") || s[0] == ' ' || s[0] == '\n' || s[0] == '\t' || !utf8.ValidString(s) {
		return false
	}
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasSuffix(line, " ") || strings.HasSuffix(line, "\t") {
			return false
		}
	}
	for _, r := range s {
		if r != '\n' && r != '\t' && !Printable(r) {
			return false
		}
	}
	return true
}

func Printable(r rune) bool {
	return r >= 0x20 && r < 0x7f || r >= 0xa0 && r < 0xd800 && r != 0x2028 && r != 0x2029 || r >= 0xe000 && r < 0xfffd && r != 0xfeff || r >= 0x10000
}

func yamlBlock(b []byte, s string, indent int) []byte {
	b = append(b, '|')
	switch {
	case !strings.HasSuffix(s, "\n"):
		b = append(b, '-')
	case strings.HasSuffix(s, "\n\n"):
		b = append(b, '+')
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n") {
		b = append(b, '\n')
		if line != "" {
			b = append(spaces(b, indent), line...)
		}
	}
	return b
}

// yamlString writes a string on one line: bare where it cannot be taken for anything
// else, in quotes otherwise.
func yamlString(b []byte, s string) []byte {
	if isBare(s) {
		return append(b, s...)
	}
	return yamlQuoted(b, s)
}

// isBare tells whether a string can stand without quotes. It need not find all that can.
func isBare(s string) bool {
	if s == "" || s[len(s)-1] == ' ' || s[len(s)-1] == ':' {
		return false
	}
	letter := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '/' || c == '_':
			letter = letter || c != '_'
		case c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+':
		case (c == '=' || c == '(' || c == ')' || c == '@' || c == '$' || c == ';' || c == '~' || c == '^') && i > 0:
		case c == ' ' && i > 0 && s[i-1] != ':' && (i+1 == len(s) || s[i+1] != '#'):
		case c == ':' && i > 0 && i+1 < len(s) && s[i+1] != ' ':
		case c == ',' && i > 0:
		default:
			return false
		}
	}
	if !letter || s[0] == '-' || s[0] == '.' {
		return false
	}
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan":
		return false
	}
	// What begins like a number may be one in some notation (1e3, 0x1f, 12:30:45, +1k).
	return !(s[0] >= '0' && s[0] <= '9' || s[0] == '+')
}

const hexDigits = "0123456789abcdef"

func yamlQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\t':
			b = append(b, '\\', 't')
		case r == '\r':
			b = append(b, '\\', 'r')
		case Printable(r):
			b = utf8.AppendRune(b, r)
		default:
			b = append(b, '\\', 'u')
			for shift := 12; shift >= 0; shift -= 4 {
				b = append(b, hexDigits[r>>shift&15])
			}
		}
	}
	return append(b, '"')
}

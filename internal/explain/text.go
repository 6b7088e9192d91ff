package explain

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode"
	"unicode/utf8"

	"kubetrail/internal/output"
)

// A writer appends words to a sentence in one language. What comes out of the log is
// appended by name and quote alone: both bound it, make it safe to show, and see to it
// that it cannot be taken for words of the sentence.
type writer struct {
	b     []byte
	zh    bool
	named bool // what was appended last is a name that ends in Chinese, or in another script
}

// pick returns the words of the language.
func (w *writer) pick(en, zh string) string {
	if w.zh {
		return zh
	}
	return en
}

// say appends words of ours in the language.
func (w *writer) say(en, zh string) { w.words(w.pick(en, zh)) }

// words appends words of ours. In Chinese a space goes between Chinese and what is not.
func (w *writer) words(s string) {
	if s == "" {
		return
	}
	if w.named && s[0] != ' ' && !punctuation(s) {
		w.b = append(w.b, ' ')
	} else if w.zh && len(w.b) > 0 {
		last, first := w.b[len(w.b)-1], s[0]
		if first < utf8.RuneSelf {
			if last >= utf8.RuneSelf && joins(first) && !w.afterPunctuation() {
				w.b = append(w.b, ' ')
			}
		} else if last < utf8.RuneSelf && joins(last) && !punctuation(s) {
			w.b = append(w.b, ' ')
		}
	}
	w.b, w.named = append(w.b, s...), false
}

// joins reports whether an ASCII character is set apart from Chinese beside it.
func joins(c byte) bool { return c > ' ' && c < 0x7f }

// punctuation reports whether s begins with a full-width mark, which brings its own
// distance: those of U+3000 and U+FF00, and the curly quotes and dashes of U+2010.
func punctuation(s string) bool {
	return len(s) >= 3 && (s[0] == 0xe3 && s[1] == 0x80 || s[0] == 0xef && (s[1] == 0xbc || s[1] == 0xbd))
}

func (w *writer) afterPunctuation() bool {
	n := len(w.b)
	return n >= 3 && (w.b[n-3] == 0xe3 && w.b[n-2] == 0x80 || w.b[n-3] == 0xef && (w.b[n-2] == 0xbc || w.b[n-2] == 0xbd))
}

// apart appends the space that stands before a name.
func (w *writer) apart() {
	if n := len(w.b); w.zh && n > 0 && w.b[n-1] != ' ' && !w.afterPunctuation() && (w.b[n-1] >= utf8.RuneSelf || joins(w.b[n-1]) && w.b[n-1] != '/') {
		w.b = append(w.b, ' ')
	}
	w.named = false
}

func (w *writer) number(n int64) {
	w.apart()
	w.b = strconv.AppendInt(w.b, n, 10)
}

// How many characters of something out of a log a sentence holds at most.
const (
	nameLength    = 80
	messageLength = 160
)

// name appends a name out of the log: as it is where it looks like one, quoted where it
// does not.
func (w *writer) name(s []byte) {
	w.apart()
	switch {
	case plainName(s):
		w.b = append(w.b, s...)
	case loose(s, w.zh):
		w.quote(s, nameLength)
	default:
		w.b = appendSafe(w.b, s, nameLength, 0)
		w.named = w.zh && w.b[len(w.b)-1] >= utf8.RuneSelf
	}
}

// plainName reports whether s is a name of ASCII that needs no second look, as nearly
// all are.
func plainName(s []byte) bool {
	if len(s) == 0 || len(s) > nameLength || s[len(s)-1] == '.' || s[len(s)-1] == ':' {
		return false
	}
	for _, c := range s {
		if !nameBytes[c] {
			return false
		}
	}
	return true
}

// nameBytes are the characters of names that stand without quotes. No mark that ends or
// divides a sentence is among them but the dot and the colon, which do so only at the end
// of a word.
var nameBytes = func() (set [256]bool) {
	for c := '0'; c <= 'z'; c++ {
		set[c] = c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a'
	}
	for _, c := range "-_./:@+~#%=*$&" {
		set[c] = true
	}
	return set
}()

// loose reports whether a name must be quoted: it is empty, has spaces or punctuation, or,
// in a Chinese sentence, words of one. Letters of every script are fine.
func loose(s []byte, zh bool) bool {
	if len(s) == 0 || !utf8.Valid(s) {
		return true
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRune(s[i:])
		if n == 1 && !nameBytes[s[i]] || n > 1 && !letter(r) {
			return true
		}
		i += n
	}
	if last := s[len(s)-1]; last == '.' || last == ':' {
		return true
	}
	if zh {
		for _, word := range chineseWords {
			if bytes.Contains(s, []byte(word)) {
				return true
			}
		}
	}
	return false
}

// letter reports whether a character of another script may stand in a name without
// quotes: letters and digits, but the fillers that show nothing.
func letter(r rune) bool {
	switch r {
	case 0x115f, 0x1160, 0x3164, 0xffa0:
		return false
	}
	return unicode.IsLetter(r) || unicode.Is(unicode.Nd, r)
}

// chineseWords are what the Chinese sentences are made of: a name that holds one is
// quoted in them, since Chinese has no spaces to tell where a name ends.
var chineseWords = [...]string{"了", "被", "的", "尝试", "请求", "匿名", "未知", "未通过", "节点", "服务账号", "控制平面", "引导", "身份", "来自", "使用", "开始", "授权"}

// quote appends text out of the log between marks that do not occur in it: double
// quotes, or backquotes where it has such; otherwise these are escaped.
func (w *writer) quote(s []byte, max int) {
	w.apart()
	mark := byte('"')
	if bytes.IndexByte(s, '"') >= 0 && bytes.IndexByte(s, '`') < 0 {
		mark = '`'
	}
	w.b = append(w.b, mark)
	w.b = appendSafe(w.b, s, max, mark)
	w.b = append(w.b, mark)
}

// message appends what the API server said, in quotes, on one line.
func (w *writer) message(s []byte) {
	s = bytes.TrimSpace(s)
	w.quote(s, messageLength)
}

// appendSafe appends at most max characters of s. Newlines and runs of blanks become one
// space; what could act on a terminal becomes an escape, as do the mark and, where there
// is a mark, what looks like an escape.
func appendSafe(b, s []byte, max int, mark byte) []byte {
	for i, n := 0, 1; i < len(s); n++ {
		if n >= max && i+utf8.UTFMax < len(s) {
			return append(b, "…"...)
		}
		c := s[i]
		switch {
		case c == '\n' || c == '\r' || c == '\t' || c == ' ':
			if i++; mark == 0 || len(b) == 0 || b[len(b)-1] != ' ' {
				b = append(b, ' ')
			}
			continue
		case mark != 0 && (c == mark || c == '\\' && mark != '`'):
			b = append(b, '\\', c)
			i++
			continue
		case c >= ' ' && c < 0x7f:
			b = append(b, c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		if r >= 0x4e00 && r <= 0x9fff {
			b = append(b, s[i:i+size]...)
		} else {
			shown := output.Plain(string(s[i:i+size]), false)
			b, n = append(b, shown...), n+utf8.RuneCountInString(shown)-1
		}
		i += size
	}
	return b
}

// unescape returns the text of a JSON string without its quotes, nil for what is none.
func unescape(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	var s string
	if json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &s) != nil {
		return nil
	}
	return []byte(s)
}

// appendDecoded appends a percent-encoded part of a query.
func appendDecoded(b, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s) && hex(s[i+1]) < 16 && hex(s[i+2]) < 16:
			b = append(b, hex(s[i+1])<<4|hex(s[i+2]))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return b
}

func hex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}

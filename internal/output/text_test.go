package output

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "",
		"kubectl/v1.36 王芳 é":    "kubectl/v1.36 王芳 é",
		"\x1b[31mred\x07":       `\x1b[31mred\x07`,
		"a\u202eb\u200bc\ufeff": `a\u202eb\u200bc\ufeff`,
		"bad \xff utf-8":        `bad \xff utf-8`,
		"one\ntwo\ttab":         `one\x0atwo\x09tab`,
		"c1 \u009b31m":          `c1 \u009b31m`,
		"line\u2028sep":         `line\u2028sep`,
	} {
		if got := Plain(in, false); got != want {
			t.Errorf("plain(%q) is %q, want %q", in, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("\x1b]0;x\x07")
	f.Add("\xe2\x80")
	f.Fuzz(func(t *testing.T, s string) {
		for _, lines := range []bool{false, true} {
			got := Plain(s, lines)
			if !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\x07\x1b\r\x7f\u009b\u202e") {
				t.Errorf("plain(%q) is %q", s, got)
			}
		}
		if c := Cell(s); c == "" || strings.ContainsAny(c, "\n\t") {
			t.Errorf("cell(%q) is %q", s, c)
		}
	})
}

func TestWidth(t *testing.T) {
	for s, want := range map[string]int{"abc": 3, "王芳": 4, "é": 1, "e\u0301": 1, "日本 x": 6, "한국": 4, "😀": 2} {
		if got := Width(s); got != want {
			t.Errorf("width(%q) is %d, want %d", s, got, want)
		}
	}
	if got := Clip("王芳王芳", 5); got != "王芳…" || Width(got) != 5 {
		t.Errorf("clip gave %q", got)
	}
}

// TestTable checks alignment with wide characters, and that a narrow terminal clips
// only what may be clipped.
func TestTable(t *testing.T) {
	var out bytes.Buffer
	tb := Table{W: bufio.NewWriter(&out), Headers: true, Titles: []string{"USER", "N", "OBJECT"}, Right: []int{1}, Soft: []int{2}, Fit: 24}
	for _, row := range [][]string{{"王芳", "1", "a"}, {"alice", "22", "namespace/very-long-name"}} {
		if err := tb.Add(row...); err != nil {
			t.Fatal(err)
		}
	}
	if err := tb.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "USER    N  OBJECT\n王芳    1  a\nalice  22  namespace/ve…\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// TestTableSpares: a narrow terminal gets fewer columns, one that is wide enough all.
func TestTableSpares(t *testing.T) {
	for fit, want := range map[int]string{
		0:  "NAME   COUNT  SINCE  CLOCK\ncp-1    1234  today  right\n",
		26: "NAME   COUNT  SINCE  CLOCK\ncp-1    1234  today  right\n",
		25: "NAME   SINCE  CLOCK\ncp-1   today  right\n",
		18: "NAME   CLOCK\ncp-1   right\n",
	} {
		var out strings.Builder
		tb := Table{W: bufio.NewWriter(&out), Headers: true, Titles: []string{"NAME ", "COUNT", "SINCE", "CLOCK"}, Right: []int{1}, Spare: []int{1, 2}, Fit: fit}
		if err := tb.Add("cp-1", "1234", "today", "right"); err != nil {
			t.Fatal(err)
		}
		if err := tb.Flush(); err != nil || out.String() != want {
			t.Errorf("%d columns: %v\n%s", fit, err, out.String())
		}
	}
}

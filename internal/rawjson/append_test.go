package rawjson_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/internal/rawjson"
)

// judge appends raw as encoding/json does, but for values that are nested deeper than
// MaxDepth.
func judge(raw []byte) ([]byte, bool) {
	if depth(raw) > rawjson.MaxDepth {
		return nil, false
	}
	out, err := json.Marshal(json.RawMessage(raw))
	return out, err == nil && len(raw) > 0
}

// depth is how deep brackets outside of strings are nested.
func depth(raw []byte) int {
	deepest, now, text := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch b := raw[i]; {
		case text && b == '\\':
			i++
		case b == '"':
			text = !text
		case !text && (b == '{' || b == '['):
			now++
			deepest = max(deepest, now)
		case !text && (b == '}' || b == ']'):
			now--
		}
	}
	return deepest
}

func check(t testing.TB, raw []byte) {
	t.Helper()
	before := []byte("before")
	got, err := rawjson.Append(before, raw)
	want, ok := judge(raw)
	if !ok {
		if err == nil {
			t.Errorf("%.200q is taken, as %.200q", raw, got)
		} else if string(got) != "before" {
			t.Errorf("%.200q: dst is %.200q after the error %v", raw, got, err)
		}
		return
	}
	if err != nil || string(got) != "before"+string(want) {
		t.Errorf("%.200q becomes\n%.200q (%v), want\n%.200q", raw, got, err, want)
	}
}

func seeds() []string {
	return []string{
		``, ` `, `null`, `true`, `false`, ` nul`, `truE`, `nulll`, `0`, `-0`, `01`, `-`, `1.`, `1.5e+10`, `1e`, `1e-`, `.5`, `+1`, `123456789012345678901234567890`,
		`""`, `"a"`, `"`, `"\`, `"\u`, `"\u00`, `"\u00e4\n\/"`, `"\x"`, `"\u00g0"`, "\"\x1f\"", "\"\x7f\"", "\"\n\"", `"12345678\"90123456"`,
		`"<>&"`, `"1234567<abcdefgh>"`, `"\u003c"`, "\"\u2028\u2029\u2027\u202a\"", "\"\xe2\x80\"", "\"\xe2\x80", "\"\xff\xe2\"", "\"\xe2\xe2\x80\xa8\"", `"日本語のテキスト"`, `"$!#'%"`,
		`{}`, `[]`, ` { } `, `[ ]`, `{"a":1}`, ` { "a" : [ 1 , 2 , { "b" : null } ] , "c" : "d" } `, `[1,2,]`, `[,]`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a" 1}`, `{a:1}`, `[1 2]`, `[1}`, `{"a":1]`, `{}{}`, `[]]`, `{"a":1`, `[`, `{`, `{"a"`, `{"a":`, `[1`, `{"a":1,`, "\ufeff{}", "\v1", "{\"a\":1\x00}",
		`{"a":1,"a":2}`, "\r\n\t 1 \r\n\t ", `{"kind":"Table","rows":[]}`,
		strings.Repeat("[", rawjson.MaxDepth) + strings.Repeat("]", rawjson.MaxDepth),
		strings.Repeat("[", rawjson.MaxDepth+1) + strings.Repeat("]", rawjson.MaxDepth+1),
		strings.Repeat(`{"a":`, rawjson.MaxDepth) + "1" + strings.Repeat("}", rawjson.MaxDepth),
		strings.Repeat(`[{"a":`, 64) + "[1]" + strings.Repeat("}]", 64),
	}
}

func TestAppend(t *testing.T) {
	for _, s := range seeds() {
		check(t, []byte(s))
	}
}

// TestAppendEverywhere puts each byte at each place of a word.
func TestAppendEverywhere(t *testing.T) {
	for b := range 256 {
		for at := range 16 {
			raw := []byte(`"abcdefghijklmnop"`)
			raw[1+at] = byte(b)
			check(t, raw)
			raw[2+at] = 0x80
			check(t, raw)
		}
	}
}

// A value that was appended is not changed by being appended again.
func TestAppendTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		once, err := rawjson.Append(nil, value().Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := rawjson.Append(nil, once); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q becomes %q, %v", once, twice, err)
		}
	})
}

// value draws JSON values with space in them.
func value() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		return appendDrawn(t, nil, 0)
	})
}

func appendDrawn(t *rapid.T, dst []byte, depth int) []byte {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t"})
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"metadata", "managedFields", "items", "rows", "object", "kind", "Table", "<&>", "\u2028"}))
	quoted := func() []byte {
		out, _ := json.Marshal(text.Draw(t, "text"))
		if rapid.Bool().Draw(t, "plain") {
			out = bytes.ReplaceAll(bytes.ReplaceAll(out, []byte(`\u003c`), []byte("<")), []byte(`\u2028`), []byte("\u2028"))
		}
		return out
	}
	dst = append(dst, space.Draw(t, "space")...)
	form := rapid.IntRange(0, 7).Draw(t, "form")
	if depth > 5 {
		form %= 4
	}
	switch form {
	case 0:
		dst = append(dst, rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "literal")...)
	case 1:
		dst = append(dst, rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")...)
	case 2, 3:
		dst = append(dst, quoted()...)
	case 4, 5:
		dst = append(dst, '[')
		for i := range rapid.IntRange(0, 4).Draw(t, "elements") {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendDrawn(t, dst, depth+1)
		}
		dst = append(append(dst, space.Draw(t, "space")...), ']')
	default:
		dst = append(dst, '{')
		for i := range rapid.IntRange(0, 4).Draw(t, "members") {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, space.Draw(t, "space")...)
			dst = append(append(append(dst, quoted()...), space.Draw(t, "space")...), ':')
			dst = appendDrawn(t, dst, depth+1)
		}
		dst = append(append(dst, space.Draw(t, "space")...), '}')
	}
	return append(dst, space.Draw(t, "space")...)
}

func TestRaw(t *testing.T) {
	for _, body := range []string{"", "a", "\xff\x00", strings.Repeat("x", 1000)} {
		want, err := json.Marshal(struct {
			Raw []byte `json:"raw"`
		}{[]byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		if got := rawjson.Raw(nil, []byte(body)); !bytes.Equal(got, want) {
			t.Errorf("%q becomes %s, want %s", body, got, want)
		}
	}
}

func FuzzAppend(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { check(t, raw) })
}

package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// paddings surrounds s with every number of plain bytes that puts it at another place
// in a word of eight.
func paddings(s string, yield func(string)) {
	for before := range 17 {
		for after := range 9 {
			yield(strings.Repeat("a", before) + s + strings.Repeat("z", after))
		}
	}
}

// TestStringEnd puts every byte at every place and every other byte after it.
func TestStringEnd(t *testing.T) {
	stops := func(c byte) bool { return c == '"' || c == '\\' || c < ' ' }
	for first := range 256 {
		for _, second := range []byte{0, 0x1f, ' ', '!', '"', '#', '[', '\\', ']', 0x7f, 0x80, 0xff} {
			paddings(string([]byte{byte(first), second}), func(s string) {
				want := len(s)
				high := false
				for i := range len(s) {
					if stops(s[i]) {
						want = i
						break
					}
					high = high || s[i] >= utf8.RuneSelf
				}
				got, gotHigh := stringEnd([]byte(s), 0)
				if got != want || (gotHigh != 0) != high {
					t.Fatalf("%q: got %d, %#x; want %d, %v", s, got, gotHigh, want, high)
				}
			})
		}
	}
}

// TestAppendText lets encoding/json judge every byte and some runes at every place.
func TestAppendText(t *testing.T) {
	tests := []string{"é", "王", "😀", "\u2027", "\u2028", "\u2029", "\u202a", "\xed\xa0\x80", "\xf5\x80", "<\\>", "\"&\""}
	for c := range 256 {
		tests = append(tests, string([]byte{byte(c)}))
	}
	for _, test := range tests {
		paddings(test, func(s string) {
			want, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if got := appendText(nil, []byte(s)); string(got) != string(want) {
				t.Fatalf("%q: got %s, want %s", s, got, want)
			}
		})
	}
	if got := appendText(nil, []byte("a\ufffdb")); string(got) != `"a\ufffdb"` {
		t.Errorf("U+FFFD is written %s", got)
	}
}

// TestTimes lets the time package judge one time of each day from year 0 to 9999.
func TestTimes(t *testing.T) {
	const layout = "2006-01-02T15:04:05.000000Z07:00"
	first := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	for at := first; at.Year() < 10000; at = at.Add(24*time.Hour + 7*time.Second + 1234567*time.Nanosecond) {
		want := at.Format(layout)
		if got := string(appendTime(nil, at.UnixMicro())); got != `"`+want+`"` {
			t.Fatalf("wrote %s for %s", got, want)
		}
		got, nanos, ok := parseTime([]byte(at.Format(time.RFC3339Nano)))
		if !ok || got != at.UnixMicro() || int(nanos) != at.Nanosecond()%1000 {
			t.Fatalf("read %d and %d ns, %v from %s", got, nanos, ok, at.Format(time.RFC3339Nano))
		}
	}
	for _, bad := range []string{
		"", "2026", "2026-11-20T15:22:00", "2026-11-20T15:22:00.Z", "2026-11-20T15:22:00.1",
		"2026-11-20 15:22:00Z", "2026-02-29T15:22:00Z", "2026-13-01T15:22:00Z", "2026-00-01T15:22:00Z",
		"2026-11-31T15:22:00Z", "2026-11-20T24:00:00Z", "2026-11-20T15:60:00Z", "2026-11-20T15:22:60Z",
		"2026-11-20T15:22:00+0800", "2026-11-20T15:22:00+24:00", "2026-11-20T15:22:00*08:00",
		"2026-11-20T15:22:00ZZ", "2o26-11-20T15:22:00Z", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01",
	} {
		if got, _, ok := parseTime([]byte(bad)); ok {
			t.Errorf("read %d from %q", got, bad)
		}
	}
	const zoned = "2026-11-20T08:22:00.5-07:30"
	want, err := time.Parse(time.RFC3339Nano, zoned)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, ok := parseTime([]byte(zoned)); !ok || got != want.UnixMicro() {
		t.Errorf("read %d, %v from %s, want %d", got, ok, zoned, want.UnixMicro())
	}
}

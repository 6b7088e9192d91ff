package record

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// appendString is encoding/json's, whatever byte stands wherever.
func TestAppendString(t *testing.T) {
	check := func(t interface{ Errorf(string, ...any) }, s string) {
		want, _ := json.Marshal(s)
		if got := appendString([]byte("x"), s); string(got) != "x"+string(want) {
			t.Errorf("%q is %s, want %s", s, got[1:], want)
		}
	}
	for c := range 256 {
		for at := range 17 {
			b := []byte("abcdefghijklmnopq")
			b[at] = byte(c)
			check(t, string(b))
		}
	}
	rapid.Check(t, func(t *rapid.T) { check(t, string(rapid.SliceOf(rapid.Byte()).Draw(t, "s"))) })
}

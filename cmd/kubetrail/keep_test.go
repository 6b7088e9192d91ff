package main

import (
	"bytes"
	"os"
	"testing"
)

// TestKeepByAge imports logs of different days under the clock of runHere, which
// stands at 2026-11-21T00:00Z.
func TestKeepByAge(t *testing.T) {
	dir, data := t.TempDir(), t.TempDir()
	write := func(name, id, time string) string {
		line := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"` + id + `","stage":"Panic","requestURI":"/",` +
			`"verb":"get","user":{},"requestReceivedTimestamp":"` + time + `","stageTimestamp":"` + time + `"}` + "\n"
		if err := os.WriteFile(dir+"/"+name, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	old := write("old.log", "a", "2026-11-18T23:59:59.999999Z")
	edge := write("edge.log", "b", "2026-11-19T00:00:00.000000Z")
	young := write("young.log", "c", "2026-11-20T12:00:00.000000Z")
	for _, c := range []struct {
		args []string
		left string
	}{
		{[]string{old}, "a"},
		{[]string{edge}, "ab"},
		{[]string{young}, "abc"},
		{[]string{"--keep", "3d", young}, "abc"},
		{[]string{"--keep", "2d", young}, "bc"},
		{[]string{"--keep", "1d12h", old}, "c"},
		{[]string{"--keep", "1h", edge}, ""},
		{[]string{old, edge, young}, ""},
	} {
		if _, code := runHere(t, append([]string{"import", "--data", data}, c.args...)...); code != exitOK {
			t.Fatalf("import %v: exit code %d", c.args, code)
		}
		got, _ := runHere(t, "search", "--data", data, "-o", "jsonl", "--fields", "id")
		var ids []byte
		for line := range bytes.Lines(got) {
			ids = append(ids, bytes.Split(line, []byte(`"`))[3]...)
		}
		if string(ids) != c.left {
			t.Errorf("after import %v the trail holds %q, want %q", c.args, ids, c.left)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		text, back string
		want       sizeValue
	}{
		{"1", "1B", 1}, {"1024", "1KiB", 1 << 10}, {"500MiB", "500MiB", 500 << 20}, {"10gib", "10GiB", 10 << 30},
		{"7TiB", "7TiB", 7 << 40}, {"1kb", "1000B", 1000}, {"2MB", "2000000B", 2e6}, {"3B", "3B", 3},
		{"8388607TiB", "8388607TiB", 8388607 << 40},
	} {
		var v sizeValue
		if err := v.Set(c.text); err != nil || v != c.want || v.String() != c.back {
			t.Errorf("%q is %d (%s), %v; want %d (%s)", c.text, v, v.String(), err, c.want, c.back)
		}
	}
	for _, text := range []string{"", "0", "0GiB", "-1", "+1", "1.5GiB", "1 GiB", "GiB", "1Gi", "8388608TiB", "9223372036854775808"} {
		var v sizeValue
		if err := v.Set(text); err == nil {
			t.Errorf("%q is taken as %d", text, v)
		}
	}
}

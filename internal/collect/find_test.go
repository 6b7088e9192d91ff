package collect

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kubetrail/audit"

	"kubetrail/internal/collect/collecttest"
)

func find(t *testing.T, paths ...string) (names []string, skips []Skip) {
	t.Helper()
	set, err := Find(t.Context(), FindConfig{Paths: paths})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range set.Files {
		names = append(names, f.Name)
	}
	return names, set.Skips
}

// TestOrder checks the order of rotated sets, whatever order the names sort in.
func TestOrder(t *testing.T) {
	want := []string{
		"audit-2026-11-20T15-13-23.604.log.gz",
		"audit-2026-11-20T15-13-24.001.log",
		"audit.log",
		"kube.log-20261118.gz",
		"kube.log-20261119",
		"kube.log.10.gz",
		"kube.log.2",
		"kube.log.1",
		"kube.log",
		"posts/2.json",
		"posts/10.json",
	}
	files := map[string]string{}
	for _, name := range want {
		files[name] = events(0, 3)
	}
	dir := write(t, files)
	got, _ := find(t, dir)
	for i := range got {
		got[i], _ = filepath.Rel(dir, got[i])
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestOrderByTime checks that the first event decides where names do not.
func TestOrderByTime(t *testing.T) {
	dir := write(t, map[string]string{"audit.log.1": events(10, 20), "audit.log.1.gz": gzipped(t, events(0, 10))})
	got, _ := find(t, dir)
	if len(got) != 2 || !strings.HasSuffix(got[0], ".gz") {
		t.Errorf("got %v", got)
	}
}

// TestLoops checks links: circles, dangling ones, two names of one file.
func TestLoops(t *testing.T) {
	dir := write(t, map[string]string{"a/audit.log": events(0, 3), "b/other.log": events(3, 6)})
	for link, to := range map[string]string{
		"a/self": ".", "a/up": "..", "b/to-a": "../a", "b/aaa.log": "../a/audit.log", "b/nowhere": "gone", "b/round": "round",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	got, skips := find(t, dir, dir, filepath.Join(dir, "a", "self", "audit.log"))
	if want := []string{filepath.Join(dir, "a/audit.log"), filepath.Join(dir, "b/other.log")}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(skips) < 6 {
		t.Errorf("skips: %v", skips)
	}
}

// TestNoLogs checks what is passed over in a directory and refused when named.
func TestNoLogs(t *testing.T) {
	others := map[string]string{
		"empty.log":     "",
		"policy.yaml":   "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n",
		"list.json":     `{"kind":"PodList","apiVersion":"v1","items":[]}`,
		"component.log": strings.Repeat("I1120 15:34:42.367674   14981 flags.go:64] FLAG: --x=y\n", 50) + event(1) + "\n",
		"quotes.log":    strings.Repeat("E1120 15:34:42.367674   14981 metrics.go:110] Error in audit plugin\n"+event(1)+"\n", 50),
	}
	dir := write(t, others)
	var none *NoLogError
	if _, err := Find(t.Context(), FindConfig{Paths: []string{dir}}); !errors.As(err, &none) || none.Looked != len(others) {
		t.Errorf("a directory without logs: %v", err)
	}
	for name := range others {
		_, err := Find(t.Context(), FindConfig{Paths: []string{filepath.Join(dir, name)}})
		named := name == "component.log" || name == "quotes.log" // who names a file means it
		if errors.As(err, &none) == named {
			t.Errorf("%s: %v", name, err)
		}
	}
	put(t, filepath.Join(dir, "audit.log"), events(0, 3))
	if got, skips := find(t, dir); len(got) != 1 || len(skips) != len(others) {
		t.Errorf("got %v, skipped %v", got, skips)
	}
}

// TestDamagedIsALog checks that damage at the beginning does not hide a log.
func TestDamagedIsALog(t *testing.T) {
	for name, text := range map[string]string{
		"half a line":                       event(1)[200:] + "\n" + events(2, 5),
		"a hole":                            strings.Repeat("\x00", 300_000) + events(2, 5),
		"one header":                        "# exported by hand\n" + events(2, 5),
		"a huge event":                      strings.Replace(event(1), `"user":`, `"requestObject":{"x":"`+strings.Repeat("y", 400_000)+`"},"user":`, 1) + "\n",
		"byte order mark, carriage returns": "\ufeff" + strings.ReplaceAll(events(2, 5), "\n", "\r\n"),
	} {
		dir := write(t, map[string]string{"audit.log": text})
		if got, skips := find(t, dir); len(got) != 1 {
			t.Errorf("%s: skipped %v", name, skips)
		}
	}
}

func TestMissing(t *testing.T) {
	if _, err := Find(t.Context(), FindConfig{Paths: []string{filepath.Join(t.TempDir(), "no")}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := write(t, map[string]string{"audit.log": events(0, 3)})
	if _, err := Find(ctx, FindConfig{Paths: []string{dir}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestSpool checks that a stream can be read twice when it was spooled, and that
// nothing of it stays behind.
func TestSpool(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	set, err := Find(t.Context(), FindConfig{Paths: []string{"-"}, Stdin: strings.NewReader(events(0, 9)), Spool: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var b bytes.Buffer
		err := set.Files[0].Each(func(name string, plain io.Reader) error {
			_, err := b.ReadFrom(plain)
			return err
		}, func(Skip) {}, func(*audit.Damage) {})
		if err != nil || b.String() != events(0, 9) {
			t.Errorf("got %d bytes, %v", b.Len(), err)
		}
	}
	if err := set.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := Find(t.Context(), FindConfig{Paths: []string{"-"}, Stdin: strings.NewReader(""), Spool: true}); err == nil {
		t.Error("an empty stream, and no error")
	}
}

// TestReplaced checks that a file which rotation replaced is not taken for the one
// that was found.
func TestReplaced(t *testing.T) {
	dir := write(t, map[string]string{"audit.log": events(0, 10), "b.log": events(10, 20)})
	set, err := Find(t.Context(), FindConfig{Paths: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "audit.log")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	put(t, log, events(50, 60))
	m := collecttest.New()
	var skips []Skip
	r, err := Import(t.Context(), m, m.Sources(), ImportConfig{Files: set.Files, OnSkip: func(s Skip) { skips = append(skips, s) }})
	if err != nil || len(skips) != 1 {
		t.Fatal(err, skips)
	}
	expect(t, m, r, 10, 10)
}

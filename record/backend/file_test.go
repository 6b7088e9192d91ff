package backend_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kubetrail/record/backend"
)

// rotation is when the tests begin: in the names of backups.
var rotation = time.Date(2026, 11, 20, 15, 13, 23, 604_000_000, time.UTC)

// clock is a clock that stands.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: rotation} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func openFile(t testing.TB, c backend.FileConfig) *backend.File {
	t.Helper()
	c.Logger = logger(t)
	f, err := backend.OpenFile(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func put(t testing.TB, f *backend.File, lines string) {
	t.Helper()
	if n, err := f.Write([]byte(lines)); n != len(lines) || err != nil {
		t.Fatalf("of %d bytes %d are stored: %v", len(lines), n, err)
	}
}

// content returns what the files in a directory hold, by name.
func content(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

func expect(t testing.TB, dir string, want map[string]string) {
	t.Helper()
	if got := content(t, dir); !maps.Equal(got, want) {
		t.Errorf("the directory holds\n%q\nwant\n%q", got, want)
	}
}

// When a file rotates, and what it is called then.
func TestFileRotates(t *testing.T) {
	const first, second = "audit-2026-11-20T15-13-23.604.log", "audit-2026-11-20T15-13-23.605.log"
	for _, test := range []struct {
		name   string
		max    int64
		before string // in the file when it is opened
		writes []string
		want   map[string]string
	}{
		{"full", 8, "", []string{"aaa\n", "bbb\n", "c\n"},
			map[string]string{first: "aaa\nbbb\n", "audit.log": "c\n"}},
		{"between the lines of one write", 8, "", []string{"aaa\nbbb\nccc\nddd\ne\n"},
			map[string]string{first: "aaa\nbbb\n", second: "ccc\nddd\n", "audit.log": "e\n"}},
		{"never", 0, "", []string{"aaa\n", strings.Repeat("b", 9000) + "\n"},
			map[string]string{"audit.log": "aaa\n" + strings.Repeat("b", 9000) + "\n"}},
		{"a line larger than a file", 8, "", []string{"a\n", "bbbbbbbbbbbb\n", "c\n"},
			map[string]string{first: "a\n", second: "bbbbbbbbbbbb\n", "audit.log": "c\n"}},
		{"nothing but a line larger than a file", 8, "", []string{"bbbbbbbbbbbb\n"},
			map[string]string{"audit.log": "bbbbbbbbbbbb\n"}},
		{"what was there counts", 8, "aaa\n", []string{"bbbb\n"},
			map[string]string{first: "aaa\n", "audit.log": "bbbb\n"}},
		{"the first line of a process does not fill it up", 8, "aaa\n", []string{"bbb\n"},
			map[string]string{first: "aaa\n", "audit.log": "bbb\n"}},
		{"the second one does", 8, "a\n", []string{"b\n", "ccc\n"},
			map[string]string{"audit.log": "a\nb\nccc\n"}},
		{"too large from the start", 8, "aaaaaaaaaaaa\n", []string{"b\n"},
			map[string]string{first: "aaaaaaaaaaaa\n", "audit.log": "b\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "audit.log")
			if test.before != "" {
				if err := os.WriteFile(path, []byte(test.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f := openFile(t, backend.FileConfig{Path: path, MaxSize: test.max, Now: newClock().Now})
			for _, w := range test.writes {
				put(t, f, w)
			}
			expect(t, dir, test.want)
		})
	}
}

// Backups that are there, compressed ones too, are never overwritten, whatever the clock
// says.
func TestFileKeepsBackups(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"audit-2026-11-20T15-13-23.604.log": "mine\n", "audit-2026-11-20T15-13-23.605.log.gz": "mine too\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newClock()
	f := openFile(t, backend.FileConfig{Path: filepath.Join(dir, "audit.log"), MaxSize: 4, Now: c.Now})
	put(t, f, "aaa\nbbb\n")
	c.pass(-time.Hour)
	put(t, f, "ccc\n")
	expect(t, dir, map[string]string{
		"audit-2026-11-20T15-13-23.604.log":    "mine\n",
		"audit-2026-11-20T15-13-23.605.log.gz": "mine too\n",
		"audit-2026-11-20T15-13-23.606.log":    "aaa\n",
		"audit-2026-11-20T15-13-23.607.log":    "bbb\n",
		"audit.log":                            "ccc\n",
	})
}

func TestFileModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has other modes")
	}
	mode := func(path string) os.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "audit.log")
	c := newClock()
	f := openFile(t, backend.FileConfig{Path: path, MaxSize: 4, Now: c.Now})
	if mode(dir) != 0o700 || mode(filepath.Dir(dir)) != 0o700 || mode(path) != 0o600 {
		t.Errorf("made with the modes %v, %v and %v", mode(filepath.Dir(dir)), mode(dir), mode(path))
	}
	if err := os.Chmod(path, 0o646); err != nil {
		t.Fatal(err)
	}
	put(t, f, "aaa\nbbb\n")
	if mode(path) != 0o646 {
		t.Errorf("after a rotation the mode is %v", mode(path))
	}
	f.Close()
	openFile(t, backend.FileConfig{Path: path, MaxSize: 4, Now: c.Now})
	if mode(path) != 0o646 {
		t.Errorf("opened again, the mode is %v", mode(path))
	}
}

// Whatever others do to the file, lines go where its name is, and none is lost.
func TestFileInOtherHands(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, f *backend.File, c *clock, path string)
		want map[string]string
	}{
		{"moved and reopened", func(t *testing.T, f *backend.File, c *clock, path string) {
			check(t, os.Rename(path, path+".1"))
			put(t, f, "b\n")
			check(t, f.Reopen())
		}, map[string]string{"audit.log.1": "a\nb\n", "audit.log": "c\n"}},
		{"moved", func(t *testing.T, f *backend.File, c *clock, path string) {
			check(t, os.Rename(path, path+".1"))
			put(t, f, "b\n")
			c.pass(time.Second)
		}, map[string]string{"audit.log.1": "a\nb\n", "audit.log": "c\n"}},
		{"moved and made anew", func(t *testing.T, f *backend.File, c *clock, path string) {
			check(t, os.Rename(path, path+".1"))
			check(t, os.WriteFile(path, []byte("x\n"), 0o600))
			put(t, f, "b\n")
			c.pass(time.Second)
		}, map[string]string{"audit.log.1": "a\nb\n", "audit.log": "x\nc\n"}},
		{"deleted", func(t *testing.T, f *backend.File, c *clock, path string) {
			check(t, os.Remove(path))
			c.pass(time.Second)
		}, map[string]string{"audit.log": "c\n"}},
		{"copied and truncated", func(t *testing.T, f *backend.File, c *clock, path string) {
			text, err := os.ReadFile(path)
			check(t, err)
			check(t, os.WriteFile(path+".1", text, 0o600))
			check(t, os.Truncate(path, 0))
		}, map[string]string{"audit.log.1": "a\n", "audit.log": "c\n"}},
		{"copied and truncated when full", func(t *testing.T, f *backend.File, c *clock, path string) {
			put(t, f, "0123456789012345678901234567890123456789\n")
			check(t, os.Truncate(path, 0))
			put(t, f, "0123456789\n")
		}, map[string]string{"audit.log": "0123456789\nc\n"}},
		{"written by another process", func(t *testing.T, f *backend.File, c *clock, path string) {
			other := openFile(t, backend.FileConfig{Path: path, MaxSize: 50, Now: c.Now})
			put(t, other, "b\n")
		}, map[string]string{"audit.log": "a\nb\nc\n"}},
		{"rotated by another process", func(t *testing.T, f *backend.File, c *clock, path string) {
			other := openFile(t, backend.FileConfig{Path: path, MaxSize: 4, Now: c.Now})
			put(t, other, "bbb\n")
			put(t, f, "0123456789012345678901234567890123456789\n") // still the old file
			put(t, f, "0123456\n")                                  // would not fit any more
		}, map[string]string{"audit-2026-11-20T15-13-23.604.log": "a\n0123456789012345678901234567890123456789\n", "audit.log": "bbb\n0123456\nc\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "audit.log")
			c := newClock()
			f := openFile(t, backend.FileConfig{Path: path, MaxSize: 50, Now: c.Now})
			put(t, f, "a\n")
			test.do(t, f, c, path)
			put(t, f, "c\n")
			expect(t, dir, test.want)
		})
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The directory may go as well.
func TestFileDirectoryDeleted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	c := newClock()
	f := openFile(t, backend.FileConfig{Path: filepath.Join(dir, "audit.log"), Now: c.Now})
	check(t, os.RemoveAll(dir))
	c.pass(time.Second)
	put(t, f, "a\n")
	expect(t, dir, map[string]string{"audit.log": "a\n"})
}

// The end of a line that a dead process has left is no beginning of another.
func TestFileBeginsTorn(t *testing.T) {
	for before, want := range map[string]string{
		"":                "b\n",
		"a\n":             "a\nb\n",
		"a\n{\"kind\":\"": "a\n{\"kind\":\"\nb\n",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "audit.log")
		check(t, os.WriteFile(path, []byte(before), 0o600))
		f := openFile(t, backend.FileConfig{Path: path, Now: newClock().Now})
		put(t, f, "b\n")
		expect(t, dir, map[string]string{"audit.log": want})
	}
}

// A file that cannot be rotated grows, and is rotated when it can be.
func TestFileCannotRotate(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a path that is a file and cannot be renamed")
	}
	dir := t.TempDir()
	target, err := os.OpenFile(filepath.Join(dir, "target.log"), os.O_CREATE|os.O_WRONLY, 0o600)
	check(t, err)
	defer target.Close()
	c := newClock()
	f := openFile(t, backend.FileConfig{Path: fmt.Sprintf("/proc/self/fd/%d", target.Fd()), MaxSize: 8, Now: c.Now})
	put(t, f, "aaa\nbbb\nccc\n")
	c.pass(time.Second)
	put(t, f, "ddd\n")
	expect(t, dir, map[string]string{"target.log": "aaa\nbbb\nccc\nddd\n"})
}

// A pipe as a path is neither rotated nor looked for.
func TestFileIsNoFile(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a path that is a pipe")
	}
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	f := openFile(t, backend.FileConfig{Path: fmt.Sprintf("/proc/self/fd/%d", w.Fd()), MaxSize: 4, Sync: true})
	w.Close()
	put(t, f, "aaa\nbbb\nccccc\n")
	f.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(r); err != nil || text.String() != "aaa\nbbb\nccccc\n" {
		t.Errorf("the pipe gives %q, %v", &text, err)
	}
}

// Which backups are kept, and which are not ours to touch.
func TestFileRetention(t *testing.T) {
	name := func(days int, suffix string) string {
		return "audit-" + rotation.Add(-time.Duration(days)*24*time.Hour).Format("2006-01-02T15-04-05.000") + suffix
	}
	strangers := []string{"audit.log", "audit-2026.log", "audit-other.log", "audit.log.1", name(9, ".txt"), name(9, ".log.bz2"), "x" + name(9, ".log")}
	backups := []string{name(1, ".log"), name(2, ".log.gz"), name(2, ".log"), name(3, ".log.gz"), name(4, ".log"), name(5, ".log.gz")}
	for _, test := range []struct {
		max  int
		age  time.Duration
		want []string
	}{
		{0, 0, backups},
		{3, 0, backups[:4]},
		{2, 0, backups[:3]}, // a backup and what is made of it are one
		{10, 0, backups},
		{0, 84 * time.Hour, backups[:4]},
		{10, 12 * time.Hour, nil},
		{1, 84 * time.Hour, backups[:1]},
	} {
		t.Run(fmt.Sprintf("%d, %v", test.max, test.age), func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range slices.Concat(strangers, backups) {
				check(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
			}
			synctest.Test(t, func(t *testing.T) {
				f := openFile(t, backend.FileConfig{Path: filepath.Join(dir, "audit.log"), MaxBackups: test.max, MaxAge: test.age, Now: newClock().Now})
				ctx, cancel := context.WithCancel(t.Context())
				var run sync.WaitGroup
				run.Go(func() { check(t, f.Run(ctx)) })
				synctest.Wait()
				cancel()
				run.Wait()
			})
			want := slices.Sorted(slices.Values(slices.Concat(strangers, test.want)))
			if got := slices.Sorted(maps.Keys(content(t, dir))); !slices.Equal(got, want) {
				t.Errorf("left are\n%v\nwant\n%v", got, want)
			}
		})
	}
}

// Backups are compressed when nobody writes to them any more, with mode and content, and
// what a crash has left of that is done again.
func TestFileCompresses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	for name, text := range map[string]string{
		"audit-2026-11-20T15-13-20.000.log":                "old\n", // not compressed, for a crash
		"audit-2026-11-20T15-13-20.000.log.gz.1234.tmp":    "half",
		"audit-2026-11-20T15-13-20.001.log":                "twin\n", // compressed, but not removed
		"audit-2026-11-20T15-13-20.001.log.gz":             "",
		"strange-2026-11-20T15-13-20.001.log.gz.1234.tmp":  "mine",
		"audit-2026-11-20T15-13-20.001.strange.gz.123.tmp": "mine",
	} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	c := newClock()
	f := openFile(t, backend.FileConfig{Path: path, MaxSize: 8, Compress: true, Now: c.Now})
	check(t, os.Chmod(path, 0o640))
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { check(t, f.Run(ctx)) })
	put(t, f, "aaa\nbbb\n")
	put(t, f, "ccc\n")
	eventually(t, "old backups are compressed", func() bool {
		_, err := os.Stat(filepath.Join(dir, "audit-2026-11-20T15-13-20.001.log"))
		return os.IsNotExist(err)
	})
	if got := content(t, dir); got["audit-2026-11-20T15-13-23.604.log"] != "aaa\nbbb\n" {
		t.Error("a backup was compressed at once, although others may still write to it")
	}
	c.pass(3 * time.Second)
	eventually(t, "the backup is compressed", func() bool {
		_, err := os.Stat(filepath.Join(dir, "audit-2026-11-20T15-13-23.604.log"))
		return os.IsNotExist(err)
	})
	cancel()
	run.Wait()
	texts := logTexts(t, path)
	for name, want := range map[string]string{
		"audit-2026-11-20T15-13-20.000.log": "old\n", "audit-2026-11-20T15-13-20.001.log": "twin\n",
		"audit-2026-11-20T15-13-23.604.log": "aaa\nbbb\n", "audit.log": "ccc\n",
	} {
		if got := string(texts[filepath.Join(dir, name)]); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	names := slices.Sorted(maps.Keys(content(t, dir)))
	if len(names) != 6 {
		t.Errorf("the directory holds %v", names)
	}
	if info, err := os.Stat(filepath.Join(dir, "audit-2026-11-20T15-13-23.604.log.gz")); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("the compressed backup: %v, %v", info.Mode(), err)
	}
}

func TestFileSync(t *testing.T) {
	dir := t.TempDir()
	f := openFile(t, backend.FileConfig{Path: filepath.Join(dir, "audit.log"), MaxSize: 8, Sync: true, Now: newClock().Now})
	put(t, f, "aaa\nbbb\nc\n")
	expect(t, dir, map[string]string{"audit-2026-11-20T15-13-23.604.log": "aaa\nbbb\n", "audit.log": "c\n"})
}

func TestFileCannotOpen(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for _, path := range []string{dir, filepath.Join(dir, "file", "audit.log")} {
		if f, err := backend.OpenFile(backend.FileConfig{Path: path}); err == nil {
			f.Close()
			t.Errorf("%s was opened", path)
		}
	}
}

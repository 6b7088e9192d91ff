package collect

import (
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/trail"
)

// written is what a log file held at a time: its events, wherever they can be read.
type written struct {
	ids  []int
	full []*inode // files that hold all of it
	lost bool     // no longer readable for the follower
}

// inode is a file in the model of a directory.
type inode struct {
	name   string // "" once it was removed
	packed bool
	held   bool // the follower had to open it and keep it
	was    *written
}

// world is a kube-apiserver that writes numbered events into a log which is rotated in
// all ways, and a follower that is killed at any time.
type world struct {
	t    *rapid.T
	dir  string
	name string // of the log
	m    *collecttest.Model
	f    *Follower
	time clock

	out    *os.File
	file   *inode // that out writes to
	torn   string // the rest of the event that was not written whole
	tornID int
	files  []*inode
	all    []*written
	lines  map[int]string
	maybe  map[int]bool // events that could not be read at some time
	next   int
	stamp  int
	copied *inode // a copy that is being made, or was made and the log not yet truncated
	pack   *inode // that is being compressed
	packer *os.File
	packed string
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) must(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

// line is an event, long in some cases, and beginning like others.
func (w *world) line(id int) string {
	pad := strings.Repeat("x", rapid.SampledFrom([]int{0, 0, 0, 0, 10, 500, 5000, 20000}).Draw(w.t, "pad"))
	return fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"same","stage":"ResponseComplete",`+
		`"requestURI":"/api/v1/namespaces/default/pods/pod-%s","verb":"get","user":{"username":"alice"},`+
		`"requestReceivedTimestamp":"2026-11-20T15:00:00.000000Z","stageTimestamp":"2026-11-20T15:00:00.%06dZ"}`, pad, id)
}

func (w *world) inode(name string) *inode {
	i := slices.IndexFunc(w.files, func(f *inode) bool { return f.name == name })
	if i < 0 {
		return nil
	}
	return w.files[i]
}

// open begins to write to a new or old file of the log's name.
func (w *world) open(flags int) {
	out, err := os.OpenFile(w.path(w.name), os.O_WRONLY|os.O_CREATE|flags, 0o600)
	w.must(err)
	if w.out != nil {
		w.must(w.out.Close())
	}
	w.out = out
	w.tear()
	if w.file = w.inode(w.name); w.file == nil {
		w.file = w.create(w.name)
	}
}

func (w *world) create(name string) *inode {
	f := &inode{name: name}
	w.files = append(w.files, f)
	w.begin(f)
	return f
}

// begin gives a file an empty content.
func (w *world) begin(f *inode) {
	f.was = &written{full: []*inode{f}}
	w.all = append(w.all, f.was)
}

// tear leaves the event that was begun as it is.
func (w *world) tear() { w.torn = "" }

func (w *world) write(whole bool) {
	if w.torn != "" {
		_, err := w.out.WriteString(w.torn)
		w.must(err)
		w.torn = ""
		w.wrote(w.tornID)
	}
	for range rapid.IntRange(1, 6).Draw(w.t, "events") {
		id := w.next
		w.next++
		line := w.line(id) + "\n"
		w.lines[id] = strings.TrimSuffix(line, "\n")
		if !whole {
			at := rapid.IntRange(1, len(line)-2).Draw(w.t, "cut")
			w.torn, w.tornID = line[at:], id
			_, err := w.out.WriteString(line[:at])
			w.must(err)
			return
		}
		_, err := w.out.WriteString(line)
		w.must(err)
		w.wrote(id)
	}
}

func (w *world) wrote(id int) {
	was := w.file.was
	was.ids = append(was.ids, id)
	if was.lost {
		w.maybe[id] = true
	}
	if w.pack != nil && w.pack.was == was {
		w.abandonPacking()
	}
	w.copied = nil
	// No copy has what comes after it was made.
	for _, f := range was.full {
		if f != w.file {
			f.was = nil
		}
	}
	was.full = []*inode{w.file}
	w.check()
}

// check notes what can no longer be read.
func (w *world) check() {
	var done map[string]bool
	for _, was := range w.all {
		if slices.ContainsFunc(was.full, func(f *inode) bool { return f.name != "" || f.held }) {
			continue
		}
		if done == nil {
			done = w.done()
		}
		was.lost = true
		for _, id := range was.ids {
			if !done[w.lines[id]] {
				w.maybe[id] = true
			}
		}
	}
}

// done are the lines that were appended.
func (w *world) done() map[string]bool {
	done := map[string]bool{}
	for _, l := range slices.Concat(w.m.Lines, w.m.Waiting) {
		done[l[strings.IndexByte(l, 0)+1:]] = true
	}
	return done
}

func (w *world) rename(f *inode, to string) {
	if old := w.inode(to); old != nil {
		w.gone(old)
	}
	w.must(os.Rename(w.path(f.name), w.path(to)))
	f.name = to
}

func (w *world) remove(f *inode) {
	w.must(os.Remove(w.path(f.name)))
	w.gone(f)
}

func (w *world) gone(f *inode) {
	f.name = ""
	if f.was != nil && f.packed && f == w.pack {
		w.t.Fatal("a file that is being made was removed")
	}
	if w.copied == f {
		w.copied = nil
	}
	w.check()
}

func (w *world) backup() string {
	w.stamp++
	ext := filepath.Ext(w.name)
	at := time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC).Add(time.Duration(w.stamp) * 37 * time.Millisecond)
	return strings.TrimSuffix(w.name, ext) + "-" + at.Format("2006-01-02T15-04-05.000") + ext
}

// lumberjack rotates as kube-apiserver does: rename what has the name, create anew, not
// to append, and close the old one.
func (w *world) lumberjack() {
	if f := w.inode(w.name); f != nil {
		w.rename(f, w.backup())
	}
	w.open(os.O_TRUNC)
}

// shift renames the numbered files.
func (w *world) shift() {
	w.copied = nil
	for n := 5; n >= 1; n-- {
		for _, ext := range []string{"", ".gz"} {
			f := w.inode(fmt.Sprintf("%s.%d%s", w.name, n, ext))
			switch {
			case f == nil || f.packed && f == w.pack:
			case n == 5:
				w.remove(f)
			default:
				w.rename(f, fmt.Sprintf("%s.%d%s", w.name, n+1, ext))
			}
		}
	}
}

// logrotate renames the log while it is being written.
func (w *world) logrotate(create, dated bool) {
	f := w.inode(w.name)
	if f == nil {
		return
	}
	if w.finishPacking(); dated {
		w.stamp++
		w.rename(f, fmt.Sprintf("%s-%08d", w.name, 20261121+w.stamp))
	} else {
		w.shift()
		w.rename(f, w.name+".1")
	}
	if create {
		w.must(os.WriteFile(w.path(w.name), nil, 0o600))
		w.create(w.name)
	}
}

// copyLog copies the log. It may be left with a half of it.
func (w *world) copyLog(half bool) {
	f := w.inode(w.name)
	if f == nil || w.copied != nil {
		return
	}
	w.finishPacking()
	w.shift()
	text, err := os.ReadFile(w.path(w.name))
	w.must(err)
	to := &inode{name: w.name + ".1"}
	w.files = append(w.files, to)
	if half {
		w.must(os.WriteFile(w.path(to.name), text[:len(text)/2], 0o600))
		if w.pull(); !rapid.Bool().Draw(w.t, "finish") {
			return
		}
	}
	w.must(os.WriteFile(w.path(to.name), text, 0o600))
	to.was = f.was
	f.was.full = append(f.was.full, to)
	w.copied = to
}

// truncate cuts the log that was copied.
func (w *world) truncate() {
	f := w.inode(w.name)
	if w.copied == nil || f == nil || w.copied.was != f.was {
		return
	}
	w.must(os.Truncate(w.path(w.name), 0))
	w.copied.held = false
	f.was.full = slices.DeleteFunc(f.was.full, func(o *inode) bool { return o == f })
	if w.file == f {
		w.tear()
	}
	w.begin(f)
	w.copied = nil
	w.check()
}

// startPacking begins to compress a backup in the background.
func (w *world) startPacking() {
	if w.pack != nil {
		return
	}
	for _, f := range w.files {
		if f.name == "" || f.name == w.name || f.packed || f.was == nil || f == w.copied || f == w.file {
			continue
		}
		text, err := os.ReadFile(w.path(f.name))
		w.must(err)
		w.packer, err = os.OpenFile(w.path(f.name+".gz"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		w.must(err)
		var b strings.Builder
		z := gzip.NewWriter(&b)
		_, err = z.Write(text)
		w.must(err)
		w.must(z.Close())
		half := b.Len() / 2
		_, err = w.packer.WriteString(b.String()[:half])
		w.must(err)
		w.packed = b.String()[half:]
		if old := w.inode(f.name + ".gz"); old != nil {
			w.gone(old)
		}
		w.pack = &inode{name: f.name + ".gz", packed: true, was: f.was}
		w.files = append(w.files, w.pack)
		return
	}
}

func (w *world) abandonPacking() {
	w.must(w.packer.Close())
	w.must(os.Remove(w.path(w.pack.name)))
	w.pack.name, w.pack.was, w.pack = "", nil, nil
}

// finishPacking ends compressing and removes the backup.
func (w *world) finishPacking() {
	if w.pack == nil {
		return
	}
	from := w.inode(plainName(w.pack.name))
	if from == nil || from.was != w.pack.was {
		w.abandonPacking()
		return
	}
	_, err := w.packer.WriteString(w.packed)
	w.must(err)
	w.must(w.packer.Close())
	from.was.full = append(from.was.full, w.pack)
	w.pack = nil
	if rapid.Bool().Draw(w.t, "look") {
		w.pull()
	}
	w.remove(from)
}

// discard removes the oldest backups, all but some.
func (w *world) discard(keep int) {
	w.finishPacking()
	var backups []*inode
	for _, f := range w.files {
		if f.name != "" && f.name != w.name && f != w.copied {
			backups = append(backups, f)
		}
	}
	slices.SortFunc(backups, func(a, b *inode) int { return strings.Compare(a.name, b.name) })
	for _, f := range backups[:max(0, len(backups)-keep)] {
		w.remove(f)
	}
}

// pull lets the follower look once.
func (w *world) pull() {
	limit := rapid.SampledFrom([]int64{1, 1000, 1 << 20, 0}).Draw(w.t, "limit")
	if _, err := w.f.Pull(w.t.Context(), w, limit); err != nil && !passing(err) {
		w.t.Fatal(err)
	}
	// What it saw now, it has to hold, unless it is a copy of what it holds.
	for _, was := range w.all {
		plain := slices.ContainsFunc(was.full, func(f *inode) bool { return !f.packed && (f.name != "" || f.held) })
		held := false
		for _, f := range was.full {
			if f.name != "" && (!f.packed || !plain && w.inode(plainName(f.name)) == nil) && !held {
				f.held = len(was.full) == 1 || !plain || f.held
			}
			held = held || f.held
		}
	}
}

func (w *world) commit() { w.must(w.m.Commit(w.t.Context())) }

// restart kills the follower and starts another.
func (w *world) restart() {
	if w.f != nil {
		w.must(w.f.Close())
	}
	w.m.Crash()
	for _, f := range w.files {
		f.held = false
	}
	w.check()
	var err error
	path := w.path(w.name)
	w.f, err = Follow(FollowConfig{Path: path, Cluster: "c", Sources: w.m.Sources()})
	w.must(err)
	w.f.now = w.time.now
}

// The world is the Appender, which hands on to the model, to see in which order events
// come.

func (w *world) Append(e *audit.Event)  { w.m.Append(e) }
func (w *world) SetAside(f trail.Fault) { w.m.SetAside(f) }
func (w *world) Advance(s trail.Source) { w.m.Advance(s) }
func (w *world) Full() bool             { return w.m.Full() }
func (w *world) Seal() error            { return w.m.Seal() }

func (w *world) Commit(ctx context.Context) error {
	return w.m.Commit(ctx)
}

// step does one thing.
func (w *world) step() {
	r := func(n int) int { return rapid.IntRange(0, n-1).Draw(w.t, "which") }
	switch rapid.SampledFrom([]string{"write", "write", "write", "write", "torn", "pull", "pull", "pull", "commit", "restart",
		"lumberjack", "lumberjack", "logrotate", "copy", "truncate", "truncate", "pack", "packed", "discard", "unlink", "reopen", "later"}).Draw(w.t, "step") {
	case "write":
		w.write(true)
	case "torn":
		w.write(false)
	case "pull":
		w.pull()
	case "commit":
		w.commit()
	case "restart":
		w.restart()
	case "lumberjack":
		w.lumberjack()
	case "logrotate":
		w.logrotate(r(2) == 0, r(2) == 0)
	case "copy":
		w.copyLog(r(2) == 0)
	case "truncate":
		w.truncate()
	case "pack":
		w.startPacking()
	case "packed":
		w.finishPacking()
	case "discard":
		w.discard(2 + r(3))
	case "unlink":
		if f := w.inode(w.name); f != nil && r(4) == 0 {
			w.remove(f)
		}
	case "reopen":
		w.open(os.O_APPEND)
	case "later":
		w.time.at = w.time.at.Add(time.Duration(r(8)) * time.Second)
	}
}

// TestFollowThroughRotation checks that every event that could be read is in the trail
// once, byte for byte and in order, whatever rotation does and whenever the follower
// is killed.
func TestFollowThroughRotation(t *testing.T) {
	root := t.TempDir()
	runs, events, lost := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		w := &world{t: t, dir: dir, name: rapid.SampledFrom([]string{"audit.log", "audit"}).Draw(t, "name"), m: collecttest.New(),
			lines: map[int]string{}, maybe: map[int]bool{}, time: clock{time.Now()}}
		w.m.PartLines = 20
		defer func() {
			w.f.Close()
			w.out.Close()
			if w.pack != nil {
				w.packer.Close()
			}
		}()
		w.restart()
		w.open(os.O_APPEND)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			w.step()
		}
		w.finishPacking()
		// An event behind half of another is known to be whole when another line comes.
		w.write(true)
		w.write(true)
		for range 4 {
			for more := true; more; {
				if more, err = w.f.Pull(t.Context(), w, 0); err != nil && !passing(err) {
					t.Fatal(err)
				}
			}
			w.time.at = w.time.at.Add(2 * settleTime)
		}
		w.commit()
		w.verify()
		runs, events, lost = runs+1, events+w.next, lost+len(w.maybe)
	})
	t.Logf("%d runs, %d events, of which %d could not be read at some time", runs, events, lost)
}

// verify compares the trail with what was written.
func (w *world) verify() {
	at := map[string]int{}
	for i, l := range w.m.Lines {
		l = l[strings.IndexByte(l, 0)+1:]
		if before, again := at[l]; again {
			w.t.Fatalf("twice, as line %d and %d: %.80s … %s", before, i, l, l[len(l)-60:])
		}
		at[l] = i
	}
	for _, was := range w.all {
		last := -1
		for _, id := range was.ids {
			i, there := at[w.lines[id]]
			if !there && !w.maybe[id] {
				w.t.Fatalf("event %d is not in the trail", id)
			}
			if there && i < last {
				w.t.Fatalf("event %d comes before the one before it", id)
			}
			if there {
				last = i
			}
			delete(at, w.lines[id])
		}
	}
	for l := range at {
		w.t.Fatalf("nobody wrote %.80s … %s", l, l[len(l)-60:])
	}
}

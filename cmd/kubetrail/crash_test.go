package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

var kills = flag.Int("kills", 25, "how often TestCrash kills the program")

// program builds the program as people get it and returns its path.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubetrail")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// TestCrash kills the program while it imports, merges and removes, and looks at the
// trail each time: every event whole lines of a log hold up to the position of that
// log must be in it, once, byte for byte, and nothing else.
func TestCrash(t *testing.T) {
	n := *kills
	if testing.Short() {
		n = min(n, 5)
	}
	bin := program(t)
	t.Run("merging", func(t *testing.T) { newCrash(t, bin, false).loop(n - n/2) })
	t.Run("expiring", func(t *testing.T) { newCrash(t, bin, true).loop(n / 2) })
}

// crash is one loop of kills on one trail.
type crash struct {
	*testing.T
	bin, data string
	logs      *logDir
	rnd       *rand.Rand
	expiring  bool                     // old parts are removed, too
	lasts     map[string]time.Duration // by size of a part, how long an import takes about
	next      uint64                   // sequence number when the trail was looked at last
	stored    int64                    // and bytes on disk
	met       map[stage]int
}

// stage is what the program was doing when it was killed, as far as its files tell.
type stage string

const (
	starting stage = "before it wrote anything"
	reading  stage = "while it imported"
	merging  stage = "while it merged parts"
	removing stage = "while it removed old parts"
)

func newCrash(t *testing.T, bin string, expiring bool) *crash {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	return &crash{T: t, bin: bin, data: t.TempDir(), logs: newLogDir(t, rnd), rnd: rnd, expiring: expiring,
		lasts: map[string]time.Duration{}, met: map[stage]int{}}
}

func (c *crash) loop(kills int) {
	hit, ended := 0, 0
	for hit < kills && ended < 4*kills+20 {
		if c.run(c.aim()) {
			hit++
		} else {
			ended++
		}
		c.litter()
		c.look()
		c.logs.live(c.T, !c.expiring)
	}
	c.finish()
	c.Logf("%d kills in %d runs over %d events: %v", hit, hit+ended, c.logs.total(), c.met)
	if hit < kills {
		c.Errorf("only %d of %d runs could be killed", hit, hit+ended)
	}
	want := merging
	if c.expiring {
		want = removing
	}
	if kills >= 50 && c.met[want] < kills/20 {
		c.Errorf("hardly any kill came %s", want)
	}
}

// An attempt is an import that is to be killed at some moment.
type attempt struct {
	part   string // size of a part
	moment func(w *watch) bool
}

// aim chooses the next attempt: parts so tiny that there are soon many, or ones so
// large that an import has much to merge; killed at any time, or right after
// something happened.
func (c *crash) aim() attempt {
	n := 1 + c.rnd.IntN(6)
	a := attempt{part: []string{"4KiB", "8KiB"}[c.rnd.IntN(2)]}
	moments := []func(w *watch) bool{
		func(w *watch) bool { return w.parts >= n },
		func(w *watch) bool { return w.temps >= n },
	}
	if c.tiny() > 12 {
		a.part = []string{"128KiB", "2MiB"}[c.rnd.IntN(2)]
		moments = []func(w *watch) bool{
			func(w *watch) bool { return w.merges >= 1+n/4 },
			func(w *watch) bool { return w.unions >= 1+n/4 },
		}
	}
	if c.expiring {
		gone := func(w *watch) bool { return w.expired >= n }
		moments = append(moments, gone, gone)
	}
	at := time.Duration(c.rnd.Int64N(int64(cmp.Or(c.lasts[a.part], 100*time.Millisecond))))
	moments = append(moments, func(w *watch) bool { return time.Since(w.start) >= at })
	a.moment = moments[c.rnd.IntN(len(moments))]
	return a
}

// tiny counts the parts that hold a few lines only.
func (c *crash) tiny() (n int) {
	for _, name := range listing(filepath.Join(c.data, "parts")) {
		if r, ok := rangeOf(name); ok && !isTemp(name) && r.last-r.first < 16 {
			n++
		}
	}
	return n
}

// args is the command line of an import.
func (c *crash) args(part string) []string {
	args := []string{"import", "--data", c.data, "--part-bytes", part}
	if c.expiring && c.stored > 40<<10 {
		keep := c.stored * (40 + c.rnd.Int64N(50)) / 100
		if c.rnd.IntN(10) == 0 {
			keep = 1 // everything goes, and only positions stay
		}
		args = append(args, "--keep-bytes", fmt.Sprint(keep))
	}
	return append(args, c.logs.dir)
}

// run starts an import and kills it at the moment. It reports false where the import
// came to its end before.
func (c *crash) run(a attempt) bool {
	c.Helper()
	args := c.args(a.part)
	var says bytes.Buffer
	cmd := exec.Command(c.bin, args...)
	cmd.Stderr = &says
	w := newWatch(c.data)
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			if err != nil {
				c.Fatalf("%v: %v\n%s", args, err, says.Bytes())
			}
			c.lasts[a.part] = time.Since(w.start)
			return false
		case <-time.After(100 * time.Microsecond):
		}
		if w.look(); !a.moment(w) {
			continue
		}
		time.Sleep(time.Duration(c.rnd.IntN(300)) * time.Microsecond)
		killErr := cmd.Process.Kill()
		if err := <-done; err == nil || errors.Is(killErr, os.ErrProcessDone) {
			return false
		}
		c.lasts[a.part] += c.lasts[a.part] / 20
		w.look()
		c.met[w.stage()]++
		return true
	}
}

// look checks the whole trail.
func (c *crash) look() {
	c.Helper()
	r, err := disk.Open(c.data)
	if errors.Is(err, disk.ErrNoTrail) {
		return
	}
	if err != nil {
		c.Fatal(err)
	}
	defer r.Close()
	s, err := r.Summary(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	read := c.positions(s.Sources)
	kept := c.events(r)
	c.sequence(s, kept)
	seen := map[*logFile]int{} // line after the last one of each file
	for _, e := range kept {
		next, again := seen[e.file]
		if !again && c.expiring {
			next = e.line // what came before has gone
		}
		if e.line != next {
			c.Fatalf("after line %d of %s comes line %d", next-1, e.file.path, e.line)
		}
		seen[e.file] = next + 1
	}
	for _, f := range c.logs.files {
		n, some := seen[f]
		if n != read[f] && (some || !c.expiring) {
			c.Fatalf("%s: the trail ends with line %d, its position stands after %d of %d", f.path, n, read[f], f.lines())
		}
		if read[f] < f.read {
			c.Fatalf("%s: %d lines were committed, now only %d", f.path, f.read, read[f])
		}
		f.read = read[f]
	}
	c.next, c.stored = s.NextSeq, s.StoredBytes
}

// positions returns how many lines of every file are committed, as the trail says.
func (c *crash) positions(sources []trail.Source) map[*logFile]int {
	c.Helper()
	read := map[*logFile]int{}
	for _, s := range sources {
		var of *logFile
		for _, f := range c.logs.files {
			if int64(len(f.content)) < s.PrintBytes {
				continue
			}
			sum := sha256.Sum256(f.content[:s.PrintBytes])
			if hex.EncodeToString(sum[:16]) == s.Print {
				of = f
			}
		}
		if of == nil {
			c.Fatalf("no log is the source %+v", s)
		}
		if _, twice := read[of]; twice {
			c.Fatalf("%s is two sources", of.path)
		}
		lines, whole := slices.BinarySearch(of.starts, int(s.Position))
		if !whole {
			c.Fatalf("%s: position %d is inside a line", of.path, s.Position)
		}
		read[of] = lines
	}
	return read
}

// numbered is an event as the trail has it.
type numbered struct {
	place
	seq uint64
}

// events returns all events by sequence number, after comparing their bytes.
func (c *crash) events(r trail.Reader) (kept []numbered) {
	c.Helper()
	var line []byte
	err := r.Search(c.Context(), trail.Always(nil), trail.Page{Oldest: true, Columns: audit.AllColumns}, func(e *audit.Event) error {
		at, known := c.logs.places[string(e.Text[audit.AuditID])]
		if !known || at.line >= at.file.lines() {
			return fmt.Errorf("no log holds %s", e.Text[audit.AuditID])
		}
		line = e.AppendLine(line[:0])
		if want := at.file.line(at.line); !bytes.Equal(line, want) {
			return fmt.Errorf("number %d is\n%s\nwant\n%s", e.Seq, line, want)
		}
		if e.Offset != int64(at.file.starts[at.line]) {
			return fmt.Errorf("number %d stands at %d, want %d", e.Seq, e.Offset, at.file.starts[at.line])
		}
		kept = append(kept, numbered{at, e.Seq})
		return nil
	})
	if err != nil {
		c.Fatal(err)
	}
	slices.SortFunc(kept, func(a, b numbered) int { return cmp.Compare(a.seq, b.seq) })
	return kept
}

// sequence checks that no number is there twice, and none is missing but those of
// faults, which only half lines are, or those at the beginning that had to go.
func (c *crash) sequence(s trail.Summary, kept []numbered) {
	c.Helper()
	if s.NextSeq < c.next {
		c.Fatalf("the next number was %d, now it is %d", c.next, s.NextSeq)
	}
	for i := 1; i < len(kept); i++ {
		if step := kept[i].seq - kept[i-1].seq; step != 1 && (c.expiring || step == 0 || step > 1+s.Faults) {
			c.Fatalf("after number %d comes %d", kept[i-1].seq, kept[i].seq)
		}
	}
	switch {
	case !c.expiring:
		if uint64(len(kept))+s.Faults != s.NextSeq {
			c.Fatalf("%d events and %d faults have %d numbers", len(kept), s.Faults, s.NextSeq)
		}
	case s.Faults != 0:
		c.Fatalf("%d faults in whole lines", s.Faults)
	case len(kept) > 0 && kept[len(kept)-1].seq != s.NextSeq-1:
		c.Fatalf("the newest event is number %d, the next is %d", kept[len(kept)-1].seq, s.NextSeq)
	}
}

// litter puts files beside the parts as a crash may leave them: the beginning of a
// part under its temporary name, and a part inside the range of another.
func (c *crash) litter() {
	c.Helper()
	parts := filepath.Join(c.data, "parts")
	names := listing(parts)
	if len(names) == 0 || c.rnd.IntN(3) > 0 {
		return
	}
	name := names[c.rnd.IntN(len(names))]
	r, ok := rangeOf(name)
	if !ok || isTemp(name) || r.first == r.last {
		return
	}
	for _, litter := range []string{
		name + ".tmp",
		fmt.Sprintf("%020d-%020d.parquet", r.first, r.last-1),
		fmt.Sprintf("%020d-%020d.parquet.tmp", c.next, c.next+9),
	} {
		if err := os.WriteFile(filepath.Join(parts, litter), []byte("PAR1 and no more"), 0o600); err != nil {
			c.Fatal(err)
		}
	}
}

// finish lets an import come to its end and checks what people would see.
func (c *crash) finish() {
	c.Helper()
	c.logs.append(c.T, 1, false) // ends a half line
	for range 2 {                // the second time nothing must be added
		c.command("import", "--data", c.data, "--part-bytes", "64KiB", c.logs.dir)
		c.look()
		for _, f := range c.logs.files {
			if f.read != f.lines() {
				c.Errorf("%s: %d of %d lines in the end", f.path, f.read, f.lines())
			}
		}
	}
	if again := string(c.command("import", "--data", c.data, c.logs.dir)); !strings.HasPrefix(again, "0 events ") {
		c.Errorf("imported again: %s", again)
	}
	if left, _ := filepath.Glob(filepath.Join(c.data, "parts", "*.tmp")); len(left) > 0 {
		c.Errorf("left behind: %v", left)
	}
	c.compare()
}

func (c *crash) command(args ...string) []byte {
	c.Helper()
	out, err := exec.CommandContext(context.Background(), c.bin, args...).CombinedOutput()
	if err != nil {
		c.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// compare puts what search prints beside the logs: the lines of each, from the first
// that is kept, in the order of their time.
func (c *crash) compare() {
	c.Helper()
	got := map[*logFile][]int{}
	n := 0
	for line := range bytes.Lines(c.command("search", "--data", c.data, "-o", "raw", "--limit", "0")) {
		var e audit.Event
		line = bytes.TrimSuffix(line, []byte("\n"))
		if err := e.Scan(line); err != nil {
			c.Fatalf("search printed %s: %v", line, err)
		}
		at := c.logs.places[string(e.Text[audit.AuditID])]
		if at.file == nil || !bytes.Equal(line, at.file.line(at.line)) {
			c.Fatalf("search printed what no log holds: %s", line)
		}
		got[at.file] = append(got[at.file], at.line)
		n++
	}
	if !c.expiring && n != c.logs.total() {
		c.Errorf("search printed %d lines, the logs hold %d", n, c.logs.total())
	}
	for f, lines := range got {
		first := slices.Min(lines)
		if first > 0 && !c.expiring {
			c.Errorf("%s: the first lines are missing", f.path)
		}
		var want []int
		times := map[int]int64{}
		for i := first; i < f.lines(); i++ {
			var e audit.Event
			if err := e.Scan(f.line(i)); err != nil {
				c.Fatal(err)
			}
			want = append(want, i)
			times[i] = e.Time()
		}
		slices.SortStableFunc(want, func(a, b int) int { return cmp.Compare(times[a], times[b]) })
		if !slices.Equal(lines, want) {
			c.Errorf("%s: search printed its lines in another order, or not all: %d of %d", f.path, len(lines), len(want))
		}
	}
}

package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/collect"
	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/durable"
	"kubetrail/internal/durable/durabletest"
	"kubetrail/internal/trail"
)

var cp1 = Origin{"prod", "cp-1"}

// testing is what the tests of shipping need of *testing.T and *rapid.T.
type testingT interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// openShippedIn opens what agents shipped beside a trail. There is nothing to clean up.
func openShippedIn(t testingT, m *collecttest.Model, cfg ShippedConfig) *Shipped {
	t.Helper()
	cfg.Sources = m.Sources
	s, err := OpenShipped(cfg, make(chan struct{}, 1))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// remote is a file on another machine.
type remote struct {
	name, print string
	content     []byte
	hole        int
}

func (r *remote) record(from, to int) Record {
	if from < r.hole {
		return Record{Source: r.name, Print: r.print, PrintBytes: 1, Hole: int64(r.hole)}
	}
	return Record{Source: r.name, Print: r.print, PrintBytes: 1, Offset: int64(from), Line: int64(bytes.Count(r.content[:from], []byte{'\n'})), Data: r.content[from:to]}
}

// pullShipped pulls until there is no more, without a commit.
func pullShipped(t testingT, s *Shipped, m *collecttest.Model, limit int64) {
	t.Helper()
	for more := true; more; {
		more = false
		for _, f := range s.Feeds() {
			again, err := f.Pull(context.Background(), m, limit)
			if err != nil {
				t.Fatal(err)
			}
			more = more || again
		}
	}
}

func commitShipped(t testingT, s *Shipped, m *collecttest.Model) {
	t.Helper()
	if err := m.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Feeds() {
		f.Committed()
	}
}

// TestShippedOnce ships files in stretches of any length, again and again from earlier
// on, in any order, and kills the server at any moment: the trail has every event once.
func TestShippedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "shipped-*")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := collecttest.New()
		m.PartLines = 20
		cfg := ShippedConfig{Dir: dir, SegmentBytes: 3000, MaxBytes: 1 << 20}
		s := openShippedIn(t, m, cfg)
		defer func() { s.Close() }()
		var files []*remote
		var want []string
		for i := range rapid.IntRange(1, 4).Draw(t, "files") {
			r := &remote{name: fmt.Sprintf("/var/log/audit-%d.log", i%2), print: fmt.Sprintf("print%d", i)}
			if rapid.IntRange(0, 4).Draw(t, "hole") == 0 {
				r.hole = 5000
				r.content = make([]byte, r.hole)
			}
			for n := range rapid.IntRange(1, 30).Draw(t, "events") {
				e := item(1000*i + n)
				want = append(want, "prod\x00"+e)
				r.content = append(append(r.content, e...), '\n')
			}
			files = append(files, r)
		}
		end := func(r *remote) int {
			all, err := s.Positions(cp1)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range all {
				if p.Print == r.print {
					if got := int64(bytes.Count(r.content[:p.Position], []byte{'\n'})); got != p.Line {
						t.Fatalf("%d newlines before %d, not %d", got, p.Position, p.Line)
					}
					return int(p.Position)
				}
			}
			return 0
		}
		ship := func(r *remote, from, length int) {
			from = min(max(from, 0), len(r.content))
			to := min(from+length, len(r.content))
			at := end(r)
			_, err := s.Append(t.Context(), cp1, []Record{r.record(from, to)})
			if missing := from > at && from >= r.hole; missing != errors.Is(err, ErrOffset) || !missing && err != nil {
				t.Fatalf("from %d at %d: %v", from, at, err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"ship": func(t *rapid.T) {
				r := files[rapid.IntRange(0, len(files)-1).Draw(t, "file")]
				back := rapid.SampledFrom([]int{0, 0, 0, 100, 5000, -10}).Draw(t, "back")
				ship(r, end(r)-back, rapid.IntRange(0, 3000).Draw(t, "bytes"))
			},
			"pull": func(t *rapid.T) {
				for _, f := range s.Feeds() {
					if _, err := f.Pull(t.Context(), m, int64(rapid.IntRange(1, 3000).Draw(t, "limit"))); err != nil {
						t.Fatal(err)
					}
				}
			},
			"commit": func(t *rapid.T) { commitShipped(t, s, m) },
			"restart": func(t *rapid.T) {
				before := map[string]int{}
				for _, r := range files {
					before[r.print] = end(r)
				}
				if rapid.Bool().Draw(t, "killed") {
					m.Crash()
				} else {
					commitShipped(t, s, m)
				}
				s.Close()
				m.Crash()
				for _, name := range glob(t, filepath.Join(dir, "prod+cp-1", "*")) {
					if rapid.IntRange(0, 3).Draw(t, "torn") == 0 { // a write that was under way
						f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
						if err != nil {
							t.Fatal(err)
						}
						f.Write(AppendRecord(nil, files[0].record(0, len(files[0].content)))[:rapid.IntRange(1, 100).Draw(t, "bytes")])
						f.Close()
					}
				}
				s = openShippedIn(t, m, cfg)
				for _, r := range files {
					if end(r) != before[r.print] {
						t.Fatalf("%s was durable to %d, now to %d", r.print, before[r.print], end(r))
					}
				}
			},
		})
		for _, r := range files {
			for end(r) < len(r.content) {
				ship(r, end(r), 1000)
			}
			if _, err := s.Append(t.Context(), cp1, []Record{{Source: r.name, Print: r.print, PrintBytes: 1, Offset: int64(len(r.content)), Done: true}}); err != nil {
				t.Fatal(err)
			}
		}
		renamed := files[0].record(0, len(files[0].content)) // another agent met it under another name
		if renamed.Source = "/renamed"; renamed.Hole == 0 {
			if _, err := s.Append(t.Context(), cp1, []Record{renamed}); err != nil {
				t.Fatal(err)
			}
		}
		last := &remote{name: "/last", print: "last", content: []byte(item(0) + "\n")} // a commit without rows is none
		want = append(want, "prod\x00"+item(0))
		ship(last, 0, len(last.content))
		pullShipped(t, s, m, 1000)
		commitShipped(t, s, m)
		slices.Sort(m.Lines)
		slices.Sort(want)
		if !slices.Equal(m.Lines, want) {
			t.Fatalf("%d events in the trail, want %d", len(m.Lines), len(want))
		}
		holes := 0
		for _, r := range files {
			holes += min(r.hole, 1)
		}
		if len(m.Aside) != holes {
			t.Fatalf("set aside: %+v", m.Aside)
		}
		for _, src := range m.Sources() {
			if !src.Done && src.Name != "/last" {
				t.Fatalf("%+v is not done", src)
			}
		}
	})
}

func glob(t testingT, pattern string) []string {
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestShippedLongLines ships events of 20 MiB in stretches while short ones go by, and
// the torn end of a file that ends there.
func TestShippedLongLines(t *testing.T) {
	m, dir := collecttest.New(), t.TempDir()
	s := openShippedIn(t, m, ShippedConfig{Dir: dir, SegmentBytes: 1 << 20})
	defer func() { s.Close() }()
	long := strings.Replace(item(1), `"alice"`, `"`+strings.Repeat("a", 20<<20)+`"`, 1)
	big := &remote{name: "/a.log", print: "a", content: []byte(long + "\n" + item(2) + "\n" + item(3)[:50])}
	small := &remote{name: "/b.log", print: "b"}
	for i, at := 0, 0; at < len(big.content); i++ {
		to := min(at+MaxRecordData, len(big.content))
		small.content = append(append(small.content, item(100+i)...), '\n')
		from := len(small.content) - len(item(100)) - 1
		if _, err := s.Append(t.Context(), cp1, []Record{big.record(at, to), small.record(from, len(small.content))}); err != nil {
			t.Fatal(err)
		}
		pullShipped(t, s, m, 1<<20)
		if i%3 == 1 {
			commitShipped(t, s, m)
		}
		if i == 4 {
			s.Close()
			m.Crash()
			s = openShippedIn(t, m, ShippedConfig{Dir: dir, SegmentBytes: 1 << 20})
		}
		at = to
	}
	pullShipped(t, s, m, 1<<20)
	commitShipped(t, s, m)
	if n := len(m.Lines); n != 2+len(small.content)/(len(item(100))+1) || len(m.Aside) > 0 {
		t.Errorf("%d events, set aside %d", n, len(m.Aside))
	}
	done := Record{Source: "/a.log", Print: "a", Offset: int64(len(big.content)), Done: true}
	for range 2 {
		if _, err := s.Append(t.Context(), cp1, []Record{done}); err != nil {
			t.Fatal(err)
		}
		pullShipped(t, s, m, 1<<20)
		commitShipped(t, s, m)
		if len(m.Aside) != 1 || m.Aside[0].Length != 50 || m.Aside[0].Server != "cp-1" {
			t.Errorf("set aside: %+v", m.Aside)
		}
	}
	if left := glob(t, filepath.Join(dir, "prod+cp-1", "*")); len(left) > 1 {
		t.Errorf("%d files are left of what the trail has", len(left))
	}
}

// TestShippedForgets drops the position of a file that is gone, after the commit that
// says so and not before.
func TestShippedForgets(t *testing.T) {
	m, dir := collecttest.New(), t.TempDir()
	s := openShippedIn(t, m, ShippedConfig{Dir: dir})
	defer func() { s.Close() }()
	r := &remote{name: "/a.log", print: "a", content: []byte(item(1) + "\n" + item(2) + "\n")}
	if _, err := s.Append(t.Context(), cp1, []Record{r.record(0, len(r.content))}); err != nil {
		t.Fatal(err)
	}
	pullShipped(t, s, m, 1<<20)
	commitShipped(t, s, m)
	gone := Record{Source: "/a.log", Print: "a", Offset: int64(len(r.content)), Gone: true}
	other := &remote{name: "/b.log", print: "b", content: []byte(item(3) + "\n")}
	if _, err := s.Append(t.Context(), cp1, []Record{gone, other.record(0, len(other.content))}); err != nil {
		t.Fatal(err)
	}
	if p, _ := s.Positions(cp1); len(p) != 1 || p[0].Name != "/b.log" {
		t.Errorf("%+v", p)
	}
	s.Close() // killed before it was read
	s = openShippedIn(t, m, ShippedConfig{Dir: dir})
	pullShipped(t, s, m, 1<<20)
	commitShipped(t, s, m)
	if got := m.Sources(); len(got) != 1 || got[0].Name != "/b.log" || len(m.Lines) != 3 {
		t.Errorf("%+v, %d lines", got, len(m.Lines))
	}
}

// TestShippedBounds refuses what there is no room for, what nobody can read, and more
// files than an agent may have.
func TestShippedBounds(t *testing.T) {
	m := collecttest.New()
	s := openShippedIn(t, m, ShippedConfig{Dir: t.TempDir(), MaxBytes: 10_000})
	defer s.Close()
	r := &remote{name: "/a.log", print: "a"}
	for len(r.content) < 20_000 {
		r.content = append(append(r.content, item(len(r.content))...), '\n')
	}
	at := 0
	for at < len(r.content) {
		to := min(at+1000, len(r.content))
		_, err := s.Append(t.Context(), cp1, []Record{r.record(at, to)})
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		at = to
	}
	if at < 5000 || at > 10_000 {
		t.Errorf("full after %d bytes", at)
	}
	if _, err := s.Append(t.Context(), cp1, []Record{r.record(0, 500)}); err != nil {
		t.Errorf("what is there is refused: %v", err)
	}
	for at < len(r.content) { // and there is room again once the trail has it
		pullShipped(t, s, m, 1<<20)
		commitShipped(t, s, m)
		to := min(at+1000, len(r.content))
		if _, err := s.Append(t.Context(), cp1, []Record{r.record(at, to)}); err != nil {
			t.Fatal(err)
		}
		at = to
	}
	pullShipped(t, s, m, 1<<20)
	commitShipped(t, s, m)
	large := &remote{name: "/large.log", print: "large", content: bytes.Repeat([]byte(item(1)+"\n"), 100)}
	for i, want := range []error{nil, ErrFull} {
		half := len(large.content) / 2
		if _, err := s.Append(t.Context(), cp1, []Record{large.record(i*half, (i+1)*half)}); !errors.Is(err, want) {
			t.Errorf("half %d of what is larger than the bound: %v", i, err)
		}
	}
	if _, err := s.Append(t.Context(), cp1, []Record{{Source: "/x", Print: "x", Kind: "poem"}}); !errors.Is(err, ErrKind) {
		t.Error(err)
	}
	var many []Record
	for i := range maxShippedSources + 1 {
		many = append(many, Record{Source: "/x", Print: fmt.Sprint(i), Data: []byte("x")})
	}
	if _, err := s.Append(t.Context(), cp1, many); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	for i := range many[:maxShippedSources] { // each commit holds all names
		many[i].Source = "/" + strings.Repeat("x", maxSourceName-1)
	}
	if _, err := s.Append(t.Context(), cp1, many[:maxShippedSources]); !errors.Is(err, ErrFull) {
		t.Errorf("names of %d bytes: %v", maxShippedSources*maxSourceName, err)
	}
	for i := range maxServers { // who may ship for one cluster leaves room for others
		if _, err := s.Append(t.Context(), Origin{"test", fmt.Sprint("s", i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Append(t.Context(), Origin{"test", "one-more"}, nil); !errors.Is(err, ErrCluster) {
		t.Errorf("server %d of a cluster: %v", maxServers+1, err)
	}
	if _, err := s.Append(t.Context(), Origin{"other", "one"}, nil); err != nil {
		t.Error(err)
	}
	for _, from := range []Origin{{"prod", ""}, {"../x", "y"}, {"prod", "A"}} {
		if _, err := s.Append(t.Context(), from, nil); !errors.Is(err, ErrCluster) {
			t.Errorf("%v: %v", from, err)
		}
	}
}

// TestShippedFaults: whatever fails, what was acknowledged is there, once, and what was
// refused is taken when it is sent again.
func TestShippedFaults(t *testing.T) {
	for kind := durabletest.FailCreate; kind < durabletest.NumKinds; kind++ {
		for at := range 7 {
			t.Run(fmt.Sprintf("%v %d", kind, at), func(t *testing.T) {
				dir, m := t.TempDir(), collecttest.New()
				fsys := &durabletest.FS{Kind: kind, At: at, Rand: rand.New(rand.NewPCG(1, uint64(at)))}
				s := openShippedIn(t, m, ShippedConfig{Dir: dir, SegmentBytes: 1500, FS: fsys})
				r := &remote{name: "/a.log", print: "a"}
				var want []string
				for i := range 12 {
					r.content = append(append(r.content, item(i)...), '\n')
					want = append(want, "prod\x00"+item(i))
				}
				step, refused := len(r.content)/12, 0
				for at := 0; at < len(r.content) && refused < 4; {
					if _, err := s.Append(t.Context(), cp1, []Record{r.record(at, min(at+step, len(r.content)))}); err != nil {
						if !errors.Is(err, durabletest.ErrInjected) && !errors.Is(err, ErrFull) {
							t.Fatal(err)
						}
						if refused++; refused == 2 && kind != durabletest.PowerCut {
							fsys.Heal()
						}
						continue
					}
					at += step
					if at%(4*step) == 0 && kind != durabletest.PowerCut {
						pullShipped(t, s, m, 400)
						commitShipped(t, s, m)
					}
				}
				acked, err := s.Positions(cp1)
				if err != nil {
					t.Fatal(err)
				}
				if kind == durabletest.PowerCut {
					if err := fsys.Restart(); err != nil {
						t.Fatal(err)
					}
				}
				s.Close()
				m.Crash()
				s = openShippedIn(t, m, ShippedConfig{Dir: dir})
				defer s.Close()
				now, err := s.Positions(cp1)
				if err != nil || len(now) < len(acked) || len(acked) > 0 && now[0].Position < acked[0].Position {
					t.Fatalf("%+v were durable, now %+v, %v", acked, now, err)
				}
				from := 0
				if len(now) > 0 {
					from = int(now[0].Position)
				}
				if _, err := s.Append(t.Context(), cp1, []Record{r.record(from, len(r.content))}); err != nil {
					t.Fatal(err)
				}
				pullShipped(t, s, m, 1<<20)
				commitShipped(t, s, m)
				if !slices.Equal(m.Lines, want) || len(m.Aside) > 0 {
					t.Errorf("%d events, faults %+v", len(m.Lines), m.Aside)
				}
			})
		}
	}
}

// TestShippedMissingFile sets aside what somebody removed, and goes on behind it.
func TestShippedMissingFile(t *testing.T) {
	for _, restart := range []bool{false, true} {
		m, dir := collecttest.New(), t.TempDir()
		s := openShippedIn(t, m, ShippedConfig{Dir: dir, SegmentBytes: 1})
		r := &remote{name: "/a.log", print: "a"}
		for i := range 3 {
			r.content = append(append(r.content, item(i)...), '\n')
			if _, err := s.Append(t.Context(), cp1, []Record{r.record(i*len(r.content)/(i+1), len(r.content))}); err != nil {
				t.Fatal(err)
			}
		}
		files := glob(t, filepath.Join(dir, "prod+cp-1", "*"))
		if err := os.Remove(files[1]); err != nil {
			t.Fatal(err)
		}
		if restart {
			s.Close()
			s = openShippedIn(t, m, ShippedConfig{Dir: dir, SegmentBytes: 1})
		}
		for range 3 {
			for _, f := range s.Feeds() {
				_, _ = f.Pull(t.Context(), m, 1<<20) // says once what is missing
			}
		}
		commitShipped(t, s, m)
		if want := []string{"prod\x00" + item(0), "prod\x00" + item(2)}; !slices.Equal(m.Lines, want) || len(m.Aside) != 1 || m.Aside[0].Length != int64(len(item(1))+1) {
			t.Errorf("restart %v: %d events, faults %+v", restart, len(m.Lines), m.Aside)
		}
		s.Close()
	}
}

// FuzzParseRecords: no bytes break the parser, and what it takes is what was written.
func FuzzParseRecords(f *testing.F) {
	r := &remote{name: "/a.log", print: "a", content: []byte(item(1) + "\n")}
	f.Add(AppendRecord(nil, r.record(0, 30)))
	f.Add(AppendRecord(AppendRecord(nil, Record{Source: "/x", Print: "y", Hole: 9}), Record{Source: "/x", Print: "y", Offset: 9, Done: true, Reason: "z"}))
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := ParseRecords(b)
		if err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatal(err)
			}
			return
		}
		var out []byte
		for _, r := range records {
			out = AppendRecord(out, r)
		}
		again, err := ParseRecords(out)
		if err != nil || len(again) != len(records) {
			t.Fatalf("%v: %q", err, out)
		}
	})
}

// quick is the operating system's file system without durability.
type quick struct{ durable.OS }

type quickFile struct{ durable.File }

func (quickFile) Sync() error      { return nil }
func (quick) SyncDir(string) error { return nil }
func (q quick) Create(name string) (durable.File, error) {
	f, err := q.OS.Create(name)
	return quickFile{f}, err
}

// FuzzShipped: whatever records say, the store takes or refuses them, reads all it took,
// and opens again where it was.
func FuzzShipped(f *testing.F) {
	f.Add("/a.log", "a", int64(0), int64(0), int64(0), false, false, []byte(item(1)+"\n"))
	f.Add("/a.log", "a", int64(0), int64(0), int64(77), false, false, []byte(nil))
	f.Add("/b.log", "a", int64(3), int64(1), int64(0), true, true, []byte("{"))
	f.Fuzz(func(t *testing.T, source, print string, offset, line, hole int64, done, gone bool, data []byte) {
		given := Record{Source: source, Print: print, Offset: offset, Line: line, Hole: hole, Done: done, Gone: gone, Data: data}
		r, _, err := ParseRecord(AppendRecord(nil, given))
		if err != nil {
			return
		}
		dir, m := t.TempDir(), collecttest.New()
		s := openShippedIn(t, m, ShippedConfig{Dir: dir, FS: quick{}})
		first := &remote{name: "/a.log", print: "a", content: []byte(item(1) + "\n" + item(2) + "\n")}
		for _, x := range [][]Record{{first.record(0, 20)}, {r}, {r, first.record(20, len(first.content))}} {
			_, err := s.Append(t.Context(), cp1, x)
			if err != nil && !errors.Is(err, ErrOffset) {
				t.Fatal(err)
			}
		}
		before, err := s.Positions(cp1)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		s = openShippedIn(t, m, ShippedConfig{Dir: dir, FS: quick{}})
		defer s.Close()
		after, err := s.Positions(cp1)
		if err != nil || !slices.EqualFunc(before, after, func(a, b trail.Source) bool { return a.Position == b.Position && a.Name == b.Name }) {
			t.Fatalf("%+v, now %+v, %v", before, after, err)
		}
		pullShipped(t, s, m, 100)
		commitShipped(t, s, m)
	})
}

// lines is a format whose events are lines of text that begin with "event".
func lines() *collect.Format {
	return &collect.Format{Decode: func(in io.Reader, cfg audit.ReaderConfig) collect.Decoder { return audit.NewReader(in, cfg) },
		Foreign: func([]byte) string { return "" }}
}

// TestShippedKinds reads each file by the format of its kind.
func TestShippedKinds(t *testing.T) {
	m, used := collecttest.New(), 0
	format := lines()
	decode := format.Decode
	format.Decode = func(in io.Reader, cfg audit.ReaderConfig) collect.Decoder { used++; return decode(in, cfg) }
	s := openShippedIn(t, m, ShippedConfig{Dir: t.TempDir(), Formats: map[string]*collect.Format{"other": format}})
	defer s.Close()
	for i, kind := range []string{"", "other"} {
		r := &remote{name: "/x", print: "a" + kind, content: []byte(item(i) + "\n")}
		x := r.record(0, len(r.content))
		x.Kind = kind
		if _, err := s.Append(t.Context(), cp1, []Record{x}); err != nil {
			t.Fatal(err)
		}
	}
	pullShipped(t, s, m, 1<<20)
	commitShipped(t, s, m)
	if len(m.Lines) != 2 || used != 1 {
		t.Errorf("%d events, decoded by the other format: %d", len(m.Lines), used)
	}
}

// TestShippedAgain: what is sent again takes no room, and a record that was changed is none.
func TestShippedAgain(t *testing.T) {
	m, dir := collecttest.New(), t.TempDir()
	s := openShippedIn(t, m, ShippedConfig{Dir: dir})
	defer s.Close()
	r := &remote{name: "/a.log", print: "a", content: []byte(item(1) + "\n" + item(2) + "\n")}
	var size int64
	for i, to := range []int{len(r.content), len(r.content), 100, len(r.content)} {
		if _, err := s.Append(t.Context(), cp1, []Record{r.record(0, to)}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(glob(t, filepath.Join(dir, "prod+cp-1", "*"))[0])
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && info.Size() != size {
			t.Errorf("sent again it takes %d bytes, not %d", info.Size(), size)
		}
		size = info.Size()
	}
	text := AppendRecord(nil, r.record(0, len(r.content)))
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 4
		if _, err := ParseRecords(changed); !errors.Is(err, ErrRecord) {
			t.Fatalf("byte %d was changed: %v", i, err)
		}
	}
}

// TestShippedHalves keeps few decoders, and reads the halves of events of others again.
func TestShippedHalves(t *testing.T) {
	m := collecttest.New()
	s := openShippedIn(t, m, ShippedConfig{Dir: t.TempDir()})
	defer s.Close()
	var files []*remote
	for i := range 5 * maxDecoders {
		files = append(files, &remote{name: fmt.Sprint("/", i), print: fmt.Sprint(i), content: []byte(item(i) + "\n")})
	}
	for _, to := range []int{20, 100, len(item(1)) / 2} {
		for _, r := range files {
			if _, err := s.Append(t.Context(), cp1, []Record{r.record(0, to)}); err != nil {
				t.Fatal(err)
			}
		}
		pullShipped(t, s, m, 1<<20)
		if f := s.Feeds()[0].(*shippedFeed); len(f.live) > maxDecoders {
			t.Errorf("%d decoders", len(f.live))
		}
	}
	for _, r := range files {
		if _, err := s.Append(t.Context(), cp1, []Record{r.record(0, len(r.content))}); err != nil {
			t.Fatal(err)
		}
	}
	pullShipped(t, s, m, 1<<20)
	commitShipped(t, s, m)
	if len(m.Lines) != len(files) || len(m.Aside) > 0 {
		t.Errorf("%d events, set aside %+v", len(m.Lines), m.Aside)
	}
}

// TestShippedWhileRead appends while the feed reads; the race detector looks on. What a
// record says of its file may change meanwhile.
func TestShippedWhileRead(t *testing.T) {
	m := collecttest.New()
	s := openShippedIn(t, m, ShippedConfig{Dir: t.TempDir(), Formats: map[string]*collect.Format{"other": collect.AuditLog()}})
	defer s.Close()
	r := &remote{name: "/a.log", print: "a"}
	const items = 200
	appended := make(chan error, 1)
	step := []byte(item(0) + "\n")
	go func() {
		for i := range items {
			record := Record{Source: r.name, Print: r.print, PrintBytes: 1, Offset: int64(i * len(step)), Line: int64(i), Data: step}
			if i%2 == 1 {
				record.Kind = "other"
			}
			if _, err := s.Append(context.Background(), cp1, []Record{record}); err != nil {
				appended <- err
				return
			}
		}
		appended <- nil
	}()
	for done := false; !done; {
		select {
		case err := <-appended:
			if done = true; err != nil {
				t.Fatal(err)
			}
		default:
		}
		pullShipped(t, s, m, 1)
		commitShipped(t, s, m)
	}
	if len(m.Lines) != items {
		t.Errorf("%d events of %d", len(m.Lines), items)
	}
}

// TestShippedBoundsWhatHoldsNothing: what an agent ships and holds nothing is read a piece
// at a time all the same, so that others have their turn.
func TestShippedBoundsWhatHoldsNothing(t *testing.T) {
	m := collecttest.New()
	s := openShippedIn(t, m, ShippedConfig{Dir: t.TempDir(), Formats: map[string]*collect.Format{"log": collect.APIServerLog()}})
	defer s.Close()
	const limit, size = 256 << 10, 1 << 20
	r := Record{Source: "/a.log", Print: "a", PrintBytes: 1, Kind: "log", Data: bytes.Repeat([]byte("1\n"), size/2)}
	if _, err := s.Append(t.Context(), cp1, []Record{r}); err != nil {
		t.Fatal(err)
	}
	f := s.Feeds()[0]
	var before int64
	pulls := 0
	for more := true; more; pulls++ {
		var err error
		if more, err = f.Pull(t.Context(), m, limit); err != nil {
			t.Fatal(err)
		}
		read := f.Status().Bytes
		if read-before > limit {
			t.Fatalf("%d bytes were read at once, with a limit of %d", read-before, limit)
		}
		before = read
	}
	if pulls < size/limit || before != size {
		t.Errorf("%d bytes were read in %d pulls", before, pulls)
	}
}

// TestShippedSlowLine: a long line that comes in many pieces, each looked at, is one event.
func TestShippedSlowLine(t *testing.T) {
	m := collecttest.New()
	s := openShippedIn(t, m, ShippedConfig{Dir: t.TempDir()})
	defer s.Close()
	long := strings.Replace(item(1), `"alice"`, `"`+strings.Repeat("a", 6<<20)+`"`, 1)
	r := &remote{name: "/a.log", print: "a", content: []byte(long + "\n" + item(2) + "\n")}
	for at := 0; at < len(r.content); {
		to := min(at+64<<10, len(r.content))
		if _, err := s.Append(t.Context(), cp1, []Record{r.record(at, to)}); err != nil {
			t.Fatal(err)
		}
		pullShipped(t, s, m, 1<<20)
		at = to
	}
	commitShipped(t, s, m)
	if len(m.Lines) != 2 || len(m.Aside) != 0 {
		t.Errorf("%d events of 2, %d set aside", len(m.Lines), len(m.Aside))
	}
}

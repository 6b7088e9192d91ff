package spool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/durable"
	"kubetrail/internal/durable/durabletest"
)

// Whatever fails, what was acknowledged is there, once, in order, and what was refused
// is not; after the fault all goes on.
func TestSpoolFaults(t *testing.T) {
	for kind := durabletest.FailCreate; kind < durabletest.NumKinds; kind++ {
		for at := range 9 {
			t.Run(fmt.Sprintf("%v %d", kind, at), func(t *testing.T) {
				dir, m := t.TempDir(), collecttest.New()
				fsys := &durabletest.FS{Kind: kind, At: at, Rand: rand.New(rand.NewPCG(1, uint64(at)))}
				s := openSpools(t, Config{Dir: dir, SegmentBytes: 700, FS: elsewhere{fsys}})
				var acked, refused []int
				for i := range 12 {
					switch err := s.Receive(t.Context(), Origin{Cluster: "prod"}, list(i, i+1)); {
					case err == nil:
						acked = append(acked, i)
					case (kind == durabletest.DiskFull || kind == durabletest.ShortWrite) != errors.Is(err, ErrFull), !errors.Is(err, durabletest.ErrInjected) && !errors.Is(err, ErrFull):
						t.Fatalf("body %d: %v", i, err)
					default:
						refused = append(refused, i)
					}
					if i%4 == 3 && kind != durabletest.PowerCut {
						pull(t, s, m, 400)
					}
					if len(refused) == 3 {
						fsys.Heal()
					}
				}
				if kind == durabletest.PowerCut {
					if err := fsys.Restart(); err != nil {
						t.Fatal(err)
					}
				}
				s.Close()
				s = openSpools(t, Config{Dir: dir, Sources: m.Sources()})
				receive(t, s, "prod", list(12, 13))
				pull(t, s, m, 1<<20)
				acked = append(acked, 12)
				ids := ids(t, m)
				if kind == durabletest.PowerCut { // what it left whole of a body may be kept
					ids = slices.DeleteFunc(ids, func(id int) bool { return len(refused) > 0 && id == refused[0] })
				}
				if !slices.Equal(ids, acked) || len(m.Aside) > 0 {
					t.Errorf("acknowledged %v, refused %v, in the trail %v, faults %+v", acked, refused, ids, m.Aside)
				}
				if (kind < durabletest.FailRename && len(refused) == 0 && fsys.Struck() || len(acked) < 2) && kind != durabletest.PowerCut {
					t.Errorf("acknowledged %v, refused %v: the fault did nothing, or for too long", acked, refused)
				}
			})
		}
	}
}

// elsewhere lets no fault strike the file of repeats, which nothing depends on.
type elsewhere struct{ *durabletest.FS }

func (f elsewhere) Create(name string) (durable.File, error) {
	if filepath.Base(name) == repeatsName+durable.TempSuffix {
		return durable.OS{}.Create(name)
	}
	return f.FS.Create(name)
}

// noCut is a file system on which a write fails and the file cannot be shortened
// either.
type noCut struct{ durabletest.FS }

func (*noCut) Cut(string, int64) error { return syscall.EIO }

func TestSpoolLeavesATailItCannotCut(t *testing.T) {
	dir, m := t.TempDir(), collecttest.New()
	s := openSpools(t, Config{Dir: dir})
	receive(t, s, "prod", list(0, 1))
	s.Close()
	fsys := &noCut{durabletest.FS{Kind: durabletest.FailSync, At: 1}}
	s = openSpools(t, Config{Dir: dir + "/2", FS: fsys})
	receive(t, s, "prod", list(0, 1))
	if err := s.Receive(t.Context(), Origin{Cluster: "prod"}, list(99, 100)); !errors.Is(err, durabletest.ErrInjected) {
		t.Fatal(err)
	}
	receive(t, s, "prod", list(1, 2))
	s.Close()
	s = openSpools(t, Config{Dir: dir + "/2"})
	pull(t, s, m, 1<<20)
	if ids := ids(t, m); !slices.Equal(ids, upTo(2)) || len(m.Aside) > 0 {
		t.Errorf("events %v, faults %+v", ids, m.Aside)
	}
}

// A body whose fsync failed was refused, and a restart does not find it.
func TestSpoolForgetsWhatItRefused(t *testing.T) {
	dir, m := t.TempDir(), collecttest.New()
	s := openSpools(t, Config{Dir: dir, FS: &durabletest.FS{Kind: durabletest.FailSync, At: 1}})
	receive(t, s, "prod", list(0, 1))
	if err := s.Receive(t.Context(), Origin{Cluster: "prod"}, list(1, 2)); !errors.Is(err, durabletest.ErrInjected) {
		t.Fatal(err)
	}
	s.Close()
	pull(t, openSpools(t, Config{Dir: dir}), m, 1<<20)
	if ids := ids(t, m); !slices.Equal(ids, []int{0}) {
		t.Errorf("events %v", ids)
	}
}

// What a killed process wrote without fsync is made durable before the trail has it: a
// power cut afterwards must not leave the trail ahead of the spool.
func TestSpoolSyncsWhatItFinds(t *testing.T) {
	for seed := range uint64(10) {
		dir, m := t.TempDir(), collecttest.New()
		fsys := &noCut{durabletest.FS{Kind: durabletest.FailSync, At: 1, Rand: rand.New(rand.NewPCG(seed, 0))}}
		s := openSpools(t, Config{Dir: dir, FS: fsys})
		receive(t, s, "prod", list(0, 1))
		if err := s.Receive(t.Context(), Origin{Cluster: "prod"}, list(1, 2)); err == nil {
			t.Fatal("a failed fsync was acknowledged")
		}
		s.Close()
		s = openSpools(t, Config{Dir: dir, FS: &fsys.FS})
		pull(t, s, m, 1<<20)
		s.Close()
		if err := fsys.Restart(); err != nil {
			t.Fatal(err)
		}
		s = openSpools(t, Config{Dir: dir, Sources: m.Sources()})
		receive(t, s, "prod", list(2, 3))
		pull(t, s, m, 1<<20)
		if ids := ids(t, m); !slices.Equal(ids, upTo(3)) || len(m.Aside) > 0 {
			t.Fatalf("events %v, faults %+v", ids, m.Aside)
		}
	}
}

// Where the spool ends is known after a restart although all before is removed and the
// file that was being written came to nothing.
func TestSpoolKeepsItsEnd(t *testing.T) {
	dir, m := t.TempDir(), collecttest.New()
	fsys := &counting{hold: make(chan error, 1)}
	s := openSpools(t, Config{Dir: dir, SegmentBytes: 1, FS: fsys})
	fsys.hold <- nil
	receive(t, s, "prod", list(0, 1))
	done := make(chan error)
	go func() { done <- s.Receive(context.Background(), Origin{Cluster: "prod"}, list(1, 2)) }()
	for len(segments(t, dir, "prod")) < 2 {
	}
	pull(t, s, m, 1<<20)
	fsys.hold <- syscall.EIO
	if err := <-done; !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	s.Close()
	s = openSpools(t, Config{Dir: dir, Sources: m.Sources()})
	receive(t, s, "prod", list(1, 2))
	pull(t, s, m, 1<<20)
	if ids := ids(t, m); !slices.Equal(ids, upTo(2)) || len(m.Aside) > 0 {
		t.Errorf("events %v, faults %+v", ids, m.Aside)
	}
}

// A commit without an event writes nothing, so that positions alone are not durable.
func TestSpoolKeepsWhatIsNotInTheTrail(t *testing.T) {
	dir, m := t.TempDir(), collecttest.New()
	s := openSpools(t, Config{Dir: dir, SegmentBytes: 1})
	receive(t, s, "prod", list(0, 1))
	pull(t, s, m, 1<<20)
	receive(t, s, "prod", list(0, 0), list(0, 0), list(0, 0))
	pull(t, s, m, 1<<20)
	s.Close()
	s = openSpools(t, Config{Dir: dir, Sources: m.Sources()})
	receive(t, s, "prod", list(1, 2))
	pull(t, s, m, 1<<20)
	if ids := ids(t, m); !slices.Equal(ids, upTo(2)) || len(m.Aside) > 0 {
		t.Errorf("events %v, faults %+v", ids, m.Aside)
	}
}

// Files that came to nothing do not keep the others from being removed.
func TestSpoolRemovesFilesAfterAFault(t *testing.T) {
	dir, m := t.TempDir(), collecttest.New()
	s := openSpools(t, Config{Dir: dir, SegmentBytes: 600, FS: &durabletest.FS{Kind: durabletest.FailWrite, At: 2}})
	for i := range 10 {
		if err := s.Receive(t.Context(), Origin{Cluster: "prod"}, list(i, i+1)); (err != nil) != (i == 2) {
			t.Fatal(i, err)
		}
	}
	pull(t, s, m, 1<<20)
	if left := segments(t, dir, "prod"); len(left) != 1 {
		t.Errorf("all is in the trail, and these files are left: %v", left)
	}
}

// On a full disk, what is in the trail makes room.
func TestSpoolMakesRoom(t *testing.T) {
	dir, m := t.TempDir(), collecttest.New()
	fsys := &durabletest.FS{Kind: durabletest.DiskFull, At: 1}
	s := openSpools(t, Config{Dir: dir, FS: fsys})
	receive(t, s, "prod", list(0, 1))
	pull(t, s, m, 1<<20)
	for range 3 {
		if err := s.Receive(t.Context(), Origin{Cluster: "prod"}, list(1, 2)); !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if _, err := s.Feeds()[0].Pull(t.Context(), m, 1); err != nil {
		t.Fatal(err)
	}
	left := segments(t, dir, "prod")
	if len(left) != 1 {
		t.Fatalf("files %v", left)
	}
	if info, err := os.Stat(filepath.Join(dir, "prod", left[0])); err != nil || info.Size() > 0 {
		t.Errorf("%s has %d bytes, %v", left[0], info.Size(), err)
	}
	fsys.Heal()
	receive(t, s, "prod", list(1, 2))
	pull(t, s, m, 1<<20)
	if ids := ids(t, m); !slices.Equal(ids, upTo(2)) || len(m.Aside) > 0 {
		t.Errorf("events %v, faults %+v", ids, m.Aside)
	}
}

// TestSpoolVictim is the process that TestSpoolKilled kills.
func TestSpoolVictim(t *testing.T) {
	dir := os.Getenv("KUBETRAIL_TEST_SPOOL")
	if dir == "" {
		return
	}
	s := openSpools(t, Config{Dir: dir, SegmentBytes: 100 << 10})
	first, _ := strconv.Atoi(os.Getenv("KUBETRAIL_TEST_FIRST"))
	var all sync.WaitGroup
	for sender := range 8 {
		all.Go(func() {
			for i := first + sender; ; i += 8 {
				if err := s.Receive(context.Background(), Origin{Cluster: "prod"}, list(i, i+1)); err != nil {
					t.Error(err)
					return
				}
				fmt.Printf("%d\n", i) // one write: a line is whole
			}
		})
	}
	all.Wait()
}

// A process that is killed has lost nothing that it acknowledged.
func TestSpoolKilled(t *testing.T) {
	dir, m := t.TempDir(), collecttest.New()
	m.PartLines = 1 << 30
	acked := map[int]bool{}
	for round := range 12 {
		victim := exec.Command(os.Args[0], "-test.run=^TestSpoolVictim$")
		victim.Env = append(os.Environ(), "KUBETRAIL_TEST_SPOOL="+dir, fmt.Sprintf("KUBETRAIL_TEST_FIRST=%d", round*1_000_000))
		out, err := victim.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for stop := 1 + 37*round; lines.Scan(); stop-- {
			i, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatalf("%q: %v", lines.Text(), err)
			}
			acked[i] = true
			if stop == 0 {
				victim.Process.Kill()
			}
		}
		victim.Wait()
		s := openSpools(t, Config{Dir: dir, Sources: m.Sources()})
		pull(t, s, m, 50<<10)
		s.Close()
	}
	seen := map[int]int{}
	for _, id := range ids(t, m) {
		seen[id]++
	}
	for id := range acked {
		if seen[id] != 1 {
			t.Errorf("event %d was acknowledged and is in the trail %d times", id, seen[id])
		}
	}
	if len(acked) < 2000 || len(m.Aside) > 0 {
		t.Errorf("%d were acknowledged; faults %+v", len(acked), m.Aside)
	}
}

// Any mixture of posts, pulls, commits, kills and power cuts keeps every acknowledged
// event, once.
func TestSpoolSurvives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		m := collecttest.New()
		m.PartLines = rapid.IntRange(1, 20).Draw(rt, "partLines")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		kinds := []durabletest.Kind{durabletest.None, durabletest.PowerCut, durabletest.ShortWrite, durabletest.DiskFull, durabletest.FailSync, durabletest.FailRemove, durabletest.FailSyncDir}
		var fsys *durabletest.FS
		var s *Spools
		next := 0
		acked, refused := map[int]bool{}, map[int]bool{}
		start := func() {
			if s != nil {
				s.Close()
			}
			m.Crash()
			fsys = &durabletest.FS{Kind: rapid.SampledFrom(kinds).Draw(rt, "kind"), At: rapid.IntRange(0, 20).Draw(rt, "at"), Rand: r}
			var err error
			s, err = Open(Config{Dir: dir, SegmentBytes: 1000, Sources: m.Sources(), FS: fsys})
			if err != nil { // the fault struck at once
				fsys.Restart()
				if s, err = Open(Config{Dir: dir, SegmentBytes: 1000, Sources: m.Sources(), FS: fsys}); err != nil {
					rt.Fatal(err)
				}
			}
		}
		start()
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 6).Draw(rt, "step") {
			case 0, 1, 2:
				n := rapid.IntRange(1, 4).Draw(rt, "events")
				err := s.Receive(context.Background(), Origin{Cluster: "prod"}, list(next, next+n))
				for i := next; i < next+n; i++ {
					if err == nil {
						acked[i] = true
					} else {
						refused[i] = true
					}
				}
				next += n
			case 3:
				for _, f := range s.Feeds() {
					if _, err := f.Pull(context.Background(), m, rapid.Int64Range(1, 3000).Draw(rt, "limit")); err != nil {
						rt.Fatal(err)
					}
				}
			case 4:
				m.Commit(context.Background())
				for _, f := range s.Feeds() {
					f.Committed()
				}
			case 5:
				fsys.Heal()
			case 6:
				if fsys.Kind == durabletest.PowerCut {
					if err := fsys.Restart(); err != nil {
						rt.Fatal(err)
					}
				}
				start()
			}
		}
		if fsys.Kind == durabletest.PowerCut {
			fsys.Restart()
		}
		fsys = &durabletest.FS{}
		start()
		fsys.Kind = durabletest.None
		pull(t, s, m, 1<<20)
		seen := map[int]int{}
		for _, id := range ids(t, m) {
			seen[id]++
		}
		for i := range next {
			if seen[i] > 1 || acked[i] && seen[i] == 0 {
				rt.Fatalf("event %d: acknowledged %v, %d times in the trail; faults %+v", i, acked[i], seen[i], m.Aside)
			}
		}
		s.Close()
	})
}

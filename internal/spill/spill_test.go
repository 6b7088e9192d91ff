package spill_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/internal/durable"
	"kubetrail/internal/durable/durabletest"
	"kubetrail/internal/spill"
)

func open(t testing.TB, c spill.Config) *spill.Queue {
	t.Helper()
	if c.Damaged == nil {
		c.Damaged = func(n int, err error) { t.Errorf("%d records damaged: %v", n, err) }
	}
	q, err := spill.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// records returns what the numbers from first on are made of: no two alike.
func records(first, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = fmt.Appendf(nil, "record %d %s", first+i, strings.Repeat("x", (first+i)*37%200))
	}
	return all
}

func read(q *spill.Queue, maxRecords, maxBytes int) ([]string, uint64) {
	var got []string
	end, err := q.Read(maxRecords, maxBytes, func(record []byte) { got = append(got, string(record)) })
	if err != nil {
		panic(err)
	}
	return got, end
}

func texts(records [][]byte) []string {
	var all []string
	for _, r := range records {
		all = append(all, string(r))
	}
	return all
}

// newDir returns the name of a directory that a queue may make, or have.
func newDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "spill")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func segments(t testing.TB, dir, suffix string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// The queue behaves as a list, through restarts of which some come without a warning.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "spill")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		config := spill.Config{Dir: dir, MaxBytes: 64 << 10, Damaged: func(n int, err error) { rt.Errorf("%d damaged: %v", n, err) }}
		var model [][]byte // from number 0 on
		acked, cursor := 0, 0
		reopen := func() *spill.Queue {
			q, err := spill.Open(config)
			if err != nil {
				rt.Fatal(err)
			}
			cursor = acked
			return q
		}
		q := reopen()
		defer func() { q.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				sizes := rapid.SliceOfN(rapid.IntRange(1, 3000), 1, 20).Draw(rt, "sizes")
				var some [][]byte
				for i, size := range sizes {
					some = append(some, bytes.Repeat([]byte{byte(len(model) + i)}, size))
				}
				n, err := q.Append(some)
				if err != nil && !errors.Is(err, spill.ErrFull) || err == nil && n != len(some) {
					rt.Fatalf("appended %d of %d: %v", n, len(some), err)
				}
				model = append(model, some[:n]...)
				if err != nil && acked == len(model)-n {
					rt.Fatal("full though empty")
				}
			},
			"read": func(rt *rapid.T) {
				maxRecords, maxBytes := rapid.IntRange(1, 30).Draw(rt, "records"), rapid.IntRange(1, 9000).Draw(rt, "bytes")
				got, end := read(q, maxRecords, maxBytes)
				var want []string
				size := 0
				for _, r := range model[cursor:] {
					if len(want) == maxRecords || len(want) > 0 && size+len(r) > maxBytes {
						break
					}
					want, size = append(want, string(r)), size+len(r)
				}
				cursor += len(want)
				if !slices.Equal(got, want) || end != uint64(cursor) {
					rt.Fatalf("read %d records up to %d, want %d up to %d", len(got), end, len(want), cursor)
				}
			},
			"ack": func(rt *rapid.T) {
				acked = rapid.IntRange(acked, cursor).Draw(rt, "number")
				if err := q.Ack(uint64(acked)); err != nil {
					rt.Fatal(err)
				}
			},
			"pass": func(*rapid.T) {
				q.Pass()
				cursor = len(model)
			},
			"sync": func(rt *rapid.T) {
				if err := q.Sync(); err != nil {
					rt.Fatal(err)
				}
			},
			"restart": func(rt *rapid.T) {
				if err := q.Close(); err != nil {
					rt.Fatal(err)
				}
				q = reopen()
			},
			"": func(rt *rapid.T) {
				n, size := q.Size()
				if n != uint64(len(model)-acked) || q.Unread() != uint64(len(model)-cursor) || q.Next() != uint64(len(model)) {
					rt.Fatalf("%d waiting, %d unread, next %d; want %d, %d, %d", n, q.Unread(), q.Next(), len(model)-acked, len(model)-cursor, len(model))
				}
				var onDisk int64
				for _, name := range segments(t, dir, ".spill") {
					info, err := os.Stat(name)
					if err != nil {
						rt.Fatal(err)
					}
					onDisk += info.Size()
				}
				if onDisk != size || size > config.MaxBytes {
					rt.Fatalf("%d bytes on disk, said to be %d", onDisk, size)
				}
			},
		})
	})
}

// Wherever the writing of the last segment was cut short, what was whole is given out,
// and what comes after a restart follows it.
func TestTornTail(t *testing.T) {
	dir := newDir(t)
	q := open(t, spill.Config{Dir: dir})
	q.Append(records(0, 5))
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	name := segments(t, dir, ".spill")[0]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	ends := []int{0}
	for _, r := range records(0, 5) {
		ends = append(ends, ends[len(ends)-1]+8+len(r))
	}
	for cut := range len(whole) {
		for _, zeros := range []int{0, 1, 100} {
			dir := newDir(t)
			tail := append(bytes.Clone(whole[:cut]), make([]byte, zeros)...)
			n := 0
			for ends[n+1] <= cut {
				n++
			}
			if zeros > 0 && ends[n] != cut {
				continue // a record that has its length, but zeros in it: see TestDamage
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), tail, 0o600); err != nil {
				t.Fatal(err)
			}
			q := open(t, spill.Config{Dir: dir})
			q.Append(records(n, 2))
			got, _ := read(q, 100, 1<<20)
			if want := texts(records(0, n+2)); !slices.Equal(got, want) {
				t.Fatalf("cut at %d, %d zeros: got %q", cut, zeros, got)
			}
			q.Close()
		}
	}
}

// A byte that changes on disk costs its record and those after it in the same segment,
// which are counted, and no others. The segment is set aside.
func TestDamage(t *testing.T) {
	const perSegment = 40 // about
	for range 25 {
		dir := newDir(t)
		q := open(t, spill.Config{Dir: dir, MaxBytes: 64 << 10})
		const n = 6 * perSegment
		if _, err := q.Append(records(0, n)); err != nil {
			t.Fatal(err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		names := segments(t, dir, ".spill")
		which := rand.IntN(len(names))
		b, err := os.ReadFile(names[which])
		if err != nil {
			t.Fatal(err)
		}
		b[rand.IntN(len(b))] ^= 1 << rand.IntN(8)
		if err := os.WriteFile(names[which], b, 0o600); err != nil {
			t.Fatal(err)
		}
		damaged := 0
		q = open(t, spill.Config{Dir: dir, MaxBytes: 64 << 10, Damaged: func(n int, err error) { damaged += n }})
		got, end := read(q, 10*n, 1<<20)
		last := which == len(names)-1
		if !last && len(got)+damaged != n || last && damaged > 1 || len(got) >= n {
			t.Fatalf("segment %d of %d: %d given, %d damaged, of %d", which, len(names), len(got), damaged, n)
		}
		i := 0
		all := texts(records(0, n))
		for _, text := range got {
			for i < len(all) && all[i] != text {
				i++
			}
			if i == len(all) {
				t.Fatalf("%q is not in order, or never was there", text)
			}
		}
		if err := q.Ack(end); err != nil {
			t.Fatal(err)
		}
		if bad := segments(t, dir, ".bad"); len(bad) != min(damaged, 1) || len(segments(t, dir, ".spill")) != 0 {
			t.Fatalf("%v set aside, %d damaged", bad, damaged)
		}
		q.Close()
	}
}

// Damage in the segment that is being written costs what was written before, told of
// once, and nothing that comes later.
func TestDamageWhileOpen(t *testing.T) {
	dir := newDir(t)
	damaged := 0
	config := spill.Config{Dir: dir, Damaged: func(n int, err error) { damaged += n }}
	q := open(t, config)
	q.Append(records(0, 5))
	name := segments(t, dir, ".spill")[0]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[8+len(records(0, 1)[0])+10] ^= 1 // in the second record
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	got, end := read(q, 10, 1<<20)
	if !slices.Equal(got, texts(records(0, 1))) || damaged != 4 {
		t.Fatalf("read %q, %d damaged", got, damaged)
	}
	q.Append(records(5, 3))
	q.Ack(end)
	q.Append(records(8, 2))
	if got, _ := read(q, 10, 1<<20); !slices.Equal(got, texts(records(5, 5))) || damaged != 4 {
		t.Fatalf("read %q, %d damaged", got, damaged)
	}
	q.Close()
	q = open(t, config)
	defer q.Close()
	if got, _ := read(q, 10, 1<<20); !slices.Equal(got, texts(records(5, 5))) || damaged != 4 {
		t.Errorf("after a restart: read %q, %d damaged", got, damaged)
	}
}

// What cannot be read needs nobody to acknowledge it, and is told of once.
func TestDamageIsToldOnce(t *testing.T) {
	dir := newDir(t)
	damaged := 0
	config := spill.Config{Dir: dir, MaxBytes: 64 << 10, Damaged: func(n int, err error) { damaged += n }}
	q := open(t, config)
	q.Append([][]byte{bytes.Repeat([]byte{1}, 5000), {2}}) // two segments
	q.Close()
	if err := os.Truncate(segments(t, dir, ".spill")[0], 100); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		q = open(t, config)
		got, _ := read(q, 10, 1<<20)
		if n, _ := q.Size(); len(got) != 1 || n != 1 || damaged != 1 {
			t.Errorf("read %q, %d are left, %d damaged", got, n, damaged)
		}
		q.Close()
	}
}

// A length that has changed is not taken for the end of what was written: records behind
// it are not thrown away without a word.
func TestDamagedLength(t *testing.T) {
	dir := newDir(t)
	q := open(t, spill.Config{Dir: dir})
	q.Append(records(0, 5))
	q.Close()
	name := segments(t, dir, ".spill")[0]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[8+len(records(0, 1)[0])+2] ^= 1 // the second record has 65,536 bytes more
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := 0
	q = open(t, spill.Config{Dir: dir, Damaged: func(n int, err error) { damaged += n }})
	defer q.Close()
	got, end := read(q, 10, 1<<20)
	if !slices.Equal(got, texts(records(0, 1))) || damaged != 1 {
		t.Errorf("read %q, %d damaged", got, damaged)
	}
	q.Ack(end)
	q.Append(records(1, 1))
	if bad := segments(t, dir, ".bad"); len(bad) != 1 {
		t.Errorf("set aside: %v", bad)
	}
}

// A disk that could not be synced once has not got what was appended before, whoever asks,
// though the next sync succeeds.
func TestSyncFailsForAll(t *testing.T) {
	for range 50 {
		fsys := &slowSync{started: make(chan struct{}, 10), results: make(chan error, 10)}
		q := open(t, spill.Config{Dir: newDir(t), FS: fsys})
		ends := make(chan error, 2)
		q.Append(records(0, 1))
		go func() { ends <- q.Sync() }()
		<-fsys.started
		q.Append(records(1, 1))
		go func() { ends <- q.Sync() }() // waits for the first one
		fsys.results <- errors.New("broken")
		for range 10 {
			fsys.results <- nil
		}
		failed := 0
		for range 2 {
			if <-ends != nil {
				failed++
			}
		}
		if failed != 2 {
			t.Fatalf("%d of 2 were told", failed)
		}
		q.Append(records(2, 1))
		if err := q.Sync(); err != nil {
			t.Fatal(err)
		}
		q.Close()
	}
}

func TestBounds(t *testing.T) {
	dir := newDir(t)
	q := open(t, spill.Config{Dir: dir, MaxBytes: 64 << 10})
	defer q.Close()
	if n, err := q.Append([][]byte{{1}, bytes.Repeat([]byte{1}, 16<<10+1)}); n != 1 || !errors.Is(err, spill.ErrTooLarge) {
		t.Errorf("%d, %v", n, err)
	}
	kib := bytes.Repeat([]byte{2}, 1000)
	n := 0
	for {
		_, err := q.Append([][]byte{kib})
		if err != nil {
			if !errors.Is(err, spill.ErrFull) {
				t.Fatal(err)
			}
			break
		}
		n++
	}
	if n < 60 || n > 65 {
		t.Errorf("%d records of a kilobyte in 64 KiB", n)
	}
	// Room becomes free long before all are acknowledged.
	q.Read(10, 1<<20, func([]byte) {})
	if err := q.Ack(10); err != nil {
		t.Fatal(err)
	}
	if n, err := q.Append([][]byte{kib, kib, kib}); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// Of the two places that the number of the first record is written to in turn, one is
// whole whatever happens to the other.
func TestFront(t *testing.T) {
	for slot, want := range []string{"record 5", "record 3"} {
		dir := newDir(t)
		q := open(t, spill.Config{Dir: dir})
		q.Append(records(0, 10))
		q.Read(9, 1<<20, func([]byte) {})
		q.Ack(3) // written to the second place
		q.Ack(5) // to the first
		q.Close()
		name := filepath.Join(dir, "front")
		front, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		slot = 1 - slot // what is damaged
		for i := slot * 12; i < slot*12+12; i++ {
			front[i] ^= 0x55
		}
		if err := os.WriteFile(name, front, 0o600); err != nil {
			t.Fatal(err)
		}
		q = open(t, spill.Config{Dir: dir})
		if got, _ := read(q, 1, 1); !strings.HasPrefix(got[0], want+" ") {
			t.Errorf("place %d damaged: it begins with %.10q, want %s", slot, got, want)
		}
		// The next number does not destroy the only one that is whole.
		q.Ack(6)
		q.Close()
		q = open(t, spill.Config{Dir: dir})
		if n, _ := q.Size(); n != 4 {
			t.Errorf("%d records left", n)
		}
		q.Close()
	}
}

func TestOneProcess(t *testing.T) {
	dir := newDir(t)
	q := open(t, spill.Config{Dir: dir})
	if _, err := spill.Open(spill.Config{Dir: dir}); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	q.Close()
	open(t, spill.Config{Dir: dir}).Close()
}

// Whatever operation of the file system fails, what Append and then Sync reported as
// done is there after a power cut, in order.
func TestFaults(t *testing.T) {
	kinds := []durabletest.Kind{durabletest.FailCreate, durabletest.FailWrite, durabletest.ShortWrite, durabletest.DiskFull,
		durabletest.FailSync, durabletest.FailRemove, durabletest.FailSyncDir, durabletest.PowerCut}
	for _, kind := range kinds {
		for at := range 8 {
			for seed := range uint64(2) {
				t.Run(fmt.Sprintf("%v %d %d", kind, at, seed), func(t *testing.T) { testFault(t, kind, at, seed) })
			}
		}
	}
}

func testFault(t *testing.T, kind durabletest.Kind, at int, seed uint64) {
	dir := newDir(t)
	fsys := &durabletest.FS{Kind: kind, At: at, Rand: rand.New(rand.NewPCG(seed, 1))}
	q := open(t, spill.Config{Dir: dir, MaxBytes: 64 << 10, FS: fsys})
	var there []string // what was appended
	synced, acked, failed := 0, 0, false
	for i := range 30 {
		some := records(100*i, 10)
		n, err := q.Append(some)
		there = append(there, texts(some[:n])...)
		if err != nil {
			fsys.Heal()
		}
		switch err := q.Sync(); {
		case err != nil:
			failed = true // from here on nobody knows what is durable
		case !failed:
			synced = len(there)
		}
		if i%3 == 2 {
			got, end := read(q, 17, 1<<20)
			if !slices.Equal(got, there[acked:acked+len(got)]) || int(end) != acked+len(got) {
				t.Fatalf("read %q up to %d", got, end)
			}
			q.Ack(end)
			acked = int(end)
		}
	}
	q.Close()
	if err := fsys.Restart(); err != nil {
		t.Fatal(err)
	}
	damaged := 0
	q = open(t, spill.Config{Dir: dir, MaxBytes: 64 << 10, Damaged: func(n int, _ error) { damaged += n }})
	defer q.Close()
	got, _ := read(q, 1000, 1<<20)
	// A segment whose removal was forgotten may be given out again: a repeat from the past.
	first := 0
	if len(got) > 0 {
		first = slices.Index(there, got[0])
	}
	if len(got) == 0 && synced > acked || first < 0 || first > acked {
		t.Fatalf("%d records, from %d; %d were acknowledged, %d synced", len(got), first, acked, synced)
	}
	whole := 0
	for whole < len(got) && first+whole < len(there) && got[whole] == there[first+whole] {
		whole++
	}
	if first+whole < synced {
		t.Fatalf("in order only up to %d of %d that were synced", first+whole, synced)
	}
}

// Many append and sync at a time, while others read and acknowledge.
func TestConcurrent(t *testing.T) {
	const writers, each = 8, 200
	q := open(t, spill.Config{Dir: newDir(t), MaxBytes: 1 << 20})
	defer q.Close()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if _, err := q.Append([][]byte{fmt.Appendf(nil, "%d %d", w, i)}); err != nil {
					t.Error(err)
				}
				if i%20 == 0 {
					if err := q.Sync(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	next := make([]int, writers)
	for n := 0; n < writers*each; {
		end, err := q.Read(50, 1<<20, func(record []byte) {
			var w, i int
			fmt.Sscan(string(record), &w, &i)
			if next[w] != i {
				t.Errorf("record %d of writer %d came when %d was due", i, w, next[w])
			}
			next[w] = i + 1
			n++
		})
		if err := errors.Join(err, q.Ack(end)); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	if n, size := q.Size(); n != 0 || size != 0 {
		t.Errorf("%d records and %d bytes left", n, size)
	}
}

// A slowSync waits in each sync of a file for how it ends.
type slowSync struct {
	durable.OS
	started chan struct{}
	results chan error
}

type slowFile struct {
	durable.File
	fs *slowSync
}

func (s *slowSync) Create(name string) (durable.File, error) {
	f, err := s.OS.Create(name)
	return slowFile{f, s}, err
}

func (f slowFile) Sync() error {
	select {
	case f.fs.started <- struct{}{}:
	default:
	}
	return <-f.fs.results
}

// A hasty file system does not sync: to fuzz is to open thousands of queues.
type hasty struct{ durable.OS }

type hastyFile struct{ durable.File }

func (hasty) Create(name string) (durable.File, error) {
	f, err := durable.OS{}.Create(name)
	return hastyFile{f}, err
}
func (hastyFile) Sync() error                   { return nil }
func (hasty) SyncDir(string) error              { return nil }
func (hasty) Cut(name string, size int64) error { return os.Truncate(name, size) }

// No bytes of a segment or of the front file make it panic, take much memory, or give
// out what was not appended whole.
func FuzzOpen(f *testing.F) {
	dir := newDir(f)
	q := open(f, spill.Config{Dir: dir})
	q.Append(records(0, 3))
	q.Read(1, 1, func([]byte) {})
	q.Ack(1)
	q.Close()
	segment, err := os.ReadFile(segments(f, dir, ".spill")[0])
	if err != nil {
		f.Fatal(err)
	}
	front, err := os.ReadFile(filepath.Join(dir, "front"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(segment, front, segment)
	f.Add([]byte{}, front, []byte{255, 255, 255, 255, 0})
	f.Add(segment[:20], []byte{}, make([]byte, 100))
	f.Fuzz(func(t *testing.T, segment, front, other []byte) {
		dir := newDir(t)
		for name, content := range map[string][]byte{"00000000000000000000.spill": segment, "00000000000000000003.spill": other, "front": front} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		q, err := spill.Open(spill.Config{Dir: dir, FS: hasty{}})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		if _, err := q.Append([][]byte{[]byte("new")}); err != nil {
			t.Fatal(err)
		}
		last := ""
		end, err := q.Read(1000, 1<<20, func(record []byte) { last = string(record) })
		if err != nil || last != "new" || end != q.Next() {
			t.Errorf("the last record is %q, number %d of %d, %v", last, end, q.Next(), err)
		}
		if err := q.Ack(end); err != nil {
			t.Fatal(err)
		}
		if n, size := q.Size(); n != 0 || size != 0 {
			t.Errorf("%d records, %d bytes left", n, size)
		}
	})
}

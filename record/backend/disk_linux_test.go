package backend_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"kubetrail/audit"
	"kubetrail/record"
	"kubetrail/record/backend"
)

// smallDisk returns a directory of a file system of that size, and whether there is one:
// to mount it needs rights that not everybody has.
func smallDisk(t *testing.T, size int) (dir string, ok bool) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Logf("no file system of its own: %v", err)
		return "", false
	}
	t.Cleanup(func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir, true
}

// limitFiles makes files no larger than size until the function returned is called.
func limitFiles(t *testing.T, size int) (free func()) {
	t.Helper()
	var was syscall.Rlimit
	check(t, syscall.Getrlimit(unix.RLIMIT_FSIZE, &was))
	limited := was
	limited.Cur = uint64(size)
	check(t, syscall.Setrlimit(unix.RLIMIT_FSIZE, &limited))
	free = sync.OnceFunc(func() { check(t, syscall.Setrlimit(unix.RLIMIT_FSIZE, &was)) })
	t.Cleanup(free)
	return free
}

// A disk that is full and then is not: what is said to be stored is there, whole lines
// are not glued to torn ones, and the trail says exactly how many are missing.
func TestDiskFull(t *testing.T) {
	t.Run("file system", func(t *testing.T) {
		dir, ok := smallDisk(t, 256<<10)
		if !ok {
			t.Log("judged by the other one alone")
			return
		}
		filler := filepath.Join(dir, "filler")
		check(t, os.WriteFile(filler, make([]byte, 100<<10), 0o600))
		fillDisk(t, filepath.Join(dir, "audit.log"), func() { check(t, os.Remove(filler)) })
	})
	t.Run("limit", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.log")
		free := limitFiles(t, 150_001)
		fillDisk(t, path, free)
	})
}

func fillDisk(t *testing.T, path string, free func()) {
	t.Helper()
	f := openFile(t, backend.FileConfig{Path: path})
	losses := backend.NewLosses(backend.LossesConfig{Backend: "log", Logger: logger(t)})
	b := backend.Log(backend.LogConfig{File: f, Losses: losses})
	stored := map[string]bool{}
	send := func(from, n, pad int) (ok bool) {
		var events []*record.Event
		for i := range n {
			events = append(events, listed(from+i, pad))
		}
		ok = b.ProcessEvents(events...)
		for i := range n {
			stored[fmt.Sprint(from+i)] = ok
		}
		return ok
	}
	n, failures := 0, 0
	for ; failures < 5 && n < 10_000; n += 3 {
		if !send(n, 3, 2000) {
			failures++
		}
	}
	if failures == 0 {
		t.Fatal("the disk never was full")
	}
	for range 20 { // small ones may fit still
		send(n, 1, 0)
		n++
	}
	free()
	if !send(n, 3, 100) {
		t.Error("there is room, and still nothing is stored")
	}
	text, err := os.ReadFile(path)
	check(t, err)
	there := map[string]bool{}
	for line := range bytes.Lines(text) {
		var e audit.Event
		if err := e.Scan(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			t.Errorf("a torn line: %.100q", line)
			continue
		}
		there[string(e.Text[audit.AuditID])] = true
	}
	missing := 0
	for id, ok := range stored {
		if ok && !there[id] {
			t.Errorf("event %s is said to be stored, and is not there", id)
		}
		if !there[id] {
			missing++
		}
	}
	told := 0
	for line := range bytes.Lines(text) {
		for _, count := range lostIn(t, line) {
			var n int
			fmt.Sscan(count, &n)
			told += n
		}
	}
	if missing == 0 || told != missing {
		t.Errorf("%d are missing, and %d are said to be lost", missing, told)
	}
}

// Where there is no room for a compressed backup the backup stays, and is compressed
// when there is.
func TestCompressDiskFull(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	const name = "audit-2026-11-20T15-00-00.000.log"
	random := make([]byte, 100<<10)
	rand.NewChaCha8([32]byte{}).Read(random)
	check(t, os.WriteFile(filepath.Join(dir, name), random, 0o600))
	free := limitFiles(t, 50<<10)
	run := func(until func(log string) bool) {
		var log lockedBuffer
		f, err := backend.OpenFile(backend.FileConfig{Path: path, Compress: true, Now: newClock().Now, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		check(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		ended.Go(func() { check(t, f.Run(ctx)) })
		eventually(t, "it is done", func() bool { return until(log.String()) })
		cancel()
		ended.Wait()
	}
	run(func(log string) bool { return strings.Contains(log, "file too large") })
	expect(t, dir, map[string]string{name: string(random), "audit.log": ""})
	free()
	run(func(string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return os.IsNotExist(err)
	})
	if got := logTexts(t, path)[filepath.Join(dir, name)]; !bytes.Equal(got, random) {
		t.Errorf("the compressed backup holds %d bytes", len(got))
	}
}

// lockedBuffer is a buffer that one may read while others write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

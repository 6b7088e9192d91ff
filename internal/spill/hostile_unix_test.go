//go:build unix

package spill_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kubetrail/internal/spill"
)

// A directory into which somebody else may have put files is refused, and the error says
// why and what to do.
func TestUntrusted(t *testing.T) {
	for _, c := range []struct {
		name, says string
		spoil      func(dir string) error
		ok         bool
	}{
		{"its own", "", func(dir string) error { return os.Chmod(dir, 0o700) }, true},
		{"others may look", "", func(dir string) error { return os.Chmod(dir, 0o755) }, true},
		{"group writes", "chmod go-w", func(dir string) error { return os.Chmod(dir, 0o770) }, false},
		{"all write", "chmod go-w", func(dir string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, false},
		{"a link", "symbolic link", func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".real"), os.Symlink(dir+".real", dir))
		}, false},
		{"somebody else's", "user 12345", func(dir string) error { return os.Chown(dir, 12345, 12345) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := newDir(t)
			if err := c.spoil(dir); errors.Is(err, syscall.EPERM) {
				t.Log("only root can give a directory away")
				return
			} else if err != nil {
				t.Fatal(err)
			}
			q, err := spill.Open(spill.Config{Dir: dir})
			if err == nil {
				defer q.Close()
			}
			if c.ok != (err == nil) || !c.ok && (!errors.Is(err, spill.ErrUntrusted) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), dir)) {
				t.Errorf("%v", err)
			}
			if left, _ := os.ReadDir(dir); !c.ok && len(left) > 0 {
				t.Errorf("it was written to: %v", left)
			}
		})
	}
}

// No link in the directory is followed, and no pipe waited for, whatever its name is.
func TestLinks(t *testing.T) {
	for _, name := range []string{"lock", "front", "00000000000000000000.spill"} {
		for what, put := range map[string]func(victim, name string) error{
			"link": os.Symlink,
			"link within": func(victim, name string) error {
				inside := filepath.Join(filepath.Dir(name), "inside")
				return errors.Join(os.WriteFile(inside, nil, 0o600), os.Symlink("inside", name))
			},
			"pipe": func(_, name string) error { return syscall.Mkfifo(name, 0o600) },
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				dir, victim := newDir(t), filepath.Join(t.TempDir(), "victim")
				if err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o600), put(victim, filepath.Join(dir, name))); err != nil {
					t.Fatal(err)
				}
				q, err := spill.Open(spill.Config{Dir: dir})
				if err == nil {
					q.Close()
				}
				if err == nil || !strings.Contains(err.Error(), "not a regular file") {
					t.Errorf("opened: %v", err)
				}
				if b, _ := os.ReadFile(victim); string(b) != "precious" {
					t.Errorf("the file outside holds %q", b)
				}
			})
		}
	}
}

// A link that takes the place of a segment later is not followed either: neither by what
// reads nor by what writes.
func TestLinkLater(t *testing.T) {
	dir, victim := newDir(t), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(dir, "00000000000000000001.spill")
	if err := os.Symlink(victim, next); err != nil {
		t.Fatal(err)
	}
	_, err := spill.Open(spill.Config{Dir: dir, MaxBytes: 64 << 10})
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Fatalf("opened: %v", err)
	}
	if err := os.Remove(next); err != nil {
		t.Fatal(err)
	}
	damaged := 0
	q := open(t, spill.Config{Dir: dir, MaxBytes: 64 << 10, Damaged: func(n int, _ error) { damaged += n }})
	defer q.Close()
	if err := os.Symlink(victim, next); err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 5<<10) // more than a segment
	for range 2 {
		if n, err := q.Append([][]byte{large}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if info, err := os.Lstat(next); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the segment is %v, %v", info, err)
	}
	if err := errors.Join(os.Remove(next), os.Symlink(victim, next)); err != nil {
		t.Fatal(err)
	}
	if got, _ := read(q, 10, 1<<20); len(got) != 1 || damaged != 1 {
		t.Errorf("%d records, %d damaged", len(got), damaged)
	}
	if b, _ := os.ReadFile(victim); string(b) != "precious" {
		t.Errorf("the file outside holds %q", b)
	}
}

// While no file can be opened nothing is given out, and nothing given up.
func TestNoFilesLeft(t *testing.T) {
	config := spill.Config{Dir: newDir(t)}
	q := open(t, config)
	q.Append(records(0, 5))
	q.Read(2, 1<<20, func([]byte) {})
	if err := errors.Join(q.Ack(2), q.Close()); err != nil {
		t.Fatal(err)
	}
	q = open(t, config)
	defer q.Close()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 1
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	end, err := q.Read(10, 1<<20, func(record []byte) { t.Errorf("got %q", record) })
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.EMFILE) || end != 2 || q.Unread() != 3 {
		t.Errorf("read up to %d, %d unread, %v", end, q.Unread(), err)
	}
	if got, _ := read(q, 10, 1<<20); !slices.Equal(got, texts(records(2, 3))) {
		t.Errorf("got %q", got)
	}
}

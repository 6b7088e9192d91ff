package durable_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubetrail/internal/durable"
	"kubetrail/internal/durable/durabletest"
)

func content(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

// A write that fails leaves the file as it was, and nothing beside it. Only where the
// directory could not be synced may the new content be there already.
func TestWrite(t *testing.T) {
	for kind := durabletest.Kind(0); kind < durabletest.NumKinds; kind++ {
		t.Run(kind.String(), func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "file")
			if err := durable.Write(durable.OS{}, name, content("old")); err != nil {
				t.Fatal(err)
			}
			err := durable.Write(&durabletest.FS{Kind: kind}, name, content("new, and longer"))
			want := "old"
			switch kind {
			case durabletest.None, durabletest.FailRemove: // nothing is removed
				want = "new, and longer"
				if err != nil {
					t.Fatal(err)
				}
			case durabletest.FailSyncDir:
				want = "new, and longer"
				fallthrough
			default:
				if err == nil {
					t.Fatal("the fault was not reported")
				}
			}
			if got, err := os.ReadFile(name); err != nil || string(got) != want {
				t.Errorf("the file holds %q, %v", got, err)
			}
			left, err := durabletest.Leftovers(dir)
			if err != nil || len(left) > 0 && kind != durabletest.PowerCut {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

func TestWriteGivesUp(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	broken := errors.New("cannot go on")
	err := durable.Write(durable.OS{}, name, func(w io.Writer) error {
		fmt.Fprint(w, "half")
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a file was left: %v", err)
	}
}

// Events hold secrets: nobody but their owner reads what is written.
func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := durable.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "file")
	if err := durable.Write(durable.OS{}, name, content("x")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Dir(dir): 0o700, name: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if err := durable.MkdirAll(dir); err != nil {
		t.Errorf("a directory that is there: %v", err)
	}
	if err := durable.MkdirAll(name); err == nil {
		t.Error("a file passed for a directory")
	}
}

func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	first, err := durable.TakeLock(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = durable.TakeLock(name)
	if !errors.Is(err, durable.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Fatalf("a second lock: %v", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := durable.TakeLock(name)
	if err != nil {
		t.Fatal(err)
	}
	again.Release()
}

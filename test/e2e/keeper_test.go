package e2e

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// keeper keeps all that a kube-apiserver ever wrote into its log: every file of the
// directory gets a second name elsewhere as soon as it is seen, so that whatever
// happens to the first one, the bytes stay. It also plays logrotate on the directory.
type keeper struct {
	dir, to string // to is on the same file system, and nothing is followed there
	log     string // name of the file that is written
	rnd     *rand.Rand

	mu      sync.Mutex        // guards what follows, and the names in dir
	seen    map[uint64]string // inodes that have a second name
	turns   int
	renamed int             // logs that were renamed under their writer
	packed  int             // backups that were compressed
	resting bool            // nothing is renamed and nothing compressed
	removed map[string]bool // second names of files that were removed, unread
}

func newKeeper(log, to string, seed uint64) (*keeper, error) {
	return &keeper{dir: filepath.Dir(log), to: to, log: filepath.Base(log), rnd: rand.New(rand.NewPCG(seed, 7)),
		seen: map[uint64]string{}, removed: map[string]bool{}}, os.MkdirAll(to, 0o700)
}

// run keeps and rotates until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	turn := time.NewTicker(5 * time.Second)
	defer turn.Stop()
	for {
		if err := k.keep(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return k.keep()
		case <-turn.C:
			if err := k.rotate(); err != nil {
				return err
			}
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// keep gives every file a second name. One that loses its first name in that moment is
// found under the next one.
func (k *keeper) keep() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.look()
}

func (k *keeper) look() error {
	for again := true; again; {
		again = false
		entries, err := os.ReadDir(k.dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "audit") || strings.Contains(e.Name(), ".gz") {
				continue
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				again = true
				continue
			}
			if err != nil {
				return err
			}
			node := info.Sys().(*syscall.Stat_t).Ino
			if k.seen[node] != "" {
				continue
			}
			name := filepath.Join(k.to, fmt.Sprintf("%06d", len(k.seen)))
			if err := os.Link(filepath.Join(k.dir, e.Name()), name); errors.Is(err, fs.ErrNotExist) {
				again = true
				continue
			} else if err != nil {
				return err
			}
			// The name may have gone to another file since it was looked at.
			if info, err = os.Stat(name); err != nil {
				return err
			}
			if linked := info.Sys().(*syscall.Stat_t).Ino; linked != node {
				if again = true; k.seen[linked] != "" {
					if err := os.Remove(name); err != nil {
						return err
					}
					continue
				}
				node = linked
			}
			k.seen[node] = name
		}
	}
	return nil
}

// rotate does what an administrator's logrotate does beside the rotation of
// kube-apiserver itself: it renames the log under its writer, who goes on writing
// there, or compresses backups that nobody writes to any more.
func (k *keeper) rotate() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.resting {
		return nil
	}
	k.turns++
	if k.turns%2 == 0 {
		return k.pack()
	}
	k.renamed++
	for n := 20; n >= 1; n-- {
		for _, ext := range []string{"", ".gz"} {
			err := os.Rename(k.numbered(n, ext), k.numbered(n+1, ext))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	err := os.Rename(filepath.Join(k.dir, k.log), k.numbered(1, ""))
	if errors.Is(err, fs.ErrNotExist) { // it is still written under its last name
		return nil
	}
	return err
}

func (k *keeper) numbered(n int, ext string) string {
	return filepath.Join(k.dir, fmt.Sprintf("%s.%d%s", k.log, n, ext))
}

// pack compresses some backups whose last byte was written a while ago.
func (k *keeper) pack() error {
	names, err := filepath.Glob(filepath.Join(k.dir, "audit*"))
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		info, err := os.Stat(name)
		return err != nil || strings.HasSuffix(name, ".gz") || filepath.Base(name) == k.log || time.Since(info.ModTime()) < 15*time.Second
	})
	for range 3 {
		if len(names) == 0 {
			return nil
		}
		i := k.rnd.IntN(len(names))
		if err := k.compress(names[i]); err != nil {
			return err
		}
		names = slices.Delete(names, i, i+1)
	}
	return nil
}

func (k *keeper) compress(name string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(name+".gz", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	if err = errors.Join(err, z.Close(), out.Close()); err != nil {
		return err
	}
	k.packed++
	return os.Remove(name)
}

// rest lets the log alone, but for the rotation of kube-apiserver itself, and returns
// what was written so far.
func (k *keeper) rest() (before map[uint64]string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.resting = true
	err = k.look()
	return maps.Clone(k.seen), err
}

// lose removes the backups that were not there before, as --audit-log-maxbackup does
// with what nobody has read yet, and then goes on.
func (k *keeper) lose(before map[uint64]string) (n int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.resting = false
	if err := k.look(); err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return n, err
		}
		node := info.Sys().(*syscall.Stat_t).Ino
		if before[node] != "" || k.seen[node] == "" || e.Name() == k.log {
			continue
		}
		if err := os.Remove(filepath.Join(k.dir, e.Name())); err != nil {
			return n, err
		}
		k.removed[k.seen[node]] = true
		n++
	}
	return n, nil
}

// files are all that was ever written, one file for each content.
func (k *keeper) files() ([]string, error) { return filepath.Glob(filepath.Join(k.to, "*")) }

//go:build unix

package spill

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// trusted returns an error if somebody else than the owner of this process and root may
// write to a directory.
func trusted(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s: %w: its mode is %#o; look what is in it, then chmod go-w", path, ErrUntrusted, mode)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: %w: it belongs to user %d, and this process to %d; look what is in it, then chown", path, ErrUntrusted, stat.Uid, os.Geteuid())
	}
	return nil
}

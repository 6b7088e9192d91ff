//go:build unix

package metrics

import "golang.org/x/sys/unix"

// diskSpace returns the bytes that are free for us on the file system of a directory,
// and its size.
func diskSpace(dir string) (free, size uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize)
	return uint64(s.Bavail) * block, uint64(s.Blocks) * block, nil
}

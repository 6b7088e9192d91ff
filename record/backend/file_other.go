//go:build !linux

package backend

import "os"

// renameNew renames a file to a name that nothing has: errors.Is(err, os.ErrExist)
// otherwise.
func renameNew(from, to string) error { return renameUnlessThere(from, to) }

// chown leaves the owner as it is, as upstream does.
func chown(*os.File, os.FileInfo) error { return nil }

package spill

import "io/fs"

// trusted has nothing to say: modes do not tell here who may write.
func trusted(string, fs.FileInfo) error { return nil }

package metrics

import "golang.org/x/sys/windows"

// diskSpace returns the bytes that are free for us on the file system of a directory,
// and its size.
func diskSpace(dir string) (free, size uint64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	return free, size, windows.GetDiskFreeSpaceEx(name, &free, &size, nil)
}

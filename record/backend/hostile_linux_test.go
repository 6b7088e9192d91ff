package backend_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"kubetrail/record/backend"
)

// Whoever owns the directory of a log cannot have a file of somebody else by a link that
// takes the place of the log while it rotates.
func TestRotationGivesNoOtherFileAway(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("only root can give files away")
		return
	}
	dir := t.TempDir()
	path, victim := filepath.Join(dir, "audit.log"), filepath.Join(t.TempDir(), "victim")
	check(t, os.WriteFile(victim, nil, 0o600))
	rotated := make(chan struct{}, 1)
	f, err := backend.OpenFile(backend.FileConfig{Path: path, MaxSize: 10, Now: func() time.Time {
		if backups, err := filepath.Glob(filepath.Join(dir, "audit-*")); err == nil && len(backups) > 0 && len(rotated) == 0 {
			if _, err := os.Lstat(path); err == nil { // the new log is open, its owner not set
				check(t, os.Remove(path))
				check(t, os.Symlink(victim, path))
				rotated <- struct{}{}
			}
		}
		return time.Now()
	}})
	check(t, err)
	defer f.Close()
	check(t, os.Chown(path, 12345, 12345))
	for range 2 {
		_, err := f.Write([]byte("eight 8\n"))
		check(t, err)
	}
	if len(rotated) != 1 {
		t.Fatal("the log was not exchanged")
	}
	info, err := os.Stat(victim)
	check(t, err)
	if stat := info.Sys().(*syscall.Stat_t); stat.Uid != 0 {
		t.Errorf("the file belongs to %d now", stat.Uid)
	}
}

// A pipe that is named like a backup does not keep a log from ending, nor does a link
// make a copy of what it leads to.
func TestBackupsThatAreNone(t *testing.T) {
	dir := t.TempDir()
	check(t, syscall.Mkfifo(filepath.Join(dir, "audit-2020-01-01T00-00-00.000.log"), 0o600))
	other := filepath.Join(t.TempDir(), "other")
	check(t, os.WriteFile(other, []byte("secret"), 0o600))
	link := filepath.Join(dir, "audit-2020-01-02T00-00-00.000.log")
	check(t, os.Symlink(other, link))
	f, err := backend.OpenFile(backend.FileConfig{Path: filepath.Join(dir, "audit.log"), Compress: true})
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	cancel()
	select {
	case err := <-ended:
		check(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
	if _, err := os.Lstat(link + ".gz"); err == nil {
		t.Error("there is a copy")
	}
}

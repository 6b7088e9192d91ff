package service

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen plays systemd: it returns the socket's name and what comes next over it.
func listen(t *testing.T) (name string, next func() string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no systemd")
	}
	name = t.TempDir() + "/notify"
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return name, func() string {
		t.Helper()
		b := make([]byte, 4096)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestNotify(t *testing.T) {
	name, next := listen(t)
	n := NewNotifier(environment("NOTIFY_SOCKET", name), slog.New(slog.DiscardHandler))
	defer n.Close()
	n.Ready("follow</a>\nREADY=0 -> trail")
	if got := next(); got != "READY=1\nSTATUS=follow</a> READY=0 -> trail" {
		t.Errorf("%q", got)
	}
	n.Reloading()
	if got := next(); !regexp.MustCompile(`\ARELOADING=1\nMONOTONIC_USEC=\d+\z`).MatchString(got) || runtime.GOOS == "linux" && strings.HasSuffix(got, "=0") {
		t.Errorf("%q", got)
	}
	n.Status(strings.Repeat("é", 3000))
	if got := next(); len(got) > 1100 || !strings.HasSuffix(got, "é…") {
		t.Errorf("%q", got)
	}
	n.Stopping()
	if got := next(); got != "STOPPING=1" {
		t.Errorf("%q", got)
	}
}

// TestMonotonic compares with the clock that systemd compares with.
func TestMonotonic(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("systemd is there on Linux alone")
	}
	before, start := monotonic(), time.Now()
	time.Sleep(20 * time.Millisecond)
	if passed, want := monotonic()-before, time.Since(start); passed < 20*time.Millisecond || passed > want+time.Second {
		t.Errorf("%s have passed, and by the other clock %s", passed, want)
	}
}

func TestWatchdog(t *testing.T) {
	name, next := listen(t)
	var alive atomic.Bool
	alive.Store(true)
	asked := make(chan bool, 100)
	n := NewNotifier(environment("NOTIFY_SOCKET", name, "WATCHDOG_USEC", "30000", "WATCHDOG_PID", fmt.Sprint(os.Getpid())), slog.New(slog.DiscardHandler))
	defer n.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Run(ctx, func() bool { asked <- alive.Load(); return alive.Load() })
	}()
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("%q", got)
		}
	}
	alive.Store(false)
	for <-asked {
	}
	<-asked
	<-asked
	n.Status("end") // behind what the watchdog got
	for got := next(); got != "STATUS=end"; got = next() {
		if got != "WATCHDOG=1" {
			t.Errorf("%q", got)
		}
	}
	cancel()
	<-done
}

// TestNoWatchdog returns at once where none asks for it, or it is another process's.
func TestNoWatchdog(t *testing.T) {
	name, _ := listen(t)
	for _, env := range []func(string) string{
		environment(), environment("NOTIFY_SOCKET", name), environment("NOTIFY_SOCKET", name, "WATCHDOG_USEC", "1", "WATCHDOG_PID", "1"),
		environment("NOTIFY_SOCKET", name, "WATCHDOG_USEC", "-1"), environment("WATCHDOG_USEC", "1000"), environment("NOTIFY_SOCKET", "relative", "WATCHDOG_USEC", "1000"),
	} {
		n := NewNotifier(env, slog.New(slog.DiscardHandler))
		n.Run(t.Context(), func() bool { t.Error("asked"); return true })
		n.Ready("")
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	var log strings.Builder
	n := NewNotifier(environment("NOTIFY_SOCKET", t.TempDir()+"/none"), slog.New(slog.NewTextHandler(&log, nil)))
	n.Ready("")
	if !strings.Contains(log.String(), "cannot tell systemd") {
		t.Errorf("%s", log.String())
	}
}

// watched runs a watch of path and returns what tells of changes, and what ends it.
func watched(t *testing.T, path string, every time.Duration) (changes chan struct{}, now chan os.Signal) {
	t.Helper()
	w := NewWatch(WatchConfig{Path: path, Every: every, Settle: 5 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	changes, now = make(chan struct{}, 100), make(chan os.Signal)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, now, func() { changes <- struct{}{} })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return changes, now
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

// TestWatch changes a file in every way there is, with the file system telling of it and
// without.
func TestWatch(t *testing.T) {
	for _, every := range []time.Duration{5 * time.Millisecond, time.Hour} {
		dir := t.TempDir()
		path := dir + "/config.yaml"
		write(t, path, "a")
		changes, now := watched(t, path, every)
		wait := func(what string) {
			t.Helper()
			select {
			case <-changes:
			case <-time.After(20 * time.Second):
				t.Fatalf("every %s: nothing is told of %s", every, what)
			}
		}
		now <- os.Interrupt
		wait("a signal") // and from here on the directory is watched
		write(t, path, "longer")
		wait("a write")
		write(t, path+".new", "other")
		must(t, os.Rename(path+".new", path))
		wait("a rename")
		must(t, os.Remove(path))
		now <- os.Interrupt
		wait("a signal")
		write(t, path, "again")
		wait("a new file")
		if len(changes) > 0 {
			t.Errorf("%d changes more than there were", len(changes))
		}
	}
}

// TestWatchConfigMap changes a file as the kubelet does a mounted ConfigMap: a directory
// beside it becomes another.
func TestWatchConfigMap(t *testing.T) {
	for _, every := range []time.Duration{5 * time.Millisecond, time.Hour} {
		dir := t.TempDir()
		version := func(name, text string) {
			t.Helper()
			must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
			write(t, filepath.Join(dir, name, "config.yaml"), text)
			must(t, os.Symlink(name, dir+"/..data_tmp"))
			must(t, os.Rename(dir+"/..data_tmp", dir+"/..data"))
		}
		version("..1", "one")
		must(t, os.Symlink("..data/config.yaml", dir+"/config.yaml"))
		changes, now := watched(t, dir+"/config.yaml", every)
		now <- os.Interrupt
		<-changes
		for i := range 3 {
			version(fmt.Sprintf("..%d", i+2), "one")
			select {
			case <-changes:
			case <-time.After(20 * time.Second):
				t.Fatalf("every %s: nothing is told of swap %d", every, i)
			}
		}
	}
}

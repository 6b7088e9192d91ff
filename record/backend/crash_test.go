package backend_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/record/backend"
)

// crashPath is set in the environment of the process that is killed: the log to write.
const crashPath = "KUBETRAIL_TEST_LOG_UNTIL_KILLED"

// kills is how often; more of them: go test ./record/backend -run Killed -args -kills 500
var kills = flag.Int("kills", 25, "how often the writer of a log is killed")

// writeUntilKilled writes events from several goroutines, and says on stdout which of
// them are stored.
func writeUntilKilled(path string) {
	// A clock that goes fast, so that backups are compressed in the time there is.
	epoch := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	fast := func() time.Time { return epoch.Add(100 * time.Since(epoch)) }
	file, err := backend.OpenFile(backend.FileConfig{Path: path, MaxSize: 300_000, Compress: true, Now: fast})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	b := backend.Log(backend.LogConfig{File: file})
	go b.Run(context.Background())
	var senders sync.WaitGroup
	for s := range 4 {
		senders.Go(func() {
			for n := 0; ; n++ {
				id := os.Getpid()*1_000_000 + s*100_000 + n
				if !b.ProcessEvents(listed(id, rand.IntN(1+n%40*2000))) {
					fmt.Fprintln(os.Stderr, "not stored:", id)
					os.Exit(1)
				}
				fmt.Fprintln(os.Stdout, id) // one write
			}
		})
	}
	senders.Wait()
}

// A process that writes a log is killed at any instant, and the next one goes on with
// it: what was acknowledged is there, whole and once.
func TestLogKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "audit.log")
	acknowledged := map[string]bool{}
	for range *kills {
		cmd := exec.Command(exe, "-test.run=^$")
		cmd.Env = append(os.Environ(), crashPath+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Duration(rand.IntN(60))*time.Millisecond, func() { cmd.Process.Kill() })
		text, err := io.ReadAll(bufio.NewReader(out))
		kill.Stop()
		cmd.Wait()
		if err != nil {
			t.Fatal(err)
		}
		for id := range bytes.Lines(text) {
			if id, whole := bytes.CutSuffix(id, []byte("\n")); whole {
				acknowledged[string(id)] = true
			}
		}
	}
	found, torn := map[string]int{}, 0
	for _, text := range logTexts(t, path) {
		for line := range bytes.Lines(text) {
			var e audit.Event
			body, whole := bytes.CutSuffix(line, []byte("\n"))
			if err := e.Scan(body); !whole || err != nil {
				torn++
				continue
			}
			found[string(e.Text[audit.AuditID])]++
		}
	}
	for id := range acknowledged {
		if found[id] == 0 {
			t.Errorf("event %s was acknowledged and is not there", id)
		}
	}
	for id, n := range found {
		if n > 1 {
			t.Errorf("event %s is there %d times", id, n)
		}
	}
	if torn > *kills {
		t.Errorf("%d torn lines of %d processes", torn, *kills)
	}
	t.Logf("%d acknowledged, %d found, %d torn", len(acknowledged), len(found), torn)
	if len(acknowledged) == 0 {
		t.Error("nothing was acknowledged: they were killed too early")
	}
}

// logTexts returns what the files of a log hold, by path, however they are compressed.
// Of a backup that is there twice, as a crash may leave it, it takes the one that is
// not.
func logTexts(t rapid.TB, path string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	compressed, err := filepath.Glob(strings.TrimSuffix(path, filepath.Ext(path)) + "-*.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range compressed {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f.Close()
		all[strings.TrimSuffix(name, ".gz")] = text
	}
	for _, name := range logFiles(t, path) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if twin, ok := all[name]; ok && !bytes.Equal(text, twin) {
			t.Errorf("%s and its compressed copy differ", name)
		}
		all[name] = text
	}
	return all
}

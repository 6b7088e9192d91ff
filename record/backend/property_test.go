package backend_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kubetrail/record"
	"kubetrail/record/backend"
)

// Whatever is written, rotated, compressed, opened again, moved, deleted or copied and
// truncated, and by how many processes: each event is there once and whole, and no file
// is larger than it may be but for one event.
func TestFileProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(memory(), "log")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		p := &playground{T: t, dir: dir, path: filepath.Join(dir, "audit.log"), clock: newClock()}
		p.max = int64(rapid.SampledFrom([]int{0, 500, 2000, 10_000}).Draw(t, "largest file"))
		for i := range p.files {
			p.files[i], err = backend.OpenFile(backend.FileConfig{Path: p.path, MaxSize: p.max, Compress: true, Now: p.clock.Now})
			p.check(err)
			defer p.files[i].Close()
			p.logs[i] = backend.Log(backend.LogConfig{File: p.files[i]})
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": p.write, "tidy": p.tidy, "reopen": p.reopen, "move": p.move,
			"delete": p.delete, "copy and truncate": p.copyTruncate, "wait": p.wait,
		})
		p.judge()
	})
}

// memory is a directory in memory, where there is one: syncing is quick there.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// A playground is a log that two processes write, and others meddle with.
type playground struct {
	*rapid.T
	dir, path string
	max       int64
	clock     *clock
	files     [2]*backend.File
	logs      [2]record.Backend
	n         int // events written
	moved     int // files moved by others
	deleted   []*os.File
	copied    [][]byte
}

func (p *playground) check(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *playground) write(t *rapid.T) {
	var events []*record.Event
	for range rapid.IntRange(1, 6).Draw(t, "events") {
		events = append(events, listed(p.n, rapid.SampledFrom([]int{0, 10, 300, 3000}).Draw(t, "pad")))
		p.n++
	}
	if !p.logs[rapid.IntRange(0, 1).Draw(t, "process")].ProcessEvents(events...) {
		t.Fatal("not stored")
	}
}

func (p *playground) tidy(t *rapid.T) {
	f := p.files[rapid.IntRange(0, 1).Draw(t, "process")]
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	if rapid.Bool().Draw(t, "for a while") {
		time.Sleep(time.Millisecond) // ended at any point, it leaves nothing half
	}
	cancel()
	run.Wait()
}

func (p *playground) reopen(t *rapid.T) {
	p.check(p.files[rapid.IntRange(0, 1).Draw(t, "process")].Reopen())
}

func (p *playground) move(t *rapid.T) {
	if os.Rename(p.path, fmt.Sprintf("%s.%d", p.path, p.moved)) == nil {
		p.moved++
	}
}

func (p *playground) delete(t *rapid.T) {
	f, err := os.Open(p.path)
	if err != nil {
		return
	}
	p.deleted = append(p.deleted, f)
	p.check(os.Remove(p.path))
}

func (p *playground) copyTruncate(t *rapid.T) {
	text, err := os.ReadFile(p.path)
	if err != nil {
		return
	}
	p.copied = append(p.copied, text)
	p.check(os.Truncate(p.path, 0))
}

func (p *playground) wait(t *rapid.T) {
	p.clock.pass(time.Duration(rapid.SampledFrom([]int{1, 500, 1000, 5000}).Draw(t, "milliseconds")) * time.Millisecond)
}

// judge looks through all that was written, wherever it went.
func (p *playground) judge() {
	texts := p.copied
	for _, f := range p.deleted {
		text, err := io.ReadAll(f)
		p.check(err)
		f.Close()
		texts = append(texts, text)
	}
	for i := range p.moved {
		text, err := os.ReadFile(fmt.Sprintf("%s.%d", p.path, i))
		p.check(err)
		texts = append(texts, text)
	}
	for _, text := range logTexts(p, p.path) {
		texts = append(texts, text)
	}
	found := map[string]int{}
	for _, text := range texts {
		ids := scanned(p, text)
		for _, id := range ids {
			found[id]++
		}
	}
	for n := range p.n {
		if times := found[fmt.Sprint(n)]; times != 1 {
			p.Errorf("event %d is there %d times", n, times)
		}
	}
	if len(found) != p.n {
		p.Errorf("%d events of %d", len(found), p.n)
	}
}

package collect

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kubetrail/internal/collect/collecttest"
)

// lostLine is an event as kube-apiserver names one that it lost.
func lostLine(id int) string {
	return fmt.Sprintf(`2026-11-20T15:31:49.19777968Z AUDIT: id="id-%d" stage="ResponseComplete" ip="127.0.0.1" method="get" user="jai" groups="\"dev\"" as="<self>" asgroups="<lookup>" user-agent="x" namespace="default" uri="/api/v1/namespaces/default/pods/p" response="200"`, id)
}

// lostMessage is a message about the events from first to last, and counts so many more.
func lostMessage(first, last, more int) string {
	s := fmt.Sprintf("E1120 15:31:49.203222       1 metrics.go:110] Error in audit plugin 'webhook' affecting %d audit events: refused\nImpacted events:\n", last-first+1+more)
	for id := first; id <= last; id++ {
		s += lostLine(id) + "\n"
	}
	return s
}

const hello = "I1120 15:31:40.679794       1 server.go:150] Version: v1.36.3\n"

// asCRI writes text as containerd does.
func asCRI(text string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		b.WriteString("2026-11-20T15:31:49.203222154Z stderr F " + l)
	}
	return b.String()
}

// wantLost checks that m has the events from 0 to n-1, once each.
func wantLost(t *testing.T, m *collecttest.Model, n int) {
	t.Helper()
	var want []string
	for id := range n {
		want = append(want, "c\x00"+lostLine(id))
	}
	if !slices.Equal(m.Lines, want) {
		t.Fatalf("%d lines, want %d\n%s", len(m.Lines), n, strings.Join(m.Lines, "\n"))
	}
}

// TestFollowContainerLog follows the log of a container that the kubelet rotates and
// compresses, and that begins anew in another file, with crashes in between.
func TestFollowContainerLog(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "0.log")
	m := collecttest.New()
	m.PartLines = 3
	var f *Follower
	again := func() {
		t.Helper()
		if f != nil {
			m.Crash()
			f.Close()
		}
		var err error
		if f, err = Follow(FollowConfig{Path: dir, Cluster: "c", Sources: m.Sources(), Format: APIServerLog()}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		at := &clock{time.Now()}
		f.now = at.now
	}
	again()
	add(t, log, asCRI(hello+lostMessage(0, 9, 0)))
	if _, err := f.Pull(t.Context(), m, 1); err != nil { // less than the message
		t.Fatal(err)
	}
	again()
	pullAll(t, f, m)
	wantLost(t, m, 10)

	// A message across a rotation.
	text := asCRI(lostMessage(10, 19, 0))
	half := strings.Index(text, lostLine(15)) - len("2026-11-20T15:31:49.203222154Z stderr F ")
	add(t, log, text[:half])
	pullAll(t, f, m)
	rotated := log + ".20261120-151323"
	if err := os.Rename(log, rotated); err != nil {
		t.Fatal(err)
	}
	add(t, log, text[half:]+asCRI(hello))
	again()
	pullAll(t, f, m)
	wantLost(t, m, 20)

	// The kubelet compresses, and removes.
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	data, err := os.ReadFile(rotated)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(data)
	z.Close()
	put(t, rotated+".gz", packed.String())
	os.Remove(rotated)
	again()
	pullAll(t, f, m)
	wantLost(t, m, 20)

	// The container begins anew.
	add(t, filepath.Join(dir, "1.log"), asCRI(hello+lostMessage(20, 24, 3)+hello))
	again()
	pullAll(t, f, m)
	wantLost(t, m, 25)
	if len(m.Aside) != 1 || m.Aside[0].Lost == nil || m.Aside[0].Lost.Events != 3 || m.Aside[0].Lost.Cause != "plugin-error" {
		t.Errorf("set aside: %+v", m.Aside)
	}
}

// TestImportAPIServerLog checks that a log of kube-apiserver which is named is known by
// what is in it, also one that grew since, and that those of other programs in a directory
// are not taken.
func TestImportAPIServerLog(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "stderr.log")
	put(t, log, hello+lostMessage(0, 4, 0)+hello+lostMessage(5, 6, 2)+hello)
	m := collecttest.New()
	if r := load(t, m, log); r.Events != 7 || r.Faults != 1 {
		t.Fatalf("%+v", r)
	}
	add(t, log, lostMessage(7, 8, 0))
	if r := load(t, m, log); r.Events != 2 || r.Faults != 0 {
		t.Fatalf("%+v", r)
	}
	if r := load(t, m, log); r.Events != 0 {
		t.Fatalf("%+v", r)
	}
	if len(m.Aside) != 1 || m.Aside[0].Lost == nil || m.Aside[0].Lost.Events != 2 {
		t.Errorf("set aside: %+v", m.Aside)
	}

	put(t, filepath.Join(dir, "kube-apiserver-cp-1.log"), hello)
	put(t, filepath.Join(dir, "kube-scheduler-cp-1.log"), hello)
	set, err := Find(t.Context(), FindConfig{Paths: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Files) != 2 || filepath.Base(set.Files[0].Name) != "kube-apiserver-cp-1.log" || set.Files[1].Name != log {
		t.Errorf("found %+v", set.Files)
	}

	// A stream can be looked at only once.
	m = collecttest.New()
	r, err := Import(t.Context(), m, nil, ImportConfig{Cluster: "c", Files: []File{Stream("-", strings.NewReader(hello+lostMessage(0, 4, 0)))}})
	if err != nil || r.Events != 5 || r.Faults != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	wantLost(t, m, 5)
}

// TestFollowPattern follows what a pattern means: the directory of a static pod has
// another name after its manifest was changed.
func TestFollowPattern(t *testing.T) {
	dir := t.TempDir()
	at := &clock{time.Now()}
	m := collecttest.New()
	logs := NewLogs(LogsConfig{Sources: m.Sources, Format: func(string) *Format { return APIServerLog() }, Now: at.now})
	defer logs.Close()
	logs.Set([]Log{{Path: filepath.Join(dir, "kube-apiserver-*", "kube-apiserver"), Cluster: "c"}})
	first := 0
	for i, pod := range []string{"a", "b", "c"} {
		sub := filepath.Join(dir, "kube-apiserver-"+pod, "kube-apiserver")
		if err := os.MkdirAll(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		add(t, filepath.Join(sub, "0.log"), asCRI("I1120 15:31:40.679794       1 server.go:150] this is "+pod+"\n"+lostMessage(first, first+4, 0)))
		first += 5
		at.at = at.at.Add(globEvery)
		logs.Turn()
		for _, f := range logs.Feeds() {
			if _, err := f.Pull(t.Context(), m, 0); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(logs.Feeds()); n != 1+min(i, 1) {
			t.Errorf("%d logs are followed", n)
		}
		if err := m.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, f := range logs.Feeds() {
			f.Committed()
		}
		wantLost(t, m, first)
		if i > 0 { // one before is removed
			os.RemoveAll(filepath.Join(dir, "kube-apiserver-"+string(rune('a'+i-1))))
		}
		at.at = at.at.Add(globEvery + drainLimit)
		for range 3 {
			logs.Turn()
			for _, f := range logs.Feeds() {
				f.Pull(t.Context(), m, 0)
				f.Committed()
			}
			at.at = at.at.Add(globEvery + drainLimit)
		}
	}
	if n := len(logs.Feeds()); n != 1 {
		t.Errorf("%d logs are followed at the end", n)
	}
}

func TestKubeletNames(t *testing.T) {
	for name, want := range map[string]turn{
		"0.log":                    {kind: current},
		"0.log.20261121-101112":    {kind: dated, date: "20261121-101112"},
		"0.log.20261121-101112.gz": {kind: dated, date: "20261121-101112"},
	} {
		if set, got := rotationNames().place(name); set != "0.log" || got != want {
			t.Errorf("%s: %s, %+v", name, set, got)
		}
	}
}

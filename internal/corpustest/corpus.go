// Package corpustest gives tests the logs of a real kube-apiserver, and its answers
// about policies, that lie beside the repository in ../shared. A clone alone does not
// have them: a test that asks for one is then skipped.
package corpustest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Names are all the corpora.
func Names() []string {
	return []string{"a-gce-derived", "d-metadata-all", "rotation-keepall", "rotation-maxbackup3", "legacy",
		"webhook-batch", "webhook-retry", "truncate-10k", "lost-events", "kill9-blocking", "diskfull-blocking"}
}

// Member is one file of a corpus.
type Member struct {
	Name string // path in the archive
	Data []byte
}

// Path returns where a corpus's archive lies. The test is skipped where it does not.
func Path(tb testing.TB, name string) string {
	tb.Helper()
	return find(tb, "corpus/"+name+".tar.zst")
}

// Shared reads a file of ../shared, such as "policy/cases.jsonl.zst", unpacked where
// its name ends in .zst. The test is skipped where it does not exist.
func Shared(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(find(tb, name))
	if err != nil {
		tb.Fatal(err)
	}
	if !strings.HasSuffix(name, ".zst") {
		return data
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	if data, err = z.DecodeAll(data, nil); err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return data
}

// find returns where a file of ../shared lies, and skips the test where it does not.
func find(tb testing.TB, name string) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	// The root of the module has the files beside it; the modules in test/ do not.
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
			continue
		}
		file := filepath.Join(filepath.Dir(dir), "shared", filepath.FromSlash(name))
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	tb.Skipf("no ../shared/%s beside the repository", name)
	return ""
}

// Members reads the files of a corpus whose base name matches pattern.
func Members(tb testing.TB, name, pattern string) []Member {
	tb.Helper()
	f, err := os.Open(Path(tb, name))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	var members []Member
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			tb.Fatal(err)
		}
		if ok, _ := path.Match(pattern, path.Base(h.Name)); !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			tb.Fatal(err)
		}
		members = append(members, Member{h.Name, data})
	}
	if len(members) == 0 {
		tb.Fatalf("no file %s in %s", pattern, name)
	}
	return members
}

// Events returns the events of a log or of a webhook body, each as it was written,
// leaving out a last line without its newline.
func (m Member) Events(tb testing.TB) (events [][]byte) {
	tb.Helper()
	if strings.HasSuffix(m.Name, ".json") {
		var list struct{ Items []json.RawMessage }
		if err := json.Unmarshal(m.Data, &list); err != nil {
			tb.Fatalf("%s: %v", m.Name, err)
		}
		for _, item := range list.Items {
			events = append(events, item)
		}
		return events
	}
	for line := range bytes.Lines(m.Data) {
		if line, ok := bytes.CutSuffix(line, []byte("\n")); ok {
			events = append(events, line)
		}
	}
	return events
}

// Events returns the events of all logs and webhook bodies of a corpus.
func Events(tb testing.TB, name string) (events [][]byte) {
	tb.Helper()
	pattern := "audit*.log"
	if strings.HasPrefix(name, "webhook-") {
		pattern = "*.json"
	}
	for _, m := range Members(tb, name, pattern) {
		events = append(events, m.Events(tb)...)
	}
	return events
}

package audit

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// corpusDir holds the logs of a real kube-apiserver, beside the repository.
const corpusDir = "../../shared/corpus"

// member is one file of a corpus.
type member struct {
	name string
	data []byte
}

// corpus reads the files of a corpus whose base name matches pattern. The test is
// skipped where the corpora are absent.
func corpus(tb testing.TB, name, pattern string) []member {
	tb.Helper()
	f, err := os.Open(filepath.Join(corpusDir, name+".tar.zst"))
	if errors.Is(err, os.ErrNotExist) {
		tb.Skipf("no ../shared/corpus/%s.tar.zst beside the repository", name)
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	var members []member
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
		members = append(members, member{h.Name, data})
	}
	if len(members) == 0 {
		tb.Fatalf("no file %s in %s", pattern, name)
	}
	return members
}

// events yields every event of the corpora's logs ("audit*.log") and webhook bodies
// ("*.json") in a member, and what is left over where a log ends inside a line.
func (m member) events(tb testing.TB) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if strings.HasSuffix(m.name, ".json") {
			var list struct{ Items []json.RawMessage }
			if err := json.Unmarshal(m.data, &list); err != nil {
				tb.Fatalf("%s: %v", m.name, err)
			}
			for _, item := range list.Items {
				if !yield(item) {
					return
				}
			}
			return
		}
		for line := range bytes.Lines(m.data) {
			if line, ok := bytes.CutSuffix(line, []byte("\n")); ok && !yield(line) {
				return
			}
		}
	}
}

// lines reads all events of a corpus's logs, and how many bytes they are.
func lines(tb testing.TB, name string) (lines [][]byte, size int) {
	tb.Helper()
	for _, m := range corpus(tb, name, "audit*.log") {
		for line := range m.events(tb) {
			lines = append(lines, line)
			size += len(line) + 1
		}
	}
	return lines, size
}

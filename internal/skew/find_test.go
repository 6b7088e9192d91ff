package skew_test

import (
	"errors"
	"hash/fnv"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/sample"
	"kubetrail/internal/skew"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// sampleTrail keeps the bundled log as if two servers had written it, one with a clock
// three minutes ahead, and a third in another cluster. Of cp-2 some events went on to a
// node, and some are repeats.
func sampleTrail(t *testing.T) trail.Reader {
	t.Helper()
	dir := t.TempDir()
	w, err := disk.OpenWriter(disk.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(sample.Log())
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	r := audit.NewReader(z, audit.ReaderConfig{Source: "log", Cluster: "prod"})
	e := &audit.Event{}
	for n := 0; ; n++ {
		if err := r.Next(e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		h := fnv.New32()
		h.Write(e.Text[audit.AuditID])
		e.Text[audit.Server], e.Text[audit.Destination], e.Text[audit.Marks] = []byte("cp-1"), nil, nil
		if h.Sum32()%2 == 1 {
			e.Text[audit.Server] = []byte("cp-2")
			e.Received += 180_000_000
			e.Staged += 180_000_000
			if n%2 == 0 {
				e.Text[audit.Destination] = []byte(`["node/n1"]`)
			} else {
				e.Text[audit.Marks] = []byte(`["repeat"]`)
			}
		}
		w.Append(e)
		if n%100 == 0 {
			e.Text[audit.Cluster], e.Text[audit.Server] = []byte(`an "odd\one`), nil
			w.Append(e)
		}
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestFind(t *testing.T) {
	r := sampleTrail(t)
	list, err := skew.Find(t.Context(), r, trail.Always(nil))
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	odd, one, two := list[0], list[1], list[2]
	if odd.Cluster != `an "odd\one` || odd.Server != "" || odd.Events != 25 || odd.Clock.State != skew.Reference || len(odd.Sources) != 1 {
		t.Errorf("%+v", odd)
	}
	if one.Server != "cp-1" || one.Events+two.Events != 2500 || one.Passed != 0 || one.Repeats != 0 || one.Clock.State != skew.Reference ||
		one.First == "" || one.First >= one.Last || one.Sources[0] != "log" {
		t.Errorf("%+v", one)
	}
	c := two.Clock
	if two.Server != "cp-2" || two.Passed == 0 || two.Passed+two.Repeats != two.Events || c.State != skew.Estimated || c.Unsteady ||
		c.Within > 1 || c.Ahead-c.Within > 180 || c.Ahead+c.Within < 180 {
		t.Errorf("%+v", two)
	}
	where, err := query.Parse("server:cp-1")
	if err != nil {
		t.Fatal(err)
	}
	if list, err = skew.Find(t.Context(), r, trail.Always(where)); err != nil || len(list) != 1 || list[0].Events != one.Events || list[0].First != one.First {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err = skew.Find(t.Context(), r, trail.Query{Since: 0, Until: 1}); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

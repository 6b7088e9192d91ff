package rawjson_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"kubetrail/internal/corpustest"
	"kubetrail/internal/rawjson"
)

// bodies returns the bodies of real events, about size bytes in all, of which none is
// larger than most.
func bodies(tb testing.TB, size, most int) [][]byte {
	var all [][]byte
	for _, line := range corpustest.Events(tb, "a-gce-derived") {
		var e struct{ RequestObject, ResponseObject json.RawMessage }
		if err := json.Unmarshal(line, &e); err != nil {
			tb.Fatal(err)
		}
		for _, body := range [][]byte{e.RequestObject, e.ResponseObject} {
			if len(body) > 0 && len(body) <= most && size > 0 {
				all = append(all, body)
				size -= len(body)
			}
		}
	}
	if len(all) == 0 {
		tb.Fatal("no bodies")
	}
	return all
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []struct {
		name string
		most int
	}{{"small", 8 << 10}, {"all", 8 << 20}} {
		all := bodies(b, 4<<20, size.most)
		total := 0
		for _, body := range all {
			total += len(body)
		}
		for name, f := range map[string]func(dst, raw []byte) ([]byte, error){"append": rawjson.Append, "omit": rawjson.OmitManagedFields} {
			b.Run(size.name+"/"+name, func(b *testing.B) {
				dst := make([]byte, 0, 16<<20)
				b.SetBytes(int64(total))
				b.ReportAllocs()
				for b.Loop() {
					for _, body := range all {
						if _, err := f(dst[:0], body); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(all)), "ns/body")
			})
		}
	}
}

// TestRealBodies compares with encoding/json and with the twin on what a real
// kube-apiserver recorded, as it is and spread over lines.
func TestRealBodies(t *testing.T) {
	for _, body := range bodies(t, 4<<20, 1<<20) {
		check(t, body)
		checkOmit(t, body)
		var spread bytes.Buffer
		if err := json.Indent(&spread, body, "", "  "); err != nil {
			t.Fatal(err)
		}
		check(t, spread.Bytes())
	}
}

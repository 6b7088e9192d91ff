package audit

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// readerSeeds are one of everything the reader knows.
func readerSeeds(f *testing.F) {
	for _, s := range []string{
		sample(1) + "\n" + sample(2),
		`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + sampleItem(1) + "," + sampleItem(2) + "]}\n",
		"[" + sample(1) + ",\n" + sampleItem(2) + "]\n",
		sampleLegacy(1) + "\n" + sampleLegacy(2)[:99] + sampleLegacy(3),
		sample(1)[:half] + sample(2) + "\n\x00\x00" + sample(3) + "rubbish\n",
		"host-1 " + sample(1) + "\r\n" + bom + sample(2) + "\n",
		prettyLines(1, 2) + "{\n  \"level\": \"Metadata\",\n  \"user\": [\n" + prettyLines(3, 3),
		cloudWatch(sample(1)) + "\n" + azure(sample(2)) + "\n" + gke + "\n" + sls(f, sample(3)) + "\n" + sls(f, sample(4)),
		`{"records":[` + azure(sample(1)) + `,` + azure(sample(2)) + `],"nextToken":"x"}`,
		"0\n" + bom + ",0",
		"]}\n,}\n{\"a\":[\n{\"a\":[\n[[{\"kind\":\"EventList\",\"items\":null}",
	} {
		f.Add([]byte(s))
	}
}

// FuzzReader feeds the reader anything. It must not panic; every byte must be in an
// event, in a fault, or be white space or syntax; and reading again from any place
// where it stopped must give the rest.
func FuzzReader(f *testing.F) {
	readerSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		got := checkResume(t, data, 1)
		if got.err != nil {
			t.Fatal(got.err)
		}
		checkCovered(t, data, got)
	})
}

// checkCovered fails where a byte of data is lost, or returned twice.
func checkCovered(t *testing.T, data []byte, got reading) {
	t.Helper()
	spans := got.spans
	for i, span := range spans {
		if string(data[span[0]:span[1]]) != got.raws[i] {
			t.Fatalf("event %d is not the bytes at %d", i, span[0])
		}
	}
	at := int64(0)
	faults := got.faults
	for len(spans) > 0 || len(faults) > 0 {
		var next [2]int64
		if len(faults) == 0 || len(spans) > 0 && spans[0][0] < faults[0].Offset {
			next, spans = spans[0], spans[1:]
		} else {
			next, faults = [2]int64{faults[0].Offset, faults[0].Offset + faults[0].Length}, faults[1:]
		}
		if next[0] < at || next[1] < next[0] {
			t.Fatalf("%v overlaps what was returned up to %d", next, at)
		}
		checkSyntax(t, data[at:next[0]])
		at = next[1]
	}
	checkSyntax(t, data[at:])
}

// checkSyntax fails if what stands between events is more than syntax.
func checkSyntax(t *testing.T, between []byte) {
	t.Helper()
	between = bytes.ReplaceAll(between, []byte(bom), nil)
	if rest := bytes.Trim(between, " \t\r\n,[]{}"); len(rest) > 0 && rest[0] != '"' {
		t.Fatalf("%q is in no event and no fault", between)
	}
}

// FuzzUnpack feeds Unpack anything. It must not panic, and what it gives to visit
// must be readable.
func FuzzUnpack(f *testing.F) {
	for _, s := range []string{
		gzipped(sample(1)), zstded(sample(1)), tarred(sample(1), gzipped(sample(2))),
		gzipped(tarred(sample(1), zstded(sample(2)))), gzipped(sample(1))[:200], sample(1),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		Unpack(bytes.NewReader(data), "x", func(member string, plain io.Reader) error {
			if !strings.HasPrefix(member, "x") {
				t.Errorf("member %q", member)
			}
			got := read(NewReader(io.LimitReader(plain, 1<<20), ReaderConfig{}), nil)
			return got.err
		})
	})
}

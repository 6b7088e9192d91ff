package audit

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

var update = flag.Bool("update", false, "write the table of docs/reference/bad-input.md")

// hostile is one row of the scoreboard: events 1 to around stand before the fault
// and around+1 to 2*around after it, where there is an after.
type hostile struct {
	input  string              // what is wrong, for the documentation
	answer string              // what is done about it, likewise
	stream func() io.Reader    // the file
	events int                 // how many there are to be found
	fault  string              // what the one fault's reason must contain, "" for no fault
	span   func() (o, l int64) // where the fault is; nil if there is none
}

const around = 50

var (
	before  = streamOf(1, around, sample, "", "\n")
	after   = streamOf(around+1, 2*around, sample, "", "\n")
	bothEnd = int64(len(before))
)

// between is a file with events before and after what.
func between(what string) func() io.Reader {
	return func() io.Reader { return strings.NewReader(before + what + after) }
}

// spanning is the place of a fault of n bytes right after the events before.
func spanning(n int) func() (int64, int64) {
	return func() (int64, int64) { return bothEnd, int64(n) }
}

// with returns sample n with old replaced by new.
func with(n int, old, new string) string {
	s := strings.Replace(sample(n), old, new, 1)
	if s == sample(n) {
		panic("no " + old + " in the sample")
	}
	return s
}

// forged is an event whose body holds two objects that look like events.
var forged = with(0, `{"a":"x \"y\" {z}"}`, `{"a":[`+sample(998)+`,`+sample(999)+`]}`)

// filler is a reader of one byte without end.
type filler byte

func (c filler) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}

func zstded(s string) string {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	defer z.Close()
	return string(z.EncodeAll([]byte(s), nil))
}

func tarred(members ...string) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, m := range members {
		w.WriteHeader(&tar.Header{Name: fmt.Sprintf("logs/audit-%d.log", i), Mode: 0o600, Size: int64(len(m))})
		io.WriteString(w, m)
	}
	w.Close()
	return b.String()
}

const (
	half   = 300      // of a line
	hole   = 64 << 20 // NUL bytes
	tooBig = 64 << 20 // of a line
)

// items is an EventList with events around what.
func items(what string) string {
	return `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` +
		strings.TrimSuffix(streamOf(1, around, sampleItem, "", ","), ",") + what +
		streamOf(around+1, 2*around, sampleItem, ",", "") + "]}\n"
}

// inItems is the place of what among these.
func inItems(n int) func() (int64, int64) {
	return func() (int64, int64) { return int64(strings.Index(items("\x00"), "\x00")), int64(n) }
}

func prettyLines(first, last int) string {
	return streamOf(first, last, func(n int) string { return strings.ReplaceAll(sample(n), `,"`, ",\n  \"") }, "", "\n")
}

// The scoreboard. Its rows are those of docs/reference/bad-input.md.
var scoreboard = []hostile{
	{"A corrupt line", "set aside",
		between(with(0, `"verb":"create"`, `"verb":"cre`+"\x01"+`te"`) + "\n"), 2 * around,
		"control character", spanning(len(sample(0)))},
	{"A half line at the end", "set aside; in a log that is being written, left until it is whole",
		func() io.Reader { return strings.NewReader(before + after + sample(0)[:half]) }, 2 * around,
		"ends inside the event", func() (int64, int64) { return int64(len(before + after)), half }},
	{"A half line in the middle, with its newline", "set aside",
		between(sample(0)[:half] + "\n"), 2 * around,
		"ends inside the event", spanning(half)},
	{"A half line glued to the next event", "the half is set aside, the event is kept",
		between(sample(0)[:half]), 2 * around,
		"", spanning(half)},
	{"A half line of the legacy format glued to the next", "the half is set aside, the event is kept",
		func() io.Reader {
			return strings.NewReader(streamOf(1, around, sampleLegacy, "", "\n") + sampleLegacy(0)[:half/2] +
				streamOf(around+1, 2*around, sampleLegacy, "", "\n"))
		}, 2 * around,
		"", func() (int64, int64) { return int64(around * (len(sampleLegacy(0)) + 1)), half / 2 }},
	{"The second half of a line, at the beginning", "set aside",
		func() io.Reader { return strings.NewReader(sample(0)[half:] + "\n" + before + after) }, 2 * around,
		"without an audit event", func() (int64, int64) { return 0, int64(len(sample(0)) - half) }},
	{"An event of 3 MB", "kept",
		func() io.Reader {
			big := strings.Replace(sample(around+1), `{z}`, strings.Repeat("z", 3<<20), 1)
			return strings.NewReader(before + big + "\n" + streamOf(around+2, 2*around, sample, "", "\n"))
		}, 2 * around, "", nil},
	{"A line of 64 MB", "refused: passed over without being held in memory",
		func() io.Reader {
			head, tail, _ := strings.Cut(sample(0), `{z}`)
			return io.MultiReader(strings.NewReader(before+head), io.LimitReader(filler('z'), tooBig), strings.NewReader(tail+"\n"+after))
		}, 2 * around,
		"longer than 33554432 bytes", spanning(len(sample(0)) - len(`{z}`) + tooBig)},
	{"NUL bytes", "set aside",
		between("\x00\x00\x00\x00\n"), 2 * around, "NUL", spanning(4)},
	{"A sparse hole of 64 MiB (any size), as an external copytruncate leaves", "one fault, in constant memory",
		func() io.Reader {
			return io.MultiReader(strings.NewReader(before), io.LimitReader(filler(0), hole), strings.NewReader(after))
		}, 2 * around, "NUL", spanning(hole)},
	{"A byte order mark", "passed over",
		func() io.Reader { return strings.NewReader(bom + before + bom + after) }, 2 * around, "", nil},
	{"CRLF line ends", "passed over; the carriage return is not part of the event",
		func() io.Reader { return strings.NewReader(strings.ReplaceAll(before+after, "\n", "\r\n")) }, 2 * around, "", nil},
	{"Two or more events on one line", "kept",
		func() io.Reader { return strings.NewReader(strings.ReplaceAll(before+after, "\n", "")) }, 2 * around, "", nil},
	{"An event and rubbish on one line", "the event is kept, the rubbish set aside",
		func() io.Reader { return strings.NewReader(strings.TrimSuffix(before, "\n") + "rubbish\n" + after) }, 2 * around,
		"without an audit event", func() (int64, int64) { return bothEnd - 1, 7 }},
	{"Invalid UTF-8", "kept, byte for byte",
		between(with(0, "alice", "al\xffice\xc3") + "\n"), 2*around + 1, "", nil},
	{"Duplicate keys", "kept, byte for byte; the last one counts",
		between(with(0, `"verb":`, `"verb":"get","verb":`) + "\n"), 2*around + 1, "", nil},
	{"Numbers of 400 digits", "kept, byte for byte",
		between(with(0, `"data":{`, `"n":`+strings.Repeat("9", 400)+`,"data":{`) + "\n"), 2*around + 1, "", nil},
	{"Nesting 9,990 deep", "kept",
		between(with(0, `"data":{`, `"n":`+strings.Repeat("[", 9990)+strings.Repeat("]", 9990)+`,"data":{`) + "\n"), 2*around + 1, "", nil},
	{"Nesting 100,000 deep", "refused, as encoding/json does",
		between(with(0, `"data":{`, `"n":`+strings.Repeat("[", 1e5)+strings.Repeat("]", 1e5)+`,"data":{`) + "\n"), 2 * around,
		"nested", spanning(len(sample(0)) + 2e5 + len(`"n":,`))},
	{"Nesting 100,000 deep and never closed", "refused",
		between(strings.Repeat(`{"a":`, 1e5) + "\n"), 2 * around, "nested", spanning(5e5)},
	{"Empty lines", "passed over",
		between("\n\n \t\r\n\n"), 2 * around, "", nil},
	{"An empty file", "no events, no fault", func() io.Reader { return strings.NewReader("") }, 0, "", nil},
	{"gzip cut short", "all before the cut is kept",
		func() io.Reader { s := gzipped(before); return strings.NewReader(s[:len(s)-4]) }, around,
		"damaged gzip: unexpected EOF", spanning(0)},
	{"gzip with a bad checksum", "all is kept",
		func() io.Reader {
			s := []byte(gzipped(before))
			s[len(s)-5] ^= 1
			return bytes.NewReader(s)
		}, around, "damaged gzip: gzip: invalid checksum", spanning(0)},
	{"gzip of several members, as logs that were compressed and appended", "kept",
		func() io.Reader { return strings.NewReader(gzipped(before) + gzipped(after)) }, 2 * around, "", nil},
	{"zstd with a bad checksum", "all is kept",
		func() io.Reader {
			s := []byte(zstded(before))
			s[len(s)-1] ^= 1
			return bytes.NewReader(s)
		}, around, "damaged zstd: CRC check failed", spanning(0)},
	{"zstd cut short", "all blocks before the cut are kept",
		func() io.Reader {
			s := zstded(before) + zstded(after)
			return strings.NewReader(s[:len(s)-4])
		}, 2 * around, "damaged zstd", func() (int64, int64) { return int64(len(before + after)), 0 }},
	{"tar cut short inside a file", "all before the cut is kept",
		func() io.Reader { s := tarred(before); return strings.NewReader(s[:512+len(before)-20]) }, around - 1,
		"damaged tar", func() (int64, int64) {
			return bothEnd - int64(len(sample(around))) - 1, int64(len(sample(around))) - 19
		}},
	{"An item of an EventList that is corrupt", "set aside",
		func() io.Reader { return strings.NewReader(items(",{\"level\":\x01}")) }, 2 * around,
		"", func() (int64, int64) { o, _ := inItems(0)(); return o + 1, 12 }},
	{"Items of an EventList that are no objects", "set aside",
		func() io.Reader { return strings.NewReader(items(`,null,17,"x"`)) }, 2 * around,
		"without an audit event", func() (int64, int64) { o, _ := inItems(0)(); return o + 1, 12 }},
	{"An EventList cut short", "the items before the cut are kept",
		func() io.Reader {
			s := items("")
			return strings.NewReader(s[:strings.Index(s, sampleItem(around+1))+half])
		}, around,
		"ends inside the event", func() (int64, int64) { return int64(strings.Index(items(""), sampleItem(around+1))), half }},
	{"A pretty-printed object cut short", "set aside",
		func() io.Reader {
			return strings.NewReader(prettyLines(1, around) + "{\n  \"level\": \"Metadata\",\n  \"user\": [\n" + prettyLines(around+1, 2*around))
		}, 2 * around, "", func() (int64, int64) { return int64(len(prettyLines(1, around))), 36 }},
	{"What looks like an event inside the body of a half line", "set aside with it: nobody can forge an event by writing it into an object",
		between(forged[:len(forged)-half] + "\n"), 2 * around,
		"ends inside the event", spanning(len(forged) - half)},
	{"The same in the second half of a line, at the beginning", "likewise",
		func() io.Reader { return strings.NewReader(forged[half:] + "\n" + before + after) }, 2 * around,
		"without an audit event", func() (int64, int64) { return 0, int64(len(forged) - half) }},
	{"The same in a corrupt line", "likewise",
		between(strings.Replace(forged, `"verb"`, `"ve`+"\x01"+`rb"`, 2) + "\n"), 2 * around,
		"control character", spanning(len(forged) + 2)},
	{"A text that is no audit log", "set aside, 64 KiB at a time",
		between(strings.Repeat("I1120 15:34:42.367674   14981 flags.go:64] FLAG: --admission-control=\"[]\"\n", 100)), 2 * around,
		"100 lines without an audit event", spanning(7399)},
	{"JSON lines of another program", "set aside, 64 KiB at a time",
		between(strings.Repeat(`{"level":"info","ts":1763653.1,"msg":"synced"}`+"\n", 100)), 2 * around,
		"100 lines without an audit event", spanning(4699)},
}

// found is what was read of a hostile file.
func (h *hostile) read(t *testing.T) (got reading) {
	t.Helper()
	err := Unpack(h.stream(), "audit.log", func(_ string, plain io.Reader) error {
		got = read(NewReader(plain, ReaderConfig{}), nil)
		return got.err
	})
	var damage *Damage
	if err != nil && !errors.As(err, &damage) {
		t.Errorf("error %v", err)
	}
	return got
}

func TestHostile(t *testing.T) {
	for _, h := range scoreboard {
		t.Run(h.input, func(t *testing.T) {
			got := h.read(t)
			if len(got.ids) != h.events {
				t.Errorf("%d events, want %d", len(got.ids), h.events)
			}
			for _, id := range got.ids {
				if id == sampleID(998) || id == sampleID(999) {
					t.Error("a forged event")
				}
			}
			if h.fault == "" && h.span == nil {
				if len(got.faults) > 0 {
					t.Errorf("faults %v", got.faults)
				}
				return
			}
			if len(got.faults) == 0 {
				t.Fatal("no fault")
			}
			f := got.faults[0]
			if !strings.Contains(f.Reason, h.fault) {
				t.Errorf("reason %q, want %q", f.Reason, h.fault)
			}
			if o, l := h.span(); f.Offset != o || f.Length != l {
				t.Errorf("%d bytes at %d (%s), want %d at %d; %d faults", f.Length, f.Offset, f.Reason, l, o, len(got.faults))
			}
		})
	}
}

// badInputDoc holds the scoreboard between the lines that begin and end it.
const (
	badInputDoc = "../docs/reference/bad-input.md"
	tableBegins = "<!-- scoreboard: written by go test ./audit -run TestBadInputDoc -update -->\n"
	tableEnds   = "<!-- end of scoreboard -->\n"
)

// table is the scoreboard with what was really read, as Markdown.
func table(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| input | what happens | events | fault reported |\n|---|---|---|---|\n")
	for _, h := range scoreboard {
		got := h.read(t)
		fault := "none"
		if len(got.faults) > 0 {
			f := got.faults[0]
			fault = fmt.Sprintf("%d bytes at %d: %s", f.Length, f.Offset, f.Reason)
		}
		fmt.Fprintf(&b, "| %s | %s | %d of %d | %s |\n", h.input, h.answer, len(got.ids), h.events, fault)
	}
	return b.String()
}

// The documentation shows what the reader does today.
func TestBadInputDoc(t *testing.T) {
	path := filepath.FromSlash(badInputDoc)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(text), tableBegins)
	old, tail, ok2 := strings.Cut(rest, tableEnds)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no scoreboard", badInputDoc)
	}
	now := table(t)
	if old == now {
		return
	}
	if !*update {
		t.Fatalf("%s differs from what the reader does; run with -update and look at the difference", badInputDoc)
	}
	if err := os.WriteFile(path, []byte(head+tableBegins+now+tableEnds+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

package parquet

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// table is one file's worth of columns.
type table struct {
	rows    int
	codes   []uint32
	dict    [][]byte
	delta   []int64
	split   []int64
	split32 []int64
	fixed   []byte
	long    [][]byte
	perPage int
}

func randomTable(r *rand.Rand, rows, distinct int) table {
	t := table{rows: rows, perPage: 1 + r.IntN(1+rows/2)}
	distinct = min(distinct, max(rows, 1))
	for i := range distinct {
		t.dict = append(t.dict, fmt.Appendf(nil, "value-%d", i*i))
	}
	t.dict[0] = nil
	now := int64(1_763_650_000_000_000)
	for i := range rows {
		t.codes = append(t.codes, uint32(r.IntN(distinct)))
		now += int64(r.IntN(1_000_000)) - 1000
		t.delta = append(t.delta, now)
		t.split = append(t.split, r.Int64N(1<<r.IntN(60)))
		t.split32 = append(t.split32, int64(int32(r.Uint32())))
		t.fixed = append(t.fixed, fmt.Appendf(nil, "%016x", r.Uint64())...)
		t.long = append(t.long, bytes.Repeat([]byte{'a' + byte(i%26)}, r.IntN(50)))
	}
	if rows > 3 {
		t.delta[1], t.delta[2] = math.MinInt64, math.MaxInt64
	}
	return t
}

func (t table) write(tb testing.TB) []byte {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false))
	if err != nil {
		tb.Fatal(err)
	}
	var out bytes.Buffer
	w := NewWriter(enc, enc)
	w.Reset(&out)
	w.BeginLong(Column{Name: "long", Type: Bytes, Logical: Text})
	for i := 0; i == 0 || i < t.rows; i += t.perPage {
		var lengths []int64
		var data []byte
		for _, v := range t.long[i:min(i+t.perPage, t.rows)] {
			lengths = append(lengths, int64(len(v)))
			data = append(data, v...)
		}
		w.LongPage(lengths, data)
	}
	w.Dictionary(Column{Name: "dict", Type: Bytes, Logical: Text}, t.dict, t.codes)
	var hashes []uint64
	for _, v := range t.dict {
		hashes = append(hashes, Hash(v))
	}
	w.Bloom(hashes, 10)
	w.Delta(Column{Name: "delta", Type: Int64, Logical: Timestamp}, t.delta)
	w.Split(Column{Name: "split", Type: Int64}, t.split)
	w.Split(Column{Name: "split32", Type: Int32}, t.split32)
	w.FixedBytes(Column{Name: "fixed", Type: Fixed, Length: 16, Logical: UUID}, t.fixed)
	if err := w.Close(int64(t.rows), [][2]string{{"k", "v"}, {"empty", ""}}); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// read reads every column of a file and reports the first error.
func read(tb testing.TB, file []byte) (got table, f *File, err error) {
	r := bytes.NewReader(file)
	if f, err = ReadFile(r, int64(len(file))); err != nil {
		return
	}
	d, err := NewDecoder()
	if err != nil {
		tb.Fatal(err)
	}
	defer d.Close()
	got.rows = int(f.Rows)
	if got.rows > 1<<20 { // only a damaged footer says so
		return got, f, damaged("rows")
	}
	for i := range f.Chunks {
		if err = got.column(d, r, &f.Chunks[i]); err != nil {
			return
		}
	}
	return
}

func (t *table) column(d *Decoder, r *bytes.Reader, c *Chunk) (err error) {
	switch c.Name {
	case "dict":
		var v Codes
		if err = d.Dictionary(r, c, t.rows, &v); err != nil {
			return err
		}
		for i := range v.Dict.Len() {
			t.dict = append(t.dict, bytes.Clone(v.Dict.Value(uint32(i))))
			ok, err := d.MayHold(r, c, Hash(v.Dict.Value(uint32(i))))
			if err != nil || !ok {
				return damaged("filter: %v %v", ok, err)
			}
		}
		for i := range t.rows {
			t.codes = append(t.codes, v.At(i))
		}
	case "delta":
		t.delta = make([]int64, t.rows)
		err = d.Int64s(r, c, t.delta)
	case "split":
		t.split = make([]int64, t.rows)
		err = d.Int64s(r, c, t.split)
	case "split32":
		t.split32 = make([]int64, t.rows)
		err = d.Int64s(r, c, t.split32)
	case "fixed":
		t.fixed, err = d.FixedBytes(r, c, t.rows, nil)
	case "long":
		places, err := d.Places(r, c, t.rows)
		if err != nil {
			return err
		}
		var v Long
		for _, p := range places {
			if err := d.LongPage(r, c, p, &v); err != nil {
				return err
			}
			for i := range p.Rows {
				t.long = append(t.long, bytes.Clone(v.Value(i)))
			}
		}
	}
	return err
}

func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, rows := range []int{0, 1, 2, 7, 8, 9, 31, 32, 33, 127, 128, 129, 130, 1000, 70_000} {
		for _, distinct := range []int{1, 2, 256, 257, 65_536, 65_537} {
			want := randomTable(r, rows, distinct)
			got, f, err := read(t, want.write(t))
			if err != nil {
				t.Fatalf("%d rows, %d distinct: %v", rows, distinct, err)
			}
			if !slices.Equal(got.codes, want.codes) || !slices.Equal(got.delta, want.delta) ||
				!slices.Equal(got.split, want.split) || !slices.Equal(got.split32, want.split32) ||
				!bytes.Equal(got.fixed, want.fixed) || !slices.EqualFunc(got.long, want.long, bytes.Equal) ||
				!slices.EqualFunc(got.dict, want.dict, bytes.Equal) {
				t.Fatalf("%d rows, %d distinct: columns differ", rows, distinct)
			}
			if len(f.Meta) != 2 || f.Meta[0] != [2]string{"k", "v"} || f.Chunks[len(f.Chunks)-1].Name != "long" {
				t.Fatalf("footer: %v", f.Meta)
			}
		}
	}
}

// Every flipped byte of a page is noticed by its checksum; a flipped byte elsewhere
// must at least not crash the reader.
func TestDamage(t *testing.T) {
	want := randomTable(rand.New(rand.NewPCG(3, 4)), 300, 40)
	file := want.write(t)
	silent := 0
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 0x55
		if _, _, err := read(t, bad); err == nil {
			silent++
		}
	}
	// Names, statistics, the filter, metadata and sizes in headers carry no checksum.
	if silent > len(file)/4 {
		t.Errorf("%d of %d flipped bytes went unnoticed", silent, len(file))
	}
	for n := range file {
		if _, _, err := read(t, file[:n]); err == nil {
			t.Fatalf("a file cut at %d of %d was read", n, len(file))
		}
	}
}

func FuzzReadFile(f *testing.F) {
	f.Add(randomTable(rand.New(rand.NewPCG(5, 6)), 40, 9).write(f))
	f.Add(randomTable(rand.New(rand.NewPCG(5, 6)), 0, 1).write(f))
	f.Fuzz(func(t *testing.T, file []byte) { read(t, file) })
}

func TestBloomFindsFew(t *testing.T) {
	var hashes []uint64
	for i := range 10_000 {
		hashes = append(hashes, Hash(fmt.Append(nil, i)))
	}
	filter := buildBloom(hashes, 8)
	wrong := 0
	for i := range 10_000 {
		h := Hash(fmt.Append(nil, "other", i))
		at := bloomIndex(h, len(filter)/bloomBlock)
		if bloomHas(filter[at:at+bloomBlock], h) {
			wrong++
		}
	}
	t.Logf("8 bits a value: %.1f %% false", float64(wrong)/100)
	if wrong > 500 {
		t.Errorf("%d of 10,000 absent values seem to be there", wrong)
	}
}

package disk

import (
	"encoding/binary"
	"fmt"

	"kubetrail/audit"
	"kubetrail/internal/parquet"
)

// view reads one part at a time: it loads a column when it is first asked for and
// keeps the memory for the next part. It belongs to one goroutine.
type view struct {
	dec     *parquet.Decoder
	p       *part
	loaded  [numColumns]bool
	codes   [numDictionary]parquet.Codes
	ids     []byte
	numbers [numColumns][]int64
	offsets []int64
	mixed   []int64 // times, where some are missing
	placed  bool    // offsets are known
	bodies  pages
	raw     pages

	stays   []byte          // of keepCodes
	counts  counter[uint32] // of Aggregate, by combination of codes
	keys    []uint32        // of Aggregate, one a row
	buckets counter[uint64] // of Histogram
	scratch audit.Event     // for asking a question about one value
	text    []byte          // of the values that are put together for one row
}

// pages is a column of long values, one page of it in memory.
type pages struct {
	places []parquet.Place
	at     int // index of the page in memory, -1: none
	long   parquet.Long
}

func newView() (*view, error) {
	dec, err := parquet.NewDecoder()
	return &view{dec: dec}, err
}

// open turns the view to another part.
func (v *view) open(p *part) {
	v.p = p
	v.loaded = [numColumns]bool{}
	v.placed = false
	v.bodies.places, v.bodies.at = nil, -1
	v.raw.places, v.raw.at = nil, -1
}

func (v *view) fail(err error) error { return fmt.Errorf("part %s: %w", v.p.name, err) }

// none is what a dictionary column that is not there reads as: every row empty.
var none parquet.Codes

// dict returns dictionary column i. One that is not there has a Dict of length 0.
func (v *view) dict(i int) (*parquet.Codes, error) {
	if v.p.chunk[i] == nil {
		return &none, nil
	}
	if !v.loaded[i] {
		if err := v.dec.Dictionary(v.p.file, v.p.chunk[i], v.p.rows, &v.codes[i]); err != nil {
			return nil, v.fail(err)
		}
		v.loaded[i] = true
	}
	return &v.codes[i], nil
}

// value returns the value of dictionary column i in a row.
func value(c *parquet.Codes, row int) []byte {
	if c.Dict.Len() == 0 {
		return nil
	}
	return c.Dict.Value(c.At(row))
}

// number returns number column i; one that is not there is all zeros.
func (v *view) number(i int) ([]int64, error) {
	if v.loaded[i] {
		return v.numbers[i], nil
	}
	n := v.numbers[i]
	if cap(n) < v.p.rows {
		n = make([]int64, v.p.rows)
	}
	n = n[:v.p.rows]
	if v.p.chunk[i] == nil {
		clear(n)
	} else if err := v.dec.Int64s(v.p.file, v.p.chunk[i], n); err != nil {
		return nil, v.fail(err)
	}
	v.numbers[i], v.loaded[i] = n, true
	return n, nil
}

// auditIDs returns the column of UUIDs.
func (v *view) auditIDs() ([]byte, error) {
	if !v.loaded[colID] {
		c := v.p.chunk[colID]
		if c == nil || c.Length != 16 {
			return nil, v.fail(parquet.ErrDamaged)
		}
		ids, err := v.dec.FixedBytes(v.p.file, c, v.p.rows, v.ids)
		if err != nil {
			return nil, v.fail(err)
		}
		v.ids, v.loaded[colID] = ids, true
	}
	return v.ids, nil
}

// lineOffsets works out the offset of every line in its source: lines of a source
// follow each other with the gaps that were noted.
func (v *view) lineOffsets() ([]int64, error) {
	if v.placed {
		return v.offsets, nil
	}
	order, err := v.arrival()
	if err != nil {
		return nil, err
	}
	gap, err := v.number(colGap)
	if err != nil {
		return nil, err
	}
	line, err := v.number(colLine)
	if err != nil {
		return nil, err
	}
	source, err := v.dict(int(audit.Source))
	if err != nil {
		return nil, err
	}
	cluster, err := v.dict(int(audit.Cluster))
	if err != nil {
		return nil, err
	}
	server, err := v.dict(int(audit.Server))
	if err != nil {
		return nil, err
	}
	if cap(v.offsets) < v.p.rows {
		v.offsets = make([]int64, v.p.rows)
	}
	v.offsets = v.offsets[:v.p.rows]
	if source.Dict.Len() <= 1 && cluster.Dict.Len() <= 1 && server.Dict.Len() <= 1 {
		var end int64
		for _, row := range order {
			v.offsets[row] = end + gap[row]
			end = v.offsets[row] + line[row]
		}
		v.placed = true
		return v.offsets, nil
	}
	ends := make(map[[3]uint32]int64)
	for _, row := range order {
		key := [3]uint32{source.At(int(row)), cluster.At(int(row)), server.At(int(row))}
		v.offsets[row] = ends[key] + gap[row]
		ends[key] = v.offsets[row] + line[row]
	}
	v.placed = true
	return v.offsets, nil
}

// arrival returns the rows in the order of their sequence numbers.
func (v *view) arrival() ([]int32, error) {
	seq, err := v.number(colSeq)
	if err != nil {
		return nil, err
	}
	// Faults take numbers too, so that there may be more numbers than rows.
	at := make([]int32, v.p.meta.Last-v.p.meta.First+1)
	for i := range at {
		at[i] = -1
	}
	for row, s := range seq {
		if s < 0 || s >= int64(len(at)) || at[s] >= 0 {
			return nil, v.fail(fmt.Errorf("%w: sequence number %d", parquet.ErrDamaged, s))
		}
		at[s] = int32(row)
	}
	order := at[:0]
	for _, row := range at {
		if row >= 0 {
			order = append(order, row)
		}
	}
	return order, nil
}

// long returns the value of column i, bodies or raw, in a row. It is valid until
// the next call for a row of another page.
func (v *view) long(i int, pg *pages, row int) ([]byte, error) {
	if v.p.chunk[i] == nil {
		return nil, nil
	}
	if pg.at < 0 || row < pg.places[pg.at].FirstRow || row >= pg.places[pg.at].FirstRow+pg.places[pg.at].Rows {
		if err := v.turn(i, pg, row); err != nil {
			return nil, err
		}
	}
	return pg.long.Value(row - pg.places[pg.at].FirstRow), nil
}

// turn reads the page that holds row.
func (v *view) turn(i int, pg *pages, row int) error {
	if pg.places == nil {
		places, err := v.dec.Places(v.p.file, v.p.chunk[i], v.p.rows)
		if err != nil {
			return v.fail(err)
		}
		pg.places = places
	}
	lo, hi := 0, len(pg.places)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; pg.places[mid].FirstRow <= row {
			lo = mid
		} else {
			hi = mid
		}
	}
	pg.at = -1
	if row >= pg.places[lo].FirstRow+pg.places[lo].Rows {
		return v.fail(fmt.Errorf("%w: no page for row %d", parquet.ErrDamaged, row))
	}
	if err := v.dec.LongPage(v.p.file, v.p.chunk[i], pg.places[lo], &pg.long); err != nil {
		return v.fail(err)
	}
	pg.at = lo
	return nil
}

// fill sets the columns cols of e from a row. Its bytes belong to the view and are
// valid until the next fill.
func (v *view) fill(e *audit.Event, row int, cols audit.Columns) error {
	if cols.Has(audit.Line) {
		cols = audit.AllColumns
	}
	v.text = v.text[:0]
	for i := range audit.NumText {
		if !cols.Has(audit.Column(i)) {
			continue
		}
		if err := v.fillText(e, row, audit.Column(i)); err != nil {
			return err
		}
	}
	if err := v.fillNumbers(e, row, cols); err != nil {
		return err
	}
	if cols.Has(audit.RequestObject) || cols.Has(audit.ResponseObject) {
		if err := v.fillBodies(e, row); err != nil {
			return err
		}
	}
	if cols.Has(audit.Line) {
		return v.fillLine(e, row)
	}
	return nil
}

func (v *view) fillText(e *audit.Event, row int, c audit.Column) error {
	codes, err := v.dict(int(c))
	if err != nil {
		return err
	}
	e.Text[c] = value(codes, row)
	from := len(v.text)
	switch c {
	case audit.AuditID:
		ids, err := v.auditIDs()
		if err != nil {
			return err
		}
		id := ids[16*row : 16*row+16]
		if len(e.Text[c]) == 0 && (binary.LittleEndian.Uint64(id)|binary.LittleEndian.Uint64(id[8:])) != 0 {
			v.text = appendUUID(v.text, id)
			e.Text[c] = v.text[from:]
		}
	case audit.RequestURI, audit.StatusDetails:
		name, err := v.dict(int(audit.Name))
		if err != nil {
			return err
		}
		v.text = unfold(v.text, c, e.Text[c], value(name, row))
		e.Text[c] = v.text[from:]
	}
	return nil
}

func (v *view) fillNumbers(e *audit.Event, row int, cols audit.Columns) error {
	if cols.Has(audit.Staged) || cols.Has(audit.Received) {
		if err := v.fillTimes(e, row, cols.Has(audit.Received)); err != nil {
			return err
		}
	}
	if cols.Has(audit.Code) {
		codes, err := v.dict(colCode)
		if err != nil {
			return err
		}
		e.Code = parseCode(value(codes, row))
	}
	if cols.Has(audit.Seq) {
		seq, err := v.number(colSeq)
		if err != nil {
			return err
		}
		e.Seq = v.p.meta.First + uint64(seq[row])
	}
	if cols.Has(audit.Offset) {
		offsets, err := v.lineOffsets()
		if err != nil {
			return err
		}
		line, err := v.number(colLine)
		if err != nil {
			return err
		}
		e.Offset, e.Length = offsets[row], int32(line[row])
	}
	return nil
}

// fillTimes sets Staged, and Received where that is asked for or stands in for it.
func (v *view) fillTimes(e *audit.Event, row int, received bool) error {
	staged, err := v.number(colStaged)
	if err != nil {
		return err
	}
	e.Staged, e.Received = staged[row], audit.NoTime
	if !received && v.p.chunk[colMissing] == nil {
		return nil
	}
	duration, err := v.number(colDuration)
	if err != nil {
		return err
	}
	missing, err := v.number(colMissing)
	if err != nil {
		return err
	}
	e.Received = staged[row] - duration[row]
	if missing[row]&missingStaged != 0 {
		e.Staged = audit.NoTime
	}
	if missing[row]&missingReceived != 0 {
		e.Received = audit.NoTime
	}
	return nil
}

// parseCode reads what a dictionary of codes holds: decimal text.
func parseCode(b []byte) (n int32) {
	digits, negative := b, false
	if len(b) > 0 && b[0] == '-' {
		digits, negative = b[1:], true
	}
	for _, c := range digits {
		n = n*10 + int32(c-'0')
	}
	if negative {
		return -n
	}
	return n
}

func (v *view) fillBodies(e *audit.Event, row int) error {
	body, err := v.long(colBodies, &v.bodies, row)
	if err != nil {
		return err
	}
	request, err := v.number(colRequest)
	if err != nil {
		return err
	}
	n := request[row]
	if n < 0 || n > int64(len(body)) {
		return v.fail(fmt.Errorf("%w: a request body of %d bytes", parquet.ErrDamaged, n))
	}
	e.RequestObject, e.ResponseObject = nil, nil
	if n > 0 {
		e.RequestObject = body[:n:n]
	}
	if n < int64(len(body)) {
		e.ResponseObject = body[n:]
	}
	return nil
}

func (v *view) fillLine(e *audit.Event, row int) error {
	form, err := v.dict(colForm)
	if err != nil {
		return err
	}
	e.Form = parseForm(value(form, row))
	nanos, err := v.number(colNanos)
	if err != nil {
		return err
	}
	e.Nanos = int16(nanos[row])
	raw, err := v.long(colRaw, &v.raw, row)
	if err != nil {
		return err
	}
	e.Raw = nil
	if len(raw) > 0 {
		e.Raw = raw
	}
	return nil
}

func parseForm(name []byte) audit.Form {
	for f, n := range formNames {
		if string(name) == n {
			return audit.Form(f)
		}
	}
	return audit.FormV1
}

// times returns the time of every row, audit.Event.Time.
func (v *view) times() ([]int64, error) {
	staged, err := v.number(colStaged)
	if err != nil || v.p.chunk[colMissing] == nil {
		return staged, err
	}
	var e audit.Event
	v.mixed = v.mixed[:0]
	for row := range staged {
		if err := v.fillTimes(&e, row, true); err != nil {
			return nil, err
		}
		v.mixed = append(v.mixed, e.Time())
	}
	return v.mixed, nil
}

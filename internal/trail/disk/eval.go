package disk

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"kubetrail/audit"
	"kubetrail/internal/parquet"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// answers returns the rows of the open part that answer q.
func (v *view) answers(q trail.Query) (bitmap, error) {
	sel := bitmap(nil).full(v.p.rows)
	if q.Since != audit.NoTime || q.Until != audit.NoTime {
		lo, hi := q.Since, q.Until
		if hi == audit.NoTime {
			hi = 1<<63 - 1
		} else {
			hi-- // Until is excluded
		}
		lo = max(lo, audit.NoTime+1)
		if v.p.meta.Oldest < lo || v.p.meta.Newest > hi {
			if err := v.keepTimes(sel, lo, hi); err != nil {
				return nil, err
			}
		}
	}
	if q.Where == nil || q.Where.Op == query.All {
		return sel, nil
	}
	may, err := v.mayAnswer(q.Where)
	if err != nil {
		return nil, err
	}
	if !may {
		clear(sel)
		return sel, nil
	}
	return sel, v.filter(q.Where, sel)
}

// keepTimes leaves the rows whose event time lies between lo and hi.
func (v *view) keepTimes(sel bitmap, lo, hi int64) error {
	staged, err := v.number(colStaged)
	if err != nil {
		return err
	}
	if lo > hi {
		clear(sel)
		return nil
	}
	if v.p.meta.RawLines == 0 { // nothing without a time but what is kept raw
		sel.keepRange(staged, lo, hi)
		return nil
	}
	duration, err := v.number(colDuration)
	if err != nil {
		return err
	}
	sel.keep(v.p.rows, func(i int) bool {
		t := rowTime(staged[i], duration[i])
		return t != audit.NoTime && t >= lo && t <= hi
	})
	return nil
}

// rowTime is audit.Event.Time of a row.
func rowTime(staged, duration int64) int64 {
	if staged != 0 {
		return staged
	}
	return eventTime(staged - duration)
}

// mayAnswer asks the Bloom filters before any column is read: false means that no
// row of the part can answer n.
func (v *view) mayAnswer(n *query.Node) (bool, error) {
	switch n.Op {
	case query.And:
		for _, kid := range n.Kids {
			if may, err := v.mayAnswer(kid); !may || err != nil {
				return may, err
			}
		}
	case query.Or:
		for _, kid := range n.Kids {
			if may, err := v.mayAnswer(kid); may || err != nil {
				return may, err
			}
		}
		return len(n.Kids) == 0, nil
	case query.Test:
		literals, ok := n.Literals()
		if !ok {
			return true, nil
		}
		for _, l := range literals {
			if may, err := v.mayHold(n.Needs(), l); may || err != nil {
				return may, err
			}
		}
		return len(literals) == 0, nil
	}
	return true, nil
}

func (v *view) mayHold(needs audit.Columns, literal []byte) (bool, error) {
	var c *parquet.Chunk
	key := literal
	var id [16]byte
	switch needs {
	case audit.Set(audit.Name):
		c = v.p.chunk[audit.Name]
	case audit.Set(audit.ObjectUID):
		c = v.p.chunk[audit.ObjectUID]
	case audit.Set(audit.AuditID):
		if !parseUUID(&id, literal) {
			return true, nil
		}
		c, key = v.p.chunk[colID], id[:]
	default:
		return true, nil
	}
	if c == nil {
		return len(literal) == 0, nil
	}
	may, err := v.dec.MayHold(v.p.file, c, parquet.Hash(key))
	if err != nil {
		return false, v.fail(err)
	}
	return may, nil
}

// filter leaves in sel the rows that answer n.
func (v *view) filter(n *query.Node, sel bitmap) error {
	switch n.Op {
	case query.All:
		return nil
	case query.And:
		return v.filterAll(n.Kids, sel)
	case query.Or:
		rest, found := sel.clone(), make(bitmap, len(sel))
		for _, kid := range cheapestFirst(n.Kids) {
			hits := rest.clone()
			if err := v.filter(kid, hits); err != nil {
				return err
			}
			found.union(hits)
			rest.minus(hits)
		}
		copy(sel, found)
		return nil
	case query.Not:
		hits := sel.clone()
		if err := v.filterAll(n.Kids, hits); err != nil {
			return err
		}
		sel.minus(hits)
		return nil
	case query.Text:
		return v.filterText(n, sel)
	}
	return v.filterTest(n, sel)
}

func (v *view) filterAll(kids []*query.Node, sel bitmap) error {
	for _, kid := range cheapestFirst(kids) {
		if sel.empty() {
			return nil
		}
		if err := v.filter(kid, sel); err != nil {
			return err
		}
	}
	return nil
}

// cheapestFirst orders the parts of a question by what it costs to look at them.
func cheapestFirst(kids []*query.Node) []*query.Node {
	if slices.IsSortedFunc(kids, byCost) {
		return kids
	}
	kids = slices.Clone(kids)
	slices.SortStableFunc(kids, byCost)
	return kids
}

func byCost(a, b *query.Node) int { return cmp.Compare(cost(a), cost(b)) }

const bodyColumns = audit.Columns(1<<audit.RequestObject | 1<<audit.ResponseObject)

func cost(n *query.Node) int {
	switch {
	case n.Op == query.Text:
		return 5
	case n.Needs()&bodyColumns != 0:
		return 4
	case n.Op != query.Test:
		return 2
	}
	if _, ok := n.Literals(); ok {
		return 0
	}
	if _, ok := dictionaryOf(n.Needs()); ok {
		return 1
	}
	return 3
}

// dictionaryOf returns the dictionary column that is all a test looks at.
func dictionaryOf(needs audit.Columns) (int, bool) {
	for i := range audit.NumText {
		c := audit.Column(i)
		if needs == audit.Set(c) && c != audit.AuditID && !folded(c) {
			return i, true
		}
	}
	return colCode, needs == audit.Set(audit.Code)
}

func (v *view) filterTest(n *query.Node, sel bitmap) error {
	needs := n.Needs()
	if i, ok := dictionaryOf(needs); ok {
		return v.filterDictionary(n, i, sel)
	}
	if literals, ok := n.Literals(); ok && needs == audit.Set(audit.AuditID) {
		if done, err := v.filterIDs(literals, sel); done || err != nil {
			return err
		}
	}
	if lo, hi, ok := n.Range(); ok && needs == audit.Set(audit.Staged) && v.p.meta.RawLines == 0 {
		return v.keepTimes(sel, lo, hi)
	}
	if needs&bodyColumns != 0 {
		return v.filterBodies(n, needs, sel)
	}
	return v.filterRows(n, needs, sel)
}

// filterDictionary asks n about every distinct value, and then only compares codes.
func (v *view) filterDictionary(n *query.Node, column int, sel bitmap) error {
	c, err := v.dict(column)
	if err != nil {
		return err
	}
	test := n.Match
	if n.Op == query.Text {
		json := audit.Column(column).JSON()
		test = func(e *audit.Event) bool { return n.MatchText(e.Text[column], json) }
	}
	v.keepCodes(c, sel, func(value []byte) bool {
		if column == colCode {
			v.scratch.Code = parseCode(value)
		} else {
			v.scratch.Text[column] = value
		}
		return test(&v.scratch)
	})
	v.scratch.Code = 0
	if column < audit.NumText {
		v.scratch.Text[column] = nil
	}
	return nil
}

// keepCodes leaves the rows whose value passes.
func (v *view) keepCodes(c *parquet.Codes, sel bitmap, passes func(value []byte) bool) {
	if n := c.Dict.Len(); n <= 1 {
		var only []byte
		if n == 1 {
			only = c.Dict.Value(0)
		}
		if !passes(only) {
			clear(sel)
		}
		return
	}
	stays := make([]byte, max(c.Dict.Len(), 256))
	some, all := false, true
	for i := range c.Dict.Len() {
		if passes(c.Dict.Value(uint32(i))) {
			stays[i], some = 1, true
		} else {
			all = false
		}
	}
	switch {
	case all:
	case !some:
		clear(sel)
	case c.Width == 8:
		sel.keepBytes(c.B, (*[256]byte)(stays))
	case c.Width == 16:
		sel.keepWords(c.W, stays)
	default:
		sel.keep(len(c.D), func(i int) bool { return stays[c.D[i]] != 0 })
	}
}

// filterIDs compares UUIDs as the 16 bytes they are; done is false where one of the
// literals is none.
func (v *view) filterIDs(literals [][]byte, sel bitmap) (done bool, err error) {
	wanted := make([][16]byte, len(literals))
	for i, l := range literals {
		if !parseUUID(&wanted[i], l) {
			return false, nil
		}
	}
	ids, err := v.auditIDs()
	if err != nil {
		return true, err
	}
	found := make(bitmap, len(sel))
	for _, w := range wanted {
		low, high := binary.LittleEndian.Uint64(w[:]), binary.LittleEndian.Uint64(w[8:])
		for i := 0; i+16 <= len(ids); i += 16 {
			if binary.LittleEndian.Uint64(ids[i:]) == low && binary.LittleEndian.Uint64(ids[i+8:]) == high {
				found.set(i / 16)
			}
		}
	}
	for i := range sel {
		sel[i] &= found[i]
	}
	return true, nil
}

// filterRows asks n about every row that is left.
func (v *view) filterRows(n *query.Node, needs audit.Columns, sel bitmap) error {
	defer v.forget()
	for i := sel.next(0); i >= 0; i = sel.next(i + 1) {
		if err := v.fill(&v.scratch, i, needs); err != nil {
			return err
		}
		if !n.Match(&v.scratch) {
			sel.unset(i)
		}
	}
	return nil
}

// forget empties the scratch event: a later question must not see what an earlier
// one looked at.
func (v *view) forget() { v.scratch = audit.Event{} }

// filterBodies is filterRows for a test on bodies: whole pages are searched for the
// fragments that an answer must contain before any row is looked at.
func (v *view) filterBodies(n *query.Node, needs audit.Columns, sel bitmap) error {
	if needs&^bodyColumns == 0 || n.Op == query.Test {
		if err := v.keepFragments(longest(n.Fragments()), sel); err != nil {
			return err
		}
	}
	return v.filterRows(n, needs, sel)
}

func longest(fragments [][]byte) (f []byte) {
	for _, g := range fragments {
		if len(g) > len(f) {
			f = g
		}
	}
	return f
}

// keepFragments leaves the rows whose bodies contain fragment.
func (v *view) keepFragments(fragment []byte, sel bitmap) error {
	if len(fragment) == 0 {
		return nil
	}
	if v.p.chunk[colBodies] == nil {
		clear(sel)
		return nil
	}
	row := sel.next(0)
	for row >= 0 {
		if _, err := v.long(colBodies, &v.bodies, row); err != nil {
			return err
		}
		place := v.bodies.places[v.bodies.at]
		v.keepInPage(fragment, sel, place)
		row = sel.next(place.FirstRow + place.Rows)
	}
	return nil
}

// keepInPage searches the page in memory, all its bodies in one go.
func (v *view) keepInPage(fragment []byte, sel bitmap, place parquet.Place) {
	data, ends := v.bodies.long.Data, v.bodies.long.Ends
	data = data[:ends[len(ends)-1]]
	row, from := 0, 0 // the first row that is not decided, and where it begins
	for row < place.Rows {
		at := indexFragment(data[from:], fragment)
		if at < 0 {
			break
		}
		at += from
		hit, _ := slices.BinarySearch(ends, int64(at)+1) // the row that holds byte at
		for ; row < hit; row++ {
			sel.unset(place.FirstRow + row)
		}
		if int64(at+len(fragment)) <= ends[hit] {
			row, from = hit+1, int(ends[hit])
		} else {
			from = at + 1 // it lies across two bodies
		}
	}
	for ; row < place.Rows; row++ {
		sel.unset(place.FirstRow + row)
	}
}

// filterText looks for bare text in every column, and last in the bodies.
func (v *view) filterText(n *query.Node, sel bitmap) error {
	rest, found := sel.clone(), make(bitmap, len(sel))
	take := func(filter func(bitmap) error) error {
		if rest.empty() {
			return nil
		}
		hits := rest.clone()
		if err := filter(hits); err != nil {
			return err
		}
		found.union(hits)
		rest.minus(hits)
		return nil
	}
	for i := range audit.NumText {
		c := audit.Column(i)
		if c == audit.AuditID || folded(c) || v.p.chunk[i] == nil {
			continue
		}
		if err := take(func(b bitmap) error { return v.filterDictionary(n, i, b) }); err != nil {
			return err
		}
	}
	short := n.Needs() &^ (bodyColumns | audit.Set(audit.Line))
	for i := range audit.NumText { // asked above
		if c := audit.Column(i); c != audit.AuditID && !folded(c) {
			short &^= audit.Set(c)
		}
	}
	if err := take(func(b bitmap) error { return v.filterRows(n, short, b) }); err != nil {
		return err
	}
	if v.p.chunk[colBodies] != nil {
		if err := take(func(b bitmap) error { return v.filterBodies(n, bodyColumns, b) }); err != nil {
			return err
		}
	}
	copy(sel, found)
	return nil
}

// indexFragment is bytes.Index, looking for the rarest byte of the fragment: the
// first one is often a quote or a brace, of which a body is full.
func indexFragment(data, fragment []byte) int {
	rare := 0
	for i, c := range fragment {
		if commonness[c] < commonness[fragment[rare]] {
			rare = i
		}
	}
	for from := rare; ; {
		if from >= len(data) {
			return -1
		}
		at := bytes.IndexByte(data[from:], fragment[rare])
		if at < 0 {
			return -1
		}
		begin := from + at - rare
		if begin+len(fragment) > len(data) {
			return -1
		}
		if bytes.Equal(data[begin:begin+len(fragment)], fragment) {
			return begin
		}
		from += at + 1
	}
}

// commonness ranks bytes by how often they occur in JSON of the Kubernetes API.
var commonness = func() (t [256]byte) {
	for i, c := range []byte("XZQJYKWHUGVBNLqFDxPCORzSETMIAj@%&#$^`~!?*<>+=|;_'()Z/w0b9876543kvy21-gfT.huldpscmrn[]\\{}iotae,:\"") {
		t[c] = byte(i + 1)
	}
	return t
}()

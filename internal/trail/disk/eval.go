package disk

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"kubetrail/audit"
	"kubetrail/internal/bitmap"
	"kubetrail/internal/parquet"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// answers returns the rows of the open part that answer q.
func (v *view) answers(q trail.Query) (bitmap.Rows, error) {
	sel := bitmap.Rows(nil).Full(v.p.rows)
	if q.Since != audit.NoTime || q.Until != audit.NoTime {
		lo, hi := q.Since, q.Until
		if hi == audit.NoTime {
			hi = 1<<63 - 1
		} else {
			hi-- // Until is excluded
		}
		lo = max(lo, audit.NoTime+1)
		if v.p.meta.Oldest < lo || v.p.meta.Newest > hi || v.p.chunk[colMissing] != nil {
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
func (v *view) keepTimes(sel bitmap.Rows, lo, hi int64) error {
	times, err := v.times()
	if err != nil {
		return err
	}
	if lo > hi {
		clear(sel)
		return nil
	}
	sel.KeepRange(times, lo, hi)
	return nil
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
func (v *view) filter(n *query.Node, sel bitmap.Rows) error {
	switch n.Op {
	case query.All:
		return nil
	case query.And:
		return v.filterAll(n.Kids, sel)
	case query.Or:
		rest, found := sel.Clone(), make(bitmap.Rows, len(sel))
		for _, kid := range cheapestFirst(n.Kids) {
			hits := rest.Clone()
			if err := v.filter(kid, hits); err != nil {
				return err
			}
			found.Union(hits)
			rest.Minus(hits)
		}
		copy(sel, found)
		return nil
	case query.Not:
		hits := sel.Clone()
		if err := v.filterAll(n.Kids, hits); err != nil {
			return err
		}
		sel.Minus(hits)
		return nil
	case query.Text:
		return v.filterText(n, sel)
	}
	return v.filterTest(n, sel)
}

func (v *view) filterAll(kids []*query.Node, sel bitmap.Rows) error {
	for _, kid := range cheapestFirst(kids) {
		if sel.Empty() {
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

func (v *view) filterTest(n *query.Node, sel bitmap.Rows) error {
	needs := n.Needs()
	if i, ok := dictionaryOf(needs); ok {
		return v.filterDictionary(n, i, sel)
	}
	if literals, ok := n.Literals(); ok && needs == audit.Set(audit.AuditID) {
		if done, err := v.filterIDs(literals, sel); done || err != nil {
			return err
		}
	}
	if lo, hi, ok := n.Range(); ok && needs == audit.Set(audit.Staged) && v.p.chunk[colMissing] == nil {
		return v.keepTimes(sel, max(lo, audit.NoTime+1), hi)
	}
	if needs&bodyColumns != 0 {
		return v.filterBodies(n, needs, sel)
	}
	return v.filterRows(n, needs, sel)
}

// filterDictionary asks n about every distinct value, and then only compares codes.
func (v *view) filterDictionary(n *query.Node, column int, sel bitmap.Rows) error {
	c, err := v.dict(column)
	if err != nil {
		return err
	}
	v.keepCodes(c, sel, v.valueTest(n, column))
	v.forget()
	return nil
}

// valueTest returns what decides about one value of a dictionary column.
func (v *view) valueTest(n *query.Node, column int) func(value []byte) bool {
	if n.Op == query.Text {
		json := audit.Column(column).JSON()
		return func(value []byte) bool { return n.MatchText(value, json) }
	}
	if literals, ok := n.Literals(); ok && len(literals) == 1 && column < audit.NumText && !audit.Column(column).JSON() {
		return func(value []byte) bool { return bytes.Equal(value, literals[0]) }
	}
	if column == colCode {
		return func(value []byte) bool {
			v.scratch.Code = parseCode(value)
			return n.Match(&v.scratch)
		}
	}
	return func(value []byte) bool {
		v.scratch.Text[column] = value
		return n.Match(&v.scratch)
	}
}

// keepCodes leaves the rows whose value passes.
func (v *view) keepCodes(c *parquet.Codes, sel bitmap.Rows, passes func(value []byte) bool) {
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
	if cap(v.stays) < 1<<16 {
		v.stays = make([]byte, 1<<16)
	}
	stays := v.stays[:1<<8] // as long as codes of that width can be large
	switch c.Width {
	case 16:
		stays = v.stays[:1<<16]
	case 32:
		stays = make([]byte, c.Dict.Len())
	}
	clear(stays)
	some, all := false, true
	for i := range c.Dict.Len() {
		if i < len(stays) && passes(c.Dict.Value(uint32(i))) {
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
		sel.KeepBytes(c.Data, (*[256]byte)(stays))
	case c.Width == 16:
		sel.KeepWords(c.Data, stays)
	default:
		sel.Keep(v.p.rows, func(i int) bool { k := int(c.At(i)); return k < len(stays) && stays[k] != 0 })
	}
}

// filterIDs compares UUIDs as the 16 bytes they are; done is false where one of the
// literals is none.
func (v *view) filterIDs(literals [][]byte, sel bitmap.Rows) (done bool, err error) {
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
	found := make(bitmap.Rows, len(sel))
	for _, w := range wanted {
		low, high := binary.LittleEndian.Uint64(w[:]), binary.LittleEndian.Uint64(w[8:])
		for i := 0; i+16 <= len(ids); i += 16 {
			if binary.LittleEndian.Uint64(ids[i:]) == low && binary.LittleEndian.Uint64(ids[i+8:]) == high {
				found.Set(i / 16)
			}
		}
	}
	for i := range sel {
		sel[i] &= found[i]
	}
	return true, nil
}

// filterRows asks n about every row that is left.
func (v *view) filterRows(n *query.Node, needs audit.Columns, sel bitmap.Rows) error {
	defer v.forget()
	for i := sel.Next(0); i >= 0; i = sel.Next(i + 1) {
		if err := v.fill(&v.scratch, i, needs); err != nil {
			return err
		}
		if !n.Match(&v.scratch) {
			sel.Unset(i)
		}
	}
	return nil
}

// forget empties the scratch event: a later question must not see what an earlier
// one looked at.
func (v *view) forget() { v.scratch = audit.Event{} }

// filterBodies is filterRows for a test on bodies: whole pages are searched for the
// fragments that an answer must contain before any row is looked at.
func (v *view) filterBodies(n *query.Node, needs audit.Columns, sel bitmap.Rows) error {
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
func (v *view) keepFragments(fragment []byte, sel bitmap.Rows) error {
	if len(fragment) == 0 || v.p.meta.Hidden > 0 { // fragments say nothing of such bodies
		return nil
	}
	if v.p.chunk[colBodies] == nil {
		clear(sel)
		return nil
	}
	row := sel.Next(0)
	for row >= 0 {
		if _, err := v.long(colBodies, &v.bodies, row); err != nil {
			return err
		}
		place := v.bodies.places[v.bodies.at]
		v.keepInPage(fragment, sel, place)
		row = sel.Next(place.FirstRow + place.Rows)
	}
	return nil
}

// keepInPage searches the page in memory, all its bodies in one go.
func (v *view) keepInPage(fragment []byte, sel bitmap.Rows, place parquet.Place) {
	data, ends := v.bodies.long.Data, v.bodies.long.Ends
	data = data[:ends[len(ends)-1]]
	rare := rarest(data, fragment)
	row, from := 0, 0 // the first row that is not decided, and where it begins
	for row < place.Rows {
		at := indexFragment(data[from:], fragment, rare)
		if at < 0 {
			break
		}
		at += from
		hit, _ := slices.BinarySearch(ends, int64(at)+1) // the row that holds byte at
		for ; row < hit; row++ {
			sel.Unset(place.FirstRow + row)
		}
		if int64(at+len(fragment)) <= ends[hit] {
			row, from = hit+1, int(ends[hit])
		} else {
			from = at + 1 // it lies across two bodies
		}
	}
	for ; row < place.Rows; row++ {
		sel.Unset(place.FirstRow + row)
	}
}

// filterText looks for bare text in every column, and last in the bodies.
func (v *view) filterText(n *query.Node, sel bitmap.Rows) error {
	rest, found := sel.Clone(), make(bitmap.Rows, len(sel))
	take := func(filter func(bitmap.Rows) error) error {
		if rest.Empty() {
			return nil
		}
		hits := rest.Clone()
		if err := filter(hits); err != nil {
			return err
		}
		found.Union(hits)
		rest.Minus(hits)
		return nil
	}
	for i := range audit.NumText {
		c := audit.Column(i)
		if c == audit.AuditID || folded(c) || v.p.chunk[i] == nil || !n.Needs().Has(c) {
			continue
		}
		if err := take(func(b bitmap.Rows) error { return v.filterDictionary(n, i, b) }); err != nil {
			return err
		}
	}
	if err := take(func(b bitmap.Rows) error { return v.filterFolded(n, b) }); err != nil {
		return err
	}
	if v.p.chunk[colBodies] != nil {
		if err := take(func(b bitmap.Rows) error { return v.filterBodies(n, bodyColumns, b) }); err != nil {
			return err
		}
	}
	copy(sel, found)
	return nil
}

// filterFolded looks for bare text in what is put together row by row: the audit
// ID, the columns that hold the object's name as a star, the code and the times.
func (v *view) filterFolded(n *query.Node, sel bitmap.Rows) error {
	needs := n.Needs() &^ (bodyColumns | audit.Set(audit.Line))
	for i := range audit.NumText {
		if c := audit.Column(i); c != audit.AuditID && !folded(c) {
			needs &^= audit.Set(c)
		}
	}
	f := longest(n.Fragments())
	if len(f) > 0 && bytes.IndexByte(f, '\\') < 0 { // written the same in JSON and outside
		if v.p.chunk[audit.AuditID] == nil && !inUUID(f) {
			needs &^= audit.Set(audit.AuditID)
		}
		if needs&^(audit.Set(audit.RequestURI, audit.StatusDetails)) == 0 {
			if err := v.keepFolded(f, sel); err != nil {
				return err
			}
		}
	}
	return v.filterRows(n, needs, sel)
}

// inUUID reports whether a UUID can contain f.
func inUUID(f []byte) bool {
	for _, c := range f {
		if c != '-' && unhex[c] > 15 {
			return false
		}
	}
	return len(f) <= 36
}

// keepFolded leaves the rows whose folded columns can contain f: because they do
// beside the star, or because f and the object's name overlap.
func (v *view) keepFolded(f []byte, sel bitmap.Rows) error {
	found := make(bitmap.Rows, len(sel))
	test := func(column audit.Column, passes func([]byte) bool) error {
		c, err := v.dict(int(column))
		if err != nil {
			return err
		}
		hits := sel.Clone()
		v.keepCodes(c, hits, passes)
		found.Union(hits)
		return nil
	}
	contains := func(value []byte) bool { return bytes.Contains(value, f) }
	err := errors.Join(
		test(audit.RequestURI, contains),
		test(audit.StatusDetails, contains),
		test(audit.Name, func(name []byte) bool { return overlap(name, f) }))
	copy(sel, found)
	return err
}

// overlap reports whether an occurrence of f can share a byte with one of name.
func overlap(name, f []byte) bool {
	if len(name) == 0 {
		return false
	}
	if bytes.Contains(f, name) || bytes.Contains(name, f) {
		return true
	}
	for k := min(len(name), len(f)) - 1; k > 0; k-- {
		if bytes.HasSuffix(name, f[:k]) || bytes.HasPrefix(name, f[len(f)-k:]) {
			return true
		}
	}
	return false
}

// rarest returns the index of the byte of fragment that is the least frequent in a
// sample of data. Looking for the first one would stop at every quote or brace.
func rarest(data, fragment []byte) (at int) {
	var counts [256]int
	const samples, length = 16, 512
	for i := range samples {
		from := len(data) / samples * i
		for _, c := range data[from:min(from+length, len(data))] {
			counts[c]++
		}
	}
	for i, c := range fragment {
		if counts[c] < counts[fragment[at]] {
			at = i
		}
	}
	return at
}

// indexFragment is bytes.Index, going from one occurrence of the byte at rare to the
// next.
func indexFragment(data, fragment []byte, rare int) int {
	c, first := fragment[rare], fragment[0]
	for from := rare; from < len(data); {
		at := bytes.IndexByte(data[from:], c)
		if at < 0 {
			return -1
		}
		begin := from + at - rare
		if begin+len(fragment) > len(data) {
			return -1
		}
		if data[begin] == first && bytes.Equal(data[begin:begin+len(fragment)], fragment) {
			return begin
		}
		from += at + 1
	}
	return -1
}

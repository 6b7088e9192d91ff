package disk

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// values is a growing dictionary: every distinct value once, in one arena, found by
// open addressing. Code 0 is always the empty value.
type values struct {
	data  []byte
	ends  []uint32 // end of value i in data
	slots []uint32 // code + 1, 0 free; a power of two of them
	last  uint32   // the code given last: the next event often has the same
}

func (v *values) reset() {
	v.data = v.data[:0]
	v.ends = append(v.ends[:0], 0)
	clear(v.slots)
	v.last = 0
}

func (v *values) at(code uint32) []byte {
	if code == 0 {
		return nil
	}
	return v.data[v.ends[code-1]:v.ends[code]]
}

// code returns the number of b, giving it one where it is new.
func (v *values) code(b []byte) uint32 {
	if len(b) == 0 {
		return 0
	}
	if bytes.Equal(v.at(v.last), b) {
		return v.last
	}
	if 2*len(v.ends) >= len(v.slots) {
		v.grow()
	}
	mask := uint64(len(v.slots) - 1)
	for i := xxhash.Sum64(b) & mask; ; i = (i + 1) & mask {
		if v.slots[i] == 0 {
			v.last = uint32(len(v.ends))
			v.slots[i] = v.last + 1
			v.data = append(v.data, b...)
			v.ends = append(v.ends, uint32(len(v.data)))
			return v.last
		}
		if c := v.slots[i] - 1; bytes.Equal(v.at(c), b) {
			v.last = c
			return c
		}
	}
}

func (v *values) grow() {
	v.slots = make([]uint32, max(64, 2*len(v.slots)))
	mask := uint64(len(v.slots) - 1)
	for c := 1; c < len(v.ends); c++ {
		i := xxhash.Sum64(v.at(uint32(c))) & mask
		for v.slots[i] != 0 {
			i = (i + 1) & mask
		}
		v.slots[i] = uint32(c) + 1
	}
}

// ranks returns for every code its place in the order of the values.
func (v *values) ranks() []uint32 {
	order := make([]uint32, len(v.ends))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return bytes.Compare(v.at(a), v.at(b)) })
	ranks := make([]uint32, len(order))
	for r, c := range order {
		ranks[c] = uint32(r)
	}
	return ranks
}

// numDictionary is how many columns are dictionaries: text, form and code.
const numDictionary = colCode + 1

// batch is the next part while it grows: columns of rows, in the order
// of arrival unless it merges other parts. Its memory is used again for the part after the next one.
type batch struct {
	first    uint64
	rows     int
	dict     [numDictionary]values
	codes    [numDictionary][]uint32
	ids      []byte // 16 a row
	staged   []int64
	received []int64
	nanos    []int64
	missing  []int64
	seq      []int64
	line     []int64
	offset   []int64
	request  []int64 // bytes of the request body
	bodies   arena
	raw      arena
	room     int64  // bytes of bodies to expect
	folded   []byte // scratch
	quick    bool   // write it in little time rather than room
	meta     partMeta
	faults   []trail.Fault
	sources  []trail.Source
}

// arena keeps one byte string a row, all in one piece.
type arena struct {
	data []byte
	ends []int
}

func (a *arena) reset() { a.data, a.ends = a.data[:0], a.ends[:0] }

func (a *arena) at(i int) []byte {
	if i == 0 {
		return a.data[:a.ends[0]]
	}
	return a.data[a.ends[i-1]:a.ends[i]]
}

func (b *batch) reset(first uint64) {
	for i := range b.dict {
		b.dict[i].reset()
		b.codes[i] = b.codes[i][:0]
	}
	b.first, b.rows = first, 0
	b.ids = b.ids[:0]
	for _, s := range []*[]int64{&b.staged, &b.received, &b.nanos, &b.missing, &b.seq, &b.line, &b.offset, &b.request} {
		*s = (*s)[:0]
	}
	b.bodies.reset()
	b.raw.reset()
	b.meta = partMeta{Format: formatVersion, First: first, Oldest: audit.NoTime, Newest: audit.NoTime}
	b.faults = b.faults[:0]
	b.sources = nil
}

// add appends an event as sequence number seq. size is the length of its line and
// raw the line itself, or nil where the columns give it back.
func (b *batch) add(e *audit.Event, seq uint64, size int, raw []byte) {
	for i := range audit.NumText {
		text := e.Text[i]
		switch audit.Column(i) {
		case audit.AuditID:
			continue
		case audit.RequestURI, audit.StatusDetails:
			b.folded = fold(b.folded[:0], audit.Column(i), text, e.Text[audit.Name])
			text = b.folded
		}
		b.codes[i] = append(b.codes[i], b.dict[i].code(text))
	}
	b.addID(e.Text[audit.AuditID])
	var form, code []byte
	var room [8]byte
	if e.Form != audit.FormV1 {
		form = append(room[:0], formNames[e.Form]...)
	}
	b.codes[colForm] = append(b.codes[colForm], b.dict[colForm].code(form))
	if e.Code != 0 {
		code = appendInt32(room[:0], e.Code)
	}
	b.codes[colCode] = append(b.codes[colCode], b.dict[colCode].code(code))
	b.addTimes(e.Staged, e.Received)
	b.nanos = append(b.nanos, int64(e.Nanos))
	b.seq = append(b.seq, int64(seq-b.first))
	b.line = append(b.line, int64(size))
	b.offset = append(b.offset, e.Offset)
	b.request = append(b.request, int64(len(e.RequestObject)))
	if b.bodies.data == nil && len(e.RequestObject)+len(e.ResponseObject) > 0 {
		// Room for a whole part at once: growing would copy it several times, and
		// what is never written to takes no memory.
		b.bodies.data = make([]byte, 0, b.room)
	}
	b.bodies.data = append(append(b.bodies.data, e.RequestObject...), e.ResponseObject...)
	b.bodies.ends = append(b.bodies.ends, len(b.bodies.data))
	if query.Hidden(e.RequestObject) || query.Hidden(e.ResponseObject) {
		b.meta.Hidden++
	}
	if raw != nil {
		b.raw.data = append(b.raw.data, raw...)
		b.meta.RawLines++
	}
	b.raw.ends = append(b.raw.ends, len(b.raw.data))
	b.meta.LineBytes += int64(size)
	b.meta.noteTime(e.Time())
	b.rows++
}

func (b *batch) addID(id []byte) {
	var u [16]byte
	var text []byte
	if !parseUUID(&u, id) {
		u, text = [16]byte{}, id
	}
	b.ids = append(b.ids, u[:]...)
	b.codes[audit.AuditID] = append(b.codes[audit.AuditID], b.dict[audit.AuditID].code(text))
}

func (m *partMeta) noteTime(t int64) {
	if t == audit.NoTime {
		return
	}
	if m.Oldest == audit.NoTime || t < m.Oldest {
		m.Oldest = t
	}
	if m.Newest == audit.NoTime || t > m.Newest {
		m.Newest = t
	}
}

// formNames are the values of the column form; the empty one is a log line of v1.
var formNames = [audit.NumForms]string{"", "v1item", "v1beta1", "v1alpha1", "legacy"}

func (b *batch) addTimes(staged, received int64) {
	var missing int64
	if staged == audit.NoTime {
		staged, missing = 0, missingStaged
	}
	if received == audit.NoTime {
		received, missing = 0, missing|missingReceived
	}
	b.staged, b.received, b.missing = append(b.staged, staged), append(b.received, received), append(b.missing, missing)
}

// order returns the rows sorted by object and time.
func (b *batch) order() []uint32 {
	resource, namespace, name := b.dict[audit.Resource].ranks(), b.dict[audit.Namespace].ranks(), b.dict[audit.Name].ranks()
	type sortKey struct {
		object uint64
		time   int64
		row    uint32
	}
	keys := make([]sortKey, b.rows)
	for i := range keys {
		object := uint64(resource[b.codes[audit.Resource][i]])<<42 |
			uint64(namespace[b.codes[audit.Namespace][i]])<<21 |
			uint64(name[b.codes[audit.Name][i]])
		keys[i] = sortKey{object, b.staged[i], uint32(i)}
	}
	slices.SortFunc(keys, func(x, y sortKey) int {
		if x.object != y.object {
			return cmp.Compare(x.object, y.object)
		}
		if x.time != y.time {
			return cmp.Compare(x.time, y.time)
		}
		return cmp.Compare(b.seq[x.row], b.seq[y.row])
	})
	rows := make([]uint32, len(keys))
	for i, k := range keys {
		rows[i] = k.row
	}
	return rows
}

// gaps returns for every row how many bytes of its source lie between the line and
// the line before: 1 for a newline. The offset of every line follows from that.
func (b *batch) gaps() []int64 {
	out := make([]int64, b.rows)
	ends := make(map[[3]uint32]int64)
	for _, row := range b.arrival() {
		source := [3]uint32{b.codes[audit.Source][row], b.codes[audit.Cluster][row], b.codes[audit.Server][row]}
		out[row] = b.offset[row] - ends[source]
		ends[source] = b.offset[row] + b.line[row]
	}
	return out
}

// arrival returns the rows by sequence number. They are in this order already,
// unless the batch is made of other parts.
func (b *batch) arrival() []uint32 {
	rows := make([]uint32, b.rows)
	for i := range rows {
		rows[i] = uint32(i)
	}
	if !slices.IsSorted(b.seq) {
		slices.SortFunc(rows, func(x, y uint32) int { return cmp.Compare(b.seq[x], b.seq[y]) })
	}
	return rows
}

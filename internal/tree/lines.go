package tree

import (
	"bytes"
	"fmt"
)

// Unified returns the difference of two texts line by line as diff -u writes it, without
// its two lines of file names; "" where they are the same. Around each change stand up to
// context lines that did not change.
func Unified(before, after []byte, context int) string {
	if bytes.Equal(before, after) {
		return ""
	}
	a, b := splitLines(before), splitLines(after)
	var out bytes.Buffer
	for _, h := range hunks(edits(a, b), context) {
		writeHunk(&out, a, b, h, context)
	}
	return out.String()
}

func splitLines(text []byte) [][]byte {
	lines := make([][]byte, 0, bytes.Count(text, []byte{'\n'})+1)
	for line := range bytes.Lines(text) {
		lines = append(lines, bytes.TrimSuffix(line, []byte{'\n'}))
	}
	return lines
}

// An edit replaces the lines from a to aEnd of the first text by those from b to bEnd of
// the second.
type edit struct{ a, aEnd, b, bEnd int }

// maxEdits bounds the search for the shortest difference: texts that differ in more lines
// are shown as replaced, between what is the same at either end.
const maxEdits = 1000

// edits finds the shortest way from a to b, by Myers's greedy algorithm.
func edits(a, b [][]byte) []edit {
	start := 0
	for start < len(a) && start < len(b) && bytes.Equal(a[start], b[start]) {
		start++
	}
	endA, endB := len(a), len(b)
	for endA > start && endB > start && bytes.Equal(a[endA-1], b[endB-1]) {
		endA--
		endB--
	}
	if start == endA || start == endB {
		return []edit{{start, endA, start, endB}}
	}
	return myers(a[start:endA], b[start:endB], start)
}

func myers(a, b [][]byte, offset int) []edit {
	limit := min(len(a)+len(b), maxEdits)
	// furthest[k+limit+1] is how far in a the paths on diagonal k have come.
	furthest := make([]int, 2*limit+3)
	var trace [][]int
	for d := 0; d <= limit; d++ {
		// Only the diagonals from -d to d can have changed.
		trace = append(trace, append([]int(nil), furthest[limit-d:limit+d+3]...))
		for k := -d; k <= d; k += 2 {
			at := limit + 1 + k
			x := furthest[at-1] + 1
			if k == -d || k != d && furthest[at-1] < furthest[at+1] {
				x = furthest[at+1]
			}
			y := x - k
			for x < len(a) && y < len(b) && x >= 0 && y >= 0 && bytes.Equal(a[x], b[y]) {
				x++
				y++
			}
			furthest[at] = x
			if x >= len(a) && y >= len(b) {
				return backtrack(trace, len(a), len(b), offset)
			}
		}
	}
	return []edit{{offset, offset + len(a), offset, offset + len(b)}}
}

// backtrack walks the way that myers found from its end, joining neighbouring edits.
func backtrack(trace [][]int, x, y, offset int) []edit {
	var out []edit // the last first
	for d := len(trace) - 1; d > 0; d-- {
		row := trace[d] // of the diagonals from -d-1 to d+1
		k := x - y
		at := k + d + 1
		previous := k - 1
		if k == -d || k != d && row[at-1] < row[at+1] {
			previous = k + 1
		}
		px := row[previous+d+1]
		py := px - previous
		// One line was taken away or added, and what follows is the same.
		e := edit{px + offset, px + offset + 1, py + offset, py + offset}
		if previous == k+1 {
			e = edit{px + offset, px + offset, py + offset, py + offset + 1}
		}
		if n := len(out); n > 0 && out[n-1].a == e.aEnd && out[n-1].b == e.bEnd {
			out[n-1].a, out[n-1].b = e.a, e.b
		} else {
			out = append(out, e)
		}
		x, y = px, py
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// hunks puts edits together that are so near that their context meets.
func hunks(all []edit, context int) [][]edit {
	var out [][]edit
	for _, e := range all {
		if n := len(out); n > 0 && e.a-out[n-1][len(out[n-1])-1].aEnd <= 2*context {
			out[n-1] = append(out[n-1], e)
		} else {
			out = append(out, []edit{e})
		}
	}
	return out
}

func writeHunk(out *bytes.Buffer, a, b [][]byte, h []edit, context int) {
	first, last := h[0], h[len(h)-1]
	lead := min(context, first.a, first.b)
	trail := min(context, len(a)-last.aEnd, len(b)-last.bEnd)
	fmt.Fprintf(out, "@@ -%s +%s @@\n", span(first.a-lead, last.aEnd+trail), span(first.b-lead, last.bEnd+trail))
	at := first.a - lead
	same := func(to int) {
		for ; at < to; at++ {
			line(out, ' ', a[at])
		}
	}
	for _, e := range h {
		same(e.a)
		for ; at < e.aEnd; at++ {
			line(out, '-', a[at])
		}
		for i := e.b; i < e.bEnd; i++ {
			line(out, '+', b[i])
		}
	}
	same(last.aEnd + trail)
}

// span is a range of lines as diff -u names it.
func span(from, to int) string {
	switch n := to - from; n {
	case 0:
		return fmt.Sprintf("%d,0", from)
	case 1:
		return fmt.Sprint(from + 1)
	default:
		return fmt.Sprintf("%d,%d", from+1, n)
	}
}

func line(out *bytes.Buffer, mark byte, text []byte) {
	out.WriteByte(mark)
	out.Write(text)
	out.WriteByte('\n')
}

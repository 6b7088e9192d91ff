package output

import (
	"bufio"
	"slices"
	"strings"
)

// measured is how many rows a table looks at before it settles its column widths:
// a table of a million rows must not wait for its last one.
const measured = 500

// A Table prints rows in aligned columns. Rows are cells that are safe to print.
type Table struct {
	W       *bufio.Writer
	Titles  []string
	Headers bool
	Fit     int   // columns of the terminal that a row must fit in; 0: no limit
	Soft    []int // columns that may be clipped to make it fit, in this order
	Spare   []int // columns that may be left out to make it fit, in this order, before others are clipped
	Right   []int // columns of numbers
	Least   []int // widths that columns have whatever they hold; nil: none
	paint   func(row []string, line string) string
	rows    [][]string
	widths  []int
	left    []int // columns that are left out
}

func (t *Table) Add(row ...string) error {
	if t.widths != nil {
		return t.Print(row)
	}
	t.rows = append(t.rows, row)
	if len(t.rows) == measured {
		return t.settle()
	}
	return nil
}

// Flush prints what waited for the widths. An empty table prints nothing, not even
// its titles.
func (t *Table) Flush() error {
	if t.widths == nil && len(t.rows) > 0 {
		if err := t.settle(); err != nil {
			return err
		}
	}
	return t.W.Flush()
}

func (t *Table) settle() error {
	t.widths = make([]int, len(t.Titles))
	copy(t.widths, t.Least)
	if t.Headers {
		t.measure(t.Titles)
	}
	for _, row := range t.rows {
		t.measure(row)
	}
	t.shrink()
	if t.Headers {
		if err := t.Print(t.Titles); err != nil {
			return err
		}
	}
	for _, row := range t.rows {
		if err := t.Print(row); err != nil {
			return err
		}
	}
	t.rows = nil
	return nil
}

func (t *Table) measure(row []string) {
	for i, c := range row {
		t.widths[i] = max(t.widths[i], Width(c))
	}
}

// shrink leaves out spare columns, then takes from the soft ones, as the terminal is too
// narrow, never below eight columns each.
func (t *Table) shrink() {
	if t.Fit == 0 {
		return
	}
	total := 2 * (len(t.widths) - 1)
	for _, w := range t.widths {
		total += w
	}
	for _, i := range t.Spare {
		if total <= t.Fit {
			return
		}
		t.left = append(t.left, i)
		total -= t.widths[i] + 2
	}
	for _, i := range t.Soft {
		if total <= t.Fit {
			return
		}
		take := min(total-t.Fit, max(0, t.widths[i]-8))
		t.widths[i] -= take
		total -= take
	}
}

func (t *Table) Print(row []string) error {
	var b strings.Builder
	for i, c := range row {
		if t.Fit > 0 && slices.Contains(t.Soft, i) {
			c = Clip(c, t.widths[i])
		}
		if slices.Contains(t.left, i) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("  ")
		}
		switch {
		case slices.Contains(t.Right, i):
			b.WriteString(strings.Repeat(" ", max(0, t.widths[i]-Width(c))) + c)
		case i == len(row)-1:
			b.WriteString(c)
		default:
			b.WriteString(Pad(c, t.widths[i]))
		}
	}
	line := strings.TrimRight(b.String(), " ")
	if t.paint != nil {
		line = t.paint(row, line)
	}
	if _, err := t.W.WriteString(line); err != nil {
		return err
	}
	return t.W.WriteByte('\n')
}

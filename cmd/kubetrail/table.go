package main

import (
	"bufio"
	"slices"
	"strings"
)

// measured is how many rows a table looks at before it settles its column widths:
// a table of a million rows must not wait for its last one.
const measured = 500

// A table prints rows in aligned columns. Rows are cells that are safe to print.
type table struct {
	w       *bufio.Writer
	titles  []string
	headers bool
	fit     int   // columns of the terminal that a row must fit in; 0: no limit
	soft    []int // columns that may be clipped to make it fit, in this order
	right   []int // columns of numbers
	least   []int // widths that columns have whatever they hold; nil: none
	paint   func(row []string, line string) string
	rows    [][]string
	widths  []int
}

func (t *table) add(row ...string) error {
	if t.widths != nil {
		return t.print(row)
	}
	t.rows = append(t.rows, row)
	if len(t.rows) == measured {
		return t.settle()
	}
	return nil
}

// flush prints what waited for the widths. An empty table prints nothing, not even
// its titles.
func (t *table) flush() error {
	if t.widths == nil && len(t.rows) > 0 {
		if err := t.settle(); err != nil {
			return err
		}
	}
	return t.w.Flush()
}

func (t *table) settle() error {
	t.widths = make([]int, len(t.titles))
	copy(t.widths, t.least)
	if t.headers {
		t.measure(t.titles)
	}
	for _, row := range t.rows {
		t.measure(row)
	}
	t.shrink()
	if t.headers {
		if err := t.print(t.titles); err != nil {
			return err
		}
	}
	for _, row := range t.rows {
		if err := t.print(row); err != nil {
			return err
		}
	}
	t.rows = nil
	return nil
}

func (t *table) measure(row []string) {
	for i, c := range row {
		t.widths[i] = max(t.widths[i], width(c))
	}
}

// shrink takes from the soft columns what the terminal is too narrow for, never
// below eight columns each.
func (t *table) shrink() {
	if t.fit == 0 {
		return
	}
	total := 2 * (len(t.widths) - 1)
	for _, w := range t.widths {
		total += w
	}
	for _, i := range t.soft {
		if total <= t.fit {
			return
		}
		take := min(total-t.fit, max(0, t.widths[i]-8))
		t.widths[i] -= take
		total -= take
	}
}

func (t *table) print(row []string) error {
	var b strings.Builder
	for i, c := range row {
		if t.fit > 0 && slices.Contains(t.soft, i) {
			c = clip(c, t.widths[i])
		}
		if i > 0 {
			b.WriteString("  ")
		}
		switch {
		case slices.Contains(t.right, i):
			b.WriteString(strings.Repeat(" ", max(0, t.widths[i]-width(c))) + c)
		case i == len(row)-1:
			b.WriteString(c)
		default:
			b.WriteString(pad(c, t.widths[i]))
		}
	}
	line := strings.TrimRight(b.String(), " ")
	if t.paint != nil {
		line = t.paint(row, line)
	}
	if _, err := t.w.WriteString(line); err != nil {
		return err
	}
	return t.w.WriteByte('\n')
}

package rawjson

import "encoding/json"

// A role is what a value is to somebody who looks for managed fields.
type role uint8

const (
	none   role = iota // nothing
	whole              // what the copier was given: an object, a list or a Table
	object             // an object in a list or a Table
	meta               // the metadata of one
	items              // the array of a list
	rows               // the array of a Table
	row                // an element of it
	kind               // the kind of the whole
)

// An omitter knows where managed fields are.
type omitter struct {
	// roles of the values that were entered, by their depth. Managed fields are no
	// deeper: {"rows":[{"object":{"metadata":{"managedFields":
	roles [6]role
	next  role // of the value that comes next
	table bool // the whole said that it is a Table

	// leaving is the depth of the object whose managed fields are being left out, or -1;
	// dst was as long as resume when they began.
	leaving, resume int
}

// enter gives the value that is entered the role that it was found to have.
func (c *copier) enter(array bool) {
	if c.depth+1 >= len(c.roles) {
		return
	}
	r := none
	if c.depth > 0 && c.array() {
		switch c.roles[c.depth] {
		case items:
			c.next = object
		case rows:
			c.next = row
		default:
			c.next = none
		}
	}
	switch c.next {
	case items, rows:
		if array {
			r = c.next
		}
	case whole, object, meta, row:
		if !array {
			r = c.next
		}
	}
	c.next = none
	c.roles[c.depth+1] = r
}

// member finds the role of the value of the member whose name, quotes included, is
// src[i:end].
func (c *copier) member(i, end int) {
	name := nameOf(c.src[i:end])
	c.next = none
	switch c.roles[c.depth] {
	case whole:
		switch string(name) {
		case "metadata":
			c.next = meta
		case "items":
			c.next = items
		case "kind":
			c.next = kind
		case "rows":
			if c.table {
				c.next = rows
			}
		}
	case object:
		if string(name) == "metadata" {
			c.next = meta
		}
	case row:
		if string(name) == "object" {
			c.next = object
		}
	case meta:
		if string(name) == "managedFields" && c.leaving < 0 {
			c.flush(i)
			c.leaving, c.resume = c.depth, len(c.dst)
		}
	}
}

// left leaves out the managed fields that end before i, and one of the commas beside
// them. It returns where to go on, and whether the name of a member must stand there.
func (c *copier) left(i int) (int, bool) {
	c.leaving = -1
	c.dst = c.dst[:c.resume]
	c.kept = i
	if n := len(c.dst) - 1; c.dst[n] == ',' {
		c.dst = c.dst[:n]
		return i, false
	}
	i = c.leaveSpace(i)
	if i == len(c.src) || c.src[i] != ',' {
		return i, false
	}
	c.kept = i + 1
	return c.leaveSpace(i + 1), true
}

// nameOf returns the text of a name, quotes included.
func nameOf(quoted []byte) []byte {
	text := quoted[1 : len(quoted)-1]
	for _, b := range text {
		if b == '\\' {
			var name string
			_ = json.Unmarshal(quoted, &name)
			return []byte(name)
		}
	}
	return text
}

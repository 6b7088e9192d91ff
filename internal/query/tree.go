package query

import "kubetrail/audit"

// Op is what a node of a question does.
type Op uint8

const (
	All  Op = iota // matches everything: the empty question
	And            // every kid
	Or             // any kid
	Not            // not its only kid
	Test           // some value of Ref passes a test
	Text           // bare text: the fragments occur somewhere in the event
)

// Node is a question, or part of one. Parse builds it; it is immutable and safe for
// concurrent use.
type Node struct {
	Op   Op
	Kids []*Node
	Ref  audit.Ref // of a Test
	// test and text details are private to this package
}

// Parse reads a question in KQL. Its error is a [SyntaxError].
func Parse(text string) (*Node, error) { panic("unwritten") }

// Match reports whether e is an answer. Only the columns in Needs are looked at.
func (n *Node) Match(e *audit.Event) bool { panic("unwritten") }

// Needs returns the columns that Match looks at.
func (n *Node) Needs() audit.Columns { panic("unwritten") }

// Literals returns, for a Test that holds only where a value of Ref equals one of a
// few strings, those strings; ok is false for any other node.
func (n *Node) Literals() (values [][]byte, ok bool) { panic("unwritten") }

// Range returns, for a Test on a Number or Time field that holds exactly for the
// integers lo ≤ v ≤ hi (microseconds for a Time), these bounds; ok is false for any
// other node.
func (n *Node) Range() (lo, hi int64, ok bool) { panic("unwritten") }

// Fragments returns byte strings each of which occurs in the raw JSON of a body
// wherever the node matches because of that body: for a Text node the text as JSON
// writes it, for a Test on a path into a body its literal parts. Empty means that
// nothing is known.
func (n *Node) Fragments() [][]byte { panic("unwritten") }

// MatchText reports whether the text of a Text node occurs in one column of an
// event, given as the event holds it: decoded, or raw JSON where json is true.
func (n *Node) MatchText(column []byte, json bool) bool { panic("unwritten") }

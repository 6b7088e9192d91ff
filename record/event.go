package record

import "kubetrail/audit"

// An Event is one audit event on its way to the backends, in audit.FormV1: its columns,
// and the line that they make, encoded once however many backends there are. It is valid
// until ProcessEvents returns; whoever keeps it copies the line. It is not safe for
// concurrent use.
type Event struct {
	audit.Event

	line []byte // what Line returns, or empty
}

// Line returns the event as kube-apiserver's log backend writes it, its newline
// included. It is encoded at the first call, so columns must not be changed after it.
func (e *Event) Line() []byte {
	if len(e.line) == 0 {
		e.line = append(e.AppendColumns(e.line[:0]), '\n')
	}
	return e.line
}

const lineHead = `{"kind":"Event","apiVersion":"audit.k8s.io/v1",`

// AppendItem appends the event as it is written in an EventList: without kind and
// apiVersion.
func (e *Event) AppendItem(dst []byte) []byte {
	line := e.Line()
	dst = append(dst, '{')
	return append(dst, line[len(lineHead):len(line)-1]...)
}

// Changed says that columns are about to be changed: Line encodes anew.
func (e *Event) Changed() { e.line = e.line[:0] }

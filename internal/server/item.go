package server

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"kubetrail/audit"
)

// itemWriter writes events as the API shows them, one JSON object on one line:
//
//	{"seq":17,"cluster":"prod","source":"/var/log/audit.log","offset":4711,"event":{…}}
//
// An event does not say where it was found, so that stands beside it, and where they
// are known the server that observed it, its destination and what it is. With fields
// asked for, "fields" takes the place of "event": an object with one member for
// each of them, named as it was asked for, null where the event has no value.
type itemWriter struct {
	fields []audit.Ref
	line   []byte // scratch
}

// columns returns what append looks at.
func (iw *itemWriter) columns() audit.Columns {
	if iw.fields == nil {
		return audit.AllColumns
	}
	columns := audit.Set(audit.Seq, audit.Cluster, audit.Server, audit.Source, audit.Offset, audit.Destination, audit.Marks)
	for _, f := range iw.fields {
		columns |= f.Needs()
	}
	return columns
}

func (iw *itemWriter) append(b []byte, e *audit.Event) []byte {
	b = strconv.AppendUint(append(b, `{"seq":`...), e.Seq, 10)
	b = appendString(append(b, `,"cluster":`...), e.Text[audit.Cluster])
	b = appendString(append(b, `,"source":`...), e.Text[audit.Source])
	b = strconv.AppendInt(append(b, `,"offset":`...), e.Offset, 10)
	if server := e.Text[audit.Server]; len(server) > 0 {
		b = appendString(append(b, `,"server":`...), server)
	}
	for _, list := range [...]struct {
		name   string
		column audit.Column
	}{{"destination", audit.Destination}, {"is", audit.Marks}} {
		if raw := e.Text[list.column]; len(raw) > 0 {
			b = append(append(append(append(b, `,"`...), list.name...), `":`...), raw...)
		}
	}
	if iw.fields == nil {
		b = iw.appendEvent(b, e)
	} else {
		b = iw.appendFields(append(b, `,"fields":`...), e)
	}
	return append(b, '}')
}

// appendEvent appends the member "event". What kube-apiserver wrote is JSON on one
// line and goes out untouched; anything else that was kept as an event is made so:
// a legacy line is written as audit.k8s.io/v1, an object on several lines is
// joined, bytes that are no UTF-8 become U+FFFD. The member "raw" tells that this
// was done: it is the line as a string, and the last resort instead of "event".
func (iw *itemWriter) appendEvent(b []byte, e *audit.Event) []byte {
	iw.line = e.AppendLine(iw.line[:0])
	found := len(b)
	if !json.Valid(iw.line) {
		b = appendString(append(b, `,"raw":`...), iw.line)
		v1 := *e
		v1.Form = audit.FormV1
		iw.line = v1.AppendColumns(iw.line[:0])
	}
	if !json.Valid(iw.line) {
		return b
	}
	line := iw.line
	if len(b) == found && (!utf8.Valid(line) || bytes.ContainsAny(line, "\r\n")) {
		b = appendString(append(b, `,"raw":`...), line)
	}
	if !utf8.Valid(line) {
		line = bytes.ToValidUTF8(line, []byte("\uFFFD"))
	}
	b = append(b, `,"event":`...)
	if bytes.IndexByte(line, '\n') < 0 && bytes.IndexByte(line, '\r') < 0 {
		return append(b, line...)
	}
	joined := bytes.NewBuffer(b)
	if err := json.Compact(joined, line); err != nil {
		panic(err) // it is valid, see above
	}
	return joined.Bytes()
}

func (iw *itemWriter) appendFields(b []byte, e *audit.Event) []byte {
	b = append(b, '{')
	for i, f := range iw.fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, []byte(f.Name)), ':')
		b = f.AppendJSON(b, e)
	}
	return append(b, '}')
}

// appendString appends a JSON string.
func appendString(b, s []byte) []byte {
	quoted, err := json.Marshal(string(s))
	if err != nil {
		panic(err) // a string always has an encoding
	}
	return append(b, quoted...)
}

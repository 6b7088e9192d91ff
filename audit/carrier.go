package audit

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
)

// maxListHead bounds what stands before and after the items of a list.
const maxListHead = 64 << 10

// listHead returns the length of the head of the list of events at pos, up to and
// with the bracket that opens its items, or 0 if no list begins there.
func (r *Reader) listHead() int {
	for {
		w := r.ahead()
		n := head(w)
		if n >= 0 || len(w) >= maxListHead || !r.affords() || !r.more() {
			return max(0, n)
		}
	}
}

// head returns the length of the head of the list that begins with b: an EventList,
// an answer of CloudWatch Logs or a batch of Azure Monitor. It returns 0 if b begins
// otherwise, and -1 if more of it is needed to tell.
func head(b []byte) int {
	i := space(b, 1)
	for {
		name, value, f := nameAndValue(b, i)
		switch {
		case f == cutShort:
			return -1
		case f != none || !listMember(name):
			return 0
		case isItems(name) && value < len(b) && b[value] == '[':
			return value + 1
		}
		end, f := skip(b, value)
		switch {
		case f == cutShort:
			return -1
		case f != none, string(name) == "kind" && string(b[value:end]) != `"EventList"`:
			return 0
		}
		if end = space(b, end); end == len(b) {
			return -1
		}
		if b[end] != ',' {
			return 0
		}
		i = space(b, end+1)
	}
}

// nameAndValue reads the name of the member at i, as it is written, and the offset of its
// value.
func nameAndValue(b []byte, i int) (name []byte, value int, f fault) {
	value, f = skipKey(b, i)
	if f != none {
		return nil, value, f
	}
	end, _ := skipString(b, i+1)
	return b[i+1 : end-1], value, none
}

// isItems reports whether a list of events may be the value of the member: items of
// an EventList, events and logEvents of CloudWatch Logs, records of Azure Monitor.
func isItems(name []byte) bool {
	switch string(name) {
	case "items", "events", "logEvents", "records":
		return true
	}
	return false
}

// listMember reports whether the member stands beside the items of one of these.
func listMember(name []byte) bool {
	switch string(name) {
	case "kind", "apiVersion", "metadata", // EventList
		"nextToken", "nextForwardToken", "nextBackwardToken", "searchedLogStreams", // CloudWatch Logs, read
		"messageType", "owner", "logGroup", "logStream", "subscriptionFilters": // CloudWatch Logs, subscribed to
		return true
	}
	return isItems(name)
}

// trailer passes the members that stand after the items of a list, with the bracket
// that closes it, and reports whether there were any at pos.
func (r *Reader) trailer() bool {
	for {
		w := r.ahead()
		n := tail(w)
		if n > 0 {
			r.advance(n)
			return true
		}
		if n == 0 || len(w) >= maxListHead || !r.affords() || !r.more() {
			r.debt += len(w)
			return false
		}
	}
}

// tail returns the length of the trailer that b begins with, 0 if there is none, and
// -1 if more of it is needed to tell.
func tail(b []byte) int {
	for i := 0; ; {
		name, value, f := nameAndValue(b, i)
		if f == none && !listMember(name) {
			return 0
		}
		end := value
		if f == none {
			end, f = skip(b, value)
		}
		end = space(b, end)
		switch {
		case f == cutShort || f == none && end == len(b):
			return -1
		case f != none:
			return 0
		case b[end] == '}':
			return end + 1
		case b[end] != ',':
			return 0
		}
		i = space(b, end+1)
	}
}

// isEmptyList reports whether a whole object is an EventList that has no items.
func isEmptyList(object []byte) bool {
	if len(object) > maxListHead || !bytes.Contains(object, []byte(`"EventList"`)) {
		return false
	}
	var list struct {
		Kind, APIVersion string
		Items            []json.RawMessage
	}
	err := json.Unmarshal(object, &list)
	return err == nil && list.Kind == "EventList" && strings.HasPrefix(list.APIVersion, group) && len(list.Items) == 0
}

// group is what every version of the API begins with.
const group = "audit.k8s.io/"

// opensArray reports whether the bracket at pos opens an array of objects.
func (r *Reader) opensArray() bool {
	for {
		w := r.window()
		if i := space(w, 1); i < len(w) {
			return w[i] == '{' || w[i] == '[' || w[i] == ']'
		}
		if len(w) >= maxListHead || !r.more() {
			return false
		}
	}
}

// onlySyntax reports whether the rest of the line closes lists and nothing else.
func (r *Reader) onlySyntax() bool {
	n := r.lineEnd()
	if n < 0 {
		n = len(r.window())
	}
	for _, c := range r.window()[:n] {
		if !isSyntax(c) && c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// text reads a line that begins otherwise than with a bracket: a legacy line, or an
// event behind a prefix. Among the items of a list it is one that is no object.
func (r *Reader) text(e *Event, list bool) (done bool, err error) {
	r.fill(maxPrefix + 1)
	w := r.window()
	prefix := prefixLength(w)
	if prefix == 0 && legacyTime(w) == 0 {
		return true, r.noText(e, list)
	}
	n, over := r.wholeLine()
	switch {
	case over && r.growing:
		return true, r.err
	case n > r.max:
		return true, r.setAside(r.begin("a line that is too long"), r.max, false)
	}
	line := trimRight(r.window()[:n])
	if prefix == 0 {
		return true, r.legacy(e, line)
	}
	if r.acceptInside(e, line, line[prefix:]) {
		return true, nil
	}
	return true, r.setAside(r.begin("no audit event after the prefix of the line"), 1, false)
}

// legacy reads a line of the legacy format.
func (r *Reader) legacy(e *Event, line []byte) error {
	if next := nextStart(line, 1); next >= 0 {
		line = trimRight(line[:next])
	}
	err := e.Scan(line)
	switch {
	case err != nil:
		return r.setAside(r.begin(err.Error()), 1, false)
	case bytes.Contains(line, legacyStage) && !bytes.Contains(line, legacyResponse):
		return r.setAside(r.begin("a legacy audit line that ends before its response"), 1, false)
	}
	r.found(e, line)
	return nil
}

// The second and the last member of a legacy line. Only before Kubernetes 1.8 were
// there lines without a stage, and among these some without a response.
var (
	legacyStage    = []byte(` stage="`)
	legacyResponse = []byte(` response="`)
)

// noText sets aside a line that holds no event from its beginning on, or up to the
// next event in it; within a list, items follow one another on one line.
func (r *Reader) noText(e *Event, list bool) error {
	const reason = "a line without an audit event"
	n := r.lineEnd()
	if n < 0 && r.growing && r.err == io.EOF {
		return io.EOF
	}
	if n < 0 {
		return r.setAside(r.begin(reason), 1, list)
	}
	line := r.window()[:n]
	if nextStart(line, 1) >= 0 || bytes.IndexByte(line, 0) >= 0 {
		return r.setAside(r.begin(reason), 1, list)
	}
	return r.noise(e, n, reason)
}

// wholeLine reads on until the line at pos is in the window, or more than max bytes
// of it, and returns its length. It reports whether the stream ended instead.
func (r *Reader) wholeLine() (n int, over bool) {
	for {
		if n = r.lineEnd(); n >= 0 {
			return n, false
		}
		w := r.window()
		if len(w) > r.max {
			return len(w), false
		}
		if !r.grow() {
			return len(w), true
		}
	}
}

// maxPrefix bounds what may stand on a line before an event: the name of a host, a
// time, a stream.
const maxPrefix = 256

// prefixLength returns the length of the prefix of an object on the line that begins
// with b, or 0.
func prefixLength(b []byte) int {
	for i, c := range b[:min(len(b), maxPrefix+1)] {
		switch {
		case c == '{':
			if i > 0 && (b[i-1] == ' ' || b[i-1] == '\t') {
				return i
			}
			return 0
		case c == '"' || c < ' ' && c != '\t':
			return 0
		}
	}
	return 0
}

// accept returns the object at pos as an event if it is one, or holds one.
func (r *Reader) accept(e *Event, object []byte) bool {
	return r.acceptInside(e, object, object)
}

// acceptInside returns raw, which begins at pos, as an event if text, a part of it,
// is an event or holds one.
func (r *Reader) acceptInside(e *Event, raw, text []byte) bool {
	e.Text[Cluster] = nil
	if !r.accepts(e, text) {
		return false
	}
	cluster := e.Text[Cluster]
	r.found(e, raw)
	if len(r.cluster) == 0 && len(cluster) > 0 {
		e.Text[Cluster] = cluster
	}
	return true
}

// maxWraps is how many wrappings an event may be in: a collector's in a cloud's.
const maxWraps = 3

// accepts reads text into e, if text is one event, wrapped or not.
func (r *Reader) accepts(e *Event, text []byte) bool {
	for range maxWraps {
		if e.Scan(text) == nil {
			if !slsFlattens(e) {
				return true
			}
			r.inner = slsEvent(text)
			return r.inner != nil && e.Scan(r.inner) == nil
		}
		inner, entry := unwrap(text)
		switch {
		case entry != nil:
			return entry.fill(e)
		case inner == nil:
			return false
		}
		r.inner = bytes.TrimSpace(inner)
		text = r.inner
	}
	return e.Scan(text) == nil
}

// wrapping is what the carriers put around an event.
type wrapping struct {
	Message   json.RawMessage `json:"message"`  // CloudWatch Logs
	AtMessage json.RawMessage `json:"@message"` // CloudWatch Logs Insights
	Log       json.RawMessage `json:"log"`      // Docker's json-file, Fluent Bit

	// Azure Monitor, with the category "kube-audit" or "kube-audit-admin".
	Properties struct {
		Log json.RawMessage `json:"log"`
	} `json:"properties"`

	ProtoPayload json.RawMessage `json:"protoPayload"` // Google Cloud Logging
}

// unwrap returns the text that a JSON object wraps, or the entry that it is, or
// neither.
func unwrap(object []byte) (inner []byte, entry *gkeEntry) {
	if len(object) == 0 || object[0] != '{' || !wraps(object) {
		return nil, nil
	}
	var w wrapping
	if json.Unmarshal(object, &w) != nil {
		return nil, nil
	}
	if w.ProtoPayload != nil {
		entry = new(gkeEntry)
		if json.Unmarshal(object, entry) != nil || !entry.isAudit() {
			return nil, nil
		}
		return nil, entry
	}
	for _, text := range []json.RawMessage{w.Message, w.AtMessage, w.Log, w.Properties.Log} {
		var s string
		switch {
		case len(text) == 0:
		case text[0] == '{':
			return text, nil
		case json.Unmarshal(text, &s) == nil && s != "":
			return []byte(s), nil
		}
	}
	return nil, nil
}

// wraps reports whether an object has, somewhere, a member that a wrapping has.
func wraps(object []byte) bool {
	for _, name := range []string{`"message"`, `"@message"`, `"log"`, `"protoPayload"`} {
		if bytes.Contains(object, []byte(name)) {
			return true
		}
	}
	return false
}

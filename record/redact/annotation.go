package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// patchPrefix begins the annotations in which kube-apiserver records the patch of an
// admission webhook, which may hold what the object holds.
const patchPrefix = "patch.webhook.admission.k8s.io/"

// annotation returns what is recorded instead of the annotations of an event, a JSON
// object of strings, nil for these themselves.
func (r *Redactor) annotation(w *work, b []byte, topic topic) []byte {
	if len(b) == 0 || len(r.annotations) == 0 && !bytes.Contains(b, []byte(patchPrefix)) {
		return nil
	}
	w.f = finder{c: &r.c, topic: topic, rules: r.annotations, b: b, spans: w.f.spans[:0], path: w.f.path[:0], states: w.f.states}
	f := &w.f
	f.start()
	for i, more := f.first(f.space(0), '}'); more && !f.bad; i, more = f.next(i, '}') {
		key, at := f.key(i)
		if f.bad {
			break
		}
		mark := f.push(key)
		i = f.skip(at)
		if !f.bad && (f.matches() || bytes.HasPrefix(key, []byte(patchPrefix)) && r.patchTells(b[at:i], topic)) {
			f.hit(at, i, asText)
		}
		f.pop(mark)
	}
	if f.bad {
		return fmt.Appendf(nil, `{"kubetrail.io/redacted":"%s"}`, w.appendHash(nil, b))
	}
	return w.rewrite(b)
}

// patchTells reports whether the patch of a webhook in a string has what would be
// replaced in the object.
func (r *Redactor) patchTells(raw []byte, topic topic) bool {
	if raw[0] != '"' {
		return true
	}
	var what struct{ Patch json.RawMessage }
	if json.Unmarshal(unquoted(raw), &what) != nil {
		return true
	}
	if len(what.Patch) == 0 {
		return false
	}
	f := finder{c: &r.c, topic: topic, rules: r.request, b: what.Patch, inner: 1}
	f.body()
	return f.bad || len(f.spans) > 0
}

package redact

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"kubetrail/audit"
	"kubetrail/record"
)

// MinKey is how many bytes a key must have at least.
const MinKey = 32

// Config says what is redacted, and by which key.
type Config struct {
	Key []byte // at least MinKey bytes, random and secret

	Secrets     bool // data and stringData of Secrets
	Tokens      bool // tokens that API servers issue or are asked about, and those in URIs
	LastApplied bool // copies of whole objects in annotations, such as kubectl apply makes
	Env         bool // values of environment variables of containers

	// Paths name what else is replaced, as a question names it: requestObject.spec.key,
	// responseObject.*.password, annotations.example.com/note, responseStatus.message.
	// Everything below is replaced.
	Paths []string
}

// Parse reads what --audit-redact says: "secrets", "tokens", "last-applied", "env" or
// "path=FIELD" each. The Config has no key yet.
func Parse(what []string) (Config, error) {
	var c Config
	for _, w := range what {
		path, isPath := strings.CutPrefix(w, "path=")
		switch {
		case isPath:
			if _, err := parsePath(path); err != nil {
				return Config{}, err
			}
			c.Paths = append(c.Paths, path)
		case w == "secrets":
			c.Secrets = true
		case w == "tokens":
			c.Tokens = true
		case w == "last-applied":
			c.LastApplied = true
		case w == "env":
			c.Env = true
		default:
			return Config{}, fmt.Errorf("%q cannot be redacted: secrets, tokens, last-applied, env and path=FIELD can", w)
		}
	}
	return c, nil
}

// parsePath reads one of Config.Paths.
func parsePath(path string) (audit.Ref, error) {
	ref, err := audit.Resolve(path)
	if err != nil {
		return audit.Ref{}, fmt.Errorf("path %s: %w", path, err)
	}
	switch name := ref.Field.Path; {
	case name == "requestObject", name == "responseObject", name == "annotations", name == "responseStatus.message":
		return ref, nil
	}
	return audit.Ref{}, fmt.Errorf("path %s: only requestObject, responseObject, annotations and responseStatus.message can be redacted", path)
}

// A Redactor redacts events. It is safe for concurrent use.
type Redactor struct {
	c                              Config
	id                             string // "hmac:KEYID:"
	request, response, annotations []rule
	details                        []rule // in responseStatus.details, which repeats the message
	message                        bool   // responseStatus.message is replaced
	pool                           sync.Pool
}

// hashBytes is how much of an HMAC is recorded.
const hashBytes = 16

// New returns a Redactor. It fails where the key is too short, or a path names nothing
// that can be redacted.
func New(c Config) (*Redactor, error) {
	if len(c.Key) < MinKey {
		return nil, fmt.Errorf("has %d bytes, but at least %d are needed", len(c.Key), MinKey)
	}
	id := sha256.Sum256(c.Key)
	r := &Redactor{c: c, id: "hmac:" + hex.EncodeToString(id[:4]) + ":"}
	for _, path := range c.Paths {
		ref, err := parsePath(path)
		if err != nil {
			return nil, err
		}
		r.addPath(ref)
	}
	key := bytes.Clone(c.Key)
	r.c.Key = nil
	r.pool.New = func() any { return &work{mac: hmac.New(sha256.New, key), id: r.id} }
	return r, nil
}

func (r *Redactor) addPath(ref audit.Ref) {
	text := []byte(strings.Join(ref.Sub, "."))
	for i, c := range text {
		text[i] = lower(c)
	}
	made := newRule(string(text))
	switch ref.Field.Path {
	case "requestObject":
		r.request = append(r.request, made)
	case "responseObject":
		r.response = append(r.response, made)
	case "annotations":
		if len(ref.Sub) == 0 {
			made = newRule("*")
		}
		r.annotations = append(r.annotations, made)
	default:
		r.message, r.details = true, []rule{newRule("causes.message")}
	}
}

// Hash returns what stands for value in redacted events: "hmac:", the first 8 hexadecimal
// digits of the SHA-256 of the key, ":" and the first 16 bytes of the HMAC-SHA-256 of
// value in base64url.
func (r *Redactor) Hash(value []byte) string {
	w := r.pool.Get().(*work)
	defer r.pool.Put(w)
	return string(w.appendHash(nil, value))
}

// Redact takes out of e what it must not tell. It must be called before e is encoded.
// Bodies that change are copied: others may hold them.
func (r *Redactor) Redact(e *record.Event) {
	w := r.pool.Get().(*work)
	defer r.keep(w)
	topic := r.topic(e)
	changed := false
	replace := func(at *[]byte, by []byte) {
		if by != nil {
			*at, changed = by, true
		}
	}
	replace(&e.RequestObject, r.body(w, e.RequestObject, topic, r.request))
	replace(&e.ResponseObject, r.body(w, e.ResponseObject, topic, r.response))
	if r.c.Tokens {
		replace(&e.Text[audit.RequestURI], w.uri(e.Text[audit.RequestURI]))
	}
	replace(&e.Text[audit.Annotations], r.annotation(w, e.Text[audit.Annotations], topic))
	if message := e.Text[audit.Message]; len(message) > 0 && (r.message || r.c.quotes(message)) {
		replace(&e.Text[audit.Message], w.appendHash(nil, message))
	}
	replace(&e.Text[audit.StatusDetails], r.body(w, e.Text[audit.StatusDetails], nothing, r.details))
	if changed {
		e.Changed()
	}
}

// keep gives w back for the next call, unless it has grown too large.
func (r *Redactor) keep(w *work) {
	if cap(w.f.spans)*24 > maxKept || cap(w.text) > maxKept || cap(w.f.path) > maxKept || cap(w.f.states)*8 > maxKept {
		return
	}
	w.f.b = nil
	r.pool.Put(w)
}

// topic tells what the resource of e says about its bodies.
func (r *Redactor) topic(e *record.Event) topic {
	switch string(e.Text[audit.Resource]) {
	case "secrets":
		if r.c.Secrets {
			return aSecret
		}
	case "tokenreviews", "tokenrequests":
		if r.c.Tokens {
			return aToken
		}
	default:
		if r.c.Tokens && string(e.Text[audit.Subresource]) == "token" {
			return aToken
		}
	}
	return nothing
}

// body returns what is recorded instead of b, nil for b itself. What is no JSON, and
// should not be here, is replaced as a whole.
func (r *Redactor) body(w *work, b []byte, topic topic, rules []rule) []byte {
	if len(b) == 0 || topic == nothing && len(rules) == 0 && !r.c.Secrets && !r.c.Tokens && !r.c.LastApplied && !r.c.Env {
		return nil
	}
	w.f = finder{c: &r.c, topic: topic, rules: rules, b: b, spans: w.f.spans[:0], path: w.f.path[:0], states: w.f.states}
	w.f.body()
	if w.f.bad {
		return w.whole(b)
	}
	return w.rewrite(b)
}

package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

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
	c      Config
	prefix string // "hmac:KEYID:"
}

// New returns a Redactor. It fails where the key is too short, or a path names nothing
// that can be redacted.
func New(c Config) (*Redactor, error) {
	if len(c.Key) < MinKey {
		return nil, fmt.Errorf("has %d bytes, but at least %d are needed", len(c.Key), MinKey)
	}
	if strings.Trim(string(c.Key), string(c.Key[:1])) == "" {
		return nil, errors.New("is one byte again and again")
	}
	for _, path := range c.Paths {
		if _, err := parsePath(path); err != nil {
			return nil, err
		}
	}
	id := sha256.Sum256(append([]byte("kubetrail redaction key\n"), c.Key...))
	return &Redactor{c: c, prefix: "hmac:" + hex.EncodeToString(id[:4]) + ":"}, nil
}

// Hash returns what stands for value in redacted events: "hmac:", the first 8 hexadecimal
// digits of the SHA-256 of the key, ":" and 16 bytes of the HMAC-SHA-256 of value in
// base64url.
func (r *Redactor) Hash(value []byte) string {
	mac := hmac.New(sha256.New, r.c.Key)
	mac.Write(value) // never fails
	return r.prefix + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// Redact takes out of e what it must not tell. It must be called before e is encoded.
func (r *Redactor) Redact(e *record.Event) {
	for _, body := range []*[]byte{&e.RequestObject, &e.ResponseObject} {
		if len(*body) > 0 {
			*body = []byte(`{"raw":"` + r.Hash(*body) + `"}`)
		}
	}
	e.Changed()
}

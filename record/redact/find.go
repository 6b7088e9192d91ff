package redact

import (
	"bytes"
	"encoding/json"
	"slices"
)

// A coding says how the strings in a span are coded, so that what stands for a value is
// the same wherever the value stands.
type coding uint8

const (
	asText coding = iota // as they are
	asData               // in asData, as data of Secrets
)

// A span is a JSON value that is to be replaced, all scalars below it each for itself.
type span struct {
	start, end int
	how        coding
}

// A place is where in a body a value stands, as far as that matters.
type place uint8

const (
	anywhere place = iota
	subject        // an object of the resource that the request is for
	subjects       // items: a list of them
	rows           // of a Table
	row
	holder // spec or status of an object that has a token
	envList
	envVar
)

// A member is a name that matters.
type member uint8

const (
	other member = iota
	kindName
	dataName
	stringDataName
	itemsName
	rowsName
	objectName
	specName
	statusName
	tokenName
	envName
	valueName
	pathName
	messageName
	copyName // an annotation that holds the whole object
)

// memberOf tells which member a key is. Case does not matter, since it does not to
// decoders of encoding/json, and an object that is refused is recorded all the same.
func memberOf(key []byte) member {
	if len(key) == 0 {
		return other
	}
	if n := len(key); n >= len("kapp.k14s.io/original") && isCopy(key) {
		return copyName
	}
	is := func(name string, m member) member {
		if len(key) <= 2*len(name) && bytes.EqualFold(key, []byte(name)) { // K and ſ fold to longer runes
			return m
		}
		return other
	}
	switch key[0] | 0x20 {
	case 'k', 0xe2:
		return is("kind", kindName)
	case 'd':
		return is("data", dataName)
	case 's', 0xe5:
		return max(is("spec", specName), is("status", statusName), is("stringData", stringDataName))
	case 'i':
		return is("items", itemsName)
	case 'r':
		return is("rows", rowsName)
	case 'o':
		return is("object", objectName)
	case 't':
		return is("token", tokenName)
	case 'e':
		return is("env", envName)
	case 'v':
		return is("value", valueName)
	case 'm':
		return is("message", messageName)
	case 'p':
		return is("path", pathName)
	}
	return other
}

// isCopy tells annotations in which tools keep the object as they applied it.
func isCopy(key []byte) bool {
	return bytes.HasSuffix(key, []byte("/last-applied-configuration")) || // kubectl, and others by its example
		bytes.HasSuffix(key, []byte("/last-applied")) || // banzaicloud.com
		string(key) == "kapp.k14s.io/original" || string(key) == "objectset.rio.cattle.io/applied"
}

// A topic is what the resource of a request says about its bodies.
type topic uint8

const (
	nothing topic = iota
	aSecret
	aToken // TokenRequest or TokenReview
)

// maxDepth is how deep bodies may be nested, as for encoding/json.
const maxDepth = 10_000

// A finder finds what is to be replaced in one body, in one pass. Whether an object is a
// Secret may be known only after its data was passed: a frame remembers where that was.
type finder struct {
	c     *Config
	topic topic
	rules []rule // paths in this body
	b     []byte

	spans  []span
	path   []byte // where the finder is, in lower case; kept where there are rules
	states []int  // of the rules, by level
	depth  int
	inner  int  // how many strings this body was taken out of
	bad    bool // it is no JSON
}

func (f *finder) hit(start, end int, how coding) {
	if start < end {
		f.spans = append(f.spans, span{start, end, how})
	}
}

// body finds in the whole of b.
func (f *finder) body() {
	f.start()
	i := f.space(0)
	var end int
	switch {
	case f.matches():
		end = f.skip(i)
		f.hit(i, end, asText)
	case f.inner == 0 && f.hidesAll() && f.isRaw(i):
		end = f.skip(i)
		f.hit(i, end, asData)
	case f.peek(i) == '[':
		end = f.operations(i)
	default:
		end = f.value(i, subject, nil)
	}
	f.bad = f.bad || f.space(end) != len(f.b)
}

// value finds in the value at i and returns its end. out is set for the spec and the
// status of an object: its frame.
func (f *finder) value(i int, p place, out *frame) int {
	switch f.peek(i) {
	case '{':
		return f.object(i, p, out)
	case '[':
		return f.array(i, p)
	}
	return f.skip(i)
}

func (f *finder) array(i int, p place) int {
	switch p {
	case subjects:
		p = subject
	case rows:
		p = row
	case envList:
		p = envVar
	default:
		p = anywhere
	}
	for i, more := f.first(i, ']'); ; i, more = f.next(i, ']') {
		if !more {
			return i
		}
		i = f.value(i, p, nil)
		if f.bad {
			return i
		}
	}
}

// A frame is what is known of an object that is being passed.
type frame struct {
	secret, list, token bool // by its kind

	noted [6]span // what is a secret if the kind is one
	whose [6]member
	n     int
}

// note remembers a value until the kind is known. Where there are too many, as only
// members given twice can be, it is replaced at once.
func (f *finder) note(fr *frame, m member, s span) {
	if fr.n == len(fr.noted) {
		f.hit(s.start, s.end, s.how)
		return
	}
	fr.noted[fr.n], fr.whose[fr.n] = s, m
	fr.n++
}

// settle replaces what was noted and is secret by the kind.
func (f *finder) settle(fr *frame) {
	for k, s := range fr.noted[:fr.n] {
		secret := fr.secret && f.c.Secrets
		switch fr.whose[k] {
		case itemsName:
			secret = fr.list && f.c.Secrets
		case tokenName:
			secret = fr.token && f.c.Tokens
		}
		if secret {
			f.hit(s.start, s.end, s.how)
		}
	}
}

func (f *finder) object(i int, p place, out *frame) int {
	var fr frame
	for i, more := f.first(i, '}'); ; i, more = f.next(i, '}') {
		if !more {
			f.settle(&fr)
			return i
		}
		key, at := f.key(i)
		if f.bad {
			return i
		}
		m := memberOf(key)
		mark := f.push(key)
		i = f.member(at, p, m, &fr, out)
		f.pop(mark)
		if f.bad {
			return i
		}
	}
}

// member finds in the value at i of a member m of an object at p.
func (f *finder) member(i int, p place, m member, fr, out *frame) int {
	next, how, is := f.step(p, m)
	if is || f.matches() {
		end := f.skip(i)
		f.hit(i, end, how)
		return end
	}
	switch m {
	case kindName:
		end := f.skip(i)
		f.kind(fr, i, end)
		return end
	case copyName, messageName:
		if f.peek(i) != '"' {
			break
		}
		end := f.skip(i)
		switch {
		case f.bad:
		case m == copyName && f.copyTells(i, end), m == messageName && f.c.quotes(unquoted(f.b[i:end])):
			f.hit(i, end, asText)
		}
		return end
	case specName, statusName:
		return f.value(i, next, fr)
	case dataName, stringDataName, itemsName:
		end := f.value(i, next, nil)
		if next == anywhere {
			s := span{i, end, asText}
			if m == dataName {
				s.how = asData
			}
			f.note(fr, m, s)
		}
		return end
	case tokenName:
		end := f.value(i, next, nil)
		if out != nil {
			f.note(out, m, span{i, end, asText})
		}
		return end
	}
	return f.value(i, next, nil)
}

// step goes from an object at p to its member m: to another place, or to what is to be
// replaced.
func (f *finder) step(p place, m member) (next place, how coding, is bool) {
	secret, token := f.topic == aSecret && p == subject, f.topic == aToken && p == subject
	switch m {
	case dataName:
		return anywhere, asData, secret
	case stringDataName:
		return anywhere, asText, secret
	case copyName:
		return anywhere, asText, f.c.LastApplied
	case itemsName:
		if p == subject && f.topic != nothing {
			return subjects, asText, false
		}
	case rowsName:
		if p == subject && f.topic != nothing {
			return rows, asText, false
		}
	case objectName:
		if p == row || p == subject && f.topic != nothing {
			return subject, asText, false
		}
	case specName, statusName:
		if token {
			return holder, asText, false
		}
	case tokenName:
		return anywhere, asText, p == holder
	case envName:
		if f.c.Env {
			return envList, asText, false
		}
	case valueName:
		return anywhere, asText, p == envVar
	}
	return anywhere, asText, false
}

// quotes reports whether a message quotes what is redacted. Where somebody changes what
// must not be changed, kube-apiserver answers with the whole template of a Job, or with
// the difference of two Pods; up to 1.22 it quoted bodies that it could not decode.
func (c *Config) quotes(message []byte) bool {
	return c.Env && (bytes.Contains(message, []byte("EnvVar")) || bytes.Contains(message, []byte(`"env"`))) ||
		(c.Env || c.Secrets || c.Tokens) && bytes.Contains(message, []byte("byte of ...|"))
}

// kind notes the kind of an object.
func (f *finder) kind(fr *frame, i, end int) {
	if f.bad || f.b[i] != '"' {
		return
	}
	kind := unquoted(f.b[i:end])
	switch {
	case bytes.EqualFold(kind, []byte("Secret")):
		fr.secret = true
	case bytes.EqualFold(kind, []byte("SecretList")):
		fr.list = true
	case bytes.EqualFold(kind, []byte("TokenRequest")), bytes.EqualFold(kind, []byte("TokenReview")):
		fr.token = true
	}
}

// hidesAll reports whether a body that could not be read has to be replaced as a whole.
func (f *finder) hidesAll() bool { return f.topic != nothing || f.c.Env || len(f.rules) > 0 }

// isRaw reports whether the value at i is what is recorded of a body that could not be
// read: an object with one member, raw.
func (f *finder) isRaw(i int) bool {
	if f.peek(i) != '{' {
		return false
	}
	g := finder{b: f.b}
	i, more := g.first(i, '}')
	if !more {
		return false
	}
	key, at := g.key(i)
	if g.bad || string(key) != "raw" {
		return false
	}
	_, more = g.next(g.skip(at), '}')
	return !more && !g.bad
}

const (
	// maxInner bounds how many copies of objects are looked into that are in one another.
	maxInner = 2
	// maxPath is how long the path of a copy may be that is looked into. No object has a
	// longer one, and a body may have very many copies at the end of it.
	maxPath = 512
)

// copyTells reports whether the copy of an object in the string at i has what would be
// replaced in the object. What cannot be read might.
func (f *finder) copyTells(i, end int) bool {
	text := unquoted(f.b[i:end])
	if len(text) == 0 || text[0] != '{' || !json.Valid(text) || f.inner == maxInner || len(f.path) > maxPath {
		return f.c.Secrets || f.c.Env || len(f.rules) > 0
	}
	g := finder{c: f.c, topic: f.topic, rules: f.rules, b: text, inner: f.inner + 1}
	if at := bytes.LastIndex(f.path, []byte("metadata.annotations.")); at > 0 {
		g.path = slices.Clone(f.path[:at-1])
	}
	g.body()
	return g.bad || len(g.spans) > 0
}

package wire

import (
	"encoding/json"
	"io"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// maxKept is how much is kept of a body that cannot be read while it passes, and of
	// an answer that may be a metav1.Status.
	maxKept = 64 << 10
	// maxText is how long a name or another text of Meta may be, as it stands in the body.
	maxText = 1 << 10
)

// Meta is what an event says of an object at every level, and what says which it is.
type Meta struct {
	APIVersion, Kind                                    string
	Name, GenerateName, Namespace, UID, ResourceVersion string
}

// Object begins to look at the object of a request that is sent with the headers given: w
// is written its body, and told says what stands in its metadata when all of that has
// passed, nothing if it is not known. See [ObjectLook]. It returns nil for a body of no
// object.
func Object(contentType, contentEncoding string) (w io.Writer, told func() (namespace, name, uid, resourceVersion string)) {
	o := NewObjectLook(contentType, contentEncoding)
	if o.lost {
		return nil, nil
	}
	return &o, func() (namespace, name, uid, resourceVersion string) {
		m, _ := o.Meta()
		return m.Namespace, m.Name, m.UID, m.ResourceVersion
	}
}

// An ObjectLook looks at one object while it passes, for a request whose body is not
// recorded. Of JSON and protobuf it keeps the texts of Meta alone; of YAML, CBOR and what
// is packed by gzip at most 64 KiB, and where such a body is larger it knows nothing.
//
// What a body says twice counts as it does for kube-apiserver, so that nobody can have
// another name recorded than that of what is made. The last text wins. Into a type that it
// was compiled with, members of several "metadata" add up and null changes nothing; of
// custom resources the last metadata counts alone, and whatever was of a wrong type before
// it does not matter. Names are case sensitive. Texts longer than 1 KiB are not told. JSON
// is not checked further than finding its end takes: whether the server takes the body, its
// answer tells.
//
// It is not safe for concurrent use.
type ObjectLook struct {
	format format
	packed string // Content-Encoding, if the body must be unpacked
	kept   []byte // of a body that cannot be read while it passes
	lost   bool   // nothing is known
	meta   Meta
	json   jsonLook
	proto  protoLook
}

// NewObjectLook begins to look at a body with the headers given.
func NewObjectLook(contentType, contentEncoding string) ObjectLook {
	o := ObjectLook{format: formatOf(contentType)}
	if contentEncoding != "" && contentEncoding != "identity" {
		o.packed = contentEncoding
	}
	o.lost = o.format == formatUnknown
	return o
}

// Write is told the next bytes of the body. It never fails, and does not keep p.
func (o *ObjectLook) Write(p []byte) (int, error) {
	switch {
	case o.lost:
	case o.packed == "" && o.format == formatJSON:
		o.lost = !o.json.write(p, &o.meta)
	case o.packed == "" && o.format == formatProtobuf:
		o.lost = !o.proto.write(p, &o.meta)
	case len(o.kept)+len(p) > maxKept:
		o.kept, o.lost = nil, true
	default:
		o.kept = append(o.kept, p...)
	}
	return len(p), nil
}

// Meta tells what the body said, when all of it has passed, and whether it is known.
func (o *ObjectLook) Meta() (Meta, bool) {
	if o.kept != nil && !o.lost {
		o.readKept()
	}
	switch {
	case o.lost || !o.json.ended && !o.proto.complete():
		return Meta{}, false
	case !o.json.ended:
		return o.meta, true
	}
	last := o.json.last // what counts where the server has no type
	last.APIVersion, last.Kind = o.meta.APIVersion, o.meta.Kind
	if last == o.meta && !o.json.mistyped {
		return o.meta, true
	}
	if !isCompiledIn(last.APIVersion) {
		return last, true
	}
	if o.json.mistyped {
		return Meta{}, false
	}
	return o.meta, true
}

// isCompiledIn tells whether kube-apiserver has types of its own for a version.
func isCompiledIn(apiVersion string) bool {
	switch group := schema.FromAPIVersionAndKind(apiVersion, "").Group; group {
	case "apiextensions.k8s.io", "apiregistration.k8s.io", "internal.apiserver.k8s.io":
		return true
	default:
		return scheme().IsGroupRegistered(group)
	}
}

// readKept turns what was kept into JSON, and looks at that.
func (o *ObjectLook) readKept() {
	kept := o.kept
	o.kept = nil
	if o.format == formatProtobuf {
		kept, err := unpack(o.packed, kept, MaxSize)
		o.lost = err != nil || !o.proto.write(kept, &o.meta)
		return
	}
	out, err := contentJSON(o.format, o.packed, kept, MaxSize)
	o.lost = err != nil || !o.json.write(out, &o.meta)
}

// A member is what a name in an object stands for.
type member uint8

const (
	otherMember member = iota
	metadataMember
	textMembers // from here, those whose values are texts
	apiVersionMember
	kindMember
	nameMember
	generateNameMember
	namespaceMember
	uidMember
	resourceVersionMember
)

// text returns where the text of a member goes.
func (m *Meta) text(f member) *string {
	switch f {
	case apiVersionMember:
		return &m.APIVersion
	case kindMember:
		return &m.Kind
	case nameMember:
		return &m.Name
	case generateNameMember:
		return &m.GenerateName
	case namespaceMember:
		return &m.Namespace
	case uidMember:
		return &m.UID
	default:
		return &m.ResourceVersion
	}
}

// memberOf finds what a name at a depth stands for. The name is as it stands between its
// quotes.
func memberOf(name []byte, depth int) member {
	for _, b := range name {
		if b == '\\' {
			name = []byte(plainText(name))
			break
		}
	}
	if depth == 1 {
		switch string(name) {
		case "metadata":
			return metadataMember
		case "kind":
			return kindMember
		case "apiVersion":
			return apiVersionMember
		}
		return otherMember
	}
	switch string(name) {
	case "name":
		return nameMember
	case "generateName":
		return generateNameMember
	case "namespace":
		return namespaceMember
	case "uid":
		return uidMember
	case "resourceVersion":
		return resourceVersionMember
	}
	return otherMember
}

// plainText returns the text of a string of JSON whose bytes between its quotes are raw,
// or nothing if it is malformed.
func plainText(raw []byte) string {
	for _, b := range raw {
		if b == '\\' || b < ' ' || b >= 0x80 {
			var s string
			quoted := append(append([]byte{'"'}, raw...), '"')
			_ = json.Unmarshal(quoted, &s)
			return s
		}
	}
	return string(raw)
}

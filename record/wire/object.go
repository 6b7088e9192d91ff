package wire

import (
	"encoding/json"
	"io"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// maxText is how long a name or another text of an object may be, as it stands in the body.
const maxText = 1 << 10

// texts are what an event says of an object at every level, and what says which it is.
type texts struct {
	APIVersion, Kind                                    string
	Name, GenerateName, Namespace, UID, ResourceVersion string
}

// Object begins to look at the object of a request that is sent with the headers given: w
// is written its body, and told says what stands in its metadata when all of that has
// passed, nothing if it is not known. It returns nil for what cannot be looked at so: only
// JSON and protobuf can, of which nothing is kept but the texts told.
//
// What a body says twice counts as it does for kube-apiserver, so that nobody can have
// another name recorded than that of what is made. The last text wins. Into a type that it
// was compiled with, members of several "metadata" add up and null changes nothing; of
// custom resources the last metadata counts alone, and whatever was of a wrong type before
// it does not matter. Names are case sensitive. Texts longer than 1 KiB are not told. JSON
// is not checked further than finding its end takes: whether the server takes the body, its
// answer tells.
func Object(contentType, contentEncoding string) (w io.Writer, told func() (namespace, name, uid, resourceVersion string)) {
	o := objectLook{format: formatOf(contentType)}
	if o.format != formatJSON && o.format != formatProtobuf || contentEncoding != "" && contentEncoding != "identity" {
		return nil, nil
	}
	return &o, func() (namespace, name, uid, resourceVersion string) {
		m, _ := o.told()
		return m.Namespace, m.Name, m.UID, m.ResourceVersion
	}
}

// An objectLook looks at one object while it passes. It is not safe for concurrent use.
type objectLook struct {
	format format
	lost   bool // nothing is known
	meta   texts
	json   jsonLook
	proto  protoLook
}

// Write is told the next bytes of the body. It never fails, and does not keep p.
func (o *objectLook) Write(p []byte) (int, error) {
	switch {
	case o.lost:
	case o.format == formatJSON:
		o.lost = !o.json.write(p, &o.meta)
	default:
		o.lost = !o.proto.write(p, &o.meta)
	}
	return len(p), nil
}

// told tells what the body said, when all of it has passed, and whether it is known.
func (o *objectLook) told() (texts, bool) {
	switch {
	case o.lost || !o.json.ended && !o.proto.complete():
		return texts{}, false
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
		return texts{}, false
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
func (m *texts) text(f member) *string {
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

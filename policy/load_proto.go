package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"
)

// protobufPrefix begins a file in protobuf. Nobody writes a policy so, but
// kube-apiserver reads it.
const protobufPrefix = "k8s\x00"

// unknownMessage wraps every object. Upstream: runtime.Unknown.
type unknownMessage struct {
	TypeMeta        metaTypeMeta
	Raw             []byte
	ContentEncoding string
	ContentType     string
}

// timestampMessage is what a Time is written as.
type timestampMessage struct {
	Seconds int64
	Nanos   int32
}

// rawMessage is what holds bytes of another format.
type rawMessage struct{ Raw []byte }

// protoMessage is the name of a message and its fields by number, named as ours are.
type protoMessage struct {
	name   string
	fields map[int32]string
}

var protoMessages = map[reflect.Type]protoMessage{
	reflect.TypeFor[unknownMessage]():   {"Unknown", map[int32]string{1: "TypeMeta", 2: "Raw", 3: "ContentEncoding", 4: "ContentType"}},
	reflect.TypeFor[metaTypeMeta]():     {"TypeMeta", map[int32]string{1: "APIVersion", 2: "Kind"}},
	reflect.TypeFor[timestampMessage](): {"Timestamp", map[int32]string{1: "Seconds", 2: "Nanos"}},
	reflect.TypeFor[rawMessage]():       {"FieldsV1", map[int32]string{1: "Raw"}},
	reflect.TypeFor[Policy]():           {"Policy", map[int32]string{1: "Metadata", 2: "Rules", 3: "OmitStages", 4: "OmitManagedFields"}},
	reflect.TypeFor[PolicyRule](): {"PolicyRule", map[int32]string{1: "Level", 2: "Users", 3: "UserGroups", 4: "Verbs", 5: "Resources",
		6: "Namespaces", 7: "NonResourceURLs", 8: "OmitStages", 9: "OmitManagedFields"}},
	reflect.TypeFor[GroupResources](): {"GroupResources", map[int32]string{1: "Group", 2: "Resources", 3: "ResourceNames"}},
	reflect.TypeFor[ObjectMeta](): {"ObjectMeta", map[int32]string{1: "Name", 2: "GenerateName", 3: "Namespace", 4: "SelfLink", 5: "UID",
		6: "ResourceVersion", 7: "Generation", 8: "CreationTimestamp", 9: "DeletionTimestamp", 10: "DeletionGracePeriodSeconds",
		11: "Labels", 12: "Annotations", 13: "OwnerReferences", 14: "Finalizers", 17: "ManagedFields"}},
	reflect.TypeFor[OwnerReference](): {"OwnerReference", map[int32]string{1: "Kind", 3: "Name", 4: "UID", 5: "APIVersion", 6: "Controller", 7: "BlockOwnerDeletion"}},
	reflect.TypeFor[ManagedFieldsEntry](): {"ManagedFieldsEntry", map[int32]string{1: "Manager", 2: "Operation", 3: "APIVersion", 4: "Time",
		6: "FieldsType", 7: "FieldsV1", 8: "Subresource"}},
}

// decodeProtobuf decodes what follows the prefix. Of what is no policy, only the kind
// is looked at, and metadata.clusterName, up to 1.24, is skipped.
func (s scheme) decodeProtobuf(data []byte) (*decoded, error) {
	if len(data) == 0 {
		return nil, errors.New("empty body")
	}
	var u unknownMessage
	if err := newProtoReader(data).message(reflect.ValueOf(&u).Elem()); err != nil {
		return nil, err
	}
	v, err := parseGroupVersion(u.TypeMeta.APIVersion)
	if err != nil || v.version == "" {
		v = groupVersion{auditGroup, internalVersion}
	}
	kind := u.TypeMeta.Kind
	if kind == "" {
		kind = "Policy"
	}
	into, err := s.create(v, kind)
	if err != nil {
		return nil, err
	}
	if _, ok := into.(*internalEvent); ok { // by chance, as it embeds one message only
		if err := newProtoReader(u.Raw).message(reflect.ValueOf(new(metaTypeMeta)).Elem()); err != nil {
			return nil, err
		}
	} else if v.version == internalVersion {
		return nil, fmt.Errorf("object *%s does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message", upstreamTypeOf(into, v.version))
	}
	d, err := s.convert(into, v, nil)
	if err != nil {
		return nil, err
	}
	return d, newProtoReader(u.Raw).message(reflect.ValueOf(d.policy).Elem())
}

// The errors of gogo/protobuf, which upstream's code is generated with.
var (
	errProtoLength   = errors.New("proto: negative length found during unmarshaling")
	errProtoOverflow = errors.New("proto: integer overflow")
	errProtoGroup    = errors.New("proto: unexpected end of group")
)

// The wire types.
const (
	wireVarint, wireFixed64, wireBytes, wireGroup, wireEndGroup, wireFixed32 = 0, 1, 2, 3, 4, 5
)

// protoReader reads the fields of a message.
type protoReader struct {
	data []byte // what remains
	size int    // of the whole message
}

func newProtoReader(data []byte) *protoReader { return &protoReader{data, len(data)} }

// beyond is the error for a length that the message does not have: upstream counts
// with 64 bits, and notices where they do not suffice.
func (r *protoReader) beyond(length uint64) error {
	if int64(length) < 0 || int64(length)+int64(r.size-len(r.data)) < 0 {
		return errProtoLength
	}
	return io.ErrUnexpectedEOF
}

func (r *protoReader) varint() (value uint64, err error) {
	for shift := 0; ; shift += 7 {
		if shift >= 64 {
			return 0, errProtoOverflow
		}
		if len(r.data) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		b := r.data[0]
		r.data = r.data[1:]
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return value, nil
		}
	}
}

// bytes reads a length and as many bytes, whose capacity reaches to the end of the
// message.
func (r *protoReader) bytes() ([]byte, error) {
	length, err := r.varint()
	if err != nil {
		return nil, err
	}
	if length > uint64(len(r.data)) {
		return nil, r.beyond(length)
	}
	value := r.data[:length:len(r.data)]
	r.data = r.data[length:]
	return value, nil
}

// message reads all fields into a struct that protoMessages knows.
func (r *protoReader) message(into reflect.Value) error {
	m := protoMessages[into.Type()]
	for len(r.data) > 0 {
		field := *r
		wire, err := r.varint()
		if err != nil {
			return err
		}
		number, wireType := int32(wire>>3), int(wire&7)
		if wireType == wireEndGroup {
			return fmt.Errorf("proto: %s: wiretype end group for non-group", m.name)
		}
		if number <= 0 {
			return fmt.Errorf("proto: %s: illegal tag %d (wire type %d)", m.name, number, wire)
		}
		name, ok := m.fields[number]
		if !ok {
			if err := field.skip(); err != nil {
				return err
			}
			*r = field
			continue
		}
		if err := r.field(into.FieldByName(name), wireType, name); err != nil {
			return err
		}
	}
	return nil
}

// field reads a field of the wire type given.
func (r *protoReader) field(into reflect.Value, wireType int, name string) error {
	if name == "Metadata" {
		name = "ObjectMeta"
	}
	if into.Kind() == reflect.Pointer {
		if into.IsNil() {
			into.Set(reflect.New(into.Type().Elem()))
		}
		into = into.Elem()
	}
	want := wireBytes
	if into.Kind() == reflect.Bool || into.CanInt() {
		want = wireVarint
	}
	if wireType != want {
		return fmt.Errorf("proto: wrong wireType = %d for field %s", wireType, name)
	}
	if want == wireVarint {
		value, err := r.varint()
		if err != nil {
			return err
		}
		if into.Kind() == reflect.Bool {
			into.SetBool(value != 0)
		} else {
			into.SetInt(int64(value))
		}
		return nil
	}
	value, err := r.bytes()
	if err != nil {
		return err
	}
	return readProto(into, value)
}

// readProto reads the bytes of a field: a string, a message, one more of several, or
// an entry of a map.
func readProto(into reflect.Value, value []byte) error {
	r := newProtoReader(value)
	switch of := into.Addr().Interface().(type) {
	case *Time:
		var t timestampMessage
		*of = Time{}
		if len(value) == 0 {
			return nil
		}
		err := r.message(reflect.ValueOf(&t).Elem())
		of.Time = time.Unix(t.Seconds, 0).UTC()
		return err
	case *json.RawMessage:
		var raw rawMessage
		err := r.message(reflect.ValueOf(&raw).Elem())
		*of = raw.Raw
		return err
	case *[]byte:
		*of = value
		return nil
	case *map[string]string:
		if *of == nil {
			*of = map[string]string{}
		}
		return readEntry(*of, value)
	}
	switch into.Kind() {
	case reflect.String:
		into.SetString(string(value))
		return nil
	case reflect.Slice:
		into.Set(reflect.Append(into, reflect.Zero(into.Type().Elem())))
		return readProto(into.Index(into.Len()-1), value)
	}
	return r.message(into)
}

// readEntry reads an entry of a map. Upstream takes for the end of a string that of
// the message around it.
func readEntry(into map[string]string, entry []byte) error {
	r := newProtoReader(entry[:cap(entry)])
	left := func() int { return len(entry) - (r.size - len(r.data)) }
	var parts [2]string
	for left() > 0 {
		field := *r
		wire, err := r.varint()
		if err != nil {
			return err
		}
		if number := int32(wire >> 3); number == 1 || number == 2 {
			value, err := r.bytes()
			if err != nil {
				return err
			}
			parts[number-1] = string(value)
			continue
		}
		if err := field.skip(); err != nil {
			return err
		}
		if *r = field; left() < 0 {
			return io.ErrUnexpectedEOF
		}
	}
	into[parts[0]] = parts[1]
	return nil
}

// skip reads over one field, or a group of them.
func (r *protoReader) skip() error {
	for depth := 0; ; {
		if len(r.data) == 0 {
			return io.ErrUnexpectedEOF
		}
		wire, err := r.varint()
		if err != nil {
			return err
		}
		size := uint64(0)
		switch wire & 7 {
		case wireVarint:
			_, err = r.varint()
		case wireFixed64:
			size = 8
		case wireBytes:
			size, err = r.varint()
		case wireGroup:
			depth++
		case wireEndGroup:
			if depth == 0 {
				return errProtoGroup
			}
			depth--
		case wireFixed32:
			size = 4
		default:
			return fmt.Errorf("proto: illegal wireType %d", wire&7)
		}
		switch {
		case err != nil:
			return err
		case size > uint64(len(r.data)):
			return r.beyond(size)
		}
		r.data = r.data[size:]
		if depth == 0 {
			return nil
		}
	}
}

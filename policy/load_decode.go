package policy

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"kubetrail/internal/place"
)

const (
	auditGroup      = "audit.k8s.io"
	internalVersion = "__internal"
)

// groupVersion is an apiVersion.
type groupVersion struct{ group, version string }

// parseGroupVersion takes an apiVersion apart. Upstream: schema.ParseGroupVersion.
func parseGroupVersion(text string) (groupVersion, error) {
	if text == "" || text == "/" {
		return groupVersion{}, nil
	}
	switch strings.Count(text, "/") {
	case 0:
		return groupVersion{"", text}, nil
	case 1:
		group, version, _ := strings.Cut(text, "/")
		return groupVersion{group, version}, nil
	}
	return groupVersion{}, fmt.Errorf("unexpected GroupVersion string: %v", text)
}

func (v groupVersion) String() string {
	if v.group == "" {
		return v.version
	}
	return v.group + "/" + v.version
}

// scheme is what a release can read.
type scheme struct {
	release Kubernetes
	old     bool // v1beta1 and v1alpha1 as well
}

// name is how errors name the scheme: where upstream's source makes it.
func (s scheme) name() string {
	line := 111
	switch {
	case s.release <= 32:
		line = 100
	case s.release <= 34:
		line = 110
	}
	return fmt.Sprintf("pkg/runtime/scheme.go:%d", line)
}

// decoded is a file that is a policy, of the internal version or another.
type decoded struct {
	version groupVersion
	policy  *Policy // nil of the internal version, which is refused later

	// strict are the faults that only strict decoding sees, in upstream's order.
	strict []error
}

// fault is why a file cannot be decoded.
type fault struct {
	text  string // upstream's
	path  string // what is to blame, where that is clear
	cause error  // what tells the place; may be nil
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.cause }

// decode reads data as the universal decoder of upstream's audit scheme does.
func (s scheme) decode(data []byte) (*decoded, error) {
	switch {
	case place.IsJSON(data):
		return s.decodeJSON(data, data)
	case bytes.HasPrefix(data, []byte(protobufPrefix)):
		return s.decodeProtobuf(data[len(protobufPrefix):])
	}
	asJSON, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil, s.yamlError(err)
	}
	d, err := s.decodeJSON(asJSON, data)
	if err != nil {
		return nil, err
	}
	if _, err := yaml.YAMLToJSONStrict(data); err != nil {
		d.strict = append([]error{err}, d.strict...)
	}
	return d, nil
}

// lowerCaseKeys is the first release whose YAML library starts an error in lower case.
const lowerCaseKeys = 31

// yamlError is err as the YAML library of the release puts it.
func (s scheme) yamlError(err error) error {
	if rest, ok := strings.CutPrefix(err.Error(), "unsupported map key"); ok && s.release < lowerCaseKeys {
		return &fault{text: "Unsupported map key" + rest, cause: err}
	}
	return err
}

// decodeJSON decodes data, which original was turned into.
func (s scheme) decodeJSON(data, original []byte) (*decoded, error) {
	v, kind, err := interpret(data)
	if err != nil {
		return nil, err
	}
	if v.version == "" && (v.group == "" || v.group == auditGroup) {
		v = groupVersion{auditGroup, internalVersion}
	}
	if v.version == "" {
		return nil, &fault{text: fmt.Sprintf("Object 'apiVersion' is missing in '%s'", original), path: "apiVersion"}
	}
	into, err := s.create(v, kind)
	if err != nil {
		return nil, err
	}
	strict, err := json.UnmarshalStrict(data, into)
	if err != nil {
		return nil, s.upstreamError(err, v.version)
	}
	return s.convert(into, v, strict)
}

// interpret reads the version and the kind of an object.
func interpret(data []byte) (groupVersion, string, error) {
	var meta struct { // its text is part of errors
		APIVersion string `json:"apiVersion,omitempty"`
		Kind       string `json:"kind,omitempty"`
	}
	if err := stdjson.Unmarshal(data, &meta); err != nil {
		return groupVersion{}, "", &fault{text: "couldn't get version/kind; json parse error: " + err.Error(), cause: err}
	}
	v, err := parseGroupVersion(meta.APIVersion)
	if err != nil {
		return v, "", &fault{text: err.Error(), path: "apiVersion"}
	}
	if meta.Kind == "" {
		meta.Kind = "Policy"
	}
	return v, meta.Kind, nil
}

// create makes what a file of version v and kind is decoded into.
func (s scheme) create(v groupVersion, kind string) (any, error) {
	if into := registered(v, kind, s.release, s.old); into != nil {
		return into, nil
	}
	f := &fault{text: fmt.Sprintf("no kind %q is registered for version %q in scheme %q", kind, v.String(), s.name()), path: "kind"}
	if registered(v, "Policy", s.release, s.old) == nil {
		f.path = "apiVersion"
	}
	if v.version == internalVersion {
		f.text = fmt.Sprintf("no kind %q is registered for the internal version of group %q in scheme %q", kind, v.group, s.name())
	}
	return nil, f
}

// convert makes a policy of into.
func (s scheme) convert(into any, v groupVersion, strict []error) (*decoded, error) {
	d := &decoded{version: v, strict: strict}
	switch p := into.(type) {
	case *Policy:
		d.policy = p
	case *auditClusterNamedPolicy:
		d.policy = &p.Policy
		d.policy.Metadata = p.Metadata.ObjectMeta
	case *internalPolicy:
	default:
		return nil, &fault{text: fmt.Sprintf("converting (%s) to (audit.Policy): unknown conversion", upstreamTypeOf(into, v.version)), path: "kind"}
	}
	return d, nil
}

// upstreamError gives an error of the JSON decoder upstream's names of types.
func (s scheme) upstreamError(err error, version string) error {
	t, ok := errors.AsType[*stdjson.UnmarshalTypeError](err)
	if !ok {
		return err
	}
	text := "json: cannot unmarshal " + t.Value + " into Go "
	if t.Struct != "" || t.Field != "" {
		_, name := upstreamName(t.Struct, version)
		text += "struct field " + name + "." + s.upstreamField(t.Field)
	} else {
		text += "value"
	}
	return &fault{text: text + " of type " + upstreamType(t.Type, version), cause: err}
}

// embeddedInFields is the first release whose decoder names embedded structs in the
// path of a member.
const embeddedInFields = 35

// upstreamField is the path of a member as upstream names it: our types embed where
// upstream's do not.
func (s scheme) upstreamField(path string) string {
	var parts []string
	for part := range strings.SplitSeq(path, ".") {
		switch part {
		case "metaTypeMeta", "metaListMeta", "ObjectMeta":
			if s.release >= embeddedInFields {
				parts = append(parts, strings.TrimPrefix(part, "meta"))
			}
		case "Policy", "auditListedMembers", "auditEvent", "auditEventMembers", "auditBetaEvent", "auditAlphaObjectReference":
		default:
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ".")
}

package schema

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed types.tsv
var types string

// Form is what the values of a type look like in JSON.
type Form uint8

const (
	Any         Form = iota // any JSON, kept as it is: RawExtension, JSONSchemaProps.default
	String                  // a string
	Bool                    // true or false
	Int32                   // an integer
	Int64                   // an integer
	Number                  // a number
	Bytes                   // base64 in a string
	Quantity                // a string or number, stored in the canonical form of resource.Quantity
	IntOrString             // an integer or a string
	Time                    // RFC 3339 in UTC, to the second
	MicroTime               // RFC 3339 in UTC, with six digits of fraction
	Duration                // what time.Duration prints
	Struct                  // an object with known fields
	Map                     // an object with any keys and values of one type
	List                    // a list with items of one type
)

// ListKind is x-kubernetes-list-type: how server-side apply treats the items of a list.
type ListKind uint8

const (
	AtomicList ListKind = iota // replaced as a whole
	SetList                    // each value occurs once, and has owners of its own
	MapList                    // the items are objects, told apart by [Type.Keys]
)

// Type is the type of a field, or of an object. It must not be changed.
type Type struct {
	Name   string // of a Struct, like core.v1.Container; "" for others
	Form   Form
	Atomic bool  // of a Struct or Map: server-side apply treats it as one value
	Item   *Type // of a List or Map
	List   ListKind
	Keys   []string // of a MapList: x-kubernetes-list-map-keys

	Fields []*Field // of a Struct, ordered by name
	byName map[string]*Field
}

// Field is a field of a Struct.
type Field struct {
	Name string
	Type *Type

	// How Go encodes what is empty. A field that is neither a pointer nor OmitEmpty is
	// always written; one that is OmitEmpty and no pointer is never written with the
	// zero value of its type, except for structs, which are always written.
	Pointer, OmitEmpty, OmitZero bool

	// How strategic merge patch treats the field (x-kubernetes-patch-strategy): lists are
	// merged by MergeKey, or as sets where that is "", instead of replaced; RetainKeys
	// takes away the keys of an object that $retainKeys does not name.
	Merge, RetainKeys bool
	MergeKey          string
}

// Field returns a field of a Struct, nil where it has none of that name.
func (t *Type) Field(name string) *Field { return t.byName[name] }

// typeTable is every type and kind, made once.
var typeTable = sync.OnceValue(readTypes)

func readTypes() *typeIndex {
	x := &typeIndex{types: map[string]*Type{}, kinds: map[string]*Type{}, leaves: map[byte]*Type{}}
	for letter, form := range map[byte]Form{'r': Any, 's': String, 'b': Bool, 'i': Int32, 'l': Int64, 'n': Number, 'y': Bytes,
		'q': Quantity, 'x': IntOrString, 't': Time, 'u': MicroTime, 'd': Duration} {
		x.leaves[letter] = &Type{Form: form}
	}
	for line := range strings.Lines(types) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if key, ok := strings.CutPrefix(f[0], "="); ok {
			x.kinds[key] = x.named(f[1])
			continue
		}
		t := x.named(f[0])
		t.Atomic = t.Atomic || f[1] == "="
		pkg := f[0][:strings.LastIndexByte(f[0], '.')]
		t.Fields, t.byName = make([]*Field, 0, len(f)-2), make(map[string]*Field, len(f)-2)
		for _, text := range f[2:] {
			field := x.field(pkg, text)
			t.Fields = append(t.Fields, field)
			t.byName[field.Name] = field
		}
	}
	for _, g := range x.granular {
		*g[0] = *g[1]
		g[0].Atomic = false
	}
	return x
}

type typeIndex struct {
	types  map[string]*Type // structs, by name
	kinds  map[string]*Type // group/version/Kind
	leaves map[byte]*Type

	granular [][2]*Type // copies of types that are not atomic, made last
}

func (x *typeIndex) named(name string) *Type {
	t := x.types[name]
	if t == nil {
		t = &Type{Name: name, Form: Struct}
		x.types[name] = t
	}
	return t
}

// field reads name:flags<strategy>type. Flags: * pointer, ? omitempty, 0 omitzero.
// Strategy: + and a merge key or nothing, - for retainKeys.
func (x *typeIndex) field(pkg, text string) *Field {
	name, rest, _ := strings.Cut(text, ":")
	f := &Field{Name: name}
	for ; ; rest = rest[1:] {
		switch rest[0] {
		case '*':
			f.Pointer = true
		case '?':
			f.OmitEmpty = true
		case '0':
			f.OmitZero = true
		case '<':
			strategy, after, _ := strings.Cut(rest[1:], ">")
			strategy, f.RetainKeys = strings.CutSuffix(strategy, "-")
			f.MergeKey, f.Merge = strings.CutPrefix(strategy, "+")
			rest = after
			f.Type = x.parse(pkg, rest)
			return f
		default:
			f.Type = x.parse(pkg, rest)
			return f
		}
	}
}

// parse reads a type: a letter for a value, @name for a struct (@.name in the package of
// the type that is read), { and a type for a map, [a], [s] or [mKEYS] and a type for a
// list, = before what is atomic.
func (x *typeIndex) parse(pkg, text string) *Type {
	if granular, ok := strings.CutPrefix(text, "~"); ok {
		g := &Type{}
		x.granular = append(x.granular, [2]*Type{g, x.parse(pkg, granular)})
		return g
	}
	text, atomic := strings.CutPrefix(text, "=")
	switch text[0] {
	case '@':
		name := text[1:]
		if name[0] == '.' {
			name = pkg + name
		}
		t := x.named(name)
		t.Atomic = t.Atomic || atomic
		return t
	case '{':
		return &Type{Form: Map, Atomic: atomic, Item: x.parse(pkg, text[1:])}
	case '[':
		kind, item, _ := strings.Cut(text[1:], "]")
		t := &Type{Form: List, Item: x.parse(pkg, item)}
		switch kind[0] {
		case 's':
			t.List = SetList
		case 'm':
			t.List, t.Keys = MapList, strings.Split(kind[1:], ",")
		}
		return t
	}
	return x.leaves[text[0]]
}

// TypeOf returns the type of the objects of a built-in kind, in any version that a
// kube-apiserver v1.36 serves, nil for other kinds.
func TypeOf(group, version, kind string) *Type {
	return typeTable().kinds[group+"/"+version+"/"+kind]
}

// ObjectMeta returns the type of metadata, which objects of all kinds have.
func ObjectMeta() *Type { return typeTable().types["meta.v1.ObjectMeta"] }

// Custom returns a type for objects of kinds that are not built in: of them only
// metadata is known.
func Custom() *Type { return customType() }

var customType = sync.OnceValue(func() *Type {
	s := typeTable().leaves['s']
	t := &Type{Form: Struct, byName: map[string]*Field{}}
	for _, f := range []*Field{{Name: "apiVersion", Type: s, OmitEmpty: true}, {Name: "kind", Type: s, OmitEmpty: true}, {Name: "metadata", Type: ObjectMeta()}} {
		t.Fields = append(t.Fields, f)
		t.byName[f.Name] = f
	}
	return t
})

package audit

// Type is the type of a field's values.
type Type uint8

const (
	Keyword Type = iota // one string, compared whole and case-sensitively
	Prose               // one string for people: a message or a reason
	Number
	Time
	List   // strings; a test holds where any element passes
	Map    // the field name goes on with a key: annotations.k8s.io/deprecated
	Object // a JSON tree; the field name goes on with a path: requestObject.spec.replicas
)

// Field is one entry of the dictionary of fields: everything that names a field of
// an event (queries, output, grouping, the API, the documentation) asks it.
type Field struct {
	Path  string  // the JSON path of audit.k8s.io/v1, "objectRef.namespace", or a name of ours
	Alias string  // the everyday short name, "ns"; empty where there is none
	Type  Type    // of its values
	Needs Columns // the columns that hold it
	Doc   string  // one line in English
	DocZH string  // one line in Chinese
}

// Fields returns the dictionary in the order of the JSON members.
func Fields() []Field { panic("unwritten") }

// Ref is a field with the key or path below it, as a query names it.
type Ref struct {
	Field Field
	Sub   []string // path elements below a Map or Object; one key for a Map
	Name  string   // as it was asked for
}

// Resolve finds the field that name (a path, an alias, or one of these continued by
// a key or path) names. Its error is an [UnknownFieldError] that suggests the
// nearest name.
func Resolve(name string) (Ref, error) { panic("unwritten") }

// Needs returns the columns that hold the values of r.
func (r Ref) Needs() Columns { panic("unwritten") }

// ValueKind tells how to read a Value.
type ValueKind uint8

const (
	StringValue ValueKind = iota // Bytes is the decoded string
	NumberValue                  // Bytes is the number as JSON writes it
	TimeValue                    // Int is microseconds since the epoch
	BoolValue                    // Bytes is "true" or "false"
	JSONValue                    // Bytes is an object, an array or null, as written
)

// Value is one value of a field.
type Value struct {
	Kind  ValueKind
	Bytes []byte
	Int   int64 // NumberValue: the number where it is an integer that fits
}

// Each calls yield for every value that r names in e, elements of lists one by one,
// until yield returns false. A field that is absent has no value.
func (r Ref) Each(e *Event, yield func(Value) bool) { panic("unwritten") }

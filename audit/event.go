package audit

// Form says how an event was written where it was found, so that [Event.AppendLine]
// can write the same bytes again.
type Form uint8

const (
	FormV1       Form = iota // a kube-apiserver log line: audit.k8s.io/v1 with kind and apiVersion
	FormV1Item               // an item of an audit.k8s.io/v1 EventList (webhook): no kind, no apiVersion
	FormV1Beta1              // audit.k8s.io/v1beta1, as kube-apiserver up to 1.23 wrote it
	FormV1Alpha1             // audit.k8s.io/v1alpha1, likewise
	FormLegacy               // --audit-log-format=legacy: one "AUDIT:" text line
	NumForms     = iota
)

// NoTime is the value of a time that is null or absent.
const NoTime = -1 << 63

// Event is one audit event, filled by [Event.Scan] from one line and valid as long
// as that line's bytes are: its columns are slices of the line, or of scratch memory
// that the event owns and reuses. One Event is meant to be scanned into many times;
// it is not safe for concurrent use.
type Event struct {
	Form Form

	// Received and Staged are requestReceivedTimestamp and stageTimestamp in
	// microseconds since the epoch, NoTime where null or absent. A legacy line has
	// one time: both hold it, and Nanos the nanoseconds below its microsecond.
	Received, Staged int64
	Nanos            int16

	// Code is responseStatus.code, 0 where there is none.
	Code int32

	// Text holds the text columns: one decoded string each (JSON escapes resolved)
	// or, where [Column.JSON] is true, one JSON value exactly as it was written.
	// Empty means absent: kube-apiserver never writes an empty optional field.
	Text [NumText][]byte

	// RequestObject and ResponseObject are the bodies as raw JSON, nil where absent.
	RequestObject, ResponseObject []byte

	// Raw is the line as it was found, without its newline; nil in an event read
	// from columns that [Event.AppendLine] gives back byte for byte.
	Raw []byte

	// Offset is the byte offset of the line in its source and Seq the sequence
	// number in the trail. Scan touches neither.
	Offset int64
	Seq    uint64

	// Length is how many bytes the line has, without its newline, or 0 where that is
	// not known: in an event out of a trail, unless its Offset was asked for.
	Length int32

	scratch []byte // decoded strings and rebuilt objects that Text points into
	others  []byte // the object Text[Other], while it is being built and after
	encoded []byte // what Exact compares with Raw
}

// Time is when the event happened: stageTimestamp, or requestReceivedTimestamp
// where that is missing, or NoTime.
func (e *Event) Time() int64 {
	if e.Staged != NoTime {
		return e.Staged
	}
	return e.Received
}

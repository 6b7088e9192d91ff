package audit

// Column numbers what is stored of an event, one column each. The first NumText
// are text columns, kept in [Event.Text]; the others are fields of [Event].
type Column uint8

const (
	Level Column = iota
	Stage
	Verb
	AuditID
	RequestURI
	UserAgent
	Username
	UserUID
	UserGroups // JSON list of strings
	UserExtra  // JSON map of lists of strings
	ImpersonatedUsername
	ImpersonatedUID
	ImpersonatedGroups     // JSON list of strings
	ImpersonatedExtra      // JSON map of lists of strings
	AuthenticationMetadata // JSON object, since 1.35
	SourceIPs              // JSON list of strings
	Resource
	Namespace
	Name
	ObjectUID
	APIGroup
	APIVersion
	ResourceVersion
	Subresource
	Status // responseStatus.status: Success or Failure
	Message
	StatusReason  // responseStatus.reason
	StatusDetails // JSON object
	Decision      // annotation authorization.k8s.io/decision
	Reason        // annotation authorization.k8s.io/reason; written whenever Decision is
	Annotations   // JSON object of every other annotation
	Other         // JSON object of the top-level members that no version of the API knows

	// What follows is said by whoever reads or keeps the event, never by its line.
	Cluster     // the cluster the event was observed in
	Server      // the API server of the cluster that observed it
	Source      // the file, spool or stream that held the line
	Destination // JSON list of strings: where the request went on to
	Marks       // JSON list of what is to be known of the event: repeat, recovered

	NumText = iota
)

const (
	Staged Column = NumText + iota
	Received
	Code
	RequestObject
	ResponseObject
	Offset
	Seq
	Line // the whole line as it was found: Raw, or every column that AppendLine needs

	NumColumns = NumText + iota
)

// InLine reports whether a text column is part of the line. The others tell where the
// line was found, and what became known of the event.
func (c Column) InLine() bool { return c < Cluster }

// JSON reports whether a text column holds raw JSON instead of one decoded string.
func (c Column) JSON() bool {
	switch c {
	case UserGroups, UserExtra, ImpersonatedGroups, ImpersonatedExtra,
		AuthenticationMetadata, SourceIPs, StatusDetails, Annotations, Other, Destination, Marks:
		return true
	}
	return false
}

// Columns is a set of columns.
type Columns uint64

// AllColumns is every column, bodies and line included.
const AllColumns = Columns(1<<NumColumns - 1)

// Set returns the set of the columns given.
func Set(cs ...Column) Columns {
	var s Columns
	for _, c := range cs {
		s |= 1 << c
	}
	return s
}

// Has reports whether c is in the set.
func (s Columns) Has(c Column) bool { return s>>c&1 != 0 }

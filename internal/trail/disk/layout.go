package disk

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/parquet"
	"kubetrail/internal/trail"
)

// Columns of a part beside the text columns of an event. A column that would hold
// nothing but its zero value is left out of the part.
const (
	colForm     = audit.NumText + iota // how the line was written
	colCode                            // responseStatus.code
	colID                              // auditID where it is a UUID, else zeros
	colStaged                          // audit.Event.Staged
	colDuration                        // Staged - Received
	colNanos                           // audit.Event.Nanos
	colMissing                         // which times are missing: missingStaged, missingReceived
	colSeq                             // sequence number less the part's first
	colLine                            // bytes of the line
	colGap                             // bytes between the line and the one before of its source
	colRequest                         // bytes of the request body, the first part of bodies
	colBodies                          // request body, response body
	colRaw                             // the line itself where the columns do not give it back
	numColumns
)

// columnNames are the names that other readers of the files see.
var columnNames = [numColumns]string{
	audit.Level:                  "level",
	audit.Stage:                  "stage",
	audit.Verb:                   "verb",
	audit.AuditID:                "audit_id_text",
	audit.RequestURI:             "request_uri_folded",
	audit.UserAgent:              "user_agent",
	audit.Username:               "user",
	audit.UserUID:                "user_uid",
	audit.UserGroups:             "user_groups",
	audit.UserExtra:              "user_extra",
	audit.ImpersonatedUsername:   "impersonated_user",
	audit.ImpersonatedUID:        "impersonated_uid",
	audit.ImpersonatedGroups:     "impersonated_groups",
	audit.ImpersonatedExtra:      "impersonated_extra",
	audit.AuthenticationMetadata: "authentication_metadata",
	audit.SourceIPs:              "source_ips",
	audit.Resource:               "resource",
	audit.Namespace:              "namespace",
	audit.Name:                   "name",
	audit.ObjectUID:              "object_uid",
	audit.APIGroup:               "api_group",
	audit.APIVersion:             "api_version",
	audit.ResourceVersion:        "resource_version",
	audit.Subresource:            "subresource",
	audit.Status:                 "status",
	audit.Message:                "message",
	audit.StatusReason:           "status_reason",
	audit.StatusDetails:          "status_details_folded",
	audit.Decision:               "decision",
	audit.Reason:                 "reason",
	audit.Annotations:            "annotations",
	audit.Other:                  "other",
	audit.Cluster:                "cluster",
	audit.Server:                 "server",
	audit.Source:                 "source",
	audit.Destination:            "destination",
	audit.Marks:                  "marks",
	colForm:                      "form",
	colCode:                      "code",
	colID:                        "audit_id",
	colStaged:                    "time",
	colDuration:                  "duration_us",
	colNanos:                     "nanos",
	colMissing:                   "times_missing",
	colSeq:                       "seq",
	colLine:                      "line_bytes",
	colGap:                       "gap_bytes",
	colRequest:                   "request_bytes",
	colBodies:                    "bodies",
	colRaw:                       "raw",
}

// columnOf describes column i to the file format.
func columnOf(i int) parquet.Column {
	// JSON columns are plain text to other readers: an absent value is an empty
	// string, which is no JSON.
	c := parquet.Column{Name: columnNames[i], Type: parquet.Bytes, Logical: parquet.Text}
	switch i {
	case colCode:
		c.Type, c.Logical = parquet.Int32, parquet.Plain
	case colID:
		c.Type, c.Length, c.Logical = parquet.Fixed, 16, parquet.UUID
	case colStaged:
		c.Type, c.Logical = parquet.Int64, parquet.Timestamp
	case colDuration, colSeq, colGap: // of one type in every part: readers join parts
		c.Type, c.Logical = parquet.Int64, parquet.Plain
	case colNanos, colMissing, colLine, colRequest:
		c.Type, c.Logical = parquet.Int32, parquet.Plain
	case colBodies, colRaw:
		c.Logical = parquet.Plain
	}
	return c
}

// A missing time is stored as 0, and noted in colMissing.
const (
	missingStaged   = 1
	missingReceived = 2
)

// Keys of the footer.
const (
	metaPart    = "kubetrail.part"
	metaSources = "kubetrail.sources"
	metaFaults  = "kubetrail.faults"
)

const formatVersion = 1

// partMeta is what the footer tells of a part as a whole.
type partMeta struct {
	Format    int    `json:"format"`
	First     uint64 `json:"first"`
	Last      uint64 `json:"last"` // both included; a fault takes a number too
	Oldest    int64  `json:"oldest"`
	Newest    int64  `json:"newest"` // audit.NoTime where no event has a time
	LineBytes int64  `json:"lineBytes"`
	RawLines  uint64 `json:"rawLines"`
	Faults    uint64 `json:"faults"`
	Hidden    uint64 `json:"hidden,omitempty"` // bodies that hide text (query.Hidden)
}

func encodeMeta(m partMeta, sources []trail.Source, faults []trail.Fault) ([][2]string, error) {
	out := make([][2]string, 0, 3)
	for _, kv := range []struct {
		key   string
		value any
		keep  bool
	}{{metaPart, m, true}, {metaSources, sources, true}, {metaFaults, faults, len(faults) > 0}} {
		if !kv.keep {
			continue
		}
		b, err := json.Marshal(kv.value)
		if err != nil {
			return nil, err
		}
		out = append(out, [2]string{kv.key, string(b)})
	}
	return out, nil
}

func metaValue(meta [][2]string, key string) string {
	for _, kv := range meta {
		if kv[0] == key {
			return kv[1]
		}
	}
	return ""
}

const partSuffix = ".parquet"

func partName(first, last uint64) string {
	return fmt.Sprintf("%020d-%020d%s", first, last, partSuffix)
}

// parsePartName reads the range out of a file name; ok is false for other files.
func parsePartName(name string) (first, last uint64, ok bool) {
	base, isPart := strings.CutSuffix(name, partSuffix)
	if !isPart || len(base) != 41 || base[20] != '-' {
		return 0, 0, false
	}
	first, err := strconv.ParseUint(base[:20], 10, 64)
	if err != nil {
		return 0, 0, false
	}
	last, err = strconv.ParseUint(base[21:], 10, 64)
	return first, last, err == nil && first <= last
}

// parseUUID turns the 36 characters of a lower-case UUID into 16 bytes. Everything
// else, the zero UUID included, stays text.
func parseUUID(dst *[16]byte, s []byte) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	var bad, any byte
	at := 0
	for i := 0; i < 36; i += 2 {
		if s[i] == '-' {
			i++
		}
		h, l := unhex[s[i]], unhex[s[i+1]]
		bad |= h | l
		dst[at] = h<<4 | l
		any |= dst[at]
		at++
	}
	return bad < 16 && any != 0
}

// unhex maps a lower-case hexadecimal digit to its value, all else to 255.
var unhex = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i, c := range "0123456789abcdef" {
		t[c] = byte(i)
	}
	return t
}()

// appendUUID is the way back.
func appendUUID(dst []byte, id []byte) []byte {
	for i, from := range [...]int{0, 4, 6, 8, 10} {
		if i > 0 {
			dst = append(dst, '-')
		}
		to := [...]int{4, 6, 8, 10, 16}[i]
		dst = hex.AppendEncode(dst, id[from:to])
	}
	return dst
}

// appendInt32 is how a code lies in a dictionary.
func appendInt32(dst []byte, v int32) []byte {
	return binary.LittleEndian.AppendUint32(dst, uint32(v))
}

// Two columns hold the object's name again in nearly every row: the details of a
// status, and the URI. A dictionary of them would hold every name twice more, so
// that a star stands for the name there (their columns are called folded). What the
// folded form begins with tells it from a value that was kept as it is.
const (
	detailsName = `{"name":"`
	foldedName  = `{"name":*` // no JSON begins like this
)

// folded reports whether a text column holds folded values.
func folded(c audit.Column) bool { return c == audit.RequestURI || c == audit.StatusDetails }

// fold appends the folded value of a column to dst.
func fold(dst []byte, c audit.Column, value, name []byte) []byte {
	if c == audit.StatusDetails {
		return foldDetails(dst, value, name)
	}
	return foldURI(dst, value, name)
}

// unfold appends the value that fold was given to dst.
func unfold(dst []byte, c audit.Column, folded, name []byte) []byte {
	if c == audit.StatusDetails {
		return unfoldDetails(dst, folded, name)
	}
	return unfoldURI(dst, folded, name)
}

func foldDetails(dst, details, name []byte) []byte {
	rest, ok := bytes.CutPrefix(details, []byte(detailsName))
	if ok && len(name) > 0 {
		if rest, ok = bytes.CutPrefix(rest, name); ok && len(rest) > 0 && rest[0] == '"' {
			return append(append(dst, foldedName...), rest...)
		}
	}
	return append(dst, details...)
}

func unfoldDetails(dst, folded, name []byte) []byte {
	rest, ok := bytes.CutPrefix(folded, []byte(foldedName))
	if !ok {
		return append(dst, folded...)
	}
	return append(append(append(dst, detailsName...), name...), rest...)
}

// foldURI writes /api/v1/nodes/n1/status as */api/v1/nodes/*/status. A URI that
// begins with a star itself gets one more.
func foldURI(dst, uri, name []byte) []byte {
	if len(uri) > 0 && uri[0] == '*' {
		return append(append(dst, '*'), uri...)
	}
	for from := 0; len(name) > 0; {
		at := bytes.Index(uri[from:], name)
		if at < 0 {
			break
		}
		at += from
		before, after := uri[:at], uri[at+len(name):]
		if at > 0 && before[at-1] == '/' && (len(after) == 0 || after[0] == '/' || after[0] == '?') {
			if bytes.IndexByte(before, '*') >= 0 {
				break
			}
			dst = append(append(dst, '*'), before...)
			return append(append(dst, '*'), after...)
		}
		from = at + 1
	}
	return append(dst, uri...)
}

func unfoldURI(dst, folded, name []byte) []byte {
	if len(folded) < 2 || folded[0] != '*' {
		return append(dst, folded...)
	}
	before, after, _ := bytes.Cut(folded[1:], []byte("*"))
	if len(before) == 0 {
		return append(dst, folded[1:]...)
	}
	return append(append(append(dst, before...), name...), after...)
}

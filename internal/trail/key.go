package trail

import (
	"time"

	"kubetrail/audit"
)

// AppendKey appends the text that v counts under in an aggregate: a string as it
// is, a time in UTC with six decimals, anything else as JSON writes it.
func AppendKey(dst []byte, v audit.Value) []byte {
	if v.Kind == audit.TimeValue {
		return time.UnixMicro(v.Int).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	}
	return append(dst, v.Bytes...)
}

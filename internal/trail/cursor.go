package trail

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// A cursor is written as the base64 of one byte for the order ('n' newest first,
// 'o' oldest first), the time and the sequence number, eight bytes each.
const cursorBytes = 1 + 8 + 8

// FormatCursor writes a cursor and the order it is a place in, for URLs.
func FormatCursor(oldest bool, c Cursor) string {
	b := make([]byte, 1, cursorBytes)
	b[0] = 'n'
	if oldest {
		b[0] = 'o'
	}
	b = binary.BigEndian.AppendUint64(b, uint64(c.Time))
	b = binary.BigEndian.AppendUint64(b, c.Seq)
	return base64.RawURLEncoding.Strict().EncodeToString(b)
}

// ParseCursor reads what FormatCursor writes.
func ParseCursor(text string) (oldest bool, c Cursor, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return false, c, err
	}
	if len(b) != cursorBytes || b[0] != 'n' && b[0] != 'o' || strings.ContainsAny(text, "\r\n") {
		return false, c, errors.New("malformed")
	}
	c = Cursor{Time: int64(binary.BigEndian.Uint64(b[1:])), Seq: binary.BigEndian.Uint64(b[9:])}
	return b[0] == 'o', c, nil
}

package parquet

// Type is a physical type, numbered as in the format.
type Type int32

const (
	Int32 Type = 1
	Int64 Type = 2
	Bytes Type = 6
	Fixed Type = 7 // Column.Length bytes
)

// Logical says what the values of a column mean.
type Logical uint8

const (
	Plain     Logical = iota
	Text              // UTF-8
	UUID              // Fixed of 16 bytes
	Timestamp         // Int64, microseconds since the epoch, UTC
)

// Column describes one required column.
type Column struct {
	Name    string
	Type    Type
	Length  int // of Fixed
	Logical Logical
}

// Numbers of the format (parquet.thrift).
const (
	magic = "PAR1"

	encodingPlain           = 0
	encodingRLE             = 3
	encodingDelta           = 5 // DELTA_BINARY_PACKED
	encodingDeltaLength     = 6 // DELTA_LENGTH_BYTE_ARRAY
	encodingDictionary      = 8 // RLE_DICTIONARY
	encodingByteStreamSplit = 9

	codecNone = 0
	codecZstd = 6

	pageData       = 0
	pageDictionary = 2
)

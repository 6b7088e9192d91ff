// Package parquet writes and reads the few shapes of Parquet file that a trail is
// made of: one row group, required columns only, every page checksummed.
//
// Any Parquet reader can read what is written here (the tests ask parquet-go, the
// benchmarks DuckDB); the other way round, only files written here are understood.
// The shapes were chosen so that a question touches as little as possible:
//
//   - A dictionary column has one dictionary page and one data page whose codes are
//     8, 16 or 32 bits wide, never something between: they compress better so (a
//     repeated value is a repeated byte), and a reader uses the decompressed page as
//     it is, without unpacking.
//   - Times and sequence numbers are delta encoded, durations and lengths split into
//     streams of bytes, so that their empty upper bytes cost nothing.
//   - Long values lie in pages of several megabytes, their lengths in front of the
//     page, their bytes one after the other: a substring is looked for in the whole
//     page at once.
//
// The format is https://parquet.apache.org/docs/file-format/; the names of encodings
// and of header fields are the ones used there.
package parquet

// Package disk is the embedded trail: a directory of immutable Parquet files, the
// parts, each named by the range of sequence numbers it holds.
//
//	DIR/lock                                                held by the writer
//	DIR/parts/00000000000000000000-00000000000000020971.parquet
//	DIR/parts/00000000000000020972-00000000000000041802.parquet
//
// The listing of that directory is the manifest, and there is no other. A part is
// written under a temporary name, synced, renamed, and the directory synced. Its
// footer carries the position of every source after it, so the newest part alone
// says where to go on: an event and the position behind it become durable in the
// same instant.
//
// Merging writes one part with the union of its inputs' ranges and then removes the
// inputs. A part whose range lies inside another's is therefore garbage, whenever
// the process died; readers pass it over and the next writer removes it.
//
// Inside a part the rows are sorted by object (resource, namespace, name) and then
// by time, which makes an object's history one stretch of rows and lets the bodies
// of one object, which resemble each other, lie side by side. The column seq keeps
// the order in which they came. See docs/design/0002-layout-of-a-part.md for the
// layout and what was measured on the way to it.
package disk

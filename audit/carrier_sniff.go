package audit

import (
	"bytes"
	"strings"
)

// Sniff guesses from the first bytes of a file, 4 KiB or more, what it is, in words
// to be put after "this is": for the message about a file in which no event was
// found, and for passing over members of an archive that cannot hold any. It returns
// "" where it cannot tell. Its answers for what [Reader] and [Unpack] read begin with
// "audit events". Sniff never decides how a file is read.
func Sniff(prefix []byte) string {
	if len(prefix) == 0 {
		return "an empty file"
	}
	if archiveFormat(prefix) == "tar" {
		return "a tar archive"
	}
	if i := nextStart(prefix, 0); i >= 0 {
		return sniffEvents(prefix, i)
	}
	for _, magic := range magics {
		if len(prefix) >= magic.at && bytes.HasPrefix(prefix[magic.at:], []byte(magic.bytes)) {
			return magic.what
		}
	}
	if bytes.IndexByte(prefix, 0) >= 0 {
		if len(bytes.Trim(prefix, "\x00")) == 0 {
			return "a hole: nothing but NUL bytes"
		}
		return "a binary file"
	}
	return sniffText(strings.TrimLeft(string(bytes.TrimPrefix(prefix, []byte(bom))), " \t\r\n"))
}

// sniffEvents says how the events stand in a file of which one begins at i.
func sniffEvents(prefix []byte, i int) string {
	before := bytes.TrimSpace(prefix[:i])
	switch {
	case bytes.HasPrefix(prefix[i:], listStart), bytes.HasPrefix(before, eventList):
		return "audit events in EventLists"
	case legacyTime(prefix[i:]) > 0:
		return "audit events in the legacy format"
	case len(before) == 0:
		return "audit events in JSON lines"
	case before[0] == '[':
		return "audit events in an array"
	}
	return "audit events behind something else"
}

// magics are the beginnings of files that people have beside their audit logs.
var magics = [...]struct {
	at          int
	bytes, what string
}{
	{0, "\x1f\x8b\x08", "a gzip file"},
	{0, "\x28\xb5\x2f\xfd", "a zstd file"},
	{0, "PK\x03\x04", "a zip file; unpack it first"},
	{0, "BZh", "a bzip2 file; unpack it first"},
	{0, "\xfd7zXZ\x00", "an xz file; unpack it first"},
	{0, "\x04\x22\x4d\x18", "an lz4 file; unpack it first"},
	{0, "7z\xbc\xaf\x27\x1c", "a 7z file; unpack it first"},
	{0, "PAR1", "a Parquet file"},
	{0, "LPKSHHRH", "a journal of systemd; export it with journalctl -o cat first"},
	{0, "SQLite format 3\x00", "an SQLite database"},
	{0, "\x7fELF", "a program"},
	{0, "\x89PNG", "a picture"},
	{0, "\xff\xd8\xff", "a picture"},
	{0, "GIF8", "a picture"},
	{0, "%PDF", "a PDF document"},
	{0, "\xff\xfe", "text in UTF-16; convert it to UTF-8 first"},
	{0, "\xfe\xff", "text in UTF-16; convert it to UTF-8 first"},
	{0, "-----BEGIN ", "a certificate or key"},
	{0, "<!DOCTYPE", "a web page"},
	{0, "<html", "a web page"},
	{0, "#!", "a script"},
}

// sniffText guesses what a text is.
func sniffText(text string) string {
	has := func(s string) bool { return strings.Contains(text, s) }
	first, _, _ := strings.Cut(text, "\n")
	switch {
	case isKlog(first):
		return "a component's own log (klog), not an audit log"
	case has("audit.k8s.io/") && (has("kind: Policy") || has(`"kind":"Policy"`) || has(`"kind": "Policy"`)):
		return "an audit policy, not an audit log"
	case has("audit.k8s.io/") || has("protoPayload") || has("kube-audit"):
		return "audit events in a form of their own"
	case has("kind: Config") && has("clusters:"):
		return "a kubeconfig"
	case has("apiVersion: ") && has("kind: "), has(`"apiVersion"`) && has(`"kind"`):
		return "Kubernetes objects, not audit events"
	case strings.HasPrefix(text, "{") || strings.HasPrefix(text, "["):
		return "JSON, but no audit events"
	case strings.HasPrefix(text, "# HELP "):
		return "metrics"
	case has("level=info") || has("level=debug") || has("level=warn") || has("level=error"):
		return "a program's own log, not an audit log"
	case text != "":
		return "text, but no audit log"
	}
	return ""
}

// isKlog reports whether a line has the header of klog: I1120 15:34:42.367674 …
func isKlog(line string) bool {
	if len(line) < len("I1120 15:34:42") || !strings.ContainsRune("IWEF", rune(line[0])) || line[5] != ' ' || line[8] != ':' {
		return false
	}
	return strings.Trim(line[1:5], "0123456789") == ""
}

package simulate

import "bytes"

// managedFields returns how many bytes a body loses where metadata.managedFields is
// left out, as omitManagedFields does: of the object itself, of every item of a list
// and of the object in every row of a Table. Upstream: audit.copyWithoutManagedFields.
// body is valid JSON.
func managedFields(body []byte) (n int64) {
	if !bytes.Contains(body, []byte(`"managedFields"`)) {
		return 0
	}
	table := false
	eachMember(body, func(name, member []byte) {
		switch string(name) {
		case "metadata":
			n += ownFields(value(member))
		case "items":
			eachElement(value(member), func(item []byte) { n += objectFields(item) })
		case "kind":
			table = string(value(member)) == `"Table"`
		case "rows": // kind stands before: kube-apiserver writes it first
			if table {
				eachElement(value(member), func(row []byte) {
					eachMember(row, func(name, member []byte) {
						if string(name) == "object" {
							n += objectFields(value(member))
						}
					})
				})
			}
		}
	})
	return n
}

// objectFields returns what an object loses with its metadata.managedFields.
func objectFields(object []byte) (n int64) {
	eachMember(object, func(name, member []byte) {
		if string(name) == "metadata" {
			n += ownFields(value(member))
		}
	})
	return n
}

// ownFields returns what a metadata loses with its managedFields.
func ownFields(metadata []byte) (n int64) {
	members := 0
	eachMember(metadata, func(name, member []byte) {
		members++
		if string(name) == "managedFields" {
			n += int64(len(member))
		}
	})
	if n > 0 && members > 1 {
		n++ // a comma
	}
	return n
}

// value cuts the name off a member.
func value(member []byte) []byte {
	return member[pastSpace(member, pastSpace(member, stringEnd(member, 0))+1):]
}

// eachMember calls f with the name (escapes as they are) and the text of each member
// of a JSON object. Anything else has no members.
func eachMember(b []byte, f func(name, member []byte)) {
	if len(b) == 0 || b[0] != '{' {
		return
	}
	for i := pastSpace(b, 1); i < len(b) && b[i] == '"'; {
		name := stringEnd(b, i)
		end := valueEnd(b, pastSpace(b, pastSpace(b, name)+1))
		if end > len(b) {
			return
		}
		f(b[i+1:name-1], b[i:end])
		if end = pastSpace(b, end); end >= len(b) || b[end] != ',' {
			return
		}
		i = pastSpace(b, end+1)
	}
}

// eachElement calls f with each element of a JSON array.
func eachElement(b []byte, f func(element []byte)) {
	if len(b) == 0 || b[0] != '[' {
		return
	}
	for i := pastSpace(b, 1); i < len(b); {
		end := valueEnd(b, i)
		if end > len(b) || end == i {
			return
		}
		f(b[i:end])
		if end = pastSpace(b, end); end >= len(b) || b[end] != ',' {
			return
		}
		i = pastSpace(b, end+1)
	}
}

// pastSpace returns the offset of the first byte from i on that is no white space.
func pastSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' {
		i++
	}
	return i
}

// stringEnd returns the offset after the string that begins at i, more than len(b)
// where it does not end.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			break
		}
		escapes := 0
		for k := i + n - 1; k >= i && b[k] == '\\'; k-- {
			escapes++
		}
		if i += n + 1; escapes%2 == 0 {
			return i
		}
	}
	return len(b) + 1
}

// valueEnd returns the offset after the value that begins at i, more than len(b) where
// it does not end.
func valueEnd(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = stringEnd(b, i); depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\r', '\t':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	if depth == 0 {
		return i
	}
	return len(b) + 1
}

package audit

// The methods of this file read members where kube-apiserver writes them, in its
// order and without white space: one comparison tells the name, and nothing is
// looked up. Each takes the offset of what is expected next and returns the offset
// after it, or the same offset where something else stands there, faults included:
// that is then the business of [scanner.event].

// inOrder reads as many members of an event as come in order. The offset is that of
// the opening brace or of the comma before a member.
func (s *scanner) inOrder(i int) int {
	const head = `{"kind":"Event","apiVersion":"audit.k8s.io/v1"`
	if i+len(head) <= len(s.b) && string(s.b[i:i+len(head)]) == head {
		s.kind = s.b[i+len(`{"kind":"`):][:len("Event")]
		s.version = s.b[i+len(head)-len(`audit.k8s.io/v1"`):][:len("audit.k8s.io/v1")]
		i += len(head)
		i = s.nextText(i, `,"level":"`, Level)
	} else {
		i = s.nextText(i, `{"level":"`, Level)
	}
	i = s.nextText(i, `,"auditID":"`, AuditID)
	i = s.nextText(i, `,"stage":"`, Stage)
	i = s.nextText(i, `,"requestURI":"`, RequestURI)
	i = s.nextText(i, `,"verb":"`, Verb)
	i = s.nextUser(i, `,"user":{"username":"`, Username)
	i = s.nextUser(i, `,"impersonatedUser":{"username":"`, ImpersonatedUsername)
	i = s.nextRaw(i, `,"authenticationMetadata":{`, AuthenticationMetadata)
	i = s.nextRaw(i, `,"sourceIPs":[`, SourceIPs)
	i = s.nextText(i, `,"userAgent":"`, UserAgent)
	i = s.nextObjectRef(i)
	i = s.nextStatus(i)
	i = s.nextBody(i, requestObjectKey, &s.RequestObject)
	i = s.nextBody(i, responseObjectKey, &s.ResponseObject)
	i = s.nextTime(i, `,"requestReceivedTimestamp":"`, &s.Received)
	i = s.nextTime(i, `,"stageTimestamp":"`, &s.Staged)
	return s.nextAnnotations(i)
}

// at reports whether key stands at i. Most keys that do not are told by the first
// letter of the name, after a comma and a quote.
func (s *scanner) at(i int, key string) bool {
	return i+len(key) < len(s.b) && s.b[i+2] == key[2] && string(s.b[i:i+len(key)]) == key
}

// nextText reads a string whose quote is the last byte of key.
func (s *scanner) nextText(i int, key string, c Column) int {
	if !s.at(i, key) {
		return i
	}
	start := i + len(key)
	end, high := stringEnd(s.b, start)
	if end < len(s.b) && s.b[end] == '"' && high == 0 {
		s.Text[c] = s.b[start:end]
		return end + 1
	}
	text, end, f := s.string(start - 1)
	if f != none {
		return i
	}
	s.Text[c] = text
	return end
}

// nextRaw reads a list or object whose bracket is the last byte of key.
func (s *scanner) nextRaw(i int, key string, c Column) int {
	if !s.at(i, key) {
		return i
	}
	start := i + len(key) - 1
	end, f := skip(s.b, start)
	if f != none {
		return i
	}
	s.Text[c] = s.b[start:end]
	return end
}

func (s *scanner) nextBody(i int, key string, to *[]byte) int {
	if !s.at(i, key) {
		return i
	}
	end, f := s.body(i+len(key), to)
	if f != none {
		return i
	}
	return end
}

// nextTime reads a time whose quote is the last byte of key.
func (s *scanner) nextTime(i int, key string, to *int64) int {
	if !s.at(i, key) {
		return i
	}
	start := i + len(key)
	end := start + len("2006-01-02T15:04:05.000000Z")
	if end >= len(s.b) || s.b[end] != '"' {
		return i
	}
	t, _, ok := parseTime(s.b[start:end])
	if !ok {
		return i
	}
	*to = t
	return end + 1
}

// close returns the offset after the brace that must stand at end, or else start.
func (s *scanner) close(start, end int) int {
	if end < len(s.b) && s.b[end] == '}' {
		return end + 1
	}
	return start
}

func (s *scanner) nextUser(i int, key string, first Column) int {
	end := s.nextText(i, key, first)
	if end == i {
		return i
	}
	end = s.nextText(end, `,"uid":"`, first+(UserUID-Username))
	end = s.nextRaw(end, `,"groups":[`, first+(UserGroups-Username))
	end = s.nextRaw(end, `,"extra":{`, first+(UserExtra-Username))
	return s.close(i, end)
}

func (s *scanner) nextObjectRef(i int) int {
	end := s.nextText(i, `,"objectRef":{"resource":"`, Resource)
	if end == i {
		return i
	}
	end = s.nextText(end, `,"namespace":"`, Namespace)
	end = s.nextText(end, `,"name":"`, Name)
	end = s.nextText(end, `,"uid":"`, ObjectUID)
	end = s.nextText(end, `,"apiGroup":"`, APIGroup)
	end = s.nextText(end, `,"apiVersion":"`, APIVersion)
	end = s.nextText(end, `,"resourceVersion":"`, ResourceVersion)
	end = s.nextText(end, `,"subresource":"`, Subresource)
	return s.close(i, end)
}

func (s *scanner) nextStatus(i int) int {
	const key = `,"responseStatus":{"metadata":{}`
	if !s.at(i, key) {
		return i
	}
	end := i + len(key)
	end = s.nextText(end, `,"status":"`, Status)
	end = s.nextText(end, `,"message":"`, Message)
	end = s.nextText(end, `,"reason":"`, StatusReason)
	end = s.nextRaw(end, `,"details":{`, StatusDetails)
	if code := len(`,"code":`); s.at(end, `,"code":`) {
		n, f := s.code(end + code)
		if f != none {
			return i
		}
		end = n
	}
	return s.close(i, end)
}

func (s *scanner) nextAnnotations(i int) int {
	end := s.nextText(i, `,"annotations":{"`+decisionName+`":"`, Decision)
	if end == i {
		return i
	}
	end = s.nextText(end, `,"`+reasonName+`":"`, Reason)
	return s.close(i, end)
}

package audit

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// slsMark is a member that the Log Service of Alibaba Cloud (SLS) gives every record.
var slsMark = []byte(`"__time__"`)

// slsFlattens reports whether e, which was just scanned, is a record of SLS. It costs
// nothing for an event without members of its own.
func slsFlattens(e *Event) bool {
	return len(e.Text[Other]) > 0 && bytes.Contains(e.Text[Other], slsMark)
}

// slsMembers are the members of an event in the order of the API. SLS knows strings
// only, so that those that are true here are JSON within a string.
var slsMembers = [...]struct {
	name string
	json bool
}{
	{"kind", false}, {"apiVersion", false}, {"level", false}, {"auditID", false}, {"stage", false},
	{"requestURI", false}, {"verb", false}, {"user", true}, {"impersonatedUser", true},
	{"authenticationMetadata", true}, {"sourceIPs", true}, {"userAgent", false}, {"objectRef", true},
	{"responseStatus", true}, {"requestObject", true}, {"responseObject", true},
	{"requestReceivedTimestamp", false}, {"stageTimestamp", false}, {"annotations", true},
}

// slsEvent returns the event that a record of SLS was made of, or nil. A cluster of
// ACK sends its audit events there, and `aliyunlog log pull_log_dump` writes them to a
// file, one record a line:
// https://www.alibabacloud.com/help/en/sls/developer-reference/pull-log-dump
// What SLS adds, whose names begin with two underscores, is left out; other members
// that are not of the API stay.
func slsEvent(object []byte) []byte {
	var record map[string]json.RawMessage
	if json.Unmarshal(object, &record) != nil {
		return nil
	}
	b := []byte{'{'}
	add := func(name string, value []byte) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, toJSON(name)...), ':'), value...)
	}
	for _, m := range slsMembers {
		value, ok := record[m.name]
		if !ok {
			continue
		}
		delete(record, m.name)
		if m.json {
			value = slsValue(value)
		}
		if value != nil {
			add(m.name, value)
		}
	}
	rest := make([]string, 0, len(record))
	for name := range record {
		if !strings.HasPrefix(name, "__") {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	for _, name := range rest {
		add(name, record[name])
	}
	return append(b, '}')
}

// slsValue returns the JSON within a string, nil for an empty string, and anything
// else as it is.
func slsValue(value json.RawMessage) []byte {
	var text string
	if value[0] != '"' || json.Unmarshal(value, &text) != nil {
		return value
	}
	inner := []byte(strings.TrimSpace(text))
	switch {
	case len(inner) == 0:
		return nil
	case json.Valid(inner):
		return inner
	}
	return value
}

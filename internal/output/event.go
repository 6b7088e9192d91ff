package output

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"kubetrail/audit"
)

// tableColumns is what the cells of a table of events need.
func tableColumns() audit.Columns {
	return audit.Set(audit.Staged, audit.Received, audit.Verb, audit.Resource, audit.APIGroup,
		audit.Subresource, audit.Namespace, audit.Name, audit.RequestURI, audit.Username,
		audit.ImpersonatedUsername, audit.Code, audit.AuditID)
}

// When is the time of an event in UTC with unit as its last digits.
func When(e *audit.Event, unit time.Duration) string {
	t := e.Time()
	if t == audit.NoTime {
		return None
	}
	layout := "2006-01-02T15:04:05Z"
	if unit == time.Microsecond {
		layout = "2006-01-02T15:04:05.000000Z"
	}
	return time.UnixMicro(t).UTC().Format(layout)
}

// Resource is "deployments.apps/scale", as kubectl writes types; empty for a request
// that is not about a resource.
func Resource(e *audit.Event) string {
	s := string(e.Text[audit.Resource])
	if s == "" {
		return ""
	}
	if g := e.Text[audit.APIGroup]; len(g) > 0 {
		s += "." + string(g)
	}
	if sub := e.Text[audit.Subresource]; len(sub) > 0 {
		s += "/" + string(sub)
	}
	return s
}

// Object is "namespace/name": "namespace/" for a list in a namespace, empty for a
// list of the whole cluster, and the path of the URI where there is no resource.
func Object(e *audit.Event) string {
	if len(e.Text[audit.Resource]) == 0 {
		path, _, _ := strings.Cut(string(e.Text[audit.RequestURI]), "?")
		return path
	}
	if ns := e.Text[audit.Namespace]; len(ns) > 0 {
		return string(ns) + "/" + string(e.Text[audit.Name])
	}
	return string(e.Text[audit.Name])
}

// who is the user, and whom they acted as.
func who(e *audit.Event) string {
	s := string(e.Text[audit.Username])
	if as := e.Text[audit.ImpersonatedUsername]; len(as) > 0 {
		s += "->" + string(as)
	}
	return s
}

// Code is the HTTP status of the answer, empty where there is none.
func Code(e *audit.Event) string {
	if e.Code == 0 {
		return ""
	}
	return strconv.Itoa(int(e.Code))
}

// shortID is the beginning of the audit ID, enough for show to find it by.
func shortID(e *audit.Event) string {
	id := string(e.Text[audit.AuditID])
	if len(id) > 8 {
		return strings.ToValidUTF8(id[:8], "")
	}
	return id
}

// appendV1 appends e as one line of audit.k8s.io/v1, whatever it was found as.
func appendV1(e *audit.Event, b []byte) []byte {
	if e.Form == audit.FormV1 && e.Raw != nil && bytes.IndexByte(e.Raw, '\n') < 0 {
		return append(b, e.Raw...)
	}
	v1 := *e
	v1.Form = audit.FormV1
	return v1.AppendColumns(b)
}

// StringList decodes a JSON list of strings; what is no string is left out.
func StringList(raw []byte) []string {
	var list []any
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	var out []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// AppendString appends s as a JSON string without the escapes meant for HTML.
func AppendString(b []byte, s string) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

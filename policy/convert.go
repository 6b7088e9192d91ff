package policy

import (
	"bytes"
	"errors"
	"reflect"
)

// Convert returns data, a policy that some release reads, as audit.k8s.io/v1. Only
// the value of apiVersion differs: the versions differ in nothing else, so comments,
// order, indentation and line breaks stay. A policy of v1 comes back as it is. The
// error is a *Rejection where no release would read the file.
func Convert(data []byte) ([]byte, error) {
	doc, err := LoadAny(data, Newest)
	if err != nil {
		return nil, err
	}
	const v1 = auditGroup + "/v1"
	if doc.Version == v1 {
		return data, nil
	}
	start, ok := doc.file.OffsetOf(doc.file.At("apiVersion"))
	if !ok {
		return nil, errors.New("where its apiVersion stands is not known: change it to " + v1 + " by hand")
	}
	at := bytes.Index(data[start:], []byte(doc.Version))
	if at < 0 {
		return nil, errors.New("its apiVersion is not written plainly: change it to " + v1 + " by hand")
	}
	at += start
	converted := bytes.Join([][]byte{data[:at], data[at+len(doc.Version):]}, []byte(v1))
	again, err := Load(converted, Newest)
	if err != nil || again.Version != v1 || !reflect.DeepEqual(again.Policy, doc.Policy) || len(again.Strict) != len(doc.Strict) {
		return nil, errors.New("its apiVersion is not written where it stands, or something else refers to it: change it to " + v1 + " by hand")
	}
	return converted, nil
}

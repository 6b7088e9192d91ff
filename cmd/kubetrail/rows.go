package main

import (
	"bytes"
	"encoding/json"

	"sigs.k8s.io/yaml"
)

// printRows prints n JSON objects as lines, or as the items of one document of the
// given kind with the members of head. The formats are those of countOutputs.
func (a *app) printRows(f *asked, kind string, head map[string]any, n int, appendRow func(b []byte, i int) []byte) error {
	w := a.stdout()
	if f.output == "jsonl" {
		for i := range n {
			w.Write(append(appendRow(nil, i), '\n'))
		}
		return w.Flush()
	}
	items := make([]json.RawMessage, n)
	for i := range n {
		items[i] = appendRow(nil, i)
	}
	head["kind"], head["apiVersion"], head["items"] = kind, "kubetrail.io/v1alpha1", items
	var doc bytes.Buffer
	e := json.NewEncoder(&doc)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(head); err != nil {
		return err
	}
	text := doc.Bytes()
	if f.output == "yaml" {
		var err error
		if text, err = yaml.JSONToYAML(text); err != nil {
			return err
		}
	}
	w.Write(text)
	return w.Flush()
}

package output

import (
	"bufio"
	"bytes"
	"encoding/json"

	"sigs.k8s.io/yaml"
)

// Rows prints n JSON objects as lines (jsonl), or as the items of one document (json,
// yaml) of the given kind with the members of head, to which it adds.
func Rows(w *bufio.Writer, format, kind string, head map[string]any, n int, appendRow func(b []byte, i int) []byte) error {
	if format == "jsonl" {
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
	if format == "yaml" {
		var err error
		if text, err = yaml.JSONToYAML(text); err != nil {
			return err
		}
	}
	w.Write(text)
	return w.Flush()
}

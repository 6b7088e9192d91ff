package wire

import (
	"fmt"

	"go.yaml.in/yaml/v2"
)

// yamlToJSON reads the first document of YAML with the parser of sigs.k8s.io/yaml, which
// kube-apiserver reads YAML with: YAML 1.1, merge keys, of keys given twice the last. It
// differs in one thing: an alias is written as often as it stands there only up to max.
//
// The parser itself refuses documents whose aliases stand for far more than they are.
func yamlToJSON(body []byte, max int) ([]byte, error) {
	if len(body) > maxTree(max) || yamlValues(body) > maxValues(max) {
		return nil, errTooLarge
	}
	var tree any
	if err := yaml.Unmarshal(body, &tree); err != nil {
		return nil, fmt.Errorf("no YAML: %w", err)
	}
	w := treeWriter{max: max}
	if err := w.value(tree); err != nil {
		return nil, err
	}
	return w.out, nil
}

// yamlValues returns at least as many as the nodes in a document: what each character that
// begins one can bring with it, wherever it stands. A dash begins none inside of a word.
func yamlValues(body []byte) int {
	n := 1
	for i, c := range body {
		switch c {
		case '{', ':', '?':
			n += 3 // a mapping, a key and its value
		case '[', ',':
			n += 2
		case '-':
			if i+1 == len(body) || body[i+1] <= ' ' || body[i+1] >= 0x80 {
				n += 2
			}
		}
	}
	return n
}

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// magic begins every protobuf body of the Kubernetes API.
const magic = "k8s\x00"

// fromProtobuf reads an object of a known type and prints it as kube-apiserver does.
func fromProtobuf(body []byte, max int) ([]byte, error) {
	message, found := bytes.CutPrefix(body, []byte(magic))
	if !found {
		return nil, errors.New("no protobuf of Kubernetes")
	}
	var envelope runtime.Unknown
	if err := envelope.Unmarshal(message); err != nil {
		return nil, fmt.Errorf("no protobuf: %w", err)
	}
	if envelope.ContentEncoding != "" || envelope.ContentType != "" && envelope.ContentType != runtime.ContentTypeProtobuf {
		return nil, fmt.Errorf("the envelope holds %.100q", envelope.ContentType)
	}
	kind := schema.FromAPIVersionAndKind(envelope.APIVersion, envelope.Kind)
	object, err := scheme().New(kind)
	if err != nil {
		return nil, fmt.Errorf("no type is known for %.200s", kind)
	}
	reader, ok := object.(interface{ Unmarshal([]byte) error })
	if !ok {
		return nil, fmt.Errorf("%.200s has no protobuf", kind)
	}
	if cost(envelope.Raw, 0) > budget(max) {
		return nil, errTooLarge
	}
	if err := reader.Unmarshal(envelope.Raw); err != nil {
		return nil, fmt.Errorf("no %.200s: %w", kind, err)
	}
	object.GetObjectKind().SetGroupVersionKind(kind)
	out, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("%.200s has no JSON: %w", kind, err)
	}
	if len(out) > max {
		return nil, errTooLarge
	}
	return out, nil
}

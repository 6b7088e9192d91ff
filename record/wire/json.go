package wire

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"kubetrail/internal/rawjson"
)

// MaxSize is the most JSON that JSON makes of a body, in bytes.
const MaxSize = 8 << 20

// JSON makes one JSON value of a body that was sent with the headers Content-Type and
// Content-Encoding, as kube-apiserver would record it: YAML as sigs.k8s.io/yaml reads it,
// CBOR as apimachinery reads it, protobuf through the types of k8s.io/api, all of them
// packed by gzip or not. JSON is given back as it is, and not looked at: who records it
// checks it anyhow.
//
// An error says that the body is malformed, of a type that is not known, or more than
// MaxSize. JSON may be called by several goroutines, and does not change body.
func JSON(contentType, contentEncoding string, body []byte) ([]byte, error) {
	f := formatOf(contentType)
	if f == formatUnknown {
		return nil, fmt.Errorf("%.100q is no type of objects", contentType)
	}
	return contentJSON(f, contentEncoding, body, MaxSize)
}

// Limited is JSON with another bound than MaxSize, for at most so many bodies at once, and
// one of YAML or CBOR: others wait. The memory of one is a multiple of max, and of nothing
// that a sender can choose.
func Limited(max, atOnce int) func(contentType, contentEncoding string, body []byte) ([]byte, error) {
	slots, trees := make(chan struct{}, atOnce), make(chan struct{}, 1)
	return func(contentType, contentEncoding string, body []byte) ([]byte, error) {
		f := formatOf(contentType)
		if f == formatUnknown {
			return nil, fmt.Errorf("%.100q is no type of objects", contentType)
		}
		slots := slots
		if f == formatYAML || f == formatCBOR {
			slots = trees
		}
		slots <- struct{}{}
		defer func() { <-slots }()
		return contentJSON(f, contentEncoding, body, max)
	}
}

func contentJSON(f format, encoding string, body []byte, max int) ([]byte, error) {
	body, err := unpack(encoding, body, max)
	if err != nil {
		return nil, err
	}
	switch f {
	case formatYAML:
		return fromYAML(body, max)
	case formatCBOR:
		return fromCBOR(body, max)
	case formatProtobuf:
		return fromProtobuf(body, max)
	}
	return body, nil
}

var errTooLarge = errors.New("the body makes too much JSON")

// A format is how bytes of a media type are read.
type format uint8

const (
	formatUnknown format = iota
	formatJSON
	formatYAML
	formatCBOR
	formatProtobuf
)

// formatOf tells the format of a Content-Type. None is JSON, as it is for kube-apiserver,
// which does not look at parameters either where it reads a body.
func formatOf(contentType string) format {
	media, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "", "application/json", "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json":
		return formatJSON
	case "application/yaml", "application/apply-patch+yaml":
		return formatYAML
	case "application/cbor", "application/apply-patch+cbor":
		return formatCBOR
	case "application/vnd.kubernetes.protobuf":
		return formatProtobuf
	}
	return formatUnknown
}

// unpack undoes a Content-Encoding.
func unpack(encoding string, body []byte, max int) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		return gunzip(body, max)
	}
	return nil, fmt.Errorf("the encoding %.100q is not known", encoding)
}

func gunzip(body []byte, max int) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("no gzip: %w", err)
	}
	out := bytes.NewBuffer(make([]byte, 0, min(max, 4*len(body))))
	if _, err := io.Copy(out, io.LimitReader(r, int64(max)+1)); err != nil {
		return nil, fmt.Errorf("no gzip: %w", err)
	}
	if out.Len() > max {
		return nil, errTooLarge
	}
	return out.Bytes(), nil
}

// fromYAML reads the first document of YAML, or JSON, which kubectl sends as YAML.
func fromYAML(body []byte, max int) ([]byte, error) {
	if looksLikeJSON(body) {
		if out, err := rawjson.Append(make([]byte, 0, len(body)), body); err == nil {
			return out, nil
		}
	}
	return yamlToJSON(body, max)
}

func looksLikeJSON(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n")
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

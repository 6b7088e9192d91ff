package wire

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// BenchmarkLook shows bodies in pieces of 32 KiB, as a proxy copies them. The list has its
// items before its kind, so that all of it must be looked at.
func BenchmarkLook(b *testing.B) {
	proto, asJSON := encode(b, pods(500), corev1.SchemeGroupVersion.WithKind("PodList"))
	var members map[string]any
	if err := json.Unmarshal(asJSON, &members); err != nil {
		b.Fatal(err)
	}
	delete(members, "kind")
	unsaid, err := json.Marshal(members)
	if err != nil {
		b.Fatal(err)
	}
	pod := &pods(1).Items[0]
	podProto, podJSON := encode(b, pod, corev1.SchemeGroupVersion.WithKind("Pod"))
	for _, c := range []struct {
		name, contentType string
		body              []byte
		begin             func(contentType string) interface{ Write([]byte) (int, error) }
	}{
		{"object/list", "application/json", unsaid, object},
		{"object/pod", "application/json", podJSON, object},
		{"object/podProtobuf", typeProtobuf, podProto, object},
		{"status/list", "application/json", asJSON, status},
		{"status/listUnsaid", "application/json", unsaid, status},
		{"status/listProtobuf", typeProtobuf, proto, status},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			for b.Loop() {
				w := c.begin(c.contentType)
				for rest := c.body; len(rest) > 0; {
					n := min(32<<10, len(rest))
					_, _ = w.Write(rest[:n])
					rest = rest[n:]
				}
				switch w := w.(type) {
				case *objectLook:
					if _, ok := w.told(); !ok {
						b.Fatal("not known")
					}
				case *statusLook:
					if w.Status() != nil {
						b.Fatal("a Status")
					}
				}
			}
		})
	}
}

func object(contentType string) interface{ Write([]byte) (int, error) } {
	o := objectLook{format: formatOf(contentType)}
	return &o
}

func status(contentType string) interface{ Write([]byte) (int, error) } {
	s := newStatusLook(contentType, "")
	return &s
}

func BenchmarkJSON(b *testing.B) {
	pod := &pods(1).Items[0]
	proto, asJSON := encode(b, pod, corev1.SchemeGroupVersion.WithKind("Pod"))
	asYAML, err := yaml.JSONToYAML(asJSON)
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]struct {
		contentType, encoding string
		body                  []byte
	}{
		"protobuf": {typeProtobuf, "", proto},
		"yaml":     {typeYAML, "", asYAML},
		"apply":    {"application/apply-patch+yaml", "", asJSON},
		"gzip":     {"application/json", "gzip", packed(b, asJSON)},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(asJSON)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := JSON(c.contentType, c.encoding, c.body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

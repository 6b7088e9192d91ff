package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/meta"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	serializerjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
)

// kinds are the kinds that have protobuf, but for what stands in streams alone.
func kinds(t testing.TB) []schema.GroupVersionKind {
	t.Helper()
	var all []schema.GroupVersionKind
	for kind := range scheme().AllKnownTypes() {
		if object, err := scheme().New(kind); err == nil && kind.Version != runtime.APIVersionInternal && kind.Kind != "WatchEvent" && hasProtobuf(object) {
			all = append(all, kind)
		}
	}
	if len(all) < 300 {
		t.Fatalf("%d kinds", len(all))
	}
	return all
}

func hasProtobuf(object runtime.Object) bool {
	_, ok := object.(interface{ Unmarshal([]byte) error })
	return ok
}

// encode encodes an object as clients and kube-apiserver do.
func encode(t testing.TB, object runtime.Object, kind schema.GroupVersionKind) (proto, asJSON []byte) {
	t.Helper()
	object.GetObjectKind().SetGroupVersionKind(kind)
	var b, j bytes.Buffer
	if err := protobuf.NewSerializer(scheme(), scheme()).Encode(object, &b); err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	if err := serializerjson.NewSerializerWithOptions(serializerjson.DefaultMetaFactory, nil, nil, serializerjson.SerializerOptions{}).Encode(object, &j); err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	return b.Bytes(), bytes.TrimSuffix(j.Bytes(), []byte("\n"))
}

func filler(seed int64) func(any) {
	codecs := serializer.NewCodecFactory(scheme())
	f := fuzzer.FuzzerFor(metafuzzer.Funcs, rand.NewSource(seed), codecs).NilChance(0.3).NumElements(0, 3)
	return func(v any) { f.Fill(v) }
}

// TestProtobufOfEveryKind fills objects of every kind at random, encodes them as
// upstream does, and wants the JSON that upstream makes of what it decodes.
func TestProtobufOfEveryKind(t *testing.T) {
	fill := filler(1)
	upstream := protobuf.NewSerializer(scheme(), scheme())
	for _, kind := range kinds(t) {
		for n := range 3 {
			object, err := scheme().New(kind)
			if err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				fill(object)
			}
			body, _ := encode(t, object, kind)
			decoded, _, err := upstream.Decode(body, nil, nil)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			_, want := encode(t, decoded, kind)
			got, err := JSON(typeProtobuf, "", body)
			if err != nil {
				t.Errorf("%s: %v", kind, err)
				continue
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s becomes\n%.500s, want\n%.500s", kind, got, want)
			}
			valid(t, got)
			checkProtobufMeta(t, kind, body, decoded)
		}
	}
}

// checkProtobufMeta looks at a body in pieces and wants what the object says of itself.
func checkProtobufMeta(t *testing.T, kind schema.GroupVersionKind, body []byte, object runtime.Object) {
	t.Helper()
	accessor, ok := object.(metav1.ObjectMetaAccessor)
	if !ok || object.GetObjectKind() == nil {
		return
	}
	m := accessor.GetObjectMeta()
	want := texts{APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Name: m.GetName(), GenerateName: m.GetGenerateName(),
		Namespace: m.GetNamespace(), UID: string(m.GetUID()), ResourceVersion: m.GetResourceVersion()}
	for _, size := range []int{1, 7, 1 << 20} {
		if got, ok := look(typeProtobuf, body, size); !ok || got != want {
			t.Errorf("%s: in pieces of %d: %+v, %v, want %+v", kind, size, got, ok, want)
		}
	}
}

// look shows a body to an objectLook in pieces.
func look(contentType string, body []byte, size int) (texts, bool) {
	o := objectLook{format: formatOf(contentType)}
	for piece := range pieces(body, size) {
		_, _ = o.Write(piece)
	}
	return o.told()
}

func pieces(body []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(body) > 0 {
			n := min(size, len(body))
			piece := bytes.Clone(body[:n])
			more := yield(piece)
			clear(piece) // whoever keeps it is found out
			if !more {
				return
			}
			body = body[n:]
		}
	}
}

// TestSchemeIsThatOfClientGo checks that every kind which clients of Kubernetes send is
// known, unless it is of a version that is left out on purpose.
func TestSchemeIsThatOfClientGo(t *testing.T) {
	ours := scheme().AllKnownTypes()
	removed := []string{
		"apps/v1beta1", "apps/v1beta2", "authorization.k8s.io/v1beta1", "batch/v1beta1", "discovery.k8s.io/v1beta1", "events.k8s.io/v1beta1",
		"extensions/v1beta1", "flowcontrol.apiserver.k8s.io/v1beta1", "flowcontrol.apiserver.k8s.io/v1beta2", "flowcontrol.apiserver.k8s.io/v1beta3",
		"node.k8s.io/v1beta1", "policy/v1beta1", "rbac.authorization.k8s.io/v1beta1", "scheduling.k8s.io/v1beta1",
	}
	for kind, typ := range clientscheme.Scheme.AllKnownTypes() {
		if kind.Version == runtime.APIVersionInternal {
			continue
		}
		leftOut := strings.Contains(kind.Version, "alpha") || slices.Contains(removed, kind.GroupVersion().String())
		if known := ours[kind] != nil; known == leftOut {
			t.Errorf("%s is known: %v", kind, known)
		}
		if ours[kind] != typ && !leftOut {
			t.Errorf("%s is %v, in client-go %v", kind, ours[kind], typ)
		}
	}
	for _, kind := range []string{"Table", "PartialObjectMetadata", "PartialObjectMetadataList"} {
		for _, version := range []string{"v1", "v1beta1"} {
			if !scheme().Recognizes(schema.GroupVersionKind{Group: "meta.k8s.io", Version: version, Kind: kind}) {
				t.Errorf("%s of meta.k8s.io/%s is not known", kind, version)
			}
		}
	}
	for _, known := range []string{"v1 Status", "v1 Eviction", "policy/v1 Eviction", "autoscaling/v1 Scale", "authentication.k8s.io/v1 TokenRequest", "apps/v1 DeleteOptions", "v1 Binding", "authorization.k8s.io/v1 SelfSubjectAccessReview"} {
		version, kind, _ := strings.Cut(known, " ")
		if version == "v1" && kind == "Eviction" {
			continue // sent as policy/v1
		}
		if !scheme().Recognizes(schema.FromAPIVersionAndKind(version, kind)) {
			t.Errorf("%s is not known", known)
		}
	}
}

// TestMetadataIsTheFirstField checks what protoLook rests on.
func TestMetadataIsTheFirstField(t *testing.T) {
	for _, kind := range kinds(t) {
		object, err := scheme().New(kind)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := object.(metav1.ObjectMetaAccessor); !ok {
			continue
		}
		typ := reflect.TypeOf(object).Elem()
		if f, ok := typ.FieldByName("ObjectMeta"); !ok || !strings.HasPrefix(f.Tag.Get("protobuf"), "bytes,1,") {
			t.Errorf("%s: metadata is %q", kind, f.Tag.Get("protobuf"))
		}
	}
}

func TestProtobufErrors(t *testing.T) {
	good, _ := encode(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	wrap := func(u runtime.Unknown) []byte {
		out, err := u.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte(magic), out...)
	}
	for name, body := range map[string][]byte{
		"cut":           good[:len(good)-1],
		"unknown kind":  wrap(runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "Nothing"}}),
		"no kind":       wrap(runtime.Unknown{}),
		"internal":      wrap(runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "__internal", Kind: "WatchEvent"}}),
		"without proto": wrap(runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "Table"}}),
		"JSON inside":   wrap(runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Raw: []byte("{}"), ContentType: "application/json"}),
		"encoded":       wrap(runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ContentEncoding: "gzip"}),
		"garbage":       wrap(runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Raw: []byte{0xff}}),
		"long kind":     wrap(runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: strings.Repeat("x", 100_000)}}),
	} {
		got, err := JSON(typeProtobuf, "", body)
		if err == nil {
			t.Errorf("%s becomes %s", name, got)
		} else if len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

// pods makes a list as large as real ones.
func pods(n int) *corev1.PodList {
	list := &corev1.PodList{}
	for i := range n {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("web-%d", i), Namespace: "shop", UID: "0f0cb5c8-7b1d-4a6f-8d6c-0f5b6bb3a8a1", ResourceVersion: "123456",
			Labels:          map[string]string{"app": "web", "pod-template-hash": "5d4f8c7b9", "team": "checkout", "tier": "front"},
			Annotations:     map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-5d4f8c7b9", UID: "1"}},
			ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Operation: "Update", FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{".":{},"f:app":{}}}}`)}, {Manager: "kubelet", Operation: "Update", FieldsV1: metav1.NewFieldsV1(`{"f:status":{"f:conditions":{}}}`)}},
		}}
		for _, name := range []string{"web", "sidecar"} {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: name, Image: "registry.example/shop/" + name + ":1.2.3",
				Env:          []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}, {Name: "C", Value: "3"}, {Name: "D", Value: "4"}},
				Ports:        []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: "TCP"}},
				VolumeMounts: []corev1.VolumeMount{{Name: "token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}, {Name: "config", MountPath: "/etc/config"}}})
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: name, Image: "registry.example/shop/" + name + ":1.2.3", ContainerID: "containerd://0123456789abcdef", Ready: true})
		}
		p.Spec.Tolerations = []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute"}, {Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute"}}
		p.Spec.Volumes = []corev1.Volume{{Name: "token"}, {Name: "config"}}
		for _, c := range []corev1.PodConditionType{"Initialized", "Ready", "ContainersReady", "PodScheduled", "PodReadyToStartContainers"} {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: c, Status: "True"})
		}
		list.Items = append(list.Items, p)
	}
	return list
}

// TestProtobufCost checks that real lists are far from the budget, and bodies beyond it,
// which would be a gigabyte in memory, are never read.
func TestProtobufCost(t *testing.T) {
	real, _ := encode(t, pods(2000), corev1.SchemeGroupVersion.WithKind("PodList"))
	var u runtime.Unknown
	if err := u.Unmarshal(real[len(magic):]); err != nil {
		t.Fatal(err)
	}
	each := float64(cost(u.Raw, 0)) / float64(len(u.Raw))
	t.Logf("a list of %d bytes costs %.1f a byte", len(u.Raw), each)
	if each > 0.9*float64(budget(MaxSize))/MaxSize {
		t.Errorf("a list of %d bytes costs %.1f a byte", len(u.Raw), each)
	}
	if _, err := JSON(typeProtobuf, "", real); err != nil {
		t.Error(err)
	}

	containers := bytes.Repeat([]byte{0x12, 0x00}, 1<<20) // of a PodSpec
	for name, raw := range map[string][]byte{
		"pods":        bytes.Repeat([]byte{0x12, 0x00}, 1<<20),
		"interleaved": bytes.Repeat([]byte{0x12, 0x00, 0x1a, 0x00}, 1<<20),
		"containers":  message2(2, message2(2, containers)),
		"and garbage": append(message2(2, message2(2, containers)), 0xff),
	} {
		u.Raw = raw
		body, err := u.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		limit := debug.SetGCPercent(-1)
		var got []byte
		allocated := testing.AllocsPerRun(1, func() { got, err = JSON(typeProtobuf, "", append([]byte(magic), body...)) })
		debug.SetGCPercent(limit)
		if err == nil || allocated > 10_000 {
			t.Errorf("%s: %d bytes become %d of JSON by %.0f allocations, %v", name, len(raw), len(got), allocated, err)
		}
	}
}

// message2 is a message with one field of bytes.
func message2(number byte, payload []byte) []byte {
	out := []byte{number<<3 | wireBytes}
	n := len(payload)
	for ; n >= 0x80; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(append(out, byte(n)), payload...)
}

func FuzzProtobuf(f *testing.F) {
	fill := filler(2)
	for i, kind := range kinds(f) {
		if i%20 != 0 {
			continue
		}
		object, err := scheme().New(kind)
		if err != nil {
			f.Fatal(err)
		}
		fill(object)
		body, _ := encode(f, object, kind)
		if len(body) < 4<<10 {
			f.Add(body)
		}
	}
	upstream := protobuf.NewSerializer(scheme(), scheme())
	f.Fuzz(func(t *testing.T, body []byte) {
		whole, ok := look(typeProtobuf, body, 1<<20)
		pieces, also := look(typeProtobuf, body, 3)
		if ok != also || whole != pieces {
			t.Errorf("%x: %+v, in pieces %+v", body, whole, pieces)
		}
		got, err := JSON(typeProtobuf, "", body)
		if err != nil {
			return
		}
		valid(t, got)
		object, kind, err := upstream.Decode(body, nil, nil)
		if err != nil {
			t.Fatalf("%x becomes %s, but upstream says %v", body, got, err)
		}
		object.GetObjectKind().SetGroupVersionKind(*kind)
		if want, err := json.Marshal(object); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%x becomes %s, want %s, %v", body, got, want, err)
		}
		if m, err := meta.Accessor(object); err == nil && short(m) {
			want := texts{kind.GroupVersion().String(), kind.Kind, m.GetName(), m.GetGenerateName(), m.GetNamespace(), string(m.GetUID()), m.GetResourceVersion()}
			if !ok || whole != want {
				t.Errorf("%x: %+v, %v, want %+v", body, whole, ok, want)
			}
		}
	})
}

func short(m metav1.Object) bool {
	return max(len(m.GetName()), len(m.GetGenerateName()), len(m.GetNamespace()), len(m.GetUID()), len(m.GetResourceVersion())) <= maxText
}

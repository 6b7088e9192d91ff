package oracle

import (
	"bytes"
	"encoding/json"
	"math/rand"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	authnv1 "k8s.io/api/authentication/v1"
	apifuzzer "k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	upstreamaudit "k8s.io/apiserver/pkg/apis/audit"
	auditfuzzer "k8s.io/apiserver/pkg/apis/audit/fuzzer"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	pluginlog "k8s.io/apiserver/plugin/pkg/audit/log"

	"kubetrail/record"
	"kubetrail/record/backend"
)

// A failer is a test, or one run of a property.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// upstreamLine is what upstream's log backend writes for an event.
func upstreamLine(tb failer, e *upstreamaudit.Event) []byte {
	tb.Helper()
	var b bytes.Buffer
	if !pluginlog.NewBackend(&b, pluginlog.FormatJson, auditv1.SchemeGroupVersion).ProcessEvents(e) {
		tb.Fatalf("upstream does not encode %+v", e)
	}
	return b.Bytes()
}

// ourEvent is the event of a line, without the line: all it knows are its columns.
func ourEvent(tb failer, line []byte) *record.Event {
	tb.Helper()
	e := new(record.Event)
	if err := e.Scan(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
		tb.Fatalf("%v: %s", err, line)
	}
	e.Raw = nil
	return e
}

// encodes compares the line and the item of an event with upstream's, and then the text
// line of the legacy format.
func encodes(tb failer, e *upstreamaudit.Event) {
	tb.Helper()
	want := upstreamLine(tb, e)
	ours := ourEvent(tb, want)
	if got := ours.Line(); !bytes.Equal(got, want) {
		tb.Fatalf("line\n%s, upstream's\n%s", got, want)
	}
	list, err := runtime.Encode(audit.Codecs.LegacyCodec(auditv1.SchemeGroupVersion), &upstreamaudit.EventList{Items: []upstreamaudit.Event{*e, *e}})
	if err != nil {
		tb.Fatal(err)
	}
	items := []byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`)
	items = append(ours.AppendItem(append(ours.AppendItem(items), ',')), "]}\n"...)
	if !bytes.Equal(items, list) {
		tb.Fatalf("list\n%s, upstream's\n%s", items, list)
	}
	if bytes.Contains(want, []byte(`\ufffd`)) {
		return // bytes that are no UTF-8, which the line has not any more but its event had
	}
	var b, text bytes.Buffer
	pluginlog.NewBackend(&b, pluginlog.FormatLegacy, auditv1.SchemeGroupVersion).ProcessEvents(e)
	if !backend.Log(backend.LogConfig{Out: &text, Format: backend.FormatLegacy}).ProcessEvents(ourEvent(tb, want)) {
		tb.Fatal("not logged")
	}
	if !bytes.Equal(text.Bytes(), b.Bytes()) {
		tb.Fatalf("legacy line\n%q, upstream's\n%q", text.Bytes(), b.Bytes())
	}
}

// possible makes an event of a fuzzer one that upstream could have made: times are UTC
// and have microseconds, what is there is not empty, and no text holds the replacement
// character itself.
func possible(e *upstreamaudit.Event) {
	for _, t := range []*metav1.MicroTime{&e.RequestReceivedTimestamp, &e.StageTimestamp} {
		if !t.IsZero() {
			t.Time = time.UnixMicro(t.UnixMicro()).UTC()
		}
	}
	if u := e.ImpersonatedUser; u != nil {
		if u.Username == "" {
			u.Username = "x"
		}
		if len(u.Groups) == 0 {
			u.Groups = nil // an empty list shows in the legacy format alone
		}
	}
	if m := e.AuthenticationMetadata; m != nil && m.ImpersonationConstraint == "" {
		e.AuthenticationMetadata = nil
	}
	if o := e.ObjectRef; o != nil && o.Resource == "" {
		o.Resource = "x"
	}
	if s := e.ResponseStatus; s != nil {
		s.ListMeta, s.TypeMeta = metav1.ListMeta{}, metav1.TypeMeta{}
		s.Code = max(s.Code, 1)
	}
}

// TestRecordFuzzedEvents encodes what upstream's own fuzzer makes up.
func TestRecordFuzzedEvents(t *testing.T) {
	funcs := apifuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, auditfuzzer.Funcs)
	fuzzer := apifuzzer.FuzzerFor(funcs, rand.NewSource(36), audit.Codecs)
	n := 3_000
	if testing.Short() {
		n = 300
	}
	for range n {
		var e upstreamaudit.Event
		fuzzer.Fill(&e)
		possible(&e)
		encodes(t, &e)
	}
}

// text draws strings with all that JSON and Go escape.
var text = rapid.OneOf(
	rapid.Just(""),
	rapid.StringMatching(`[a-z0-9./:*-]{1,12}`),
	rapid.StringOfN(rapid.RuneFrom([]rune("a<>&\"\\/\u2028\u2029\u0000\u001f\u007f\u0080é漢\U0001F600\n\t ")), 1, 12, -1),
	rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 8), func(b []byte) string { return strings.ReplaceAll(string(b), "\ufffd", "") }),
)

// body draws JSON as an encoder of upstream writes it.
var body = rapid.Custom(func(t *rapid.T) *runtime.Unknown {
	if rapid.Bool().Draw(t, "absent") {
		return nil
	}
	raw, err := json.Marshal(rapid.MapOf(rapid.String(), rapid.OneOf(
		rapid.Map(rapid.String(), func(s string) any { return s }), rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any { return f }),
		rapid.Just(any(nil)), rapid.Just(any([]any{1, "<", map[string]any{}})))).Draw(t, "body"))
	if err != nil {
		t.Fatal(err)
	}
	return &runtime.Unknown{Raw: raw, ContentType: runtime.ContentTypeJSON}
})

// events draws events of every shape.
var events = rapid.Custom(func(t *rapid.T) *upstreamaudit.Event {
	s := func(name string) string { return text.Draw(t, name) }
	list := func(name string) []string { return rapid.SliceOfN(text, 0, 3).Draw(t, name) }
	maybe := func(name string) bool { return rapid.Bool().Draw(t, name) }
	who := func(name string) authnv1.UserInfo {
		u := authnv1.UserInfo{Username: s(name), UID: s(name + " uid"), Groups: list(name + " groups")}
		if maybe(name + " has extra") {
			u.Extra = map[string]authnv1.ExtraValue{}
			for _, k := range list(name + " extra") {
				u.Extra[k] = list(k)
			}
		}
		return u
	}
	at := func(name string) metav1.MicroTime {
		return metav1.MicroTime{Time: time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, name)).UTC()}
	}
	e := &upstreamaudit.Event{
		Level: upstreamaudit.Level(s("level")), AuditID: types.UID(s("id")), Stage: upstreamaudit.Stage(s("stage")), RequestURI: s("uri"), Verb: s("verb"),
		User: who("user"), SourceIPs: list("ips"), UserAgent: s("agent"), RequestObject: body.Draw(t, "request"), ResponseObject: body.Draw(t, "response"),
		RequestReceivedTimestamp: at("received"), StageTimestamp: at("staged"),
	}
	if maybe("impersonated") {
		u := who("as")
		e.ImpersonatedUser = &u
		e.AuthenticationMetadata = &upstreamaudit.AuthenticationMetadata{ImpersonationConstraint: s("constraint")}
	}
	if maybe("object") {
		e.ObjectRef = &upstreamaudit.ObjectReference{Resource: s("resource"), Namespace: s("namespace"), Name: s("name"), UID: types.UID(s("object uid")), APIGroup: s("group"), APIVersion: s("version"), ResourceVersion: s("rv"), Subresource: s("sub")}
	}
	if maybe("status") {
		e.ResponseStatus = &metav1.Status{Status: s("status"), Message: s("message"), Reason: metav1.StatusReason(s("reason")), Code: rapid.Int32Range(0, 999).Draw(t, "code")}
		if maybe("details") {
			e.ResponseStatus.Details = &metav1.StatusDetails{Name: s("details"), Causes: []metav1.StatusCause{{Message: s("cause")}}}
		}
	}
	for _, k := range list("annotations") {
		if e.Annotations == nil {
			e.Annotations = map[string]string{}
		}
		// A key that begins with an escape would sort by it beside the decision.
		e.Annotations["k"+k] = s(k)
	}
	possible(e)
	if maybe("authorized") {
		if e.Annotations == nil {
			e.Annotations = map[string]string{}
		}
		e.Annotations["authorization.k8s.io/decision"], e.Annotations["authorization.k8s.io/reason"] = "allow", s("why")
	}
	return e
})

// TestRecordRandomEvents encodes random events as upstream does.
func TestRecordRandomEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		encodes(t, events.Draw(t, "event"))
	})
}

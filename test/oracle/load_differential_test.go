package oracle

import (
	"bytes"
	"flag"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	upstream "k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/klog/v2"
)

// upstreamLoader asks k8s.io/apiserver of this module, 1.36, in this process.
type upstreamLoader struct{ log bytes.Buffer }

func newUpstreamLoader(tb testing.TB) *upstreamLoader {
	flags := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL", "one_output": "true", "skip_headers": "true"} {
		if err := flags.Set(name, value); err != nil {
			tb.Fatal(err)
		}
	}
	u := &upstreamLoader{}
	klog.SetOutput(&u.log)
	tb.Cleanup(func() { flags.Set("logtostderr", "true") })
	return u
}

func (u *upstreamLoader) load(data []byte) (v verdict) {
	u.log.Reset()
	p, err := upstream.LoadPolicyFromBytes(data)
	klog.Flush()
	if text := u.log.String(); text != "" {
		v.Warnings = []string{strings.TrimSuffix(text, "\n")}
	}
	if err != nil {
		v.Error = err.Error()
		return v
	}
	v.Accepted = true
	if v.Policy, err = runtime.Encode(audit.Codecs.LegacyCodec(auditv1.SchemeGroupVersion), p); err != nil {
		v.Panic = err.Error()
	}
	return v
}

// mapKey is in an error about one of the keys of a map, which Go chooses at random
// where several are wrong.
var mapKey = regexp.MustCompile(`nsupported map key of type.*`)

// TestLoadDifferential loads mutations of all inputs, and mutations of those, as
// kube-apiserver 1.36 does.
func TestLoadDifferential(t *testing.T) {
	n := 50_000
	if testing.Short() {
		n = 5_000
	}
	u, m := newUpstreamLoader(t), newMutator(2)
	pool := sharedInputs(t)
	for _, in := range ownInputs() {
		pool = append(pool, in.data)
	}
	accepted, warned, wrong := 0, 0, 0
	for range n {
		data := m.mutate(pool)
		want, got := u.load([]byte(data)), ours([]byte(data), 36)
		if want.Accepted {
			accepted++
			if len(data) < 4000 { // mutations come upon mutations
				pool[m.IntN(len(pool))] = data
			}
		}
		if len(want.Warnings) > 0 {
			warned++
		}
		want.Error, got.Error = mapKey.ReplaceAllString(want.Error, ""), mapKey.ReplaceAllString(got.Error, "")
		if diff := differs(got, want); diff != "" {
			t.Errorf("%s\ninput: %.600q", diff, data)
			if wrong++; wrong == 10 {
				break
			}
		}
	}
	t.Logf("%d inputs, of which %d are accepted and %d warned of", n, accepted, warned)
	if accepted < n/20 || warned < n/20 || n-accepted < n/20 {
		t.Error("that is too one-sided to mean much")
	}
}

func FuzzLoadDifferential(f *testing.F) {
	for _, in := range ownInputs() {
		f.Add([]byte(in.data))
	}
	u := newUpstreamLoader(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		want, got := u.load(data), ours(data, 36)
		want.Error, got.Error = mapKey.ReplaceAllString(want.Error, ""), mapKey.ReplaceAllString(got.Error, "")
		if diff := differs(got, want); diff != "" {
			t.Error(diff)
		}
	})
}

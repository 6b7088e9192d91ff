package oracle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	upstreamaudit "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	pluginlog "k8s.io/apiserver/plugin/pkg/audit/log"
	"k8s.io/apiserver/plugin/pkg/audit/truncate"
	"k8s.io/component-base/metrics/legacyregistry"

	"kubetrail/record"
	"kubetrail/record/backend"
)

// The tests here are of what upstream loses and we do not. Each fails as well when
// upstream has mended it, so that we hear of it.

// TestHolePatch sends patches that are no JSON, which upstream's handlers accept and whose
// events its encoder does not.
func TestHolePatch(t *testing.T) {
	quiet(t)
	for name, patch := range map[string]string{
		"YAML":      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: secretly}\n",
		"malformed": `{"data":`,
		"CBOR":      "\xd9\xd9\xf7\xa1\x44data\xa1\x41a\x41b",
		"empty":     "",
		"trailing":  `{} {}`,
	} {
		s := scene{name: name, sent: requests["patch"], policy: what("Request", omitting("RequestReceived")), script: func(c *callbacks, w http.ResponseWriter, r *http.Request) {
			patch, _ := io.ReadAll(r.Body)
			c.requestPatch(r.Context(), patch, "application/apply-patch+yaml")
			w.WriteHeader(http.StatusCreated)
		}}
		s.sent.user, s.sent.body = jai, patch
		want, got := play(t, &s, upstreamChain), play(t, &s, ourChain)
		if len(want.events) != 0 {
			t.Errorf("%s: upstream records %q", name, want.events)
		}
		if len(got.events) != 1 || !json.Valid([]byte(got.events[0][:strings.Index(got.events[0], ",<times>")]+"}")) {
			t.Errorf("%s: recorded %q", name, got.events)
		} else if !strings.Contains(got.events[0], `"requestObject":`) || !strings.Contains(got.events[0], `"code":201`) {
			t.Errorf("%s: recorded %q", name, got.events)
		}
		if got.answer != want.answer {
			t.Errorf("%s: answered %q, upstream %q", name, got.answer, want.answer)
		}
	}
}

// serve plays requests, one after the other, before filters that stay the same.
func serve(t *testing.T, scenes []scene, chain func(t *testing.T, s *scene) http.Handler) {
	t.Helper()
	for i := range scenes {
		play(t, &scenes[i], func(t *testing.T, s *scene, _ *lines) http.Handler { return chain(t, s) })
	}
}

// upstreamErrors is how many events upstream says it lost.
func upstreamErrors(t *testing.T) (n float64) {
	t.Helper()
	all, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		if family.GetName() == "apiserver_audit_error_total" {
			for _, m := range family.GetMetric() {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

var auditIDs = regexp.MustCompile(`"auditID":"([^"]*)"`)

// received are the audit IDs of the events that came, in their order, and the losses that
// were told of.
func (r *receiver) received() (ids []string, lost int) {
	for _, body := range r.take() {
		i, l := idsOf(body)
		ids, lost = append(ids, i...), lost+l
	}
	return ids, lost
}

var losses = regexp.MustCompile(`"kubetrail.io/lost":"(\d+)"`)

func idsOf(text string) (ids []string, lost int) {
	for _, m := range auditIDs.FindAllStringSubmatch(text, -1) {
		if !uuids.MatchString(m[1]) {
			ids = append(ids, m[1])
		}
	}
	for _, m := range losses.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		lost += n
	}
	return ids, lost
}

// TestHoleBatch has one patch that is no JSON among others: upstream's whole batch is
// never sent.
func TestHoleBatch(t *testing.T) {
	quiet(t)
	r := newReceiver(t)
	flags := []string{"--audit-policy-file=" + policyFile(t), "--audit-webhook-config-file=" + r.kubeconfig(t, "", nil), "--audit-webhook-initial-backoff=1ms", "--audit-webhook-batch-max-size=8", "--audit-webhook-batch-max-wait=1h"}
	theirs := theirChain(t, flags...)
	var all []scene
	var sentIDs []string
	for i := range 8 {
		s := scene{sent: requests["patch"], policy: what("Request", omitting("RequestReceived")), script: patches("application/apply-patch+yaml", plain["writes"])}
		id := fmt.Sprintf("patch-%d", i)
		s.sent.user, s.sent.headers = jai, []string{"Audit-ID: " + id}
		if i == 3 {
			s.sent.body = "apiVersion: v1\nkind: ConfigMap\n"
		}
		all, sentIDs = append(all, s), append(sentIDs, id)
	}
	end := running(t, theirs, nil)
	before := upstreamErrors(t)
	serve(t, all, func(t *testing.T, s *scene) http.Handler { return upstreamFilters(t, s, theirs) })
	for deadline := time.Now().Add(patience); upstreamErrors(t) < before+8; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("upstream does not give the batch up")
		}
	}
	end()
	if ids, _ := r.received(); len(ids) != 0 {
		t.Errorf("upstream delivers %v", ids)
	}
	ours, runner := ourChainOf(t, flags...)
	end = running(t, nil, runner)
	serve(t, all, func(t *testing.T, s *scene) http.Handler { return ourFilters(t, s, record.Config{Backend: ours}) })
	end()
	if ids, lost := r.received(); !slices.Equal(ids, sentIDs) || lost != 0 {
		t.Errorf("delivered %v, %d lost", ids, lost)
	}
}

// numbered are events that can be told apart, and their audit IDs.
func numbered(n, size int) (events []*upstreamaudit.Event, ids []string) {
	for i := range n {
		events = append(events, sized(i, "Request", size))
		ids = append(ids, string(events[i].AuditID))
	}
	return events, ids
}

// TestHoleRefused has a receiver that will not have one event: upstream's whole batch is
// lost with it.
func TestHoleRefused(t *testing.T) {
	quiet(t)
	r := newReceiver(t)
	r.code = func(sent string) int {
		if strings.Contains(sent, `"event-5"`) {
			return http.StatusBadRequest
		}
		return http.StatusOK
	}
	flags := []string{"--audit-policy-file=" + policyFile(t), "--audit-webhook-config-file=" + r.kubeconfig(t, "", nil), "--audit-webhook-initial-backoff=1ms", "--audit-webhook-mode=blocking"}
	theirs := theirChain(t, flags...)
	events, ids := numbered(20, 10)
	a, b := both(t, events)
	end := running(t, theirs, nil)
	theirs.ProcessEvents(a...)
	end()
	if got, _ := r.received(); len(got) != 0 {
		t.Errorf("upstream delivers %v", got)
	}
	ours, runner := ourChainOf(t, flags...)
	end = running(t, nil, runner)
	ours.ProcessEvents(b...)
	end()
	got, lost := r.received()
	if want := slices.Delete(ids, 5, 6); !slices.Equal(got, want) || lost != 1 {
		t.Errorf("received %v, and %d lost", got, lost)
	}
}

// TestHoleSlow offers more than a throttled receiver takes. Upstream loses what finds no
// room, and its trail does not say so. Ours says how much, and with a directory to wait in
// loses nothing.
func TestHoleSlow(t *testing.T) {
	quiet(t)
	r := newReceiver(t)
	flags := []string{"--audit-policy-file=" + policyFile(t), "--audit-webhook-config-file=" + r.kubeconfig(t, "", nil),
		"--audit-webhook-batch-buffer-size=1000", "--audit-webhook-batch-max-size=200", "--audit-webhook-batch-max-wait=10ms",
		"--audit-webhook-batch-throttle-qps=50", "--audit-webhook-batch-throttle-burst=1"}
	events, ids := numbered(10_000, 10)
	a, b := both(t, events)

	theirs := theirChain(t, flags...)
	end := running(t, theirs, nil)
	for i := range a {
		theirs.ProcessEvents(a[i])
	}
	end()
	if got, lost := r.received(); len(got) >= len(ids) || lost != 0 {
		t.Errorf("upstream delivers %d of %d, %d lost", len(got), len(ids), lost)
	}

	ours, runner := ourChainOf(t, flags...)
	end = running(t, nil, runner)
	for i := range b {
		ours.ProcessEvents(b[i])
	}
	end()
	if got, lost := r.received(); lost == 0 || len(got)+lost != len(ids) {
		t.Errorf("delivered %d, and %d are said to be lost, of %d", len(got), lost, len(ids))
	}

	ours, runner = ourChainOf(t, append(flags, "--audit-webhook-spill-dir="+t.TempDir())...)
	end = running(t, nil, runner)
	for i := range b {
		ours.ProcessEvents(b[i])
	}
	var got []string
	lost := 0
	for len(got) < len(ids) && lost == 0 {
		for _, body := range r.await(t, 1) {
			more, l := idsOf(body)
			got, lost = append(got, more...), lost+l
		}
	}
	end()
	if !slices.Equal(got, ids) || lost != 0 {
		t.Errorf("with a directory: delivered %d, %d lost, in order %v", len(got), lost, slices.IsSortedFunc(got, byNumber))
	}
}

func byNumber(a, b string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(a, "event-"))
	m, _ := strconv.Atoi(strings.TrimPrefix(b, "event-"))
	return n - m
}

// TestHoleBatchSize bounds batches, which upstream does before they are made.
func TestHoleBatchSize(t *testing.T) {
	quiet(t)
	r := newReceiver(t)
	const limit = 5_000
	flags := []string{"--audit-policy-file=" + policyFile(t), "--audit-webhook-config-file=" + r.kubeconfig(t, "", nil), "--audit-webhook-batch-max-wait=1h",
		"--audit-webhook-truncate-enabled", "--audit-webhook-truncate-max-event-size=2000", "--audit-webhook-truncate-max-batch-size=" + strconv.Itoa(limit)}
	events, ids := numbered(50, 600)
	a, b := both(t, events)
	largest := func() (n int, ids []string) {
		for _, body := range r.take() {
			n = max(n, len(body[strings.Index(body, "{"):]))
			i, _ := idsOf(body)
			ids = append(ids, i...)
		}
		slices.SortFunc(ids, byNumber)
		return n, ids
	}
	theirs := theirChain(t, flags...)
	end := running(t, theirs, nil)
	theirs.ProcessEvents(a...)
	end()
	if n, got := largest(); n <= limit || len(got) != len(ids) {
		t.Errorf("upstream sends %d events by requests of up to %d bytes", len(got), n)
	}
	ours, runner := ourChainOf(t, flags...)
	end = running(t, nil, runner)
	ours.ProcessEvents(b...)
	end()
	if n, got := largest(); n > limit+200 || !slices.Equal(got, ids) {
		t.Errorf("%d events by requests of up to %d bytes", len(got), n)
	}
}

const truncated = `"audit.k8s.io/truncated":"true"`

// TestHoleTruncationLeaks has a backend that truncates beside one that does not: what the
// latter gets says that it lacks something, as do all later stages.
func TestHoleTruncationLeaks(t *testing.T) {
	a, b := both(t, []*upstreamaudit.Event{sized(1, "Request", 5_000)})
	c := truncate.Config{MaxEventSize: 2_000, MaxBatchSize: 10_000}
	want, got := [2]*sink{newSink(), newSink()}, [2]*sink{newSink(), newSink()}
	audit.Union(truncate.NewBackend(theirSink{want[0]}, c, auditv1.SchemeGroupVersion), theirSink{want[1]}).ProcessEvents(a...)
	backend.Union(backend.Truncate(ourSink{got[0]}, backend.TruncateConfig{MaxEventSize: c.MaxEventSize, MaxBatchSize: c.MaxBatchSize}), ourSink{got[1]}).ProcessEvents(b...)
	if !strings.Contains(want[1].all()[0][0], truncated) || a[0].Annotations["audit.k8s.io/truncated"] == "" {
		t.Errorf("upstream does not leak: %q", want[1].all())
	}
	if !strings.Contains(got[0].all()[0][0], truncated) || strings.Contains(got[1].all()[0][0], truncated) || strings.Contains(string(b[0].Line()), truncated) {
		t.Errorf("%.500q, and %.500q", got[0].all(), got[1].all())
	}
}

// TestHoleTooLarge has an event that is too large without its bodies: upstream loses it
// and reports it as stored.
func TestHoleTooLarge(t *testing.T) {
	quiet(t)
	e := sized(1, "Metadata", 0)
	e.RequestURI = "/api/v1/pods?labelSelector=" + strings.Repeat("a%2C", 2_000)
	a, b := both(t, []*upstreamaudit.Event{e})
	c := truncate.Config{MaxEventSize: 2_000, MaxBatchSize: 10_000}
	want, got := newSink(), newSink()
	if ok := truncate.NewBackend(theirSink{want}, c, auditv1.SchemeGroupVersion).ProcessEvents(a...); !ok || len(want.all()) != 0 {
		t.Errorf("upstream reports %v and has %q", ok, want.all())
	}
	ok := backend.Truncate(ourSink{got}, backend.TruncateConfig{MaxEventSize: c.MaxEventSize, MaxBatchSize: c.MaxBatchSize}).ProcessEvents(b...)
	if !ok || len(got.all()) != 1 || len(got.all()[0][0]) > 2_000 || !strings.Contains(got.all()[0][0], truncated) || !strings.Contains(got.all()[0][0], `"auditID":"event-1"`) {
		t.Errorf("reported %v: %.500q", ok, got.all())
	}
}

// TestHoleStrict has a backend that stores nothing, in the mode blocking-strict, and a
// policy without RequestReceived, as nearly all are: upstream answers all the same.
func TestHoleStrict(t *testing.T) {
	quiet(t)
	for _, omitted := range []string{"", "RequestReceived"} {
		for _, kind := range []string{"get", "watch", "create"} {
			s := scene{sent: requests[kind], policy: what("Metadata", omitting(omitted)), script: plain["writes"]}
			if omitted == "" {
				s.policy = what("Metadata")
			}
			s.sent.user = jai
			s.sent.headers = []string{"Audit-ID: x"}
			broken := newSink()
			broken.refuses = true
			want := play(t, &s, func(t *testing.T, s *scene, _ *lines) http.Handler { return upstreamFilters(t, s, theirSink{broken}) })
			got := play(t, &s, func(t *testing.T, s *scene, _ *lines) http.Handler {
				return ourFilters(t, s, record.Config{Backend: ourSink{broken}, Strict: true})
			})
			refused := strings.HasPrefix(want.answer, "HTTP/1.1 500 ")
			if refused != (omitted == "") {
				t.Errorf("%s without %q: upstream answers %q", kind, omitted, want.answer)
			}
			if refused && got.answer != want.answer {
				t.Errorf("%s: answered %q, upstream %q", kind, got.answer, want.answer)
			}
			if !strings.HasPrefix(got.answer, "HTTP/1.1 500 ") || strings.Contains(got.answer, "hello") {
				t.Errorf("%s without %q: answered %q", kind, omitted, got.answer)
			}
		}
	}
}

// TestHoleLargerThanFile has an event that is larger than the file may become.
func TestHoleLargerThanFile(t *testing.T) {
	quiet(t)
	dir := t.TempDir()
	flags := func(name string) []string {
		return []string{"--audit-policy-file=" + policyFile(t), "--audit-log-maxsize=1", "--audit-log-path=" + filepath.Join(dir, name)}
	}
	a, b := both(t, []*upstreamaudit.Event{sized(0, "Request", 10), sized(1, "Request", 2<<20), sized(2, "Request", 10)})
	theirs := theirChain(t, flags("theirs.log")...)
	ours, runner := ourChainOf(t, flags("ours.log")...)
	end := running(t, theirs, runner)
	for i := range a {
		theirs.ProcessEvents(a[i])
		ours.ProcessEvents(b[i])
	}
	end()
	for name, want := range map[string][]string{"theirs": {"event-0", "event-2"}, "ours": {"event-0", "event-1", "event-2"}} {
		files, err := filepath.Glob(filepath.Join(dir, name+"*.log"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ids, _ := idsOf(string(content))
			got = append(got, ids...)
		}
		if slices.SortFunc(got, byNumber); !slices.Equal(got, want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A fullDisk takes half of what the second write brings, and everything afterwards.
type fullDisk struct {
	lines
	writes int
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.writes++; d.writes == 2 {
		n, _ := d.lines.Write(p[:len(p)/2])
		return n, errors.New("no space left on device")
	}
	return d.lines.Write(p)
}

// TestHoleTornLine has a disk that is full in the midst of a line: the next event is
// written behind that half, and neither can be read.
func TestHoleTornLine(t *testing.T) {
	quiet(t)
	events, _ := numbered(4, 100)
	a, b := both(t, events)
	var theirs, ours fullDisk
	u := pluginlog.NewBackend(&theirs, pluginlog.FormatJson, auditv1.SchemeGroupVersion)
	o := backend.Log(backend.LogConfig{Out: &ours, Losses: backend.NewLosses(backend.LossesConfig{})})
	for i := range a {
		u.ProcessEvents(a[i])
		o.ProcessEvents(b[i])
	}
	readable := func(d *fullDisk) (ids []string, lost int) {
		for _, line := range strings.Split(strings.Join(d.all(), ""), "\n") {
			if json.Valid([]byte(line)) {
				i, l := idsOf(line)
				ids, lost = append(ids, i...), lost+l
			}
		}
		return ids, lost
	}
	if ids, lost := readable(&theirs); !slices.Equal(ids, []string{"event-0", "event-3"}) || lost != 0 {
		t.Errorf("upstream's can be read: %v", ids)
	}
	if ids, lost := readable(&ours); !slices.Equal(ids, []string{"event-0", "event-2", "event-3"}) || lost != 1 {
		t.Errorf("can be read: %v, and %d are said to be lost", ids, lost)
	}
}

// TestHoleFileOfOthers truncates and deletes the log after it was rotated, as logrotate
// and people do. Upstream then writes zeros, and into a file that has no name.
func TestHoleFileOfOthers(t *testing.T) {
	quiet(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name, "audit.log") }
	flags := func(name string) []string {
		return []string{"--audit-policy-file=" + policyFile(t), "--audit-log-maxsize=1", "--audit-log-path=" + path(name)}
	}
	a, b := both(t, []*upstreamaudit.Event{sized(0, "Request", 800<<10), sized(1, "Request", 800<<10), sized(2, "Request", 10), sized(3, "Request", 10)})
	theirs := theirChain(t, flags("theirs")...)
	ours, runner := ourChainOf(t, flags("ours")...)
	end := running(t, theirs, runner)
	write := func(i int) {
		theirs.ProcessEvents(a[i])
		ours.ProcessEvents(b[i])
	}
	content := func(name string) string {
		c, err := os.ReadFile(path(name))
		if err != nil {
			return ""
		}
		return string(c)
	}
	each := func(f func(path string) error) {
		for _, name := range []string{"theirs", "ours"} {
			if err := f(path(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(0)
	write(1)
	each(func(path string) error { return os.Truncate(path, 0) })
	write(2)
	if c := content("theirs"); !strings.Contains(c, "\x00") {
		t.Error("upstream writes no zeros")
	}
	if c := content("ours"); strings.Contains(c, "\x00") || !strings.HasPrefix(c, "{") || !strings.Contains(c, "event-2") {
		t.Errorf("truncated: %.200q", c)
	}
	each(os.Remove)
	// Ours looks once a second whether its file is still there.
	for deadline := time.Now().Add(patience); content("ours") == "" && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		write(3)
	}
	end()
	if c := content("theirs"); c != "" {
		t.Errorf("upstream makes the file again: %.200q", c)
	}
	if c := content("ours"); !strings.Contains(c, "event-3") {
		t.Errorf("deleted: %.200q", c)
	}
}

package load

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/output"
	"kubetrail/internal/tally"
	"kubetrail/internal/trail"
	"kubetrail/policy"
)

func loaded(t *testing.T, r trail.Reader, question string, by ...string) output.Report {
	t.Helper()
	report, err := Find(t.Context(), r, asking(t, question), Config{By: by})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestLoadCounts: requests, bytes and durations of a real log are what a plain count of
// its lines gives, on disk as well.
func TestLoadCounts(t *testing.T) {
	for _, name := range []string{"a-gce-derived", "d-metadata-all"} {
		r, lines := corpus(t, name)
		requests, bytes, errors := map[string]int{}, map[string]int64{}, 0
		took := map[string][]int64{}
		for _, line := range lines {
			var e struct {
				Stage, Verb                              string
				ObjectRef                                struct{ Subresource string }
				ResponseStatus                           struct{ Code int }
				RequestReceivedTimestamp, StageTimestamp time.Time
			}
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatal(err)
			}
			bytes[e.Verb] += int64(len(line))
			if e.Stage != "ResponseComplete" && e.Stage != "Panic" && e.ResponseStatus.Code != 401 || e.Stage == "RequestReceived" {
				continue
			}
			requests[e.Verb]++
			if e.ResponseStatus.Code >= 400 {
				errors++
			}
			if e.Verb != "watch" && !slices.Contains([]string{"exec", "attach", "portforward", "proxy", "log"}, e.ObjectRef.Subresource) {
				took[e.Verb] = append(took[e.Verb], e.StageTimestamp.Sub(e.RequestReceivedTimestamp).Microseconds())
			}
		}
		for _, r := range []trail.Reader{r, onDisk(t, lines)} {
			report := loaded(t, r, "", "verb")
			if report.Head["all"].(Share).Errors != errors {
				t.Errorf("%s: %d errors, want %d", name, report.Head["all"].(Share).Errors, errors)
			}
			got, gotBytes := map[string]int{}, map[string]int64{}
			for _, x := range report.Items {
				s := x.(*Share)
				got[s.Key[0]], gotBytes[s.Key[0]] = s.Requests, s.LogBytes
				all := took[s.Key[0]]
				slices.Sort(all)
				if s.Latency.Count != len(all) {
					t.Errorf("%s: %s was timed %d times, want %d", name, s.Key[0], s.Latency.Count, len(all))
				}
				for i, q := range []float64{0.5, 0.99} {
					if len(all) == 0 {
						continue
					}
					want := float64(all[min(int(q*float64(len(all))), len(all)-1)]) / 1e6
					if have := []float64{s.Latency.P50, s.Latency.P99}[i]; math.Abs(have-want) > 0.016*want+1e-6 {
						t.Errorf("%s: quantile %v of %s is %v, want %v", name, q, s.Key[0], have, want)
					}
				}
			}
			if !reflect.DeepEqual(got, requests) || !reflect.DeepEqual(gotBytes, bytes) {
				t.Errorf("%s: requests %v, bytes %v; want %v, %v", name, got, gotBytes, requests, bytes)
			}
		}
	}
}

// TestLoadStory: what was planted in a real log is found: who watches for a second at a
// time, who is refused again and again, which lists are not paginated.
func TestLoadStory(t *testing.T) {
	r, _ := corpus(t, "a-gce-derived")
	report := loaded(t, r, "")
	w := report.Head["watches"].([]*Watching)[0]
	if w.User != "carol" || w.Resource != "configmaps" || w.Durations.Count != 117 || w.Short != 117 {
		t.Errorf("the shortest watches are %+v", w)
	}
	var loop *Loop
	for _, x := range report.Head["loops"].([]*Loop) {
		if x.User == "mallory" {
			loop = x
		}
	}
	if loop == nil || loop.Count != 607 || loop.Errors != 607 || loop.Resource != "secrets" || loop.Object != "load/" || len(loop.Events) == 0 {
		t.Errorf("the loop is %+v", loop)
	}
	var nodes *List
	for _, x := range report.Head["lists"].([]*List) {
		if x.User == "system:serviceaccount:monitoring:prometheus" {
			nodes = x
		}
	}
	if nodes == nil || nodes.Count != 288 || !nodes.Unpaginated || !nodes.Consistent || nodes.Namespace != "" {
		t.Errorf("the list is %+v", nodes)
	}
	text := printed(t, report, false)
	for _, want := range []string{"38.4 MB of audit log", "whole cluster, no limit, resourceVersion unset", "serialize-response-object", "within 1.6%"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said:\n%s", want, text)
		}
	}
	if text := printed(t, report, true); !strings.Contains(text, "审计日志 38.4 MB") || !strings.Contains(text, "未分页") || !strings.Contains(text, "误差在 1.6% 以内") {
		t.Error(text)
	}
}

// TestLoadObjects: where the body of the slowest list is recorded, its objects are
// counted.
func TestLoadObjects(t *testing.T) {
	const line = `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"a","stage":"ResponseComplete","requestURI":"/api/v1/pods?limit=0&labelSelector=a","verb":"list","user":{"username":"x"},"objectRef":{"resource":"pods","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},"responseObject":{"kind":"PodList","items":[{},{"x":[1,2]},{}]},"requestReceivedTimestamp":"2026-11-20T15:22:00.000000Z","stageTimestamp":"2026-11-20T15:22:02.500000Z"}`
	report := loaded(t, logged([]byte(line+"\n"), nil), "")
	x := report.Head["lists"].([]*List)[0]
	if x.Objects == nil || *x.Objects != 3 || x.Max != 2.5 || !x.Unpaginated || !x.Selected {
		t.Errorf("%+v, %v objects", x, x.Objects)
	}
}

// TestLoopsForget: with too little room no count is too high, nor lower than is said.
func TestLoopsForget(t *testing.T) {
	r, _ := corpus(t, "a-gce-derived")
	exact, small := loops{room: 1 << 20, found: map[string]*Loop{}}, loops{room: 64, found: map[string]*Loop{}}
	err := tally.Scan(t.Context(), r, tally.Requests(asking(t, "")), loadColumns, func(e *audit.Event) error {
		exact.Note(e, "")
		small.Note(e, "")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if small.off == 0 || exact.off != 0 {
		t.Errorf("off by %d and %d", small.off, exact.off)
	}
	found := 0
	for k, x := range exact.found {
		y := small.found[k]
		n := 0
		if y != nil {
			n = y.Count
			found++
		}
		if n > x.Count || n < x.Count-small.off {
			t.Errorf("%s %s %s: counted %d, but %d off by at most %d", x.User, x.Verb, x.Object, n, x.Count, small.off)
		}
	}
	if found == 0 {
		t.Error("nothing was kept")
	}
}

// TestLog: what fills a real log adds up to its size, under the policy that it was
// recorded with every event has its rule, and under another one it is said that it is
// not the right one.
func TestLog(t *testing.T) {
	for _, name := range []string{"a-gce-derived", "d-metadata-all", "rotation-keepall"} {
		doc, err := policy.Load(corpustest.Members(t, name, "policy.yaml")[0].Data, policy.Newest)
		if err != nil {
			t.Fatal(err)
		}
		r, lines := corpus(t, name)
		size := int64(0)
		for _, line := range lines {
			size += int64(len(line)) + 1
		}
		report, err := Log(t.Context(), r, asking(t, ""), LogConfig{Policy: doc})
		if err != nil {
			t.Fatal(err)
		}
		sums := map[string]int64{}
		for _, x := range report.Items {
			f := x.(*Filling)
			sums[strings.Join(f.By, ",")] += f.Bytes
			if f.By[0] == "rule" && (f.Rule == nil || f.Line == 0 || f.MostlyOf == "") {
				t.Errorf("%s: %+v", name, f)
			}
		}
		for by, n := range sums {
			if n != size {
				t.Errorf("%s: by %s there are %d bytes, want %d", name, by, n, size)
			}
		}
		if len(sums) != 4 || report.Head["disagree"] != 0 || report.Head["unjudged"] != 0 || report.Head["bytes"] != size {
			t.Errorf("%s: %v, %v", name, sums, report.Head)
		}
	}
	r, _ := corpus(t, "a-gce-derived")
	other, err := policy.Load([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n"), policy.Newest)
	if err != nil {
		t.Fatal(err)
	}
	report, err := Log(t.Context(), r, asking(t, ""), LogConfig{Policy: other, By: []string{"rule"}})
	if err != nil {
		t.Fatal(err)
	}
	if text := printed(t, report, false); report.Head["disagree"] == 0 || !strings.Contains(text, "it was not in force for all of the time") {
		t.Error(text)
	}
	if _, err := Log(t.Context(), r, asking(t, ""), LogConfig{By: []string{"rule"}}); err == nil {
		t.Error("the rules of no policy")
	}
}

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/access"
	"kubetrail/internal/gap"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/disk"
)

// beating makes a trail on disk in which two API servers of two clusters beat for half an
// hour, every five seconds, prod's but for a minute, and something was lost of test.
func beating(t *testing.T, end time.Time) *disk.Trail {
	t.Helper()
	dir := t.TempDir()
	w, err := disk.OpenWriter(disk.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	const line = `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"ResponseComplete",` +
		`"requestURI":%q,"verb":"get","user":{"username":"system:apiserver"},"requestReceivedTimestamp":%q,"stageTimestamp":%[2]q}`
	var e audit.Event
	offset := int64(0)
	for i := range 360 {
		at := end.Add(time.Duration(i-360) * 5 * time.Second)
		for _, cluster := range []string{"prod", "test"} {
			if cluster == "prod" && i >= 200 && i < 212 {
				continue
			}
			for _, path := range []string{"/openapi/v3", "/readyz"} {
				text := fmt.Appendf(nil, line, path, at.UTC().Format("2006-01-02T15:04:05.000000Z"))
				if err := e.Scan(text); err != nil {
					t.Fatal(err)
				}
				e.Text[audit.Cluster], e.Text[audit.Server], e.Text[audit.Source] = []byte(cluster), []byte("cp-1"), []byte(cluster+".log")
				e.Offset = offset
				offset += int64(len(text)) + 1
				w.Append(&e)
			}
		}
		if i == 100 {
			w.SetAside(trail.Fault{Source: "test.log", Cluster: "test", Server: "cp-1", Offset: offset, Length: 7, Reason: "a batch <was> lost",
				Lost: &trail.Loss{From: audit.NoTime, To: audit.NoTime, Events: 12, Cause: "batch"}})
			w.SetAside(trail.Fault{Source: "prod.log", Cluster: "prod", Server: "cp-1", Offset: offset, Length: 3, Reason: "no event", Head: []byte("abc")})
		}
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func gapsOf(t *testing.T, s *Server, query string) gap.Report {
	t.Helper()
	w := get(s, "/api/v1/gaps"+query)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	var r gap.Report
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if err := readDocument(t, s).checkResponse("/api/v1/gaps", w); err != nil {
		t.Errorf("%s: %v", query, err)
	}
	return r
}

func TestGaps(t *testing.T) {
	end := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	s := newServer(t, Config{Trail: beating(t, end), Now: func() time.Time { return end.Add(time.Hour) }})
	r := gapsOf(t, s, "")
	if len(r.Servers) != 2 || len(r.Gaps) != 2 {
		t.Fatalf("%+v", r)
	}
	lost, silent := r.Gaps[0], r.Gaps[1]
	if lost.Cluster != "test" || lost.Cause != "batch" || lost.Events != 12 || lost.Length() != 5*time.Second {
		t.Errorf("what was lost: %+v", lost)
	}
	if silent.Cluster != "prod" || silent.Server != "cp-1" || silent.Cause != gap.Silence || silent.Length() != 65*time.Second || silent.Events != 26 {
		t.Errorf("the silence: %+v", silent)
	}
	for query, want := range map[string]int{
		"?cluster=prod": 1, "?cluster=test&server=cp-1": 1, "?cluster=no": 0, "?server=cp-2": 0, "?cluster=" + `a%22b`: 0,
		"?since=2026-11-21T11:45:00Z": 1, "?since=2026-11-21T11:50:00Z": 0,
		"?until=2026-11-21T11:46:00Z": 1, // it has not begun
		"?until=2026-11-21T11:47:30Z": 2, // it is open
		"?until=2026-11-21T12:30:00Z": 4, // both are silent then
	} {
		if r := gapsOf(t, s, query); len(r.Gaps) != want {
			t.Errorf("%s: %d gaps, want %d: %+v", query, len(r.Gaps), want, r.Gaps)
		}
	}
}

// TestScopedGaps: who may see one cluster is told of that one alone.
func TestScopedGaps(t *testing.T) {
	r := access.Scoped{Whole: beating(t, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))}
	ctx := access.WithClusters(t.Context(), []string{"prod"})
	found, err := gap.Find(ctx, r, gap.Question{Since: audit.NoTime, Until: audit.NoTime, Now: audit.NoTime})
	if err != nil || len(found.Servers) != 1 || len(found.Gaps) != 1 || found.Gaps[0].Cluster != "prod" {
		t.Errorf("%v, %+v", err, found)
	}
	n := 0
	err = r.Faults(ctx, func(f trail.Fault) error {
		n++
		if f.Cluster != "prod" {
			t.Errorf("%+v", f)
		}
		return nil
	})
	if err != nil || n != 1 {
		t.Errorf("%v after %d faults", err, n)
	}
}

func TestFaults(t *testing.T) {
	s := newServer(t, Config{Trail: beating(t, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))})
	w := get(s, "/api/v1/faults")
	text := w.Body.String()
	if err := readDocument(t, s).checkResponse("/api/v1/faults", w); err != nil {
		t.Error(err)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"reason":"a batch <was> lost"`) ||
		!strings.Contains(lines[0], `"lost":{"from":null,"to":null,"events":12,"cause":"batch"}`) || !strings.Contains(lines[1], `"head":"YWJj"`) {
		t.Errorf("%q", lines)
	}
}

// TestGapsEnd: a question that waits for another one ends with its context.
func TestGapsEnd(t *testing.T) {
	s := newServer(t, Config{})
	s.gapSlot <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.findGaps(ctx, gap.Question{}); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

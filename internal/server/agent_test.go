package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"kubetrail/internal/collect/collecttest"
	"kubetrail/internal/collect/spool"
	"kubetrail/internal/trail"
)

// newShipped returns a place for what agents send beside an empty trail.
func newShipped(t testing.TB, cfg spool.ShippedConfig) *spool.Shipped {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Sources = func() []trail.Source { return nil }
	s, err := spool.OpenShipped(cfg, make(chan struct{}, 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// zipped compresses as agents do.
func zipped(t testing.TB, b []byte) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll(b, nil))
}

func record(offset int64, data string) []byte {
	return spool.AppendRecord(nil, spool.Record{Source: "/var/log/audit.log", Print: "p", PrintBytes: 1, Offset: offset, Data: []byte(data)})
}

func TestAgentAppends(t *testing.T) {
	shipped := newShipped(t, spool.ShippedConfig{MaxBytes: 64 << 10})
	s := newServer(t, Config{Shipped: shipped})
	s.ready.Store(true)
	send := func(body string, header ...string) (int, string) {
		w := post(s, "/agent/prod/cp-1", body, append([]string{"Content-Type", agentMediaType, "Content-Encoding", "zstd"}, header...)...)
		return w.Code, w.Body.String()
	}
	position := func() int64 {
		var p shippedAnswer
		if err := json.Unmarshal(get(s, "/agent/prod/cp-1/positions").Body.Bytes(), &p); err != nil || p.Kind != "Positions" {
			t.Fatal(err, p)
		}
		if len(p.Sources) == 0 {
			return 0
		}
		return p.Sources[0].Position
	}
	if code, text := send(zipped(t, record(0, "abc\n")), "Kubetrail-Waiting-Bytes", "77", "Kubetrail-Behind-Seconds", "3", "Kubetrail-Holds-Seconds", "7200"); code != 200 || !strings.Contains(text, `"position":4`) {
		t.Fatal(code, text)
	}
	bomb := zipped(t, make([]byte, 512<<20)) // 16 KiB
	for _, c := range []struct {
		what, body string
		header     []string
		want       int
	}{
		{"again", zipped(t, record(0, "abc\n")), nil, 200},
		{"nothing", "", nil, 200},
		{"overlapping", zipped(t, record(2, "c\nd")), nil, 200},
		{"a hole", zipped(t, record(9, "x")), nil, 409},
		{"no zstd", "abc", nil, 400},
		{"half of it", zipped(t, record(5, "abc"))[:20], nil, 400},
		{"no records", zipped(t, []byte("abc")), nil, 400},
		{"a changed byte", zipped(t, bytes.Replace(record(5, "abc"), []byte("abc"), []byte("abd"), 1)), nil, 400},
		{"a kind", zipped(t, spool.AppendRecord(nil, spool.Record{Source: "/x", Print: "x", Kind: "poem"})), nil, 400},
		{"a bomb", bomb, nil, 413},
		{"too long", strings.Repeat("x", maxShipped+1), nil, 413},
		{"JSON", "{}", []string{"Content-Type", "application/json"}, 415},
		{"not compressed", string(record(5, "abc")), []string{"Content-Encoding", "identity"}, 415},
		{"too much", zipped(t, record(5, strings.Repeat("x", 64<<10))), nil, 503},
	} {
		if code, text := send(c.body, c.header...); code != c.want {
			t.Errorf("%s: %d %s", c.what, code, text)
		}
	}
	if p := position(); p != 5 {
		t.Errorf("position %d", p)
	}
	// What an agent says about itself is in the metrics.
	send("", "Kubetrail-Waiting-Bytes", "77", "Kubetrail-Behind-Seconds", "3", "Kubetrail-Holds-Seconds", "7200")
	metrics := get(s, "/metrics").Body.String()
	for _, want := range []string{
		`kubetrail_agent_lag_bytes{cluster="prod",server="cp-1"} 77`, `kubetrail_agent_lag_seconds{cluster="prod",server="cp-1"} 3`,
		`kubetrail_agent_holds_seconds{cluster="prod",server="cp-1"} 7200`, `kubetrail_agent_spool_bytes{cluster="prod",server="cp-1"} 5`,
		`kubetrail_agent_last_contact_timestamp_seconds{cluster="prod",server="cp-1"}`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	m := collecttest.New()
	if _, err := shipped.Feeds()[0].Pull(t.Context(), m, 1<<20); err != nil {
		t.Fatal(err)
	}
	s.ready.Store(false)
	if code, _ := send(""); code != http.StatusServiceUnavailable {
		t.Errorf("while it ends: %d", code)
	}
	if w := get(s, "/agent/prod/cp-1/positions"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("while it ends: %d", w.Code)
	}
	none := newServer(t, Config{})
	none.ready.Store(true)
	if w := get(none, "/agent/prod/cp-1/positions"); w.Code != http.StatusNotFound {
		t.Errorf("without a place: %d", w.Code)
	}
}

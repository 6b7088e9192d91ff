package proxy

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"testing"
	"time"

	"kubetrail/record"
)

// discard is a backend that takes the line of each event and keeps nothing.
type discard struct{ *memory }

func (discard) ProcessEvents(events ...*record.Event) bool {
	for _, e := range events {
		e.Line()
	}
	return true
}

// BenchmarkGet measures, in turns, a GET through a bare httputil.ReverseProxy and through
// ours, to the same upstream by the same kinds of connections: the median and the 99th
// percentile of both, and what ours adds.
func BenchmarkGet(b *testing.B) {
	g := newRig(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"shop"}}`)
	}, func(_ *rig, c *Config) { c.Record.Backend = discard{newMemory()} })
	target, err := url.Parse(g.up.URL)
	if err != nil {
		b.Fatal(err)
	}
	bare := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		Transport: g.roads.transport(nil, false)})
	bare.EnableHTTP2 = true
	bare.TLS = g.server.tlsConfig()
	bare.TLS.Certificates = []tls.Certificate{g.serving.pair(b, pkix.Name{CommonName: "bare"})} // else it takes its own
	bare.StartTLS()
	defer bare.Close()
	client := g.client(b, true)
	get := func(base string) time.Duration {
		r, err := http.NewRequest(http.MethodGet, base+podPath, nil)
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer alice-token")
		begin := time.Now()
		resp, err := client.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return time.Since(begin)
	}
	var took [2][]time.Duration
	for i := range 2 * 500 { // warm
		get([]string{bare.URL, g.URL()}[i%2])
	}
	for b.Loop() {
		took[0] = append(took[0], get(bare.URL))
		took[1] = append(took[1], get(g.URL()))
	}
	if len(took[0]) < 100 {
		return
	}
	at := func(i int, share float64) float64 {
		slices.Sort(took[i])
		return float64(took[i][int(float64(len(took[i])-1)*share)].Nanoseconds()) / 1e3
	}
	b.ReportMetric(at(0, .5), "bare-p50-µs")
	b.ReportMetric(at(1, .5), "ours-p50-µs")
	b.ReportMetric(at(1, .5)-at(0, .5), "added-p50-µs")
	b.ReportMetric(at(0, .99), "bare-p99-µs")
	b.ReportMetric(at(1, .99), "ours-p99-µs")
	b.ReportMetric(at(1, .99)-at(0, .99), "added-p99-µs")
}

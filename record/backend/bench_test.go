package backend_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/record"
	"kubetrail/record/backend"
)

// benchEvents returns events as they come from a handler, not yet encoded: 1.1 KB each,
// or with bodies 5.2 KB.
func benchEvents(n int, bodies bool) []*record.Event {
	all := make([]*record.Event, n)
	for i := range all {
		e := listed(i, 0)
		e.Text[audit.AuditID] = []byte("8a1b0c6e-5f0e-4c1e-9d44-1f6f2d3c4b5a")
		e.Text[audit.RequestURI] = []byte("/api/v1/namespaces/shop/pods/checkout-7d9c5b8f6-x2x9z?fieldManager=kubectl-client-side-apply&timeout=30s")
		e.Text[audit.UserGroups] = []byte(`["system:serviceaccounts","system:serviceaccounts:shop","system:authenticated"]`)
		e.Text[audit.UserExtra] = []byte(`{"authentication.kubernetes.io/credential-id":["JTI=2f7d1a3e-9a0c-4a55-8f0e-0f1e2d3c4b5a"],"authentication.kubernetes.io/node-name":["node-1"],"authentication.kubernetes.io/pod-name":["checkout-7d9c5b8f6-x2x9z"]}`)
		e.Text[audit.UserAgent] = []byte("kubectl/v1.36.3 (linux/amd64) kubernetes/1a2b3c4")
		e.Text[audit.SourceIPs] = []byte(`["10.20.30.40"]`)
		e.Text[audit.Resource], e.Text[audit.Namespace], e.Text[audit.APIVersion] = []byte("pods"), []byte("shop"), []byte("v1")
		e.Text[audit.Name] = []byte("checkout-7d9c5b8f6-x2x9z")
		e.Text[audit.Decision] = []byte("allow")
		e.Text[audit.Reason] = []byte(`RBAC: allowed by RoleBinding "edit/shop" of ClusterRole "edit" to ServiceAccount "checkout/shop"`)
		if bodies {
			e.Text[audit.Level] = []byte("RequestResponse")
			body := []byte(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"checkout"},"spec":{"x":"` + strings.Repeat("0123456789", 194) + `"}}`)
			e.RequestObject, e.ResponseObject = body, body
		}
		all[i] = e
	}
	return all
}

// BenchmarkLogFile encodes events and writes them to a file: one by one, many by one
// call, and by several senders that wait for their own.
func BenchmarkLogFile(b *testing.B) {
	for _, level := range []string{"Metadata", "RequestResponse"} {
		for _, batch := range []int{1, 10, 400} {
			b.Run(fmt.Sprintf("%s/batch=%d", level, batch), func(b *testing.B) {
				log := benchLog(b, false)
				events := benchEvents(batch, level == "RequestResponse")
				b.SetBytes(int64(len(events[0].Line())))
				for n := 0; n < b.N; n += batch {
					for _, e := range events {
						e.Changed()
					}
					if !log.ProcessEvents(events...) {
						b.Fatal("not stored")
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
		for _, senders := range []int{8, 64} {
			b.Run(fmt.Sprintf("%s/senders=%d", level, senders), func(b *testing.B) {
				benchSenders(b, benchLog(b, false), senders, level == "RequestResponse")
			})
		}
	}
	b.Run("Metadata/sync/senders=64", func(b *testing.B) {
		benchSenders(b, benchLog(b, true), 64, false)
	})
}

func benchSenders(b *testing.B, log record.Backend, senders int, bodies bool) {
	b.SetParallelism(senders / 2)
	b.RunParallel(func(pb *testing.PB) {
		e := benchEvents(1, bodies)[0]
		for pb.Next() {
			e.Changed()
			if !log.ProcessEvents(e) {
				b.Error("not stored")
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// benchLog returns a log to a file that rotates and has one backup, so that it is the log
// that is measured and not how full the disk is.
func benchLog(b *testing.B, sync bool) record.Backend {
	path := filepath.Join(b.TempDir(), "audit.log")
	file, err := backend.OpenFile(backend.FileConfig{Path: path, MaxSize: 100 << 20, MaxBackups: 1, Sync: sync})
	if err != nil {
		b.Fatal(err)
	}
	log := backend.Log(backend.LogConfig{File: file})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return log
}

func BenchmarkTruncate(b *testing.B) {
	log := backend.Truncate(backend.Log(backend.LogConfig{Out: discard{}}), backend.TruncateConfig{MaxEventSize: 102400, MaxBatchSize: 10 << 20})
	e := benchEvents(1, false)[0]
	b.ReportAllocs()
	for b.Loop() {
		e.Changed()
		log.ProcessEvents(e)
	}
}

func BenchmarkLegacy(b *testing.B) {
	log := backend.Log(backend.LogConfig{Out: discard{}, Format: backend.FormatLegacy})
	e := benchEvents(1, false)[0]
	b.ReportAllocs()
	for b.Loop() {
		log.ProcessEvents(e)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

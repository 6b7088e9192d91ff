package record_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"kubetrail/test/e2e/plane"
)

var (
	cost   = flag.String("cost", "", "measure what auditing costs and write the table to this file")
	rounds = flag.Int("rounds", 3, "how often each setting is measured")
)

// setting is a way to audit that is measured.
type setting struct {
	what, level string
	url         string
	server      *plane.Process // kube-apiserver
	proxy       *plane.Process // or nil

	requests int
	elapsed  time.Duration
	cpu      [2]time.Duration // of kube-apiserver and of the proxy
}

// TestRecordCost measures what auditing costs in kube-apiserver, and in the proxy before
// a kube-apiserver that does not audit. All settings take turns, so that they meet the
// same noise. Where -cost names no file it only sees to it that every setting works.
func TestRecordCost(t *testing.T) {
	each, n := *duration, *rounds
	if *cost == "" {
		each, n = time.Second, 1
	}
	r := newRig(t)
	v := newReceiver(t)
	v.forget = true
	hook := v.kubeconfig(t, r.path("receiver.kubeconfig"))
	var all []*setting
	batch := []string{"--audit-webhook-config-file", hook, "--audit-webhook-batch-max-wait", "1s"}
	off := r.addServer("off", "")
	add := func(what, level string, s *plane.Server, p *proxy) {
		x := &setting{what: what, level: level, url: s.URL, server: s.Process()}
		if p != nil {
			x.url, x.proxy = p.url, p.Process
		}
		all = append(all, x)
	}
	add("kube-apiserver", "off", off, nil)
	add("kube-apiserver", "Metadata to a log", r.addServer("metadata", r.policy("Metadata")), nil)
	add("kube-apiserver", "RequestResponse to a log", r.addServer("all", r.policy("RequestResponse")), nil)
	add("kube-apiserver", "RequestResponse to a webhook", r.addServer("webhook", r.policy("RequestResponse"), append(batch, "--audit-log-path=")...), nil)
	add("kubetrail proxy", "off", off, r.addProxy(off, "", byFrontProxy))
	add("kubetrail proxy", "Metadata to a log", off, r.addProxy(off, r.policy("Metadata"), byFrontProxy))
	add("kubetrail proxy", "RequestResponse to a log", off, r.addProxy(off, r.policy("RequestResponse"), byFrontProxy))
	add("kubetrail proxy", "RequestResponse to a webhook", off, r.addProxy(off, r.policy("RequestResponse"), byFrontProxy, append(batch, "--audit-log-path=")...))
	var loads []*load
	for i, x := range all {
		sender, err := newSender(r.plane.PKI, r.strangers, x.url, map[string]string{})
		must(t, err)
		defer sender.close()
		l := newLoad(t, sender, fmt.Sprintf("cost-%d", i))
		warm, cancel := context.WithTimeout(t.Context(), each/4)
		l.run(warm)
		cancel()
		l.ids, l.took = nil, nil
		loads = append(loads, l)
	}
	for round := range n {
		for i := range all {
			if round%2 == 1 {
				i = len(all) - 1 - i
			}
			must(t, all[i].measure(t.Context(), loads[i], each))
		}
	}
	text := costTable(all, loads)
	t.Logf("%s a setting and round, %d rounds\n%s", each, n, text)
	if *cost != "" {
		must(t, os.WriteFile(*cost, []byte(text), 0o644))
	}
	for i, x := range all {
		if x.requests == 0 || len(loads[i].failed) > 0 {
			t.Errorf("%s, %s: %d requests, failed: %.500q", x.what, x.level, x.requests, loads[i].failed)
		}
	}
	if v.events == 0 {
		t.Error("no webhook was called")
	}
}

// measure loads a setting for so long.
func (x *setting) measure(ctx context.Context, l *load, each time.Duration) error {
	processes := []*plane.Process{x.server}
	if x.proxy != nil {
		processes = append(processes, x.proxy)
	}
	var before [2]time.Duration
	for i, p := range processes {
		var err error
		if before[i], err = p.CPU(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	begun := time.Now()
	l.run(ctx)
	x.elapsed += time.Since(begun)
	x.requests = len(l.ids)
	for i, p := range processes {
		after, err := p.CPU()
		if err != nil {
			return err
		}
		x.cpu[i] += after - before[i]
	}
	return nil
}

// costTable prints all settings.
func costTable(all []*setting, loads []*load) string {
	var b strings.Builder
	b.WriteString("| recorder | setting | requests/s | p50 ms | p99 ms | CPU ms/request, kube-apiserver | CPU ms/request, proxy | RSS MB, kube-apiserver | RSS MB, proxy |\n")
	b.WriteString("|---|---|---:|---:|---:|---:|---:|---:|---:|\n")
	for i, x := range all {
		ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
		per := func(d time.Duration) float64 { return ms(d) / float64(max(1, x.requests)) }
		rss := func(p *plane.Process) int64 {
			now, _, err := p.RSS()
			if err != nil {
				return 0
			}
			return now >> 20
		}
		proxyCPU, proxyRSS := "-", "-"
		if x.proxy != nil {
			proxyCPU, proxyRSS = fmt.Sprintf("%.3f", per(x.cpu[1])), fmt.Sprint(rss(x.proxy))
		}
		fmt.Fprintf(&b, "| %s | %s | %.0f | %.2f | %.1f | %.3f | %s | %d | %s |\n", x.what, x.level, float64(x.requests)/x.elapsed.Seconds(),
			ms(loads[i].share(50)), ms(loads[i].share(99)), per(x.cpu[0]), proxyCPU, rss(x.server), proxyRSS)
	}
	return b.String()
}

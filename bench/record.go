package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const recordHeading = "## Recording"

// records measures the recorder beside kube-apiserver's own packages, which live in a
// module of their own, and the proxy beside a bare one, and prints the section of the
// page.
func records(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("record", flag.ContinueOnError)
	count := flags.Int("count", 5, "how `often` to measure each")
	watches := flags.Int("watches", 50_000, "how `many` watches to hold open")
	markdown := flags.Bool("markdown", false, "write the section of "+benchmarksPage)
	if err := flags.Parse(args); err != nil {
		return err
	}
	section, err := recordSection(ctx, *count, *watches)
	if err != nil {
		return err
	}
	return publish(section, recordHeading, *markdown)
}

func recordSection(ctx context.Context, count, watches int) ([]byte, error) {
	upstream, err := goTest(ctx, filepath.Join("test", "oracle"), "-run", "^$", "-bench", "^BenchmarkRecord", "-benchtime", "300ms", "-count", strconv.Itoa(count), ".")
	if err != nil {
		return nil, err
	}
	proxied, err := goTest(ctx, ".", "-run", "^$", "-bench", "^BenchmarkGet$", "-benchtime", "4000x", "-count", strconv.Itoa(count), "./internal/proxy")
	if err != nil {
		return nil, err
	}
	held, err := goTest(ctx, ".", "-v", "-run", "^TestManyWatches$", "-count", "1", "-timeout", "20m", "./internal/proxy", "-watches", strconv.Itoa(watches))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\nWritten by `go run ./bench record --markdown`; do not edit.\n\n", recordHeading)
	fmt.Fprintf(&b, "%s, commit %s, on %s. Medians of %d runs, ours and theirs in one process; upstream is k8s.io/apiserver 0.36.3. "+
		"Logs and filters are measured in processor time, user and system, since a writer waits for a disk that is behind. "+
		"One write(2) of the line alone, which every event of a request by itself needs, is what no log can be faster than. "+
		"The proxy stands before an API server of the test's own, on loopback, over TLS and HTTP/2 on both sides, beside a bare httputil.ReverseProxy with the same transport.\n\n",
		time.Now().UTC().Format(time.DateOnly), commit(ctx), machine(), count)
	fmt.Fprintf(&b, "| %s |\n|---|---|--:|--:|---|---|\n", strings.Join(header(), " | "))
	rows := append(recordRows(upstream), proxyRows(proxied)...)
	for _, r := range append(rows, watchRows(held)...) {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r.cells(), " | "))
	}
	return b.Bytes(), nil
}

// goTest runs go test in a directory and returns what it printed.
func goTest(ctx context.Context, dir string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "go", append([]string{"test"}, args...)...)
	c.Dir, c.Stderr = dir, os.Stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", c, err, out)
	}
	return string(out), nil
}

// A pair is what upstream and we were measured at, in the unit of the benchmark.
type pair struct {
	what, name string
	unit       string  // of go test: ns/op, cpu-ns/op, events/s or events/cpu-s
	limit      float64 // at most, or events at least; 0: no target
	target     string
	over       string // the benchmark whose figure is the floor that is taken off
}

func recordPairs() []pair {
	return []pair{
		{"encode an event, Metadata, 1.1 KB", "Encode/metadata", "ns/op", 1_500, "at most 1.5 µs", ""},
		{"encode an event, RequestResponse, 5.2 KB", "Encode/requestresponse", "ns/op", 6_000, "at most 6 µs", ""},
		{"write(2) of a line, Metadata", "Write/metadata", "cpu-ns/op", 0, "", ""},
		{"write(2) of a line, RequestResponse", "Write/requestresponse", "cpu-ns/op", 0, "", ""},
		{"log to a file, one request at a time, Metadata", "Log/metadata", "events/cpu-s", 0, "", ""},
		{"log to a file, one writer, groups of 400, Metadata", "Log/metadata/group", "events/cpu-s", 400_000, "at least 400k/s", ""},
		{"log to a file, 32 requests at a time, Metadata", "Log/metadata/parallel", "events/cpu-s", 0, "", ""},
		{"log to a file, one request at a time, RequestResponse", "Log/requestresponse", "events/cpu-s", 0, "", ""},
		{"log to a file, one writer, groups of 400, RequestResponse", "Log/requestresponse/group", "events/cpu-s", 120_000, "at least 120k/s", ""},
		{"log to a file, 32 requests at a time, RequestResponse", "Log/requestresponse/parallel", "events/cpu-s", 0, "", ""},
		{"webhook, batches of 400, loopback with its receiver, Metadata", "Webhook/metadata", "events/s", 250_000, "at least 250k/s", ""},
		{"webhook, batches of 400, loopback with its receiver, RequestResponse", "Webhook/requestresponse", "events/s", 0, "", ""},
		{"filter without auditing", "Filter/off", "cpu-ns/op", 0, "", ""},
		{"filter, Metadata to a file, above that", "Filter/metadata", "cpu-ns/op", 3_000, "at most 3 µs", "Filter/off"},
		{"filter, a pod at RequestResponse to a file, above that", "Filter/pod", "cpu-ns/op", 15_000, "at most 15 µs", "Filter/off"},
	}
}

// recordRows makes rows out of what the benchmarks printed.
func recordRows(out string) []row {
	figures := map[string]map[string][]float64{}
	for _, m := range regexp.MustCompile(`(?m)^BenchmarkRecord(\S+?)-\d+\s+\d+\s+(.*)$`).FindAllStringSubmatch(out, -1) {
		if figures[m[1]] == nil {
			figures[m[1]] = map[string][]float64{}
		}
		for _, f := range regexp.MustCompile(`([0-9.e+]+) (\S+)`).FindAllStringSubmatch(m[2], -1) {
			v, _ := strconv.ParseFloat(f[1], 64) // the pattern takes numbers alone
			figures[m[1]][f[2]] = append(figures[m[1]][f[2]], v)
		}
	}
	var rows []row
	for _, p := range recordPairs() {
		of := func(by string) float64 {
			v := median(figures[p.name+"/"+by][p.unit])
			if p.over != "" {
				v -= median(figures[p.over+"/"+by][p.unit])
			}
			return v
		}
		ours, theirs := of("ours"), of("upstream")
		met, say, ratio := ours <= p.limit, microseconds, theirs/ours
		if strings.HasPrefix(p.unit, "events/") {
			met, say, ratio = ours >= p.limit, perSecond, ours/theirs
		}
		allocs := func(by string) string {
			if n := figures[p.name+"/"+by]["allocs/op"]; n != nil && strings.HasPrefix(p.name, "Encode") {
				return fmt.Sprintf(", %.0f allocs", median(n))
			}
			return ""
		}
		if strings.HasPrefix(p.name, "Write") {
			rows = append(rows, row{what: p.what, by: "the system", figure: say(ours)})
			continue
		}
		rows = append(rows,
			row{what: p.what, by: "kubetrail", figure: say(ours) + allocs("ours"), ratio: "1", target: p.target, met: met},
			row{what: p.what, by: "upstream", figure: say(theirs) + allocs("upstream"), ratio: fmt.Sprintf("%.1f × slower", ratio)})
	}
	return rows
}

func microseconds(ns float64) string { return fmt.Sprintf("%.2f µs", ns/1e3) }

// proxyRows makes rows of what a GET takes through the proxy.
func proxyRows(out string) []row {
	of := func(unit string) float64 {
		var all []float64
		for _, m := range regexp.MustCompile(`([0-9.e+-]+) `+regexp.QuoteMeta(unit)).FindAllStringSubmatch(out, -1) {
			v, _ := strconv.ParseFloat(m[1], 64) // the pattern takes numbers alone
			all = append(all, v)
		}
		return median(all)
	}
	var rows []row
	for _, c := range []struct {
		what, at string
		most     float64
		target   string
	}{
		{"GET through the proxy, median", "p50", 150, "at most 150 µs above"},
		{"GET through the proxy, p99", "p99", 1000, "at most 1 ms above"},
	} {
		added := of("added-" + c.at + "-µs")
		rows = append(rows,
			row{what: c.what, by: "kubetrail", figure: fmt.Sprintf("%.0f µs, %+.0f", of("ours-"+c.at+"-µs"), added), ratio: "1", target: c.target, met: added <= c.most},
			row{what: c.what, by: "httputil.ReverseProxy", figure: fmt.Sprintf("%.0f µs", of("bare-"+c.at+"-µs"))})
	}
	return rows
}

// watchRows makes a row of what open watches take.
func watchRows(out string) []row {
	m := regexp.MustCompile(`(\d+) watches open in \S+: \d+ MB, at most (\d+) MB`).FindStringSubmatch(out)
	if m == nil {
		return nil
	}
	peak, _ := strconv.ParseFloat(m[2], 64)
	watches, _ := strconv.ParseFloat(m[1], 64)
	limit := math.Round(1500 * watches / 50_000)
	return []row{{what: m[1] + " open watches through the proxy, peak memory", by: "kubetrail", figure: fmt.Sprintf("%.0f MB", peak), ratio: "1",
		target: fmt.Sprintf("at most %.0f MB", limit), met: peak <= limit}}
}

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
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	benchmarksPage = "docs/benchmarks.md"
	policyHeading  = "## A policy's decision"
)

// policies measures our decisions beside those of kube-apiserver's own packages,
// which live in a module of their own, and prints the section of the page.
func policies(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("policy", flag.ContinueOnError)
	count := flags.Int("count", 10, "how `often` to measure each")
	markdown := flags.Bool("markdown", false, "write the section of "+benchmarksPage)
	if err := flags.Parse(args); err != nil {
		return err
	}
	section, err := policySection(ctx, *count)
	if err != nil {
		return err
	}
	return publish(section, policyHeading, *markdown)
}

// publish prints a section and, if the page is to have it, writes it there.
func publish(section []byte, heading string, markdown bool) error {
	if _, err := os.Stdout.Write(section); err != nil || !markdown {
		return err
	}
	page, err := os.ReadFile(benchmarksPage)
	if err != nil {
		return err
	}
	return os.WriteFile(benchmarksPage, withSection(page, section, heading), 0o644)
}

// withSection replaces the section of the page with a heading, or adds it at the end.
func withSection(page, section []byte, heading string) []byte {
	start := bytes.Index(page, []byte(heading))
	if start < 0 {
		return slices.Concat(bytes.TrimRight(page, "\n"), []byte("\n\n"), section)
	}
	end := len(page)
	if next := bytes.Index(page[start+2:], []byte("\n## ")); next >= 0 {
		end = start + 2 + next + 1
	}
	return slices.Concat(page[:start], section, page[end:])
}

func policySection(ctx context.Context, count int) ([]byte, error) {
	c := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^Benchmark(Policy|RequestInfo)$",
		"-benchtime", "200ms", "-count", strconv.Itoa(count), ".")
	c.Dir = filepath.Join("test", "oracle")
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", c, err, out)
	}
	f, err := os.CreateTemp("", "kubetrail-bench-*.txt")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(out); err != nil {
		return nil, err
	}
	stat, err := exec.CommandContext(ctx, "go", "tool", "benchstat", "-col", "/by", f.Name()).Output()
	if err != nil {
		return nil, fmt.Errorf("benchstat: %w", err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\nWritten by `go run ./bench policy --markdown`; do not edit.\n\n", policyHeading)
	fmt.Fprintf(&b, "%s, commit %s, on %s. Medians of %d runs in one process; 32 typical requests in turn; upstream is k8s.io/apiserver 0.36.3, and upstream-parsed what it does once net/http has parsed the URI.\n\n",
		time.Now().UTC().Format(time.DateOnly), commit(ctx), machine(), count)
	fmt.Fprintf(&b, "| %s |\n|---|---|--:|--:|---|---|\n", strings.Join(header(), " | "))
	for _, r := range policyRows(string(out)) {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r.cells(), " | "))
	}
	fmt.Fprintf(&b, "\nThe same by `benchstat`:\n\n```text\n%s```\n", stat)
	return b.Bytes(), nil
}

// policyRows makes rows out of what go test printed.
func policyRows(out string) []row {
	times, allocs := map[string][]float64{}, map[string][]float64{}
	for _, m := range regexp.MustCompile(`(?m)^Benchmark(\S+)-\d+\s+\d+\s+([0-9.]+) ns/op\s+\d+ B/op\s+(\d+) allocs/op`).FindAllStringSubmatch(out, -1) {
		ns, _ := strconv.ParseFloat(m[2], 64) // the pattern takes numbers alone
		n, _ := strconv.ParseFloat(m[3], 64)
		times[m[1]] = append(times[m[1]], ns)
		allocs[m[1]] = append(allocs[m[1]], n)
	}
	few := median(times["Policy/rules=16/by=kubetrail"])
	var rows []row
	for _, c := range []struct {
		what, name string
		most       float64 // nanoseconds
		target     string
	}{
		{"decision, gce-derived.yaml, 16 rules", "Policy/rules=16", 50, "at most 50 ns"},
		{"decision, 100 rules", "Policy/rules=100", 3 * few, "at most 3 × that of 16 rules"},
		{"decision, 1000 rules", "Policy/rules=1000", 3 * few, "at most 3 × that of 16 rules"},
		{"method and URI to attributes", "RequestInfo", math.Inf(1), ""},
	} {
		ours, theirs := median(times[c.name+"/by=kubetrail"]), median(times[c.name+"/by=upstream"])
		rows = append(rows,
			row{what: c.what, by: "kubetrail", figure: fmt.Sprintf("%.1f ns, %.0f allocs", ours, median(allocs[c.name+"/by=kubetrail"])), ratio: "1", target: c.target, met: ours <= c.most},
			row{what: c.what, by: "upstream", figure: fmt.Sprintf("%.1f ns, %.0f allocs", theirs, median(allocs[c.name+"/by=upstream"])), ratio: fmt.Sprintf("%.1f", theirs/ours)})
	}
	return rows
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	slices.Sort(x)
	return x[len(x)/2]
}

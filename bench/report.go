package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is the table.
type report struct {
	machine, commit, date string
	bench                 *bench
	rows                  []row
}

// row is one figure.
type row struct {
	topic  string // "Scan"
	what   string // of what: "generated, 3.1 KB"
	by     string // whose
	figure string
	ratio  string // to ours
	target string // "" where there is none
	met    bool
}

func (r row) verdict() string {
	switch {
	case r.target == "":
		return ""
	case r.met:
		return "met"
	}
	return "missed"
}

func (r row) cells() []string {
	return []string{r.what, r.by, r.figure, r.ratio, r.target, r.verdict()}
}

func header() []string {
	return []string{"what", "by", "figure", "theirs ÷ ours", "target", ""}
}

// intro tells how the figures came about.
func (r *report) intro() []string {
	b := r.bench
	return []string{
		fmt.Sprintf("%s, commit %s, on %s.", r.date, r.commit, r.machine),
		fmt.Sprintf("Generated events: seed %d; %d of them are asked about, the first %d imported from a file and given to other programs, whose times are scaled to %[2]d (jq read %[4]d of them).",
			b.seed, b.events, b.sample, b.jqSample()),
		"Rates are events per second of CPU time (user and system, of all threads). Questions are asked warm; unless it says that one waited, their time is CPU time as well, because the machine is shared: that is what one would wait for on one free core. Every answer of ours was checked against what the generator knows.",
	}
}

// print writes the table for a terminal.
func (r *report) print(out io.Writer) error {
	for _, line := range r.intro() {
		fmt.Fprintln(out, line)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	topic := ""
	for _, row := range r.rows {
		if row.topic != topic {
			topic = row.topic
			fmt.Fprintf(w, "\n%s\t\t\t\t\t\n%s\n", topic, strings.Join(header(), "\t"))
		}
		fmt.Fprintln(w, strings.Join(row.cells(), "\t"))
	}
	return w.Flush()
}

// markdown returns the table as a page of the manual.
func (r *report) markdown() []byte {
	var b bytes.Buffer
	b.WriteString("# Benchmarks\n\n")
	fmt.Fprintf(&b, "Written by `go run ./bench table --events %d --markdown`; do not edit.\n", r.bench.events)
	for _, line := range r.intro() {
		fmt.Fprintf(&b, "\n%s\n", line)
	}
	topic := ""
	for _, row := range r.rows {
		if row.topic != topic {
			topic = row.topic
			fmt.Fprintf(&b, "\n## %s\n\n| %s |\n|%s\n", topic, strings.Join(header(), " | "), "---|---|--:|--:|---|---|")
		}
		cells := row.cells()
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	return b.Bytes()
}

// machine describes the computer.
func machine() string {
	model, memory := runtime.GOARCH, ""
	if lines, err := fileLines("/proc/cpuinfo"); err == nil {
		if i := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "model name") }); i >= 0 {
			_, model, _ = strings.Cut(lines[i], ": ")
		}
	}
	if lines, err := fileLines("/proc/meminfo"); err == nil && len(lines) > 0 {
		var kb int64
		if _, err := fmt.Sscanf(lines[0], "MemTotal: %d kB", &kb); err == nil {
			memory = fmt.Sprintf(", %.0f GiB", float64(kb)/(1<<20))
		}
	}
	return fmt.Sprintf("%d × %s%s, %s/%s, %s", runtime.NumCPU(), model, memory, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func fileLines(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	return lines, s.Err()
}

// commit names the commit that was measured.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

const collectHeading = "## Collecting"

// collecting is one run of `bench collect`.
type collecting struct {
	events int64 // to follow, and half of that to post
	rate   int   // events per second that are written
	torn   int64 // events of the run with kills
	kills  int
	dir    string
	otel   string // the collector's program, "" where it cannot be built
}

// collects measures serve following a log and receiving a webhook, beside an
// OpenTelemetry collector that does the former, and prints the section of the page.
func collects(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("collect", flag.ContinueOnError)
	c := &collecting{}
	flags.Int64Var(&c.events, "events", 1_000_000, "how `many` events to follow")
	flags.IntVar(&c.rate, "rate", 20_000, "events per `second`")
	flags.Int64Var(&c.torn, "torn", 150_000, "how `many` events to follow under rotation and kills")
	flags.IntVar(&c.kills, "kills", 10, "how `often` to kill")
	markdown := flags.Bool("markdown", false, "write the section of "+benchmarksPage)
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kubetrail-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c.dir = dir
	section, err := c.section(ctx)
	if err != nil {
		return err
	}
	return publish(section, collectHeading, *markdown)
}

// section measures, and returns the section of the page.
func (c *collecting) section(ctx context.Context) ([]byte, error) {
	if _, _, err := other(ctx, `go build -o "$1" ./cmd/kubetrail`, c.path("kubetrail")); err != nil {
		return nil, err
	}
	c.otel = c.path("otelcol")
	if _, _, err := other(ctx, `go -C bench/otel build -o "$1" .`, c.otel); err != nil {
		fmt.Fprintln(os.Stderr, "bench: the OpenTelemetry collector cannot be built and is left out:", err)
		c.otel = ""
	}
	var rows []row
	for _, measure := range []func(context.Context) ([]row, error){c.following, c.underKills, c.receiving} {
		more, err := measure(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\nWritten by `go run ./bench collect --markdown`; do not edit.\n\n", collectHeading)
	fmt.Fprintf(&b, "%s, commit %s, on %s. %s, a write each, at %d events a second, GOMAXPROCS=1; the log is rotated by renaming it every %d MiB. "+
		"CPU time is user and system of the whole process: of kubetrail with durable, searchable and merged parts, of the OpenTelemetry collector (filelogreceiver, its offsets on disk and synced) with a file of JSON that nothing syncs or searches.\n\n",
		time.Now().UTC().Format(time.DateOnly), commit(ctx), machine(), kindOfEvents(), c.rate, rotateBytes>>20)
	fmt.Fprintf(&b, "| %s |\n|---|---|--:|--:|---|---|\n", strings.Join(header(), " | "))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r.cells(), " | "))
	}
	return b.Bytes(), nil
}

func (c *collecting) path(name string) string { return c.dir + "/" + name }

const (
	rotateBytes = 100 << 20
	tornBytes   = 4 << 20 // of the log of the run with kills
)

// following measures a growing log.
func (c *collecting) following(ctx context.Context) ([]row, error) {
	what := fmt.Sprintf("follow a log, %d events", c.events)
	ours, err := c.follow(ctx, c.kubetrail(), c.events, rotateBytes, 0)
	if err != nil {
		return nil, err
	}
	rows := c.costRows(what, "kubetrail", ours, ours, 6, 256<<20)
	rows = append(rows, lossRow(what, "kubetrail", ours, true))
	if c.otel == "" {
		return rows, nil
	}
	theirs, err := c.follow(ctx, c.collector(), c.events, rotateBytes, 0)
	if err != nil {
		return nil, err
	}
	rows = append(rows, c.costRows(what, "OpenTelemetry collector", theirs, ours, 0, 0)...)
	return append(rows, lossRow(what, "OpenTelemetry collector", theirs, false)), nil
}

// underKills measures what is lost and doubled.
func (c *collecting) underKills(ctx context.Context) ([]row, error) {
	what := fmt.Sprintf("rotation every %d MiB and %d × kill -9, %d events", tornBytes>>20, c.kills, c.torn)
	ours, err := c.follow(ctx, c.kubetrail(), c.torn, tornBytes, c.kills)
	if err != nil {
		return nil, err
	}
	rows := []row{lossRow(what, "kubetrail", ours, true)}
	if c.otel == "" {
		return rows, nil
	}
	theirs, err := c.follow(ctx, c.collector(), c.torn, tornBytes, c.kills)
	if err != nil {
		return nil, err
	}
	return append(rows, lossRow(what, "OpenTelemetry collector", theirs, false)), nil
}

// receiving measures the webhook: bodies of 400 events, as kube-apiserver sends them.
func (c *collecting) receiving(ctx context.Context) ([]row, error) {
	const batch, rate = 400, 10_000
	events := c.events / 2 / batch * batch
	p := c.kubetrail()
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	defer p.kill()
	g, err := eventsToWrite(events, 2)
	if err != nil {
		return nil, err
	}
	begun, pace := time.Now(), newPace(rate)
	slowest := time.Duration(0)
	for at := int64(0); at < events; at += batch {
		var items [][]byte
		for range batch {
			line := bytes.Replace(g(), []byte(`"kind":"Event","apiVersion":"audit.k8s.io/v1",`), nil, 1)
			items = append(items, bytes.Clone(line))
		}
		body := fmt.Appendf(nil, `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[%s]}`, bytes.Join(items, []byte(",")))
		if err := pace.wait(ctx, batch); err != nil {
			return nil, err
		}
		start := time.Now()
		answer, err := http.Post(p.url+"/webhook/bench?timeout=30s", "application/json", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the webhook answers %s", answer.Status)
		}
		slowest = max(slowest, time.Since(start))
	}
	posted := float64(events) / time.Since(begun).Seconds()
	found, err := p.finish(ctx, events)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("webhook, %d events in bodies of %d, %d a second", events, batch, rate)
	rows := []row{{what: what, by: "kubetrail", figure: fmt.Sprintf("%.0f events/s acknowledged", posted),
		target: fmt.Sprintf("%d events/s", rate), met: posted >= 0.99*rate}}
	rows = append(rows, c.costRows(what, "kubetrail", found, found, 0, 256<<20)...)
	return append(rows, lossRow(what, "kubetrail", found, true), row{what: what, by: "kubetrail, slowest answer", figure: duration(slowest)}), nil
}

// costRows tell CPU time and memory. A target of 0 is none.
func (c *collecting) costRows(what, by string, r, ours outcome, cpu float64, memory int64) []row {
	perMillion := func(o outcome) float64 { return o.cpu.Seconds() / float64(o.found) * 1e6 }
	rows := []row{
		{what: what, by: by, figure: fmt.Sprintf("%.1f CPU s per million", perMillion(r)), ratio: fmt.Sprintf("%.1f", perMillion(r)/perMillion(ours))},
		{what: what, by: by + ", peak memory", figure: fmt.Sprintf("%d MiB", r.peak>>20)},
	}
	if cpu > 0 {
		rows[0].target, rows[0].met = fmt.Sprintf("at most %.0f", cpu), perMillion(r) <= cpu
	}
	if memory > 0 {
		rows[1].target, rows[1].met = fmt.Sprintf("at most %d MiB", memory>>20), r.peak <= memory
	}
	return rows
}

func lossRow(what, by string, r outcome, target bool) row {
	x := row{what: what, by: by, figure: fmt.Sprintf("%d lost, %d doubled", r.lost, r.doubled)}
	if target {
		x.target, x.met = "0 lost, 0 doubled", r.lost == 0 && r.doubled == 0
	}
	return x
}

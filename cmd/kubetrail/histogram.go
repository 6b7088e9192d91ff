package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

const histogramLong = `Histogram counts the answers to a question by time, in buckets of --every that
begin at whole multiples of it, UTC. Buckets without an answer are printed too.`

const histogramExample = `  # requests per minute
  kubetrail histogram --every 1m --since 1h

  # server errors per hour, for another program
  kubetrail histogram --every 1h 'code >= 500' -o jsonl`

func (a *app) histogramVerb() *cobra.Command {
	f := &asked{}
	var every string
	cmd := &cobra.Command{
		Use:     "histogram [QUESTION]",
		Short:   "Count events over time",
		Long:    histogramLong,
		Example: histogramExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.histogram(cmd.Context(), f, args, every)
		},
	}
	f.where(cmd.Flags(), a)
	f.which(cmd.Flags())
	f.how(cmd.Flags(), a, countOutputs)
	cmd.Flags().StringVar(&every, "every", "1m", "Length of a bucket, such as 10s, 1m, 1h or 1d")
	return cmd
}

func (a *app) histogram(ctx context.Context, f *asked, words []string, every string) error {
	if err := f.check(countOutputs); err != nil {
		return err
	}
	length, err := trail.ParseDuration(every)
	if err != nil {
		return usage("examples: 10s, 1m, 1h, 1d", "--every: %w", err)
	}
	if length <= 0 {
		return usage("examples: 10s, 1m, 1h, 1d", "--every %s is not positive", every)
	}
	q, err := f.question(words, a.now())
	if err != nil {
		return err
	}
	r, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer r.close()
	buckets, err := r.Histogram(ctx, q, length)
	if err == nil {
		err = a.printBuckets(f, buckets)
	}
	return a.finish(f, r, len(buckets), err)
}

func (a *app) printBuckets(f *asked, buckets []trail.Bucket) error {
	if f.output != "table" {
		return output.Rows(a.stdout(), f.output, "BucketList", map[string]any{}, len(buckets), func(b []byte, i int) []byte {
			b = append(b, `{"time":"`...)
			b = time.UnixMicro(buckets[i].Start).UTC().AppendFormat(b, time.RFC3339Nano)
			b = append(b, `","count":`...)
			b = strconv.AppendUint(b, buckets[i].Count, 10)
			return append(b, '}')
		})
	}
	var most uint64
	for _, b := range buckets {
		most = max(most, b.Count)
	}
	columns := terminal(a.out)
	if columns == 0 {
		columns = 80
	}
	t := output.Table{W: a.stdout(), Headers: !f.noHeaders, Titles: []string{"TIME", "COUNT", "BAR"}, Right: []int{1}}
	for _, b := range buckets {
		start := time.UnixMicro(b.Start).UTC().Format("2006-01-02T15:04:05.999Z")
		if err := t.Add(start, strconv.FormatUint(b.Count, 10), bar(b.Count, most, columns-36)); err != nil {
			return err
		}
	}
	return t.Flush()
}

// bar draws n as a bar, most being columns wide, in eighths of a column. What is not
// zero is never drawn as nothing.
func bar(n, most uint64, columns int) string {
	if n == 0 || most == 0 {
		return ""
	}
	eighths := max(1, int(float64(n)/float64(most)*float64(8*columns)+0.5))
	s := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return s
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kubetrail/audit"
	"kubetrail/bench/generate"
	"kubetrail/internal/trail/disk"
)

const answerHeading = "## Stories"

// answering is one run of `bench answer`.
type answering struct {
	bench
	program string // the real kubetrail
	times   int    // how often each is measured
}

// story is a question that one verb answers, and how people answer it today.
type story struct {
	name   string
	target time.Duration // at 10 million events, one core; 0: none
	args   func(f *generate.Facts) []string
	check  func(ctx context.Context, a *answering, out []byte) error
	script string                           // of others: $1 is the compressed log
	with   func(f *generate.Facts) []string // more arguments of the script
}

// jqDeeds prints what the events on its input are about, counted.
const jqDeeds = `jq -r '[.user.username, .verb, .objectRef.resource, .objectRef.namespace, .responseStatus.code] | @tsv' | sort | uniq -c | sort -rn`

// storyList holds the stories that are measured, each with a check of its answer.
func storyList() []story {
	const before, window = "2026-11-20T14:05:00Z", "30m"
	activity := func(user string) story {
		return story{
			args: func(*generate.Facts) []string { return []string{"activity", user, "-o", "json"} },
			check: func(ctx context.Context, a *answering, out []byte) error {
				want, err := a.requestsOf(ctx, user)
				if err != nil {
					return err
				}
				return checkActivity(out, want)
			},
			script: `zstd -dc "$1" | grep -F "\"username\":\"$2\"" | ` + jqDeeds,
			with:   func(*generate.Facts) []string { return []string{user} },
		}
	}
	busiest, usual := activity("alice"), activity("mallory")
	busiest.name, busiest.target = "activity of one subject in a day, the busiest", time.Second
	usual.name, usual.target = "activity of one subject in a day, another", time.Second
	return []story{busiest, usual,
		{"history of one object, 1,000 bodies and their diffs", time.Second,
			func(f *generate.Facts) []string {
				return []string{"history", f.Hot.Resource + "/" + f.Hot.Name, "-n", f.Hot.Namespace, "--diff", "-o", "json"}
			},
			checkHistory,
			`zstd -dc "$1" | grep -F "\"name\":\"$2\"" | jq -c 'select(.objectRef.name == "` + `'"$2"'` + `") | {t: .stageTimestamp, u: .user.username, o: .responseObject}'`,
			func(f *generate.Facts) []string { return []string{f.Hot.Name} }},
		{"changes in 30 minutes", time.Second,
			func(*generate.Facts) []string {
				return []string{"changes", "--before", before, "--window", window, "-o", "json"}
			},
			checkChanges,
			`zstd -dc "$1" | grep -E '"verb":"(create|update|patch|delete|deletecollection)"' | jq -c 'select(.stageTimestamp >= "2026-11-20T13:35" and .stageTimestamp < "2026-11-20T14:05") | [.stageTimestamp, .user.username, .verb, .objectRef]'`,
			func(*generate.Facts) []string { return nil }},
	}
}

// requestsOf counts the requests of a user as any question is counted.
func (a *answering) requestsOf(ctx context.Context, user string) (uint64, error) {
	r, err := disk.Open(a.path("trail"))
	if err != nil {
		return 0, err
	}
	defer r.Close()
	q, err := parse(fmt.Sprintf("user:%q and stage:(ResponseComplete or Panic)", user))
	if err != nil {
		return 0, err
	}
	verb, err := audit.Resolve("verb")
	if err != nil {
		return 0, err
	}
	g, err := r.Aggregate(ctx, q, []audit.Ref{verb}, 0)
	return g.Events, err
}

// checkActivity compares an activity with how many requests there are.
func checkActivity(out []byte, want uint64) error {
	var doc struct {
		Requests struct{ Count uint64 }
		Items    []struct{ Count uint64 }
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return err
	}
	sum := uint64(0)
	for _, x := range doc.Items {
		sum += x.Count
	}
	if n := doc.Requests.Count; n != sum || n != want || want == 0 {
		return fmt.Errorf("%d requests in rows that say %d, want %d", n, sum, want)
	}
	return nil
}

// checkHistory compares a history with how many changes of the object were made, all of
// them with both bodies.
func checkHistory(_ context.Context, a *answering, out []byte) error {
	var doc struct {
		Hidden map[string]int
		Items  []struct{ Diff string }
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return err
	}
	n, diffs := len(doc.Items), 0
	for _, hidden := range doc.Hidden {
		n += hidden
	}
	for _, x := range doc.Items {
		if x.Diff != "" {
			diffs++
		}
	}
	if n != a.big.Facts.HotEvents || diffs == 0 {
		return fmt.Errorf("%d versions with %d differences, want %d", n, diffs, a.big.Facts.HotEvents)
	}
	return nil
}

// checkChanges compares changes with how many events there are in that time.
func checkChanges(_ context.Context, a *answering, out []byte) error {
	var doc struct {
		Failed int64
		Hidden map[string]int64
		Items  []struct{ Count, ConsequenceCount int64 }
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return err
	}
	all, sum := int64(0), doc.Failed
	for _, n := range a.big.Facts.Minutes[13*60+35 : 14*60+5] {
		all += n
	}
	for _, n := range doc.Hidden {
		sum += n
	}
	for _, x := range doc.Items {
		sum += x.Count + x.ConsequenceCount
	}
	if len(doc.Items) == 0 || sum > all || sum < all/2 {
		return fmt.Errorf("%d writes in %d rows, of %d events", sum, len(doc.Items), all)
	}
	return nil
}

// answers measures the stories with the real program, each in a process of its own, and
// prints the section of the page.
func answers(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("answer", flag.ContinueOnError)
	a := &answering{}
	flags.Int64Var(&a.events, "events", 10_000_000, "how `many` events to ask about")
	flags.Int64Var(&a.sample, "sample", 100_000, "how `many` of them to give to other programs")
	flags.Uint64Var(&a.seed, "seed", 1, "of the events")
	flags.IntVar(&a.times, "times", 5, "how `often` to measure each")
	flags.StringVar(&a.dir, "dir", "", "`directory` to work in and to leave the trail in for the next run; a temporary one otherwise")
	markdown := flags.Bool("markdown", false, "write the section of "+benchmarksPage)
	if err := flags.Parse(args); err != nil {
		return err
	}
	a.sample = min(a.sample, a.events)
	if a.dir == "" {
		dir, err := os.MkdirTemp("", "kubetrail-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		a.dir = dir
	}
	section, err := a.section(ctx)
	if err != nil {
		return err
	}
	return publish(section, answerHeading, *markdown)
}

// prepare makes the trail, the program and the log that others read.
func (a *answering) prepare(ctx context.Context) error {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	if err := a.build(ctx); err != nil {
		return err
	}
	a.program = a.path("kubetrail")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", a.program, "./cmd/kubetrail").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	if !installed("zstd") {
		return nil
	}
	log := a.path("generated.log")
	if err := a.generate(log); err != nil {
		return err
	}
	_, _, err := other(ctx, `zstd -q -3 -f "$1"`, log)
	return err
}

// section measures, and returns the section of the page.
func (a *answering) section(ctx context.Context) ([]byte, error) {
	if err := a.prepare(ctx); err != nil {
		return nil, err
	}
	var rows []row
	for _, s := range storyList() {
		more, err := a.story(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		rows = append(rows, more...)
	}
	sentence, err := sentences(ctx)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\nWritten by `go run ./bench answer --markdown`; do not edit.\n\n", answerHeading)
	fmt.Fprintf(&b, "%s, commit %s, on %s. The verbs of the real program, one process for each answer, over a trail of %d generated events of one day; one core (GOMAXPROCS=1); the fastest of %d. Times are CPU time, user and system, unless it says that one waited: the machine is shared, and that is what one would wait for on one free core. Each answer was checked against what the generator knows. Other programs read the first %d events, compressed, and their CPU time is scaled to all.\n\n",
		time.Now().UTC().Format(time.DateOnly), commit(ctx), machine(), a.events, a.times, a.sample)
	fmt.Fprintf(&b, "| %s |\n|---|---|--:|--:|---|---|\n", strings.Join(header(), " | "))
	for _, r := range append(rows, sentence...) {
		cells := r.cells()
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	return b.Bytes(), nil
}

// used is what one process used.
type used struct {
	wall, cpu time.Duration
	peak      int64 // bytes
}

// story measures one story, of us and of others.
func (a *answering) story(ctx context.Context, s story) ([]row, error) {
	var best used
	for i := range a.times {
		u, out, err := a.ask(ctx, s.args(a.big.Facts))
		if err != nil {
			return nil, err
		}
		if err := s.check(ctx, a, out); err != nil {
			return nil, err
		}
		if i == 0 {
			best = u
		}
		best = used{min(best.wall, u.wall), min(best.cpu, u.cpu), max(best.peak, u.peak)}
	}
	const mib = 1 << 20
	first := row{what: s.name, by: "kubetrail", figure: duration(best.cpu), ratio: "1"}
	if a.events == 10_000_000 && s.target > 0 {
		first.target, first.met = "at most "+duration(s.target), best.cpu <= s.target
	}
	rows := []row{first,
		{what: s.name, by: "kubetrail, waited", figure: duration(best.wall), ratio: ratio(best.wall, best.cpu)},
		{what: s.name, by: "kubetrail, peak memory", figure: fmt.Sprintf("%d MiB", best.peak/mib), target: "at most 256 MiB", met: best.peak <= 256*mib},
	}
	if !installed("zstd") || !installed("jq") {
		return rows, nil
	}
	cpu, _, err := other(ctx, s.script+" | wc -l", append([]string{a.path("generated.log.zst")}, s.with(a.big.Facts)...)...)
	if err != nil {
		return nil, err
	}
	took := time.Duration(float64(cpu) * float64(a.events) / float64(a.sample))
	return append(rows, row{what: s.name, by: "zstd -dc | grep | jq, scaled", figure: duration(took), ratio: ratio(took, best.cpu)}), nil
}

// ask runs the program on one core.
func (a *answering) ask(ctx context.Context, args []string) (used, []byte, error) {
	args = append(args, "--data", a.path("trail"), "--lang", "en")
	c := exec.CommandContext(ctx, a.program, args...)
	if installed("taskset") {
		c = exec.CommandContext(ctx, "taskset", append([]string{"-c", "0", a.program}, args...)...)
	}
	c.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "KUBETRAIL_") }), "GOMAXPROCS=1")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	start := time.Now()
	out, err := c.Output()
	wall := time.Since(start)
	if err != nil {
		return used{}, nil, fmt.Errorf("%s: %w\n%s", c, err, stderr.Bytes())
	}
	u := used{wall: wall, cpu: c.ProcessState.UserTime() + c.ProcessState.SystemTime()}
	if r, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.peak = r.Maxrss << 10
	}
	return u, out, nil
}

// sentences measures one sentence of an event, by the benchmark of package explain.
func sentences(ctx context.Context) ([]row, error) {
	c := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkAppend$", "-benchtime", "500ms", "-count", "5", "./internal/explain")
	out, err := c.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", c, err, out)
	}
	times := map[string][]float64{}
	for _, m := range regexp.MustCompile(`(?m)^BenchmarkAppend(/\S+)?-?\d*\s+\d+\s+([0-9.]+) ns/op`).FindAllSubmatch(out, -1) {
		ns, _ := strconv.ParseFloat(string(m[2]), 64) // the pattern takes numbers alone
		times[string(m[1])] = append(times[string(m[1])], ns)
	}
	if len(times) == 0 {
		return nil, errors.New("internal/explain has no BenchmarkAppend")
	}
	var rows []row
	for _, name := range sortedKeys(times) {
		ns := slices.Min(times[name])
		name = regexp.MustCompile(`-\d+$`).ReplaceAllString(name, "")
		what := "one sentence" + strings.ReplaceAll(name, "/", ", ")
		rows = append(rows, row{what: what, by: "kubetrail", figure: fmt.Sprintf("%.2f µs", ns/1000), ratio: "1", target: "at most 3 µs", met: ns <= 3000})
	}
	return rows, nil
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/query"
	"kubetrail/internal/schema"
	"kubetrail/internal/trail"
)

// asked holds the flags that every verb which asks a question has: where to look,
// which events, how to print.
type asked struct {
	data              string
	server            string
	tokenFile, caFile string // for the server
	files             []string
	cluster           string

	since, until string
	namespace    string
	object       schema.Target // what history and access are asked about
	objectIn     string        // its namespace

	output    string
	fields    []string
	limit     int
	failEmpty bool
	strict    bool
	noHeaders bool
	color     string
	lang      string
}

// where adds the flags that say where the events are.
func (f *asked) where(fs *pflag.FlagSet, a *app) {
	fs.StringVar(&f.data, "data", a.dataDir(), "Directory of the trail (default $KUBETRAIL_DATA)")
	fs.StringVar(&f.server, "server", a.env("KUBETRAIL_SERVER"), "Ask a running server at this `URL` instead (default $KUBETRAIL_SERVER)")
	fs.StringVar(&f.tokenFile, "token-file", a.env("KUBETRAIL_TOKEN_FILE"), "`FILE` whose only line is the bearer token of the server")
	fs.StringVar(&f.caFile, "ca-file", a.env("KUBETRAIL_CA_FILE"), "`FILE` with the CA that signed the server's certificate, PEM")
	fs.StringArrayVarP(&f.files, "file", "f", nil, "Ask audit `FILE`s or directories directly, without a trail; - is stdin")
	fs.StringVar(&f.cluster, "cluster", "", "Only events of this cluster")
	fs.BoolVar(&f.strict, "strict", false, "Exit with 1 where a file held lines that are no events")
}

// which adds the flags that narrow a question.
func (f *asked) which(fs *pflag.FlagSet) {
	fs.StringVar(&f.since, "since", "", "Only events at or after this `TIME`: RFC 3339, a day, or a duration ago such as 15m or 2d")
	fs.StringVar(&f.until, "until", "", "Only events before this `TIME`")
	fs.StringVarP(&f.namespace, "namespace", "n", "", "Only events on objects of this namespace")
	fs.BoolVar(&f.failEmpty, "fail-empty", false, "Exit with 4 where nothing matches")
}

// how adds the flags that say how to print.
func (f *asked) how(fs *pflag.FlagSet, a *app, outputs string) {
	fs.StringVarP(&f.output, "output", "o", "table", "Output `FORMAT`: "+outputs)
	fs.BoolVar(&f.noHeaders, "no-headers", false, "Print no column titles")
	fs.StringVar(&f.color, "color", "auto", "Colour: auto, always or never")
	fs.StringVar(&f.lang, "lang", a.language(), "Language of prose: en or zh")
}

// check rejects values that no verb takes.
func (f *asked) check(outputs string) error {
	if !oneOf(f.output, outputs) {
		return usage("choose one of "+outputs, "unknown output format %q", f.output)
	}
	if !oneOf(f.color, "auto, always, never") {
		return usage("choose one of auto, always, never", "unknown --color %q", f.color)
	}
	if !oneOf(f.lang, "en, zh") {
		return usage("choose one of en, zh", "unknown --lang %q", f.lang)
	}
	if f.limit < 0 {
		return usage("0 means no limit", "--limit %d is negative", f.limit)
	}
	if f.server != "" && len(f.files) > 0 {
		return usage("give one of them", "--server and -f exclude each other")
	}
	return nil
}

func oneOf(s, list string) bool {
	for _, v := range strings.Split(list, ", ") {
		if s == v {
			return true
		}
	}
	return false
}

// question builds what the trail is asked from the words of the command line and
// the flags that narrow it.
func (f *asked) question(words []string, now time.Time) (trail.Query, error) {
	text := strings.Join(words, " ")
	var parts []string
	if strings.TrimSpace(text) != "" {
		parts = append(parts, "("+text+")")
	}
	if f.namespace != "" {
		parts = append(parts, "objectRef.namespace:"+phrase(f.namespace))
	}
	if f.cluster != "" {
		parts = append(parts, "cluster:"+phrase(f.cluster))
	}
	q := trail.Always(nil)
	if len(parts) == 1 && text != "" {
		parts[0] = text // so that the caret of an error stands where the person typed
	}
	if len(parts) > 0 {
		// The words of the person are parsed alone first, for the same reason.
		if _, err := query.Parse(text); err != nil {
			return q, &failure{exitUsage, err, ""}
		}
		where, err := query.Parse(strings.Join(parts, " and "))
		if err != nil {
			return q, &failure{exitUsage, err, ""}
		}
		q.Where = where
	}
	var err error
	if q.Since, err = f.moment("--since", f.since, now); err != nil {
		return q, err
	}
	if q.Until, err = f.moment("--until", f.until, now); err != nil {
		return q, err
	}
	if q.Since != audit.NoTime && q.Until != audit.NoTime && q.Since >= q.Until {
		return q, usage("swap them", "--since %s is not before --until %s", f.since, f.until)
	}
	return q, nil
}

func (f *asked) moment(flag, text string, now time.Time) (int64, error) {
	if text == "" {
		return audit.NoTime, nil
	}
	t, err := trail.ParseTime(text, now)
	if err != nil {
		return 0, usage("examples: 2026-11-20T15:22:00Z, 2026-11-20, 15m, 2d", "%s: %w", flag, err)
	}
	return t, nil
}

// phrase quotes a value for a question, so that nothing in it is special.
func phrase(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// refs resolves field names that a flag listed.
func refs(flag string, names []string) ([]audit.Ref, error) {
	var out []audit.Ref
	for _, n := range names {
		n = strings.TrimSpace(n)
		if n == "" {
			return nil, usage("separate the names by single commas", "%s holds an empty name", flag)
		}
		r, err := audit.Resolve(n)
		if err != nil {
			return nil, usage("kubetrail fields lists them all", "%s: %w", flag, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// dataDir is where the trail lies if nobody says otherwise: $KUBETRAIL_DATA, else
// $XDG_DATA_HOME/kubetrail, else ~/.local/share/kubetrail.
func (a *app) dataDir() string {
	if d := a.env("KUBETRAIL_DATA"); d != "" {
		return d
	}
	if d := a.env("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "kubetrail")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "kubetrail-data"
	}
	return filepath.Join(home, ".local", "share", "kubetrail")
}

// language is the one that the locale asks for, as far as we speak it.
func (a *app) language() string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := a.env(name); v != "" {
			if strings.HasPrefix(v, "zh") {
				return "zh"
			}
			return "en"
		}
	}
	return "en"
}

const searchOutputs = "table, wide, json, jsonl, yaml, name, raw"

// printer returns the printer that the flags ask for; fields are those of --fields.
func (a *app) printer(f *asked, fields []audit.Ref) (output.Printer, error) {
	if len(fields) > 0 && (f.output == "raw" || f.output == "name") {
		return nil, usage("use -o table, json, jsonl or yaml with --fields", "-o %s prints no fields", f.output)
	}
	return output.NewPrinter(a.stdout(), output.Options{Format: f.output, Fields: fields, Headers: !f.noHeaders,
		Fit: terminal(a.out), Color: a.colored(f.color, a.out)}), nil
}

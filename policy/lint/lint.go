package lint

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"kubetrail/policy"
	"kubetrail/policy/yamltext"
)

// Severity is how bad a finding is.
type Severity string

// The severities, the worst last.
const (
	Info    Severity = "info"    // good to know
	Warning Severity = "warning" // probably not what was meant: evidence is lost, or money
	Error   Severity = "error"   // the policy does not do what it says, or does harm
)

// AtLeast tells whether s is as bad as t or worse.
func (s Severity) AtLeast(t Severity) bool { return s.rank() >= t.rank() }

func (s Severity) rank() int { return slices.Index([]Severity{Info, Warning, Error}, s) }

// Text is a sentence in the languages that we speak.
type Text struct{ En, Zh string }

// In returns the text in lang, "en" or "zh".
func (t Text) In(lang string) string {
	if lang == "zh" {
		return t.Zh
	}
	return t.En
}

// say fills the same arguments into both languages.
func say(en, zh string, args ...any) Text {
	return Text{fmt.Sprintf(en, args...), fmt.Sprintf(zh, args...)}
}

// Config is what the policy is meant for.
type Config struct {
	// Kubernetes is the release of the kube-apiserver that will read it; 0 is the
	// newest one.
	Kubernetes policy.Kubernetes

	// BlockingStrict says that kube-apiserver runs with
	// --audit-log-mode=blocking-strict.
	BlockingStrict bool
}

// Finding is one thing to say about a policy.
type Finding struct {
	Check    string // the ID of a Check
	Severity Severity
	policy.Position
	End     policy.Position // behind the last character; equal to Position where unknown
	Message Text
	Fix     *Fix // nil where there is no safe one
}

// Fix is a repair of the file.
type Fix struct {
	Text  Text // what it does, in the imperative
	Edits []yamltext.Edit
}

// Check is one thing to look for.
type Check struct {
	ID       string
	Severity Severity // the usual one; a finding may have another
	Title    Text
	Why      Text // why it matters
}

// Run lints the policy in data. The findings are in the order of the file.
func Run(data []byte, cfg Config) []Finding {
	if cfg.Kubernetes == 0 {
		cfg.Kubernetes = policy.Newest
	}
	l := &linter{cfg: cfg, file: file{yamltext.Parse(data)}, severities: map[string]Severity{}}
	for _, c := range Checks() {
		l.severities[c.ID] = c.Severity
	}
	l.loading()
	if l.policy != nil {
		l.apis = builtin()
		l.values()
		l.combinations()
		l.reach()
		l.leaks()
		l.losses()
		l.costs()
	}
	l.ignore()
	slices.SortStableFunc(l.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return l.found
}

// linter is one run.
type linter struct {
	cfg        Config
	file       file
	severities map[string]Severity
	policy     *policy.Policy // nil where no release reads it
	matcher    *policy.Matcher
	apis       apis
	found      []Finding
}

// report adds a finding about the value at path, or where it is absent about what it
// would stand in. What is returned may be changed until the next report.
func (l *linter) report(id string, msg Text, path ...any) *Finding {
	severity, ok := l.severities[id]
	if !ok {
		panic("lint: no check is called " + id)
	}
	from, to := l.file.Place(path...)
	l.found = append(l.found, Finding{Check: id, Severity: severity, Position: from, End: to, Message: msg})
	return &l.found[len(l.found)-1]
}

// loading does what kube-apiserver does with the file, and what only its text shows.
func (l *linter) loading() {
	doc, err := policy.LoadAny(l.file.Data, l.cfg.Kubernetes)
	rejection, rejected := errors.AsType[*policy.Rejection](err)
	var warnings []policy.Finding
	if rejected {
		warnings = rejection.Warnings
		// A later release may read it: what is legal but wrong can then be told at once.
		doc, _ = policy.LoadAny(l.file.Data, policy.Newest)
	} else {
		warnings = doc.Warnings
		l.version(doc)
	}
	known := l.fields()
	for i, f := range l.found {
		// A value that was ignored may be wrong where it counts.
		if f.Fix == nil || rejected {
			continue
		}
		if _, err := policy.LoadAny(yamltext.Apply(l.file.Data, f.Fix.Edits), l.cfg.Kubernetes); err != nil {
			l.found[i].Fix = nil
		}
	}
	if rejected {
		for _, f := range rejection.Findings {
			l.rejected(f)
		}
	}
	for _, w := range warnings {
		// What strict decoding finds is reported one by one, and so is the version.
		told := known > 0 && (doc == nil || known >= len(doc.Strict)) || w.Path == "apiVersion" && doc != nil
		if !told {
			l.upstream("upstream-warning", say("kube-apiserver warns: %s", "kube-apiserver 警告：%s", w.Text), w)
		}
	}
	if n := l.file.Second; n != nil {
		f := l.report("ignored-document", say("kube-apiserver reads the first document of the file only: this one is ignored", "kube-apiserver 只读取文件中的第一个文档：这一个会被忽略"))
		f.Position, f.End = l.file.NodePlace(n)
	}
	if doc != nil {
		l.policy = doc.Policy
		l.matcher = doc.Policy.Compile()
	}
}

// upstream reports a finding at the place that policy.Load gave it.
func (l *linter) upstream(id string, msg Text, at policy.Finding) *Finding {
	f := l.report(id, msg)
	if at.Line > 0 {
		f.Position, f.End = at.Position, at.Position
	}
	return f
}

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kubetrail/test/e2e/patches"
)

// told is what kubetrail says of one request in the life of an object: a line of
// kubetrail history -o jsonl --objects.
type told struct {
	Event     struct{ AuditID string }
	Class     string
	Certainty string
	Reason    string
	Object    json.RawMessage
}

// tally counts verdicts.
type tally struct{ exact, derived, unknown, wrong int }

func (c *tally) add(o tally) {
	c.exact, c.derived, c.unknown, c.wrong = c.exact+o.exact, c.derived+o.derived, c.unknown+o.unknown, c.wrong+o.wrong
}

func (c *tally) all() int { return c.exact + c.derived + c.unknown + c.wrong }

// kubetrailProgram is the program that is tested.
func kubetrailProgram(t *testing.T, ctx context.Context, dir string) string {
	t.Helper()
	if *given != "" {
		return *given
	}
	program := filepath.Join(dir, "kubetrail")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/kubetrail")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build kubetrail: %v\n%s", err, out)
	}
	return program
}

// judge asks kubetrail for the history of every object, and compares.
func (th *theater) judge(ctx context.Context) {
	t := th.t
	t.Helper()
	program := kubetrailProgram(t, ctx, th.dir)
	data := filepath.Join(th.dir, "data")
	if out, err := exec.CommandContext(ctx, program, "import", th.server.AuditLog, "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("import: %v\n%s", err, out)
	}
	lives := map[string][]triple{}
	for _, p := range th.played {
		lives[p.Resource+"/"+p.Name] = append(lives[p.Resource+"/"+p.Name], p)
	}
	var mu sync.Mutex
	j := &court{complaints: &complaints{T: t}, tables: map[string]map[string]*tally{}, blamed: map[string]bool{}, reasons: map[string]int{}}
	work := make(chan []triple)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for life := range work {
				rows, err := rowsOf(ctx, program, data, life[0])
				mu.Lock()
				if err != nil {
					j.errorf("%v", err)
				} else {
					j.life(life, rows)
				}
				mu.Unlock()
			}
		})
	}
	for _, life := range lives {
		work <- life
	}
	close(work)
	wg.Wait()
	j.done()
	j.report(t)
}

// rowsOf asks for the history of an object.
func rowsOf(ctx context.Context, program, data string, of triple) (map[string]told, error) {
	kind := of.Resource
	if of.Group != "" {
		kind += "." + of.Group
	}
	args := []string{"history", kind + "/" + of.Name, "--data", data, "-o", "jsonl", "--objects", "--all", "--show-secrets"}
	if of.Namespace != "" {
		args = append(args, "-n", of.Namespace)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LANG=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("kubetrail %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	rows := map[string]told{}
	for line := range bytes.Lines(out) {
		var row told
		if err := json.Unmarshal(line, &row); err != nil {
			return nil, fmt.Errorf("kubetrail %s: %w\n%s", strings.Join(args, " "), err, line)
		}
		rows[row.Event.AuditID] = row
	}
	return rows, nil
}

// court judges versions.
type court struct {
	*complaints
	tables  map[string]map[string]*tally // by what: by category, kind, patch
	reasons map[string]int               // why versions are not exact
	blamed  map[string]bool              // objects that a fault was told of
	changed tally                        // by requests that changed the object
}

// life judges the versions of one object.
func (j *court) life(life []triple, rows map[string]told) {
	for _, p := range life {
		if p.AuditID == "" {
			continue // it was not answered
		}
		row, ok := rows[p.AuditID]
		if !ok {
			j.errorf("%s %s: no row for %s %s %s, answered %d", p.Kind, p.Name, p.Category, p.AuditID, p.URI, p.Code)
			continue
		}
		v := j.version(p, row)
		effect := "refused"
		if p.Code/100 == 2 {
			effect = "no change"
			if !patches.Equal(shown(p.Before), shown(p.After)) {
				effect = "changed"
				j.count("creation recorded", p.Base, v)
				if p.Base == "RequestResponse" {
					j.changed.add(v)
				}
			}
			if strings.Contains(p.URI, "dryRun=All") {
				effect = "dry run"
			}
		}
		j.count("effect", effect, v)
		if effect == "changed" && p.Base == "RequestResponse" {
			j.count("category", p.Category, v)
			j.count("kind", p.Kind, v)
			j.count("patch", p.ContentType, v)
		}
	}
}

func (j *court) count(table, line string, v tally) {
	if j.tables[table] == nil {
		j.tables[table] = map[string]*tally{}
	}
	if j.tables[table][line] == nil {
		j.tables[table][line] = &tally{}
	}
	j.tables[table][line].add(v)
}

// version judges what is told of an object after a request.
func (j *court) version(p triple, row told) tally {
	switch row.Certainty {
	case "derived", "unknown":
		if p.Code/100 == 2 && p.Base == "RequestResponse" {
			j.reasons[row.Certainty+": "+row.Reason]++
		}
		if row.Certainty == "derived" {
			return tally{derived: 1}
		}
		return tally{unknown: 1}
	case "exact":
	default:
		if (p.Code/100 != 2 || strings.Contains(p.URI, "dryRun=All")) && row.Object == nil {
			return tally{exact: 1} // nothing became of it, and no version is shown
		}
		j.errorf("%s %s after %s: certainty %q, class %q", p.Kind, p.Name, p.AuditID, row.Certainty, row.Class)
		return tally{wrong: 1}
	}
	if row.Object == nil && (p.Code/100 != 2 || strings.Contains(p.URI, "dryRun=All")) {
		return tally{exact: 1}
	}
	if fault := differs(p.After, row.Object); fault != "" {
		if !j.blamed[p.Resource+p.Name] { // what follows from a fault is not told again
			j.blamed[p.Resource+p.Name] = true
			j.errorf("%s %s, marked exact, is not what the API server has: %s\n%s %s, %s, answered %d, class %s, %s\nbefore %s\npatch  %s\nshown  %s\nis     %s",
				p.Kind, p.Name, fault, p.AuditID, p.ContentType, p.Category, p.Code, row.Class, p.URI, brief(p.Before), short(p.Patch), short(row.Object), brief(p.After))
		}
		return tally{wrong: 1}
	}
	return tally{exact: 1}
}

// shown is an object without what histories do not show.
func shown(text []byte) patches.Object {
	o := patches.Parse(text)
	if meta, ok := o["metadata"].(patches.Object); ok {
		delete(meta, "managedFields")
		delete(meta, "resourceVersion")
		delete(meta, "generation")
	}
	return o
}

// brief is an object for people to read.
func brief(text []byte) []byte {
	o := shown(text)
	if o == nil {
		return text
	}
	out, err := json.Marshal(o)
	if err != nil {
		return text
	}
	return short(out)
}

func short(text []byte) []byte { return text[:min(len(text), 4000)] }

// differs says where what is shown is not true. What the server sets by itself when an
// object is created, and when it changes, may be missing, but must not be another.
func differs(is, told []byte) string {
	a, b := patches.Parse(is), patches.Parse(told)
	if b == nil {
		return "no object is shown"
	}
	x, _ := a["metadata"].(patches.Object)
	y, _ := b["metadata"].(patches.Object)
	for _, name := range []string{"managedFields", "resourceVersion"} {
		delete(x, name)
		delete(y, name)
	}
	for _, name := range []string{"uid", "creationTimestamp", "generation"} {
		if _, has := y[name]; !has {
			delete(x, name)
		}
	}
	return firstDifference("", a, b, allocated(a["kind"]))
}

// allocated are fields that nobody but the server can know the value of, so that they may
// be missing where an answer of it is not recorded.
func allocated(kind any) []string {
	switch kind {
	case "PersistentVolume":
		return []string{".status.lastPhaseTransitionTime"}
	case "Service":
		return []string{".spec.clusterIP", ".spec.clusterIPs", ".spec.ipFamilies", ".spec.ipFamilyPolicy", ".spec.healthCheckNodePort", ".nodePort"}
	}
	return nil
}

func firstDifference(path string, a, b any, mayMiss []string) string {
	switch x := a.(type) {
	case patches.Object:
		y, ok := b.(patches.Object)
		if !ok {
			break
		}
		for k := range x {
			if _, has := y[k]; !has && !slices.ContainsFunc(mayMiss, func(end string) bool { return strings.HasSuffix(path+"."+k, end) }) {
				return path + "." + k + " is missing"
			}
		}
		for k := range y {
			if _, has := x[k]; !has {
				return path + "." + k + " is too much"
			}
			if fault := firstDifference(path+"."+k, x[k], y[k], mayMiss); fault != "" {
				return fault
			}
		}
		return ""
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			break
		}
		for i := range x {
			if fault := firstDifference(fmt.Sprintf("%s[%d]", path, i), x[i], y[i], mayMiss); fault != "" {
				return fault
			}
		}
		return ""
	}
	if !patches.Equal(a, b) {
		return path + " is another"
	}
	return ""
}

// report prints the tables.
func (j *court) report(t *testing.T) {
	of := map[string]string{"effect": "all requests, by effect", "creation recorded": "changes, by what the creation is known by",
		"patch": "changes, by patch", "kind": "changes, by kind", "category": "changes, by category"}
	for _, name := range []string{"effect", "creation recorded", "patch", "kind", "category"} {
		var b strings.Builder
		var lines []string
		sum := tally{}
		for line, v := range j.tables[name] {
			lines = append(lines, line)
			sum.add(*v)
		}
		slices.Sort(lines)
		for _, line := range lines {
			v := j.tables[name][line]
			fmt.Fprintf(&b, "%-40s %5d %5d %5d %5d\n", line, v.exact, v.derived, v.unknown, v.wrong)
		}
		fmt.Fprintf(&b, "%-40s %5d %5d %5d %5d", "all", sum.exact, sum.derived, sum.unknown, sum.wrong)
		t.Logf("%-40s exact derived unknown wrong\n%s", of[name], b.String())
	}
	var why []string
	for reason, n := range j.reasons {
		why = append(why, fmt.Sprintf("%5d %s", n, reason))
	}
	slices.Sort(why)
	slices.Reverse(why)
	t.Logf("why versions are not exact:\n%s", strings.Join(why[:min(len(why), 40)], "\n"))
	if part := 100 * float64(j.changed.exact) / float64(max(1, j.changed.all())); part < 90 {
		t.Errorf("%.1f %% of %d versions are exact, fewer than 90 %%", part, j.changed.all())
	} else {
		t.Logf("%.1f %% of %d versions are exact", part, j.changed.all())
	}
}

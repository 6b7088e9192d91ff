package collect

import (
	"cmp"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// candidate is a file in a directory with what its place among the others is told by.
type candidate struct {
	file  File
	first int64 // time of its first event
	set   string
	turn  turn
}

// turn is the place of a file in a rotated set. Smaller is older.
type turn struct {
	kind  int    // dated before numbered before current
	date  string // of rotation, as a string that sorts
	count int    // how often it was rotated since, negative
}

const (
	dated = iota
	numbered
	current
)

// The names that rotation gives. kube-apiserver's own (lumberjack, see
// k8s.io/apiserver and natefinch/lumberjack): audit-2026-11-20T15-13-23.604.log, with
// .gz if compressed. Those of logrotate: audit.log.1, audit.log.2.gz, and with
// dateext audit.log-20261120. Those of the kubelet: 0.log.20261120-151323.
type rotation struct{ lumberjack, number, date, kubelet *regexp.Regexp }

func rotationNames() rotation {
	return rotation{
		lumberjack: regexp.MustCompile(`^(.*)-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3})(\.[^.]*)?$`),
		number:     regexp.MustCompile(`^(.+)\.(\d{1,6})$`),
		date:       regexp.MustCompile(`^(.+)-(\d{8}(?:-\d{1,10})?)$`),
		kubelet:    regexp.MustCompile(`^(.+)\.(\d{8}-\d{6})$`),
	}
}

// plainName is a name without what compression appended to it.
func plainName(name string) string {
	for _, ext := range []string{".gz", ".zst", ".zstd"} {
		if s, ok := strings.CutSuffix(name, ext); ok && s != "" {
			return s
		}
	}
	return name
}

// place tells the set that a file name belongs to and its place in it.
func (r rotation) place(name string) (set string, t turn) {
	name = plainName(name)
	if m := r.lumberjack.FindStringSubmatch(name); m != nil {
		return m[1] + m[3], turn{kind: dated, date: m[2]}
	}
	if m := r.date.FindStringSubmatch(name); m != nil {
		return m[1], turn{kind: dated, date: m[2]}
	}
	if m := r.kubelet.FindStringSubmatch(name); m != nil {
		return m[1], turn{kind: dated, date: m[2]}
	}
	if m := r.number.FindStringSubmatch(name); m != nil {
		if n, err := strconv.Atoi(m[2]); err == nil {
			return m[1], turn{kind: numbered, count: -n}
		}
	}
	return name, turn{kind: current}
}

// LogOf tells which log a file belongs to by its name, which rotation may have given it:
// audit-2026-11-20T15-13-23.604.log.gz to audit.log. plain is its name without what
// compression appended.
func LogOf(name string) (log, plain string) {
	log, _ = rotationNames().place(name)
	return log, plainName(name)
}

// order sorts files: directory by directory, sets by name, and each set from its
// oldest file to the current one. Where names do not tell, the time of the first
// event does.
func order(files []candidate) []candidate {
	names := rotationNames()
	for i := range files {
		c := &files[i]
		dir, base := filepath.Split(c.file.Name)
		c.set, c.turn = names.place(base)
		c.set = dir + c.set
	}
	slices.SortStableFunc(files, func(a, b candidate) int {
		return cmp.Or(
			natural(a.set, b.set),
			cmp.Compare(a.turn.kind, b.turn.kind),
			strings.Compare(a.turn.date, b.turn.date),
			cmp.Compare(a.turn.count, b.turn.count),
			cmp.Compare(a.first, b.first),
			natural(a.file.Name, b.file.Name),
		)
	})
	return files
}

// natural compares names so that 2.json comes before 10.json.
func natural(a, b string) int {
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da > 0 && db > 0 {
			na, nb := strings.TrimLeft(a[:da], "0"), strings.TrimLeft(b[:db], "0")
			if c := cmp.Or(cmp.Compare(len(na), len(nb)), strings.Compare(na, nb)); c != 0 {
				return c
			}
			a, b = a[da:], b[db:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits is the number of digits that s begins with.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

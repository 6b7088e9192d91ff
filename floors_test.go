// Package kubetrail_test holds the tests of the house as a whole: what may import
// what, how large things may become, and that the documents tell the truth.
package kubetrail_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "kubetrail"

// A room is one package and the floor it lives on.
type room struct {
	path  string // below the module
	floor int
	kind  kind
	why   string // what it is there for
}

// kind tells what a package may do beside what its floor allows.
type kind int

const (
	plain    kind = iota // depends on what it is given alone
	impure               // may use the operating system
	testOnly             // imported by tests alone; may use the operating system
)

// rooms lists every package. Adding a package means adding a line here, which is
// where the decision to have it is seen. A package imports lower floors only.
// What is plain, which all floors up to 2 are but for two, does not touch the operating
// system, the network or the clock.
func rooms() []room {
	return []room{
		{"audit", 0, plain, "the audit event: scan, encode, read from files, name its fields"},
		{"internal/durable", 0, impure, "files that survive a crash, and a lock"},
		{"internal/service", 0, impure, "what systemd is told, and whether a file has changed"},
		{"internal/bitmap", 0, plain, "sets of row numbers, narrowed a word at a time"},
		{"internal/parquet", 0, plain, "the shapes of Parquet file that a trail is made of"},
		{"internal/sample", 0, plain, "a bundled real log, to try things with"},
		{"policy", 1, plain, "the audit policy: load and match it as kube-apiserver does"},
		{"internal/selector", 0, plain, "field and label selectors of the API: valid or not, and the name they ask for"},
		{"internal/objectjson", 1, plain, "writes objects of the API as encoding/json does, but faster"},
		{"internal/rawjson", 0, plain, "bodies as an event holds them: checked, compact, without managed fields"},
		{"internal/schema", 0, plain, "the built-in APIs: resources, their names, and how their objects are made"},
		{"internal/subject", 0, plain, "who a user name is, and which program a user agent names"},
		{"internal/place", 0, plain, "where the values of a YAML or JSON file stand"},
		{"internal/corpustest", 0, testOnly, "finds the real logs beside the repository, or skips"},
		{"bench/generate", 0, plain, "makes realistic events from a seed, any number of them"},
		{"internal/durable/durabletest", 1, testOnly, "a file system that fails on purpose"},
		{"internal/spill", 1, impure, "records that wait on disk, in order and within a bound"},
		{"internal/output", 1, plain, "prints events and rows: tables, JSON, YAML, names, and text made safe"},
		{"internal/request", 1, plain, "the stages of one request, put together in spite of audit IDs that clients choose"},
		{"internal/refusal", 1, plain, "why a request was refused: by RBAC, admission, authentication or overload"},
		{"internal/rbac", 1, plain, "how RBAC decides: its reasons, read, and the smallest grants for what was refused"},
		{"internal/destination", 1, plain, "where the API server passed a request on to"},
		{"internal/tree", 1, plain, "objects of the API as JSON: read, compared, patched and printed"},
		{"internal/stored", 2, plain, "what the API server makes of an object before it stores it"},
		{"internal/patch", 3, plain, "what was stored, rebuilt from the version before and the body of a request"},
		{"internal/query", 1, plain, "the question language and its tree; matches one event"},
		{"record/wire", 2, plain, "bodies as they pass over the network: JSON of them, and who they are about"},
		{"internal/kubectl", 2, plain, "the kubectl command line that makes the request of an event again"},
		{"internal/klog", 2, plain, "finds the events that kube-apiserver lost in what it logs itself"},
		{"policy/explain", 2, plain, "which rule decides about a request, and why the others do not"},
		{"internal/explain", 3, plain, "one plain sentence per event, in English and in Chinese"},
		{"policy/policytest", 2, testOnly, "draws policies and requests for property tests"},
		{"policy/space", 2, plain, "every request that the constants of a policy can tell apart"},
		{"policy/yamltext", 2, plain, "a YAML file as text: places, and edits that leave the rest as it is"},
		{"policy/diff", 3, plain, "two policies compared by what they mean"},
		{"policy/lint", 3, plain, "what is legal in a policy, but wrong"},
		{"policy/profile", 2, plain, "policies to start from"},
		{"policy/simulate", 3, plain, "recorded events replayed under a policy"},
		{"policy/report", 4, plain, "prints findings, explanations, differences and simulations of policies"},
		{"internal/config", 3, plain, "what serve can be told, by a file or by flags, and what is wrong with that"},
		{"internal/trail", 2, plain, "the contract of a trail and the types that pass through it"},
		{"internal/recorded", 3, plain, "whether a policy records every request of a kind, or which rule hides some"},
		{"internal/power", 4, plain, "how power over a cluster was used, refused and given: sessions, access, refusals, grants"},
		{"internal/gap", 3, plain, "when an API server was not observed: its pulse, and where it stops"},
		{"internal/skew", 3, plain, "by how much the clocks of API servers differ, and what comes first though they do"},
		{"internal/history", 4, plain, "the life of one object: its versions, what changed from one to the next, and who did it"},
		{"internal/tally", 3, plain, "counts requests, and what many of them have in common, in bounded memory"},
		{"internal/load", 4, plain, "what loads the API server, and what fills the audit log"},
		{"internal/answer", 5, plain, "what people ask of a trail: what somebody did, which rights they used, what changed"},
		{"internal/body", 0, plain, "what an object in a body tells of whose it is and what became of it"},
		{"internal/evidence", 2, plain, "words for what an answer rests on"},
		{"internal/cause", 3, plain, "through whom something happened: from a person through controllers to the object"},
		{"record", 3, impure, "records the requests to an API server: middleware, stages, bodies"},
		{"record/redact", 4, plain, "takes out of events what must not be recorded in clear"},
		{"record/options", 5, impure, "the --audit-* flags of kube-apiserver, and what they build"},
		{"internal/trail/disk", 3, impure, "the embedded trail: Parquet parts in a directory"},
		{"internal/trail/file", 3, impure, "audit files asked on the spot, without a trail"},
		{"internal/trail/remote", 3, impure, "the trail behind another KubeTrail's HTTP API"},
		{"internal/trail/trailtest", 3, testOnly, "the law that every trail must pass"},
		{"internal/collect", 3, impure, "finds audit logs, reads them in order and remembers how far"},
		{"internal/collect/collector", 4, impure, "takes from feeds without end, and commits"},
		{"internal/collect/collecttest", 3, testOnly, "a trail in memory that forgets what was not committed"},
		{"internal/collect/spool", 4, impure, "keeps what arrives over the network until it is in the trail"},
		{"internal/metrics", 5, impure, "what Prometheus is told of collecting"},
		{"internal/agent", 5, impure, "ships logs from the machine they are written on to a server"},
		{"internal/scrape", 4, impure, "asks API servers what they counted, and compares that with what arrived"},
		{"internal/access", 4, impure, "who may do what, and the part of a trail that they see"},
		{"internal/server", 5, impure, "the HTTP API, health, metrics and a plain page"},
		{"internal/proxy", 6, impure, "the auditing proxy: who sends a request, and its way to the API server and back"},
		{"internal/serve", 6, impure, "serve, put together: what collects, what answers, and what changes while both run"},
		{"record/backend", 4, impure, "where events go: log files, webhooks, and what stands between"},
		{"cmd/kubetrail", 7, impure, "the command line; everything is put together here"},
		{"bench", 6, impure, "measures us beside others and prints one table"},
	}
}

// A source is one parsed Go file.
type source struct {
	dir  string // below the module
	name string // slash-separated, below the module
	file *ast.File
	fset *token.FileSet
	size int // lines

	outside bool // not part of the package: a test, or a program for go run
}

// sources parses every Go file of the module, whatever its build constraints.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && leftOut(path):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, source{
			dir: filepath.ToSlash(filepath.Dir(path)), name: filepath.ToSlash(path), file: f, fset: fset,
			size:    strings.Count(string(text), "\n"),
			outside: strings.HasSuffix(path, "_test.go") || strings.HasPrefix(string(text), "//go:build ignore\n"),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// leftOut tells directories that the go command passes over, and other modules.
func leftOut(dir string) bool {
	base := filepath.Base(dir)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func TestEveryPackageHasAFloor(t *testing.T) {
	listed := map[string]bool{}
	for _, r := range rooms() {
		if listed[r.path] {
			t.Errorf("%s has two lines", r.path)
		}
		if r.why == "" {
			t.Errorf("%s: say why it exists", r.path)
		}
		listed[r.path] = true
	}
	found := map[string]bool{".": true}
	for _, s := range sources(t) {
		if !found[s.dir] && !listed[s.dir] {
			t.Errorf("%s has no line in rooms: choose its floor", s.dir)
		}
		found[s.dir] = true
	}
	for path := range listed {
		if !found[path] {
			t.Errorf("%s has a line in rooms but holds no package", path)
		}
	}
}

// TestImportsGoDown checks that a package imports only lower floors, or its parent.
// Tests may look anywhere: a client is best tested against the real server.
func TestImportsGoDown(t *testing.T) {
	floor := map[string]room{}
	for _, r := range rooms() {
		floor[r.path] = r
	}
	for _, s := range sources(t) {
		from, ok := floor[s.dir]
		if !ok {
			continue // the root, and what TestEveryPackageHasAFloor complains of
		}
		for _, path := range imports(s) {
			inside, ours := strings.CutPrefix(path, module+"/")
			to, known := floor[inside]
			switch {
			case !ours || s.outside && known || strings.HasPrefix(s.dir, inside+"/"):
			case !known:
				t.Errorf("%s imports %s, which has no floor", s.name, inside)
			case to.floor >= from.floor:
				t.Errorf("%s on floor %d imports %s on floor %d: only lower floors may be imported", s.name, from.floor, inside, to.floor)
			case to.kind == testOnly && from.kind != testOnly:
				t.Errorf("%s imports %s, which is for tests", s.name, inside)
			}
		}
	}
}

// TestPlainRoomsArePure checks that plain packages neither touch the world nor start
// goroutines, so that what they answer depends on what they are given alone.
func TestPlainRoomsArePure(t *testing.T) {
	pure := map[string]bool{}
	for _, r := range rooms() {
		pure[r.path] = r.kind == plain
	}
	forbidden := []string{"os", "os/exec", "os/signal", "net", "net/http", "syscall", "log", "log/slog", "math/rand", "io/ioutil"}
	for _, s := range sources(t) {
		if s.outside || !pure[s.dir] {
			continue
		}
		for _, path := range imports(s) {
			if slices.Contains(forbidden, path) || strings.HasPrefix(path, "golang.org/x/sys") {
				t.Errorf("%s imports %s: what it needs from there must be handed in", s.name, path)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", at(s, n))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && looksAtClock(n.Sel.Name) {
					t.Errorf("%s uses time.%s: time is an argument", at(s, n), n.Sel.Name)
				}
			}
			return true
		})
	}
}

func looksAtClock(name string) bool {
	return slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}, name)
}

// TestNoKubernetesServer keeps the API server's own libraries, 38 modules and more,
// out of the product: they may only judge it, from a module of their own.
func TestNoKubernetesServer(t *testing.T) {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"k8s.io/apiserver", "k8s.io/kubernetes"} {
		if strings.Contains(string(text), name) {
			t.Errorf("go.mod names %s", name)
		}
	}
}

func imports(s source) []string {
	var paths []string
	for _, i := range s.file.Imports {
		path, _ := strconv.Unquote(i.Path.Value) // the parser has checked it
		paths = append(paths, path)
	}
	return paths
}

// at is where a node stands, for messages.
func at(s source, n ast.Node) string { return s.fset.Position(n.Pos()).String() }

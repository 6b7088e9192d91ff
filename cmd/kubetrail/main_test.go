package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"kubetrail/internal/corpustest"
)

var update = flag.Bool("update", false, "rewrite the expectations of the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kubetrail": main, "kubectl-audit_trail": main})
}

// TestScripts runs the program as people do. Each file in testdata is one story.
func TestScripts(t *testing.T) {
	sampleFile, err := filepath.Abs("../../internal/sample/sample.jsonl.zst")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("KUBETRAIL_DATA", e.WorkDir+"/data")
			e.Setenv("LANG", "C")
			e.Setenv("SAMPLE", sampleFile)
			e.Setenv("NO_COLOR", "")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":   checkCode,
			"gzip":   compress,
			"cut":    cutShort,
			"lines":  countLines,
			"repeat": repeat,
			"log":    makeLog,
		},
	})
}

// code N PROGRAM ARG... runs a program and checks its exit code.
func checkCode(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM [ARG...]")
	}
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		if _, scanErr := fmt.Sscanf(err.Error(), "exit status %d", &got); scanErr != nil {
			ts.Fatalf("%v", err)
		}
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// gzip FILE writes FILE.gz.
func compress(ts *testscript.TestScript, _ bool, args []string) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	ts.Check(z.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".gz"), b.Bytes(), 0o600))
}

// cut FILE N takes the last N bytes off a file.
func cutShort(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b[:len(b)-n]), 0o600))
}

// lines FILE N checks the number of lines; FILE may be stdout or stderr.
func countLines(ts *testscript.TestScript, _ bool, args []string) {
	if got := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(got) != args[1] {
		ts.Fatalf("%s has %d lines, want %s", args[0], got, args[1])
	}
}

// repeat N FILE writes FILE with N copies of what it held.
func repeat(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Repeat(ts.ReadFile(args[1]), n)), 0o600))
}

// log FILE N [FIRST] writes an audit log of N events, one a second, numbered from FIRST.
func makeLog(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var b bytes.Buffer
	first := 0
	if len(args) > 2 {
		first, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	for i := first; i < first+n; i++ {
		at := fmt.Sprintf("2026-11-20T15:%02d:%02d.000000Z", i/60%60, i%60)
		fmt.Fprintf(&b, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"00000000-0000-4000-8000-%012d","stage":"ResponseComplete",`+
			`"requestURI":"/api/v1/namespaces/default/pods/pod-%d","verb":"%s","user":{"username":"%s","groups":["dev","system:authenticated"]},`+
			`"sourceIPs":["10.0.0.1"],"userAgent":"kubectl/v1.36","objectRef":{"resource":"pods","namespace":"default","name":"pod-%d","apiVersion":"v1"},`+
			`"responseStatus":{"metadata":{},"code":%d},"requestReceivedTimestamp":"%s","stageTimestamp":"%s",`+
			`"annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}`+"\n",
			i, i, []string{"get", "delete"}[i%2], []string{"alice", "bob", "王芳"}[i%3], i, []int{200, 404}[i%2], at, at)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o600))
}

// TestRawIsTheFile checks on real logs that import and search -o raw give back what
// went in, byte for byte.
func TestRawIsTheFile(t *testing.T) {
	for _, name := range []string{"rotation-maxbackup3", "truncate-10k", "legacy"} {
		t.Run(name, func(t *testing.T) {
			log := corpustest.Members(t, name, "audit.log")[0].Data
			path := t.TempDir() + "/audit.log"
			if err := os.WriteFile(path, log, 0o600); err != nil {
				t.Fatal(err)
			}
			data := t.TempDir()
			if _, code := runHere(t, "import", "--data", data, path); code != exitOK {
				t.Fatal("import failed")
			}
			want := sortedLines(log)
			for _, from := range [][]string{{"--data", data}, {"-f", path}} {
				got, code := runHere(t, append([]string{"search", "-o", "raw", "--limit", "0"}, from...)...)
				if code != exitOK || !bytes.Equal(sortedLines(got), want) {
					t.Errorf("%v: %d bytes with code %d, want the %d bytes of the log", from, len(got), code, len(log))
				}
			}
		})
	}
}

package kubetrail_test

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// The numbers that keep the house small. What exceeds one stands in exceptions.
const (
	maxPackageLines  = 3000 // without tests
	maxFileLines     = 900
	maxFunctionLines = 150
	maxFunctionP90   = 45 // per package, without tests
	maxFields        = 25
	maxMethods       = 6
)

// exceptions are what may exceed a number, each with its own limit and a reason.
func exceptions() map[string]struct {
	limit int
	why   string
} {
	return map[string]struct {
		limit int
		why   string
	}{
		"package audit": {5500, "other programs want one package to import; " +
			"carriers, fields and encoding share the scanner's unexported tables"},
		"package internal/trail/disk": {4000, "writer, merger and engine share the layout of a part, " +
			"column by column; a package between them would export all of it"},
		"package cmd/kubetrail": {5500, "one file for each verb; they share flags, tables and exit codes, " +
			"and nothing imports them"},
		"interface internal/collect.Appender": {7, "the whole writing end of a trail: " +
			"two methods take in, two note positions, three decide when it is durable"},
	}
}

// limit returns the limit for name, which is like "package audit".
func limit(name string, usual int) int {
	if e, ok := exceptions()[name]; ok {
		return e.limit
	}
	return usual
}

func check(t *testing.T, name string, got, usual int, what string) {
	t.Helper()
	if m := limit(name, usual); got > m {
		t.Errorf("%s has %d %s, more than %d", name, got, what, m)
	}
}

func TestShapes(t *testing.T) {
	packages := map[string]int{}
	lengths := map[string][]int{}
	for _, s := range sources(t) {
		check(t, "file "+s.name, s.size, maxFileLines, "lines")
		if !s.outside {
			packages[s.dir] += s.size
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				checkFunction(t, s, f)
				if !s.outside {
					lengths[s.dir] = append(lengths[s.dir], lines(s, f))
				}
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				checkType(t, s, spec)
			}
			return true
		})
	}
	for dir, n := range packages {
		check(t, "package "+dir, n, maxPackageLines, "lines")
	}
	for dir, all := range lengths {
		slices.Sort(all)
		if p90 := all[len(all)*9/10]; p90 > maxFunctionP90 {
			t.Errorf("package %s: one function in ten is longer than %d lines, more than %d", dir, p90, maxFunctionP90)
		}
	}
}

func checkFunction(t *testing.T, s source, f *ast.FuncDecl) {
	t.Helper()
	check(t, "function "+s.dir+"."+f.Name.Name, lines(s, f), maxFunctionLines, "lines")
	if f.Name.Name == "init" && f.Recv == nil {
		t.Errorf("%s: init hides what happens at start; call it from where it is needed", at(s, f))
	}
}

func checkType(t *testing.T, s source, spec *ast.TypeSpec) {
	t.Helper()
	name := s.dir + "." + spec.Name.Name
	switch x := spec.Type.(type) {
	case *ast.StructType:
		check(t, "struct "+name, x.Fields.NumFields(), maxFields, "fields")
	case *ast.InterfaceType:
		check(t, "interface "+name, x.Methods.NumFields(), maxMethods, "methods")
	}
}

func lines(s source, n ast.Node) int {
	line := func(p token.Pos) int { return s.fset.Position(p).Line }
	return line(n.End()) - line(n.Pos()) + 1
}

// TestNames keeps out package names that say nothing.
func TestNames(t *testing.T) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "types", "base", "core", "model", "misc", "lib"}
	for _, r := range rooms() {
		if last := r.path[strings.LastIndexByte(r.path, '/')+1:]; slices.Contains(empty, last) {
			t.Errorf("%s: name it for what it does", r.path)
		}
	}
}

// TestPackageComments checks that each package says once what it is and why.
func TestPackageComments(t *testing.T) {
	comments := map[string][]string{}
	files := map[string]bool{}
	for _, s := range sources(t) {
		if s.dir == "." || s.outside {
			continue
		}
		files[s.dir] = true
		if s.file.Doc != nil {
			comments[s.dir] = append(comments[s.dir], s.name)
		}
	}
	for dir := range files {
		if n := len(comments[dir]); n != 1 {
			t.Errorf("%s has %d package comments, want one: %v", dir, n, comments[dir])
		}
	}
}

// TestExceptionsAreNeeded finds exceptions whose subject is gone or has shrunk.
func TestExceptionsAreNeeded(t *testing.T) {
	packages := map[string]int{}
	for _, s := range sources(t) {
		if !s.outside {
			packages["package "+s.dir] += s.size
		}
	}
	for name, e := range exceptions() {
		if e.why == "" {
			t.Errorf("%s: say why it may exceed the usual number", name)
		}
		if n, ok := packages[name]; ok && n <= maxPackageLines {
			t.Errorf("%s has %d lines and needs no exception", name, n)
		}
	}
}

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
)

// sources knows the Go structs behind the definitions of OpenAPI.
type sources struct {
	mod      string
	packages map[string]*pkg // by the first part of a definition's name: io.k8s.api.core.v1
}

type pkg struct {
	structs map[string]*ast.StructType
	imports map[string]string // as named in the files, to an import path
}

// modules tells where the packages of definitions are.
var modules = []struct{ prefix, module, dir string }{
	{"io.k8s.apimachinery.", "k8s.io/apimachinery", ""},
	{"io.k8s.apiextensions-apiserver.", "k8s.io/apiextensions-apiserver", ""},
	{"io.k8s.kube-aggregator.", "k8s.io/kube-aggregator", ""},
	{"io.k8s.api.", "k8s.io/api", ""},
}

// load parses the package of a definition.
func (s *sources) load(path string) (*pkg, error) {
	if p := s.packages[path]; p != nil {
		return p, nil
	}
	for _, m := range modules {
		rest, ok := strings.CutPrefix(path, m.prefix)
		if !ok {
			continue
		}
		dir, err := moduleDir(s.mod, m.module)
		if err != nil {
			return nil, err
		}
		p := &pkg{structs: map[string]*ast.StructType{}, imports: map[string]string{}}
		noTests := func(i fs.FileInfo) bool { return !strings.HasSuffix(i.Name(), "_test.go") }
		//lint:ignore SA1019 the files of one directory, without types: all that is needed
		parsed, err := parser.ParseDir(token.NewFileSet(), filepath.Join(dir, strings.ReplaceAll(rest, ".", "/")), noTests, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, files := range parsed {
			for _, f := range files.Files {
				p.note(f)
			}
		}
		s.packages[path] = p
		return p, nil
	}
	return nil, fmt.Errorf("no module for %s", path)
}

func (p *pkg) note(f *ast.File) {
	for _, i := range f.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		name := path[strings.LastIndexByte(path, '/')+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		p.imports[name] = path
	}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			if t, ok := spec.(*ast.TypeSpec); ok {
				if st, ok := t.Type.(*ast.StructType); ok {
					p.structs[t.Name.Name] = st
				}
			}
		}
	}
}

// fields returns for each JSON field of a definition how Go encodes it where it is empty:
// * for a pointer, ? for omitempty, 0 for omitzero.
func (s *sources) fields(name string) (map[string]string, error) {
	i := strings.LastIndexByte(name, '.')
	out := map[string]string{}
	return out, s.collect(name[:i], name[i+1:], out)
}

func (s *sources) collect(path, name string, out map[string]string) error {
	p, err := s.load(path)
	if err != nil {
		return err
	}
	st := p.structs[name]
	if st == nil {
		return fmt.Errorf("no struct %s in %s", name, path)
	}
	for _, f := range st.Fields.List {
		tag := ""
		if f.Tag != nil {
			tag = reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
		}
		options := strings.Split(tag, ",")
		if options[0] == "" { // embedded: its fields are ours
			if err := s.embedded(path, p, f.Type, out); err != nil {
				return err
			}
			continue
		}
		code := ""
		if _, ok := f.Type.(*ast.StarExpr); ok {
			code = "*"
		}
		for _, o := range options[1:] {
			switch o {
			case "omitempty":
				code += "?"
			case "omitzero":
				code += "0"
			}
		}
		out[options[0]] = code
	}
	return nil
}

func (s *sources) embedded(path string, p *pkg, t ast.Expr, out map[string]string) error {
	switch t := t.(type) {
	case *ast.Ident:
		return s.collect(path, t.Name, out)
	case *ast.SelectorExpr:
		x := t.X.(*ast.Ident).Name
		imported := p.imports[x]
		for _, m := range modules {
			if rest, ok := strings.CutPrefix(imported, m.module+"/"); ok {
				return s.collect(m.prefix+strings.ReplaceAll(rest, "/", "."), t.Sel.Name, out)
			}
		}
		return fmt.Errorf("%s: no module for %s", path, imported)
	}
	return fmt.Errorf("%s: an embedded %T", path, t)
}

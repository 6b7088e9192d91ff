// Schema writes the tables of internal/schema: what a kube-apiserver says of its APIs
// (discovery and OpenAPI), and how the Go types behind them encode fields that are empty,
// which OpenAPI does not say and which decides what is stored.
//
//	go -C test/e2e run ./schema -out ../../internal/schema
//
// starts a control plane and asks it; -from DIR reads what was asked before (files
// discovery-GROUP_VERSION.json and v3-GROUP_VERSION.json), -save DIR keeps it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

func main() {
	from := flag.String("from", "", "directory with discovery and OpenAPI, instead of a control plane")
	save := flag.String("save", "", "directory for discovery and OpenAPI, where a control plane is asked")
	out := flag.String("out", "", "directory for resources.tsv and types.tsv")
	mod := flag.String("module", ".", "directory of the module test/e2e")
	flag.Parse()
	if err := write(*from, *save, *out, *mod); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

func write(from, save, out, mod string) (err error) {
	if out == "" {
		return errors.New("want -out")
	}
	if from == "" {
		from = save
		if from == "" {
			if from, err = os.MkdirTemp("", "schema"); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(from)) }()
		}
		if err := ask(context.Background(), from, mod); err != nil {
			return err
		}
	}
	resources, err := readResources(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "resources.tsv"), []byte(resources), 0o644); err != nil {
		return err
	}
	types, err := readTypes(from, mod)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "types.tsv"), []byte(types), 0o644)
}

// A definition is one schema of OpenAPI v3, as far as it matters here.
type definition struct {
	Type                 string                 `json:"type"`
	Format               string                 `json:"format"`
	Ref                  string                 `json:"$ref"`
	AllOf                []*definition          `json:"allOf"`
	OneOf                []*definition          `json:"oneOf"`
	Items                *definition            `json:"items"`
	Properties           map[string]*definition `json:"properties"`
	AdditionalProperties *definition            `json:"additionalProperties"`
	ListType             string                 `json:"x-kubernetes-list-type"`
	ListKeys             []string               `json:"x-kubernetes-list-map-keys"`
	MapType              string                 `json:"x-kubernetes-map-type"`
	Strategy             string                 `json:"x-kubernetes-patch-strategy"`
	MergeKey             string                 `json:"x-kubernetes-patch-merge-key"`
	Kinds                []struct {
		Group, Version, Kind string
	} `json:"x-kubernetes-group-version-kind"`
}

// ref returns the name of the definition that d stands for, "" for none.
func (d *definition) ref() string {
	if len(d.AllOf) == 1 {
		return d.AllOf[0].ref()
	}
	return strings.TrimPrefix(d.Ref, "#/components/schemas/")
}

// readTypes writes the table of types. Each line is a kind (=group/version/Kind, type)
// or a type (its name and flags, then its fields). The package internal/schema says what
// the letters mean.
func readTypes(dir, mod string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "v3-*.json"))
	if err != nil {
		return "", err
	}
	all := map[string]*definition{}
	for _, file := range files {
		var doc struct {
			Components struct{ Schemas map[string]*definition }
		}
		if err := readJSON(file, &doc); err != nil {
			return "", err
		}
		for name, d := range doc.Components.Schemas {
			all[name] = d
		}
	}
	t := &tables{all: all, sources: &sources{mod: mod, packages: map[string]*pkg{}}, done: map[string]bool{}}
	served, err := kinds(dir)
	if err != nil {
		return "", err
	}
	for name, d := range all {
		for _, k := range d.Kinds {
			key := k.Group + "/" + k.Version + "/" + k.Kind
			if served[key] && len(d.Kinds) == 1 {
				t.lines = append(t.lines, "="+key+"\t"+short(name))
				if err := t.add(name); err != nil {
					return "", err
				}
			}
		}
	}
	sort.Strings(t.lines)
	return strings.Join(t.lines, "\n") + "\n", nil
}

type tables struct {
	all     map[string]*definition
	sources *sources
	done    map[string]bool
	lines   []string
}

// short is what a type is called in the table.
func short(name string) string {
	for _, p := range [][2]string{{"io.k8s.api.", ""}, {"io.k8s.apimachinery.pkg.apis.", ""},
		{"io.k8s.apiextensions-apiserver.pkg.apis.", ""}, {"io.k8s.kube-aggregator.pkg.apis.", ""}} {
		if rest, ok := strings.CutPrefix(name, p[0]); ok {
			return p[1] + rest
		}
	}
	return name
}

// leaves are definitions that stand for one value.
var leaves = map[string]string{
	"io.k8s.apimachinery.pkg.api.resource.Quantity":                                            "q",
	"io.k8s.apimachinery.pkg.util.intstr.IntOrString":                                          "x",
	"io.k8s.apimachinery.pkg.apis.meta.v1.Time":                                                "t",
	"io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime":                                           "u",
	"io.k8s.apimachinery.pkg.apis.meta.v1.Duration":                                            "d",
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1":                                            "r",
	"io.k8s.apimachinery.pkg.runtime.RawExtension":                                             "r",
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON":                            "r",
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray":          "r",
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool":           "r",
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray":    "r",
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus": "r",
}

// add writes the line of a type and of all that it is made of.
func (t *tables) add(name string) error {
	if t.done[name] || leaves[name] != "" {
		return nil
	}
	t.done[name] = true
	d := t.all[name]
	if d == nil {
		return fmt.Errorf("%s is not defined", name)
	}
	encoding, err := t.sources.fields(name)
	if err != nil {
		return err
	}
	head := short(name) + "\t"
	if d.MapType == "atomic" {
		head += "="
	}
	var fields []string
	for field, p := range d.Properties {
		code, ok := encoding[field]
		if !ok {
			return fmt.Errorf("%s: no field %s in Go", name, field)
		}
		text, err := t.text(name, p)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", name, field, err)
		}
		fields = append(fields, "\t"+field+":"+code+text)
	}
	sort.Strings(fields)
	t.lines = append(t.lines, head+strings.Join(fields, ""))
	return nil
}

// text is how the table writes the type of a field of the type in.
func (t *tables) text(in string, d *definition) (string, error) {
	strategic := ""
	if strings.Contains(d.Strategy, "merge") {
		strategic += "+" + d.MergeKey
	}
	if strings.Contains(d.Strategy, "retainKeys") {
		strategic += "-"
	}
	if strategic != "" {
		strategic = "<" + strategic + ">"
	}
	switch ref := d.ref(); {
	case ref != "" && leaves[ref] != "":
		return strategic + leaves[ref], nil
	case ref != "":
		atomic := ""
		switch d.MapType {
		case "atomic":
			atomic = "="
		case "granular":
			atomic = "~" // though its type may be atomic elsewhere
		}
		name := short(ref)
		if pkg := short(in[:strings.LastIndexByte(in, '.')+1]); strings.HasPrefix(name, pkg) {
			name = name[len(pkg)-1:]
		}
		return strategic + atomic + "@" + name, t.add(ref)
	case d.Type == "array":
		item, err := t.text(in, d.Items)
		kind := "a"
		switch d.ListType {
		case "set":
			kind = "s"
		case "map":
			kind = "m" + strings.Join(d.ListKeys, ",")
		}
		return strategic + "[" + kind + "]" + item, err
	case d.Type == "object" && d.AdditionalProperties != nil:
		item, err := t.text(in, d.AdditionalProperties)
		if d.MapType == "atomic" {
			return strategic + "={" + item, err
		}
		return strategic + "{" + item, err
	case d.Type == "object":
		return strategic + "r", nil
	}
	switch d.Type + " " + d.Format {
	case "string ":
		return "s", nil
	case "string byte":
		return "y", nil
	case "string date-time":
		return "t", nil
	case "boolean ":
		return "b", nil
	case "integer int32":
		return "i", nil
	case "integer int64", "integer ":
		return "l", nil
	case "number double", "number ":
		return "n", nil
	}
	return "", fmt.Errorf("type %q %q is not known", d.Type, d.Format)
}

func readJSON(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// moduleDir is where the source of a module that test/e2e is built of lies.
func moduleDir(mod, name string) (string, error) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", name)
	cmd.Dir = mod
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("where is %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

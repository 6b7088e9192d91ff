package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// OfFlags is what flags alone say: cfg holds the values of all of them, flags are those
// that were given.
func OfFlags(cfg Config, flags []Flag) (*File, []Finding) {
	f := &File{Config: cfg, origin: map[string]string{}}
	for _, flag := range flags {
		f.origin[flag.Path] = flag.Name
	}
	f.Config.complete()
	return f, f.Config.Validate()
}

// Text writes what was given or, effective, everything that holds as a file that can be
// loaded again. The comment behind a value says where it comes from: a line of the file,
// a flag, or nowhere, so that it is the default. Secrets stand in files of their own, so
// that none is in it.
func (f *File) Text(lang string, effective bool) []byte {
	p := printer{file: f, lang: lang, all: effective, fields: map[string]Field{}}
	for _, x := range Fields() {
		p.fields[x.Path] = x
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(p.node(reflect.ValueOf(f.Config), "")); err != nil {
		panic(err) // text and lists always encode
	}
	return b.Bytes()
}

// JSON is Text without comments.
func (f *File) JSON(effective bool) []byte {
	p := printer{file: f, all: effective}
	var doc any
	err := p.node(reflect.ValueOf(f.Config), "").Decode(&doc)
	b, err2 := json.MarshalIndent(doc, "", "  ")
	if err = cmp.Or(err, err2); err != nil {
		panic(err) // text and lists always encode
	}
	return append(b, '\n')
}

type printer struct {
	file   *File
	lang   string
	all    bool
	fields map[string]Field
}

func (p *printer) node(v reflect.Value, path string) *yaml.Node {
	switch x := v.Interface().(type) {
	case Size:
		return p.scalar(x.String(), "!!str", path)
	case Duration:
		return p.scalar(x.String(), "!!str", path)
	case bool:
		return p.scalar(fmt.Sprint(x), "!!bool", path)
	}
	switch v.Kind() {
	case reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("yaml")
			below := strings.TrimPrefix(path+"."+name, ".")
			if !p.all && !p.file.has(below) || granting(below) && v.Field(i).Len() == 0 {
				continue // where all clusters are meant, none is named
			}
			key := &yaml.Node{Kind: yaml.ScalarNode, Value: name}
			n.Content = append(n.Content, key, p.node(v.Field(i), below))
		}
		return n
	case reflect.Slice:
		return p.list(v, path)
	}
	return p.scalar(v.String(), "!!str", path)
}

func (p *printer) list(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	words := v.Type().Elem().Kind() == reflect.String
	if words || v.Len() == 0 {
		n.Style, n.LineComment = yaml.FlowStyle, p.comment(path)
	}
	for i := range v.Len() {
		item := p.node(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		if words {
			item.LineComment = ""
		}
		n.Content = append(n.Content, item)
	}
	return n
}

// scalar is a value, or null where there is none.
func (p *printer) scalar(text, tag, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text, LineComment: p.comment(path)}
	if text == "" {
		n.Tag, n.Value = "!!null", "null"
	}
	return n
}

// comment says where the value of a field comes from.
func (p *printer) comment(path string) string {
	for at := path; at != ""; {
		if from := p.file.origin[at]; from != "" {
			if line, ok := strings.CutPrefix(from, "line "); ok && p.lang == "zh" {
				return "# 第 " + line + " 行"
			}
			return "# " + from
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 || strings.HasPrefix(p.file.origin[at[:i]], "line ") {
			break // what the file holds does not give all that is in it
		}
		at = at[:i]
	}
	f := p.fields[regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "[]")]
	if p.lang == "zh" {
		return strings.TrimSuffix("# 默认："+strings.ReplaceAll(f.DefaultZH, "`", ""), "：")
	}
	return strings.TrimSuffix("# default: "+strings.ReplaceAll(f.DefaultEN, "`", ""), ": ")
}

// Change is a field whose value differs between two configurations.
type Change struct {
	Path    string // a list is one field
	Restart bool   // it takes part with the next start alone
}

// Changes compares two configurations.
func Changes(before, after Config) []Change {
	var all []Change
	for _, f := range Fields() {
		path, _, _ := strings.Cut(f.Path, "[]")
		if len(all) > 0 && all[len(all)-1].Path == path {
			continue
		}
		if !reflect.DeepEqual(lookup(before, path), lookup(after, path)) {
			all = append(all, Change{path, f.Restart})
		}
	}
	if (before.TLS.Cert == "") != (after.TLS.Cert == "") {
		for i := range all {
			all[i].Restart = all[i].Restart || all[i].Path == "tls.cert"
		}
	}
	return all
}

// Keep gives cfg the values that hold from one start to the next, as they were before.
func (cfg *Config) Keep(before Config) {
	if (before.TLS.Cert == "") != (cfg.TLS.Cert == "") {
		cfg.TLS = before.TLS // from plain HTTP to TLS or back
	}
	for _, c := range Changes(before, *cfg) {
		if c.Restart {
			field(reflect.ValueOf(cfg).Elem(), c.Path).Set(field(reflect.ValueOf(before), c.Path))
		}
	}
}

func lookup(c Config, path string) any { return field(reflect.ValueOf(c), path).Interface() }

func field(v reflect.Value, path string) reflect.Value {
	for name := range strings.SplitSeq(path, ".") {
		v = fieldOf(v, name)
	}
	return v
}

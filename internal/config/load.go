package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"kubetrail/internal/place"
)

// MaxBytes is the size of a configuration file that is read.
const MaxBytes = 1 << 20

// Text is a sentence in both languages.
type Text struct{ En, Zh string }

// In returns the text in a language, "en" or "zh".
func (t Text) In(lang string) string {
	if lang == "zh" {
		return t.Zh
	}
	return t.En
}

func say(en, zh string, args ...any) Text {
	return Text{fmt.Sprintf(en, args...), fmt.Sprintf(zh, args...)}
}

// Finding is something wrong with a configuration.
type Finding struct {
	place.Position        // zero where there is no file
	Path           string // of the field, such as "clusters[0].name"; "" for the whole
	Text           Text
	Hint           Text // what to do next; may be empty
	Warning        bool // it can be used all the same
}

// Bad tells whether findings hold one that is no warning.
func Bad(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return !f.Warning })
}

// File is a configuration file that was read.
type File struct {
	// Config is what it says, with the defaults of what it leaves out.
	Config Config

	places *place.File
	origin map[string]string // of the fields that are given: "line 3", or a flag
}

// Flag is a flag that was given: its name, such as "--listen", and the field it is for.
type Flag struct{ Name, Path string }

// Load reads a file. Relative paths in it begin in dir; what it leaves out is taken from
// defaults. It is strict: unknown fields and those given twice are findings, as is
// everything that Validate finds. Findings are in the order of the file. There is a
// File whatever they are.
func Load(data []byte, dir string, defaults Config) (*File, []Finding) {
	return LoadWith(data, dir, defaults, nil)
}

// LoadWith is Load with flags given beside the file, whose values are in defaults. Each
// sets what the file leaves out; it is a finding where the file sets the same.
func LoadWith(data []byte, dir string, defaults Config, flags []Flag) (*File, []Finding) {
	f := &File{places: place.New(data), origin: map[string]string{}}
	findings := f.decode(data)
	f.Config.Resolve(dir)
	taken := slices.DeleteFunc(slices.Clone(flags), func(flag Flag) bool { return !f.has(flag.Path) })
	for _, flag := range flags {
		if slices.Contains(taken, flag) {
			findings = append(findings, Finding{Path: flag.Path,
				Text: say("%s was given as well: there would be two values", "同时给出了 %s：会有两个值", flag.Name),
				Hint: say("leave one of them away", "去掉其中一个")})
			continue
		}
		f.origin[flag.Path] = flag.Name
	}
	defaults.APIVersion, defaults.Kind = "", ""
	fill(reflect.ValueOf(&f.Config).Elem(), reflect.ValueOf(defaults))
	f.Config.complete()
	read := len(findings)
	for _, x := range f.Config.Validate() {
		if !slices.ContainsFunc(findings[:read], func(y Finding) bool { return follows(x.Path, y.Path) }) {
			findings = append(findings, x)
		}
	}
	for i := range findings {
		if findings[i].Position == (place.Position{}) {
			findings[i].Position = f.At(findings[i].Path)
		}
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return f, findings
}

// follows reports whether what is wrong with one field may be no more than what comes of
// another that could not be read.
func follows(path, unread string) bool {
	if unread == "" { // nothing could
		return true
	}
	access := func(path string) bool {
		return strings.HasPrefix(path, "listen") || strings.HasPrefix(path, "tls") || strings.HasPrefix(path, "tokens") || strings.HasPrefix(path, "certificates")
	}
	return within(path, unread) || within(unread, path) || access(path) && access(unread)
}

// At tells where a field stands; where the file leaves it out, where what holds it does.
func (f *File) At(path string) place.Position {
	if p := f.places.Key(path); p != (place.Position{}) && !strings.HasSuffix(path, "]") {
		return p
	}
	if p := f.places.At(path); p != (place.Position{}) {
		return p
	}
	return place.Position{Line: 1, Column: 1}
}

// has tells whether the file sets a field or anything in it.
func (f *File) has(path string) bool {
	for given := range f.origin {
		if within(given, path) {
			return true
		}
	}
	return false
}

// within reports whether path is that of a field or of anything in it.
func within(path, field string) bool {
	rest, ok := strings.CutPrefix(path, field)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// fill copies what to has not from what from has, field by field; a list is one value.
func fill(to, from reflect.Value) {
	if to.Kind() == reflect.Struct {
		for i := range to.NumField() {
			fill(to.Field(i), from.Field(i))
		}
		return
	}
	if to.IsZero() {
		to.Set(from)
	}
}

// decode reads data into f.Config.
func (f *File) decode(data []byte) []Finding {
	if len(data) > MaxBytes {
		return []Finding{{Text: say("the file is larger than %d bytes", "文件大于 %d 字节", MaxBytes)}}
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := d.Decode(&doc)
	if err == nil && doc.Content[0].Tag == "!!null" || errors.Is(err, io.EOF) {
		return []Finding{{Text: say("the file is empty", "文件是空的"), Hint: wantHead()}}
	}
	if err != nil {
		return []Finding{f.syntax(err)}
	}
	r := reader{file: f}
	r.value(doc.Content[0], reflect.ValueOf(&f.Config).Elem(), "")
	var second yaml.Node
	switch err := d.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		r.findings = append(r.findings, f.syntax(err))
	default:
		r.add(&second, "", say("there is a second document", "有第二个文档"), say("one file holds one configuration", "一个文件只写一份配置"))
	}
	return r.findings
}

func (f *File) syntax(err error) Finding {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	return Finding{Position: f.places.SyntaxError(err.Error()), Text: say("no YAML: %s", "不是 YAML：%s", text)}
}

func wantHead() Text {
	return say("begin with apiVersion: %s and kind: %s", "以 apiVersion: %s 和 kind: %s 开头", APIVersion, Kind)
}

// reader makes a Config of the nodes of a document.
type reader struct {
	file     *File
	findings []Finding
}

// maxFindings is how many are told: a file that is no configuration at all would have
// thousands.
const maxFindings = 100

func (r *reader) add(n *yaml.Node, path string, text, hint Text) {
	if len(r.findings) < maxFindings {
		r.findings = append(r.findings, Finding{Position: place.Position{Line: n.Line, Column: n.Column}, Path: path, Text: text, Hint: hint})
	}
}

// settable is a value that is written as text.
type settable interface{ Set(string) error }

// value reads n into v.
func (r *reader) value(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		r.add(n, path, say("anchors and aliases are not understood here", "这里不支持锚点和别名"), say("write it out", "请直接写出"))
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // as if it were not there
	}
	switch v.Kind() {
	case reflect.Struct:
		r.mapping(n, v, path)
	case reflect.Slice:
		r.list(n, v, path)
	default:
		if r.scalar(n, v, path) {
			r.file.origin[path] = fmt.Sprintf("line %d", n.Line)
		}
	}
}

func (r *reader) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		r.add(n, path, r.isNot(n, path, "a mapping", "映射"), Text{})
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, below := n.Content[i], strings.TrimPrefix(path+"."+n.Content[i].Value, ".")
		field := fieldOf(v, key.Value)
		switch {
		case key.Kind != yaml.ScalarNode:
			r.add(key, path, say("a key that is no text", "键不是文本"), Text{})
		case !field.IsValid():
			r.add(key, below, say("unknown field %q", "未知字段 %q", key.Value), r.meant(key.Value, v, path))
		case seen[key.Value]:
			r.add(key, below, say("field %q stands here twice", "字段 %q 出现了两次", key.Value), say("keep one of them", "保留其中一个"))
		case granting(below) && len(n.Content[i+1].Content) == 0 && (n.Content[i+1].Kind == yaml.SequenceNode || n.Content[i+1].Tag == "!!null"):
			r.add(key, below, say("%s names no cluster, which would mean all of them", "%s 没有写集群，那将意味着全部集群", below),
				say("leave the field away for all clusters, or name some", "要授予全部集群请去掉此字段，否则写出集群名"))
		default:
			r.value(n.Content[i+1], field, below)
		}
		seen[key.Value] = true
	}
}

// granting reports whether a field is one that limits what is granted to some clusters. A
// template that has nothing to put there must not grant more.
func granting(path string) bool {
	return strings.HasSuffix(path, "].clusters") && (strings.HasPrefix(path, "tokens[") || strings.HasPrefix(path, "certificates["))
}

func (r *reader) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		r.add(n, path, r.isNot(n, path, "a list", "列表"), say("begin each element with a dash", "每个元素以短横线开头"))
		return
	}
	if len(n.Content) > 0 {
		r.file.origin[path] = fmt.Sprintf("line %d", n.Line)
	}
	for i, item := range n.Content {
		below := fmt.Sprintf("%s[%d]", path, i)
		element := reflect.New(v.Type().Elem()).Elem()
		if item.Tag == "!!null" {
			r.add(item, below, say("an element that is empty", "元素是空的"), say("remove it", "删除它"))
		}
		r.value(item, element, below)
		v.Set(reflect.Append(v, element))
	}
}

// scalar reads a value that is no list and no mapping, and reports whether it could.
func (r *reader) scalar(n *yaml.Node, v reflect.Value, path string) bool {
	wrong := func(en, zh string, hint Text) bool {
		r.add(n, path, r.isNot(n, path, en, zh), hint)
		return false
	}
	if s, ok := v.Addr().Interface().(settable); ok {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!int" {
			return wrong("text such as 30d or 10GiB", "例如 30d 或 10GiB 的文本", Text{})
		}
		if err := s.Set(n.Value); err != nil {
			text := err.Error()
			if !strings.Contains(text, n.Value) {
				text = fmt.Sprintf("%q: %s", n.Value, text)
			}
			zh := text
			switch s.(type) {
			case *Duration:
				zh = fmt.Sprintf("%q 不是时长：写成数字加单位，大的在前，例如 90s、30m、1h30m、7d、2w", n.Value)
			case *Size:
				zh = fmt.Sprintf("%q 不是大小：写成大于 0 的整数，单位是字节、KiB、MiB、GiB 或 TiB", n.Value)
			}
			r.add(n, path, Text{path + ": " + text, path + "：" + zh}, Text{})
			return false
		}
		return true
	}
	if v.Kind() == reflect.Bool {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			return wrong("true or false", "true 或 false", Text{})
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
		return true
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		hint := Text{}
		if n.Kind == yaml.ScalarNode {
			hint = say("put it into quotes", "加上引号")
		}
		return wrong("text", "文本", hint)
	}
	if strings.ContainsRune(n.Value, 0) {
		return wrong("text without a NUL", "不含 NUL 的文本", Text{})
	}
	v.SetString(n.Value)
	return n.Value != ""
}

func whole(path string) Text {
	if path == "" {
		return Text{"the file", "文件"}
	}
	return Text{path, path}
}

// isNot says that n is something else than what is wanted.
func (r *reader) isNot(n *yaml.Node, path, en, zh string) Text {
	what, kind := whole(path), kindOf(n)
	return Text{fmt.Sprintf("%s is %s, not %s", what.En, kind.En, en), fmt.Sprintf("%s 是%s，而不是%s", what.Zh, kind.Zh, zh)}
}

func kindOf(n *yaml.Node) Text {
	switch {
	case n.Kind == yaml.MappingNode:
		return Text{"a mapping", "映射"}
	case n.Kind == yaml.SequenceNode:
		return Text{"a list", "列表"}
	case n.Tag == "!!int", n.Tag == "!!float":
		return Text{"a number", "数字"}
	case n.Tag == "!!bool":
		return Text{"a truth value", "布尔值"}
	case n.Tag == "!!timestamp":
		return Text{"a time", "时间"}
	}
	return Text{"text", "文本"}
}

// fieldOf returns the field of a struct with that name in a file; the zero Value where
// there is none.
func fieldOf(v reflect.Value, name string) reflect.Value {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == name {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// meant suggests what an unknown field in the struct v, which stands at path, may have
// been meant to be: a name that is near, or the place where a field of that name
// belongs.
func (r *reader) meant(name string, v reflect.Value, path string) Text {
	var names []string
	for i := range v.NumField() {
		names = append(names, v.Type().Field(i).Tag.Get("yaml"))
	}
	if near := nearest(name, names); near != "" {
		return say("did you mean %q?", "是否想写 %q？", near)
	}
	for _, f := range Fields() {
		if strings.HasSuffix(f.Path, "."+name) {
			return say("did you mean %s?", "是否想写 %s？", f.Path)
		}
	}
	what, list := whole(path), strings.Join(names, ", ")
	return Text{what.En + " has " + list, what.Zh + " 可以有 " + list}
}

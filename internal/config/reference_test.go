package config

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of fields in the documents")

// TestReference keeps the tables of docs/configuration.md and its Chinese twin what the
// program knows: every field, its type and default, and whether changing it takes a
// restart.
func TestReference(t *testing.T) {
	for name, lang := range map[string]string{"../../docs/configuration.md": "en", "../../docs/zh/configuration.md": "zh"} {
		old, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		const begin, end = "TestReference -update -->\n", "<!-- end of fields -->"
		head, rest, _ := strings.Cut(string(old), begin)
		_, tail, ok := strings.Cut(rest, end)
		if !ok {
			t.Fatalf("%s has no place for the fields", name)
		}
		text := head + begin + reference(lang) + end + tail
		if *update {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if text != string(old) {
			t.Errorf("%s is not what Fields says; write it with -update", name)
		}
	}
}

func reference(lang string) string {
	words := map[string]string{"text": "text", "list": "list of text", "bool": "true, false", "size": "size", "duration": "duration",
		"head": "| field | type | default | meaning |", "required": "required", "restart": " At start."}
	if lang == "zh" {
		words = map[string]string{"text": "文本", "list": "文本列表", "bool": "true、false", "size": "大小", "duration": "时长",
			"head": "| 字段 | 类型 | 默认 | 含义 |", "required": "必填", "restart": "启动时。"}
	}
	defaults, _ := OfFlags(Defaults("/data"), nil)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n|---|---|---|---|\n", words["head"])
	for _, f := range Fields() {
		v, value := typeAt(reflect.TypeFor[Config](), f.Path), ""
		if !strings.Contains(f.Path, "[]") {
			value = strings.Trim(fmt.Sprint(textOf(lookup(defaults.Config, f.Path))), "[]")
		}
		kind := words["text"]
		switch {
		case v == reflect.TypeFor[Size]():
			kind = words["size"]
		case v == reflect.TypeFor[Duration]():
			kind = words["duration"]
		case v.Kind() == reflect.Bool:
			kind = words["bool"]
		case v.Kind() == reflect.Slice:
			kind = words["list"]
		}
		doc, given := f.EN, f.DefaultEN
		if lang == "zh" {
			doc, given = f.ZH, f.DefaultZH
		}
		switch {
		case f.Required:
			given = words["required"]
		case given == "" && value != "":
			given = "`" + value + "`"
		}
		if f.Restart {
			doc += words["restart"]
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Path, kind, given, doc)
	}
	return b.String()
}

func typeAt(t reflect.Type, path string) reflect.Type {
	for name := range strings.SplitSeq(path, ".") {
		t = fieldOf(reflect.New(t).Elem(), strings.TrimSuffix(name, "[]")).Type()
		if strings.HasSuffix(name, "[]") {
			t = t.Elem()
		}
	}
	return t
}

func textOf(v any) any {
	switch x := v.(type) {
	case Size:
		return x.String()
	case Duration:
		return x.String()
	}
	return v
}

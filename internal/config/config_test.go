package config

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const head = "apiVersion: kubetrail.io/v1alpha1\nkind: Config\n"

const full = head + `data: trail
listen: 0.0.0.0:8417
tls:
  cert: tls.crt
  key: /etc/kubetrail/tls.key
  clientCA: ca.crt
tokens:
- name: grafana
  file: grafana.token
  roles: [read, metrics]
- name: prod-apiserver
  file: prod.token
  roles: [webhook]
  clusters: [prod]
certificates:
- name: nodes
  organization: kubetrail:agents
  roles: [agent]
clusters:
- name: prod
  sources:
  - path: /logs/prod/audit.log
    server: cp-1
  - path: /var/log/pods/apiserver
    server: cp-1
    kind: apiserver-log
  scrape:
  - server: cp-1
    url: https://cp-1:6443/metrics
    tokenFile: scrape.token
retention:
  keep: 30d
  keepBytes: 10GiB
limits:
  spoolBytes: 2GiB
log:
  level: debug
`

func TestLoad(t *testing.T) {
	f, findings := Load([]byte(full), "/etc/kubetrail", Defaults("/nowhere"))
	if len(findings) > 0 {
		t.Fatalf("%+v", findings)
	}
	want := Defaults("/etc/kubetrail/trail")
	want.Listen = "0.0.0.0:8417"
	want.TLS = TLS{"/etc/kubetrail/tls.crt", "/etc/kubetrail/tls.key", "/etc/kubetrail/ca.crt"}
	want.Tokens = []Token{{"grafana", "/etc/kubetrail/grafana.token", []Role{Read, Metrics}, nil},
		{"prod-apiserver", "/etc/kubetrail/prod.token", []Role{Webhook}, []string{"prod"}}}
	want.Certificates = []Certificate{{Name: "nodes", Organization: "kubetrail:agents", Roles: []Role{Agent}}}
	want.Clusters = []Cluster{{"prod", []Source{{"/logs/prod/audit.log", "cp-1", AuditLog}, {"/var/log/pods/apiserver", "cp-1", APIServerLog}},
		[]Scrape{{"cp-1", "https://cp-1:6443/metrics", "/etc/kubetrail/scrape.token", ""}}}}
	want.Retention = Retention{Duration(30 * 24 * 3600e9), 10 << 30}
	want.Limits.SpoolBytes = 2 << 30
	want.Log.Level = "debug"
	want.Limits.Memory = 208 << 20
	if d := cmp.Diff(want, f.Config); d != "" {
		t.Error(d)
	}
}

// TestFindings wants each fault told at its place, with a way out.
func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line, col  int
		want, hint string
	}{
		{"empty", "", 1, 1, "the file is empty", "begin with apiVersion"},
		{"a comment alone", "# nothing\n", 1, 1, "the file is empty", "begin with apiVersion"},
		{"no YAML", head + "listen: [\n", 3, 1, "no YAML", ""},
		{"a list", "- a\n", 1, 1, "the file is a list, not a mapping", ""},
		{"version", "kind: Config\n", 1, 1, `apiVersion is ""`, "begin with apiVersion"},
		{"another version", "apiVersion: v1\nkind: Config\n", 1, 1, `apiVersion is "v1"`, "begin with apiVersion: kubetrail.io/v1alpha1"},
		{"another kind", "apiVersion: kubetrail.io/v1alpha1\nkind: Pod\n", 2, 1, `kind is "Pod"`, ""},
		{"unknown field", head + "lisen: 127.0.0.1:1\n", 3, 1, `unknown field "lisen"`, `did you mean "listen"?`},
		{"unknown field below", head + "clusters:\n- sources:\n  - pth: /a\n", 5, 5, `unknown field "pth"`, `did you mean "path"?`},
		{"another case", head + "TLS: {}\n", 3, 1, `unknown field "TLS"`, `did you mean "tls"?`},
		{"misplaced", head + "keepBytes: 1GiB\n", 3, 1, `unknown field "keepBytes"`, "did you mean retention.keepBytes?"},
		{"nothing near", head + "tls: {xyzzy: 1}\n", 3, 7, `unknown field "xyzzy"`, "tls has cert, key, clientCA"},
		{"twice", head + "data: a\nlisten: 127.0.0.1:1\ndata: b\n", 5, 1, `field "data" stands here twice`, "keep one"},
		{"list for a mapping", head + "tls: []\n", 3, 6, "tls is a list, not a mapping", ""},
		{"mapping for a list", head + "tokens: {}\n", 3, 9, "tokens is a mapping, not a list", "dash"},
		{"number for text", head + "clusters:\n- name: 5\n", 4, 9, "clusters[0].name is a number, not text", "quotes"},
		{"time for text", head + "data: 2026-11-20\n", 3, 7, "data is a time, not text", "quotes"},
		{"text for truth", head + "readOnly: maybe\n", 3, 11, "readOnly is text, not true or false", ""},
		{"duration", head + "retention: {keep: 30 days}\n", 3, 19, `"30 days" is no duration`, ""},
		{"size", head + "limits: {bodyBytes: lots}\n", 3, 21, `"lots": want a whole number of bytes`, ""},
		{"fraction", head + "limits: {bodyBytes: 1.5}\n", 3, 21, "limits.bodyBytes is a number, not text", ""},
		{"anchor", head + "data: &a x\n", 3, 7, "anchors and aliases", "write it out"},
		{"alias", head + "data: x\nclusters: *a\n", 4, 0, "", ""},
		{"second document", head + "---\n" + head, 3, 1, "a second document", "one file"},
		{"clusters of a token emptied", head + "tokens:\n- name: a\n  file: a\n  roles: [read]\n  clusters: []\n", 7, 3, "tokens[0].clusters names no cluster, which would mean all of them", "leave the field away"},
		{"clusters of a certificate emptied", head + "certificates:\n- name: a\n  roles: [read]\n  clusters:\n", 6, 3, "certificates[0].clusters names no cluster", "leave the field away"},
		{"empty element", head + "tokens:\n- \n", 4, 2, "an element that is empty", "remove"},
		{"no name", head + "tokens:\n- file: a\n  roles: [read]\n", 4, 3, "tokens[0] has no name", ""},
		{"no file", head + "tokens:\n- name: a\n  roles: [read]\n", 4, 3, "tokens[0] names no file", "openssl rand"},
		{"no roles", head + "tokens:\n- {name: a, file: b}\n", 4, 3, "tokens[0] has no roles", "read, webhook, agent, metrics"},
		{"role", head + "tokens:\n- {name: a, file: b, roles: [read, webhok]}\n", 4, 36, `tokens[0].roles[1]: "webhok" is not known`, `did you mean "webhook"?`},
		{"role twice", head + "tokens:\n- {name: a, file: b, roles: [read, read]}\n", 4, 36, "role read is there twice", ""},
		{"name twice", head + "tokens:\n- {name: a, file: b, roles: [read]}\n- {name: a, file: c, roles: [read]}\n", 5, 4, `"a" is there twice`, ""},
		{"file twice", head + "tokens:\n- {name: a, file: b, roles: [read]}\n- {name: c, file: b, roles: [read]}\n", 5, 13, `is there twice`, ""},
		{"token cluster", head + "tokens:\n- {name: a, file: b, roles: [read], clusters: ['a/b']}\n", 4, 48, `"a/b" is no name of a cluster`, ""},
		{"reachable", head + "listen: :8417\n", 3, 1, "can be reached from other machines", "give tokens"},
		{"listen", head + "listen: localhost\n", 3, 1, "missing port", "host:port"},
		{"port", head + "listen: localhost:x\n", 3, 1, "no port", "host:port"},
		{"key alone", head + "tls: {key: a}\n", 3, 1, "go together", "both or none"},
		{"client CA alone", head + "tls: {cert: a, key: b, clientCA: c}\n", 3, 24, "lets nobody in", "certificates"},
		{"certificates alone", head + "certificates: [{name: a, roles: [read]}]\n", 3, 1, "genuine", "tls.clientCA"},
		{"no path", head + "clusters:\n- name: a\n  sources: [{server: x}]\n", 5, 13, "names no file", "for example"},
		{"path twice", head + "clusters:\n- sources: [{path: /a/b}, {path: /a/./b}]\n", 4, 28, "is there twice, and every event would be", "once"},
		{"source kind", head + "clusters:\n- sources: [{path: /a, kind: Audit}]\n", 4, 24, `"Audit" is not known`, `did you mean "audit"?`},
		{"cluster twice", head + "clusters: [{name: a}, {name: a}]\n", 3, 24, `cluster "a" is there twice`, ""},
		{"cluster name", head + "clusters: [{name: 'a b'}]\n", 3, 13, `"a b" is no name of a cluster`, ""},
		{"no URL", head + "clusters: [{scrape: [{server: a}]}]\n", 3, 22, "names no address", ""},
		{"URL", head + "clusters: [{scrape: [{url: cp-1/metrics}]}]\n", 3, 23, "is no http or https address", ""},
		{"password", head + "clusters: [{scrape: [{url: 'https://u:p@cp-1/metrics'}]}]\n", 3, 23, "holds a user or password", "tokenFile"},
		{"read only", head + "readOnly: true\nclusters: [{sources: [{path: /a}]}]\n", 4, 13, "readOnly", ""},
		{"part size", head + "limits: {partBytes: 5}\n", 3, 10, "limits.partBytes is 5B: want 4KiB to 1GiB", ""},
		{"log level", head + "log: {level: debg}\n", 3, 7, `"debg" is not known`, `did you mean "debug"?`},
	} {
		f, findings := Load([]byte(c.text), "/d", Defaults("/data"))
		if f == nil || !Bad(findings) {
			t.Errorf("%s: nothing was found", c.name)
			continue
		}
		got := findings[0]
		if c.col == 0 {
			continue // the library's own place
		}
		if got.Line != c.line || got.Column != c.col || !strings.Contains(got.Text.En, c.want) || !strings.Contains(got.Hint.En, c.hint) {
			t.Errorf("%s: %d:%d: %s (%s), want %d:%d: %s (%s)", c.name, got.Line, got.Column, got.Text.En, got.Hint.En, c.line, c.col, c.want, c.hint)
		}
		if got.Text.Zh == "" || got.Hint.En != "" && got.Hint.Zh == "" {
			t.Errorf("%s is not told in Chinese: %+v", c.name, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"listen: :8417\ntokens: [{name: a, file: b, roles: [read]}]\n", "clear text"},
		{"tokens: [{name: a, file: b, roles: [webhook]}]\n", "over TLS only"},
		{"tokens: [{name: a, file: b, roles: [metrics], clusters: [x]}]\n", "of all clusters"},
		{"clusters: [{scrape: [{url: 'http://a/m', tokenFile: b}]}]\n", "clear text"},
		{"limits: {spoolBytes: 1MiB}\n", "never fit"},
	} {
		_, findings := Load([]byte(head+c.text), "/d", Defaults("/data"))
		if Bad(findings) || len(findings) != 1 || !strings.Contains(findings[0].Text.En, c.want) || findings[0].Line < 3 {
			t.Errorf("%s: %+v, want the warning %s", c.text, findings, c.want)
		}
	}
}

// TestFlags wants a flag beside a file to give what the file leaves out, and nothing
// else.
func TestFlags(t *testing.T) {
	flags := Defaults("/flag")
	flags.Listen = "127.0.0.1:1"
	flags.Add("", Source{Path: "/a"})
	given := []Flag{{"--data", "data"}, {"--listen", "listen"}, {"--source", "clusters"}, {"--scrape", "clusters"}}
	f, findings := LoadWith([]byte(head+"log: {level: warn}\n"), "/d", flags, given)
	if len(findings) > 0 || f.Config.Data != "/flag" || f.Config.Listen != "127.0.0.1:1" || f.Config.Clusters[0].Sources[0] != (Source{"/a", "", AuditLog}) {
		t.Errorf("%+v, %+v", f.Config, findings)
	}
	for text, want := range map[string]string{
		"data: /file\n":                           "--data was given as well",
		"data: /file\nlisten: 127.0.0.1:2\n":      "--data was given as well",
		"listen: 127.0.0.1:2\nlog: {level: warn}": "--listen was given as well",
	} {
		_, findings := LoadWith([]byte(head+text), "/d", flags, given)
		if len(findings) != strings.Count(text, ": 127")+strings.Count(text, ": /") || !strings.Contains(findings[0].Text.En, want) || findings[0].Line != 3 {
			t.Errorf("%s: %+v", text, findings)
		}
	}
	_, findings = LoadWith([]byte(head+"clusters: [{sources: [{path: /b}]}]\n"), "/d", flags, given)
	if len(findings) != 2 || !strings.Contains(findings[0].Text.En+findings[1].Text.En, "--source was given") || !strings.Contains(findings[0].Text.En+findings[1].Text.En, "--scrape was given") {
		t.Errorf("%+v", findings)
	}
}

// TestEffective wants what print writes to load to the same, and to say where each value
// is from.
func TestEffective(t *testing.T) {
	flags := Defaults("/data")
	flags.Log.Format = "json"
	f, findings := LoadWith([]byte(full), "/etc/kubetrail", flags, []Flag{{"--log-json", "log.format"}})
	if Bad(findings) {
		t.Fatal(findings)
	}
	text := f.Text("en", true)
	again, findings := Load(text, "/elsewhere", Config{})
	if Bad(findings) {
		t.Fatalf("%+v\n%s", findings, text)
	}
	if d := cmp.Diff(f.Config, again.Config); d != "" {
		t.Errorf("%s\n%s", d, text)
	}
	for _, want := range []string{
		"\ndata: /etc/kubetrail/trail # line 3\n", "\nlisten: 0.0.0.0:8417 # line 4\n", "  format: json # --log-json\n", "  level: debug # line 39\n",
		"      - path: /logs/prod/audit.log # line 24\n", "        kind: audit # default: audit\n", "readOnly: false # default\n",
		"  keep: 30d # line 34\n", "  bodyBytes: 64MiB # default\n", "    roles: [read, metrics] # line 12\n  - name: prod-apiserver # line 13\n",
		"    commonName: null # default: any\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if zh := string(f.Text("zh", true)); !strings.Contains(zh, "# 第 3 行\n") || !strings.Contains(zh, "# 默认：任意\n") {
		t.Errorf("%s", zh)
	}
	short := string(f.Text("en", false))
	if strings.Contains(short, "default") || strings.Contains(short, "null") || !strings.Contains(short, "keep: 30d # line 34\n") {
		t.Errorf("%s", short)
	}
	var c map[string]any
	if err := json.Unmarshal(f.JSON(true), &c); err != nil || c["retention"].(map[string]any)["keep"] != "30d" {
		t.Errorf("%v, %s", err, f.JSON(true))
	}
	_, findings = OfFlags(flags, nil)
	if len(findings) > 0 {
		t.Errorf("%+v", findings)
	}
}

// TestFieldsAreThose of Config, in its order, so that what is said about fields is about
// all of them.
func TestFieldsAreThose(t *testing.T) {
	var paths []string
	var walk func(v reflect.Type, path string)
	walk = func(v reflect.Type, path string) {
		for v.Kind() == reflect.Slice && v.Elem().Kind() == reflect.Struct {
			v, path = v.Elem(), path+"[]"
		}
		if v.Kind() != reflect.Struct {
			paths = append(paths, path)
			return
		}
		for i := range v.NumField() {
			f := v.Field(i)
			walk(f.Type, strings.TrimPrefix(path+"."+f.Tag.Get("yaml"), "."))
		}
	}
	walk(reflect.TypeFor[Config](), "")
	var listed []string
	for _, f := range Fields() {
		listed = append(listed, f.Path)
		if f.EN == "" || f.ZH == "" || (f.DefaultEN == "") != (f.DefaultZH == "") {
			t.Errorf("%s is not told in both languages", f.Path)
		}
	}
	if d := cmp.Diff(paths, listed); d != "" {
		t.Error(d)
	}
}

func TestChanges(t *testing.T) {
	before, after := Defaults("/a"), Defaults("/b")
	after.Log.Level = "warn"
	after.Add("x", Source{Path: "/log"})
	after.Tokens = []Token{{Name: "t"}}
	want := []Change{{"data", true}, {"tokens", false}, {"clusters", false}, {"log.level", false}}
	if d := cmp.Diff(want, Changes(before, after)); d != "" {
		t.Error(d)
	}
	after.Keep(before)
	if after.Data != "/a" || after.Log.Level != "warn" || len(after.Tokens) != 1 {
		t.Errorf("%+v", after)
	}
	after.TLS = TLS{Cert: "c", Key: "k"}
	if got := Changes(before, after); !got[0].Restart {
		t.Errorf("plain HTTP becomes TLS without a restart: %+v", got)
	}
	after.Keep(before)
	if after.TLS != (TLS{}) {
		t.Errorf("%+v", after.TLS)
	}
}

func TestLoopback(t *testing.T) {
	for listen, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:0": true, "[::1]:80": true, "LocalHost:80": true, "[::ffff:127.0.0.1]:0": true,
		":80": false, "0.0.0.0:80": false, "[::]:80": false, "localhost.example.com:80": false, "10.0.0.1:80": false,
	} {
		if got, _, err := Loopback(listen); err != nil || got != want {
			t.Errorf("%s: %v, %v", listen, got, err)
		}
	}
	for _, listen := range []string{"", "localhost", "::1:80", "[::1:80", "a:-1", "a:65536", "a:http", "a:080"} {
		if _, _, err := Loopback(listen); err == nil {
			t.Errorf("%q is an address", listen)
		}
	}
}

// TestValues reads back what is written, whatever it is.
func TestValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Size(rapid.Int64Range(1, 1<<62).Draw(t, "size"))
		d := Duration(rapid.Int64Range(1, 1<<42).Draw(t, "ms") * 1e6)
		var gotSize Size
		var gotDuration Duration
		if err := gotSize.Set(s.String()); err != nil || gotSize != s {
			t.Fatalf("%d is written %s and read %d, %v", s, s.String(), gotSize, err)
		}
		if err := gotDuration.Set(d.String()); err != nil || gotDuration != d {
			t.Fatalf("%d is written %s and read %d, %v", d, d.String(), gotDuration, err)
		}
	})
}

// FuzzLoad wants no file to do harm, and what loads to load again as it is printed.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(head))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("{\"apiVersion\": \"kubetrail.io/v1alpha1\", \"kind\": \"Config\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, findings := Load(data, "/d", Defaults("/data"))
		for _, x := range findings {
			if x.Line < 1 || x.Text.En == "" || len(findings) > 10*maxFindings+bytes.Count(data, []byte("\n"))*8 {
				t.Fatalf("%+v", x)
			}
		}
		if Bad(findings) {
			return
		}
		text := file.Text("en", true)
		again, findings := Load(text, "/d", Config{})
		if d := cmp.Diff(file.Config, again.Config); Bad(findings) || d != "" {
			t.Fatalf("%q loads, its print does not: %v\n%s\n%s", data, findings, d, text)
		}
	})
}

// TestAllAtOnce: a field that cannot be read hides nothing else that is wrong, and causes
// nothing that is told besides.
func TestAllAtOnce(t *testing.T) {
	_, findings := Load([]byte("apiVersion: kubetrail.io/v1\nkind: Config\ndta: x\nlisten: :8417\ntokens: {}\n"+
		"clusters:\n- sources: [{path: /a}, {path: /a}]\nretention: {keep: 3 days}\nlimits: {bodyBytes: lots}\nlog: {level: loud}\n"), "/", Defaults("/d"))
	var got, zh []string
	for _, x := range findings {
		got, zh = append(got, x.Path), append(zh, x.Text.Zh)
	}
	want := []string{"apiVersion", "dta", "tokens", "clusters[0].sources[1].path", "retention.keep", "limits.bodyBytes", "log.level"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if all := strings.Join(zh, "\n"); strings.Contains(all, "want a") || !strings.Contains(all, `"3 days" 不是时长`) || !strings.Contains(all, `"lots" 不是大小`) {
		t.Error(all)
	}
}

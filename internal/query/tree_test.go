package query

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"kubetrail/audit"

	"pgregory.net/rapid"
)

// same reports whether two trees are equal but for what is derived.
func same(a, b *Node) bool {
	if a.Op != b.Op || len(a.Kids) != len(b.Kids) || a.needs != b.needs {
		return false
	}
	for i := range a.Kids {
		if !same(a.Kids[i], b.Kids[i]) {
			return false
		}
	}
	switch a.Op {
	case Test:
		x, y := *a.test, *b.test
		if (x.sub == nil) != (y.sub == nil) || x.sub != nil && !same(x.sub, y.sub) {
			return false
		}
		x.pass, y.pass, x.sub, y.sub = nil, nil, nil, nil
		return a.Ref.Path() == b.Ref.Path() && reflect.DeepEqual(x, y)
	case Text:
		return reflect.DeepEqual(a.text, b.text)
	}
	return true
}

func mustParse(t testing.TB, text string) *Node {
	t.Helper()
	n, err := Parse(text)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return n
}

// genQuestion draws a question in KQL with odd blanks, cases and characters.
func genQuestion(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		value := rapid.OneOf(
			rapid.SampledFrom([]string{"get", "ns*", "*", "a*b", `"two words"`, `two words`, `\and`, `"*"`, `x\*y`, `x\u0020y*`,
				"system:node:*", `"or"`, "10.0.0.0/8", "3", "3.50", "true", `/a\:b/*/`, `"\\"`, `"\u0000"`, "é*", "密码", `a\"*`, "-1", "~x"}),
			rapid.Map(rapid.String(), Quote),
		)
		field := rapid.SampledFrom([]string{"user", "verb", "message", "group", "ip", "annotations.k8s.io/x", "requestObject.spec.a.b/c",
			`requestObject.metadata."x \"y".z`, "requestObject", "requestObject.*.image", "extra.k", "objectRef.*", "annotations.*x", "*name", `annotations."a:b"`, "details.*"})
		kids := func(n int) string {
			if depth <= 0 {
				return "verb:get"
			}
			return genQuestion(depth-1).Draw(t, "kid")
		}
		switch rapid.IntRange(0, 11).Draw(t, "shape") {
		case 0:
			return kids(0) + " and " + kids(1)
		case 1:
			return kids(0) + "\n OR " + kids(1)
		case 2:
			return "Not " + kids(0)
		case 3:
			return "( " + kids(0) + ")"
		case 4:
			return Quote(rapid.StringN(1, 10, 30).Draw(t, "text"))
		case 5:
			return rapid.SampledFrom([]string{"words to find", "frag*ment", "*", `a\*b*`, "密*"}).Draw(t, "bare")
		case 6:
			return field.Draw(t, "field") + ":(" + value.Draw(t, "a") + " or not " + value.Draw(t, "b") + " and (" + value.Draw(t, "c") + "))"
		case 7:
			return rapid.SampledFrom([]string{"code", "duration", "seq"}).Draw(t, "number") + rapid.SampledFrom([]string{":", " > ", "<=", ">=", " <"}).Draw(t, "op") +
				rapid.SampledFrom([]string{"403", "0.5", "-1", "1e3", "99999999999999999999"}).Draw(t, "n")
		case 8:
			return "time" + rapid.SampledFrom([]string{":", " > ", "<="}).Draw(t, "op") + rapid.SampledFrom([]string{"2026", "2026-11-20", `"2026-11-20T15:20:00.12Z"`, "1795176000501"}).Draw(t, "time")
		case 9:
			return "requestObject.spec.containers:{ image:" + value.Draw(t, "v") + " and not a.b > 3 or x:{y:*} }"
		case 10:
			return rapid.SampledFrom([]string{"user", "requestObject.a.b", "annotations.k"}).Draw(t, "field") + " >= " + rapid.SampledFrom([]string{"3", `"b c"`, "2026-11-20"}).Draw(t, "bound")
		}
		return field.Draw(t, "field") + " : " + value.Draw(t, "v")
	})
}

func TestRoundTrip(t *testing.T) {
	tried, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		text := genQuestion(4).Draw(t, "question")
		tried++
		n, err := Parse(text)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("%s: %T", text, err)
			}
			refused++
			return
		}
		again, err := Parse(n.String())
		if err != nil {
			t.Fatalf("%s\nprints as %s\n%v", text, n, err)
		}
		if !same(n, again) {
			t.Fatalf("%s\nprints as %s\nand that as %s", text, n, again)
		}
	})
	if refused*2 > tried {
		t.Errorf("%d of %d questions refused: the generator says little", refused, tried)
	}
}

func TestLiterals(t *testing.T) {
	for text, want := range map[string]string{
		"verb:get":                      "get",
		"verb:(get or list or get)":     "get list",
		"verb:get or verb:list":         "get list",
		"ns:kube-*":                     "",
		"verb:*":                        "",
		"not verb:get":                  "",
		"message:get":                   "",
		"code:403":                      "",
		"group:dev":                     "dev",
		"requestObject.spec.a:3":        "",
		"requestObject.spec.a:x":        "x",
		"verb:get and user:jai":         "",
		"ip:10.0.0.0/8":                 "",
		"annotations.k8s.io/x:(a or b)": "a b",
	} {
		values, ok := mustParse(t, text).Literals()
		if got := string(bytes.Join(values, []byte(" "))); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v, want %q", text, got, ok, want)
		}
	}
}

func TestRange(t *testing.T) {
	const never, ever = math.MinInt64, math.MaxInt64
	for _, c := range []struct {
		text   string
		lo, hi int64
		ok     bool
	}{
		{"code:403", 403, 403, true},
		{"code >= 400", 400, ever, true},
		{"code > 400", 401, ever, true},
		{"code < 400", never, 399, true},
		{"code <= 399.5", never, 399, true},
		{"code >= 399.5", 400, ever, true},
		{"code:399.5", 400, 399, true},
		{"code < 1e300", never, ever - 1, true},
		{"code > -1e300", never + 1, ever, true},
		{"seq >= 99999999999999999999", ever, ever, true},
		{"time >= 1970-01-01T00:00:01Z", 1e6, ever, true},
		{"time <= 1970-01-01", never, 86400e6 - 1, true},
		{"stageTimestamp:1970-01-02", 86400e6, 2*86400e6 - 1, true},
		{"duration > 3", 0, 0, false},
		{"requestObject.a > 3", 0, 0, false},
		{"code:4*", 0, 0, false},
		{"code:*", 0, 0, false},
		{"verb:get", 0, 0, false},
	} {
		lo, hi, ok := mustParse(t, c.text).Range()
		if lo != c.lo || hi != c.hi || ok != c.ok {
			t.Errorf("%s: %d to %d, %v", c.text, lo, hi, ok)
		}
	}
}

func TestFragments(t *testing.T) {
	for text, want := range map[string]string{
		`"privileged"`:                                 "privileged",
		`"say \"hi\" a/b <c>"`:                         "say |hi| a|b ",
		`nginx*latest`:                                 "latest|nginx",
		`requestObject.spec.image:*nginx*`:             "image|nginx|spec",
		`requestObject.spec.replicas:3`:                "replicas|spec",
		`requestObject.spec.a:(x or y)`:                "spec|a",
		`requestObject.*.image:x`:                      "image|x",
		`requestObject.m."a/b\"c":*`:                   "m|a|b|c",
		`requestObject.spec.c:{ image:x and not y:z }`: "image|spec|c|x",
		`verb:get`: "",
	} {
		if got := string(bytes.Join(mustParse(t, text).Fragments(), []byte("|"))); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestNeeds(t *testing.T) {
	for text, want := range map[string]audit.Columns{
		"":                              0,
		"user:a and not verb:b":         audit.Set(audit.Username, audit.Verb),
		"time:2026":                     audit.Set(audit.Staged, audit.Received),
		"responseObject.a:{ b:c or d }": audit.Set(audit.ResponseObject),
		"decision:allow":                audit.Set(audit.Decision),
	} {
		if got := mustParse(t, text).Needs(); got != want {
			t.Errorf("%q needs %b, want %b", text, got, want)
		}
	}
	bare := mustParse(t, "x").Needs()
	if bare.Has(audit.Source) || bare.Has(audit.Cluster) || bare.Has(audit.Code) || !bare.Has(audit.ResponseObject) || !bare.Has(audit.Verb) {
		t.Errorf("bare text needs %b", bare)
	}
}

func TestErrorShowsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"usr:jai and verb:get": "no field \"usr\"\n" +
			"  usr:jai and verb:get\n" +
			"  ^~~\n" +
			"hint: did you mean \"user\"?",
		"user:小明 and vreb:get": "no field \"vreb\"\n" +
			"  user:小明 and vreb:get\n" +
			"                ^~~~\n" +
			"hint: did you mean \"verb\"?",
		"user:a\nand (verb:b": "this ( is never closed\n" +
			"  and (verb:b\n" +
			"      ^\n" +
			"hint: put a ) where the group ends",
		"verb:get and": "the question ends where it should go on\n" +
			"  verb:get and\n" +
			"              ^",
	} {
		_, err := Parse(text)
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n%v\nwant\n%s", text, err, want)
		}
	}
}

func TestLimits(t *testing.T) {
	for name, text := range map[string]string{
		"longer than 64 KiB":        strings.Repeat("a", maxText+1),
		"nested more than 500 deep": strings.Repeat("(", 600) + "a" + strings.Repeat(")", 600),
		"nested more than 500":      strings.Repeat("not ", 600) + "a",
		"nested more":               strings.Repeat("requestObject.a:{", 1) + strings.Repeat("a:{", 600),
		"not UTF-8":                 "verb:\xff",
		"more than 20000 tests":     "*:(a" + strings.Repeat(" or a", 5000) + ")",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), name) || len(err.Error()) > 1000 {
			t.Errorf("want an error that says %s: %.300v", name, err)
		}
	}
	mustParse(t, strings.Repeat("(", 400)+"a"+strings.Repeat(")", 400))
}

// FuzzParse: no question panics, and what a tree prints as means the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "*", "user:jai and not ns:kube-*", `a:{b:c}`, `"x`, `\u00`, "code >= 1e9", "*:*", `requestObject."a":(b or c)`, "a TO b", `\ud83d\ude00*`, "*:" + strings.Repeat("u", 4000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		if err != nil {
			_ = err.Error()
			return
		}
		if printed := n.String(); len(printed) > maxText { // all fields are named in it
			if _, err := Parse(printed); err == nil || !strings.Contains(err.Error(), "longer than") {
				t.Fatalf("%d bytes: %v", len(printed), err)
			}
			return
		}
		again, err := Parse(n.String())
		if err != nil || !same(n, again) {
			t.Fatalf("%q\nprints as %q\n%v, %v", text, n, again, err)
		}
	})
}

// FuzzMatch: no bytes in the columns of an event make a match panic, and fragments
// say no only where the JSON itself does.
func FuzzMatch(f *testing.F) {
	f.Add("requestObject.a.b:x", []byte(`{"a":[{"b":"x"},{"b":["\u0078"]}]}`))
	f.Add("requestObject.*b:(x or 3)", []byte(`{"a":{"b":3.0`))
	f.Add("requestObject:{a:*}", []byte(`[[[{"a":{}}]`))
	f.Add(`"\"a\":"`, []byte(`{"\u0061":"\u00`))
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		n, err := Parse(text)
		if err != nil {
			return
		}
		e := &audit.Event{RequestObject: raw, Staged: int64(len(raw)), Code: int32(len(raw))}
		for c := range e.Text {
			e.Text[c] = raw
		}
		n.Match(e)
		for _, f := range audit.Fields() {
			r, err := audit.Resolve(f.Path)
			if err != nil {
				t.Fatal(err)
			}
			r.AppendJSON(nil, e)
			r.AppendText(nil, e)
		}
		if n.Op != Test || !n.test.body || n.Ref.Field.Path != "requestObject" {
			return
		}
		if n.Ref.AnyIn(raw, n.test.pass) && !mayHold(raw, n.Fragments()) {
			t.Fatalf("%s matches %s, without its fragments %q", n, raw, n.Fragments())
		}
	})
}

func TestWidth(t *testing.T) {
	if width("a小é́，🦀") != 1+2+1+2+2 || !utf8.ValidString("a小é́，🦀") {
		t.Error(width("a小é́，🦀"))
	}
}

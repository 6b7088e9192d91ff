package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"kubetrail/internal/corpustest"
)

// TestCorpora scans every event of every real log, lets encoding/json judge every
// column, and demands the line back from the columns alone.
func TestCorpora(t *testing.T) {
	for _, test := range []struct {
		name, pattern string
		events        int
		form          Form
	}{
		{"a-gce-derived", "audit*.log", 23131, FormV1},
		{"d-metadata-all", "audit*.log", 29492, FormV1},
		{"rotation-keepall", "audit*.log", 7362, FormV1},
		{"rotation-maxbackup3", "audit*.log", 724, FormV1},
		{"truncate-10k", "audit*.log", 3384, FormV1},
		{"kill9-blocking", "audit*.log", 9089, FormV1},
		{"lost-events", "audit*.log", 1192, FormV1},
		{"lost-events", "*.json", 1088, FormV1Item},
		{"webhook-batch", "*.json", 2503, FormV1Item},
		{"webhook-retry", "*.json", 2919, FormV1Item},
		{"legacy", "audit*.log", 4232, FormLegacy},
	} {
		t.Run(test.name+"/"+test.pattern, func(t *testing.T) {
			var e Event
			events := 0
			for _, m := range corpustest.Members(t, test.name, test.pattern) {
				for _, line := range m.Events(t) {
					events++
					if err := e.Scan(line); err != nil {
						t.Fatalf("%s: %v: %.2000s", m.Name, err, line)
					}
					if e.Form != test.form {
						t.Fatalf("form %d, want %d: %.200s", e.Form, test.form, line)
					}
					if e.Form != FormLegacy {
						j := judge(line, e.Form)
						j.check(t, &e)
					}
					if got := e.AppendColumns(nil); !e.Exact() || !bytes.Equal(got, line) {
						t.Errorf("not exact (%v):\n line %.3000s\nwrote %.3000s", e.Exact(), line, got)
					}
					if t.Failed() {
						t.FailNow()
					}
				}
			}
			if events != test.events {
				t.Errorf("%d events, want %d", events, test.events)
			}
		})
	}
}

// TestDiskFull scans the log of a full disk, which ends inside a line.
func TestDiskFull(t *testing.T) {
	var e Event
	for _, m := range corpustest.Members(t, "diskfull-blocking", "audit*.log") {
		events := 0
		for _, line := range m.Events(t) {
			events++
			if err := e.Scan(line); err != nil || !e.Exact() {
				t.Errorf("%v: %.2000s", err, line)
			}
		}
		if events != 661 {
			t.Errorf("%d events, want 661", events)
		}
		torn := m.Data[bytes.LastIndexByte(m.Data, '\n')+1:]
		var scan *ScanError
		if err := e.Scan(torn); !errors.As(err, &scan) || scan.Offset != len(torn) {
			t.Errorf("the torn line of %d bytes: %v", len(torn), err)
		}
	}
}

// TestForms scans one line of each form and writes it again.
func TestForms(t *testing.T) {
	for name, line := range samples {
		t.Run(name, func(t *testing.T) {
			var e Event
			if err := e.Scan([]byte(line)); err != nil {
				t.Fatal(err)
			}
			if got := string(e.AppendColumns(nil)); got != line || !e.Exact() {
				t.Errorf("exact %v\n got %s\nwant %s", e.Exact(), got, line)
			}
			if e.Form != FormLegacy {
				j := judge([]byte(line), e.Form)
				j.check(t, &e)
			}
			e.Raw = nil
			if got := string(e.AppendLine([]byte("head "))); got != "head "+line {
				t.Errorf("AppendLine wrote %s", got)
			}
		})
	}
}

// TestV1Alpha1 looks at what only the old versions have.
func TestV1Alpha1(t *testing.T) {
	var e Event
	if err := e.Scan([]byte(samples["v1alpha1"])); err != nil {
		t.Fatal(err)
	}
	if e.Form != FormV1Alpha1 || string(e.Text[APIGroup]) != "apps" || string(e.Text[APIVersion]) != "v1" {
		t.Errorf("form %d, group %q, version %q", e.Form, e.Text[APIGroup], e.Text[APIVersion])
	}
	// A line of 1.8 had the seconds alone.
	line := `{"kind":"Event","apiVersion":"audit.k8s.io/v1beta1","metadata":{"creationTimestamp":"2017-09-05T10:04:56Z"},` +
		`"level":"Metadata","timestamp":"2017-09-05T10:04:55Z","auditID":"1","stage":"RequestReceived","requestURI":"/","verb":"get","user":{}}`
	if err := e.Scan([]byte(line)); err != nil {
		t.Fatal(err)
	}
	if e.Received != 1504605895_000000 || e.Staged != 1504605896_000000 || e.Exact() {
		t.Errorf("received %d, staged %d, exact %v", e.Received, e.Staged, e.Exact())
	}
}

// TestInexact scans lines that mean an event but are not what an apiserver writes:
// their columns must be right, and Exact must say that the line is needed.
func TestInexact(t *testing.T) {
	base := samples["metadata"]
	replace := func(old, new string) string {
		if !strings.Contains(base, old) {
			t.Fatalf("no %s in the sample", old)
		}
		return strings.Replace(base, old, new, 1)
	}
	for name, line := range map[string]string{
		"carriage return":      base + "\r",
		"white space":          " \t" + replace(`,"stage":"`, "\n, \"stage\" : \"") + "  ",
		"pretty":               pretty(t, base),
		"duplicate key":        replace(`"verb":"list"`, `"verb":"get","verb":"list"`),
		"duplicate object":     replace(`"objectRef"`, `"objectRef":{"name":"x","uid":"y"},"objectRef"`),
		"duplicate status":     replace(`"responseStatus"`, `"responseStatus":{"status":"x","reason":"y"},"responseStatus"`),
		"order":                replace(`"level":"Metadata",`, ``)[:len(base)-len(`"level":"Metadata",}`)] + `,"level":"Metadata"}`,
		"unknown member":       replace(`"verb"`, `"zone":{"a":[1,"}"]},"verb"`),
		"two unknown members":  replace(`"verb"`, `"zone":1 , "verb"`)[:len(base)+len(`"zone":1 , `)-1] + `,"b\"c":null}`,
		"unknown user member":  replace(`"username"`, `"shoe":"42","username"`),
		"invalid UTF-8":        replace(`kubectl/v1.36.3`, "kubectl/\xff\xc0\xaf\xed\xa0\x80"),
		"unescaped HTML":       replace(`\u0026`, `&`),
		"escaped slash":        replace(`/api/v1`, `\/api\/v1`),
		"escaped name":         replace(`"verb"`, `"\u0076erb"`),
		"lone surrogate":       replace(`kubectl/v1.36.3`, `\ud800\u0041\udc00 \ud83d\ude00`),
		"null member":          replace(`"objectRef"`, `"impersonatedUser":null,"objectRef"`),
		"wrong type":           replace(`"verb":"list"`, `"verb":{"list":[]}`),
		"wrong type of object": replace(`"verb"`, `"objectRef":["x"],"responseStatus":4,"user":"root","annotations":7,"verb"`),
		"code of 400 digits":   replace(`"code":200`, `"code":`+strings.Repeat("9", 400)),
		"fraction in code":     replace(`"code":200`, `"code":200.0`),
		"code zero":            replace(`"code":200`, `"code":0`),
		"nanoseconds":          replace(`.656097Z`, `.656097123Z`),
		"milliseconds":         replace(`.656097Z`, `.656Z`),
		"time zone":            replace(`.656097Z`, `.656097+08:00`),
		"no time":              replace(`"2026-11-20T15:22:00.656097Z"`, `"2026-02-30T15:22:00.656097Z"`),
		"empty decision":       replace(`decision":"allow"`, `decision":""`),
		"decision of a number": replace(`decision":"allow"`, `decision":5,"k":6`),
		"annotations unsorted": replace(`"annotations":{`, `"annotations":{ "z" : "1" , "authorization.k8s.io/reason":"x",`),
		"status metadata":      replace(`"metadata":{}`, `"metadata":{"resourceVersion":"5"}`),
		"no apiVersion":        replace(`"apiVersion":"audit.k8s.io/v1",`, ``),
		"later version":        replace(`audit.k8s.io/v1`, `audit.k8s.io/v2`),
		"kind late":            "{" + replace(`{"kind":"Event","apiVersion":"audit.k8s.io/v1",`, ``)[:len(base)-len(`{"kind":"Event","apiVersion":"audit.k8s.io/v1",}`)] + `,"apiVersion":"audit.k8s.io/v1","kind":"Event"}`,
	} {
		t.Run(name, func(t *testing.T) {
			var e Event
			if err := e.Scan([]byte(line)); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if e.Exact() {
				t.Errorf("Exact, but wrote\n%s\nfor\n%s", e.AppendColumns(nil), line)
			}
			if got := string(e.AppendLine(nil)); got != line {
				t.Errorf("AppendLine wrote %s", got)
			}
			j := judge([]byte(line), e.Form)
			j.check(t, &e)
			checkAgain(t, &e)
		})
	}
}

func pretty(t *testing.T, line string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(line), "", "\t"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// checkAgain scans what the columns of e are written as and demands the same columns.
func checkAgain(t *testing.T, e *Event) {
	t.Helper()
	written := e.AppendColumns(nil)
	var again Event
	again.Text[Cluster], again.Text[Source] = e.Text[Cluster], e.Text[Source]
	if err := again.Scan(written); err != nil {
		t.Fatalf("%v\n line %q\nwrote %q", err, e.Raw, written)
	}
	if d := differ(e, &again); d != "" || !again.Exact() {
		t.Fatalf("%s differs, exact %v\n line %q\nwrote %q\nagain %q", d, again.Exact(), e.Raw, written, again.AppendColumns(nil))
	}
}

// TestBad scans lines that are no events: each must be refused at the right place.
func TestBad(t *testing.T) {
	base := samples["metadata"]
	deep := func(n int) string {
		return strings.Replace(base, `"requestReceived`, `"requestObject":`+strings.Repeat("[", n)+strings.Repeat("]", n)+`,"requestReceived`, 1)
	}
	var e Event
	if err := e.Scan([]byte(deep(maxDepth))); err != nil || !e.Exact() {
		t.Errorf("nested %d deep: %v", maxDepth, err)
	}
	at := func(s string) int { return strings.Index(base, s) }
	for name, test := range map[string]struct {
		line   string
		offset int
	}{
		"empty":                  {"", 0},
		"blank":                  {" \r", 2},
		"null":                   {"null", 0},
		"array":                  {"[" + base + "]", 0},
		"byte order mark":        {"\xef\xbb\xbf" + base, 0},
		"text":                   {"I1120 15:34:57.024895   15487 flags.go:64] FLAG", 0},
		"hole":                   {strings.Repeat("\x00", 512) + base, 0},
		"empty object":           {"{}", 0},
		"object of no kind":      {`{"who":"admin","method":"POST","uri":"/api","auditID":"68a43c06"}`, 0},
		"event list":             {`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + base + `]}`, 0},
		"event of core":          {`{"kind":"Event","apiVersion":"v1","metadata":{"name":"x"},"verb":"x","stage":"y"}`, 0},
		"policy":                 {`{"kind":"Policy","apiVersion":"audit.k8s.io/v1","rules":[]}`, 0},
		"no member":              {`{"kind":"Event","apiVersion":"audit.k8s.io/v1"}`, 0},
		"cut in a string":        {base[:at("/api/v1/")+3], at("/api/v1/") + 3},
		"cut after a name":       {base[:at(`"objectRef":`)+12], at(`"objectRef":`) + 12},
		"cut before the end":     {base[:len(base)-1], len(base) - 1},
		"cut in a literal":       {`{"level":"a","stage":"b","x":tru`, 32},
		"cut in an escape":       {`{"level":"a","stage":"b\u00`, 23},
		"half line, next glued":  {base[:at(`"objectRef"`)] + base, at(`"objectRef"`) + 0},
		"NUL in a string":        {strings.Replace(base, "/api/v1", "/ap\x00/v1", 1), at("/api/v1") + 3},
		"NUL between":            {strings.Replace(base, `,"verb"`, "\x00\"verb\"", 1), at(`,"verb"`)},
		"bad escape":             {strings.Replace(base, `\u0026`, `\x0026`, 1), at(`\u0026`)},
		"bad unicode escape":     {strings.Replace(base, `\u0026`, `\u00g6`, 1), at(`\u0026`)},
		"no comma":               {strings.Replace(base, `,"verb"`, ` "verb"`, 1), at(`,"verb"`) + 1},
		"comma at the end":       {base[:len(base)-1] + ",}", len(base)},
		"no colon":               {strings.Replace(base, `"verb":`, `"verb" `, 1), at(`"verb":`) + 7},
		"no name":                {strings.Replace(base, `"verb":`, `4:`, 1), at(`"verb":`)},
		"bad number":             {strings.Replace(base, `:200`, `:0200`, 1), at(`:200`) + 1},
		"bad literal":            {strings.Replace(base, `:200`, `:nil0`, 1), at(`:200`) + 1},
		"no value":               {strings.Replace(base, `:200`, `:`, 1), at(`:200`) + 1},
		"wrong bracket":          {strings.Replace(base, `:200}`, `:200]`, 1), at(`:200}`) + 4},
		"bracket in a body":      {strings.Replace(base, `"requestReceived`, `"requestObject":[{"a":1]},"requestReceived`, 1), at(`"requestReceived`) + 23},
		"comma in a body":        {strings.Replace(base, `"requestReceived`, `"requestObject":[1,,2],"requestReceived`, 1), at(`"requestReceived`) + 19},
		"too deep":               {deep(maxDepth + 1), at(`"requestReceived`) + 16 + maxDepth},
		"legacy without time":    {strings.Replace(samples["legacy"], "2026", "twenty", 1), 0},
		"legacy without members": {"2026-11-20T15:34:44.696864233Z AUDIT: ", 38},
		"legacy cut":             {samples["legacy"][:150], strings.LastIndexByte(samples["legacy"][:150], '=') + 1},
		"legacy with words":      {samples["legacy"] + " and more", len(samples["legacy"]) + 1},
		"legacy bad escape":      {strings.Replace(samples["legacy"], `\"system:m`, `\qsystem:m`, 1), strings.Index(samples["legacy"], " groups=") + 8},
		"group without version":  {strings.Replace(base, `audit.k8s.io/v1`, `audit.k8s.io/`, 1), 0},
	} {
		t.Run(name, func(t *testing.T) {
			err := e.Scan([]byte(test.line))
			var scan *ScanError
			if !errors.As(err, &scan) {
				t.Fatalf("error %v, want a ScanError", err)
			}
			if scan.Offset != test.offset || scan.Trailing {
				t.Errorf("%v (trailing %v), want offset %d\n%.300q", err, scan.Trailing, test.offset, test.line[min(len(test.line), test.offset):])
			}
		})
	}
}

// TestNesting opens and closes brackets whose kinds do not repeat every 64 levels.
func TestNesting(t *testing.T) {
	body := strings.Repeat(`[[{"a":`, 100) + "1" + strings.Repeat(`},2],{"b":[]}]`, 100)
	line := strings.Replace(samples["metadata"], `"requestReceived`, `"requestObject":`+body+`,"requestReceived`, 1)
	var e Event
	if err := e.Scan([]byte(line)); err != nil || string(e.RequestObject) != body {
		t.Errorf("%v: %s", err, e.RequestObject)
	}
	wrong := strings.Replace(line, `},2],{"b":[]}]`, `},2],{"b":[]}}`, 1)
	if err := e.Scan([]byte(wrong)); err == nil {
		t.Errorf("scanned %s", wrong)
	}
}

// TestTrailing scans two events on one line.
func TestTrailing(t *testing.T) {
	first, second := samples["metadata"], samples["item"]
	for _, between := range []string{"", " ", "\x00\x00", ",", "}"} {
		var e Event
		err := e.Scan([]byte(first + between + second))
		var scan *ScanError
		if !errors.As(err, &scan) || !scan.Trailing || scan.Offset != len(first) {
			t.Fatalf("between %q: %v", between, err)
		}
		if string(e.Raw) != first || !e.Exact() {
			t.Errorf("between %q: the first event is %s", between, e.Raw)
		}
	}
}

// TestScanKeeps scans into an event that another line was in: nothing of that may
// stay, and what the reader sets must.
func TestScanKeeps(t *testing.T) {
	for from := range samples {
		for to, line := range samples {
			var used, fresh Event
			if err := used.Scan([]byte(samples[from])); err != nil {
				t.Fatal(err)
			}
			for _, e := range []*Event{&used, &fresh} {
				e.Text[Cluster], e.Text[Source], e.Offset, e.Seq = []byte("c"), []byte("s"), 7, 8
				if err := e.Scan([]byte(line)); err != nil {
					t.Fatal(err)
				}
			}
			if d := differ(&used, &fresh); d != "" || used.Offset != 7 || used.Seq != 8 || string(used.Text[Cluster]) != "c" {
				t.Errorf("%s after %s: %s differs", to, from, d)
			}
		}
	}
}

// TestManyUnknown scans a line of unknown members: the work must not grow with
// their square.
func TestManyUnknown(t *testing.T) {
	var b strings.Builder
	b.WriteString(samples["metadata"][:len(samples["metadata"])-1])
	for range 200_000 {
		b.WriteString(`,"unknown":"member"`)
	}
	b.WriteString("}")
	var e Event
	if err := e.Scan([]byte(b.String())); err != nil {
		t.Fatal(err)
	}
	if want := 200_000*len(`,"unknown":"member"`) + 1; len(e.Text[Other]) != want || !e.Exact() {
		t.Errorf("%d bytes of other members, want %d; exact %v", len(e.Text[Other]), want, e.Exact())
	}
}

// TestAllocations demands that scanning and writing allocate nothing once an event
// has been used. Only what a legacy line cannot hold as it is may cost something.
func TestAllocations(t *testing.T) {
	for name, line := range samples {
		if name == "legacy quoted" {
			continue
		}
		var e Event
		var buf []byte
		raw := []byte(line)
		n := testing.AllocsPerRun(100, func() {
			if e.Scan(raw) != nil || !e.Exact() {
				t.Fatal("not exact")
			}
			buf = e.AppendColumns(buf[:0])
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// FuzzScan scans anything. Where Scan succeeds encoding/json must too, with the same
// columns; where it fails the line must be malformed or no event.
func FuzzScan(f *testing.F) {
	for _, line := range samples {
		f.Add([]byte(line))
		f.Add([]byte(line + line))
	}
	f.Add([]byte(`{"stage":"\ud83d\ude00\u2028\ufffd\/","verb":"<\b\f\n\r\t&>","x":[{"a":-0.1e+5},[],{},[[]],true,false,null]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var e Event
		if err := e.Scan(line); err != nil {
			var scan *ScanError
			if !errors.As(err, &scan) || scan.Offset < 0 || scan.Offset > len(line) {
				t.Fatalf("%v of %d bytes", err, len(line))
			}
			notEvent := strings.Contains(scan.Reason, "an object") || !bytes.HasPrefix(bytes.TrimLeft(line, " \t\r\n"), []byte("{"))
			if !notEvent && json.Valid(line) {
				t.Fatalf("%v, but it is JSON", err)
			}
			if !scan.Trailing {
				return
			}
		} else if !bytes.Equal(e.Raw, line) {
			t.Fatalf("Raw is %q", e.Raw)
		}
		written := e.AppendColumns(nil)
		if bytes.Equal(written, e.Raw) != e.Exact() {
			t.Fatalf("Exact %v, wrote %q", e.Exact(), written)
		}
		if e.Form != FormLegacy {
			if !json.Valid(e.Raw) || !json.Valid(written) {
				t.Fatalf("no JSON; wrote %q", written)
			}
			j := judge(e.Raw, e.Form)
			j.check(t, &e)
		}
		checkAgain(t, &e)
	})
}

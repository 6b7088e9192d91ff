package klog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kubetrail/audit"
)

// found is one thing that a Decoder gave.
type found struct {
	id, raw, note string
	offset        int64
	lost          int64 // of a loss: how many events
	cause         string
}

// all reads a whole log.
func all(t rapid.TB, text string, cfg Config) []found {
	return rest(t, NewDecoder(strings.NewReader(text), cfg))
}

func rest(t rapid.TB, d *Decoder) []found {
	t.Helper()
	var got []found
	var e audit.Event
	for {
		err := d.Next(&e)
		if err == io.EOF {
			return got
		}
		got = append(got, one(t, &e, err))
	}
}

func one(t rapid.TB, e *audit.Event, err error) found {
	t.Helper()
	if loss, ok := errors.AsType[*Loss](err); ok {
		return found{offset: loss.Offset, lost: loss.Events, cause: loss.Cause}
	}
	if err != nil {
		t.Fatal(err)
	}
	if e.Form != audit.FormLegacy || string(e.Text[audit.Marks]) != Mark {
		t.Errorf("not legacy, or not marked: %s", e.Raw)
	}
	return found{id: string(e.Text[audit.AuditID]), raw: string(e.Raw), note: string(e.Text[audit.Annotations]), offset: e.Offset}
}

// events leaves out losses.
func events(all []found) []found {
	return slices.DeleteFunc(slices.Clone(all), func(f found) bool { return f.cause != "" })
}

const stamp = "1120 15:31:49.203222"

// line is an event as HandlePluginError writes it.
func line(id, agent string) string {
	return fmt.Sprintf(`2026-11-20T15:31:49.19777968Z AUDIT: id=%q stage="ResponseComplete" ip="127.0.0.1" method="patch" user="jai" groups="\"dev\",\"system:authenticated\"" as="<self>" asgroups="<lookup>" user-agent=%q namespace="default" uri="/api/v1/namespaces/default/configmaps/c1?fieldManager=x" response="200"`, id, agent)
}

// report is a message of HandlePluginError that says to name n events.
func report(plugin string, n int, cause string, lines ...string) string {
	return fmt.Sprintf("Error in audit plugin '%s' affecting %d audit events: %s\nImpacted events:\n", plugin, n, cause) + strings.Join(lines, "\n") + "\n"
}

// style is a way in which messages come to a file. It renders one message, which ends
// with a newline.
type style struct {
	name  string
	write func(t *rapid.T, message string) string
}

func klogText(message string) string { return "E" + stamp + "   11906 metrics.go:110] " + message }

func klogJSON(message string) string {
	text, _ := json.Marshal(strings.TrimSuffix(message, "\n"))
	text = []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(text)))
	return `{"ts":1795282431519.9863,"caller":"audit/metrics.go:110","msg":` + string(text) + "}\n"
}

// container writes text as containerd does, which cuts long lines.
func container(t *rapid.T, text string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		for rapid.IntRange(0, 3).Draw(t, "cut") == 0 && len(l) > 1 {
			n := rapid.IntRange(1, len(l)-1).Draw(t, "at")
			b.WriteString("2026-11-20T15:31:49.203222154Z stderr P " + l[:n] + "\n")
			l = l[n:]
			if rapid.Bool().Draw(t, "between") {
				b.WriteString("2026-11-20T15:31:49.203222154Z stdout F " + line("stdout", "") + "\n")
			}
		}
		b.WriteString("2026-11-20T15:31:49.203222154Z stderr F " + l + "\n")
	}
	return b.String()
}

func prefixed(text string, wrap func(line string) string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		b.WriteString(wrap(strings.TrimSuffix(l, "\n")) + "\n")
	}
	return b.String()
}

func styles() []style {
	return []style{
		{"text", func(_ *rapid.T, m string) string { return klogText(m) }},
		{"json", func(_ *rapid.T, m string) string { return klogJSON(m) }},
		{"cri", func(t *rapid.T, m string) string { return container(t, klogText(m)) }},
		{"cri json", func(t *rapid.T, m string) string { return container(t, klogJSON(m)) }},
		{"journal short", func(_ *rapid.T, m string) string {
			return prefixed(klogText(m), func(l string) string { return "Nov 20 15:31:49 cp-1 kube-apiserver[11906]: " + l })
		}},
		{"journal json", func(t *rapid.T, m string) string {
			return prefixed(klogText(m), func(l string) string {
				text, _ := json.Marshal(l)
				if rapid.Bool().Draw(t, "bytes") {
					list := make([]int, len(l))
					for i := range len(l) {
						list[i] = int(l[i])
					}
					text, _ = json.Marshal(list)
				}
				return `{"__REALTIME_TIMESTAMP":"1795282431519986","MESSAGE":` + string(text) + `,"_PID":"11906"}`
			})
		}},
		{"docker", func(_ *rapid.T, m string) string {
			return prefixed(klogText(m), func(l string) string {
				text, _ := json.Marshal(l + "\n")
				return `{"log":` + string(text) + `,"stream":"stderr","time":"2026-11-20T15:31:49.203222154Z"}`
			})
		}},
	}
}

// world is a log that was drawn, and what is in it.
type world struct {
	text string
	want []found // without offsets
}

func drawWorld(t *rapid.T, s style) world {
	var w world
	id := 0
	for range rapid.IntRange(0, 6).Draw(t, "messages") {
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			w.text += s.write(t, rapid.SampledFrom([]string{
				"Waiting for caches to sync\n",
				"panic: " + line("quoted", "x") + "\n", // not at the beginning of a line
				"Error in audit plugin 'log' affecting many audit events: x\n",
			}).Draw(t, "noise"))
		default:
			named := rapid.IntRange(0, 4).Draw(t, "named")
			missing := rapid.SampledFrom([]int{0, 0, 0, 3}).Draw(t, "missing")
			if named+missing == 0 {
				continue
			}
			plugin := rapid.SampledFrom([]string{"log", "webhook", "buffered"}).Draw(t, "plugin")
			cause := rapid.SampledFrom([]string{"json: \"x\" \\n y", "first\nImpacted things:\n" + line("forged", "x"), ""}).Draw(t, "cause")
			note, _ := json.Marshal(map[string]string{Annotation: plugin + ": " + cause})
			var lines []string
			for range named {
				id++
				agent := rapid.SampledFrom([]string{"kubectl", "a\"b\\", "<x> \u4e2d", strings.Repeat("long ", 40)}).Draw(t, "agent")
				lines = append(lines, line(fmt.Sprint(id), agent))
				w.want = append(w.want, found{id: fmt.Sprint(id), raw: lines[len(lines)-1], note: string(note)})
			}
			message := report(plugin, named+missing, cause, lines...)
			if named == 0 {
				message = strings.TrimSuffix(message, "\n")
			}
			w.text += s.write(t, message)
			if missing > 0 {
				w.want = append(w.want, found{lost: int64(missing), cause: CauseError})
			}
		}
	}
	return w
}

func withoutOffsets(all []found) []found {
	all = slices.Clone(all)
	for i := range all {
		all[i].offset = 0
	}
	return all
}

// TestFinds checks that every event of every message is found, once and in order, none is
// made up, and what a message does not name is told of.
func TestFinds(t *testing.T) {
	for _, s := range styles() {
		t.Run(s.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := drawWorld(t, s)
				if got := withoutOffsets(all(t, w.text, Config{})); !slices.Equal(got, w.want) {
					t.Fatalf("of\n%s\ngot  %+v\nwant %+v", w.text, got, w.want)
				}
			})
		})
	}
}

// TestRestarts checks that reading can be left after any event and taken up by another
// Decoder at its Offset, and that a log may grow byte by byte meanwhile.
func TestRestarts(t *testing.T) {
	for _, s := range styles() {
		t.Run(s.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := drawWorld(t, s)
				want := events(all(t, w.text, Config{}))
				in := &growing{text: w.text}
				cfg := Config{ReaderConfig: audit.ReaderConfig{Growing: true}}
				d := NewDecoder(in, cfg)
				var got []found
				var e audit.Event
				for {
					err := d.Next(&e)
					if err == io.EOF {
						if in.size == len(w.text) {
							break
						}
						in.size += rapid.IntRange(1, min(700, len(w.text)-in.size)).Draw(t, "grow")
					} else if f := one(t, &e, err); f.cause == "" {
						got = append(got, f)
					}
					if rapid.IntRange(0, 2).Draw(t, "restart") == 0 {
						cfg.StartOffset, cfg.StartLine = d.Offset(), d.Line()
						if n := strings.Count(w.text[:cfg.StartOffset], "\n"); int64(n) != cfg.StartLine {
							t.Fatalf("line %d at offset %d, not %d", cfg.StartLine, cfg.StartOffset, n)
						}
						in.at = int(cfg.StartOffset)
						d = NewDecoder(in, cfg)
					}
				}
				for i := range got {
					if i < len(want) && got[i].note != want[i].note && strings.Contains(got[i].note, "unknown") {
						got[i].note = want[i].note
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("of\n%s\ngot  %+v\nwant %+v", w.text, got, want)
				}
			})
		})
	}
}

// growing is a text of which the first size bytes can be read.
type growing struct {
	text     string
	at, size int
}

func (g *growing) Read(b []byte) (int, error) {
	if g.at >= g.size {
		return 0, io.EOF
	}
	n := copy(b, g.text[g.at:g.size])
	g.at += n
	return n, nil
}

func TestObject(t *testing.T) {
	for _, c := range []struct{ method, uri, want string }{
		{"patch", "/api/v1/namespaces/default/configmaps/c1?fieldManager=x", "|v1|configmaps||c1"},
		{"create", "/apis/apps/v1/namespaces/default/deployments", "apps|v1|deployments||"},
		{"list", "/api/v1/secrets?limit=500", "|v1|secrets||"},
		{"watch", "/api/v1/pods?watch=1&fieldSelector=metadata.name%3Dp", "|v1|pods||p"},
		{"update", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x", "coordination.k8s.io|v1|leases||x"},
		{"get", "/api/v1/namespaces/a/pods/p/log", "|v1|pods|log|p"},
		{"deletecollection", "/api/v1/namespaces/a/pods", "|v1|pods||"},
		{"get", "/healthz", "||||"},
		{"get", "no path", "||||"},
		{"", "/api/v1/pods", "|v1|pods||"},
	} {
		l := strings.Replace(line("1", ""), `method="patch"`, `method="`+c.method+`"`, 1)
		l = strings.Replace(l, "/api/v1/namespaces/default/configmaps/c1?fieldManager=x", c.uri, 1)
		var e audit.Event
		d := NewDecoder(strings.NewReader(klogText(report("log", 1, "x", l))), Config{})
		if err := d.Next(&e); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, column := range []audit.Column{audit.APIGroup, audit.APIVersion, audit.Resource, audit.Subresource, audit.Name} {
			got = append(got, string(e.Text[column]))
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%s %s: got %s, want %s", c.method, c.uri, s, c.want)
		}
		if string(e.AppendLine(nil)) != l || string(e.AppendColumns(nil)) != l {
			t.Errorf("%s %s: the line is another one now", c.method, c.uri)
		}
	}
}

// TestRestartOfServer checks that another process in the same log is noticed, unless the
// one before it had ended in good order.
func TestRestartOfServer(t *testing.T) {
	now := time.Date(2027, 1, 1, 0, 10, 0, 0, time.UTC).UnixMicro()
	first := "I1231 23:59:58.000000       1 server.go:150] Version: v1.36.3\nI1231 23:59:59.000000       1 x.go:1] last\n"
	clean := "I1231 23:59:59.500000       1 genericapiserver.go:737] \"[graceful-termination] audit backend shutdown completed\"\n"
	other := "I0101 00:00:09.000000       7 flags.go:64] FLAG: --v=\"2\"\nI0101 00:00:10.000000       7 server.go:150] Version: v1.36.3\n"
	scheduler := "I0101 00:00:09.000000       9 flags.go:64] FLAG: --v=\"2\"\n"
	for _, c := range []struct {
		name, text string
		now        int64
		want       []int64
	}{
		{"killed", first + other, now, []int64{
			time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC).UnixMicro(), time.Date(2027, 1, 1, 0, 0, 9, 0, time.UTC).UnixMicro()}},
		{"killed, no clock", first + other, 0, []int64{audit.NoTime, audit.NoTime}},
		{"ended", first + clean + other, now, nil},
		{"the first", first, now, nil},
		{"another program", first + scheduler + "I0101 00:00:10.000000       1 x.go:1] more\n", now, nil},
	} {
		var got []int64
		var e audit.Event
		for d := NewDecoder(strings.NewReader(c.text), Config{Now: c.now}); ; {
			err := d.Next(&e)
			if err == io.EOF {
				break
			}
			loss, ok := errors.AsType[*Loss](err)
			if !ok || loss.Cause != CauseRestart || loss.Events != 0 {
				t.Fatalf("%s: %v", c.name, err)
			}
			got = append(got, loss.From, loss.To)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// TestLegacyLogIsNotLost checks that events which a container wrote to stdout, the audit
// log itself, are none that were lost, and neither is what comes between messages.
func TestLegacyLogIsNotLost(t *testing.T) {
	const at = "2026-11-20T15:31:49.203222154Z "
	for _, text := range []string{
		at + "stdout F " + line("1", "x") + "\n",
		"I" + stamp + "       1 x.go:1] hello\n" + line("1", "x") + "\n",
		klogText(report("log", 1, "x", line("2", "x"))) + line("1", "x") + "\n",
	} {
		for _, f := range all(t, text, Config{}) {
			if f.id == "1" {
				t.Errorf("found in\n%s", text)
			}
		}
	}
}

// TestLongLines checks that a line beyond the bound costs nothing that comes after it.
func TestLongLines(t *testing.T) {
	long := klogText(report("log", 2, "x", line("1", strings.Repeat("x", 5000)), line("2", "y")))
	got := all(t, long+klogText(report("log", 1, "x", line("3", "z"))), Config{ReaderConfig: audit.ReaderConfig{MaxLine: 1000}})
	var ids []string
	for _, f := range got {
		ids = append(ids, f.id+f.cause)
	}
	if want := []string{"2", CauseError, "3"}; !slices.Equal(ids, want) {
		t.Errorf("got %q, want %q", ids, want)
	}
}

func TestLooks(t *testing.T) {
	event := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata"}` + "\n"
	many := report("webhook", 300, "x", slices.Repeat([]string{line("1", "x")}, 300)...)
	for text, want := range map[string]Likeness{
		klogText("hello\n"): Similar,
		klogJSON("hello\n"): Similar,
		"2026-11-20T15:31:49.203222154Z stderr F " + klogText("hello\n"): Similar,
		klogText(many):                  Certain,
		klogJSON(many):                  Certain,
		many:                            Unlike,
		line("1", "x") + "\n":           Unlike,
		event:                           Unlike,
		event + klogText(many):          Unlike,
		"":                              Unlike,
		"some text\nin several lines\n": Unlike,
	} {
		if got := Looks([]byte(text)); got != want {
			t.Errorf("%d, want %d: %.200q", got, want, text)
		}
	}
}

// FuzzDecoder checks that whatever comes, a Decoder neither fails nor gives what is not
// there, and can be left and taken up anywhere.
func FuzzDecoder(f *testing.F) {
	message := report("log", 2, "x", line("1", "x"), line("2", "\"y\""))
	f.Add([]byte(klogText(message)), uint16(1))
	f.Add([]byte(klogJSON(message)+klogText("hello\n")), uint16(1))
	f.Add([]byte("2026-11-20T15:31:49.2Z stderr P "+klogText("")+"\n2026-11-20T15:31:49.2Z stderr F "+message), uint16(0))
	f.Add([]byte(`{"log":"E1120 15:31:49.203222 1 a.go:1] Error in audit plugin 'log' affecting 1 audit events: \n","stream":"stderr"}`+"\n"), uint16(0))
	f.Add([]byte(`{"__REALTIME_TIMESTAMP":"1","MESSAGE":[69,49]}`+"\nNov 20 15:31:49 cp-1 k3s[1]: "+message), uint16(2))
	f.Fuzz(func(t *testing.T, text []byte, stop uint16) {
		cfg := Config{ReaderConfig: audit.ReaderConfig{MaxLine: 4096}, Now: 1}
		want := all(t, string(text), cfg)
		d := NewDecoder(strings.NewReader(string(text)), cfg)
		var e audit.Event
		for i := 0; i < int(stop)%(len(want)+1); i++ {
			d.Next(&e)
		}
		at := d.Offset()
		if at < 0 || at > int64(len(text)) || int64(strings.Count(string(text[:at]), "\n")) != d.Line() {
			t.Fatalf("at %d, line %d", at, d.Line())
		}
		cfg.StartOffset, cfg.StartLine = at, d.Line()
		all(t, string(text[at:]), cfg)
		Looks(text)
	})
}

// TestCutAtAnEvent cuts a container's log after each byte of a message, and reads on
// after each event with another Decoder.
func TestCutAtAnEvent(t *testing.T) {
	message := strings.TrimSuffix(klogJSON(report("log", 3, "x", line("1", "a"), line("2", "b"), line("3", "c"))), "\n")
	for cut := 1; cut < len(message); cut++ {
		const carried = "2026-11-20T15:31:49.203222154Z stderr "
		text := carried + "P " + message[:cut] + "\n" + carried + "F " + message[cut:] + "\n"
		cfg := Config{}
		var ids []string
		for range 4 {
			d := NewDecoder(strings.NewReader(text[cfg.StartOffset:]), cfg)
			var e audit.Event
			if err := d.Next(&e); err != nil {
				break
			}
			ids = append(ids, string(e.Text[audit.AuditID]))
			cfg.StartOffset, cfg.StartLine = d.Offset(), d.Line()
		}
		if strings.Join(ids, " ") != "1 2 3" {
			t.Errorf("cut at %d, behind %q: %q", cut, message[max(0, cut-10):cut], ids)
		}
	}
}

package kubectl

import (
	"bytes"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/output"
)

// run has a shell run a line in which kubectl prints its arguments, and what it reads.
func run(t interface {
	Helper()
	Fatalf(string, ...any)
}, line string) (args []string, stdin string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `kubectl() { printf '%s\0' "$#" "$@"; cat; }`+"\n"+line)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v:\n%s", err, line)
	}
	count, rest, _ := strings.Cut(string(out), "\x00")
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatalf("%v:\n%s", err, line)
	}
	parts := strings.SplitN(rest, "\x00", n+1)
	return parts[:n], parts[n]
}

// TestQuote has a shell read what was written for it.
func TestQuote(t *testing.T) {
	hostile := rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`[-a-z'"$\\(){};&|<>!#*?~= `+"`"+`\n\t\r]{1,12}`),
		rapid.SampledFrom([]string{"", "E\x80", "EO\u00e9", "'", "--a=$(id)", "-n", "=ls", "EOF", "\n", "\x1b[2J", "\u202egnp.exe", "a\xffb", "$(reboot)", "`id`", "~", "*", "a\n'\n", "\\", "\r\n", "--", "{a,b}", "é\u0301", "\\033", "%s%n"}),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(hostile, 1, 20).Draw(t, "words")
		for i, w := range words {
			words[i] = strings.ReplaceAll(w, "\x00", "") // no argument holds one
		}
		c := newCommand(append(words, "end")...)
		body := hostile.Draw(t, "body")
		if body = strings.ReplaceAll(body, "\x00", ""); rapid.Bool().Draw(t, "reads") {
			c.stdin = []byte(body)
		}
		args, stdin := run(t, c.line())
		if want := append(words, "end"); !slices.Equal(args, want) {
			t.Fatalf("%q came to kubectl as %q:\n%s", want, args, c.line())
		}
		if c.stdin != nil && stdin != strings.TrimSuffix(body, "\n")+"\n" {
			t.Fatalf("%q was read as %q", body, stdin)
		}
		if c.stdin == nil && output.Plain(c.line(), true) != c.line() {
			t.Fatalf("not as it is shown: %q", c.line())
		}
	})
}

// FuzzCommand lets anything be in the event: a shell must read one command, kubectl,
// with nothing that it would run or expand itself.
func FuzzCommand(f *testing.F) {
	f.Add("create", "/api/v1/namespaces/shop/configmaps?fieldManager=$(id)", `{"kind":"ConfigMap","apiVersion":"v1","data":{"a":"\nEOF\n"}}`, "Request", "jai'; reboot")
	f.Add("patch", "/api/v1/namespaces/$(id)/configmaps/a?force=true", `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}`, "Request", "")
	f.Add("patch", "/api/v1/namespaces/shop/configmaps/a", `{"a":"\ud83d\ude00 \ud83d \u202e \u001b 'x'"}`, "Request", "")
	f.Add("get", "/api/v1/namespaces/shop/pods/a/exec?command=%1b&command=a%00b&container=c&stdout=1&stderr=1", "", "Metadata", "\x1b")
	f.Add("delete", "/api/v1/namespaces/shop/pods/-f?gracePeriodSeconds=-1", `{"propagationPolicy":"'"}`, "Request", "")
	f.Add("create", "/api/v1/namespaces/shop/serviceaccounts/-x/token", `{"spec":{"audiences":["`+"`id`"+`"]}}`, "Request", "a\nb")
	f.Fuzz(func(t *testing.T, verb, uri, body, level, as string) {
		e := new(audit.Event)
		e.Text[audit.Verb], e.Text[audit.RequestURI], e.Text[audit.Level] = []byte(verb), []byte(uri), []byte(level)
		e.Text[audit.ImpersonatedUsername], e.RequestObject, e.Code = []byte(as), []byte(body), 200
		line, note := Command(e, len(body)%2 == 0)
		if output.Plain(note, false) != note {
			t.Errorf("note %q", note)
		}
		if line == "" {
			if note == "" {
				t.Error("neither a line nor a reason")
			}
			return
		}
		if output.Plain(line, true) != line {
			t.Errorf("line %q", line)
		}
		words, rest := shellWords(t, line)
		if len(words) > 0 && strings.HasPrefix(words[0], "KUBECTL_") {
			words = words[1:]
		}
		if len(words) < 2 || words[0] != "kubectl" {
			t.Errorf("%q is no command of kubectl: %q", line, words)
		}
		end, text, _ := strings.Cut(rest, "\n")
		if rest != "" && strings.Count("\n"+text+"\n", "\n"+strings.Trim(end, "<' ")+"\n") != 1 {
			t.Errorf("the here-document ends elsewhere: %q", rest)
		}
	})
}

// shellWords reads the words of a line as a shell does, and what follows them.
func shellWords(t *testing.T, line string) (words []string, rest string) {
	var word bytes.Buffer
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\'':
			n := strings.IndexByte(line[i+1:], '\'')
			if n < 0 {
				t.Fatalf("no end of a quote in %q", line)
			}
			word.WriteString(line[i+1 : i+1+n])
			i += n + 1
		case strings.HasPrefix(line[i:], `\'`):
			word.WriteByte('\'')
			i++
		case strings.HasPrefix(line[i:], `"$(printf '`):
			n := strings.Index(line[i:], `')"`)
			if n < 0 || strings.Trim(line[i+len(`"$(printf '`):i+n], `\01234567`) != "" {
				t.Fatalf("no printf of octal numbers in %q", line[i:])
			}
			word.WriteByte('?')
			i += n + 2
		case strings.HasPrefix(line[i:], " <<'EOF"):
			return append(words, word.String()), line[i:]
		case c == ' ':
			words = append(words, word.String())
			word.Reset()
		case c >= 0x80 || special(rune(c)):
			t.Fatalf("%q stands unquoted in %q", c, line)
		default:
			word.WriteByte(c)
		}
	}
	return append(words, word.String()), ""
}

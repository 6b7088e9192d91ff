package main

import (
	"bufio"
	"io"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestParagraph checks that setting a text loses nothing of it, keeps quoted values
// whole, and keeps lines short where a break is possible.
func TestParagraph(t *testing.T) {
	pieces := []string{"rules[0]", "asks", "for", `"a b\" c"`, `"王 芳"`, "，而不是", "（第", "9", "行）", "核心组", "要求", "and", "\"" + strings.Repeat("x", 90) + "\""}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 40).Draw(t, "pieces"), " ")
		text = strings.ReplaceAll(text, " ，", "，") // as no text has it
		var b strings.Builder
		paragraph(&b, text, "  ")
		set := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		spaceless := strings.NewReplacer(" ", "", "\n", "")
		if spaceless.Replace(b.String()) != spaceless.Replace(text) {
			t.Fatalf("%q became %q", text, b.String())
		}
		for i, line := range set {
			if width(line) > paragraphColumns && len(unbroken(strings.TrimSpace(line))) > 1 {
				t.Fatalf("line %d has %d columns: %q", i, width(line), line)
			}
			if strings.Count(strings.ReplaceAll(line, `\"`, ""), `"`)%2 != 0 {
				t.Fatalf("a value is broken: %q", set)
			}
			if trimmed := strings.TrimLeft(line, " "); i > 0 && strings.HasPrefix(trimmed, "，") || strings.HasSuffix(line, "（") {
				t.Fatalf("a mark stands alone: %q", set)
			}
		}
	})
}

// TestWholeLine checks that a line too long is passed over and the next one found.
func TestWholeLine(t *testing.T) {
	r := bufio.NewReaderSize(strings.NewReader("short\n"+strings.Repeat("x", 40)+"\n\nlast"), 16)
	for _, want := range []struct {
		line string
		err  error
	}{{"short", nil}, {"", errLongLine}, {"", nil}, {"last", io.EOF}, {"", io.EOF}} {
		line, err := wholeLine(r)
		if string(line) != want.line || err != want.err {
			t.Errorf("%q, %v; want %q, %v", line, err, want.line, want.err)
		}
	}
}

// TestRequestsAreAnsweredAtOnce checks that a program may ask one request after the
// other through a pipe.
func TestRequestsAreAnsweredAtOnce(t *testing.T) {
	policy := t.TempDir() + "/policy.yaml"
	text := "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	in, ask := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan int)
	go func() {
		a := &app{in: in, out: out, err: io.Discard, env: func(string) string { return "" }}
		done <- a.run(t.Context(), []string{"kubetrail", "policy", "explain", "-p", policy, "--requests", "-"})
		out.Close()
	}()
	r := bufio.NewReader(answers)
	for range 3 {
		if _, err := io.WriteString(ask, `{"method":"GET","uri":"/version"}`+"\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := r.ReadString('\n'); err != nil || !strings.HasSuffix(line, `"rule":0}`+"\n") {
			t.Fatalf("%q, %v", line, err)
		}
	}
	ask.Close()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
)

// TestServerHints: whoever cannot talk to a server is told what to do about it, in words
// of the command line.
func TestServerHints(t *testing.T) {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"reason":"Unauthorized","message":"no valid credentials","hint":"send the header Authorization"}`)
	})
	plain, secure, gone := httptest.NewServer(refuse), httptest.NewTLSServer(refuse), httptest.NewServer(refuse)
	defer plain.Close()
	defer secure.Close()
	gone.Close()
	none := filepath.Join(t.TempDir(), "none")
	host := strings.TrimPrefix(secure.URL, "https://")
	for _, c := range []struct {
		args string
		code int
		hint string
	}{
		{"--server " + gone.URL, exitError, "is kubetrail serve running there?"},
		{"--server " + plain.URL, exitError, "--token-file"},
		{"--server " + secure.URL, exitError, "--ca-file FILE names the CA"},
		{"--server http://" + host, exitError, "write https://"},
		{"--server https://" + strings.TrimPrefix(plain.URL, "http://"), exitError, "write http://"},
		{"--server " + plain.URL + " --token-file " + none, exitError, "check --token-file"},
		{"--server " + host, exitUsage, "for example --server"},
	} {
		for _, verb := range []string{"search", "gaps", "servers", "tail", "agent --check --cluster c --source x"} {
			var errs bytes.Buffer
			a := &app{out: io.Discard, err: &errs, env: func(string) string { return "" }, now: time.Now}
			code := a.run(t.Context(), append([]string{"kubetrail"}, strings.Fields(verb+" "+c.args)...))
			_, hint, _ := strings.Cut(errs.String(), "\nhint: ")
			if strings.HasPrefix(verb, "agent") && c.code == exitUsage {
				c.hint = "kubetrail agent --help"
			}
			if code != c.code || !strings.Contains(hint, c.hint) {
				t.Errorf("%s %s: exit code %d, %s", verb, c.args, code, errs.String())
			}
		}
	}
}

// TestHelpFits checks that what --help prints of all verbs fits 80 columns.
func TestHelpFits(t *testing.T) {
	a := &app{out: io.Discard, err: io.Discard, env: func(string) string { return "" }, now: time.Now}
	for all := []*cobra.Command{a.root("kubetrail")}; len(all) > 0; all = all[1:] {
		all = append(all, all[0].Commands()...)
		for line := range strings.Lines(all[0].Long + "\n" + all[0].UsageString()) {
			line = strings.TrimSuffix(line, "\n")
			if output.Width(line) > 80 && line != "  "+all[0].UseLine() {
				t.Errorf("%s: %s", all[0].CommandPath(), line)
			}
		}
	}
}

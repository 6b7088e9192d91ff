package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

// TestPolicyVerbsEndOnCtrlC checks that verbs end which wait for standard input.
func TestPolicyVerbsEndOnCtrlC(t *testing.T) {
	for _, words := range []string{
		"check -", "convert -", "lint -", "explain -p - GET /api", "simulate -p -", "diff - /dev/null",
	} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			in, silent := io.Pipe()
			defer silent.Close()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var says bytes.Buffer
			a := &app{in: in, out: io.Discard, err: &says, env: func(string) string { return "" }, now: time.Now}
			code := a.run(ctx, append([]string{"kubetrail", "policy"}, strings.Fields(words)...))
			if code != exitInterrupted || !strings.HasSuffix(says.String(), ": interrupted\n") {
				t.Errorf("exit code %d, %q", code, &says)
			}
		})
	}
}

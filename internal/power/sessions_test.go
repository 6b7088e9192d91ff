package power

import (
	"context"
	"strings"
	"testing"

	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

func sessionsOf(t *testing.T, r trail.Reader, q trail.Query, cfg SessionsConfig) (output.Report, []Session) {
	t.Helper()
	report, err := Sessions(context.Background(), r, q, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report, items[Session](t, report)
}

func TestSessionsOfStory(t *testing.T) {
	for _, c := range []string{"a-gce-derived", "d-metadata-all"} {
		t.Run(c, func(t *testing.T) {
			r, p := corpus(t, c)
			report, rows := sessionsOf(t, r, when(t, "", "", ""), SessionsConfig{Policy: p})
			var got []string
			for _, x := range rows {
				got = append(got, x.User+" "+x.Kind+" "+x.Outcome+" "+x.line(false))
				if !x.Ended || x.Outcome == "connected" && x.Seconds <= 0 {
					t.Errorf("%s: ended %v, lasted %v s", got[len(got)-1], x.Ended, x.Seconds)
				}
			}
			want := []string{"mallory exec connected echo pwned", "jai exec connected echo hello-exec", "jai logs -f connected -", "veeru exec refused id",
				"jai attach connected -", "jai port-forward connected -", "jai cp connected out of it: /etc/hostname", "jai debug refused -",
				"jai exec failed id", "kubernetes-admin proxy failed /healthz", "kubernetes-admin proxy refused /"}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("sessions:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if v := rows[3]; v.Attempts != 2 || v.Refusal != "rbac" {
				t.Errorf("kubectl tries a refused exec a second time: %+v", v)
			}
			wants(t, told(t, report, false), "The policy records every such request by anybody.", "Refused: 3.")
			wants(t, told(t, report, true), "从容器取出 /etc/hostname", "被拒绝")
		})
	}
}

const pod = `"resource":"pods","namespace":"shop","name":"web","apiVersion":"v1","subresource":"exec"`

func TestSessionsArePaired(t *testing.T) {
	exec := "/api/v1/namespaces/shop/pods/web/exec?command=sh&container=app&stdin=true&tty=true"
	debug := `"resource":"pods","namespace":"shop","name":"web","apiVersion":"v1","subresource":"`
	// The same audit ID for everything: two sessions of alice that overlap, one of bob,
	// one that has no end, and one that ended after the time asked about.
	log := line("x", "ResponseStarted", "alice", "get", exec, pod, 101, "10:00:00.000000", "10:00:00.500000", "") +
		line("x", "ResponseStarted", "alice", "get", exec, pod, 101, "10:00:01.000000", "10:00:01.500000", "") +
		line("x", "ResponseStarted", "bob", "get", exec, pod, 101, "10:00:01.000000", "10:00:01.700000", "") +
		line("x", "ResponseComplete", "alice", "get", exec, pod, 101, "10:00:01.000000", "10:00:03.500000", "") +
		line("x", "ResponseComplete", "alice", "get", exec, pod, 101, "10:00:00.000000", "10:00:10.500000", "") +
		line("x", "ResponseStarted", "carol", "get", exec, pod, 101, "10:00:02.000000", "10:00:02.500000", "") +
		line("d", "ResponseComplete", "dave", "patch", "/api/v1/namespaces/shop/pods/web/ephemeralcontainers", debug+`ephemeralcontainers"`, 200, "10:00:04.000000", "10:00:04.100000",
			`,"requestObject":{"spec":{"ephemeralContainers":[{"name":"debugger-abc","image":"busybox","command":["sh","-c","id; env"]}]}}`) +
		line("d", "ResponseStarted", "dave", "get", "/api/v1/namespaces/shop/pods/web/attach?container=debugger-abc&stdin=true&tty=true", debug+`attach"`, 101, "10:00:05.000000", "10:00:05.100000", "") +
		line("d", "ResponseComplete", "dave", "get", "/api/v1/namespaces/shop/pods/web/attach?container=debugger-abc&stdin=true&tty=true", debug+`attach"`, 101, "10:00:05.000000", "10:01:05.100000", "") +
		line("e", "ResponseComplete", "eve", "get", "/api/v1/namespaces/shop/pods/web/log?follow=false", debug+`log"`, 200, "10:00:05.000000", "10:00:05.100000", "") +
		line("f", "ResponseComplete", "eve", "create", "/api/v1/namespaces/shop/pods/web/exec?command=tar&command=-xmf&command=-&command=-C&command=%2Ftmp%1b%5d", pod, 101, "10:00:06.000000", "10:00:06.100000", "") +
		line("g", "ResponseComplete", "late", "get", exec, pod, 101, "11:00:06.000000", "11:00:06.100000", "")
	report, rows := sessionsOf(t, logOf([]byte(log)), when(t, "2026-01-01T09:00:00Z", "2026-01-01T10:00:10Z", ""), SessionsConfig{})
	want := []struct {
		user, kind string
		seconds    float64
		ended      bool
		events     int
	}{{"alice", "exec", 10, true, 2}, {"alice", "exec", 2, true, 2}, {"bob", "exec", 0, false, 1}, {"carol", "exec", 0, false, 1},
		{"dave", "debug", 60, true, 3}, {"eve", "cp", 0.1, true, 1}}
	if len(rows) != len(want) {
		t.Fatalf("%d sessions, want %d: %+v", len(rows), len(want), rows)
	}
	for i, w := range want {
		x := rows[i]
		if x.User != w.user || x.Kind != w.kind || x.Seconds != w.seconds || x.Ended != w.ended || len(x.Events) != w.events {
			t.Errorf("session %d is %s %s, %v s, ended %v, %d events; want %+v", i, x.User, x.Kind, x.Seconds, x.Ended, len(x.Events), w)
		}
	}
	if d := rows[4]; d.Container != "debugger-abc" || d.Image != "busybox" || shellWords(d.Command) != "sh -c 'id; env'" || !d.TTY || !d.Connected {
		t.Errorf("debug session %+v", d)
	}
	if cp := rows[5]; cp.Copied != "toContainer" {
		t.Errorf("cp session %+v", cp)
	}
	text := told(t, report, false)
	wants(t, text, "Without a recorded end: 2.", "sh (tty)")
	if strings.ContainsRune(text, 0x1b) {
		t.Error("a path out of the URI reaches the terminal as it is")
	}
	// The patch that makes a debug container is one of the six, as its attach may be any other.
	report, rows = sessionsOf(t, logOf([]byte(log)), when(t, "", "", ""), SessionsConfig{Limit: 2})
	if len(rows) > 2 || report.Head["more"] != 6 {
		t.Errorf("%d sessions listed, %v more", len(rows), report.Head["more"])
	}
}

func TestNoSession(t *testing.T) {
	log := line("1", "ResponseComplete", "a", "get", "/api/v1/namespaces/shop/pods/web/log", `"resource":"pods","namespace":"shop","name":"web","apiVersion":"v1","subresource":"log"`, 200, "10:00:00.000000", "10:00:00.100000", "")
	p := policyOf(t, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: None, userGroups: [ops], resources: [{resources: [pods/exec]}]}\n- {level: Metadata}\n"))
	report, _ := sessionsOf(t, logOf([]byte(log)), when(t, "", "", ""), SessionsConfig{Policy: p})
	wants(t, told(t, report, false), "that does not mean there was none", "Cannot know: rules[0] (line 4) records None of get, create by group ops.")
}

package power

import (
	"bufio"
	"bytes"
	"context"
	"strings"
	"testing"

	"kubetrail/internal/output"
	"kubetrail/internal/schema"
	"kubetrail/internal/trail"
)

// FuzzStories asks all four questions of any log: nothing panics, and nothing out of the
// log acts on the terminal.
func FuzzStories(f *testing.F) {
	exec := line("x", "ResponseStarted", "a", "get", "/api/v1/namespaces/kube-system/pods/web/exec?command=sh%1b[2J&container=%1b&tty=true", pod, 101, "10:00:00.000000", "10:00:00.500000", "")
	f.Add([]byte(exec))
	f.Add([]byte(line("1", "ResponseComplete", "a\x1b", "create", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", `"resource":"clusterrolebindings","apiGroup":"rbac.authorization.k8s.io","name":"x"`, 201,
		"10:00:00.000000", "10:00:00.100000", `,"requestObject":{"kind":"ClusterRoleBinding","roleRef":{"kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"User","name":"m"}]}`) +
		line("2", "ResponseComplete", "m", "list", "/api/v1/secrets?continue=x", `"resource":"secrets"`, 200, "10:00:01.000000", "10:00:01.100000",
			`,"annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"RBAC: allowed by ClusterRoleBinding \"x\" of ClusterRole \"cluster-admin\" to User \"m\""}`)))
	f.Add([]byte(line("3", "ResponseComplete", "m", "list", "/api/v1/secrets", `"resource":"secrets","name":"\u001b[31m"`, 403, "10:00:01.000000", "10:00:01.100000",
		`,"annotations":{"authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":""}`)))
	f.Add([]byte(line("4", "ResponseComplete", "m", "patch", "/api/v1/namespaces/x/pods/p/ephemeralcontainers", `"resource":"pods","namespace":"x","name":"p","subresource":"ephemeralcontainers"`, 200,
		"10:00:01.000000", "10:00:01.100000", `,"requestObject":{"spec":{"ephemeralContainers":[{"name":"\u001b","command":["\u202e"]}]}},"impersonatedUser":{"username":"\u0007"}`)))
	f.Fuzz(func(t *testing.T, log []byte) {
		r, q := logOf(log), trail.Always(nil)
		for _, ask := range []func() (output.Report, error){
			func() (output.Report, error) { return Sessions(context.Background(), r, q, SessionsConfig{}) },
			func() (output.Report, error) {
				return Access(context.Background(), r, q, AccessConfig{Target: schema.ParseTarget("secrets")})
			},
			func() (output.Report, error) { return Denied(context.Background(), r, q, DeniedConfig{}) },
			func() (output.Report, error) {
				return Denied(context.Background(), r, q, DeniedConfig{Grant: true, By: "resource"})
			},
			func() (output.Report, error) {
				return Grants(context.Background(), r, q, GrantsConfig{All: true})
			},
		} {
			report, err := ask()
			if err != nil {
				t.Fatal(err)
			}
			for _, format := range []string{"table", "wide", "jsonl"} {
				for _, chinese := range []bool{false, true} {
					var b bytes.Buffer
					if err := report.Print(&output.Page{W: bufio.NewWriter(&b), Chinese: chinese, Headers: true, Fit: 80}, format); err != nil {
						t.Fatal(err)
					}
					if format != "jsonl" && strings.ContainsFunc(b.String(), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == 0x202e }) {
						t.Fatalf("%s: %q", report.Kind, b.String())
					}
				}
			}
		}
	})
}

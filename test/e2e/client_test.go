package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"kubetrail/test/e2e/plane"
)

// asked is a request that a kube-apiserver answered.
type asked struct {
	server     string // that was asked
	id         string // that the answer's Audit-Id names
	method     string
	uri        string
	status     int
	unsure     bool // whether the policy records it
	begun, end time.Time
}

// none tells what the policy may record nothing of, whoever asks.
func (a asked) none() bool {
	if a.unsure {
		return true
	}
	path, _, _ := strings.Cut(a.uri, "?")
	return strings.HasPrefix(path, "/healthz") || path == "/version" || strings.HasPrefix(path, "/swagger") ||
		strings.HasPrefix(path, "/api/v1/") && strings.Contains(path+"/", "/events/")
}

// ledger holds every answered request.
type ledger struct {
	mu      sync.Mutex
	answers []asked
	failed  int // requests without an answer
}

func (l *ledger) add(a asked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, a)
}

// people are who send requests: a certificate each, with its groups.
func people() map[string][]string {
	return map[string][]string{
		"alice": {"dev-team"}, "bob": {"ops-team"}, "mallory": {"interns"}, "王芳": {"平台组"}, "load": {"system:masters"},
	}
}

// clients send requests to the API servers and keep what became of them.
type clients struct {
	ledger *ledger
	plane  *plane.Plane
	dir    string
	https  map[string]*http.Client // by person
}

func newClients(p *plane.Plane, dir string) (*clients, error) {
	c := &clients{ledger: &ledger{}, plane: p, dir: dir, https: map[string]*http.Client{}}
	names := []string{"admin", ""}
	for name, groups := range people() {
		if err := p.PKI.Issue(name, groups...); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	for _, name := range names {
		config, err := p.PKI.TLS(name)
		if err != nil {
			return nil, err
		}
		// HTTP/1.1: a connection is in nobody's way when its server is killed.
		c.https[name] = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
			TLSClientConfig: config, MaxIdleConnsPerHost: 8, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}}
		for _, s := range p.Servers {
			if name == "" {
				continue
			}
			if err := p.PKI.Kubeconfig(c.kubeconfig(s.Name, name), s.URL, name, ""); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

func (c *clients) kubeconfig(server, person string) string {
	return filepath.Join(c.dir, server+"-"+person+".kubeconfig")
}

// request is one to send.
type request struct {
	who     string // a person, "admin" or, without a certificate, ""
	method  string
	uri     string
	body    string
	headers []string // name, value, name, value
}

// do sends a request and returns the status of the answer. An error says that there was
// none.
func (c *clients) do(ctx context.Context, s *plane.Server, q request) (int, error) {
	r, err := http.NewRequestWithContext(ctx, q.method, s.URL+q.uri, strings.NewReader(q.body))
	if err != nil {
		return 0, err
	}
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(q.headers); i += 2 {
		r.Header.Set(q.headers[i], q.headers[i+1])
	}
	begun := time.Now()
	answer, err := c.https[q.who].Do(r)
	if err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	if err != nil {
		c.ledger.mu.Lock()
		defer c.ledger.mu.Unlock()
		c.ledger.failed++
		return 0, err
	}
	c.ledger.add(asked{server: s.Name, id: answer.Header.Get("Audit-Id"), method: q.method, uri: q.uri,
		status: answer.StatusCode, begun: begun, end: time.Now()})
	return answer.StatusCode, nil
}

// kubectl runs kubectl as somebody. How it ends is part of the story, whatever it is:
// what counts is which requests it sent and how they were answered.
func (c *clients) kubectl(ctx context.Context, s *plane.Server, who, stdin string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	args = append([]string{"--kubeconfig", c.kubeconfig(s.Name, who), "--cache-dir", filepath.Join(c.dir, "kubectl-cache"), "-v", "8"}, args...)
	cmd := exec.CommandContext(ctx, c.plane.Bin.Path("kubectl"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stderr = &said
	begun := time.Now()
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return err
	}
	got, unsure := heard(said.String())
	if len(got) == 0 {
		return fmt.Errorf("kubectl %q: no request was answered\n%s", args, said.Bytes())
	}
	for _, a := range got {
		a.server, a.begun, a.end, a.uri, a.unsure = s.Name, begun, time.Now(), strings.Join(args[6:], " "), unsure
		c.ledger.add(a)
	}
	return nil
}

// heard reads the answers out of what kubectl -v 8 says. That does not tell which
// request was answered: it is unsure whether an answer is recorded if one of the
// requests may not be.
func heard(said string) (all []asked, unsure bool) {
	request := regexp.MustCompile(`"Request" verb="[A-Z]*" url="https://[^/"]*([^"]*)"`)
	for _, m := range request.FindAllStringSubmatch(said, -1) {
		unsure = unsure || asked{uri: m[1]}.none()
	}
	response := regexp.MustCompile(`(?s)"Response" status="(\d+)[^"]*" headers=<(.*?)\n\s*>`)
	id := regexp.MustCompile(`(?m)^\s*Audit-Id: (\S+)`)
	for _, m := range response.FindAllStringSubmatch(said, -1) {
		status, err := strconv.Atoi(m[1])
		if named := id.FindStringSubmatch(m[2]); named != nil && err == nil {
			all = append(all, asked{id: named[1], method: "kubectl", status: status})
		}
	}
	return all, unsure
}

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kubetrail/test/e2e/patches"
	"kubetrail/test/e2e/plane"
)

var (
	patchCount  = flag.Int("patches", 5000, "how many random patches the histories of objects are rebuilt from; a quarter comes on top, whose first version is recorded less well")
	patchSeed   = flag.Uint64("seed", 1, "what the random patches are made of; 0 takes the time")
	patchRecord = flag.String("record", "", "a directory to write the patches to, what they made of which objects, and the audit log")
)

// lifeLength is how many patches one object gets: what is not known of a version is
// not known of those after it.
const lifeLength = 20

// historyPolicy records requests, and no answers but those of creations. Nothing is
// recorded of the judge, who looks at every version.
const historyPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [judge]}
- {level: None, nonResourceURLs: ["/*"]}
- {level: Request, users: [base], verbs: [create]}
- {level: RequestResponse, verbs: [create]}
- {level: Request, verbs: [patch, update]}
- {level: Metadata}
`

// triple is one patch and what became of it.
type triple struct {
	Kind        string          `json:"kind"`
	Group       string          `json:"group"`
	Version     string          `json:"version"`
	Resource    string          `json:"resource"`
	Subresource string          `json:"subresource,omitempty"`
	Namespace   string          `json:"namespace,omitempty"`
	Name        string          `json:"name"`
	Base        string          `json:"base"` // at which level the creation is recorded, or "apply"
	AuditID     string          `json:"auditID"`
	ContentType string          `json:"contentType"`
	URI         string          `json:"uri"`
	UserAgent   string          `json:"userAgent"`
	Code        int             `json:"code"`
	Message     string          `json:"message,omitempty"`
	Category    string          `json:"category"`
	Before      json.RawMessage `json:"before"`
	Patch       json.RawMessage `json:"patch"`
	After       json.RawMessage `json:"after"`
}

// theater is where objects live: a control plane whose controllers do not run, so that
// nobody else writes.
type theater struct {
	t      *testing.T
	dir    string
	server *plane.Server
	people map[string]*http.Client
	seed   uint64

	mu     sync.Mutex
	played []triple
}

// TestHistory rebuilds objects from patches alone, and has every version judged by the
// API server.
func TestHistory(t *testing.T) {
	ctx := t.Context()
	th := newTheater(t, ctx)
	begun := time.Now()
	th.prepare(ctx)
	th.play(ctx)
	t.Logf("%d patches in %s, seed %d", len(th.played), time.Since(begun).Round(100*time.Millisecond), th.seed)
	if *patchRecord != "" {
		must(t, th.record(*patchRecord))
	}
	th.judge(ctx)
}

func newTheater(t *testing.T, ctx context.Context) *theater {
	t.Helper()
	th := &theater{t: t, dir: t.TempDir(), people: map[string]*http.Client{}, seed: *patchSeed}
	if th.seed == 0 {
		th.seed = uint64(time.Now().UnixNano()) % 1e9
	}
	bin, err := plane.Build(ctx, ".", os.Stdout)
	must(t, err)
	p, err := plane.New(ctx, th.dir, bin)
	must(t, err)
	t.Cleanup(func() { must(t, p.Stop()) })
	policy := filepath.Join(th.dir, "policy.yaml")
	must(t, os.WriteFile(policy, []byte(historyPolicy), 0o600))
	th.server, err = p.AddServer(ctx, "cp-1", plane.Audit{Policy: policy, Log: filepath.Join(th.dir, "audit.log"), Flags: []string{
		"--audit-log-maxsize", "0",
	}})
	must(t, err)
	for name, group := range map[string]string{"jai": "system:masters", "veeru": "system:masters", "base": "system:masters", "judge": "system:masters", "intern": "interns"} {
		must(t, p.PKI.Issue(name, group))
		config, err := p.PKI.TLS(name)
		must(t, err)
		th.people[name] = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 8}}
	}
	return th
}

// ask sends a request and returns status, body and audit ID of the answer.
func (th *theater) ask(ctx context.Context, who, method, uri, contentType, agent string, body []byte) (int, []byte, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, th.server.URL+uri, bytes.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	r.Header.Set("User-Agent", agent)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := th.people[who].Do(r)
	if err != nil {
		return 0, nil, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, answer.Header.Get("Audit-Id"), err
}

// create makes an object, or fails.
func (th *theater) create(ctx context.Context, who, path string, body []byte) error {
	code, text, _, err := th.ask(ctx, who, http.MethodPost, path, "application/json", "kubectl/v1.36.3 (linux/amd64) kubernetes/e2e", body)
	if err == nil && code != http.StatusCreated {
		err = fmt.Errorf("create in %s: %d: %s\n%s", path, code, text, body)
	}
	return err
}

// stage is the namespace in which the objects of a kind live: one kind is not to meddle
// with another, as LimitRange does with Pod.
func stage(k *patches.Kind) string {
	if !k.Namespaced {
		return ""
	}
	return "h-" + k.Resource
}

// prepare creates what must be there before objects can be.
func (th *theater) prepare(ctx context.Context) {
	th.t.Helper()
	must(th.t, th.create(ctx, "judge", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", []byte(patches.CRD)))
	for _, k := range patches.Kinds() {
		if !k.Namespaced {
			continue
		}
		ns := stage(k)
		must(th.t, th.create(ctx, "judge", "/api/v1/namespaces", fmt.Appendf(nil, `{"metadata":{"name":%q}}`, ns)))
		for _, account := range []string{"default", "deployer"} {
			must(th.t, th.create(ctx, "judge", "/api/v1/namespaces/"+ns+"/serviceaccounts", fmt.Appendf(nil, `{"metadata":{"name":%q}}`, account)))
		}
		for until := time.Now().Add(20 * time.Second); k.Resource == "crontabs"; time.Sleep(50 * time.Millisecond) {
			code, _, _, err := th.ask(ctx, "judge", http.MethodGet, k.Path(ns), "", "judge", nil)
			if must(th.t, err); code == http.StatusOK {
				break
			}
			if time.Now().After(until) {
				th.t.Fatalf("the custom kind is not served: %d", code)
			}
		}
	}
}

// play lets all objects live, four at a time.
func (th *theater) play(ctx context.Context) {
	th.t.Helper()
	kinds := patches.Cast()
	lives := make(chan int)
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			var failed error
			for i := range lives {
				if failed == nil {
					k := kinds[i%len(kinds)]
					l := patches.NewLife(k, stage(k), fmt.Sprintf("o-%d", i), th.seed*1e6+uint64(i))
					failed = th.live(ctx, l, i, lifeLength)
				}
			}
			errs <- failed
		}()
	}
	for i, left := 0, *patchCount; left > 0; i++ {
		lives <- i
		if creation(i) == "RequestResponse" {
			left -= lifeLength // others come on top
		}
	}
	close(lives)
	for range cap(errs) {
		must(th.t, <-errs)
	}
}

// live creates one object and patches it so often.
func (th *theater) live(ctx context.Context, l *patches.Life, i, n int) error {
	path := l.Kind.Path(l.Namespace) + "/" + l.Name
	base := creation(i)
	err := th.begin(ctx, l, base)
	if err != nil {
		return err
	}
	var before []byte
	if base == "apply" {
		if before, err = th.step(ctx, l, i, l.CreateByApply(), base, []byte("null")); err != nil {
			return err
		}
		n--
	} else if before, err = th.look(ctx, path); err != nil {
		return err
	}
	for range n {
		if before, err = th.step(ctx, l, i, l.Next(patches.Parse(before)), base, before); err != nil {
			return err
		}
	}
	return nil
}

// creation is how the creation of the ith object is recorded: with the answer, as usual,
// with the request alone, or as a patch that creates it.
func creation(i int) string {
	switch i % 20 {
	case 7:
		return "apply"
	case 4, 13, 19:
		return "Request"
	}
	return "RequestResponse"
}

// begin creates an object, unless it is one that its first patch creates.
func (th *theater) begin(ctx context.Context, l *patches.Life, base string) error {
	who := "jai"
	switch base {
	case "apply":
		return nil
	case "Request":
		who = "base"
	}
	text, err := json.Marshal(l.Create())
	if err != nil {
		return err
	}
	return th.create(ctx, who, l.Kind.Path(l.Namespace), text)
}

// step sends one patch and returns what the object is then.
func (th *theater) step(ctx context.Context, l *patches.Life, i int, p patches.Patch, base string, before []byte) (after []byte, err error) {
	who := []string{"jai", "veeru"}[i%2]
	if p.Refused {
		who = "intern"
	}
	path := l.Kind.Path(l.Namespace) + "/" + l.Name
	uri := path
	if p.Subresource != "" {
		uri += "/" + p.Subresource
	}
	if p.Query != "" {
		uri += "?" + p.Query
	}
	code, text, id, err := th.ask(ctx, who, http.MethodPatch, uri, p.ContentType, p.UserAgent, p.Body)
	if errors.Is(err, io.EOF) {
		// It panicked, as it does for some malformed patches, and lives on.
		th.t.Logf("no answer to %s of %s %s: %s", p.ContentType, l.Kind.Kind, uri, p.Body)
	} else if err != nil {
		return nil, err
	}
	l.Done(p, code)
	if after, err = th.look(ctx, path); err != nil {
		return nil, err
	}
	tr := triple{Kind: l.Kind.Kind, Group: l.Kind.Group, Version: l.Kind.Version, Resource: l.Kind.Resource, Subresource: p.Subresource,
		Namespace: l.Namespace, Name: l.Name, Base: base, AuditID: id, ContentType: p.ContentType, URI: uri, UserAgent: p.UserAgent,
		Code: code, Category: p.Category, Before: before, Patch: p.Body, After: after}
	if code/100 != 2 {
		var status struct{ Message string }
		_ = json.Unmarshal(text, &status) // some answers are none
		tr.Message = status.Message
	}
	th.mu.Lock()
	defer th.mu.Unlock()
	th.played = append(th.played, tr)
	return after, nil
}

// look returns an object as it is now.
func (th *theater) look(ctx context.Context, path string) ([]byte, error) {
	code, text, _, err := th.ask(ctx, "judge", http.MethodGet, path, "", "judge", nil)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("get %s: %d: %s", path, code, text)
	}
	return text, err
}

// record writes what happened, a file for each kind, and the audit log.
func (th *theater) record(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := map[string]*bytes.Buffer{}
	for _, p := range th.played {
		if files[p.Resource] == nil {
			files[p.Resource] = &bytes.Buffer{}
		}
		e := json.NewEncoder(files[p.Resource])
		e.SetEscapeHTML(false)
		if err := e.Encode(p); err != nil {
			return err
		}
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".jsonl"), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return exec.Command("cp", th.server.AuditLog, filepath.Join(dir, "audit.log")).Run()
}

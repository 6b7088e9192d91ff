// Package cause_test judges through whom kubetrail says that things happened.
package cause_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"kubetrail/test/e2e/plane"
)

// scene is a control plane whose controllers run, and people who do things on it, on
// purpose at the same time in the same namespaces.
type scene struct {
	t      *testing.T
	dir    string
	server *plane.Server
	log    string
	people map[string]*http.Client
	token  string // of ci/deployer

	mu     sync.Mutex
	phases map[string][]phase   // by track
	seen   map[string]time.Time // when a controller last wrote to something of a track
}

// phase is the time from an action on a track to the next one: what controllers do to
// its objects then has one root.
type phase struct {
	Begun time.Time
	Root  string // a user, "admin as veeru", "own:" and a controller, or "" where nobody can say
	What  string
}

var (
	keep    = flag.String("keep", "", "a directory to write what was done to, and the logs that are judged")
	replay  = flag.String("replay", "", "such a directory, to judge it again instead of doing anything")
	unknown = flag.Bool("unknown", false, "show some consequences that no root was found for")
)

// causePolicy records everything: what controllers made is the truth to judge by. The
// logs that are judged have less in them; see [lessen].
const causePolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, resources: [{group: coordination.k8s.io}]}
- {level: None, verbs: [get, list, watch]}
- {level: RequestResponse}
`

// TestCause has people change things, and has kubetrail say through whom what the
// controllers did happened. Every object is named after the track that it belongs to,
// and on every track one person acts at a time.
func TestCause(t *testing.T) {
	ctx := t.Context()
	s := newScene(t)
	begun := time.Now()
	if *replay != "" {
		s.read(*replay)
	} else {
		s.start(ctx)
		s.play(ctx)
	}
	actions := 0
	for _, p := range s.phases {
		actions += len(p)
	}
	t.Logf("%d actions in %s", actions, time.Since(begun).Round(time.Second))
	program := filepath.Join(s.dir, "kubetrail")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/kubetrail")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	truth := s.truth()
	if *keep != "" {
		must(t, s.write(*keep))
	}
	for _, policy := range []string{"GCE", "Metadata"} {
		path := filepath.Join(s.dir, policy+".log")
		if *keep != "" {
			path = filepath.Join(*keep, policy+".log")
		}
		must(t, lessen(s.log, path, policy))
		out, err := exec.CommandContext(ctx, program, "explain", "-f", path, "--through", "-o", "jsonl", changes).Output()
		must(t, err)
		s.judge(policy, truth, out)
		// What is lost makes less known, and may make a likely answer wrong.
		must(t, lose(path, path+".less"))
		out, err = exec.CommandContext(ctx, program, "explain", "-f", path+".less", "--through", "-o", "jsonl", changes).Output()
		must(t, err)
		s.judge(policy+" with gaps", truth, out)
	}
}

// changes asks for what can be a consequence.
const changes = "verb:(create or update or patch or delete or deletecollection)"

// lose copies a log but for every tenth line, at random but always the same.
func lose(from, to string) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	random := rand.New(rand.NewPCG(5, 5))
	return lines(from, func(line []byte) error {
		if random.IntN(10) == 0 {
			return nil
		}
		_, err := f.Write(line)
		return err
	})
}

func newScene(t *testing.T) *scene {
	return &scene{t: t, dir: t.TempDir(), people: map[string]*http.Client{}, phases: map[string][]phase{}, seen: map[string]time.Time{}}
}

// read takes what was done from a directory that -keep wrote.
func (s *scene) read(dir string) {
	text, err := os.ReadFile(filepath.Join(dir, "phases.json"))
	must(s.t, err)
	must(s.t, json.Unmarshal(text, &s.phases))
	s.log = filepath.Join(dir, "all.log")
}

func (s *scene) write(dir string) error {
	text, err := json.Marshal(s.phases)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "phases.json"), text, 0o600)
	}
	if err == nil {
		text, err = os.ReadFile(s.log)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "all.log"), text, 0o600)
	}
	return err
}

// start starts the control plane.
func (s *scene) start(ctx context.Context) {
	t := s.t
	t.Helper()
	bin, err := plane.Build(ctx, "..", os.Stdout)
	must(t, err)
	p, err := plane.New(ctx, s.dir, bin)
	must(t, err)
	t.Cleanup(func() { must(t, p.Stop()) })
	policy := filepath.Join(s.dir, "policy.yaml")
	must(t, os.WriteFile(policy, []byte(causePolicy), 0o600))
	s.log = filepath.Join(s.dir, "audit.log")
	s.server, err = p.AddServer(ctx, "cp-1", plane.Audit{Policy: policy, Log: s.log, Flags: []string{"--audit-log-maxsize", "0"}})
	must(t, err)
	must(t, p.AddManager(s.server, "--kube-api-qps=300", "--kube-api-burst=600", "--horizontal-pod-autoscaler-sync-period=2s"))
	for name, group := range map[string]string{
		"alice": "system:masters", "bob": "system:masters", "carol": "system:masters", "admin": "system:masters",
		"system:kube-scheduler": "x", "system:node:node-0": "system:nodes", "system:node:node-1": "system:nodes",
	} {
		if name != "admin" {
			must(t, p.PKI.Issue(name, group))
		}
		config, err := p.PKI.TLS(name)
		must(t, err)
		s.people[name] = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 16}}
	}
	config, err := p.PKI.TLS("")
	must(t, err)
	s.people["ci"] = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 16}}
	s.people["veeru"] = s.people["admin"]
}

// send sends a request as somebody and returns the answer.
func (s *scene) send(ctx context.Context, who, method, uri, body string) (int, []byte) {
	r, err := http.NewRequestWithContext(ctx, method, s.server.URL+uri, strings.NewReader(body))
	must(s.t, err)
	r.Header.Set("User-Agent", "kubectl/v1.36.3 (linux/amd64) kubernetes/e2e")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/merge-patch+json")
	}
	switch who {
	case "ci":
		r.Header.Set("Authorization", "Bearer "+s.token)
	case "veeru":
		r.Header.Set("Impersonate-User", "veeru")
		r.Header.Set("Impersonate-Group", "system:masters")
	}
	answer, err := s.people[who].Do(r)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return answer.StatusCode, text
}

// must sends a request that has to succeed.
func (s *scene) must(ctx context.Context, who, method, uri, body string) []byte {
	code, text := s.send(ctx, who, method, uri, body)
	if code < 200 || code > 299 {
		s.t.Errorf("%s %s %s: %d %.300s", who, method, uri, code, text)
	}
	return text
}

// deed is one action of a track.
type deed struct {
	who   string
	what  string
	do    func(ctx context.Context, s *scene, track, who string)
	root  string        // where it is not who
	wait  time.Duration // before it, at least
	until func()        // waits for its time
	no    bool          // nobody can say whose the consequences are
}

// play runs all tracks.
func (s *scene) play(ctx context.Context) {
	s.prepare(ctx)
	actors, stop := context.WithCancel(ctx)
	var machines, tracks sync.WaitGroup
	machines.Go(func() { s.kubelets(actors) })
	machines.Go(func() { s.follow(actors) })
	for i, acts := range script() {
		track := fmt.Sprintf("t%03d", i)
		tracks.Go(func() {
			time.Sleep(time.Duration(i%7) * 300 * time.Millisecond)
			for n, a := range acts {
				if n > 0 {
					s.rest(track, max(a.wait, time.Duration(4+(i+n)%3*7)*time.Second))
				}
				if a.until != nil {
					a.until()
				}
				root := a.who
				if a.root != "" {
					root = a.root
				}
				if a.no {
					root = ""
				}
				s.mu.Lock()
				s.phases[track] = append(s.phases[track], phase{time.Now(), root, a.what})
				s.mu.Unlock()
				a.do(ctx, s, track, a.who)
			}
		})
	}
	tracks.Wait()
	time.Sleep(6 * time.Second) // for what the last actions cause; nothing is asserted of its time
	stop()
	machines.Wait()
}

// rest waits until controllers have left a track alone.
func (s *scene) rest(track string, wait time.Duration) {
	begun := time.Now()
	for {
		s.mu.Lock()
		last := s.seen[track]
		s.mu.Unlock()
		if time.Since(begun) > wait && time.Since(last) > 4*time.Second || time.Since(begun) > 40*time.Second {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *scene) prepare(ctx context.Context) {
	for _, ns := range []string{"shop", "pay", "ci"} {
		s.must(ctx, "admin", "POST", "/api/v1/namespaces", fmt.Sprintf(`{"metadata":{"name":%q}}`, ns))
	}
	s.must(ctx, "admin", "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
		`{"metadata":{"name":"e2e"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[
		{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"system:nodes"},{"kind":"ServiceAccount","namespace":"ci","name":"deployer"}]}`)
	s.must(ctx, "admin", "POST", "/api/v1/namespaces/ci/serviceaccounts", `{"metadata":{"name":"deployer"}}`)
	var got struct{ Status struct{ Token string } }
	must(s.t, json.Unmarshal(s.must(ctx, "admin", "POST", "/api/v1/namespaces/ci/serviceaccounts/deployer/token", `{"spec":{}}`), &got))
	s.token = got.Status.Token
	for _, node := range []string{"node-0", "node-1"} {
		s.must(ctx, "admin", "POST", "/api/v1/nodes", fmt.Sprintf(`{"metadata":{"name":%q,"labels":{"kubernetes.io/hostname":%q}}}`, node, node))
		s.beat(ctx, node)
	}
	time.Sleep(2 * time.Second) // for service accounts of the namespaces: pods need them
}

// beat is what a kubelet says every few seconds.
func (s *scene) beat(ctx context.Context, node string) {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
	lease := fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"kube-node-lease"},"spec":{"holderIdentity":%q,"leaseDurationSeconds":40,"renewTime":%q}}`, node, node, now)
	if code, _ := s.send(ctx, "system:node:"+node, "PATCH", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"+node, lease); code == 404 {
		s.send(ctx, "system:node:"+node, "POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease)
	}
	second := now[:19] + "Z"
	s.send(ctx, "system:node:"+node, "PATCH", "/api/v1/nodes/"+node+"/status", fmt.Sprintf(
		`{"status":{"capacity":{"pods":"1000","cpu":"64","memory":"256Gi"},"allocatable":{"pods":"1000","cpu":"64","memory":"256Gi"},"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady","lastHeartbeatTime":%q,"lastTransitionTime":%q}]}}`, second, second))
}

// pod is what the stand-ins of kubelet and scheduler look at.
type pod struct {
	Metadata struct {
		Name, Namespace, UID string
		DeletionTimestamp    string
		OwnerReferences      []struct{ Kind string }
	}
	Spec struct {
		NodeName string
		Affinity json.RawMessage
	}
	Status struct{ Phase string }
}

// kubelets stands in for kube-scheduler and two kubelets: pods are bound, become ready,
// and go when they are deleted; those of Jobs are done at once.
func (s *scene) kubelets(ctx context.Context) {
	beaten := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		if time.Since(beaten) > 8*time.Second {
			s.beat(ctx, "node-0")
			s.beat(ctx, "node-1")
			beaten = time.Now()
		}
		var list struct{ Items []pod }
		_, text := s.send(ctx, "system:kube-scheduler", "GET", "/api/v1/pods", "")
		if json.Unmarshal(text, &list) != nil {
			list.Items = nil
		}
		limit := make(chan struct{}, 8)
		var all sync.WaitGroup
		for i := range list.Items {
			limit <- struct{}{}
			all.Go(func() {
				s.tend(ctx, &list.Items[i], i+n)
				<-limit
			})
		}
		all.Wait()
		time.Sleep(150 * time.Millisecond)
	}
}

func (s *scene) tend(ctx context.Context, p *pod, n int) {
	uri := "/api/v1/namespaces/" + p.Metadata.Namespace + "/pods/" + p.Metadata.Name
	node := fmt.Sprintf("node-%d", n%2)
	for _, name := range []string{"node-0", "node-1"} {
		if bytes.Contains(p.Spec.Affinity, []byte(name)) {
			node = name
		}
	}
	switch {
	case p.Spec.NodeName == "" && p.Metadata.DeletionTimestamp == "":
		s.send(ctx, "system:kube-scheduler", "POST", uri+"/binding", fmt.Sprintf(
			`{"apiVersion":"v1","kind":"Binding","metadata":{"name":%q},"target":{"apiVersion":"v1","kind":"Node","name":%q}}`, p.Metadata.Name, node))
	case p.Spec.NodeName == "":
	case p.Metadata.DeletionTimestamp != "":
		s.send(ctx, "system:node:"+p.Spec.NodeName, "DELETE", uri, fmt.Sprintf(
			`{"gracePeriodSeconds":0,"preconditions":{"uid":%q}}`, p.Metadata.UID))
	case p.Status.Phase == "Pending":
		now := time.Now().UTC().Format(time.RFC3339)
		phase, ready := "Running", "True"
		if len(p.Metadata.OwnerReferences) > 0 && p.Metadata.OwnerReferences[0].Kind == "Job" {
			phase, ready = "Succeeded", "False"
		}
		s.send(ctx, "system:node:"+p.Spec.NodeName, "PATCH", uri+"/status", fmt.Sprintf(
			`{"status":{"phase":%q,"startTime":%q,"podIP":"10.0.%d.%d","conditions":[{"type":"Ready","status":%q,"lastTransitionTime":%q}]}}`,
			phase, now, n/200%200, n%200+1, ready, now))
	}
}

// record is what is read of a line of the log.
type record struct {
	Level      string `json:"level"`
	AuditID    string `json:"auditID"`
	Stage      string `json:"stage"`
	RequestURI string `json:"requestURI"`
	Verb       string `json:"verb"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
		APIGroup    string `json:"apiGroup"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	RequestObject, ResponseObject struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						Image string `json:"image"`
					} `json:"containers"`
				} `json:"spec"`
			} `json:"template"`
			Containers []struct {
				Image string `json:"image"`
			} `json:"containers"`
		} `json:"spec"`
	}
	Received time.Time `json:"requestReceivedTimestamp"`
}

var trackName = regexp.MustCompile(`\bt\d{3}\b`)

// track finds which track the object of a record is of: its own name tells, or that of
// its namespace.
func (r *record) track() string {
	for _, name := range []string{r.ResponseObject.Metadata.Name, r.ObjectRef.Name, r.ObjectRef.Namespace} {
		if t := trackName.FindString(name); t != "" {
			return t
		}
	}
	if strings.Contains(r.RequestURI, "labelSelector") {
		return trackName.FindString(r.RequestURI)
	}
	return ""
}

// machine tells what controllers, the scheduler and nodes did.
func (r *record) machine() bool {
	return strings.HasPrefix(r.User.Username, "system:serviceaccount:kube-system:") || strings.HasPrefix(r.User.Username, "system:node:") ||
		r.User.Username == "system:kube-scheduler" || r.User.Username == "system:kube-controller-manager" || r.User.Username == "system:apiserver"
}

// follow notes when something was last done to the objects of each track.
func (s *scene) follow(ctx context.Context) {
	f, err := os.Open(s.log)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	var line []byte
	for ctx.Err() == nil {
		part, err := r.ReadBytes('\n')
		line = append(line, part...)
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		var x record
		if json.Unmarshal(line, &x) == nil && x.machine() && x.ObjectRef.Resource != "events" {
			if t := x.track(); t != "" {
				s.mu.Lock()
				s.seen[t] = x.Received
				s.mu.Unlock()
			}
		}
		line = line[:0]
	}
}

// fate is what is known of one consequence.
type fate struct {
	kind string
	root string
	what string // the action
	line record
}

// truth says of every consequence what its root is.
func (s *scene) truth() map[string]fate {
	all := map[string]fate{}
	must(s.t, lines(s.log, func(line []byte) error {
		var x record
		if err := json.Unmarshal(line, &x); err != nil {
			return nil // a body that is a list is no object with metadata; nothing of a consequence
		}
		o := &x.ObjectRef
		if x.Stage != "ResponseComplete" || x.ResponseStatus.Code < 200 || x.ResponseStatus.Code > 299 || !x.machine() ||
			!slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, x.Verb) || o.Resource == "nodes" {
			return nil
		}
		if strings.HasPrefix(x.User.Username, "system:node:") && x.Verb != "delete" {
			return nil // a node that reports is its own root: too easy
		}
		phases := s.phases[x.track()]
		i := sort.Search(len(phases), func(i int) bool { return phases[i].Begun.After(x.Received) }) - 1
		if i < 0 || phases[i].Root == "" && phases[i].What != "duel" {
			return nil
		}
		p := phases[i]
		if p.What == "duel" {
			// What holds the image of one of both is that one's.
			if p.Root = duelist(&x); p.Root == "" || x.Verb != "create" {
				return nil
			}
		}
		if name := x.User.Username[strings.LastIndexByte(x.User.Username, ':')+1:]; name == "horizontal-pod-autoscaler" || name == "cronjob-controller" {
			p.Root = "own:" + name
		}
		kind := x.User.Username[strings.LastIndexByte(x.User.Username, ':')+1:] + " " + x.Verb + " " + o.Resource
		if strings.HasPrefix(x.User.Username, "system:node:") {
			kind = "kubelet delete pods"
		}
		if o.Subresource != "" {
			kind += "/" + o.Subresource
		}
		all[x.AuditID] = fate{kind, p.Root, p.What, x}
		return nil
	}))
	return all
}

// duelist tells whose image an object has, for people who change one at the same time.
func duelist(x *record) string {
	spec := &x.ResponseObject.Spec
	for _, c := range append(spec.Template.Spec.Containers, spec.Containers...) {
		if who, ok := strings.CutPrefix(c.Image, "duel/"); ok {
			return who
		}
	}
	return ""
}

// said is what kubetrail says of one.
type said struct {
	AuditID string
	Through struct {
		Text string
		Root *struct {
			User, As, Name string
			OwnAccord      bool
		}
		Strength string
	}
}

func (x *said) root() string {
	r := x.Through.Root
	switch {
	case r == nil:
		return ""
	case r.OwnAccord:
		return "own:" + r.Name
	case r.As != "":
		return r.As // who it was for the script: admin, as veeru
	case r.User == "system:serviceaccount:ci:deployer":
		return "ci"
	}
	return r.User
}

// score counts answers of one kind.
type score struct{ all, right, wrong, certainWrong int }

func (s *scene) judge(policy string, truth map[string]fate, out []byte) {
	kinds := map[string]*score{}
	var total, events score
	shown := map[string]int{}
	heard := 0
	for line := range bytes.Lines(out) {
		var x said
		must(s.t, json.Unmarshal(line, &x))
		f, ok := truth[x.AuditID]
		if !ok {
			continue
		}
		heard++
		k := kinds[f.kind]
		if k == nil {
			k = &score{}
			kinds[f.kind] = k
		}
		sum := &total
		if f.line.ObjectRef.Resource == "events" {
			sum = &events
		}
		for _, c := range []*score{k, sum} {
			c.all++
			switch root := x.root(); {
			case root == "":
			case root == f.root:
				c.right++
			default:
				c.wrong++
				if x.Through.Strength == "certain" {
					c.certainWrong++
				}
			}
		}
		if root := x.root(); root != "" && root != f.root {
			if shown[f.kind]++; shown[f.kind] <= 3 && !strings.HasSuffix(policy, " with gaps") {
				s.t.Logf("%s: WRONG, %s by %s: %s", policy, f.what, f.root, x.Through.Text)
			}
		} else if root == "" && *unknown {
			if shown["?"+f.kind]++; shown["?"+f.kind] <= 3 {
				s.t.Logf("%s: unknown, %s by %s: %s", policy, f.what, f.root, x.Through.Text)
			}
		}
	}
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		k := kinds[name]
		if strings.HasSuffix(policy, " with gaps") {
			break
		}
		s.t.Logf("%-9s %5d  given %3d %%  right %3d %%  %s", policy, k.all, percent(k.right+k.wrong, k.all), percent(k.right, k.right+k.wrong), name)
	}
	for name, k := range map[string]score{"Events that controllers wrote": events, "all the others": total} {
		s.t.Logf("%s, %s: %d consequences, %d %% given a root, %.2f %% of these right, %d wrong and called certain",
			policy, name, k.all, percent(k.right+k.wrong, k.all), 100*float64(k.right)/float64(max(1, k.right+k.wrong)), k.certainWrong)
	}
	recorded := 0
	for _, f := range truth {
		if policy != "GCE" || gce(&f.line) != "None" {
			recorded++
		}
	}
	if strings.HasSuffix(policy, " with gaps") {
		if total.certainWrong+events.certainWrong > 0 {
			s.t.Errorf("%s: wrong roots are called certain", policy)
		}
		return
	}
	if heard != recorded || heard < 1000 {
		s.t.Errorf("%s: kubetrail spoke of %d of %d consequences", policy, heard, recorded)
	}
	if given := total.right + total.wrong; total.right*100 < given*95 || total.certainWrong > 0 {
		s.t.Errorf("%s: %d of %d roots are right, %d wrong ones are called certain", policy, total.right, given, total.certainWrong)
	}
	if given := percent(total.right+total.wrong, total.all); given < 80 {
		s.t.Errorf("%s: only %d %% of the consequences were given a root", policy, given)
	}
}

func percent(n, of int) int { return 100 * n / max(1, of) }

// lines calls yield for every line of a file.
func lines(path string, yield func([]byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			if err := yield(line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// lessen writes a log as kube-apiserver would have written it under another policy: it
// leaves out bodies, names another level, and nothing else. GCE is the policy that
// Google's clusters are started with.
func lessen(from, to, policy string) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	err = lines(from, func(line []byte) error {
		var x record
		_ = json.Unmarshal(line, &x) // as far as it goes
		level := "Metadata"
		if policy == "GCE" {
			level = gce(&x)
		}
		if level == "None" {
			return nil
		}
		var event map[string]json.RawMessage
		if err := json.Unmarshal(line, &event); err != nil {
			return err
		}
		if level != "RequestResponse" {
			delete(event, "requestObject")
			delete(event, "responseObject")
			event["level"] = json.RawMessage(`"` + level + `"`)
		}
		out, err := json.Marshal(event)
		if err == nil {
			_, err = w.Write(append(out, '\n'))
		}
		return err
	})
	if err != nil {
		return err
	}
	return w.Flush()
}

func gce(x *record) string {
	switch o := &x.ObjectRef; {
	case o.Resource == "events" && o.APIGroup == "":
		return "None"
	case o.APIGroup == "" && slices.Contains([]string{"secrets", "configmaps"}, o.Resource), o.Subresource == "token":
		return "Metadata"
	case o.APIGroup == "", strings.HasSuffix(o.APIGroup, ".k8s.io") && o.APIGroup != "discovery.k8s.io" && o.APIGroup != "resource.k8s.io",
		slices.Contains([]string{"apps", "autoscaling", "batch", "extensions", "policy"}, o.APIGroup):
		return "RequestResponse"
	}
	return "Metadata"
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

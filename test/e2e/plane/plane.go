package plane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Plane is a control plane. All its files are below Dir.
type Plane struct {
	Dir  string
	Bin  Binaries
	PKI  *PKI
	etcd *Process
	url  string // of etcd

	Servers  []*Server
	managers []*Process
}

// Server is one kube-apiserver. Kill and Restart are for one goroutine at a time.
type Server struct {
	Name       string
	URL        string
	AuditLog   string
	Kubeconfig string // of an administrator

	plane   *Plane
	args    []string
	ready   *http.Client
	process *Process
}

// New makes the PKI and starts etcd. Stop ends everything.
func New(ctx context.Context, dir string, bin Binaries) (*Plane, error) {
	p := &Plane{Dir: dir, Bin: bin}
	var err error
	if p.PKI, err = NewPKI(filepath.Join(dir, "pki")); err != nil {
		return nil, err
	}
	for name, groups := range map[string][]string{
		"kube-apiserver": nil, "admin": {"system:masters"}, "system:kube-controller-manager": nil,
	} {
		if err := p.PKI.Issue(name, groups...); err != nil {
			return nil, err
		}
	}
	var ports [2]int
	for i := range ports {
		if ports[i], err = FreePort(); err != nil {
			return nil, err
		}
	}
	p.url = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	peer := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	p.etcd, err = Start("etcd", filepath.Join(dir, "etcd.stderr"), bin.Path("etcd"),
		"--data-dir", filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", p.url, "--advertise-client-urls", p.url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	if err != nil {
		return nil, err
	}
	if err := p.etcd.Answers(ctx, http.DefaultClient, p.url+"/health"); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// Answers waits until a URL of the process answers 200.
func (p *Process) Answers(ctx context.Context, c *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var last string
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if answer, err := c.Do(r); err != nil {
			last = err.Error()
		} else {
			text, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK && err == nil {
				return nil
			}
			last = fmt.Sprintf("%s: %s", answer.Status, text)
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s: %w (%v)\n%s", p.Name, errEnded, p.err, p.Tail(4000))
		case <-ctx.Done():
			return fmt.Errorf("%s: not ready: %s\n%s", p.Name, last, p.Tail(4000))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Audit says how a kube-apiserver records.
type Audit struct {
	Policy string   // file
	Log    string   // file
	Flags  []string // further flags
}

// AddServer starts one more kube-apiserver of the cluster and waits until it is ready.
func (p *Plane) AddServer(ctx context.Context, name string, a Audit) (*Server, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	s := &Server{Name: name, plane: p, URL: fmt.Sprintf("https://127.0.0.1:%d", port), AuditLog: a.Log,
		Kubeconfig: filepath.Join(p.Dir, name+".kubeconfig")}
	if err := p.PKI.Kubeconfig(s.Kubeconfig, s.URL, "admin", ""); err != nil {
		return nil, err
	}
	config, err := p.PKI.TLS("admin")
	if err != nil {
		return nil, err
	}
	s.ready = client(config)
	s.args = append([]string{
		"--etcd-servers", p.url, "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(port),
		// An address of the loopback would be refused; nobody connects to this one.
		"--advertise-address", fmt.Sprintf("192.0.2.%d", 10+len(p.Servers)),
		"--tls-cert-file", p.PKI.Path("kube-apiserver.crt"), "--tls-private-key-file", p.PKI.Path("kube-apiserver.key"),
		"--client-ca-file", p.PKI.Path("ca.crt"), "--authorization-mode", "RBAC",
		"--service-account-key-file", p.PKI.Path("sa.pub"), "--service-account-signing-key-file", p.PKI.Path("sa.key"),
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.96.0.0/24",
		"--audit-policy-file", a.Policy, "--audit-log-path", a.Log,
	}, a.Flags...)
	p.Servers = append(p.Servers, s)
	return s, s.Restart(ctx)
}

// client returns a client that keeps no connection longer than it needs it: the server
// it speaks to is killed now and then.
func client(config *tls.Config) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

// Restart starts a kube-apiserver that does not run, as it ran before, and waits until
// it is ready.
func (s *Server) Restart(ctx context.Context) error {
	p, err := Start(s.Name, s.Stderr(), s.plane.Bin.Path("kube-apiserver"), s.args...)
	if err != nil {
		return err
	}
	s.process = p
	return p.Answers(ctx, s.ready, s.URL+"/readyz")
}

// Stderr is the file with what the server says.
func (s *Server) Stderr() string { return filepath.Join(s.plane.Dir, s.Name+".stderr") }

// Process is the one that runs, or ran last.
func (s *Server) Process() *Process { return s.process }

// Kill ends the server at once. It reports whether it ran until then.
func (s *Server) Kill() bool { return s.process.Kill() }

// Stop ends the server in order.
func (s *Server) Stop() error { return s.process.Stop(time.Minute) }

// AddManager starts a kube-controller-manager at that server: what it does is the
// pulse of a cluster, leases above all. flags are further ones.
func (p *Plane) AddManager(s *Server, flags ...string) error {
	port, err := FreePort()
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(p.Dir, "kube-controller-manager.kubeconfig")
	if err := p.PKI.Kubeconfig(kubeconfig, s.URL, "system:kube-controller-manager", ""); err != nil {
		return err
	}
	m, err := Start("kube-controller-manager", filepath.Join(p.Dir, "kube-controller-manager.stderr"),
		p.Bin.Path("kube-controller-manager"), append([]string{"--kubeconfig", kubeconfig,
			"--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(port), "--use-service-account-credentials",
			"--service-account-private-key-file", p.PKI.Path("sa.key"), "--root-ca-file", p.PKI.Path("ca.crt")}, flags...)...)
	if err == nil {
		p.managers = append(p.managers, m)
	}
	return err
}

// Manager is the kube-controller-manager that was added last, nil for none.
func (p *Plane) Manager() *Process {
	if len(p.managers) == 0 {
		return nil
	}
	return p.managers[len(p.managers)-1]
}

// Kubectl runs kubectl with that kubeconfig and input, and returns what it prints on both
// its outputs.
func (p *Plane) Kubectl(ctx context.Context, kubeconfig, stdin string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.Bin.Path("kubectl"), append([]string{"--kubeconfig", kubeconfig,
		"--cache-dir", filepath.Join(p.Dir, "kubectl-cache")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	return cmd.CombinedOutput()
}

// Logs lists the files with what the processes said.
func (p *Plane) Logs() []string {
	logs, _ := filepath.Glob(filepath.Join(p.Dir, "*.stderr")) // the pattern is good
	return logs
}

// Stop ends everything, etcd last. It may be called again.
func (p *Plane) Stop() error {
	var errs []error
	stop := func(x *Process) {
		if x != nil && x.cmd != nil && x.Running() {
			if err := x.Stop(20 * time.Second); errors.Is(err, os.ErrProcessDone) {
				errs = append(errs, err)
			}
		}
	}
	for _, m := range p.managers {
		stop(m)
	}
	for _, s := range p.Servers {
		stop(s.process)
	}
	stop(p.etcd)
	return errors.Join(errs...)
}

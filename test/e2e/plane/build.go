// Package plane builds and runs a real Kubernetes control plane: etcd, kube-apiservers
// of one cluster and kube-controller-manager, with a PKI of its own, on free ports of
// the loopback address.
package plane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Version is the release of Kubernetes that is built; go.mod says the same.
const Version = "v1.36.3"

// program is one that can be built.
type program struct {
	name, path string
	module     string // the module's directory below that of test/e2e
	asked      bool   // it is built only for whoever asks for it
}

// programs are built in this order: what is needed first comes first. kwok has a module
// of its own, so that what it requires changes nothing of what Kubernetes is built from.
func programs() []program {
	return []program{
		{name: "etcd", path: "go.etcd.io/etcd/server/v3"},
		{name: "kube-apiserver", path: "k8s.io/kubernetes/cmd/kube-apiserver"},
		{name: "kubectl", path: "k8s.io/kubernetes/cmd/kubectl"},
		{name: "kube-controller-manager", path: "k8s.io/kubernetes/cmd/kube-controller-manager"},
		{name: "kube-scheduler", path: "k8s.io/kubernetes/cmd/kube-scheduler", asked: true},
		{name: "kwok", path: "sigs.k8s.io/kwok/cmd/kwok", module: "kwok", asked: true},
	}
}

// Binaries is the directory with the programs of a control plane.
type Binaries string

// Path returns where the program of that name is.
func (b Binaries) Path(name string) string { return filepath.Join(string(b), name) }

// Build builds what is not there yet of the tools of the module in dir, one after the
// other and gently, into a directory below the user's cache that is named after what
// go.mod requires. That takes minutes the first time, and nothing afterwards. It says on
// out what it does. Several processes at a time wait for each other. kube-scheduler and
// kwok are built where more names them.
func Build(ctx context.Context, dir string, out io.Writer, more ...string) (Binaries, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "kubetrail-e2e")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	var to string
	for _, p := range programs() {
		if p.asked && !slices.Contains(more, p.name) {
			continue
		}
		made, err := p.build(ctx, filepath.Join(dir, p.module), cache, out)
		if err != nil {
			return "", err
		}
		if p.module == "" {
			to = filepath.Dir(made)
			continue
		}
		link := filepath.Join(to, p.name)
		if at, err := os.Readlink(link); err == nil && at == made {
			continue
		}
		_ = os.Remove(link) // it may not be there
		if err := os.Symlink(made, link); err != nil {
			return "", err
		}
	}
	return Binaries(to), nil
}

// build builds the program with the module in dir, if it is not there, and returns where
// it is.
func (p program) build(ctx context.Context, dir, cache string, out io.Writer) (string, error) {
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(required(mod))
	path := filepath.Join(cache, hex.EncodeToString(sum[:8]), p.name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	begun := time.Now()
	fmt.Fprintf(out, "building %s\n", p.name)
	cmd := exec.CommandContext(ctx, "nice", "go", "build", "-p", "2", "-trimpath", "-ldflags", stamp(), "-o", path+".tmp", p.path)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", p.name, err, text)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return "", err
	}
	fmt.Fprintf(out, "built %s in %s\n", p.name, time.Since(begun).Round(time.Second))
	return path, nil
}

// required drops the lines of a go.mod that change no program: those that are nothing but
// a comment, and the list of tools.
func required(mod []byte) (out []byte) {
	tools := false
	for line := range bytes.Lines(mod) {
		switch {
		case bytes.HasPrefix(line, []byte("tool (")):
			tools = true
		case tools:
			tools = !bytes.HasPrefix(line, []byte(")"))
		case !bytes.HasPrefix(line, []byte("//")) && !bytes.HasPrefix(line, []byte("tool ")):
			out = append(out, line...)
		}
	}
	return out
}

// stamp are the linker's flags that tell the programs which release they are: without
// them user agents and /version would be none that a real cluster has.
func stamp() string {
	var b strings.Builder
	b.WriteString("-s -w")
	for _, in := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, set := range []string{"gitVersion=" + Version, "gitMajor=1", "gitMinor=36", "gitCommit=e2e", "gitTreeState=clean"} {
			fmt.Fprintf(&b, " -X %s.%s", in, set)
		}
	}
	return b.String()
}

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
	"strings"
	"syscall"
	"time"
)

// Version is the release of Kubernetes that is built; go.mod says the same.
const Version = "v1.36.3"

// programs are built in this order: what is needed first comes first.
func programs() [][2]string {
	return [][2]string{
		{"etcd", "go.etcd.io/etcd/server/v3"},
		{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
		{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
		{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	}
}

// Binaries is the directory with the programs of a control plane.
type Binaries string

// Path returns where the program of that name is.
func (b Binaries) Path(name string) string { return filepath.Join(string(b), name) }

// Build builds what is not there yet of the tools of the module in dir, one after the
// other and gently, into a directory below the user's cache that is named after go.mod.
// That takes minutes the first time, and nothing afterwards. It says on out what it
// does. Several processes at a time wait for each other.
func Build(ctx context.Context, dir string, out io.Writer) (Binaries, error) {
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(withoutComments(mod))
	to := filepath.Join(cache, "kubetrail-e2e", hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(to, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(to, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	for _, p := range programs() {
		path := filepath.Join(to, p[0])
		if _, err := os.Stat(path); err == nil {
			continue
		}
		begun := time.Now()
		fmt.Fprintf(out, "building %s\n", p[0])
		cmd := exec.CommandContext(ctx, "nice", "go", "build", "-p", "2", "-trimpath", "-ldflags", stamp(), "-o", path+".tmp", p[1])
		cmd.Dir = dir
		if text, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", p[0], err, text)
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			return "", err
		}
		fmt.Fprintf(out, "built %s in %s\n", p[0], time.Since(begun).Round(time.Second))
	}
	return Binaries(to), nil
}

// withoutComments drops the lines of a go.mod that are nothing but a comment.
func withoutComments(mod []byte) (out []byte) {
	for line := range bytes.Lines(mod) {
		if !bytes.HasPrefix(line, []byte("//")) {
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

package plane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// AddScheduler starts a kube-scheduler at that server.
func (p *Plane) AddScheduler(s *Server) error {
	port, err := FreePort()
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(p.Dir, "kube-scheduler.kubeconfig")
	if err := p.PKI.Issue("system:kube-scheduler"); err != nil {
		return err
	}
	if err := p.PKI.Kubeconfig(kubeconfig, s.URL, "system:kube-scheduler", ""); err != nil {
		return err
	}
	x, err := Start("kube-scheduler", filepath.Join(p.Dir, "kube-scheduler.stderr"), p.Bin.Path("kube-scheduler"),
		"--kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig, "--authorization-kubeconfig", kubeconfig,
		"--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(port), "--leader-elect=false")
	if err == nil {
		p.managers = append(p.managers, x)
	}
	return err
}

// Node says what the pods of a node that kwok plays answer.
type Node struct {
	Name    string
	IP      string // of the machine; a proxy to the node refuses one of the loopback
	Log     string // file in CRI format, which is the log of every container
	Forward int    // port of the loopback that every forwarded port leads to
}

// AddNode starts kwok in place of the kubelet of one node: pods that are bound to it run
// at once, go at once, and answer: logs from a file, exec and attach by a process on this
// machine, port-forward from one port. The node is there and ready when AddNode returns.
func (p *Plane) AddNode(ctx context.Context, s *Server, n Node) error {
	port, err := FreePort()
	if err != nil {
		return err
	}
	config := filepath.Join(p.Dir, "kwok.yaml")
	if err := os.WriteFile(config, []byte(n.kwok()), 0o600); err != nil {
		return err
	}
	kwok, err := Start("kwok", filepath.Join(p.Dir, "kwok.stderr"), p.Bin.Path("kwok"),
		"--kubeconfig", s.Kubeconfig, "--config", config, "--manage-all-nodes", "--node-ip", n.IP,
		"--server-address", fmt.Sprintf("0.0.0.0:%d", port), "--node-port", fmt.Sprint(port), "--cidr", "10.20.0.0/24",
		"--tls-cert-file", p.PKI.Path("kube-apiserver.crt"), "--tls-private-key-file", p.PKI.Path("kube-apiserver.key"))
	if err != nil {
		return err
	}
	p.managers = append(p.managers, kwok)
	if err := p.Ask(ctx, s, "create", "-f", "-", fmt.Sprintf(`{"apiVersion":"v1","kind":"Node","metadata":{"name":%q}}`, n.Name)); err != nil {
		return err
	}
	return p.Ask(ctx, s, "wait", "--for=condition=Ready", "--timeout=60s", "node/"+n.Name, "")
}

// Ask runs kubectl as an administrator until it succeeds: for a short while after the
// start of a server some things are not there yet. The last argument is its input.
func (p *Plane) Ask(ctx context.Context, s *Server, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		out, err := p.Kubectl(ctx, s.Kubeconfig, args[len(args)-1], args[:len(args)-1]...)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// kwok is its configuration.
func (n Node) kwok() string {
	return fmt.Sprintf(`apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options: {enableDebuggingHandlers: true, nodeLeaseParallelism: 1, podPlayStageParallelism: 4, nodePlayStageParallelism: 1, nodeLeaseDurationSeconds: 40}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterExec
metadata: {name: all}
spec: {execs: [{local: {workDir: /tmp}}]}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterLogs
metadata: {name: all}
spec: {logs: [{logsFile: %[1]q, previousLogsFile: %[1]q, follow: true}]}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterAttach
metadata: {name: all}
spec: {attaches: [{logsFile: %[1]q}]}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterPortForward
metadata: {name: all}
spec: {forwards: [{target: {address: 127.0.0.1, port: %[2]d}}]}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector: {matchExpressions: [{key: .status.phase, operator: NotIn, values: [Running]}]}
  next:
    statusTemplate: |
      phase: Running
      addresses: [{address: {{ NodeIP | Quote }}, type: InternalIP}]
      daemonEndpoints: {kubeletEndpoint: {Port: {{ NodePort }}}}
      allocatable: {cpu: "100", memory: 1Ti, pods: "10000"}
      capacity: {cpu: "100", memory: 1Ti, pods: "10000"}
      conditions: [{type: Ready, status: "True", reason: Played, lastHeartbeatTime: {{ Now | Quote }}, lastTransitionTime: {{ Now | Quote }}}]
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions: [{key: .metadata.deletionTimestamp, operator: DoesNotExist}, {key: .status.phase, operator: In, values: [Pending]}]
  next:
    statusTemplate: |
      phase: Running
      startTime: {{ Now | Quote }}
      hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
      podIP: {{ PodIPWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid "" ) ( or .metadata.name "" ) ( or .metadata.namespace "" ) | Quote }}
      conditions: [{type: Ready, status: "True", lastTransitionTime: {{ Now | Quote }}}]
      containerStatuses:
      {{ range .spec.containers }}
      - {name: {{ .name | Quote }}, image: {{ .image | Quote }}, ready: true, restartCount: 0, state: {running: {startedAt: {{ Now | Quote }}}}}
      {{ end }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: gone}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector: {matchExpressions: [{key: .metadata.deletionTimestamp, operator: Exists}]}
  next: {delete: true}
`, n.Log, n.Forward)
}

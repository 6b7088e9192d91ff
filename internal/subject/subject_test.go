package subject_test

import (
	"testing"

	"kubetrail/internal/subject"
)

func TestOf(t *testing.T) {
	for name, want := range map[string]subject.Subject{
		"":                                  {},
		"jai":                               {Kind: subject.Person, Name: "jai"},
		"system:anonymous":                  {Kind: subject.Anonymous, Name: "system:anonymous"},
		"system:serviceaccount:ci:deployer": {Kind: subject.ServiceAccount, Namespace: "ci", Name: "deployer"},
		"system:serviceaccount:kube-system:replicaset-controller": {Kind: subject.ControlPlane, Namespace: "kube-system", Name: "replicaset-controller"},
		"system:serviceaccount:kube-system:coredns":               {Kind: subject.ServiceAccount, Namespace: "kube-system", Name: "coredns"},
		"system:serviceaccount:ci:replicaset-controller":          {Kind: subject.ServiceAccount, Namespace: "ci", Name: "replicaset-controller"},
		"system:node:node-1":                                      {Kind: subject.Node, Name: "node-1"},
		"system:bootstrap:abc":                                    {Kind: subject.Bootstrap, Name: "abc"},
		"system:kube-scheduler":                                   {Kind: subject.ControlPlane, Name: "kube-scheduler"},
		"system:apiserver":                                        {Kind: subject.ControlPlane, Name: "apiserver"},
		"system:admin":                                            {Kind: subject.Person, Name: "system:admin"},
	} {
		if got := subject.Of(name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestTool(t *testing.T) {
	for agent, want := range map[string][2]string{
		"kubectl/v1.36.3 (linux/amd64) kubernetes/$Format": {"kubectl", "v1.36.3"},
		"curl/7.88.1":             {"curl", "7.88.1"},
		"rig-load/alice":          {"rig-load", ""},
		"helm":                    {"helm", ""},
		"<script>alert(1)":        {"<script>alert(1)", ""},
		"":                        {"", ""},
		"审计/1.0 日本語 émoji😀":       {"审计", "1.0"},
		"kubelet/v0.0.0-master+$": {"kubelet", ""},
	} {
		name, version := subject.Tool(agent)
		if name != want[0] || version != want[1] {
			t.Errorf("%q: %q %q, want %q", agent, name, version, want)
		}
	}
}

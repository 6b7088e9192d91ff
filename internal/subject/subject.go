// Package subject tells who a user name of an audit event is: a person, a service
// account, a node, a part of the control plane, or nobody who said who they are. And
// which program a user agent names.
package subject

import "strings"

// Kind is what a subject is.
type Kind uint8

const (
	Unknown        Kind = iota // no name: authentication failed
	Person                     // or a program with a certificate or token like a person's
	ServiceAccount             // a workload
	Node                       // a kubelet
	ControlPlane               // kube-apiserver, kube-scheduler, a controller of kube-controller-manager
	Anonymous                  // system:anonymous
	Bootstrap                  // a bootstrap token: a machine that joins
)

// String returns the name in English, as JSON answers have it.
func (k Kind) String() string {
	return [...]string{"unknown", "person", "serviceAccount", "node", "controlPlane", "anonymous", "bootstrap"}[k]
}

// Subject is a user name taken apart.
type Subject struct {
	Kind      Kind
	Namespace string // of a service account
	Name      string // without what the kind says: "deployer", "node-1", "replicaset-controller"; otherwise the whole user name
}

const serviceAccount = "system:serviceaccount:"

// Of takes a user name apart. A controller of kube-controller-manager acts with a
// service account of kube-system (--use-service-account-credentials): it is of the
// control plane, though a workload could be given the same account.
func Of(username string) Subject {
	switch {
	case username == "":
		return Subject{}
	case username == "system:anonymous":
		return Subject{Kind: Anonymous, Name: username}
	case strings.HasPrefix(username, serviceAccount):
		namespace, name, _ := strings.Cut(username[len(serviceAccount):], ":")
		if namespace == "kube-system" && controllers[name] {
			return Subject{ControlPlane, namespace, name}
		}
		return Subject{ServiceAccount, namespace, name}
	case strings.HasPrefix(username, "system:node:"):
		return Subject{Kind: Node, Name: username[len("system:node:"):]}
	case strings.HasPrefix(username, "system:bootstrap:"):
		return Subject{Kind: Bootstrap, Name: username[len("system:bootstrap:"):]}
	case strings.HasPrefix(username, "system:kube-"), username == "system:apiserver", username == "system:aggregator",
		username == "system:cloud-controller-manager":
		return Subject{Kind: ControlPlane, Name: username[len("system:"):]}
	}
	return Subject{Kind: Person, Name: username}
}

// Machine reports whether nobody asked for what the subject does: it is the control
// plane, or a node.
func (s Subject) Machine() bool { return s.Kind == ControlPlane || s.Kind == Node }

// controllers are the service accounts that kube-controller-manager v1.36 and before
// acts with, as its bootstrap policy for RBAC names them.
var controllers = map[string]bool{
	"attachdetach-controller": true, "bootstrap-signer": true, "certificate-controller": true,
	"clusterrole-aggregation-controller": true, "cronjob-controller": true, "daemon-set-controller": true,
	"deployment-controller": true, "device-taint-eviction-controller": true, "disruption-controller": true,
	"endpoint-controller": true, "endpointslice-controller": true, "endpointslicemirroring-controller": true,
	"ephemeral-volume-controller": true, "expand-controller": true, "generic-garbage-collector": true,
	"horizontal-pod-autoscaler": true, "job-controller": true, "legacy-service-account-token-cleaner": true,
	"namespace-controller": true, "node-controller": true, "persistent-volume-binder": true,
	"pod-garbage-collector": true, "podcertificaterequestcleaner": true, "pv-protection-controller": true,
	"pvc-protection-controller": true, "replicaset-controller": true, "replication-controller": true,
	"resource-claim-controller": true, "resourcequota-controller": true, "root-ca-cert-publisher": true,
	"route-controller": true, "selinux-warning-controller": true, "service-account-controller": true,
	"service-cidrs-controller": true, "service-controller": true, "statefulset-controller": true,
	"storage-version-garbage-collector": true, "storage-version-migrator-controller": true,
	"taint-eviction-controller": true, "token-cleaner": true, "ttl-after-finished-controller": true,
	"ttl-controller": true, "validatingadmissionpolicy-status-controller": true,
	"vac-protection-controller": true, "volumeattributesclass-protection-controller": true,
	"kube-apiserver-serving-clustertrustbundle-publisher": true,
}

// Tool is the program that a user agent names, with its version where it is one, as
// "kubectl" and "v1.36.3". What no program would call itself comes back whole, as the
// name: anybody may send any user agent.
func Tool(userAgent string) (name, version string) {
	first, _, _ := strings.Cut(userAgent, " ")
	name, version, _ = strings.Cut(first, "/")
	if name == "" || strings.ContainsAny(name, "<>()[]{};\"'\\") {
		return userAgent, ""
	}
	if strings.ContainsAny(version, "<>()[]{};\"'\\$") || !strings.ContainsAny(version, "0123456789") {
		version = ""
	}
	return name, version
}

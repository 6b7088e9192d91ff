package cause

import "strings"

// safe are the characters of the suffixes that Kubernetes makes up
// (k8s.io/apimachinery/pkg/util/rand).
const safe = "bcdfghjklmnpqrstvwxz2456789"

// suffixed returns name without its last part, where that could have been made up by a
// controller: min to max safe characters.
func suffixed(name string, min, max int) (rest string, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 || len(name)-i-1 < min || len(name)-i-1 > max || strings.Trim(name[i+1:], safe) != "" {
		return "", false
	}
	return name[:i], true
}

// numbered is suffixed for an ordinal or a time: the pods of a StatefulSet, the Jobs of
// a CronJob.
func numbered(name string) (rest string, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 || i == len(name)-1 || len(name)-i > 11 || strings.Trim(name[i+1:], "0123456789") != "" {
		return "", false
	}
	return name[:i], true
}

// namesake returns the objects that the name of an object says are its owner: weaker
// evidence than an owner reference, since anybody may give an object such a name.
func namesake(k key) (owners []key) {
	add := func(group, resource, name string, ok bool) {
		if ok {
			owners = append(owners, key{group, resource, k.namespace, name})
		}
	}
	switch k.resource {
	case "replicasets":
		name, ok := suffixed(k.name, 1, 10)
		add("apps", "deployments", name, ok)
	case "pods":
		name, ok := suffixed(k.name, 5, 5)
		for _, owner := range [][2]string{{"apps", "replicasets"}, {"apps", "daemonsets"}, {"batch", "jobs"}, {"", "replicationcontrollers"}} {
			add(owner[0], owner[1], name, ok)
		}
		name, ok = numbered(k.name)
		add("apps", "statefulsets", name, ok)
	case "jobs":
		name, ok := numbered(k.name)
		add("batch", "cronjobs", name, ok)
	case "controllerrevisions":
		name, ok := suffixed(k.name, 1, 10)
		add("apps", "statefulsets", name, ok)
		add("apps", "daemonsets", name, ok)
	case "endpointslices":
		name, ok := suffixed(k.name, 5, 5)
		add("", "services", name, ok)
	case "endpoints":
		add("", "services", k.name, true)
	}
	return owners
}

// resources of the kinds that own something in an ordinary cluster.
var resourceOf = map[string][2]string{
	"Deployment": {"apps", "deployments"}, "ReplicaSet": {"apps", "replicasets"}, "StatefulSet": {"apps", "statefulsets"},
	"DaemonSet": {"apps", "daemonsets"}, "Job": {"batch", "jobs"}, "CronJob": {"batch", "cronjobs"},
	"ReplicationController": {"", "replicationcontrollers"}, "Service": {"", "services"}, "Node": {"", "nodes"}, "Pod": {"", "pods"},
	"ConfigMap": {"", "configmaps"}, "Namespace": {"", "namespaces"}, "Secret": {"", "secrets"}, "ServiceAccount": {"", "serviceaccounts"},
}

package lint

import (
	_ "embed" // for the table of APIs
	"slices"
	"strings"

	"kubetrail/policy"
)

// builtinAPIs are the groups and resources that kube-apiserver serves by itself in any
// release from 1.23 to 1.37, alpha ones too: a group, then its resources, each with
// its scope (n in namespaces, c in the cluster), its subresources, and <N for one that
// is gone since 1.N.
//
//go:embed apis.txt
var builtinAPIs string

// goneGroups are groups that kube-apiserver once served by itself, with the release
// that no longer does.
func goneGroups() map[string]policy.Kubernetes {
	return map[string]policy.Kubernetes{
		"extensions":               22,
		"settings.k8s.io":          20,
		"auditregistration.k8s.io": 19,
	}
}

// api is a resource of a group.
type api struct {
	namespaced   bool
	subresources []string
	gone         policy.Kubernetes // the release without it; 0: none
}

// apis are resources by group and name. The core group is "".
type apis map[string]map[string]api

func builtin() apis {
	all := apis{}
	group := ""
	for line := range strings.Lines(builtinAPIs) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case line[0] != ' ':
			group = strings.TrimPrefix(words[0], "core")
			all[group] = map[string]api{}
		default:
			a := api{namespaced: words[1] == "n"}
			for _, w := range words[2:] {
				if since, ok := strings.CutPrefix(w, "<"); ok {
					a.gone = release(since)
				} else {
					a.subresources = append(a.subresources, w)
				}
			}
			all[group][words[0]] = a
		}
	}
	return all
}

func release(minor string) policy.Kubernetes {
	k, err := policy.ParseKubernetes("1." + minor)
	if err != nil {
		panic("lint: the table of APIs names release " + minor)
	}
	return k
}

// groups lists the names of the groups, sorted.
func (a apis) groups() []string {
	var names []string
	for g := range a {
		names = append(names, g)
	}
	slices.Sort(names)
	return names
}

// homes lists the groups, but for one, that have a resource of that name now.
func (a apis) homes(resource, but string) []string {
	var in []string
	for _, g := range a.groups() {
		if r, ok := a[g][resource]; ok && r.gone == 0 && g != but {
			in = append(in, g)
		}
	}
	return in
}

// names lists the resources of a group.
func (a apis) names(group string) []string {
	var names []string
	for r := range a[group] {
		names = append(names, r)
	}
	slices.Sort(names)
	return names
}

// shortNames are what kubectl lets people type instead of resources.
func shortNames() map[string]string {
	return map[string]string{
		"cm": "configmaps", "cj": "cronjobs", "crd": "customresourcedefinitions", "crds": "customresourcedefinitions",
		"csr": "certificatesigningrequests", "deploy": "deployments", "ds": "daemonsets", "ep": "endpoints",
		"ev": "events", "hpa": "horizontalpodautoscalers", "ing": "ingresses", "limits": "limitranges",
		"netpol": "networkpolicies", "no": "nodes", "ns": "namespaces", "pc": "priorityclasses",
		"pdb": "poddisruptionbudgets", "po": "pods", "psp": "podsecuritypolicies",
		"pv": "persistentvolumes", "pvc": "persistentvolumeclaims", "quota": "resourcequotas",
		"rc": "replicationcontrollers", "rs": "replicasets", "sa": "serviceaccounts", "sc": "storageclasses",
		"sts": "statefulsets", "svc": "services",
	}
}

// nearest returns the known name that was probably meant: the same but for case or
// for one or two letters, in long names only; empty where none is near.
func nearest(name string, known []string) string {
	best, least := "", 3
	lower := strings.ToLower(strings.TrimSpace(name))
	for _, k := range known {
		d := distance(lower, strings.ToLower(k))
		if d < least && d*4 <= len(k) || d == 0 {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, change or swap with the next one to
// make b of a.
func distance(a, b string) int {
	if max(len(a)-len(b), len(b)-len(a)) > 2 {
		return 3
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

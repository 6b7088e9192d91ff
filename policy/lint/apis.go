package lint

import (
	"slices"
	"strings"

	"kubetrail/policy"
)

// builtinAPIs are the groups and resources that kube-apiserver serves by itself in any
// release from 1.23 to 1.37, alpha ones too: a group, then its resources, each with
// its scope (n in namespaces, c in the cluster), its subresources, and <N for one that
// is gone since 1.N.
const builtinAPIs = `
core
 bindings n
 componentstatuses c
 configmaps n
 endpoints n
 events n
 limitranges n
 namespaces c finalize status
 nodes c proxy status
 persistentvolumeclaims n status
 persistentvolumes c status
 pods n attach binding ephemeralcontainers eviction exec log portforward proxy resize status
 podtemplates n
 replicationcontrollers n scale status
 resourcequotas n status
 secrets n
 serviceaccounts n token
 services n proxy status
admissionregistration.k8s.io
 mutatingadmissionpolicies c
 mutatingadmissionpolicybindings c
 mutatingwebhookconfigurations c
 validatingadmissionpolicies c status
 validatingadmissionpolicybindings c
 validatingwebhookconfigurations c
apiextensions.k8s.io
 customresourcedefinitions c status
apiregistration.k8s.io
 apiservices c status
apps
 controllerrevisions n
 daemonsets n status
 deployments n scale status
 replicasets n scale status
 statefulsets n scale status
authentication.k8s.io
 selfsubjectreviews c
 tokenreviews c
authorization.k8s.io
 localsubjectaccessreviews n
 selfsubjectaccessreviews c
 selfsubjectrulesreviews c
 subjectaccessreviews c
autoscaling
 horizontalpodautoscalers n status
batch
 cronjobs n status
 jobs n status
certificates.k8s.io
 certificatesigningrequests c approval status
 clustertrustbundles c
 podcertificaterequests n status
coordination.k8s.io
 leasecandidates n
 leases n
discovery.k8s.io
 endpointslices n
events.k8s.io
 events n
flowcontrol.apiserver.k8s.io
 flowschemas c status
 prioritylevelconfigurations c status
internal.apiserver.k8s.io
 storageversions c status
lifecycle.k8s.io
 evictionrequests n status
 evictions n status
networking.k8s.io
 clustercidrs c <30
 ingressclasses c
 ingresses n status
 ipaddresses c
 networkpolicies n status
 servicecidrs c status
node.k8s.io
 runtimeclasses c
policy
 poddisruptionbudgets n status
 podsecuritypolicies c <25
rbac.authorization.k8s.io
 clusterrolebindings c
 clusterroles c
 rolebindings n
 roles n
resource.k8s.io
 deviceclasses c
 devicetaintrules c status
 podschedulingcontexts n status <32
 podschedulings n status <28
 resourceclaimparameters n <32
 resourceclaims n status
 resourceclaimtemplates n
 resourceclasses c <31
 resourceclassparameters n <32
 resourcepoolstatusrequests c status
 resourceslices c
scheduling.k8s.io
 compositepodgroups n status
 podgroups n status
 priorityclasses c
 workloads n status
storage.k8s.io
 csidrivers c
 csinodes c
 csistoragecapacities n
 storageclasses c
 volumeattachments c status
 volumeattributesclasses c
storagemigration.k8s.io
 storageversionmigrations c status
`

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

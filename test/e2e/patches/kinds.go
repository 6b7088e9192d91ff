// Package patches makes up objects of many kinds and, for their whole lives, patches as
// people, tools and controllers send them, and some that only an enemy would send. It
// knows nothing of how a kube-apiserver, or anybody else, applies them.
package patches

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// Object is an object of the API, or a part of one, as JSON.
type Object = map[string]any

// Kind is a kind of objects.
type Kind struct {
	Kind, Group, Version, Resource string
	Namespaced                     bool

	base   func(r *rand.Rand, name string) Object // what stands beside metadata
	pod    []string                               // where a pod's spec is, if there is one
	scale  bool                                   // has the subresource
	custom bool                                   // strategic merge patches are refused
	edits  []edit                                 // of the object
	status []edit                                 // of its subresource status
}

// APIVersion is what objects of the kind have as apiVersion.
func (k *Kind) APIVersion() string {
	if k.Group == "" {
		return k.Version
	}
	return k.Group + "/" + k.Version
}

// Cast returns kinds in the order in which objects are made: those that are patched
// most, more than once.
func Cast() []*Kind {
	var often []*Kind
	for _, k := range Kinds() {
		switch k.Kind {
		case "Deployment":
			often = append(often, k, k, k)
		case "Pod", "StatefulSet", "DaemonSet", "ConfigMap", "Node", "Service":
			often = append(often, k)
		}
	}
	return append(Kinds(), often...)
}

// Path is the path of the collection; namespace counts for kinds that have one.
func (k *Kind) Path(namespace string) string {
	p := "/apis/" + k.Group + "/" + k.Version
	if k.Group == "" {
		p = "/api/" + k.Version
	}
	if k.Namespaced {
		p += "/namespaces/" + namespace
	}
	return p + "/" + k.Resource
}

// New returns an object to be created.
func (k *Kind) New(r *rand.Rand, namespace, name string) Object {
	o := k.base(r, name)
	o["apiVersion"], o["kind"] = k.APIVersion(), k.Kind
	meta := Object{"name": name, "labels": Object{"app": "web", "team": pick(r, "blue", "green", "red")}}
	if k.Namespaced {
		meta["namespace"] = namespace
	}
	if r.IntN(2) == 0 {
		meta["annotations"] = Object{"example.com/owner": "jai", "note": "first"}
	}
	o["metadata"] = meta
	return Copy(o)
}

// parse makes an object of JSON that is written down here.
func parse(format string, args ...any) Object {
	var o Object
	if err := json.Unmarshal(fmt.Appendf(nil, format, args...), &o); err != nil {
		panic(fmt.Sprintf("%v in %s", err, fmt.Sprintf(format, args...))) // a mistake in this package
	}
	return o
}

func fixed(text string) func(*rand.Rand, string) Object {
	return func(*rand.Rand, string) Object { return parse("%s", text) }
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// podSpec is a small or a large one, with nothing in it that admission would change
// or a name that must exist.
func podSpec(r *rand.Rand) string {
	return pick(r,
		`{"containers":[{"name":"app","image":"nginx:1.27"}]}`,
		`{"containers":[{"name":"app","image":"nginx:1.27","ports":[{"containerPort":80}],"env":[{"name":"MODE","value":"prod"},{"name":"LEVEL","value":"info"}],
			"resources":{"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"memory":"256Mi"}}}]}`,
		`{"containers":[
			{"name":"app","image":"registry.example.com/shop/web:v1.4.2","args":["--port=8080","--verbose"],"ports":[{"name":"http","containerPort":8080},{"name":"dns","containerPort":53,"protocol":"UDP"},{"name":"dns-tcp","containerPort":53,"protocol":"TCP"}],
			 "env":[{"name":"MODE","value":"prod"},{"name":"POD_IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}},{"name":"PASSWORD","valueFrom":{"secretKeyRef":{"name":"db","key":"password"}}}],
			 "envFrom":[{"configMapRef":{"name":"settings"}}],
			 "readinessProbe":{"httpGet":{"path":"/healthz","port":"http"}},"livenessProbe":{"tcpSocket":{"port":8080},"initialDelaySeconds":5},
			 "volumeMounts":[{"name":"config","mountPath":"/etc/app"},{"name":"tmp","mountPath":"/tmp"}],"securityContext":{"runAsNonRoot":true,"runAsUser":1000}},
			{"name":"sidecar","image":"envoy","imagePullPolicy":"IfNotPresent"}],
		  "initContainers":[{"name":"init","image":"busybox:1.37","command":["sh","-c","true"]}],
		  "volumes":[{"name":"config","configMap":{"name":"settings"}},{"name":"tmp","emptyDir":{}}],
		  "tolerations":[{"key":"dedicated","operator":"Equal","value":"web","effect":"NoSchedule"}],
		  "nodeSelector":{"disk":"ssd"},"securityContext":{"fsGroup":2000},"terminationGracePeriodSeconds":60,
		  "topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"ScheduleAnyway","labelSelector":{"matchLabels":{"app":"web"}}}]}`)
}

func workload(format string) func(*rand.Rand, string) Object {
	return func(r *rand.Rand, _ string) Object {
		return parse(format, `{"metadata":{"labels":{"app":"web"}},"spec":`+podSpec(r)+`}`)
	}
}

// jobSpec is a pod's spec that jobs accept.
func jobSpec(r *rand.Rand) string {
	return pick(r,
		`{"restartPolicy":"Never","containers":[{"name":"app","image":"busybox:1.37","command":["true"]}]}`,
		`{"restartPolicy":"OnFailure","containers":[{"name":"app","image":"busybox","env":[{"name":"MODE","value":"x"}],"resources":{"limits":{"cpu":"0.5"}}}],"volumes":[{"name":"tmp","emptyDir":{"sizeLimit":"1024Mi"}}]}`)
}

// CRD is the definition of the custom kind.
const CRD = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"crontabs.stable.example.com"},
"spec":{"group":"stable.example.com","scope":"Namespaced","names":{"plural":"crontabs","singular":"crontab","kind":"CronTab","shortNames":["ct"]},
"versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{},"scale":{"specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas"}},
"schema":{"openAPIV3Schema":{"type":"object","properties":{
 "spec":{"type":"object","required":["cronSpec"],"properties":{
  "cronSpec":{"type":"string"},"image":{"type":"string","default":"busybox"},"replicas":{"type":"integer","minimum":0,"default":1},
  "limit":{"x-kubernetes-int-or-string":true},
  "options":{"type":"object","properties":{"retries":{"type":"integer","default":3},"mode":{"type":"string"}}},
  "free":{"type":"object","x-kubernetes-preserve-unknown-fields":true},
  "tags":{"type":"array","items":{"type":"string"},"x-kubernetes-list-type":"set"},
  "steps":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],"items":{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"run":{"type":"string"},"timeout":{"type":"integer","default":30}}}},
  "args":{"type":"array","items":{"type":"string"}}}},
 "status":{"type":"object","properties":{"replicas":{"type":"integer"},"phase":{"type":"string"}}}}}}}]}}`

// Kinds are all kinds.
func Kinds() []*Kind {
	var all []*Kind
	for _, some := range [][]*Kind{plainKinds(), clusterKinds(), workloadKinds(), policyKinds()} {
		all = append(all, some...)
	}
	return all
}

func plainKinds() []*Kind {
	return []*Kind{
		{Kind: "ConfigMap", Version: "v1", Resource: "configmaps", Namespaced: true, edits: dataEdits(),
			base: fixed(`{"data":{"a":"1","log.level":"info","b":"line one\nline two\n"}}`)},
		{Kind: "Secret", Version: "v1", Resource: "secrets", Namespaced: true, edits: secretEdits(),
			base: fixed(`{"type":"Opaque","data":{"password":"aHVudGVyMg==","user":"amFp"}}`)},
		{Kind: "Service", Version: "v1", Resource: "services", Namespaced: true, edits: serviceEdits(), status: loadBalancerStatus(),
			base: func(r *rand.Rand, _ string) Object {
				return pick(r, parse(`{"spec":{"selector":{"app":"web"},"ports":[{"port":80}]}}`),
					parse(`{"spec":{"selector":{"app":"web"},"ports":[{"name":"http","port":80,"targetPort":8080},{"name":"https","port":443,"targetPort":"https"}]}}`),
					parse(`{"spec":{"type":"NodePort","selector":{"app":"web"},"ports":[{"name":"http","port":80},{"name":"dns","port":53,"protocol":"UDP"},{"name":"dns-tcp","port":53}]}}`),
					parse(`{"spec":{"clusterIP":"None","selector":{"app":"web"},"ports":[{"port":80}]}}`))
			}},
		{Kind: "ServiceAccount", Version: "v1", Resource: "serviceaccounts", Namespaced: true, edits: accountEdits(),
			base: fixed(`{"imagePullSecrets":[{"name":"registry"}],"secrets":[{"name":"token-1"}]}`)},
		{Kind: "Endpoints", Version: "v1", Resource: "endpoints", Namespaced: true, edits: endpointsEdits(),
			base: fixed(`{"subsets":[{"addresses":[{"ip":"10.0.0.7"},{"ip":"10.0.0.5","targetRef":{"kind":"Pod","name":"web-1"}}],"ports":[{"name":"http","port":8080}]}]}`)},
		{Kind: "EndpointSlice", Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices", Namespaced: true, edits: sliceEdits(),
			base: fixed(`{"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.7"],"conditions":{"ready":true}}],"ports":[{"name":"http","port":8080}]}`)},
		{Kind: "Lease", Group: "coordination.k8s.io", Version: "v1", Resource: "leases", Namespaced: true, edits: leaseEdits(),
			base: fixed(`{"spec":{"holderIdentity":"a","leaseDurationSeconds":15,"acquireTime":"2026-11-20T10:00:00.000000Z","renewTime":"2026-11-20T10:00:00.000000Z","leaseTransitions":0}}`)},
		{Kind: "LimitRange", Version: "v1", Resource: "limitranges", Namespaced: true, edits: limitEdits(),
			base: fixed(`{"spec":{"limits":[{"type":"Container","default":{"cpu":"500m","memory":"512Mi"},"max":{"cpu":"2"}},{"type":"Pod","max":{"memory":"4Gi"}}]}}`)},
		{Kind: "ResourceQuota", Version: "v1", Resource: "resourcequotas", Namespaced: true, edits: quotaEdits(), status: quotaStatus(),
			base: fixed(`{"spec":{"hard":{"pods":"10","requests.cpu":"4","limits.memory":"8Gi"}}}`)},
		{Kind: "PersistentVolumeClaim", Version: "v1", Resource: "persistentvolumeclaims", Namespaced: true, edits: claimEdits(), status: claimStatus(),
			base: fixed(`{"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"slow","resources":{"requests":{"storage":"10Gi"}}}}`)},
		{Kind: "CronTab", Group: "stable.example.com", Version: "v1", Resource: "crontabs", Namespaced: true, custom: true, scale: true, edits: customEdits(), status: customStatus(),
			base: func(r *rand.Rand, _ string) Object {
				return pick(r, parse(`{"spec":{"cronSpec":"* * * * */5"}}`),
					parse(`{"spec":{"cronSpec":"@daily","image":"tool:1","replicas":2,"limit":"50%%","options":{"mode":"fast"},"tags":["a","b"],"steps":[{"name":"one","run":"x"},{"name":"two"}],"args":["-v"],"free":{"any":{"thing":[1,2,{"x":null}]}}}}`))
			}},
	}
}

func clusterKinds() []*Kind {
	return []*Kind{
		{Kind: "Namespace", Version: "v1", Resource: "namespaces", edits: namespaceEdits(), base: fixed(`{}`)},
		{Kind: "Node", Version: "v1", Resource: "nodes", edits: nodeEdits(), status: nodeStatus(),
			base: fixed(`{"spec":{"podCIDR":"10.244.1.0/24","podCIDRs":["10.244.1.0/24"],"providerID":"x://1"}}`)},
		{Kind: "PersistentVolume", Version: "v1", Resource: "persistentvolumes", edits: volumeEdits(), status: phaseStatus("Available", "Released", "Failed"),
			base: fixed(`{"spec":{"capacity":{"storage":"10Gi"},"accessModes":["ReadWriteOnce"],"storageClassName":"slow","hostPath":{"path":"/data"}}}`)},
		{Kind: "ClusterRole", Group: rbac, Version: "v1", Resource: "clusterroles", edits: roleEdits(true),
			base: fixed(`{"rules":[{"apiGroups":[""],"resources":["pods","secrets"],"verbs":["get","list"]},{"nonResourceURLs":["/metrics"],"verbs":["get"]}]}`)},
		{Kind: "StorageClass", Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses", edits: classEdits(),
			base: fixed(`{"provisioner":"ebs.csi.example.com","parameters":{"type":"gp3"},"mountOptions":["debug"]}`)},
		{Kind: "PriorityClass", Group: "scheduling.k8s.io", Version: "v1", Resource: "priorityclasses", edits: priorityEdits(),
			base: fixed(`{"value":1000,"description":"for the shop"}`)},
		{Kind: "ValidatingWebhookConfiguration", Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations", edits: webhookEdits(),
			base: func(_ *rand.Rand, name string) Object {
				return parse(`{"webhooks":[{"name":"one.example.com","clientConfig":{"service":{"namespace":"nowhere","name":"hook"}},"rules":[{"apiGroups":["nowhere.example.com"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nothings"]}],"sideEffects":"None","admissionReviewVersions":["v1"],"failurePolicy":"Ignore"},
					{"name":"two.example.com","clientConfig":{"url":"https://hook.example.com/%s"},"rules":[{"apiGroups":["nowhere.example.com"],"apiVersions":["v1"],"operations":["UPDATE"],"resources":["nothings"],"scope":"Cluster"}],"sideEffects":"None","admissionReviewVersions":["v1"],"timeoutSeconds":5}]}`, name)
			}},
		{Kind: "RuntimeClass", Group: "node.k8s.io", Version: "v1", Resource: "runtimeclasses", edits: runtimeEdits(),
			base: fixed(`{"handler":"gvisor","overhead":{"podFixed":{"memory":"64Mi"}},"scheduling":{"nodeSelector":{"sandbox":"yes"}}}`)},
		{Kind: "CSIDriver", Group: "storage.k8s.io", Version: "v1", Resource: "csidrivers", edits: driverEdits(),
			base: fixed(`{"spec":{"attachRequired":false,"podInfoOnMount":true,"volumeLifecycleModes":["Persistent"]}}`)},
	}
}

const rbac = "rbac.authorization.k8s.io"

func workloadKinds() []*Kind {
	template := []string{"spec", "template", "spec"}
	return []*Kind{
		{Kind: "Pod", Version: "v1", Resource: "pods", Namespaced: true, pod: []string{"spec"}, edits: podEdits(), status: podStatus(),
			base: func(r *rand.Rand, _ string) Object { return parse(`{"spec":%s}`, podSpec(r)) }},
		{Kind: "ReplicationController", Version: "v1", Resource: "replicationcontrollers", Namespaced: true, pod: template, scale: true, edits: replicaEdits(), status: replicaStatus(),
			base: workload(`{"spec":{"replicas":2,"selector":{"app":"web"},"template":%s}}`)},
		{Kind: "Deployment", Group: "apps", Version: "v1", Resource: "deployments", Namespaced: true, pod: template, scale: true, edits: deploymentEdits(), status: replicaStatus(),
			base: workload(`{"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},"template":%s}}`)},
		{Kind: "ReplicaSet", Group: "apps", Version: "v1", Resource: "replicasets", Namespaced: true, pod: template, scale: true, edits: replicaEdits(), status: replicaStatus(),
			base: workload(`{"spec":{"selector":{"matchLabels":{"app":"web"}},"template":%s}}`)},
		{Kind: "StatefulSet", Group: "apps", Version: "v1", Resource: "statefulsets", Namespaced: true, pod: template, scale: true, edits: setEdits(), status: replicaStatus(),
			base: workload(`{"spec":{"serviceName":"web","replicas":3,"selector":{"matchLabels":{"app":"web"}},"template":%s,
				"volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]}}`)},
		{Kind: "DaemonSet", Group: "apps", Version: "v1", Resource: "daemonsets", Namespaced: true, pod: template, edits: daemonEdits(), status: daemonStatus(),
			base: workload(`{"spec":{"selector":{"matchLabels":{"app":"web"}},"template":%s}}`)},
		{Kind: "Job", Group: "batch", Version: "v1", Resource: "jobs", Namespaced: true, pod: template, edits: jobEdits(), status: jobStatus(),
			base: func(r *rand.Rand, _ string) Object {
				return parse(`{"spec":{"suspend":true,"parallelism":1,"template":{"spec":%s}}}`, jobSpec(r))
			}},
		{Kind: "CronJob", Group: "batch", Version: "v1", Resource: "cronjobs", Namespaced: true, pod: []string{"spec", "jobTemplate", "spec", "template", "spec"}, edits: cronEdits(), status: cronStatus(),
			base: func(r *rand.Rand, _ string) Object {
				return parse(`{"spec":{"schedule":"*/5 * * * *","jobTemplate":{"spec":{"template":{"spec":%s}}}}}`, jobSpec(r))
			}},
		{Kind: "HorizontalPodAutoscaler", Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers", Namespaced: true, edits: autoscalerEdits(), status: autoscalerStatus(),
			base: fixed(`{"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"},"minReplicas":1,"maxReplicas":5,"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":80}}}]}}`)},
	}
}

func policyKinds() []*Kind {
	return []*Kind{
		{Kind: "Ingress", Group: "networking.k8s.io", Version: "v1", Resource: "ingresses", Namespaced: true, edits: ingressEdits(), status: loadBalancerStatus(),
			base: fixed(`{"spec":{"ingressClassName":"nginx","rules":[{"host":"a.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"web","port":{"number":80}}}}]}}],"tls":[{"hosts":["a.example.com"],"secretName":"tls"}]}}`)},
		{Kind: "NetworkPolicy", Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies", Namespaced: true, edits: networkEdits(),
			base: fixed(`{"spec":{"podSelector":{"matchLabels":{"app":"web"}},"ingress":[{"from":[{"podSelector":{"matchLabels":{"app":"front"}}}],"ports":[{"port":80}]}]}}`)},
		{Kind: "PodDisruptionBudget", Group: "policy", Version: "v1", Resource: "poddisruptionbudgets", Namespaced: true, edits: budgetEdits(), status: budgetStatus(),
			base: fixed(`{"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"web"}}}}`)},
		{Kind: "Role", Group: rbac, Version: "v1", Resource: "roles", Namespaced: true, edits: roleEdits(false),
			base: fixed(`{"rules":[{"apiGroups":["apps"],"resources":["deployments"],"verbs":["get","list","watch"]}]}`)},
		{Kind: "RoleBinding", Group: rbac, Version: "v1", Resource: "rolebindings", Namespaced: true, edits: bindingEdits(),
			base: fixed(`{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"dev"},"subjects":[{"kind":"Group","name":"dev-team","apiGroup":"rbac.authorization.k8s.io"},{"kind":"ServiceAccount","name":"deployer","namespace":"shop"}]}`)},
	}
}

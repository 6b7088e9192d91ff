package record_test

import (
	"fmt"
	"strings"
)

// ask is one request, and how it must be answered.
type ask struct {
	what    string // in words, for reports
	who     string // a person of [people]
	method  string
	uri     string
	media   string // Content-Type
	body    string
	headers []string // name, value, name, value
	want    int      // status, 0 for no whole answer
	raw     bool     // sent as it is written here, by no client
	upgrade string   // the protocol that is asked for: websocket or SPDY
	save    string   // NAME=PATH: keep what the answer has there, as {NAME} of later requests
	hole    bool     // kube-apiserver loses the event of the answer
	silent  bool     // neither records it
	patient bool     // until it is answered so: controllers have to do something first
	closes  bool     // the connection ends before the answer does
}

// script collects requests in the order that they are sent in.
type script struct {
	ns    string // of this run
	group string // the API group of its custom resources
	asks  []*ask
}

const (
	jsonMedia  = "application/json"
	yamlMedia  = "application/yaml"
	protoMedia = "application/vnd.kubernetes.protobuf"
	cborMedia  = "application/cbor"
	mergeMedia = "application/merge-patch+json"
	stratMedia = "application/strategic-merge-patch+json"
	patchMedia = "application/json-patch+json"
	applyMedia = "application/apply-patch+yaml"
	applyCBOR  = "application/apply-patch+cbor"
	table      = "application/json;as=Table;v=v1;g=meta.k8s.io"
	partial    = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
	partials   = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
)

// expand puts the names of this run in the place of NS, GROUP and RUN.
func (s *script) expand(text string) string {
	return strings.NewReplacer("{NS}", s.ns, "{GROUP}", s.group).Replace(text)
}

func (s *script) add(want int, who, method, uri string, more ...string) *ask {
	a := &ask{who: who, method: method, uri: s.expand(uri), want: want}
	if len(more) > 0 {
		a.media = more[0]
	}
	if len(more) > 1 {
		a.body = s.expand(more[1])
	}
	if len(more) > 2 {
		for _, h := range more[2:] {
			a.headers = append(a.headers, s.expand(h))
		}
	}
	a.what = fmt.Sprintf("%s %.100s as %s", method, a.uri, who)
	if a.media != "" {
		a.what += " with " + a.media
	}
	s.asks = append(s.asks, a)
	return a
}

func (s *script) get(want int, who, uri string, headers ...string) *ask {
	return s.add(want, who, "GET", uri, append([]string{"", ""}, headers...)...)
}

func (s *script) post(want int, who, uri, body string, headers ...string) *ask {
	return s.add(want, who, "POST", uri, append([]string{jsonMedia, body}, headers...)...)
}

func (s *script) put(want int, who, uri, body string, headers ...string) *ask {
	return s.add(want, who, "PUT", uri, append([]string{jsonMedia, body}, headers...)...)
}

func (s *script) patch(want int, who, uri, media, body string, headers ...string) *ask {
	return s.add(want, who, "PATCH", uri, append([]string{media, body}, headers...)...)
}

func (s *script) delete(want int, who, uri, body string, headers ...string) *ask {
	media := ""
	if body != "" {
		media = jsonMedia
	}
	return s.add(want, who, "DELETE", uri, append([]string{media, body}, headers...)...)
}

// requests are all of them. The first make what the later ones are about.
func requests(ns, group string) []*ask {
	s := &script{ns: ns, group: group}
	s.world()
	s.kinds()
	s.customs()
	s.patches()
	s.forms()
	s.lists()
	s.watches()
	s.subresources()
	s.refusals()
	s.nonResources()
	s.impersonations()
	s.identities()
	s.oddities()
	s.deletions()
	return s.asks
}

// world makes the namespace, and who may do what in it.
func (s *script) world() {
	s.post(201, "admin", "/api/v1/namespaces", `{"metadata":{"name":"{NS}","labels":{"pod-security.kubernetes.io/warn":"restricted","pod-security.kubernetes.io/audit":"restricted"}}}`)
	s.post(201, "admin", "/apis/rbac.authorization.k8s.io/v1/namespaces/{NS}/roles", `{"metadata":{"name":"dev"},"rules":[
		{"apiGroups":["","apps"],"resources":["configmaps","pods","pods/log","deployments"],"verbs":["get","list","watch","create","update","patch","delete"]}]}`)
	s.post(201, "admin", "/apis/rbac.authorization.k8s.io/v1/namespaces/{NS}/rolebindings", `{"metadata":{"name":"dev"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"dev"},
		"subjects":[{"kind":"Group","apiGroup":"rbac.authorization.k8s.io","name":"dev"},{"kind":"ServiceAccount","namespace":"{NS}","name":"deployer"},{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"robot"}]}`)
	s.post(201, "admin", "/api/v1/namespaces/{NS}/serviceaccounts", `{"metadata":{"name":"deployer"}}`)
	s.post(201, "admin", "/api/v1/namespaces/{NS}/serviceaccounts/deployer/token", `{"spec":{"expirationSeconds":3600}}`).save = "token=status.token"
	s.post(201, "admin", "/api/v1/namespaces/{NS}/pods", pod("web", `"labels":{"app":"web"}`)).patient = true
	s.post(201, "alice", "/api/v1/namespaces/{NS}/pods", pod("spare", `"labels":{"app":"spare"}`))
	s.get(200, "alice", "/api/v1/namespaces/{NS}/pods/web/log").patient = true
	s.post(201, "admin", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", `{"metadata":{"name":"crontabs.{GROUP}"},"spec":{"group":"{GROUP}","scope":"Namespaced",
		"names":{"plural":"crontabs","singular":"crontab","kind":"CronTab","shortNames":["ct"]},"versions":[{"name":"v1","served":true,"storage":true,
		"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"cron":{"type":"string"},"replicas":{"type":"integer","minimum":0,"default":1},
		"list":{"type":"array","items":{"type":"string"}}}},"status":{"type":"object","properties":{"replicas":{"type":"integer"}}}}}},
		"additionalPrinterColumns":[{"name":"Spec","type":"string","jsonPath":".spec.cron"}],
		"subresources":{"status":{},"scale":{"specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas"}}}]}}`)
}

// pod is one that is admitted everywhere, with further metadata.
func pod(name, metadata string) string {
	if metadata != "" {
		metadata = "," + metadata
	}
	return fmt.Sprintf(`{"metadata":{"name":%q%s},"spec":{"containers":[{"name":"main","image":"registry.invalid/web:1","env":[{"name":"A","value":"<b&c>"}]}]}}`, name, metadata)
}

// kind is something that can be made, read, changed and deleted.
type kind struct {
	path  string // of all of them
	name  string
	body  string // without metadata.name
	patch string // a merge patch
}

func someKinds() []kind {
	labels := `{"metadata":{"labels":{"touched":"yes"}}}`
	template := `"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"registry.invalid/c"}]}}`
	ns := func(group, resource string) string { return group + "/namespaces/{NS}/" + resource }
	return []kind{
		{ns("/api/v1", "configmaps"), "settings", `"data":{"k":"v","html":"<a href=\"x\">&</a>","line":"\u2028"}`, `{"data":{"k":"w"}}`},
		{ns("/api/v1", "secrets"), "password", `"stringData":{"p":"hunter2"},"type":"Opaque"`, `{"data":{"q":"aHVudGVyMw=="}}`},
		{ns("/api/v1", "services"), "front", `"spec":{"selector":{"app":"web"},"ports":[{"port":80,"targetPort":"http"}]}`, `{"spec":{"sessionAffinity":"ClientIP"}}`},
		{ns("/api/v1", "endpoints"), "lonely", `"subsets":[{"addresses":[{"ip":"10.1.2.3"}],"ports":[{"port":80}]}]`, labels},
		{ns("/api/v1", "serviceaccounts"), "worker", `"automountServiceAccountToken":false`, labels},
		{ns("/api/v1", "limitranges"), "limits", `"spec":{"limits":[{"type":"PersistentVolumeClaim","max":{"storage":"10Gi"}}]}`, `{"spec":{"limits":[{"type":"PersistentVolumeClaim","max":{"storage":"20Gi"}}]}}`},
		{ns("/api/v1", "resourcequotas"), "quota", `"spec":{"hard":{"pods":"1000"}}`, `{"spec":{"hard":{"pods":"1k"}}}`},
		{ns("/api/v1", "persistentvolumeclaims"), "disk", `"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}`, labels},
		{ns("/api/v1", "replicationcontrollers"), "old", `"spec":{"replicas":0,"selector":{"a":"b"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"registry.invalid/c"}]}}}`, `{"spec":{"minReadySeconds":3}}`},
		{ns("/api/v1", "podtemplates"), "form", `"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"registry.invalid/c"}]}}`, labels},
		{"/api/v1/persistentvolumes", "{NS}-pv", `"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"hostPath":{"path":"/tmp/x"}}`, `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`},
		{ns("/apis/apps/v1", "deployments"), "api", `"spec":{"replicas":0,` + template + `}`, `{"spec":{"paused":true}}`},
		{ns("/apis/apps/v1", "statefulsets"), "db", `"spec":{"replicas":0,"serviceName":"db",` + template + `}`, `{"spec":{"minReadySeconds":3}}`},
		{ns("/apis/apps/v1", "daemonsets"), "agent", `"spec":{` + strings.Replace(template, `"spec":{`, `"spec":{"nodeSelector":{"no":"where"},`, 1) + `}`, `{"spec":{"minReadySeconds":3}}`},
		{ns("/apis/apps/v1", "replicasets"), "copies", `"spec":{"replicas":0,` + template + `}`, `{"spec":{"minReadySeconds":3}}`},
		{ns("/apis/batch/v1", "cronjobs"), "nightly", `"spec":{"schedule":"0 3 * * *","suspend":true,"jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"registry.invalid/c"}]}}}}}`, `{"spec":{"schedule":"0 4 * * *"}}`},
		{ns("/apis/batch/v1", "jobs"), "once", `"spec":{"suspend":true,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"registry.invalid/c"}]}}}`, labels},
		{ns("/apis/networking.k8s.io/v1", "ingresses"), "edge", `"spec":{"defaultBackend":{"service":{"name":"front","port":{"number":80}}}}`, labels},
		{ns("/apis/networking.k8s.io/v1", "networkpolicies"), "deny", `"spec":{"podSelector":{}}`, `{"spec":{"policyTypes":["Ingress","Egress"]}}`},
		{ns("/apis/policy/v1", "poddisruptionbudgets"), "budget", `"spec":{"maxUnavailable":"50%","selector":{"matchLabels":{"a":"b"}}}`, `{"spec":{"maxUnavailable":1}}`},
		{ns("/apis/autoscaling/v2", "horizontalpodautoscalers"), "more", `"spec":{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"none"}}`, `{"spec":{"maxReplicas":4}}`},
		{ns("/apis/coordination.k8s.io/v1", "leases"), "leader", `"spec":{"holderIdentity":"me","leaseDurationSeconds":15}`, `{"spec":{"holderIdentity":"you"}}`},
		{ns("/apis/discovery.k8s.io/v1", "endpointslices"), "slice", `"addressType":"IPv4","endpoints":[{"addresses":["10.1.2.4"]}],"ports":[{"port":80}]`, labels},
		{ns("/apis/events.k8s.io/v1", "events"), "happened", `"eventTime":"2026-01-02T03:04:05.000006Z","reportingController":"e2e.test/x","reportingInstance":"x","action":"Do","reason":"Because","type":"Normal","regarding":{"kind":"Pod","namespace":"{NS}","name":"web"},"note":"x"`, labels},
		{"/apis/rbac.authorization.k8s.io/v1/clusterroles", "{NS}-reader", `"rules":[{"nonResourceURLs":["/metrics"],"verbs":["get"]}]`, `{"rules":[{"nonResourceURLs":["/metrics","/version"],"verbs":["get"]}]}`},
		{"/apis/storage.k8s.io/v1/storageclasses", "{NS}-fast", `"provisioner":"e2e.test/none"`, `{"allowVolumeExpansion":true}`},
		{"/apis/scheduling.k8s.io/v1/priorityclasses", "{NS}-high", `"value":1000`, `{"description":"high"}`},
		{"/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations", "{NS}-lane", `"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":5,"limitResponse":{"type":"Reject"}}}`, `{"spec":{"limited":{"nominalConcurrencyShares":6}}}`},
		{"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", "{NS}-rule", `"spec":{"failurePolicy":"Ignore","matchConstraints":{"resourceRules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["bindings"]}]},"validations":[{"expression":"true"}]}`, `{"spec":{"failurePolicy":"Fail"}}`},
		{"/apis/{GROUP}/v1/namespaces/{NS}/crontabs", "tick", `"apiVersion":"{GROUP}/v1","kind":"CronTab","spec":{"cron":"* * * * *","unknown":1}`, `{"spec":{"cron":"0 * * * *"}}`},
	}
}

// kinds does with many kinds what can be done with any.
func (s *script) kinds() {
	for i, k := range someKinds() {
		one := k.path + "/" + k.name
		s.post(201, "admin", k.path, `{"metadata":{"name":"`+k.name+`"},`+k.body+`}`).save = "version=metadata.resourceVersion"
		s.get(200, "admin", one)
		s.get(200, "admin", k.path, "Accept", []string{"", jsonMedia, protoMedia + ", application/json", yamlMedia, table}[i%5])
		s.patch(200, "admin", one, mergeMedia, k.patch)
		s.get(200, "admin", one, "Accept", []string{table, protoMedia + ", application/json", partial}[i%3])
		s.delete(200, "admin", one, []string{``, `{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}`, `{"gracePeriodSeconds":0}`}[i%3])
	}
}

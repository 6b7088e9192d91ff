package patches

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
)

// edit changes an object as somebody may want it, or does not apply to it and tells so.
type edit struct {
	category string
	weight   int
	do       func(r *rand.Rand, o Object) bool
}

// value makes a value of JSON that is written down here.
func value(text string) any {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(err.Error() + " in " + text) // a mistake in this package
	}
	return v
}

// under returns the part of an object at a path, which is made where it is missing; nil
// where something else is there.
func under(o Object, path []string) Object {
	for _, name := range path {
		if o[name] == nil {
			o[name] = Object{}
		}
		next, ok := o[name].(Object)
		if !ok {
			return nil
		}
		o = next
	}
	return o
}

func split(path string) (parents []string, last string) {
	all := strings.Split(path, ".")
	return all[:len(all)-1], all[len(all)-1]
}

// set gives a field one of some values; "-" removes it.
func set(category string, weight int, path string, values ...string) edit {
	return edit{category, weight, func(r *rand.Rand, o Object) bool {
		parents, last := split(path)
		in := under(o, parents)
		if in == nil {
			return false
		}
		put(in, last, pick(r, values...))
		return true
	}}
}

func put(in Object, name, text string) {
	if text == "-" {
		delete(in, name)
		return
	}
	in[name] = value(text)
}

// entry sets or removes some of the entries of a map.
func entry(category string, weight int, path string, keys []string, values ...string) edit {
	return edit{category, weight, func(r *rand.Rand, o Object) bool {
		in := under(o, strings.Split(path, "."))
		if in == nil {
			return false
		}
		for range 1 + r.IntN(2) {
			put(in, pick(r, keys...), pick(r, append(values, "-")...))
		}
		return true
	}}
}

// item adds an item to a list, replaces one that has the same key, removes one, puts
// them in another order, or does that twice. Without a key items are just values.
func item(category string, weight int, path, key string, items ...string) edit {
	return edit{category, weight, func(r *rand.Rand, o Object) bool {
		parents, last := split(path)
		in := under(o, parents)
		if in == nil {
			return false
		}
		list, _ := in[last].([]any)
		list = slices.Clone(list)
		for range 1 + r.IntN(2) {
			list = change(r, list, key, value(pick(r, items...)))
		}
		in[last] = list
		return true
	}}
}

func change(r *rand.Rand, list []any, key string, with any) []any {
	switch n := r.IntN(10); {
	case n < 2 && len(list) > 0:
		i := r.IntN(len(list))
		return slices.Delete(list, i, i+1)
	case n == 2 && len(list) > 1:
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list
	}
	for i, have := range list {
		if same(have, with, key) {
			list[i] = with
			return list
		}
	}
	return slices.Insert(list, pick(r, 0, len(list), len(list)), with)
}

func same(a, b any, key string) bool {
	if key == "" {
		return Equal(a, b)
	}
	x, ok1 := a.(Object)
	y, ok2 := b.(Object)
	return ok1 && ok2 && x[key] != nil && Equal(x[key], y[key])
}

// each applies an edit to one item of a list.
func each(path string, e edit) edit {
	inner := e.do
	e.do = func(r *rand.Rand, o Object) bool {
		parents, last := split(path)
		in := under(o, parents)
		if in == nil {
			return false
		}
		list, _ := in[last].([]any)
		if len(list) == 0 {
			return false
		}
		x, ok := list[r.IntN(len(list))].(Object)
		return ok && inner(r, x)
	}
	return e
}

// at applies an edit to a part.
func at(path []string, e edit) edit {
	inner := e.do
	e.do = func(r *rand.Rand, o Object) bool {
		in := under(o, path)
		return in != nil && inner(r, in)
	}
	return e
}

// metaEdits are for every kind.
func metaEdits() []edit {
	return []edit{
		entry("labels", 14, "metadata.labels", []string{"team", "tier", "example.com/zone", "release"}, `"a"`, `"b"`, `"stable"`, `""`),
		entry("annotations", 16, "metadata.annotations", []string{"note", "example.com/owner", "kubectl.kubernetes.io/last-applied-configuration", "checksum/config"},
			`"x"`, `"{\"a\":1}\n"`, `"2026-11-20T10:00:00Z"`, `"ünïcode <&> 王芳"`, `""`),
		item("finalizers", 2, "metadata.finalizers", "", `"example.com/guard"`, `"example.com/other"`, `"example.com/third"`),
		item("ownerReferences", 2, "metadata.ownerReferences", "uid",
			`{"apiVersion":"apps/v1","kind":"Deployment","name":"owner","uid":"11111111-1111-4111-8111-111111111111"}`,
			`{"apiVersion":"v1","kind":"ConfigMap","name":"other","uid":"22222222-2222-4222-8222-222222222222","controller":true,"blockOwnerDeletion":true}`),
		{"no change", 2, func(*rand.Rand, Object) bool { return true }},
		set("unknown fields", 1, "metadata.nickname", `"bob"`),
		set("refused", 1, "metadata.labels", `{"not a key!":"x"}`, `{"a":"not a value!"}`),
		set("refused", 1, "metadata.name", `"other"`),
		set("resourceVersion", 1, "metadata.resourceVersion", `"1"`, `"999999999"`),
		set("identity", 1, "metadata.uid", `"33333333-3333-4333-8333-333333333333"`, "-"),
		set("server's fields", 1, "metadata.creationTimestamp", `null`, `"2020-01-01T00:00:00Z"`),
		set("server's fields", 1, "metadata.generation", `99`),
		set("server's fields", 1, "metadata.managedFields", `[]`, `[{}]`),
		set("server's fields", 1, "metadata.selfLink", `"/api/v1/x"`),
		set("server's fields", 1, "metadata.generateName", `"gen-"`),
		set("lists emptied", 1, "metadata.finalizers", `[]`, "-"),
		set("lists emptied", 1, "metadata.ownerReferences", `[]`, "-"),
		set("maps emptied", 1, "metadata.annotations", `{}`, "-"),
	}
}

// containerEdits are for a pod's spec, wherever it is.
func containerEdits() []edit {
	quantities := []string{`"100m"`, `"0.1"`, `"1"`, `1`, `0.5`, `"1000m"`, `"1500m"`, `"2e0"`}
	memory := []string{`"128Mi"`, `"131072Ki"`, `"1Gi"`, `"1024Mi"`, `134217728`, `"1e9"`, `"0.5Gi"`, `"1500M"`, `"1.5G"`}
	one := []edit{
		set("image", 30, "image", `"nginx:1.28"`, `"nginx:latest"`, `"nginx"`, `"registry.example.com/shop/web:v1.5.0"`, `"app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"`),
		item("env", 14, "env", "name", `{"name":"MODE","value":"test"}`, `{"name":"LEVEL","value":"debug"}`, `{"name":"EMPTY"}`, `{"name":"ZERO","value":""}`,
			`{"name":"NODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}`, `{"name":"KEY","valueFrom":{"secretKeyRef":{"name":"db","key":"k","optional":true}}}`,
			`{"name":"CPU","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu"}}}`),
		entry("resources", 6, "resources.limits", []string{"cpu"}, quantities...),
		entry("resources", 6, "resources.limits", []string{"memory"}, memory...),
		entry("resources", 4, "resources.requests", []string{"cpu"}, quantities...),
		set("resources", 2, "resources", `{}`, "-", `{"limits":{"cpu":"2","example.com/gpu":"1"}}`, `{"limits":{"cpu":"banana"}}`),
		item("ports", 4, "ports", "containerPort", `{"containerPort":8080}`, `{"containerPort":9090,"name":"metrics"}`, `{"containerPort":53,"protocol":"UDP","name":"dns-udp"}`, `{"containerPort":8443,"hostIP":"127.0.0.1"}`),
		set("probes", 3, "livenessProbe", `{"httpGet":{"path":"/live","port":8080}}`, `{"exec":{"command":["true"]},"periodSeconds":3}`, `{"grpc":{"port":9000}}`, "-"),
		set("probes", 3, "readinessProbe", `{"tcpSocket":{"port":"http"},"timeoutSeconds":2}`, `{"httpGet":{"port":80,"scheme":"HTTPS","httpHeaders":[{"name":"X","value":"y"}]}}`, "-"),
		set("probes", 1, "startupProbe.failureThreshold", `30`),
		set("command", 2, "args", `["--port=9090"]`, `[]`, "-", `["--a","--b"]`),
		set("command", 1, "command", `["sh","-c","sleep 1"]`, "-"),
		set("imagePullPolicy", 2, "imagePullPolicy", `"Always"`, `"Never"`, "-"),
		set("securityContext", 2, "securityContext", `{"readOnlyRootFilesystem":true}`, `{"capabilities":{"drop":["ALL"],"add":["NET_ADMIN"]}}`, "-", `{}`),
		set("lifecycle", 1, "lifecycle", `{"preStop":{"exec":{"command":["sleep","5"]}}}`, `{"preStop":{"sleep":{"seconds":3}}}`, `{"postStart":{"httpGet":{"port":80}}}`, "-"),
		set("defaulted fields", 1, "terminationMessagePolicy", `"FallbackToLogsOnError"`, "-"),
		set("defaulted fields", 1, "terminationMessagePath", `"/tmp/end"`, "-"),
		set("unknown fields", 1, "imagee", `"typo:1"`),
		item("volumeMounts", 2, "volumeMounts", "mountPath", `{"name":"tmp","mountPath":"/tmp"}`, `{"name":"config","mountPath":"/etc/app","readOnly":true}`, `{"name":"tmp","mountPath":"/var/x","subPath":"x"}`),
		item("env", 1, "envFrom", "", `{"configMapRef":{"name":"settings"}}`, `{"prefix":"X_","secretRef":{"name":"db","optional":false}}`),
	}
	all := []edit{
		item("containers", 3, "containers", "name", `{"name":"sidecar","image":"envoy:1.30"}`, `{"name":"log","image":"fluentd","resources":{"limits":{"cpu":"0.1"}}}`, `{"name":"probe","image":"curl:8","livenessProbe":{"tcpSocket":{"port":1}},"ports":[{"containerPort":99}]}`),
		item("containers", 2, "initContainers", "name", `{"name":"init","image":"busybox:1.38"}`, `{"name":"warm","image":"busybox","restartPolicy":"Always"}`),
		item("volumes", 3, "volumes", "name", `{"name":"tmp","emptyDir":{}}`, `{"name":"tmp","emptyDir":{"medium":"Memory","sizeLimit":"0.5Gi"}}`, `{"name":"config","configMap":{"name":"settings","optional":true}}`,
			`{"name":"cert","secret":{"secretName":"tls","defaultMode":256}}`, `{"name":"data","persistentVolumeClaim":{"claimName":"data"}}`, `{"name":"host","hostPath":{"path":"/var"}}`,
			`{"name":"all","projected":{"sources":[{"serviceAccountToken":{"path":"token"}},{"configMap":{"name":"x"}},{"downwardAPI":{"items":[{"path":"l","fieldRef":{"fieldPath":"metadata.labels"}}]}}]}}`),
		item("tolerations", 4, "tolerations", "", `{"key":"dedicated","operator":"Exists"}`, `{"key":"gpu","value":"yes","effect":"NoExecute","tolerationSeconds":30}`, `{"operator":"Exists"}`),
		entry("scheduling", 3, "nodeSelector", []string{"disk", "zone"}, `"ssd"`, `"a"`),
		set("scheduling", 2, "affinity", `{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"zone","operator":"In","values":["a"]}]}]}}}`,
			`{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"podAffinityTerm":{"topologyKey":"zone","labelSelector":{"matchLabels":{"app":"web"}}}}]}}`, "-"),
		item("scheduling", 1, "topologySpreadConstraints", "topologyKey", `{"maxSkew":2,"topologyKey":"zone","whenUnsatisfiable":"ScheduleAnyway"}`, `{"maxSkew":1,"topologyKey":"host","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"web"}}}`),
		set("pod", 2, "terminationGracePeriodSeconds", `10`, `0`, "-"),
		set("pod", 1, "serviceAccountName", `"default"`, `"deployer"`, "-"),
		set("pod", 1, "serviceAccount", `"deployer"`, "-"),
		set("pod", 1, "dnsPolicy", `"Default"`, "-"),
		set("pod", 1, "hostNetwork", `true`, `false`, "-"),
		set("pod", 1, "priorityClassName", `"system-cluster-critical"`, "-"),
		set("pod", 1, "automountServiceAccountToken", `false`, "-"),
		set("securityContext", 1, "securityContext", `{"runAsUser":1000}`, `{}`, "-", `{"seccompProfile":{"type":"RuntimeDefault"},"supplementalGroups":[1,2]}`),
		item("pod", 1, "imagePullSecrets", "name", `{"name":"registry"}`, `{"name":"other"}`),
		item("pod", 1, "hostAliases", "ip", `{"ip":"10.1.1.1","hostnames":["a.local"]}`, `{"ip":"10.1.1.2","hostnames":["b.local","c.local"]}`),
		set("schedulerName", 1, "schedulerName", `"mine"`, "-"),
	}
	for _, e := range one {
		all = append(all, each("containers", e))
	}
	return append(all, each("initContainers", one[0]))
}

// templateEdits are of the metadata of a template.
func templateEdits(path string) []edit {
	return []edit{
		entry("template annotations", 8, path+".metadata.annotations", []string{"kubectl.kubernetes.io/restartedAt", "checksum/config"}, `"2026-11-20T10:00:00Z"`, `"abc"`),
		entry("template labels", 4, path+".metadata.labels", []string{"version", "track"}, `"1"`, `"2"`),
	}
}

func dataEdits() []edit {
	return []edit{
		entry("data", 40, "data", []string{"a", "b", "c", "log.level", "x/y"}, `"2"`, `"three\nlines\n\n"`, `""`, `"true"`),
		entry("data", 4, "binaryData", []string{"bin"}, `"AAEC"`, `"AA=="`, `"not base64!"`),
		set("maps emptied", 1, "data", `{}`, "-"),
		set("immutable", 1, "immutable", `false`),
		set("refused", 2, "data.number", `5`, `true`),
	}
}

func secretEdits() []edit {
	return []edit{
		entry("data", 20, "data", []string{"password", "token", "user"}, `"c2VjcmV0"`, `"eA=="`, `""`, `"e A=="`),
		entry("stringData", 12, "stringData", []string{"password", "token", "new"}, `"plain"`, `"ünïcode"`, `""`),
		set("refused", 1, "type", `"kubernetes.io/tls"`),
	}
}

func serviceEdits() []edit {
	return []edit{
		item("ports", 14, "spec.ports", "port", `{"port":80,"name":"http"}`, `{"port":80,"name":"http","targetPort":"web"}`, `{"port":9090,"name":"metrics","targetPort":9091}`, `{"port":53,"name":"dns","protocol":"UDP"}`, `{"port":8443,"name":"tls","appProtocol":"https"}`),
		entry("selector", 8, "spec.selector", []string{"app", "version"}, `"web"`, `"v2"`),
		set("service type", 4, "spec.type", `"ClusterIP"`, `"NodePort"`, `"LoadBalancer"`, "-"),
		set("service", 3, "spec.sessionAffinity", `"ClientIP"`, `"None"`, "-"),
		set("service", 2, "spec.externalTrafficPolicy", `"Local"`, `"Cluster"`, "-"),
		set("service", 2, "spec.internalTrafficPolicy", `"Local"`, "-"),
		set("service", 2, "spec.externalIPs", `["192.0.2.1"]`, `[]`, "-"),
		set("service", 1, "spec.publishNotReadyAddresses", `true`, `false`),
		set("service", 1, "spec.ipFamilyPolicy", `"SingleStack"`, `"PreferDualStack"`),
		set("refused", 1, "spec.clusterIP", `"10.96.0.250"`, `"None"`),
		set("service", 1, "spec.loadBalancerSourceRanges", `["10.0.0.0/8"]`, "-"),
	}
}

func loadBalancerStatus() []edit {
	return []edit{
		set("status", 4, "status.loadBalancer", `{"ingress":[{"ip":"192.0.2.10"}]}`, `{"ingress":[{"hostname":"lb.example.com"}]}`, `{}`),
		item("status", 2, "status.loadBalancer.ingress", "ip", `{"ip":"192.0.2.11"}`, `{"ip":"192.0.2.12"}`),
	}
}

func accountEdits() []edit {
	return []edit{
		item("secrets", 10, "secrets", "name", `{"name":"token-2"}`, `{"name":"token-3","namespace":"x"}`),
		item("secrets", 10, "imagePullSecrets", "name", `{"name":"registry"}`, `{"name":"second"}`),
		set("pod", 6, "automountServiceAccountToken", `true`, `false`, "-"),
	}
}

func endpointsEdits() []edit {
	return []edit{
		set("endpoints", 10, "subsets", `[{"addresses":[{"ip":"10.0.0.9"},{"ip":"10.0.0.8"}],"ports":[{"port":80}]}]`, `[{"notReadyAddresses":[{"ip":"10.0.0.9"}],"ports":[{"port":80,"name":"http","protocol":"UDP"}]}]`, `[]`, "-",
			`[{"addresses":[{"ip":"10.0.0.1"}],"ports":[{"name":"b","port":2},{"name":"a","port":1}]},{"addresses":[{"ip":"10.0.0.2"}],"ports":[{"name":"a","port":1},{"name":"b","port":2}]}]`),
		each("subsets", item("endpoints", 10, "addresses", "ip", `{"ip":"10.0.0.3"}`, `{"ip":"10.0.0.4","nodeName":"n1"}`)),
		each("subsets", item("ports", 4, "ports", "name", `{"name":"http","port":8081}`, `{"name":"tls","port":443}`)),
	}
}

func sliceEdits() []edit {
	return []edit{
		item("endpoints", 10, "endpoints", "", `{"addresses":["10.0.0.8"]}`, `{"addresses":["10.0.0.9"],"conditions":{"ready":false,"serving":true},"nodeName":"n1"}`),
		each("endpoints", set("endpoints", 6, "conditions.ready", `true`, `false`, "-")),
		each("endpoints", set("endpoints", 3, "zone", `"a"`, "-")),
		item("ports", 6, "ports", "name", `{"name":"http","port":8081}`, `{"port":1,"name":"one","protocol":"UDP"}`, `{"name":"none"}`),
		set("refused", 1, "addressType", `"IPv6"`),
	}
}

func leaseEdits() []edit {
	return []edit{
		set("lease", 20, "spec.renewTime", `"2026-11-20T10:00:15.000000Z"`, `"2026-11-20T10:00:15.5Z"`, `"2026-11-20T10:00:15Z"`, `"2026-11-20T11:00:15.123456+01:00"`, "-"),
		set("lease", 6, "spec.holderIdentity", `"b"`, `"a"`, `""`, "-"),
		set("lease", 4, "spec.leaseTransitions", `1`, `2`, "-"),
		set("lease", 2, "spec.leaseDurationSeconds", `30`, `0`),
		set("lease", 1, "spec.acquireTime", `"yesterday"`, `"2026-11-20T10:00:00Z"`),
	}
}

func limitEdits() []edit {
	return []edit{
		item("resources", 8, "spec.limits", "type", `{"type":"Container","default":{"cpu":"0.5"}}`, `{"type":"Container","max":{"memory":"1024Mi"},"default":{"memory":"512Mi"}}`, `{"type":"Pod","max":{"cpu":"4000m"}}`, `{"type":"PersistentVolumeClaim","min":{"storage":"1Gi"}}`),
		each("spec.limits", entry("resources", 8, "max", []string{"cpu", "memory"}, `"4"`, `"4000m"`, `"2048Mi"`)),
		each("spec.limits", entry("resources", 4, "defaultRequest", []string{"cpu"}, `"0.10"`, `"100m"`)),
	}
}

func quotaEdits() []edit {
	return []edit{
		entry("resources", 16, "spec.hard", []string{"pods", "requests.cpu", "limits.memory", "count/deployments.apps"}, `"20"`, `5`, `"4000m"`, `"16384Mi"`, `"1e3"`),
		set("refused", 2, "spec.scopes", `["NotTerminating"]`),
		set("resources", 2, "spec.hard", `{"pods":"1"}`),
	}
}

func quotaStatus() []edit {
	return []edit{
		set("status", 2, "status", `{"hard":{"secrets":"10"},"used":{"secrets":"0"}}`, `{}`),
		entry("status", 4, "status.used", []string{"services", "configmaps"}, `"3"`, `"0.0"`, `1`),
	}
}

func claimEdits() []edit {
	return []edit{
		set("resources", 6, "spec.resources.requests.storage", `"20Gi"`, `"10240Mi"`, `"10Gi"`, `"5Gi"`),
		set("volumes", 4, "spec.volumeName", `"pv-7"`),
		set("refused", 2, "spec.storageClassName", `"fast"`, "-"),
	}
}

func claimStatus() []edit {
	return []edit{
		set("status", 4, "status.phase", `"Bound"`, `"Pending"`, `"Lost"`),
		set("status", 4, "status.capacity", `{"storage":"10240Mi"}`, "-"),
		item("conditions", 4, "status.conditions", "type", `{"type":"Resizing","status":"True"}`, `{"type":"FileSystemResizePending","status":"False","lastTransitionTime":"2026-11-20T10:00:00Z"}`),
	}
}

func customEdits() []edit {
	return []edit{
		set("replicas", 10, "spec.replicas", `1`, `3`, `0`, "-", `-1`, `"3"`, `1.0`),
		set("image", 10, "spec.image", `"tool:2"`, "-", `""`),
		set("custom", 4, "spec.cronSpec", `"@hourly"`, `"1 * * * *"`),
		set("custom", 4, "spec.limit", `5`, `"5%"`, "-", `"1.0"`),
		set("custom", 4, "spec.options", `{}`, `{"mode":"slow"}`, `{"retries":0}`, "-"),
		set("custom", 3, "spec.options.retries", `5`, "-"),
		entry("custom", 4, "spec.free", []string{"any", "b"}, `1`, `null`, `{"deep":{"er":null,"x":[{"a":null}]}}`, `1.50`, `"s"`),
		item("custom", 4, "spec.tags", "", `"a"`, `"c"`, `"d"`),
		item("custom", 6, "spec.steps", "name", `{"name":"one","run":"y"}`, `{"name":"three"}`, `{"name":"four","timeout":5}`),
		item("custom", 2, "spec.args", "", `"-x"`, `"-v"`),
		set("unknown fields", 4, "spec.bogus", `"dropped"`, `{"a":1}`),
	}
}

func customStatus() []edit {
	return []edit{
		set("status", 4, "status.phase", `"Ready"`, `"Failed"`, "-"),
		set("status", 4, "status.replicas", `1`, `2`),
		set("unknown fields", 1, "status.bogus", `true`),
	}
}

func namespaceEdits() []edit {
	return []edit{
		entry("labels", 16, "metadata.labels", []string{"pod-security.kubernetes.io/enforce", "pod-security.kubernetes.io/warn"}, `"baseline"`, `"privileged"`),
		set("labels", 2, "metadata.labels", `{}`, "-", `{"kubernetes.io/metadata.name":"other"}`),
		item("finalizers", 4, "spec.finalizers", "", `"example.com/ns"`),
	}
}

func nodeEdits() []edit {
	return []edit{
		set("cordon", 10, "spec.unschedulable", `true`, `false`, "-"),
		item("taints", 12, "spec.taints", "key", `{"key":"dedicated","value":"web","effect":"NoSchedule"}`, `{"key":"gpu","effect":"NoExecute"}`, `{"key":"node.kubernetes.io/unreachable","effect":"NoExecute","timeAdded":"2026-11-20T10:00:00Z"}`),
		set("refused", 1, "spec.podCIDR", `"10.244.9.0/24"`),
		set("refused", 1, "spec.providerID", `"y://2"`),
	}
}

func nodeStatus() []edit {
	return []edit{
		item("conditions", 12, "status.conditions", "type", `{"type":"Ready","status":"True","reason":"KubeletReady","lastHeartbeatTime":"2026-11-20T10:00:00Z"}`, `{"type":"Ready","status":"False"}`, `{"type":"DiskPressure","status":"False","lastTransitionTime":"2026-11-20T11:00:00+01:00"}`),
		item("status", 4, "status.addresses", "type", `{"type":"InternalIP","address":"10.0.0.5"}`, `{"type":"Hostname","address":"n1"}`),
		entry("status", 6, "status.capacity", []string{"cpu", "memory", "pods", "example.com/gpu"}, `"4"`, `"16384Mi"`, `"4000m"`, `110`),
		item("status", 3, "status.images", "", `{"names":["nginx:1.27"],"sizeBytes":1000}`, `{"names":["a","b"]}`),
		set("status", 2, "status.nodeInfo.kubeletVersion", `"v1.36.3"`),
	}
}

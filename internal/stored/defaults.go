package stored

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"kubetrail/internal/tree"
)

// plainDefaults are the values that fields take which have none, by type: what the
// functions SetDefaults_ and the markers +default of k8s.io/kubernetes v1.36 set, whatever
// else the object says. Fields are separated by spaces; values are JSON.
const plainDefaults = `
core.v1.Container terminationMessagePath="/dev/termination-log" terminationMessagePolicy="File"
core.v1.EphemeralContainer terminationMessagePath="/dev/termination-log" terminationMessagePolicy="File"
core.v1.ContainerPort protocol="TCP"
core.v1.ServicePort protocol="TCP"
core.v1.EndpointPort protocol="TCP"
core.v1.Probe timeoutSeconds=1 periodSeconds=10 successThreshold=1 failureThreshold=3
core.v1.HTTPGetAction path="/" scheme="HTTP"
core.v1.GRPCAction service=""
core.v1.SecretVolumeSource defaultMode=420
core.v1.ConfigMapVolumeSource defaultMode=420
core.v1.DownwardAPIVolumeSource defaultMode=420
core.v1.ProjectedVolumeSource defaultMode=420
core.v1.ServiceAccountTokenProjection expirationSeconds=3600
core.v1.HostPathVolumeSource type=""
core.v1.ISCSIVolumeSource iscsiInterface="default"
core.v1.ISCSIPersistentVolumeSource iscsiInterface="default"
core.v1.RBDVolumeSource pool="rbd" user="admin" keyring="/etc/ceph/keyring"
core.v1.RBDPersistentVolumeSource pool="rbd" user="admin" keyring="/etc/ceph/keyring"
core.v1.AzureDiskVolumeSource cachingMode="ReadWrite" fsType="ext4" readOnly=false kind="Shared"
core.v1.ScaleIOVolumeSource storageMode="ThinProvisioned" fsType="xfs"
core.v1.ScaleIOPersistentVolumeSource storageMode="ThinProvisioned" fsType="xfs"
core.v1.ObjectFieldSelector apiVersion="v1"
core.v1.FileKeySelector optional=false
core.v1.PodSpec dnsPolicy="ClusterFirst" restartPolicy="Always" securityContext={} terminationGracePeriodSeconds=30 schedulerName="default-scheduler"
core.v1.ReplicationControllerSpec replicas=1
core.v1.Secret type="Opaque"
core.v1.PersistentVolumeSpec persistentVolumeReclaimPolicy="Retain" volumeMode="Filesystem"
core.v1.PersistentVolumeStatus phase="Pending"
core.v1.PersistentVolumeClaimSpec volumeMode="Filesystem"
core.v1.PersistentVolumeClaimStatus phase="Pending"
core.v1.NamespaceStatus phase="Active"
apps.v1.DeploymentSpec replicas=1 revisionHistoryLimit=10 progressDeadlineSeconds=600
apps.v1.DeploymentStrategy type="RollingUpdate"
apps.v1.DaemonSetSpec revisionHistoryLimit=10
apps.v1.DaemonSetUpdateStrategy type="RollingUpdate"
apps.v1.StatefulSetSpec podManagementPolicy="OrderedReady" replicas=1 revisionHistoryLimit=10 persistentVolumeClaimRetentionPolicy={"whenDeleted":"Retain","whenScaled":"Retain"}
apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy whenDeleted="Retain" whenScaled="Retain"
apps.v1.ReplicaSetSpec replicas=1
batch.v1.CronJobSpec concurrencyPolicy="Allow" suspend=false successfulJobsHistoryLimit=3 failedJobsHistoryLimit=1
batch.v1.PodFailurePolicyOnPodConditionsPattern status="True"
autoscaling.v1.HorizontalPodAutoscalerSpec minReplicas=1
autoscaling.v2.HorizontalPodAutoscalerSpec minReplicas=1
networking.v1.NetworkPolicyPort protocol="TCP"
networking.v1.IngressClassParametersReference scope="Cluster"
rbac.v1.RoleRef apiGroup="rbac.authorization.k8s.io"
storage.v1.StorageClass reclaimPolicy="Delete" volumeBindingMode="Immediate"
storage.v1.CSIDriverSpec attachRequired=true podInfoOnMount=false storageCapacity=false fsGroupPolicy="ReadWriteOnceWithFSType" volumeLifecycleModes=["Persistent"] requiresRepublish=false seLinuxMount=false
scheduling.v1.PriorityClass preemptionPolicy="PreemptLowerPriority"
discovery.v1.EndpointPort name="" protocol="TCP"
admissionregistration.v1.ValidatingWebhook failurePolicy="Fail" matchPolicy="Equivalent" namespaceSelector={} objectSelector={} timeoutSeconds=10
admissionregistration.v1.MutatingWebhook failurePolicy="Fail" matchPolicy="Equivalent" namespaceSelector={} objectSelector={} timeoutSeconds=10 reinvocationPolicy="Never"
admissionregistration.v1.RuleWithOperations scope="*"
admissionregistration.v1.NamedRuleWithOperations scope="*"
admissionregistration.v1.ServiceReference port=443
admissionregistration.v1.ValidatingAdmissionPolicySpec failurePolicy="Fail"
admissionregistration.v1.MutatingAdmissionPolicySpec failurePolicy="Fail"
admissionregistration.v1.MatchResources matchPolicy="Equivalent" namespaceSelector={} objectSelector={}
apiextensions.v1.ServiceReference port=443
apiregistration.v1.ServiceReference port=443
flowcontrol.v1.ExemptPriorityLevelConfiguration nominalConcurrencyShares=0 lendablePercent=0
flowcontrol.v1.LimitedPriorityLevelConfiguration nominalConcurrencyShares=30 lendablePercent=0
flowcontrol.v1.QueuingConfiguration handSize=8 queues=64 queueLengthLimit=50
flowcontrol.v1.FlowSchemaSpec matchingPrecedence=1000
`

// A defaulter sets what depends on other fields of the object that it is given, which is
// its own to change; what is below it must be copied first. It reports whether that is
// certain.
type defaulter func(o map[string]any) bool

type preset struct {
	name  string
	value any
}

var defaultTable = sync.OnceValue(func() map[string][]preset {
	all := map[string][]preset{}
	for line := range strings.Lines(plainDefaults) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		for _, text := range f[1:] {
			name, value, _ := strings.Cut(text, "=")
			v, err := tree.Decode([]byte(value))
			if err != nil {
				panic(err) // a mistake in the table above
			}
			all[f[0]] = append(all[f[0]], preset{name, v})
		}
	}
	return all
})

// defaulters are by type. Those of whole objects say what upstream sets for objects of
// their kind only.
var defaulters = sync.OnceValue(func() map[string]defaulter {
	return map[string]defaulter{
		"core.v1.Container":                              defaultContainer,
		"core.v1.EphemeralContainer":                     defaultContainer,
		"apps.v1.StatefulSetSpec":                        defaultStatefulSet,
		"core.v1.Secret":                                 defaultSecret,
		"core.v1.Volume":                                 defaultVolume,
		"core.v1.PodSpec":                                defaultPodSpec,
		"core.v1.Pod":                                    defaultPod,
		"core.v1.Service":                                defaultService,
		"core.v1.ReplicationController":                  defaultReplicationController,
		"core.v1.Namespace":                              defaultNamespace,
		"core.v1.NodeStatus":                             defaultNodeStatus,
		"core.v1.NodeSpec":                               defaultNodeSpec,
		"core.v1.PodStatus":                              defaultPodStatus,
		"core.v1.LimitRangeItem":                         defaultLimitRangeItem,
		"apps.v1.DeploymentStrategy":                     rollingUpdate("maxUnavailable", "25%", "maxSurge", "25%"),
		"apps.v1.DaemonSetUpdateStrategy":                rollingUpdate("maxUnavailable", int64(1), "maxSurge", int64(0)),
		"apps.v1.StatefulSetUpdateStrategy":              defaultStatefulSetUpdate,
		"batch.v1.Job":                                   defaultJob,
		"autoscaling.v2.HorizontalPodAutoscalerSpec":     defaultAutoscaler,
		"autoscaling.v2.HorizontalPodAutoscalerBehavior": defaultBehavior,
		"networking.v1.NetworkPolicySpec":                defaultNetworkPolicy,
		"rbac.v1.Subject":                                defaultSubject,
		"resource.v1.ExactDeviceRequest":                 defaultDeviceRequest,
		"resource.v1.DeviceSubRequest":                   defaultDeviceRequest,
		"resource.v1.DeviceTaint":                        defaultDeviceTaint,
	}
})

// setDefaults sets the values that fields of a stored object of that type take which have
// none. What is below it has its defaults already.
func setDefaults(o map[string]any, name string) error {
	for _, p := range defaultTable()[name] {
		if o[p.name] == "" { // always written, and as good as missing
			delete(o, p.name)
		}
		setDefault(o, p.name, p.value)
	}
	if set := defaulters()[name]; set != nil && !set(o) {
		return ErrUnsure
	}
	return nil
}

// setDefault sets a field that has no value.
func setDefault(o map[string]any, name string, v any) {
	if o[name] == nil {
		o[name] = v
	}
}

// own returns the object in a field as one that may be changed.
func own(o map[string]any, name string) map[string]any {
	below := tree.With(tree.Object(o[name]), "", tree.Absent)
	o[name] = below
	return below
}

// imageName is what certainly is a name of an image: host, path, tag, digest.
var imageName = regexp.MustCompile(`^(?:[a-z0-9]+(?:[.-][a-z0-9]+)*(?::[0-9]+)?/)?[a-z0-9]+(?:[._-][a-z0-9]+)*(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[a-f0-9]{64})?$`)

func defaultContainer(o map[string]any) bool {
	if _, ok := o["imagePullPolicy"]; ok {
		return true
	}
	policy, sure := pullPolicy(tree.Text(o["image"]))
	o["imagePullPolicy"] = policy
	return sure
}

func pullPolicy(image string) (policy string, sure bool) {
	m := imageName.FindStringSubmatch(image)
	if m == nil || strings.Contains(image, "//") {
		return "IfNotPresent", false
	}
	if m[1] == ":latest" || m[1] == "" && m[2] == "" {
		return "Always", true
	}
	return "IfNotPresent", true
}

// defaultSecret moves what was written as text to where it is kept.
func defaultSecret(o map[string]any) bool {
	for k, v := range tree.Object(o["stringData"]) {
		data := own(o, "data")
		data[k] = encodeBytes(tree.Text(v))
	}
	delete(o, "stringData")
	return true
}

func defaultVolume(o map[string]any) bool {
	if len(o) == 1 && o["name"] != nil || len(o) == 0 {
		o["emptyDir"] = map[string]any{}
		return true
	}
	image := tree.Object(o["image"])
	if image == nil || image["pullPolicy"] != nil {
		return true
	}
	policy, sure := pullPolicy(tree.Text(image["reference"]))
	own(o, "image")["pullPolicy"] = policy
	return sure
}

// defaultPodSpec: the name of the service account has an alias.
func defaultPodSpec(o map[string]any) bool {
	name := o["serviceAccountName"]
	if tree.Text(name) == "" {
		name = o["serviceAccount"]
	}
	if tree.Text(name) != "" {
		o["serviceAccountName"], o["serviceAccount"] = name, name
	} else {
		delete(o, "serviceAccount")
	}
	return true
}

// defaultPod sets what only pods have, and no templates.
func defaultPod(o map[string]any) bool {
	spec := own(o, "spec")
	setDefault(spec, "enableServiceLinks", true)
	for _, field := range []string{"containers", "initContainers"} {
		all := slices.Clone(tree.List(spec[field]))
		for i, x := range all {
			c := tree.With(tree.Object(x), "", tree.Absent)
			if limits := tree.Object(tree.At(c, "resources", "limits")); limits != nil {
				requests := own(own(c, "resources"), "requests")
				for k, v := range limits {
					setDefault(requests, k, v)
				}
				if len(requests) == 0 {
					delete(tree.Object(c["resources"]), "requests")
				}
			}
			if spec["hostNetwork"] == true {
				defaultHostPorts(c)
			}
			all[i] = c
		}
		if len(all) > 0 {
			spec[field] = all
		}
	}
	_, ok := spec["resources"] // of the whole pod: worked out from all containers
	return !ok
}

func defaultHostPorts(c map[string]any) {
	ports := slices.Clone(tree.List(c["ports"]))
	for i, x := range ports {
		p := tree.With(tree.Object(x), "", tree.Absent)
		if n, ok := p["containerPort"]; ok {
			setDefault(p, "hostPort", n)
		}
		ports[i] = p
	}
	if len(ports) > 0 {
		c["ports"] = ports
	}
}

func defaultService(o map[string]any) bool {
	spec := own(o, "spec")
	setDefault(spec, "sessionAffinity", "None")
	switch spec["sessionAffinity"] {
	case "None":
		delete(spec, "sessionAffinityConfig")
	case "ClientIP":
		if tree.At(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds") == nil {
			spec["sessionAffinityConfig"] = map[string]any{"clientIP": map[string]any{"timeoutSeconds": int64(10800)}}
		}
	}
	setDefault(spec, "type", "ClusterIP")
	ports := slices.Clone(tree.List(spec["ports"]))
	for i, x := range ports {
		p := tree.With(tree.Object(x), "", tree.Absent)
		if n := p["targetPort"]; n == nil || n == int64(0) || n == "" {
			p["targetPort"] = p["port"]
		}
		ports[i] = p
	}
	if len(ports) > 0 {
		spec["ports"] = ports
	}
	kind := spec["type"]
	if kind == "LoadBalancer" || kind == "NodePort" || kind == "ClusterIP" && len(tree.List(spec["externalIPs"])) > 0 {
		setDefault(spec, "externalTrafficPolicy", "Cluster")
	}
	if kind == "LoadBalancer" || kind == "NodePort" || kind == "ClusterIP" {
		setDefault(spec, "internalTrafficPolicy", "Cluster")
	}
	if kind == "LoadBalancer" {
		setDefault(spec, "allocateLoadBalancerNodePorts", true)
		defaultAddresses(o)
	}
	return true
}

// defaultAddresses says of addresses of a load balancer how they are reached.
func defaultAddresses(o map[string]any) {
	all := slices.Clone(tree.List(tree.At(o, "status", "loadBalancer", "ingress")))
	for i, x := range all {
		if m := tree.Object(x); tree.Text(m["ip"]) != "" && m["ipMode"] == nil {
			all[i] = tree.With(m, "ipMode", "VIP")
		}
	}
	if len(all) > 0 {
		own(own(o, "status"), "loadBalancer")["ingress"] = all
	}
}

// defaultNodeSpec keeps podCIDR, which is authoritative, and the first of podCIDRs in step.
func defaultNodeSpec(o map[string]any) bool {
	one, all := tree.Text(o["podCIDR"]), tree.List(o["podCIDRs"])
	switch {
	case one != "" && (len(all) == 0 || all[0] != one):
		o["podCIDRs"] = []any{one}
	case len(all) > 0:
		o["podCIDR"] = all[0]
	}
	return true
}

// defaultPodStatus does so with the addresses of a pod.
func defaultPodStatus(o map[string]any) bool {
	one, all := tree.Text(o["podIP"]), tree.List(o["podIPs"])
	switch {
	case one != "" && (len(all) == 0 || tree.Object(all[0])["ip"] != one):
		o["podIPs"] = []any{map[string]any{"ip": one}}
	case len(all) > 0 && tree.Object(all[0])["ip"] != nil:
		o["podIP"] = tree.Object(all[0])["ip"]
	}
	return true
}

func defaultReplicationController(o map[string]any) bool {
	labels := tree.Object(tree.At(o, "spec", "template", "metadata", "labels"))
	if len(labels) == 0 {
		return true
	}
	if len(tree.Object(tree.At(o, "spec", "selector"))) == 0 {
		own(o, "spec")["selector"] = labels
	}
	defaultLabels(o, labels)
	return true
}

func defaultLabels(o map[string]any, labels map[string]any) {
	if len(labels) > 0 && len(tree.Object(tree.At(o, "metadata", "labels"))) == 0 {
		own(o, "metadata")["labels"] = labels
	}
}

func defaultNamespace(o map[string]any) bool {
	if name := tree.Text(tree.At(o, "metadata", "name")); name != "" {
		own(own(o, "metadata"), "labels")["kubernetes.io/metadata.name"] = name
	}
	return true
}

func defaultNodeStatus(o map[string]any) bool {
	if capacity, ok := o["capacity"]; ok {
		setDefault(o, "allocatable", capacity)
	}
	return true
}

func defaultLimitRangeItem(o map[string]any) bool {
	if o["type"] != "Container" {
		return true
	}
	limit, request := own(o, "default"), own(o, "defaultRequest")
	for k, v := range tree.Object(o["max"]) {
		setDefault(limit, k, v)
	}
	for _, from := range []map[string]any{limit, tree.Object(o["min"])} {
		for k, v := range from {
			setDefault(request, k, v)
		}
	}
	for _, name := range []string{"default", "defaultRequest"} {
		if len(tree.Object(o[name])) == 0 {
			delete(o, name)
		}
	}
	return true
}

// rollingUpdate sets the parameters of a strategy that replaces pods bit by bit.
func rollingUpdate(names ...any) defaulter {
	return func(o map[string]any) bool {
		if o["type"] == "RollingUpdate" {
			update := own(o, "rollingUpdate")
			for i := 0; i < len(names); i += 2 {
				setDefault(update, names[i].(string), names[i+1])
			}
		} else if o["rollingUpdate"] != nil {
			// Inside the API server its numbers are no pointers, and 0 where there are none.
			update := own(o, "rollingUpdate")
			for i := 0; i < len(names); i += 2 {
				setDefault(update, names[i].(string), int64(0))
			}
		}
		return true
	}
}

// defaultStatefulSet: templates of claims say what they are.
func defaultStatefulSet(o map[string]any) bool {
	all := slices.Clone(tree.List(o["volumeClaimTemplates"]))
	for i, x := range all {
		c := tree.With(tree.Object(x), "", tree.Absent)
		setDefault(c, "apiVersion", "v1")
		setDefault(c, "kind", "PersistentVolumeClaim")
		all[i] = c
	}
	if len(all) > 0 {
		o["volumeClaimTemplates"] = all
	}
	return true
}

func defaultStatefulSetUpdate(o map[string]any) bool {
	if _, ok := o["type"]; !ok {
		o["type"] = "RollingUpdate"
		own(o, "rollingUpdate")
	}
	if o["type"] == "RollingUpdate" && o["rollingUpdate"] != nil {
		setDefault(own(o, "rollingUpdate"), "partition", int64(0))
	}
	return true
}

func defaultJob(o map[string]any) bool {
	spec := own(o, "spec")
	if spec["completions"] == nil && spec["parallelism"] == nil {
		spec["completions"] = int64(1)
	}
	setDefault(spec, "parallelism", int64(1))
	if spec["backoffLimitPerIndex"] != nil {
		setDefault(spec, "backoffLimit", int64(1<<31-1))
	}
	setDefault(spec, "backoffLimit", int64(6))
	defaultLabels(o, tree.Object(tree.At(spec, "template", "metadata", "labels")))
	setDefault(spec, "completionMode", "NonIndexed")
	setDefault(spec, "suspend", false)
	if spec["podFailurePolicy"] != nil {
		setDefault(spec, "podReplacementPolicy", "Failed")
	}
	setDefault(spec, "podReplacementPolicy", "TerminatingOrFailed")
	setDefault(spec, "manualSelector", false)
	return true
}

func defaultAutoscaler(o map[string]any) bool {
	if len(tree.List(o["metrics"])) == 0 {
		o["metrics"] = []any{map[string]any{"type": "Resource", "resource": map[string]any{"name": "cpu",
			"target": map[string]any{"type": "Utilization", "averageUtilization": int64(80)}}}}
	}
	return true
}

func defaultBehavior(o map[string]any) bool {
	scaling := func(kind string, value int64) any {
		return map[string]any{"type": kind, "value": value, "periodSeconds": int64(15)}
	}
	up, down := own(o, "scaleUp"), own(o, "scaleDown")
	setDefault(up, "stabilizationWindowSeconds", int64(0))
	setDefault(up, "selectPolicy", "Max")
	setDefault(up, "policies", []any{scaling("Pods", 4), scaling("Percent", 100)})
	setDefault(down, "selectPolicy", "Max")
	setDefault(down, "policies", []any{scaling("Percent", 100)})
	return true
}

func defaultNetworkPolicy(o map[string]any) bool {
	if len(tree.List(o["policyTypes"])) == 0 {
		types := []any{"Ingress"}
		if len(tree.List(o["egress"])) > 0 {
			types = append(types, "Egress")
		}
		o["policyTypes"] = types
	}
	return true
}

func defaultSubject(o map[string]any) bool {
	if o["kind"] == "User" || o["kind"] == "Group" {
		setDefault(o, "apiGroup", "rbac.authorization.k8s.io")
	}
	return true
}

func defaultDeviceRequest(o map[string]any) bool {
	setDefault(o, "allocationMode", "ExactCount")
	if o["allocationMode"] == "ExactCount" {
		setDefault(o, "count", int64(1))
	}
	return true
}

// defaultDeviceTaint is not certain where the server sets the time.
func defaultDeviceTaint(o map[string]any) bool { return o["timeAdded"] != nil }

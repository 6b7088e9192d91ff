package patches

// phaseStatus is of a status that is hardly more than a phase.
func phaseStatus(phases ...string) []edit {
	var all []edit
	for _, p := range phases {
		all = append(all, set("status", 2, "status.phase", `"`+p+`"`))
	}
	return append(all, set("status", 2, "status.message", `"why"`, "-"))
}

func volumeEdits() []edit {
	return []edit{
		set("resources", 6, "spec.capacity.storage", `"20Gi"`, `"10240Mi"`, `"2e10"`),
		set("volumes", 6, "spec.persistentVolumeReclaimPolicy", `"Retain"`, `"Delete"`, "-"),
		set("volumes", 4, "spec.claimRef", `{"kind":"PersistentVolumeClaim","namespace":"shop","name":"data"}`, `{"namespace":"shop","name":"data","apiVersion":"v1","uid":"44444444-4444-4444-8444-444444444444"}`, "-"),
		set("volumes", 2, "spec.mountOptions", `["ro","debug"]`, `[]`, "-"),
		set("volumes", 2, "spec.storageClassName", `"fast"`, "-", `""`),
		set("refused", 1, "spec.hostPath.path", `"/other"`),
	}
}

func roleEdits(cluster bool) []edit {
	all := []edit{
		item("rules", 16, "rules", "", `{"apiGroups":["apps"],"resources":["deployments"],"verbs":["get","update"]}`, `{"apiGroups":[""],"resources":["configmaps"],"resourceNames":["a"],"verbs":["*"]}`, `{"apiGroups":[""],"resources":["pods/log"],"verbs":["get"]}`),
		each("rules", item("rules", 10, "verbs", "", `"patch"`, `"delete"`, `"get"`)),
		set("lists emptied", 2, "rules", `[]`, "-"),
		each("rules", set("refused", 1, "verbs", `[]`)),
	}
	if cluster {
		all = append(all, set("rules", 3, "aggregationRule", `{"clusterRoleSelectors":[{"matchLabels":{"aggregate":"yes"}}]}`, "-"))
	}
	return all
}

func bindingEdits() []edit {
	return []edit{
		item("subjects", 20, "subjects", "name", `{"kind":"User","name":"jai"}`, `{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"veeru"}`, `{"kind":"ServiceAccount","name":"deployer","namespace":"shop"}`, `{"kind":"Group","name":"ops-team","apiGroup":"rbac.authorization.k8s.io"}`, `{"kind":"ServiceAccount","name":"nowhere"}`),
		set("lists emptied", 2, "subjects", `[]`, "-"),
		set("refused", 2, "roleRef.name", `"admin"`),
	}
}

func classEdits() []edit {
	return []edit{
		entry("annotations", 8, "metadata.annotations", []string{"storageclass.kubernetes.io/is-default-class"}, `"false"`),
		set("volumes", 8, "allowVolumeExpansion", `true`, `false`, "-"),
		set("volumes", 3, "mountOptions", `["ro"]`, `[]`, "-"),
		set("refused", 2, "parameters.type", `"io2"`),
		set("refused", 2, "reclaimPolicy", `"Retain"`, "-"),
		set("volumes", 2, "allowedTopologies", `[{"matchLabelExpressions":[{"key":"zone","values":["a","b"]}]}]`, "-"),
	}
}

func priorityEdits() []edit {
	return []edit{
		set("description", 12, "description", `"other"`, `""`, "-"),
		set("refused", 2, "value", `5`),
		set("defaulted fields", 4, "globalDefault", `false`, "-"),
		set("refused", 1, "preemptionPolicy", `"Never"`, "-"),
	}
}

func webhookEdits() []edit {
	hook := `{"name":"three.example.com","clientConfig":{"url":"https://x.example.com/y"},"rules":[{"apiGroups":["nowhere.example.com"],"apiVersions":["*"],"operations":["*"],"resources":["nothings"]}],"sideEffects":"None","admissionReviewVersions":["v1"]}`
	return []edit{
		item("webhooks", 6, "webhooks", "name", hook),
		each("webhooks", set("webhooks", 8, "clientConfig.caBundle", `"Q0EK"`, `"LS0tLS1CRUdJTg=="`, "-")),
		each("webhooks", set("webhooks", 4, "failurePolicy", `"Ignore"`, "-")),
		each("webhooks", set("webhooks", 4, "timeoutSeconds", `3`, "-", `99`)),
		each("webhooks", set("webhooks", 4, "namespaceSelector", `{"matchLabels":{"a":"b"}}`, `{}`, "-")),
		each("webhooks", set("webhooks", 3, "objectSelector.matchLabels", `{"a":"b"}`, "-")),
		each("webhooks", set("webhooks", 2, "clientConfig.service", `{"namespace":"a","name":"b"}`, `{"namespace":"a","name":"b","port":8443,"path":"/x"}`, "-")),
		each("webhooks", item("webhooks", 3, "matchConditions", "name", `{"name":"one","expression":"true"}`, `{"name":"two","expression":"1 == 1"}`)),
		each("webhooks", item("webhooks", 3, "rules", "", `{"apiGroups":["other.example.com"],"apiVersions":["v1"],"operations":["DELETE"],"resources":["nothings"]}`)),
	}
}

func runtimeEdits() []edit {
	return []edit{
		entry("resources", 8, "overhead.podFixed", []string{"memory", "cpu"}, `"128Mi"`, `"0.25"`, `"131072Ki"`),
		entry("scheduling", 6, "scheduling.nodeSelector", []string{"sandbox", "arch"}, `"yes"`, `"amd64"`),
		item("tolerations", 6, "scheduling.tolerations", "", `{"key":"sandbox","operator":"Exists"}`, `{"key":"a","value":"b","effect":"NoSchedule"}`),
		set("refused", 2, "handler", `"kata"`),
	}
}

func driverEdits() []edit {
	return []edit{
		set("volumes", 6, "spec.requiresRepublish", `true`, `false`, "-"),
		set("volumes", 4, "spec.podInfoOnMount", `true`, `false`, "-"),
		set("volumes", 4, "spec.storageCapacity", `true`, "-"),
		set("volumes", 4, "spec.tokenRequests", `[{"audience":"a"}]`, `[{"audience":"a"},{"audience":"b","expirationSeconds":3600}]`, "-"),
		set("volumes", 2, "spec.fsGroupPolicy", `"File"`, "-"),
		set("refused", 1, "spec.attachRequired", `true`),
	}
}

// podEdits are what may be changed of a pod that runs, and some that may not.
func podEdits() []edit {
	return []edit{
		set("pod", 3, "spec.activeDeadlineSeconds", `600`, `300`),
		item("refused", 1, "spec.schedulingGates", "name", `{"name":"gate"}`),
		set("refused", 1, "spec.nodeName", `"n1"`),
	}
}

func podStatus() []edit {
	return []edit{
		item("conditions", 10, "status.conditions", "type", `{"type":"Ready","status":"True","lastTransitionTime":"2026-11-20T10:00:00Z"}`, `{"type":"PodScheduled","status":"True"}`, `{"type":"ContainersReady","status":"False","reason":"x","lastProbeTime":null}`),
		set("status", 6, "status.phase", `"Running"`, `"Pending"`),
		set("status", 4, "status.podIP", `"10.244.1.7"`),
		set("status", 3, "status.podIPs", `[{"ip":"10.244.1.7"}]`, "-"),
		set("status", 6, "status.containerStatuses", `[{"name":"app","image":"nginx:1.27","imageID":"x","ready":true,"restartCount":0,"started":true,"state":{"running":{"startedAt":"2026-11-20T10:00:00Z"}}}]`,
			`[{"name":"app","image":"nginx:1.27","imageID":"x","ready":false,"restartCount":3,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":1,"startedAt":null,"finishedAt":null}}}]`),
		set("status", 2, "status.startTime", `"2026-11-20T10:00:00Z"`),
		set("status", 1, "status.qosClass", `"Guaranteed"`),
	}
}

func replicaCount(weight int) edit {
	return set("replicas", weight, "spec.replicas", `1`, `2`, `5`, `0`, "-", `-1`, `"4"`)
}

// replicaEdits are of ReplicationController and ReplicaSet.
func replicaEdits() []edit {
	return append(templateEdits("spec.template"), replicaCount(16),
		set("rollout", 3, "spec.minReadySeconds", `5`, `0`, "-"),
		set("selector", 1, "spec.selector", "-"))
}

func deploymentEdits() []edit {
	return append(templateEdits("spec.template"), replicaCount(20),
		set("rollout", 3, "spec.strategy", `{"type":"Recreate"}`, `{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}`, `{"rollingUpdate":{"maxUnavailable":"10%","maxSurge":"50%"}}`, `{}`, "-"),
		set("rollout", 2, "spec.strategy.type", `"Recreate"`, `"RollingUpdate"`),
		set("rollout", 2, "spec.minReadySeconds", `5`, `0`, "-"),
		set("rollout", 2, "spec.revisionHistoryLimit", `3`, `0`, "-"),
		set("rollout", 2, "spec.progressDeadlineSeconds", `300`, "-"),
		set("rollout", 2, "spec.paused", `true`, `false`, "-"),
		set("selector", 1, "spec.selector.matchLabels.app", `"other"`))
}

func setEdits() []edit {
	return append(templateEdits("spec.template"), replicaCount(20),
		set("rollout", 3, "spec.updateStrategy", `{"type":"OnDelete"}`, `{"type":"RollingUpdate"}`, `{"rollingUpdate":{"partition":2}}`, "-"),
		set("rollout", 2, "spec.persistentVolumeClaimRetentionPolicy", `{"whenDeleted":"Delete"}`, "-"),
		set("rollout", 2, "spec.ordinals", `{"start":1}`, "-"),
		set("rollout", 1, "spec.podManagementPolicy", `"Parallel"`, "-"),
		set("refused", 1, "spec.volumeClaimTemplates", `[]`))
}

func daemonEdits() []edit {
	return append(templateEdits("spec.template"),
		set("rollout", 6, "spec.updateStrategy", `{"type":"OnDelete"}`, `{"rollingUpdate":{"maxUnavailable":2}}`, `{"rollingUpdate":{"maxSurge":"20%","maxUnavailable":0}}`, "-"),
		set("rollout", 3, "spec.minReadySeconds", `5`, "-"))
}

func jobEdits() []edit {
	return []edit{
		set("job", 8, "spec.suspend", `true`, `false`, "-"),
		set("job", 6, "spec.parallelism", `2`, `0`, "-"),
		set("job", 4, "spec.backoffLimit", `3`, "-"),
		set("job", 4, "spec.activeDeadlineSeconds", `60`, "-"),
		set("job", 3, "spec.ttlSecondsAfterFinished", `100`, "-"),
		set("refused", 2, "spec.completions", `5`, "-"),
	}
}

func cronEdits() []edit {
	return append(templateEdits("spec.jobTemplate.spec.template"),
		set("cron", 8, "spec.schedule", `"@hourly"`, `"0 3 * * *"`, `"nonsense"`),
		set("cron", 8, "spec.suspend", `true`, `false`, "-"),
		set("cron", 4, "spec.concurrencyPolicy", `"Forbid"`, `"Replace"`, "-"),
		set("cron", 3, "spec.successfulJobsHistoryLimit", `1`, `0`, "-"),
		set("cron", 2, "spec.timeZone", `"Asia/Shanghai"`, "-"),
		set("cron", 2, "spec.startingDeadlineSeconds", `30`, "-"),
		entry("labels", 2, "spec.jobTemplate.metadata.labels", []string{"x"}, `"y"`),
		set("job", 2, "spec.jobTemplate.spec.backoffLimit", `1`, "-"))
}

func autoscalerEdits() []edit {
	return []edit{
		set("replicas", 10, "spec.maxReplicas", `10`, `20`, `5`),
		set("replicas", 6, "spec.minReplicas", `2`, `1`, "-"),
		set("metrics", 8, "spec.metrics", `[{"type":"Resource","resource":{"name":"memory","target":{"type":"AverageValue","averageValue":"1024Mi"}}}]`, "-",
			`[{"type":"Pods","pods":{"metric":{"name":"qps"},"target":{"type":"AverageValue","averageValue":"1000m"}}},{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}]`),
		each("spec.metrics", set("metrics", 4, "resource.target.averageUtilization", `60`, `70`)),
		set("metrics", 4, "spec.behavior", `{"scaleDown":{"stabilizationWindowSeconds":60}}`, `{"scaleUp":{"policies":[{"type":"Pods","value":4,"periodSeconds":15}]}}`, "-"),
		set("metrics", 2, "spec.behavior.scaleDown.selectPolicy", `"Disabled"`, "-"),
	}
}

func ingressEdits() []edit {
	return []edit{
		item("rules", 10, "spec.rules", "host", `{"host":"b.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"web","port":{"number":81}}}}]}}`, `{"host":"*.example.com"}`,
			`{"host":"a.example.com","http":{"paths":[{"path":"/x","pathType":"Exact","backend":{"service":{"name":"x","port":{"name":"http"}}}}]}}`),
		each("spec.rules", item("rules", 4, "http.paths", "path", `{"path":"/api","pathType":"Prefix","backend":{"service":{"name":"api","port":{"number":80}}}}`, `{"path":"/","pathType":"ImplementationSpecific","backend":{"service":{"name":"y","port":{"number":80}}}}`)),
		set("rules", 3, "spec.ingressClassName", `"other"`, "-"),
		set("rules", 3, "spec.defaultBackend", `{"service":{"name":"d","port":{"number":1}}}`, "-"),
		item("rules", 3, "spec.tls", "secretName", `{"hosts":["b.example.com"],"secretName":"tls2"}`, `{"secretName":"tls"}`),
	}
}

func networkEdits() []edit {
	return []edit{
		item("rules", 10, "spec.ingress", "", `{}`, `{"from":[{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.1.0.0/16"]}}]}`, `{"ports":[{"port":443},{"port":"dns","protocol":"UDP"}]}`),
		set("rules", 4, "spec.policyTypes", `["Ingress"]`, `["Ingress","Egress"]`, "-"),
		set("rules", 4, "spec.egress", `[]`, `[{"to":[{"namespaceSelector":{}}]}]`, "-"),
		set("selector", 4, "spec.podSelector", `{}`, `{"matchLabels":{"app":"db"}}`, `{"matchExpressions":[{"key":"a","operator":"Exists"}]}`),
		each("spec.ingress", item("ports", 3, "ports", "", `{"port":8080}`, `{"port":1000,"endPort":2000,"protocol":"TCP"}`)),
	}
}

func budgetEdits() []edit {
	return []edit{
		set("replicas", 10, "spec.minAvailable", `2`, `"50%"`, "-"),
		set("replicas", 4, "spec.maxUnavailable", `1`, `"10%"`, "-"),
		entry("selector", 4, "spec.selector.matchLabels", []string{"app", "version"}, `"web"`, `"v2"`),
		set("rollout", 3, "spec.unhealthyPodEvictionPolicy", `"AlwaysAllow"`, "-"),
	}
}

func budgetStatus() []edit {
	return []edit{
		set("status", 4, "status.disruptionsAllowed", `1`, `0`),
		entry("status", 2, "status.disruptedPods", []string{"web-1"}, `"2026-11-20T10:00:00Z"`),
		item("conditions", 3, "status.conditions", "type", `{"type":"DisruptionAllowed","status":"True","reason":"SufficientPods","message":"","lastTransitionTime":"2026-11-20T10:00:00Z"}`),
		set("status", 2, "status.currentHealthy", `3`),
	}
}

func replicaStatus() []edit {
	return []edit{
		set("status", 4, "status.replicas", `2`, `3`),
		set("status", 4, "status.readyReplicas", `1`, `2`, "-"),
		set("status", 3, "status.observedGeneration", `1`, `2`),
		item("conditions", 5, "status.conditions", "type", `{"type":"Available","status":"True"}`, `{"type":"Progressing","status":"True","reason":"x","lastUpdateTime":"2026-11-20T10:00:00Z"}`, `{"type":"ReplicaFailure","status":"False","lastTransitionTime":"2026-11-20T10:00:00Z"}`),
	}
}

func daemonStatus() []edit {
	return []edit{
		set("status", 4, "status.numberReady", `1`, `2`),
		set("status", 4, "status.desiredNumberScheduled", `3`),
		item("conditions", 2, "status.conditions", "type", `{"type":"X","status":"True"}`),
	}
}

func jobStatus() []edit {
	return []edit{
		set("status", 4, "status.active", `1`, `0`, "-"),
		set("status", 3, "status.startTime", `"2026-11-20T10:00:00Z"`),
		set("status", 3, "status.failed", `1`, `2`),
		item("conditions", 3, "status.conditions", "type", `{"type":"Suspended","status":"True"}`),
	}
}

func cronStatus() []edit {
	return []edit{
		set("status", 4, "status.lastScheduleTime", `"2026-11-20T10:00:00Z"`, "-"),
		set("status", 3, "status.active", `[{"kind":"Job","name":"j-1","namespace":"x"}]`, `[]`, "-"),
	}
}

func autoscalerStatus() []edit {
	return []edit{
		set("status", 4, "status.currentReplicas", `2`, `3`),
		set("status", 3, "status.desiredReplicas", `3`),
		item("conditions", 4, "status.conditions", "type", `{"type":"AbleToScale","status":"True"}`, `{"type":"ScalingActive","status":"False","reason":"x"}`),
	}
}

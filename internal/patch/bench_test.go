package patch

import (
	"sigs.k8s.io/yaml"

	"fmt"
	"testing"

	"kubetrail/internal/tree"
)

// large is a Deployment of about 10 KB, as it is stored.
func large(b testing.TB) map[string]any {
	env := ""
	for i := range 40 {
		env += fmt.Sprintf("          - {name: VARIABLE_%d, value: \"the value of a variable, number %d of some\"}\n", i, i)
	}
	container := func(name string) string {
		return "        - name: " + name + `
          image: registry.example.com/shop/web:v1.4.2
          imagePullPolicy: IfNotPresent
          terminationMessagePath: /dev/termination-log
          terminationMessagePolicy: File
          resources: {limits: {cpu: "1", memory: 1Gi}, requests: {cpu: 100m, memory: 128Mi}}
          ports: [{containerPort: 8080, name: http, protocol: TCP}]
          livenessProbe: {httpGet: {path: /live, port: 8080, scheme: HTTP}, timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3}
          env:
` + env
	}
	return value(b, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, uid: u, generation: 1, creationTimestamp: "2026-11-20T10:00:00Z", labels: {app: web}, annotations: {note: first}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  revisionHistoryLimit: 10
  progressDeadlineSeconds: 600
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}
  template:
    metadata: {labels: {app: web}}
    spec:
      dnsPolicy: ClusterFirst
      restartPolicy: Always
      schedulerName: default-scheduler
      securityContext: {}
      terminationGracePeriodSeconds: 30
      containers:
`+container("web")+container("side")+`
status: {replicas: 3, readyReplicas: 3}
`)
}

// BenchmarkStory rebuilds a Deployment of 10 KB through 1,000 patches, with the changes
// and the lines of each.
func BenchmarkStory(b *testing.B) {
	first := large(b)
	text := tree.AppendYAML(nil, first)
	b.Logf("%d bytes of YAML", len(text))
	var requests []*Request
	for i := range 1000 {
		body := fmt.Sprintf(`{"metadata":{"annotations":{"note":"number %d"}},"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"web"},{"name":"side"}],"containers":[{"name":"web","image":"web:%d"}]}}}}`, i, i)
		if i%3 == 1 {
			body = fmt.Sprintf(`[{"op":"replace","path":"/spec/replicas","value":%d}]`, i)
		}
		if i%3 == 2 {
			body = fmt.Sprintf(`{"spec":{"replicas":%d}}`, i)
		}
		requests = append(requests, &Request{Verb: "patch", Group: "apps", Version: "v1", Resource: "deployments", URI: "/x?fieldManager=kubectl-edit", Body: []byte(body)})
	}
	for b.Loop() {
		v, before := Recorded(first), text
		for _, r := range requests {
			next := Rebuild(v, r)
			if next.Sure != Exact || len(tree.Changes(v.Object, next.Object)) == 0 {
				b.Fatal(next.Why)
			}
			after := tree.AppendYAML(nil, next.Object)
			if tree.Unified(before, after, 3) == "" {
				b.Fatal("no difference")
			}
			v, before = next, after
		}
	}
}

// value decodes YAML, for tests.
func value(t testing.TB, text string) map[string]any {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v, err := tree.Decode(j)
	if err != nil {
		t.Fatal(err)
	}
	return tree.Object(v)
}

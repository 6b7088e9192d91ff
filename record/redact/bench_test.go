package redact_test

import (
	"fmt"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/record"
)

// pod is a body of about 5 KB, with or without values in env.
func pod(value string) []byte {
	var b strings.Builder
	b.WriteString(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-5d8f7c9b4-x2x7k","generateName":"web-5d8f7c9b4-","namespace":"shop","labels":{"app":"web","pod-template-hash":"5d8f7c9b4"}},"spec":{"volumes":[{"name":"kube-api-access","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}}],"defaultMode":420}}],"containers":[`)
	for i := range 6 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"c%d","image":"registry.example.com/team/web:1.27.%d","command":["/bin/sh","-c","exec web --listen :8080"],"ports":[{"containerPort":8080,"protocol":"TCP"}],"env":[{"name":"POD_IP","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"status.podIP"}}}%s],"resources":{"limits":{"cpu":"500m","memory":"256Mi"},"requests":{"cpu":"100m","memory":"128Mi"}},"volumeMounts":[{"name":"kube-api-access","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}],"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}`, i, i, value)
	}
	b.WriteString(`],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","nodeName":"node-1"},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-11-20T15:13:23Z"}]}}`)
	return []byte(b.String())
}

// BenchmarkRedact measures one event with two bodies of a Pod, and one without.
func BenchmarkRedact(b *testing.B) {
	for _, bench := range []struct {
		name, what string
		body       []byte
	}{
		{"metadata", "secrets,tokens,last-applied,env", nil},
		{"secrets/nothing there", "secrets", pod("")},
		{"all/nothing there", "secrets,tokens,last-applied,env", pod("")},
		{"all/twelve values", "secrets,tokens,last-applied,env", pod(`,{"name":"PASSWORD","value":"correct horse"}`)},
		{"path/nothing there", "path=requestObject.spec.password", pod("")},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r := redactor(b, strings.Split(bench.what, ",")...)
			e := event("pods", "")
			e.Text[audit.RequestURI] = []byte("/api/v1/namespaces/shop/pods?fieldManager=kubectl-create&fieldValidation=Strict")
			e.Text[audit.Annotations] = []byte(`{"pod-security.kubernetes.io/enforce-policy":"privileged:latest"}`)
			b.SetBytes(int64(2 * len(bench.body)))
			b.ReportAllocs()
			for b.Loop() {
				e.RequestObject, e.ResponseObject = bench.body, bench.body
				r.Redact(e)
			}
		})
	}
}

// TestNothingAllocated checks that events without anything to redact cost no memory, but
// for what the race detector takes out of a pool at times.
func TestNothingAllocated(t *testing.T) {
	r := redactor(t, "secrets", "tokens", "last-applied", "env")
	e := event("pods", "")
	e.Text[audit.RequestURI] = []byte("/api/v1/pods?watch=1&resourceVersion=5")
	body := pod("")
	redact := func(e *record.Event) {
		e.RequestObject, e.ResponseObject = body, body
		r.Redact(e)
	}
	if n := testing.AllocsPerRun(100, func() { redact(e) }); n > 4 {
		t.Errorf("%v allocations", n)
	}
}

package trailtest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"kubetrail/internal/corpustest"
)

// Lines are about eighty audit events made to be told apart wrongly: equal times,
// no times, every version of the API, absent fields, lists, maps, bodies, text that
// JSON escapes, and lines that are not written as kube-apiserver writes them.
func Lines() [][]byte {
	lines := everyday()
	for _, odd := range strings.Split(strings.TrimSpace(oddLines), "\n") {
		lines = append(lines, []byte(odd))
	}
	return lines
}

// everyday are events of a few users on a few objects. Three at a time have the same
// time, and some come a little late.
func everyday() [][]byte {
	users := []string{"alice", "bob", "system:serviceaccount:ci:deployer", "王芳"}
	verbs := []string{"get", "list", "create", "patch", "delete"}
	resources := []string{"pods", "deployments", "secrets"}
	start := time.Date(2026, 11, 20, 15, 21, 0, 0, time.UTC)
	var lines [][]byte
	for i := range 54 {
		at := start.Add(time.Duration(i/3*7) * time.Second)
		if i%11 == 10 {
			at = at.Add(-30 * time.Second)
		}
		code := []int{200, 200, 201, 403, 404, 500}[i%6]
		body := ""
		if i%4 == 0 {
			body = fmt.Sprintf(`,"requestObject":{"spec":{"replicas":%d,"containers":[{"image":"nginx:%d"},{"image":"redis"}]}}`, i%5, i)
		}
		if i%8 == 0 {
			body += `,"responseObject":{"kind":"Status","status":"Success","metadata":{}}`
		}
		lines = append(lines, fmt.Appendf(nil, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"id-%02d","stage":"ResponseComplete",`+
			`"requestURI":"/api/v1/namespaces/ns-%d/x?n=%d","verb":"%s","user":{"username":"%s","groups":["group-%d","system:authenticated"]},`+
			`"sourceIPs":["10.0.0.%d"],"userAgent":"kubectl/v1.%d","objectRef":{"resource":"%s","namespace":"ns-%d","name":"name-%d","apiVersion":"v1"},`+
			`"responseStatus":{"metadata":{},"code":%d}%s,"requestReceivedTimestamp":"%s","stageTimestamp":"%s",`+
			`"annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}`,
			i, i%3, i, verbs[i%5], users[i%4], i%2, i%7, i%3, resources[i%3], i%3, i%9, code, body,
			at.Format("2006-01-02T15:04:05.000000Z"), at.Format("2006-01-02T15:04:05.000000Z")))
	}
	return lines
}

// oddLines are one line each.
const oddLines = `
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"","auditID":"","stage":"","requestURI":"","verb":"","user":{},"requestReceivedTimestamp":null,"stageTimestamp":null}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"no-times","stage":"Panic","requestURI":"/","verb":"get","user":{"username":"alice"},"requestReceivedTimestamp":null,"stageTimestamp":null}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"received-only","stage":"RequestReceived","requestURI":"/x","verb":"get","user":{"username":"alice"},"requestReceivedTimestamp":"2026-11-20T15:21:05.000001Z","stageTimestamp":null}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"before-1970","stage":"ResponseComplete","requestURI":"/x","verb":"get","user":{"username":"bob"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"1969-12-31T23:59:59.999999Z","stageTimestamp":"1969-12-31T23:59:59.999999Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"epoch","stage":"ResponseComplete","requestURI":"/x","verb":"get","user":{"username":"bob"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"1970-01-01T00:00:00.000000Z","stageTimestamp":"1970-01-01T00:00:00.000000Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"same-id","stage":"RequestReceived","requestURI":"/api/v1/pods?watch=true","verb":"watch","user":{"username":"carol","uid":"u-1","groups":["a","a","b"],"extra":{"k.io/x":["1","2"],"y":["z"]}},"sourceIPs":["1.2.3.4","::1"],"objectRef":{"resource":"pods","apiVersion":"v1"},"requestReceivedTimestamp":"2026-11-20T15:22:00.000000Z","stageTimestamp":"2026-11-20T15:22:00.000000Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"same-id","stage":"ResponseStarted","requestURI":"/api/v1/pods?watch=true","verb":"watch","user":{"username":"carol","groups":[]},"sourceIPs":[],"objectRef":{"resource":"pods","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-11-20T15:22:00.000000Z","stageTimestamp":"2026-11-20T15:22:00.000001Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"same-id","stage":"ResponseComplete","requestURI":"/api/v1/pods?watch=true","verb":"watch","user":{"username":"carol"},"responseStatus":{"metadata":{},"status":"Failure","message":"pods \"a\" is forbidden: User \"carol\" cannot list","reason":"Forbidden","details":{"kind":"pods"},"code":403},"requestReceivedTimestamp":"2026-11-20T15:22:00.000000Z","stageTimestamp":"2026-11-20T15:22:00.000001Z","annotations":{"authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":"no RBAC policy matched","k8s.io/deprecated":"true","pod-security.kubernetes.io/enforce-policy":"restricted:latest"}}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"impersonation","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/shop/deployments/web/scale","verb":"update","user":{"username":"admin","groups":["system:masters"]},"impersonatedUser":{"username":"bob","uid":"7","groups":["ops"],"extra":{"reason":["ticket-1"]}},"authenticationMetadata":{"impersonationConstraint":"impersonate:user-info"},"objectRef":{"resource":"deployments","namespace":"shop","name":"web","uid":"0f6df937","apiGroup":"apps","apiVersion":"v1","resourceVersion":"42","subresource":"scale"},"responseStatus":{"metadata":{},"code":200},"requestObject":{"spec":{"replicas":3},"list":[1,2.5,-3e2,true,null,"x"]},"requestReceivedTimestamp":"2026-11-20T15:22:01.000000Z","stageTimestamp":"2026-11-20T15:22:01.500000Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"null-body","stage":"ResponseComplete","requestURI":"/x","verb":"patch","user":{"username":"admin"},"responseStatus":{"metadata":{},"code":400},"requestObject":null,"requestReceivedTimestamp":"2026-11-20T15:22:02.000000Z","stageTimestamp":"2026-11-20T15:22:02.000000Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"array-body","stage":"ResponseComplete","requestURI":"/x","verb":"patch","user":{"username":"admin"},"responseStatus":{"metadata":{},"code":200},"requestObject":[{"op":"replace","path":"/spec","value":"nginx"}],"requestReceivedTimestamp":"2026-11-20T15:22:02.000000Z","stageTimestamp":"2026-11-20T15:22:02.000000Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"escapes","stage":"ResponseComplete","requestURI":"/a\u0026b?c=\u003cd\u003e","verb":"get","user":{"username":"quote\" back\\ tab\t nul\u0000 esc\u001b"},"userAgent":"\u003cscript\u003e\u2028 \ufffd 日本語 \ud83d\ude00","responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-11-20T15:22:03.000000Z","stageTimestamp":"2026-11-20T15:22:03.000000Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"other-members","stage":"ResponseComplete","requestURI":"/x","verb":"get","user":{"username":"dave"},"requestReceivedTimestamp":"2026-11-20T15:22:04.000000Z","stageTimestamp":"2026-11-20T15:22:04.000000Z","future":{"field":1},"more":[1]}
{ "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "blanks", "stage": "ResponseComplete", "requestURI": "/x", "verb": "get", "user": { "username": "dave", "groups": [ "a", "b" ] }, "requestReceivedTimestamp": "2026-11-20T15:22:05Z", "stageTimestamp": "2026-11-20T15:22:05.1Z" }
{"stageTimestamp":"2026-11-20T15:22:06.000000Z","verb":"get","auditID":"order","apiVersion":"audit.k8s.io/v1","kind":"Event","stage":"ResponseComplete","level":"Metadata","user":{"username":"dave"},"requestURI":"/x","requestReceivedTimestamp":"2026-11-20T15:22:06.000000Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"twice","auditID":"two","stage":"ResponseComplete","requestURI":"/x","verb":"get","user":{"username":"dave"},"requestReceivedTimestamp":"2026-11-20T15:22:07.000000Z","stageTimestamp":"2026-11-20T15:22:07.000000Z"}
{"level":"Metadata","auditID":"item","stage":"ResponseComplete","requestURI":"/healthz","verb":"get","user":{"username":"system:anonymous","groups":["system:unauthenticated"]},"sourceIPs":["9.9.9.9"],"responseStatus":{"metadata":{},"code":401},"requestReceivedTimestamp":"2026-11-20T15:22:08.000000Z","stageTimestamp":"2026-11-20T15:22:08.000000Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1beta1","metadata":{"creationTimestamp":"2018-01-01T00:00:00Z"},"level":"Metadata","timestamp":"2018-01-01T00:00:00Z","auditID":"beta","stage":"ResponseComplete","requestURI":"/x","verb":"get","user":{"username":"erin"},"sourceIPs":["5.5.5.5"],"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2018-01-01T00:00:00.000001Z","stageTimestamp":"2018-01-01T00:00:00.000002Z"}
2026-11-20T15:22:09.696864233Z AUDIT: id="legacy" stage="ResponseComplete" ip="127.0.0.1" method="get" user="frank" groups="\"a\",\"b c\"" as="<self>" asgroups="<lookup>" user-agent="kubectl/v1.36" namespace="shop" uri="/openapi/v3" response="200"
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"same-time-1","stage":"ResponseComplete","requestURI":"/x","verb":"get","user":{"username":"gina"},"requestReceivedTimestamp":"2026-11-20T15:22:10.000000Z","stageTimestamp":"2026-11-20T15:22:10.000000Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"same-time-1","stage":"ResponseComplete","requestURI":"/x","verb":"get","user":{"username":"gina"},"requestReceivedTimestamp":"2026-11-20T15:22:10.000000Z","stageTimestamp":"2026-11-20T15:22:10.000000Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"late","stage":"ResponseComplete","requestURI":"/x","verb":"get","user":{"username":"gina"},"requestReceivedTimestamp":"2026-11-20T14:00:00.000000Z","stageTimestamp":"2026-11-20T14:00:00.000000Z"}
{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"ahead","stage":"ResponseComplete","requestURI":"/x","verb":"get","user":{"username":"gina"},"requestReceivedTimestamp":"2027-01-01T00:00:00.000000Z","stageTimestamp":"2027-01-01T00:00:00.000000Z"}
`

// realLines are events that a real kube-apiserver wrote, with and without bodies. The
// test is skipped where the corpora are not there.
func realLines(t *testing.T) [][]byte {
	var lines [][]byte
	for _, m := range corpustest.Members(t, "truncate-10k", "audit.log") {
		for n, line := range bytes.Split(bytes.TrimSpace(m.Data), []byte("\n")) {
			if n%8 == 0 {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

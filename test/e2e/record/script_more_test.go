package record_test

import (
	"fmt"
	"strings"
)

// customs is about custom resources, which have no schema but that of their definition.
func (s *script) customs() {
	all := "/apis/{GROUP}/v1/namespaces/{NS}/crontabs"
	one := all + "/job"
	s.post(201, "admin", all, `{"apiVersion":"{GROUP}/v1","kind":"CronTab","metadata":{"name":"job"},"spec":{"cron":"* * * * *","big":9007199254740993,"list":["a","b"]}}`).save = "ct=metadata.resourceVersion"
	s.put(200, "admin", one, `{"apiVersion":"{GROUP}/v1","kind":"CronTab","metadata":{"name":"job","resourceVersion":"{ct}"},"spec":{"cron":"1 * * * *"}}`)
	s.put(409, "admin", one, `{"apiVersion":"{GROUP}/v1","kind":"CronTab","metadata":{"name":"job","resourceVersion":"{ct}"},"spec":{"cron":"2 * * * *"}}`)
	s.post(422, "admin", all, `{"apiVersion":"{GROUP}/v1","kind":"CronTab","metadata":{"name":"bad"},"spec":{"replicas":-1}}`)
	s.post(422, "admin", all, `{"apiVersion":"{GROUP}/v1","kind":"Other","metadata":{"name":"bad"}}`)
	s.add(201, "admin", "POST", all, yamlMedia, "apiVersion: {GROUP}/v1\nkind: CronTab\nmetadata: {name: yaml}\nspec:\n  cron: '3 * * * *'\n")
	s.patch(200, "admin", one+"/status", mergeMedia, `{"status":{"replicas":3}}`)
	s.get(200, "admin", one+"/status")
	s.get(200, "admin", one+"/scale")
	s.put(200, "admin", one+"/scale", `{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"job","namespace":"{NS}"},"spec":{"replicas":4}}`)
	s.patch(200, "admin", one, patchMedia, `[{"op":"replace","path":"/spec/cron","value":"4 * * * *"}]`)
	s.patch(415, "admin", one, stratMedia, `{"spec":{"cron":"5 * * * *"}}`)
	s.patch(200, "admin", one+"?fieldManager=e2e&force=true", applyMedia, `{"apiVersion":"{GROUP}/v1","kind":"CronTab","metadata":{"name":"job"},"spec":{"cron":"6 * * * *"}}`)
	s.patch(200, "admin", one+"?fieldManager=e2e&force=true", applyMedia, "apiVersion: {GROUP}/v1\nkind: CronTab\nmetadata:\n  name: job\nspec:\n  cron: 7 * * * *\n").hole = true
	s.get(200, "admin", all, "Accept", table)
	s.get(406, "admin", all, "Accept", "application/vnd.kubernetes.protobuf")
	s.get(404, "admin", "/apis/{GROUP}/v2/namespaces/{NS}/crontabs")
	s.patch(400, "admin", one, mergeMedia, `{"spec":`).hole = true
	s.add(201, "admin", "POST", all, cborMedia, cbor(map[string]any{"apiVersion": "{GROUP}/v1", "kind": "CronTab",
		"metadata": map[string]any{"name": "cbor"}, "spec": map[string]any{"cron": "8 * * * *", "replicas": 2}}, s))
	s.get(200, "admin", all+"/cbor", "Accept", cborMedia)
	s.patch(200, "admin", all+"/cbor?fieldManager=e2e&force=true", applyCBOR, cbor(map[string]any{"apiVersion": "{GROUP}/v1", "kind": "CronTab",
		"metadata": map[string]any{"name": "cbor"}, "spec": map[string]any{"cron": "9 * * * *"}}, s)).hole = true
	s.get(200, "admin", all, "Accept", cborMedia)
}

// patches tries every kind of patch, good and bad.
func (s *script) patches() {
	maps := "/api/v1/namespaces/{NS}/configmaps"
	m := maps + "/patched"
	s.post(201, "alice", maps, `{"metadata":{"name":"patched"},"data":{"a":"1"}}`)
	s.patch(200, "alice", m, patchMedia, `[{"op":"add","path":"/data/b","value":"2"}]`)
	s.patch(200, "alice", m, mergeMedia, `{"data":{"c":"3","a":null}}`)
	s.patch(200, "alice", m, stratMedia, `{"data":{"d":"4"},"metadata":{"annotations":{"x":"<&>"}}}`)
	s.patch(200, "alice", m+"?dryRun=All", stratMedia, `{"data":{"e":"5"}}`)
	s.patch(200, "alice", m+"?fieldManager=me&fieldValidation=Strict", mergeMedia, `{"data":{"f":"6"}}`)
	s.patch(422, "alice", m+"?fieldValidation=Strict", mergeMedia, `{"date":{"f":"6"}}`)
	s.patch(200, "alice", m+"?fieldValidation=Warn", mergeMedia, `{"date":{"f":"6"}}`)
	s.patch(200, "alice", m, mergeMedia, `{"data":{"g":"1"},"data":{"g":"2"}}`)
	s.patch(200, "alice", m, mergeMedia, "\n{ \"data\" :\t{\"space\": \"x\"} }\n")
	s.patch(200, "alice", m, mergeMedia, "{}")
	s.patch(404, "alice", maps+"/absent", mergeMedia, `{"data":{"g":"1"}}`)
	s.patch(422, "alice", m, patchMedia, `[{"op":"test","path":"/data/b","value":"no"}]`)
	s.patch(422, "alice", m, patchMedia, `[{"op":"remove","path":"/data/none"}]`)
	s.patch(400, "alice", m, patchMedia, `{"op":"add"}`)
	s.patch(415, "alice", m, jsonMedia, `{"data":{"g":"1"}}`)
	s.patch(415, "alice", m, "text/plain", `{"data":{"g":"1"}}`)
	s.patch(415, "alice", m, "", `{"data":{"g":"1"}}`)
	s.patch(422, "alice", m, mergeMedia, `{"data":{"not a key":"1"}}`)
	s.patch(422, "alice", m, mergeMedia, `{"data":{"g":1}}`)
	s.patch(400, "alice", m, mergeMedia, `{"metadata":{"name":"other"}}`)
	s.patch(422, "alice", m+"?dryRun=Some", mergeMedia, `{}`)
	s.patch(400, "alice", m, mergeMedia, `{"data":`).hole = true
	s.patch(400, "alice", m, stratMedia, `not json`).hole = true
	s.patch(400, "alice", m, patchMedia, `[{"op":`).hole = true
	s.patch(400, "alice", m, mergeMedia, "").hole = true
	s.patch(200, "alice", m, mergeMedia, "{\"data\":{\"bad\":\"\xff\xfe\"}}")
	apply := maps + "/applied?fieldManager=e2e"
	s.patch(201, "alice", apply, applyMedia, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"applied"},"data":{"a":"1"}}`)
	s.patch(200, "alice", apply, applyMedia, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: applied\ndata:\n  a: \"2\" # a comment\n").hole = true
	s.patch(201, "alice", maps+"/secretly?fieldManager=e2e", applyMedia, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: secretly\n").hole = true
	s.patch(409, "alice", maps+"/applied?fieldManager=rival", applyMedia, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"applied"},"data":{"a":"3"}}`)
	s.patch(200, "alice", maps+"/applied?fieldManager=rival&force=true", applyMedia, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"applied"},"data":{"a":"3"}}`)
	s.patch(422, "alice", maps+"/applied", applyMedia, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"applied"}}`)
	s.patch(400, "alice", apply, applyMedia, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"applied"}}`)
	s.patch(400, "alice", apply, applyMedia, "a: [b\nc: {").hole = true
	s.patch(200, "alice", apply+"&force=true", applyCBOR, cbor(map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "applied"}, "data": map[string]any{"a": "4"}}, s)).hole = true
	s.patch(403, "mallory", m, mergeMedia, `{"data":{"evil":"1"}}`)
	s.patch(403, "mallory", apply, applyMedia, "apiVersion: v1\nkind: ConfigMap\n")
}

// forms sends bodies in every form there is, and asks for every one.
func (s *script) forms() {
	maps := "/api/v1/namespaces/{NS}/configmaps"
	s.add(201, "alice", "POST", maps, yamlMedia, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  k: v\n  multi: |\n    line 1\n    line 2\n", "Accept", yamlMedia)
	s.get(200, "alice", maps+"/yaml", "Accept", yamlMedia)
	s.add(201, "alice", "POST", maps, protoMedia, protobuf("v1", "ConfigMap", configMap("proto", "k", "v")), "Accept", protoMedia)
	s.get(200, "alice", maps+"/proto", "Accept", protoMedia)
	s.add(200, "alice", "PUT", maps+"/proto", protoMedia, protobuf("v1", "ConfigMap", configMap("proto", "k", "w")), "Accept", protoMedia+",application/json")
	s.add(400, "alice", "POST", maps, protoMedia, "k8s\x00\x0a\xff\xff broken")
	s.add(400, "alice", "POST", maps, protoMedia, `{"not":"protobuf"}`)
	s.delete(200, "alice", maps+"/proto", "").media = ""
	s.add(201, "alice", "POST", maps, cborMedia, cbor(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "cbor"}, "data": map[string]any{"k": "v"}}, s))
	s.get(200, "alice", maps+"/cbor", "Accept", cborMedia)
	s.add(400, "alice", "POST", maps, cborMedia, "\xd9\xd9\xf7\xa1")
	s.post(201, "alice", maps+"?pretty=true", `{"metadata":{"name":"pretty"}}`)
	s.get(200, "alice", maps+"/pretty?pretty=1", "User-Agent", "Mozilla/5.0 (X11; Linux x86_64)")
	s.get(406, "alice", maps+"/pretty", "Accept", "image/png")
	s.get(200, "alice", maps+"/pretty", "Accept", "*/*")
	s.get(200, "alice", maps+"/pretty", "Accept", partial)
	s.get(200, "alice", maps+"/pretty", "Accept", strings.Replace(partial, "json", "vnd.kubernetes.protobuf", 1))
	s.get(200, "alice", maps+"/pretty", "Accept", table+",application/json")
	s.get(200, "alice", maps+"/pretty", "Accept", strings.Replace(table, "application/json", yamlMedia, 1)+", application/json")
	s.add(415, "alice", "POST", maps, "text/plain", `{"metadata":{"name":"text"}}`)
	s.add(201, "alice", "POST", maps, "application/json; charset=utf-8", `{"metadata":{"name":"charset"}}`)
	s.add(201, "alice", "POST", maps, "", `{"metadata":{"name":"nomedia"}}`)
	s.post(400, "alice", maps, `{"metadata":{"name":"cut"`)
	s.post(400, "alice", maps, ``)
	s.post(400, "alice", maps, `[]`)
	s.post(400, "alice", maps, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"kind"}}`)
	s.post(400, "alice", maps, `{"kind":"ConfigMap","apiVersion":"v2","metadata":{"name":"version"}}`)
	s.post(201, "alice", maps, `{"metadata":{"name":"double"},"data":{"a":"1","a":"2"}}`)
	s.post(400, "alice", maps+"?fieldValidation=Strict", `{"metadata":{"name":"strict"},"dota":{}}`)
	s.post(201, "alice", maps+"?fieldValidation=Warn", `{"metadata":{"name":"warn"},"dota":{}}`)
	s.post(201, "alice", maps+"?fieldManager="+strings.Repeat("m", 128), `{"metadata":{"name":"manager"}}`)
	s.post(422, "alice", maps, `{"metadata":{"name":"Not A Name"}}`)
	s.post(422, "alice", maps, `{"metadata":{}}`)
	s.post(201, "alice", maps, `{"metadata":{"generateName":"made-"}}`)
	s.post(201, "alice", maps+"?dryRun=All", `{"metadata":{"name":"dry"}}`)
	s.post(409, "alice", maps, `{"metadata":{"name":"patched"}}`)
	s.post(400, "alice", maps, `{"metadata":{"name":"ns","namespace":"elsewhere"}}`)
	s.post(404, "admin", "/api/v1/namespaces/absent-{NS}/configmaps", `{"metadata":{"name":"x"}}`)
	s.post(201, "alice", maps, `{"metadata":{"name":"large"},"data":{"k":"`+strings.Repeat("0123456789abcdef", 50_000)+`"}}`)
	s.get(200, "alice", maps+"/large", "Accept-Encoding", "gzip")
	s.get(200, "alice", maps, "Accept-Encoding", "gzip", "Accept", protoMedia)
	s.get(200, "alice", maps, "Accept-Encoding", "gzip")
	s.post(422, "alice", maps, `{"metadata":{"name":"toolarge"},"data":{"k":"`+strings.Repeat("0123456789abcdef", 80_000)+`"}}`)
	s.post(413, "alice", maps, `{"metadata":{"name":"huge"},"data":{"k":"`+strings.Repeat("0123456789abcdef", 250_000)+`"}}`)
	s.delete(200, "alice", maps+"/large", "")
	s.post(201, "alice", maps, `{"metadata":{"name":"unicode"},"data":{"k":"\u0000é中文😀\u2028<>&\\/\""}}`)
	s.put(200, "alice", maps+"/unicode", `{"metadata":{"name":"unicode"},"data":{"k":"后"}}`)
	s.put(400, "alice", maps+"/unicode", `{"metadata":{"name":"other"}}`)
	s.put(403, "mallory", maps+"/unicode", `{"metadata":{"name":"unicode"}}`)
	s.put(409, "alice", maps+"/unicode", `{"metadata":{"name":"unicode","resourceVersion":"1"}}`)
	s.put(404, "alice", maps+"/absent", `{"metadata":{"name":"absent","resourceVersion":"1"}}`)
}

// lists asks for many things at a time.
func (s *script) lists() {
	maps := "/api/v1/namespaces/{NS}/configmaps"
	s.get(200, "alice", maps+"?limit=2").save = "continue=metadata.continue"
	s.get(200, "alice", maps+"?limit=2&continue={continue}")
	s.get(400, "alice", maps+"?limit=2&continue=nonsense")
	s.get(400, "alice", maps+"?limit=x")
	for _, q := range []string{"labelSelector=a%3Db", "labelSelector=a+in+(b,c),!d", "fieldSelector=metadata.name%3Dpatched", "fieldSelector=metadata.name!%3Dpatched",
		"resourceVersion=0", "resourceVersion=1&resourceVersionMatch=NotOlderThan", "timeout=10s", "timeoutSeconds=5", "watch=false", "pretty=false", "unknown=parameter&a=b&a=c"} {
		s.get(200, "alice", maps+"?"+q)
	}
	s.get(400, "alice", maps+"?labelSelector=a%3D%3D%3Db")
	s.get(400, "alice", maps+"?fieldSelector=data.k%3Dv")
	s.get(400, "alice", maps+"?resourceVersion=abc")
	s.get(422, "alice", maps+"?resourceVersionMatch=Exact")
	for _, uri := range []string{"/api/v1/configmaps", "/api/v1/pods", "/api/v1/nodes", "/api/v1/namespaces", "/apis/apps/v1/deployments", "/apis/{GROUP}/v1/crontabs"} {
		s.get(200, "admin", uri+"?limit=500")
		s.get(403, "mallory", uri)
		s.get(200, "admin", uri+"?limit=500", "Accept", table)
	}
	s.get(200, "admin", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1", "Accept", protoMedia)
	s.get(200, "admin", "/api/v1/namespaces/{NS}/pods", "Accept", partials)
	s.get(200, "admin", "/api/v1/namespaces/{NS}/pods", "Accept", strings.Replace(table, "v=v1", "v=v1beta1", 1))
	s.get(200, "admin", "/api/v1/namespaces/{NS}/pods?includeObject=Object", "Accept", table)
	s.get(400, "admin", "/api/v1/namespaces/{NS}/pods?includeObject=Wrong", "Accept", table)
	s.add(405, "admin", "HEAD", "/api/v1/namespaces/{NS}/pods")
	s.add(405, "admin", "HEAD", "/api/v1/namespaces/{NS}/pods/web")
	s.get(200, "admin", "/api/v1/componentstatuses")
}

// watches ends each of its own accord.
func (s *script) watches() {
	pods := "/api/v1/namespaces/{NS}/pods"
	s.get(200, "alice", pods+"?watch=true&timeoutSeconds=1")
	s.get(200, "alice", pods+"?watch=true&timeoutSeconds=1", "Accept", protoMedia+";stream=watch")
	s.get(200, "alice", pods+"?watch=true&timeoutSeconds=1", "Accept", table)
	s.get(200, "alice", pods+"?watch=true&timeoutSeconds=1", "Accept", partial)
	s.get(200, "alice", pods+"?watch=true&timeoutSeconds=1", "Accept-Encoding", "gzip")
	s.get(200, "alice", pods+"?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
	s.get(200, "alice", pods+"?watch=1&timeoutSeconds=1&resourceVersion=1")
	s.get(400, "alice", pods+"?watch=1&timeoutSeconds=x")
	s.get(500, "alice", pods+"?watch=1&timeoutSeconds=1&resourceVersion=x")
	s.get(200, "admin", "/api/v1/watch/namespaces/{NS}/pods?timeoutSeconds=1")
	s.get(200, "admin", "/api/v1/watch/namespaces/{NS}/pods/web?timeoutSeconds=1")
	s.get(200, "admin", "/apis/{GROUP}/v1/crontabs?watch=1&timeoutSeconds=1")
	s.get(403, "mallory", pods+"?watch=1&timeoutSeconds=1")
	s.get(404, "admin", "/apis/{GROUP}/v1/nothing?watch=1&timeoutSeconds=1")
	s.get(200, "admin", "/api/v1/namespaces/{NS}/configmaps?watch=1").closes = true
	s.get(406, "alice", pods+"?watch=1&timeoutSeconds=1", "Accept", "image/png")
}

// subresources has what is not an object itself.
func (s *script) subresources() {
	ns := "/api/v1/namespaces/{NS}"
	apps := "/apis/apps/v1/namespaces/{NS}/deployments"
	s.post(201, "alice", apps, `{"metadata":{"name":"sized"},"spec":{"replicas":0,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"registry.invalid/c"}]}}}}`)
	s.get(200, "admin", apps+"/sized/scale")
	s.put(200, "admin", apps+"/sized/scale", `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"sized","namespace":"{NS}"},"spec":{"replicas":0}}`)
	s.patch(200, "admin", apps+"/sized/scale", mergeMedia, `{"spec":{"replicas":0}}`)
	s.get(200, "admin", apps+"/sized/status")
	s.patch(200, "admin", apps+"/sized/status", stratMedia, `{"status":{"observedGeneration":1}}`)
	s.get(403, "alice", apps+"/sized/scale")
	s.patch(200, "admin", ns+"/pods/web/status", mergeMedia, `{"status":{"message":"hello"}}`)
	s.patch(200, "admin", ns+"/pods/web/ephemeralcontainers", stratMedia, `{"spec":{"ephemeralContainers":[{"name":"debug","image":"registry.invalid/debug"}]}}`)
	s.patch(422, "admin", ns+"/pods/web/resize", stratMedia, `{"spec":{"containers":[{"name":"main","image":"registry.invalid/other"}]}}`)
	s.post(201, "admin", ns+"/pods/spare/eviction", `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"spare","namespace":"{NS}"}}`)
	s.post(404, "admin", ns+"/pods/absent/eviction", `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"absent","namespace":"{NS}"}}`)
	s.post(201, "admin", ns+"/pods", strings.Replace(pod("unbound", ""), `"spec":{`, `"spec":{"schedulerName":"nobody",`, 1))
	s.post(201, "admin", ns+"/pods/unbound/binding", `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"unbound"},"target":{"apiVersion":"v1","kind":"Node","name":"node-1"}}`)
	s.post(409, "admin", ns+"/bindings", `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"unbound"},"target":{"apiVersion":"v1","kind":"Node","name":"node-1"}}`)
	s.get(200, "alice", ns+"/pods/web/log")
	s.get(200, "alice", ns+"/pods/web/log?tailLines=1&timestamps=true&container=main")
	s.get(200, "alice", ns+"/pods/web/log?follow=true").closes = true
	s.get(400, "alice", ns+"/pods/web/log?container=absent")
	s.get(403, "mallory", ns+"/pods/web/log")
	s.get(404, "alice", ns+"/pods/absent/log")
	exec := ns + "/pods/web/exec?command=echo&command=%E4%BD%A0%E5%A5%BD&stdout=true&stderr=true"
	upgrade := func(want int, who, method, uri, to string) {
		a := s.add(want, who, method, uri, "", "")
		a.upgrade = to
	}
	upgrade(101, "admin", "GET", exec, "websocket")
	upgrade(101, "admin", "POST", exec, "SPDY")
	upgrade(403, "alice", "GET", exec, "websocket")
	upgrade(404, "admin", "GET", strings.Replace(exec, "/web/", "/absent/", 1), "websocket")
	upgrade(101, "admin", "GET", ns+"/pods/web/exec", "websocket")
	upgrade(101, "admin", "GET", ns+"/pods/web/attach?stdout=true", "websocket")
	upgrade(101, "admin", "POST", ns+"/pods/web/portforward?ports=80", "SPDY")
	upgrade(403, "mallory", "POST", ns+"/pods/web/portforward", "SPDY")
	s.get(400, "admin", exec)
	s.post(400, "admin", exec, "")
	s.get(200, "admin", "/api/v1/nodes/{BACKEND}/proxy/hello?a=b")
	s.post(200, "admin", "/api/v1/nodes/{BACKEND}/proxy/echo", `{"not":"recorded"}`)
	s.get(500, "admin", "/api/v1/nodes/{BACKEND}/proxy/fail")
	s.get(0, "admin", "/api/v1/nodes/{BACKEND}/proxy/die", "Audit-ID", "died-{NS}")
	s.get(0, "admin", "/api/v1/nodes/{BACKEND}/proxy/die/later", "Audit-ID", "died-later-{NS}")
	s.get(404, "admin", ns+"/services/absent/proxy/")
	s.get(403, "mallory", "/api/v1/nodes/node-1/proxy/metrics")
	s.get(200, "admin", "/api/v1/nodes/node-1/proxy/healthz")
	s.get(200, "admin", "/api/v1/namespaces/{NS}/status")
	s.put(400, "admin", "/api/v1/namespaces/{NS}/finalize", "")
	s.post(400, "admin", ns+"/serviceaccounts/deployer/token", `{"spec":{"audiences":["https://kubernetes.default.svc"],"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"web"}}}`)
	s.post(403, "alice", ns+"/serviceaccounts/deployer/token", `{}`)
	for _, body := range []string{
		`selfsubjectaccessreviews {"spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}`,
		`subjectaccessreviews {"spec":{"user":"alice","groups":["dev"],"resourceAttributes":{"verb":"get","resource":"pods","namespace":"{NS}"}}}`,
		`selfsubjectrulesreviews {"spec":{"namespace":"{NS}"}}`,
	} {
		resource, body, _ := strings.Cut(body, " ")
		s.post(201, "admin", "/apis/authorization.k8s.io/v1/"+resource, body)
	}
	s.post(201, "alice", "/apis/authentication.k8s.io/v1/selfsubjectreviews", `{}`)
	s.post(201, "admin", "/apis/authentication.k8s.io/v1/tokenreviews", `{"spec":{"token":"{token}"}}`)
	s.post(201, "admin", "/apis/authentication.k8s.io/v1/tokenreviews", `{"spec":{"token":"nonsense"}}`)
	s.post(201, "admin", "/apis/certificates.k8s.io/v1/certificatesigningrequests", `{"metadata":{"name":"{NS}-jai"},"spec":{"signerName":"e2e.test/none","usages":["client auth"],"request":"{CSR}"}}`).save = "csr=metadata.resourceVersion"
	s.put(200, "admin", "/apis/certificates.k8s.io/v1/certificatesigningrequests/{NS}-jai/approval", `{"metadata":{"name":"{NS}-jai","resourceVersion":"{csr}"},"spec":{"signerName":"e2e.test/none","usages":["client auth"],"request":"{CSR}"},
		"status":{"conditions":[{"type":"Approved","status":"True","reason":"Because"}]}}`)
}

// refusals are not allowed, or about nothing that exists.
func (s *script) refusals() {
	ns := "/api/v1/namespaces/{NS}"
	for _, uri := range []string{ns + "/configmaps/absent", ns + "/nonsense", ns + "/configmaps/patched/nonsense", "/apis/none.example/v1/things", "/apis/apps/v9/deployments", "/api/v2/pods", "/api/v1/nonsense/x/y"} {
		s.get(404, "admin", uri)
		s.get(403, "mallory", uri)
	}
	s.post(403, "mallory", ns+"/configmaps", `{"metadata":{"name":"evil"}}`)
	s.post(403, "mallory", ns+"/configmaps", `not even json`)
	s.delete(403, "mallory", ns+"/configmaps/patched", "")
	s.delete(403, "mallory", ns+"/configmaps", `{"kind":"DeleteOptions","apiVersion":"v1"}`)
	s.delete(403, "alice", "/api/v1/namespaces/{NS}", "")
	s.post(404, "admin", ns+"/nonsense", `{"metadata":{"name":"x"}}`)
	s.post(405, "admin", ns+"/configmaps/patched", `{}`)
	s.put(405, "admin", ns+"/configmaps", `{}`)
	s.patch(405, "admin", ns+"/configmaps", mergeMedia, `{}`)
	s.delete(405, "admin", "/api/v1/namespaces", "")
	s.delete(404, "alice", ns+"/configmaps/absent", "")
	s.delete(409, "alice", ns+"/configmaps/patched", `{"preconditions":{"uid":"wrong"}}`)
	s.delete(400, "alice", ns+"/configmaps/patched", `{"propagationPolicy":`)
	s.delete(422, "alice", ns+"/configmaps/patched", `{"propagationPolicy":"Sideways"}`)
	for _, timeout := range []string{"x", "-", "1", "100000000h"} {
		s.get(400, "admin", ns+"/configmaps?timeout="+timeout)
	}
	s.get(400, "mallory", ns+"/configmaps?timeout=soon")
	s.get(400, "anonymous", ns+"/configmaps?timeout=soon")
	s.get(504, "admin", ns+"/configmaps?timeout=1ns")
}

// nonResources are paths that are no resource.
func (s *script) nonResources() {
	for _, uri := range []string{"/version", "/healthz", "/livez?verbose", "/readyz/ping", "/metrics", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/openapi/v2", "/openapi/v3",
		"/openapi/v3/apis/apps/v1", "/openid/v1/jwks", "/.well-known/openid-configuration", "/", "/debug/pprof/", "/apis/{GROUP}/v1"} {
		s.get(200, "admin", uri)
	}
	s.get(200, "admin", "/apis", "Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")
	s.get(200, "admin", "/openapi/v2", "Accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "Accept-Encoding", "gzip")
	s.get(403, "mallory", "/metrics")
	s.get(200, "mallory", "/version")
	s.get(404, "admin", "/nowhere")
	s.get(403, "mallory", "/nowhere")
	s.get(404, "admin", "/healthz/nothing")
	s.post(405, "admin", "/version", `{}`)
	s.post(404, "admin", "/nowhere", `{"not":"recorded"}`)
	s.add(200, "admin", "HEAD", "/healthz")
	s.add(404, "admin", "DELETE", "/nowhere")
	s.add(200, "admin", "DELETE", "/apis")
}

// impersonations are requests in somebody else's name.
func (s *script) impersonations() {
	pods := "/api/v1/namespaces/{NS}/pods"
	as := func(want int, who string, headers ...string) { s.get(want, who, pods, headers...) }
	as(200, "admin", "Impersonate-User", "alice", "Impersonate-Group", "dev")
	as(403, "admin", "Impersonate-User", "mallory")
	as(200, "admin", "Impersonate-User", "alice", "Impersonate-Group", "dev", "Impersonate-Group", "other", "Impersonate-Uid", "u-1",
		"Impersonate-Extra-Scopes", "view", "Impersonate-Extra-Scopes", "edit", "Impersonate-Extra-Acme.com%2fproject", "x")
	as(200, "admin", "Impersonate-User", "system:serviceaccount:{NS}:deployer")
	as(403, "admin", "Impersonate-User", "system:anonymous")
	as(403, "alice", "Impersonate-User", "admin", "Impersonate-Group", "system:masters")
	as(403, "mallory", "Impersonate-User", "alice")
	as(403, "anonymous", "Impersonate-User", "admin")
	as(403, "deployer", "Impersonate-User", "alice")
	as(400, "admin", "Impersonate-Group", "dev")
	as(400, "admin", "Impersonate-Uid", "u-1")
	as(200, "admin", "Impersonate-User", "system:node:node-1", "Impersonate-Group", "system:masters")
	s.post(201, "admin", "/api/v1/namespaces/{NS}/configmaps", `{"metadata":{"name":"inname"}}`, "Impersonate-User", "alice", "Impersonate-Group", "dev")
	s.post(403, "admin", "/api/v1/namespaces/{NS}/secrets", `{"metadata":{"name":"inname"}}`, "Impersonate-User", "alice", "Impersonate-Group", "dev")
	s.get(200, "admin", pods+"?watch=1&timeoutSeconds=1", "Impersonate-User", "alice", "Impersonate-Group", "dev")
	s.delete(200, "admin", "/api/v1/namespaces/{NS}/configmaps/inname", "", "Impersonate-User", "alice", "Impersonate-Group", "dev")
	as(403, "王芳", "Impersonate-User", "alice")
}

// identities shows every way to say who one is.
func (s *script) identities() {
	pods := "/api/v1/namespaces/{NS}/pods"
	for _, who := range []string{"alice", "王芳", "mallory", "deployer", "robot", "anonymous", "basic", "empty", "nobody", "stranger"} {
		read, made, version := 200, 201, 200
		switch who {
		case "mallory", "anonymous", "basic", "empty":
			read, made = 403, 403
		case "nobody", "stranger":
			read, made, version = 401, 401, 401
		}
		s.get(read, who, pods)
		s.get(read, who, pods+"?watch=1&timeoutSeconds=1")
		s.post(made, who, "/api/v1/namespaces/{NS}/configmaps", fmt.Sprintf(`{"metadata":{"name":"by-%x"}}`, who))
		s.get(version, who, "/version")
	}
	// What only a proxy may say is nothing that a client can.
	s.get(403, "mallory", pods, "X-Remote-User", "admin", "X-Remote-Group", "system:masters")
	s.get(403, "anonymous", pods, "X-Remote-User", "admin", "X-Remote-Group", "system:masters")
	s.get(200, "alice", pods, "X-Forwarded-For", "203.0.113.7")
	s.get(200, "alice", pods, "X-Forwarded-For", "203.0.113.7, 198.51.100.2, nonsense", "X-Real-Ip", "203.0.113.9")
	s.get(200, "deployer", pods, "X-Real-Ip", "203.0.113.9")
	s.get(403, "mallory", pods, "X-Remote-Extra-Scopes", "everything", "X-Remote-Uid", "0")
}

// oddities are what no client means to send.
func (s *script) oddities() {
	ns := "/api/v1/namespaces/{NS}"
	odd := func(want int, method, uri string, headers ...string) *ask {
		a := s.add(want, "admin", method, uri, append([]string{"", ""}, headers...)...)
		a.raw = true
		return a
	}
	for _, method := range []string{"FOO", "OPTIONS", "TRACE", "PROPFIND"} {
		odd(405, method, ns+"/configmaps")
	}
	odd(405, "FOO", "/version")
	odd(404, "GET", "//api/v1/namespaces/{NS}/configmaps")
	odd(404, "GET", "/api//v1/namespaces/{NS}/configmaps")
	odd(404, "GET", "/api/v1/namespaces/{NS}/../other/secrets")
	odd(400, "GET", "/api/v1/namespaces/{NS}/configmaps/%2e%2e")
	odd(404, "GET", "/api/v1/namespaces/{NS}/configmaps/a%2Fb")
	odd(404, "GET", "/api/v1/namespaces/{NS}/configmaps/%E4%B8%AD%E6%96%87")
	odd(404, "GET", "/api/v1/namespaces/{NS}/configmaps/中文")
	odd(200, "GET", "/api/v1/namespaces/{NS}/configmaps/?")
	odd(200, "GET", "/api/v1/namespaces/{NS}/configmaps?a=<script>&b=\"x\"")
	odd(200, "GET", "/api/v1/namespaces/{NS}/configmaps?a=%zz")
	odd(200, "GET", "/api/v1/namespaces/{NS}/configmaps?a;b=c")
	odd(200, "GET", "/%61pi/v1/namespaces/{NS}/configmaps")
	odd(200, "GET", "/api/v1/namespaces/{NS}/configmaps?x="+strings.Repeat("long", 2000))
	odd(200, "GET", ns+"/configmaps", "User-Agent", strings.Repeat("agent ", 500))
	odd(200, "GET", ns+"/configmaps", "User-Agent", "<script>\"x\"</script> \xff\xfe é")
	odd(200, "GET", ns+"/configmaps", "User-Agent", "")
	odd(200, "GET", ns+"/configmaps", "Audit-ID", "an-id-of-my-own-{NS}")
	odd(200, "GET", ns+"/configmaps", "Audit-ID", strings.Repeat("i", 300)+"-{NS}")
	odd(200, "GET", ns+"/configmaps", "Audit-ID", "<&> \"quoted\" 中-{NS}")
	odd(200, "GET", ns+"/configmaps", "Accept-Language", "zh", "Cookie", "a=b", "X-Custom", "y")
	odd(200, "GET", ns+"/configmaps", "Connection", "close, X-Custom", "X-Custom", "y")
	odd(200, "GET", ns+"/configmaps", "Accept-Encoding", "br, zstd, identity;q=0.1")
	odd(500, "GET", "/api/v1/watch").silent = true
	odd(200, "GET", "/apis/")
	odd(200, "GET", "/api/v1/")
	odd(200, "GET", ns+"/configmaps/patched?watch=1")
	odd(200, "GET", ns+"/configmaps?watch=0")
	a := odd(201, "POST", ns+"/configmaps", "Content-Type", jsonMedia, "Transfer-Encoding", "chunked")
	a.body = "19\r\n{\"metadata\":{\"name\":\"chun\r\n6\r\nked\"}}\r\n0\r\n\r\n"
	a = odd(201, "POST", ns+"/configmaps", "Content-Type", jsonMedia, "Content-Length", "33", "Expect", "100-continue")
	a.body = `{"metadata":{"name":"continued"}}`
	a = odd(201, "POST", ns+"/configmaps", "Content-Type", jsonMedia, "Content-Length", "33", "Content-Encoding", "gzip")
	a.body = `{"metadata":{"name":"nogzipped"}}`
	a = odd(200, "GET", ns+"/configmaps", "Content-Type", jsonMedia, "Content-Length", "5")
	a.body = "hello"
}

// deletions end what is left.
func (s *script) deletions() {
	maps := "/api/v1/namespaces/{NS}/configmaps"
	pods := "/api/v1/namespaces/{NS}/pods"
	s.delete(200, "alice", maps+"/patched?dryRun=All", "")
	s.delete(200, "alice", maps+"/patched?gracePeriodSeconds=0&propagationPolicy=Foreground", "")
	s.add(200, "admin", "DELETE", maps+"/applied", protoMedia, protobuf("v1", "DeleteOptions", "\x22\x0aBackground"), "Accept", protoMedia)
	s.add(200, "admin", "DELETE", maps+"/yaml", yamlMedia, "kind: DeleteOptions\napiVersion: v1\npropagationPolicy: Background\n")
	s.delete(200, "admin", maps+"?labelSelector=none%3Dsuch", "")
	s.delete(200, "admin", maps+"?fieldSelector=metadata.name%3Dunicode", `{"kind":"DeleteOptions","apiVersion":"v1"}`)
	s.delete(200, "admin", maps+"?dryRun=All", `{"propagationPolicy":"Background"}`)
	s.delete(200, "admin", maps, "")
	s.delete(200, "admin", pods+"/web?gracePeriodSeconds=30", "")
	s.delete(200, "admin", pods, `{"gracePeriodSeconds":0}`)
	s.delete(200, "admin", "/apis/{GROUP}/v1/namespaces/{NS}/crontabs", `{"apiVersion":"v1","kind":"DeleteOptions"}`)
	s.delete(200, "admin", "/apis/apps/v1/namespaces/{NS}/deployments?propagationPolicy=Orphan", "")
	s.delete(200, "admin", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/crontabs.{GROUP}", "")
	s.delete(200, "admin", "/api/v1/namespaces/{NS}", `{"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Background"}`)
}

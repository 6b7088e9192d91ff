package cause_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/cause"
)

// world writes events as kube-apiserver does. Its clock goes on with every one.
type world struct {
	now    time.Time
	lines  [][]byte
	level  string // of what it records; empty: RequestResponse
	number int
}

func newWorld() *world { return &world{now: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)} }

// obj is a body.
type obj = map[string]any

// wait lets time pass.
func (w *world) wait(d time.Duration) { w.now = w.now.Add(d) }

const kcm = "kube-controller-manager/v1.36.3 (linux/amd64) kubernetes/abc/system:serviceaccount:kube-system:"

// account is the user name of a controller.
func account(controller string) string { return "system:serviceaccount:kube-system:" + controller }

// request is one to write the event of.
type request struct {
	user, as, verb, uri   string
	group, resource, sub  string
	namespace, name       string
	level, agent          string
	code                  int
	request, response     obj
	details, annotations  obj
	extra                 obj
	objectRefUID, auditID string
}

// send writes the event of a request and returns its line.
func (w *world) send(r request) []byte {
	w.number++
	w.wait(20 * time.Millisecond)
	received := w.now
	w.wait(5 * time.Millisecond)
	if r.level == "" {
		r.level = w.level
	}
	if r.level == "" {
		r.level = "RequestResponse"
	}
	if r.code == 0 {
		r.code = 200
	}
	if r.auditID == "" {
		r.auditID = fmt.Sprintf("id-%d", w.number)
	}
	if r.agent == "" {
		r.agent = "kubectl/v1.36.3"
		if controller, ok := strings.CutPrefix(r.user, account("")); ok {
			r.agent = kcm + controller
		}
	}
	e := obj{"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": r.level, "auditID": r.auditID, "stage": "ResponseComplete",
		"requestURI": "/" + r.uri, "verb": r.verb, "user": obj{"username": r.user, "extra": r.extra}, "userAgent": r.agent,
		"objectRef":      obj{"resource": r.resource, "namespace": r.namespace, "name": r.name, "apiGroup": r.group, "subresource": r.sub, "uid": r.objectRefUID},
		"responseStatus": obj{"code": r.code, "details": r.details}, "annotations": r.annotations,
		"requestReceivedTimestamp": received.Format("2006-01-02T15:04:05.000000Z"), "stageTimestamp": w.now.Format("2006-01-02T15:04:05.000000Z")}
	if r.as != "" {
		e["impersonatedUser"] = obj{"username": r.as}
	}
	if r.level != "Metadata" && r.request != nil {
		e["requestObject"] = r.request
	}
	if r.level == "RequestResponse" && r.response != nil {
		e["responseObject"] = r.response
	}
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // these are maps of strings and numbers
	}
	w.lines = append(w.lines, line)
	return line
}

// trace has a tracer learn all lines, and tells of one.
func (w *world) trace(t testing.TB, line []byte) cause.Chain {
	t.Helper()
	tracer := cause.New(cause.Config{})
	var e audit.Event
	for i, l := range w.lines {
		if err := e.Scan(l); err != nil {
			t.Fatal(err)
		}
		e.Seq = uint64(i)
		tracer.Note(&e)
	}
	for i, l := range w.lines {
		if &l[0] == &line[0] {
			if err := e.Scan(l); err != nil {
				t.Fatal(err)
			}
			e.Seq = uint64(i)
			return tracer.Trace(&e)
		}
	}
	t.Fatal("no such line")
	return cause.Chain{}
}

// meta makes metadata; owner is a kind, a name and a uid.
func meta(name, uid string, generation int, owner ...string) obj {
	m := obj{"name": name, "namespace": "shop", "uid": uid, "generation": generation}
	if len(owner) == 3 {
		m["ownerReferences"] = []obj{{"apiVersion": "apps/v1", "kind": owner[0], "name": owner[1], "uid": owner[2], "controller": true}}
	}
	return m
}

// workload makes a Deployment or a ReplicaSet.
func workload(kind string, m obj, replicas int, image string, desired ...int) obj {
	if len(desired) > 0 {
		m["annotations"] = obj{"deployment.kubernetes.io/desired-replicas": fmt.Sprint(desired[0])}
	}
	return obj{"kind": kind, "metadata": m, "spec": obj{"replicas": replicas, "template": obj{
		"metadata": obj{"labels": obj{"app": "web"}}, "spec": obj{"containers": []obj{{"name": "c", "image": image}}}}}}
}

func (w *world) create(user, resource string, body obj) []byte {
	return w.send(request{user: user, verb: "create", group: "apps", resource: resource, namespace: "shop",
		name: body["metadata"].(obj)["name"].(string), code: 201, request: body, response: body})
}

func (w *world) change(user, verb, resource, sub string, body obj) []byte {
	return w.send(request{user: user, verb: verb, group: "apps", resource: resource, sub: sub, namespace: "shop",
		name: body["metadata"].(obj)["name"].(string), request: body, response: body})
}

// pod creates one of a ReplicaSet.
func (w *world) pod(user, rs, uid, suffix string) []byte {
	return w.send(request{user: user, verb: "create", resource: "pods", namespace: "shop", code: 201,
		response: obj{"kind": "Pod", "metadata": meta(rs+"-"+suffix, "pod-"+suffix, 1, "ReplicaSet", rs, uid)}})
}

// remove deletes something whose answer is a Status.
func (w *world) remove(user, group, resource, name, uid string) []byte {
	return w.send(request{user: user, verb: "delete", group: group, resource: resource, namespace: "shop", name: name,
		request: obj{"kind": "DeleteOptions", "propagationPolicy": "Background"}, details: obj{"name": name, "uid": uid},
		response: obj{"kind": "Status", "status": "Success", "details": obj{"name": name, "uid": uid}}})
}

// removePod deletes a pod, whose answer is the pod.
func (w *world) removePod(user, rs, uid, suffix string) []byte {
	m := meta(rs+"-"+suffix, "pod-"+suffix, 2, "ReplicaSet", rs, uid)
	m["deletionTimestamp"] = w.now.Add(30 * time.Second).Format(time.RFC3339)
	return w.send(request{user: user, verb: "delete", resource: "pods", namespace: "shop", name: rs + "-" + suffix,
		request: obj{"kind": "DeleteOptions"}, response: obj{"kind": "Pod", "metadata": m}})
}

// deployed is a Deployment web with its ReplicaSet and two pods, by somebody.
func deployed(who string) *world {
	w := newWorld()
	w.create(who, "deployments", workload("Deployment", meta("web", "D", 1), 2, "a"))
	w.create(account("deployment-controller"), "replicasets", workload("ReplicaSet", meta("web-5d4f", "R", 1, "Deployment", "web", "D"), 2, "a", 2))
	w.pod(account("replicaset-controller"), "web-5d4f", "R", "bbbbb")
	w.pod(account("replicaset-controller"), "web-5d4f", "R", "ccccc")
	w.settle(1, 2)
	w.wait(time.Minute)
	return w
}

// settle writes the status of the ReplicaSet.
func (w *world) settle(generation, replicas int) {
	rs := workload("ReplicaSet", meta("web-5d4f", "R", generation, "Deployment", "web", "D"), replicas, "a", replicas)
	rs["status"] = obj{"observedGeneration": generation, "replicas": replicas}
	w.change(account("replicaset-controller"), "update", "replicasets", "status", rs)
}

// scaled scales the Deployment and has the deployment-controller follow.
func (w *world) scaled(who string, generation, replicas int) {
	w.send(request{user: who, verb: "patch", group: "apps", resource: "deployments", sub: "scale", namespace: "shop", name: "web",
		response: obj{"kind": "Scale", "metadata": obj{"name": "web", "namespace": "shop", "uid": "D"}, "spec": obj{"replicas": replicas}}})
	w.change(account("deployment-controller"), "update", "replicasets", "", workload("ReplicaSet", meta("web-5d4f", "R", generation, "Deployment", "web", "D"), replicas, "a", replicas))
}

package cause_test

import (
	"strings"
	"testing"
	"time"

	"kubetrail/internal/cause"
)

// TestThrough tells of stories through whom they end as they do.
func TestThrough(t *testing.T) {
	rs, gc := account("replicaset-controller"), account("generic-garbage-collector")
	for name, c := range map[string]struct {
		story    func() (*world, []byte)
		root     string // empty: unknown
		strength cause.Strength
		words    string // that the line contains
	}{
		"a pod of a new Deployment": {func() (*world, []byte) {
			w := newWorld()
			w.create("alice", "deployments", workload("Deployment", meta("web", "D", 1), 1, "a"))
			w.create(account("deployment-controller"), "replicasets", workload("ReplicaSet", meta("web-5d4f", "R", 1, "Deployment", "web", "D"), 1, "a", 1))
			return w, w.pod(rs, "web-5d4f", "R", "bbbbb")
		}, "alice", cause.Likely, "alice created Deployment shop/web → deployment-controller → replicaset-controller created Pod shop/web-5d4f-bbbbb (likely: the owner reference names ReplicaSet shop/web-5d4f with the same uid; ReplicaSet shop/web-5d4f has been short of pods since)"},
		"scaled down": {func() (*world, []byte) {
			w := deployed("alice")
			w.scaled("bob", 2, 1)
			return w, w.removePod(rs, "web-5d4f", "R", "bbbbb")
		}, "bob", cause.Likely, "bob scaled Deployment shop/web to 1 → deployment-controller → replicaset-controller deleted Pod shop/web-5d4f-bbbbb"},
		"two scale at once, and both want more": {func() (*world, []byte) {
			w := deployed("alice")
			w.scaled("bob", 2, 3)
			w.scaled("carol", 3, 4)
			return w, w.pod(rs, "web-5d4f", "R", "ddddd")
		}, "", cause.Unknown, "carol, bob"},
		"the image decides between two at once": {func() (*world, []byte) {
			w := deployed("alice")
			w.change("bob", "patch", "deployments", "", workload("Deployment", meta("web", "D", 2), 2, "b"))
			w.change("carol", "patch", "deployments", "", workload("Deployment", meta("web", "D", 3), 2, "c"))
			return w, w.create(account("deployment-controller"), "replicasets", workload("ReplicaSet", meta("web-6666", "R2", 1, "Deployment", "web", "D"), 1, "b", 2))
		}, "bob", cause.Certain, "bob changed Deployment shop/web → deployment-controller created ReplicaSet shop/web-6666"},
		"what it owned goes with a Deployment": {func() (*world, []byte) {
			w := deployed("alice")
			w.remove("bob", "apps", "deployments", "web", "D")
			w.remove(gc, "apps", "replicasets", "web-5d4f", "R")
			return w, w.removePod(gc, "web-5d4f", "R", "bbbbb")
		}, "bob", cause.Certain, "bob deleted Deployment shop/web → generic-garbage-collector deleted Pod"},
		"a pod that somebody deleted is made again": {func() (*world, []byte) {
			w := deployed("alice")
			w.removePod("bob", "web-5d4f", "R", "bbbbb")
			return w, w.pod(rs, "web-5d4f", "R", "ddddd")
		}, "bob", cause.Likely, "bob deleted Pod shop/web-5d4f-bbbbb → replicaset-controller created Pod shop/web-5d4f-ddddd"},
		"a pod that went in a way nobody recorded": {func() (*world, []byte) {
			w := deployed("alice")
			return w, w.pod(rs, "web-5d4f", "R", "ddddd")
		}, "", cause.Unknown, "unknown → replicaset-controller created Pod"},
		"an autoscaler acts by itself, whoever made it": {func() (*world, []byte) {
			w := deployed("alice")
			w.create("bob", "horizontalpodautoscalers", obj{"metadata": meta("web", "H", 0)})
			w.scaled(account("horizontal-pod-autoscaler"), 2, 3)
			return w, w.pod(rs, "web-5d4f", "R", "ddddd")
		}, account("horizontal-pod-autoscaler"), cause.Likely, "horizontal-pod-autoscaler scaled Deployment shop/web to 3 → deployment-controller"},
		"who impersonates is the one": {func() (*world, []byte) {
			w := deployed("alice")
			w.send(request{user: "mallory", as: "bob", verb: "delete", group: "apps", resource: "deployments", namespace: "shop", name: "web",
				response: obj{"kind": "Status", "details": obj{"uid": "D"}}})
			return w, w.remove(gc, "apps", "replicasets", "web-5d4f", "R")
		}, "mallory", cause.Certain, "mallory as bob deleted Deployment shop/web"},
	} {
		t.Run(name, func(t *testing.T) { check(t, c.story, c.root, c.strength, c.words) })
	}
}

func check(t *testing.T, story func() (*world, []byte), root string, strength cause.Strength, words string) {
	t.Helper()
	w, line := story()
	c := w.trace(t, line)
	got := ""
	if c.Root != nil {
		got = c.Root.User
	}
	text := c.Words(false)
	if got != root || c.Strength != strength || !strings.Contains(text, words) {
		t.Errorf("root %q, %s: %s\nwant %q, %s: %s", got, c.Strength, text, root, strength, words)
	}
	if zh := c.Words(true); strings.Contains(zh, "%") || zh == text {
		t.Errorf("in Chinese: %s", zh)
	}
}

// TestBlame has mallory try to have somebody else blamed.
func TestBlame(t *testing.T) {
	rs, gc := account("replicaset-controller"), account("generic-garbage-collector")
	service := func(owner ...string) obj { return obj{"kind": "Service", "metadata": meta("cart", "S", 0, owner...)} }
	for name, c := range map[string]struct {
		story    func() (*world, []byte)
		root     string
		strength cause.Strength
		words    string
	}{
		"by hanging what is carol's on what bob will delete": {func() (*world, []byte) {
			w := deployed("bob")
			w.create("carol", "services", service())
			w.change("mallory", "patch", "services", "", service("Deployment", "web", "D"))
			w.remove("bob", "apps", "deployments", "web", "D")
			return w, w.remove(gc, "apps", "services", "cart", "S")
		}, "", cause.Unknown, "mallory wrote its owner reference"},
		"the same, answered with a Table so that nobody sees": {func() (*world, []byte) {
			w := deployed("bob")
			w.create("carol", "services", service())
			w.send(request{user: "mallory", verb: "patch", group: "apps", resource: "services", namespace: "shop", name: "cart", response: obj{"kind": "Table"}})
			w.change("carol", "patch", "services", "", service("Deployment", "web", "D"))
			w.remove("bob", "apps", "deployments", "web", "D")
			return w, w.remove(gc, "apps", "services", "cart", "S")
		}, "", cause.Unknown, "mallory wrote its owner reference"},
		"by an owner reference that names a Deployment, but not its uid": {func() (*world, []byte) {
			w := deployed("bob")
			w.create("mallory", "services", service("Deployment", "web", "D-of-long-ago"))
			w.remove("bob", "apps", "deployments", "web", "D")
			return w, w.remove(gc, "apps", "services", "cart", "S")
		}, "", cause.Unknown, "no deletion of Deployment web"},
		"by a name": {func() (*world, []byte) {
			w := deployed("bob")
			w.level = "Metadata"
			w.create("mallory", "replicasets", workload("ReplicaSet", meta("web-bbbbb", "X", 1), 0, "a"))
			w.remove("bob", "apps", "deployments", "web", "D")
			return w, w.remove(gc, "apps", "replicasets", "web-bbbbb", "X")
		}, "", cause.Unknown, "does not tell what it belongs to"},
		"by scaling the ReplicaSet of bob's Deployment": {func() (*world, []byte) {
			w := deployed("bob")
			w.change("mallory", "patch", "replicasets", "", workload("ReplicaSet", meta("web-5d4f", "R", 2, "Deployment", "web", "D"), 0, "a", 2))
			return w, w.removePod(rs, "web-5d4f", "R", "bbbbb")
		}, "mallory", cause.Likely, "mallory changed ReplicaSet"},
		"and when the deployment-controller puts that right": {func() (*world, []byte) {
			w := deployed("bob")
			w.change("mallory", "patch", "replicasets", "", workload("ReplicaSet", meta("web-5d4f", "R", 2, "Deployment", "web", "D"), 0, "a", 2))
			return w, w.change(account("deployment-controller"), "update", "replicasets", "", workload("ReplicaSet", meta("web-5d4f", "R", 3, "Deployment", "web", "D"), 2, "a", 2))
		}, "mallory", cause.Likely, "mallory changed ReplicaSet"},
		"by a pod of their own that counts as one of bob's": {func() (*world, []byte) {
			w := deployed("bob")
			w.pod("mallory", "web-5d4f", "R", "zzzzz")
			return w, w.removePod(rs, "web-5d4f", "R", "bbbbb")
		}, "mallory", cause.Likely, "mallory created Pod"},
		"by taking the label from a pod, just after bob scaled": {func() (*world, []byte) {
			w := deployed("alice")
			w.scaled("bob", 2, 3)
			w.change("mallory", "patch", "pods", "", obj{"kind": "Pod", "metadata": meta("web-5d4f-bbbbb", "pod-bbbbb", 1, "ReplicaSet", "web-5d4f", "R")})
			return w, w.pod(rs, "web-5d4f", "R", "ddddd")
		}, "", cause.Unknown, "bob"},
		"with a dry run of somebody else, of which the body was not recorded": {func() (*world, []byte) {
			w := deployed("alice")
			w.level = "Metadata"
			w.remove("bob", "apps", "deployments", "web", "D")
			w.wait(time.Minute)
			w.remove("mallory", "apps", "deployments", "web", "D")
			return w, w.remove(gc, "apps", "replicasets", "web-5d4f", "R")
		}, "", cause.Unknown, "bob, mallory"},
		"with the token of a controller": {func() (*world, []byte) {
			w := deployed("alice")
			w.send(request{user: "mallory", verb: "create", resource: "serviceaccounts", sub: "token", namespace: "kube-system", name: "replicaset-controller",
				level: "Metadata", annotations: obj{"authentication.kubernetes.io/issued-credential-id": "JTI=stolen"}})
			w.scaled("bob", 2, 1)
			return w, w.send(request{user: rs, verb: "delete", resource: "pods", namespace: "shop", name: "web-5d4f-bbbbb",
				extra: obj{"authentication.kubernetes.io/credential-id": []string{"JTI=stolen"}}})
		}, "mallory", cause.Certain, "with the token that this request asked for"},
		"with the account of a controller, but another program": {func() (*world, []byte) {
			w := deployed("alice")
			w.scaled("bob", 2, 1)
			return w, w.send(request{user: rs, agent: "curl/8", verb: "delete", resource: "pods", namespace: "shop", name: "web-5d4f-bbbbb"})
		}, rs, cause.Certain, "used by another program"},
		"with members of a body that differ in case": {func() (*world, []byte) {
			w := deployed("bob")
			w.create("carol", "things", obj{"kind": "Thing", "metadata": meta("cart", "T", 1),
				"Metadata": meta("cart", "T", 1, "Deployment", "web", "D"), "METADATA": meta("cart", "T", 1, "Deployment", "web", "D")})
			w.remove("bob", "apps", "deployments", "web", "D")
			return w, w.remove(gc, "apps", "things", "cart", "T")
		}, "", cause.Unknown, "no deletion"},
		"with a uid in the body of a create": {func() (*world, []byte) {
			w := deployed("bob")
			w.send(request{user: "mallory", verb: "create", group: "apps", resource: "deployments", namespace: "shop", name: "web2", objectRefUID: "D", code: 201,
				request: obj{"metadata": obj{"name": "web2", "uid": "D"}}})
			w.remove("mallory", "apps", "deployments", "web", "D")
			return w, w.remove(gc, "apps", "replicasets", "web-5d4f", "R")
		}, "mallory", cause.Certain, "mallory deleted Deployment shop/web "},
		"with an event that is refused": {func() (*world, []byte) {
			w := deployed("alice")
			w.send(request{user: "bob", verb: "delete", group: "apps", resource: "deployments", namespace: "shop", name: "web", code: 403})
			return w, w.remove(gc, "apps", "replicasets", "web-5d4f", "R")
		}, "", cause.Unknown, "no deletion of Deployment web"},
	} {
		t.Run(name, func(t *testing.T) { check(t, c.story, c.root, c.strength, c.words) })
	}
}

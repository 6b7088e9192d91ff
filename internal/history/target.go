package history

import (
	"fmt"
	"slices"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/recorded"
	"kubetrail/internal/schema"
)

// A Target is the object whose history is asked for.
type Target struct {
	schema.Target
	Cluster   string // "" where there is but one
	Namespace string // "" for an object of the cluster, or where it is not known yet
}

// ParseTarget reads KIND/NAME as kubectl does, and the namespace that goes with it.
// Whatever namespace is given for a resource of the cluster, such as nodes, is left out.
func ParseTarget(text, namespace, cluster string) (Target, error) {
	t := Target{schema.ParseTarget(text), cluster, namespace}
	if t.Resource == "" || t.Name == "" || strings.Contains(t.Name, "/") {
		return t, fmt.Errorf("%q does not name an object: write KIND/NAME, as in deploy/nginx", text)
	}
	if r := t.builtIn(); r != nil && !r.Namespaced {
		t.Namespace = ""
	}
	return t, nil
}

func (t *Target) builtIn() *schema.Resource {
	if t.AnyGroup {
		return nil
	}
	return schema.Find(t.Group, t.Resource)
}

// namespaced reports whether the object is in a namespace, or may be.
func (t *Target) namespaced() bool {
	r := t.builtIn()
	return r == nil || r.Namespaced
}

// String is like deployments.apps/nginx.
func (t *Target) String() string {
	if t.Group == "" {
		return t.Resource + "/" + t.Name
	}
	return t.Resource + "." + t.Group + "/" + t.Name
}

// secret reports whether the object holds what must not be shown by accident.
func (t *Target) secret() bool { return t.Resource == "secrets" && t.Group == "" }

// questions are what the trail is asked: for the events that may have changed the object
// or show it, and for those that only renew a sign of life, which nobody wants the
// bodies of; nil where the resource has none.
func (t *Target) questions(all bool) (own, beats *query.Node, err error) {
	text := t.kql()
	routine := t.heartbeats()
	if routine == "" {
		own, err = query.Parse(text)
		return own, nil, err
	}
	if beats, err = query.Parse("(" + text + ") and " + routine); err != nil {
		return nil, nil, err
	}
	if !all {
		text = "(" + text + ") and not (" + routine + ")"
	}
	own, err = query.Parse(text)
	return own, beats, err
}

func (t *Target) kql() string {
	of := "resource:" + query.Quote(t.Resource)
	switch {
	case t.Group != "":
		of += " and apigroup:" + query.Quote(t.Group)
	case !t.AnyGroup:
		of += " and not apigroup:*"
	}
	name := query.Quote(t.Name)
	how := "name:" + name + " and not sub:(exec or attach or portforward or proxy or log or token)" +
		" and (verb:(create or update or patch or delete) or verb:get and level:RequestResponse and code:200)"
	how += " or verb:deletecollection"
	how += " or verb:list and level:RequestResponse and code:200 and responseObject.items.metadata.name:" + name
	if generated(t.Name) {
		how += " or verb:create and not name:* and responseObject.metadata.name:" + name
	}
	text := "(" + of + " and (" + how + "))"
	if !t.namespaced() {
		return text + t.rest()
	}
	if t.Namespace != "" {
		text = "(ns:" + query.Quote(t.Namespace) + " and (" + text + " or resource:namespaces and not apigroup:* and not sub:* and verb:delete))"
	}
	return text + t.rest()
}

// rest is what is asked of all events.
func (t *Target) rest() string {
	text := " and not stage:(RequestReceived or ResponseStarted)"
	if t.Cluster != "" {
		text += " and cluster:" + query.Quote(t.Cluster)
	}
	return text
}

// writes are the requests that a history is made of.
func (t *Target) writes() []recorded.Requests {
	verbs := []string{"create", "update", "patch", "delete", "deletecollection"}
	own := recorded.Requests{Verbs: verbs, Group: t.Group, AnyGroup: t.AnyGroup, Resource: t.Resource,
		Namespace: t.Namespace, AnyNamespace: t.Namespace == "" && t.namespaced(), Name: t.Name}
	if t.Group == "" && t.Resource == "namespaces" {
		own.Namespace = t.Name // as the policy sees it
	}
	subs := []schema.Subresource{{Name: "status", Verbs: verbs[1:3]}, {Name: "scale", Verbs: verbs[1:3]}} // those of custom resources
	if r := t.builtIn(); r != nil {
		subs = r.Subresources
	}
	all := []recorded.Requests{own}
	for _, s := range subs {
		switch s.Name {
		case "exec", "attach", "portforward", "proxy", "log", "token":
			continue
		}
		x := own
		x.Subresources, x.Verbs = []string{s.Name}, nil
		for _, v := range s.Verbs {
			if slices.Contains(verbs, v) {
				x.Verbs = append(x.Verbs, v)
			}
		}
		all = append(all, x)
	}
	return all
}

// heartbeats is the part of the question that Classify calls Heartbeat or LeaderLease.
func (t *Target) heartbeats() string {
	switch {
	case t.Resource == "leases" && t.Group == "coordination.k8s.io":
		return "verb:(update or patch) and not sub:* and not agent:kubectl* and (ns:kube-node-lease or user:system\\:* and not user:\"system:anonymous\") and code < 400"
	case t.Resource == "nodes" && t.Group == "":
		return "verb:(update or patch) and sub:status and user:system\\:node\\:* and code < 400"
	}
	return ""
}

// beat is the class of what heartbeats asks for.
func (t *Target) beat() Class {
	if t.Resource == "leases" && t.Namespace != "kube-node-lease" && !strings.HasPrefix(t.Name, "apiserver-") {
		return LeaderLease
	}
	return Heartbeat
}

// generated reports whether a name may have been made of a generateName: it ends in five
// of the letters that these end in.
func generated(name string) bool {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	if len(name) <= 5 {
		return false
	}
	for _, c := range name[len(name)-5:] {
		if !strings.ContainsRune(letters, c) {
			return false
		}
	}
	return true
}

// about reports whether an event names the object itself, rather than a collection or
// the namespace that it is in.
func (t *Target) about(e *audit.Event) bool {
	return string(e.Text[audit.Resource]) == t.Resource && string(e.Text[audit.Verb]) != "deletecollection"
}

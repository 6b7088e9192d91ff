package kubectl

import (
	"encoding/json"
	"strings"
	"time"

	"kubetrail/internal/schema"
)

// asks reports whether the request creates a review of that kind, which leaves nothing
// behind, and with no parameters that kubectl could not send.
func (r *request) asks(group, resource string) bool {
	i := &r.info
	return r.method == "POST" && i.APIGroup == group && i.APIVersion == "v1" && i.Resource == resource &&
		i.Name == "" && i.Namespace == "" && r.body != nil && len(r.left()) == 0
}

// canI asks whether one may do something.
func (r *request) canI() *command {
	if !r.asks("authorization.k8s.io", "selfsubjectaccessreviews") {
		return nil
	}
	var b struct {
		Kind, APIVersion string
		Metadata, Status json.RawMessage
		Spec             struct {
			ResourceAttributes *struct {
				Namespace, Verb, Group, Resource, Subresource, Name string
			}
			NonResourceAttributes *struct{ Path, Verb string }
		}
	}
	if strict(r.body, &b) != nil {
		return nil
	}
	if n := b.Spec.NonResourceAttributes; n != nil {
		if b.Spec.ResourceAttributes != nil || !verbal(n.Verb) || !strings.HasPrefix(n.Path, "/") {
			return nil
		}
		return newCommand("auth", "can-i", n.Verb, n.Path)
	}
	a := b.Spec.ResourceAttributes
	if a == nil || !verbal(a.Verb) || !sound(a.Resource) || a.Resource == "*" && a.Group != "" ||
		strings.ToLower(a.Resource+a.Group) != a.Resource+a.Group || strings.Contains(a.Resource, ".") {
		return nil
	}
	what := a.Resource
	if t := schema.ParseTarget(what); a.Group != "" && (t.Group != a.Group || t.Resource != a.Resource) {
		what += "." + a.Group
	} else if a.Group == "" && t.Group != "" {
		return nil // kubectl would take it for the resource of another group
	}
	if a.Name != "" {
		what += "/" + a.Name
	}
	c := newCommand("auth", "can-i", a.Verb, what)
	if a.Subresource != "" {
		c.flag("subresource", a.Subresource)
	}
	scope(c, a.Namespace)
	return c
}

// verbal reports whether a word can stand for the verb of can-i.
func verbal(word string) bool { return word != "" && word[0] != '-' }

func scope(c *command, namespace string) {
	if namespace == "" {
		c.add("-A")
	} else {
		c.add("-n", namespace)
	}
}

// canIList asks for everything that one may do.
func (r *request) canIList() *command {
	if !r.asks("authorization.k8s.io", "selfsubjectrulesreviews") {
		return nil
	}
	var b struct {
		Kind, APIVersion string
		Metadata, Status json.RawMessage
		Spec             struct{ Namespace string }
	}
	if strict(r.body, &b) != nil || b.Spec.Namespace == "" {
		return nil
	}
	return newCommand("auth", "can-i", "--list", "-n", b.Spec.Namespace)
}

// whoami asks who one is.
func (r *request) whoami() *command {
	if !r.asks("authentication.k8s.io", "selfsubjectreviews") {
		return nil
	}
	return newCommand("auth", "whoami")
}

// token asks for a token of a service account.
func (r *request) token() *command {
	i := &r.info
	if r.method != "POST" || i.APIGroup != "" || i.Resource != "serviceaccounts" || i.Subresource != "token" ||
		!sound(i.Name) || i.Namespace == "" || r.body == nil || len(r.left()) > 0 {
		return nil
	}
	var b struct {
		Kind, APIVersion string
		Metadata, Status json.RawMessage
		Spec             struct {
			Audiences         []string
			ExpirationSeconds *int64
			BoundObjectRef    *struct{ Kind, APIVersion, Name, UID string }
		}
	}
	if strict(r.body, &b) != nil {
		return nil
	}
	c := newCommand("create", "token", i.Name, "-n", i.Namespace)
	for _, a := range b.Spec.Audiences {
		c.flag("audience", a)
	}
	if s := b.Spec.ExpirationSeconds; s != nil {
		if *s <= 0 || *s > 1<<32 {
			return nil
		}
		c.flag("duration", (time.Duration(*s) * time.Second).String())
	}
	if o := b.Spec.BoundObjectRef; o != nil {
		if o.APIVersion != "v1" || o.Kind != "Pod" && o.Kind != "Secret" && o.Kind != "Node" || o.Name == "" {
			return nil
		}
		c.flag("bound-object-kind", o.Kind)
		c.flag("bound-object-name", o.Name)
		if o.UID != "" {
			c.flag("bound-object-uid", o.UID)
		}
	}
	return c
}

// certificate approves or denies a request for a certificate, with kubectl's words.
func (r *request) certificate() *command {
	i := &r.info
	if r.method != "PUT" || i.APIGroup != "certificates.k8s.io" || i.APIVersion != "v1" || i.Resource != "certificatesigningrequests" ||
		i.Subresource != "approval" || !sound(i.Name) || r.body == nil || len(r.left()) > 0 {
		return nil
	}
	var b struct {
		Status struct {
			Conditions []struct{ Type, Reason, Message string }
		}
	}
	if json.Unmarshal(r.body, &b) != nil || len(b.Status.Conditions) != 1 {
		return nil
	}
	switch x := b.Status.Conditions[0]; {
	case x.Type == "Approved" && x.Reason == "KubectlApprove" && x.Message == "This CSR was approved by kubectl certificate approve.":
		return newCommand("certificate", "approve", i.Name)
	case x.Type == "Denied" && x.Reason == "KubectlDeny" && x.Message == "This CSR was denied by kubectl certificate deny.":
		return newCommand("certificate", "deny", i.Name)
	}
	return nil
}

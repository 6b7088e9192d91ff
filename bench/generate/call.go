package generate

import "strings"

// verb is what a request does, an index into verbNames.
type verb uint8

const (
	get verb = iota
	list
	watching
	create
	update
	patch
	remove
	post
	numVerbs
)

var verbNames = [numVerbs]string{"get", "list", "watch", "create", "update", "patch", "delete", "post"}

// resource is what a request is about, an index into resources.
type resource uint8

const (
	noResource resource = iota
	pods
	services
	configmaps
	secrets
	nodes
	events
	serviceaccounts
	namespaces
	persistentvolumeclaims
	deployments
	replicasets
	statefulsets
	daemonsets
	leases
	endpointslices
	horizontalpodautoscalers
	jobs
	cronjobs
	ingresses
	networkpolicies
	subjectaccessreviews
	tokenreviews
	applications
	externalsecrets
	certificates
	customresourcedefinitions
	clusterroles
	rolebindings
	numResources
)

// resources are the groups of the API that requests are about.
var resources = [numResources]struct{ name, group, version string }{
	{}, {"pods", "", "v1"}, {"services", "", "v1"}, {"configmaps", "", "v1"}, {"secrets", "", "v1"}, {"nodes", "", "v1"},
	{"events", "", "v1"}, {"serviceaccounts", "", "v1"}, {"namespaces", "", "v1"}, {"persistentvolumeclaims", "", "v1"},
	{"deployments", "apps", "v1"}, {"replicasets", "apps", "v1"}, {"statefulsets", "apps", "v1"}, {"daemonsets", "apps", "v1"},
	{"leases", "coordination.k8s.io", "v1"}, {"endpointslices", "discovery.k8s.io", "v1"},
	{"horizontalpodautoscalers", "autoscaling", "v2"}, {"jobs", "batch", "v1"}, {"cronjobs", "batch", "v1"},
	{"ingresses", "networking.k8s.io", "v1"}, {"networkpolicies", "networking.k8s.io", "v1"},
	{"subjectaccessreviews", "authorization.k8s.io", "v1"}, {"tokenreviews", "authentication.k8s.io", "v1"},
	{"applications", "argoproj.io", "v1alpha1"}, {"externalsecrets", "external-secrets.io", "v1"},
	{"certificates", "cert-manager.io", "v1"}, {"customresourcedefinitions", "apiextensions.k8s.io", "v1"},
	{"clusterroles", "rbac.authorization.k8s.io", "v1"}, {"rolebindings", "rbac.authorization.k8s.io", "v1"},
}

func (c *call) appendURI(b []byte) []byte {
	if c.res == noResource {
		return append(b, c.path...)
	}
	res := &resources[c.res]
	if res.group == "" {
		b = append(b, "/api/"...)
	} else {
		b = append(append(append(b, "/apis/"...), res.group...), '/')
	}
	b = append(append(b, res.version...), '/')
	if c.ns != nil {
		b = append(append(append(b, "namespaces/"...), c.ns...), '/')
	}
	b = append(b, res.name...)
	if c.name != nil && !c.nameless {
		b = append(append(b, '/'), c.name...)
	}
	if c.sub != "" {
		b = append(append(b, '/'), c.sub...)
	}
	return append(b, c.query...)
}

func (c *call) appendRef(b []byte) []byte {
	res := &resources[c.res]
	b = append(b, `,"objectRef":{"resource":"`...)
	b = append(append(b, res.name...), '"')
	b = appendMember(b, `,"namespace":"`, c.ns)
	b = appendMember(b, `,"name":"`, c.name)
	b = appendMember(b, `,"uid":"`, c.uid)
	if res.group != "" {
		b = append(append(append(b, `,"apiGroup":"`...), res.group...), '"')
	}
	b = append(append(append(b, `,"apiVersion":"`...), res.version...), '"')
	b = appendMember(b, `,"resourceVersion":"`, c.rv)
	if c.sub != "" {
		b = append(append(append(b, `,"subresource":"`...), c.sub...), '"')
	}
	return append(b, '}')
}

// appendMember appends a member of an object, unless it is empty.
func appendMember(b []byte, head string, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	return append(append(append(b, head...), value...), '"')
}

// appendStatus appends what a Status says but its code.
func (c *call) appendStatus(b []byte) []byte {
	switch c.failure {
	case succeeded:
		return b
	case createdOK:
		return append(b, `,"status":"Success"`...)
	case deletedOK:
		b = append(b, `,"status":"Success","details":{"name":"`...)
		b = c.appendDetails(append(append(b, c.name...), `",`...))
		return append(appendMember(b, `,"uid":"`, c.gone), '}')
	case unauthorized:
		return append(b, `,"status":"Failure","message":"Unauthorized","reason":"Unauthorized"`...)
	}
	b = append(b, `,"status":"Failure","message":"`...)
	if c.failure == conflict {
		b = append(b, `Operation cannot be fulfilled on `...)
	}
	res := &resources[c.res]
	b = append(b, res.name...)
	if res.group != "" {
		b = append(append(b, '.'), res.group...)
	}
	if len(c.name) > 0 && !(c.failure == forbidden && c.nameless) {
		b = append(append(append(b, ` \"`...), c.name...), `\"`...)
	}
	reason := ""
	switch c.failure {
	case forbidden:
		b, reason = c.appendForbidden(b), "Forbidden"
	case notFound:
		b, reason = append(b, " not found"...), "NotFound"
	case exists:
		b, reason = append(b, " already exists"...), "AlreadyExists"
	case conflict:
		b = append(b, ": the object has been modified; please apply your changes to the latest version and try again"...)
		reason = "Conflict"
	}
	b = append(append(append(b, `","reason":"`...), reason...), `","details":{`...)
	if len(c.name) > 0 {
		b = append(append(append(b, `"name":"`...), c.name...), `",`...)
	}
	return append(c.appendDetails(b), '}')
}

func (c *call) appendDetails(b []byte) []byte {
	res := &resources[c.res]
	if res.group != "" {
		b = append(append(append(b, `"group":"`...), res.group...), `",`...)
	}
	return append(append(append(b, `"kind":"`...), res.name...), '"')
}

func (c *call) appendForbidden(b []byte) []byte {
	res := &resources[c.res]
	b = append(append(b, ` is forbidden: User \"`...), c.by.name...)
	b = append(append(b, `\" cannot `...), verbNames[c.verb]...)
	b = append(append(b, ` resource \"`...), res.name...)
	if c.sub != "" {
		b = append(append(b, '/'), c.sub...)
	}
	b = append(append(append(b, `\" in API group \"`...), res.group...), `\"`...)
	if c.ns == nil {
		return append(b, " at the cluster scope"...)
	}
	return append(append(append(b, ` in the namespace \"`...), c.ns...), `\"`...)
}

// appendReason appends why the authorizer allowed the request.
func (c *call) appendReason(b []byte) []byte {
	before, after, found := strings.Cut(c.by.reason, "<ns>")
	b = append(b, before...)
	if found {
		if c.ns == nil {
			b = append(b, "default"...)
		}
		b = append(append(b, c.ns...), after...)
	}
	return b
}

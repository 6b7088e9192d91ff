package policy

import (
	"net/url"
	"strings"
)

// Request is the way back from ParseRequest: the plainest method and URI that mean r.
// APIPrefix and APIVersion ("v1") are chosen where r leaves them empty, and the Path
// of a request for a resource always. Some attributes have only odd requests, such as
// GET /api/v1/namespaces//watch/a or /api/v1/watch/pods/a/log; ok is false where no
// request has them, as for a resource called status in a namespace.
func (r RequestInfo) Request() (method, uri string, ok bool) {
	forms := r.otherForms
	if r.IsResourceRequest {
		forms = r.resourceForms
	}
	for _, f := range forms() {
		got, err := ParseRequest(f.method, f.uri)
		if r.IsResourceRequest {
			got.Path = r.Path
		}
		if r.APIPrefix == "" {
			got.APIPrefix = ""
		}
		if r.APIVersion == "" {
			got.APIVersion = ""
		}
		if err == nil && got == r {
			return f.method, f.uri, true
		}
	}
	return "", "", false
}

// requestForm is a request that may mean what is wanted.
type requestForm struct{ method, uri string }

// otherForms are the requests for a path that is no resource's.
func (r RequestInfo) otherForms() []requestForm {
	uri := escapePath(r.Path)
	if uri == "" {
		uri = "http://kubernetes"
	}
	// A method in lower case has the same verb, and comes to a policy where OPTIONS *
	// does not.
	return []requestForm{{strings.ToUpper(r.Verb), uri}, {r.Verb, uri}}
}

// resourceForms are the requests that may mean a resource, plain ones first. At
// least one does if any request at all does.
func (r RequestInfo) resourceForms() []requestForm {
	var forms []requestForm
	method := resourceMethod(r.Verb)
	add := func(prefix, name, query string) {
		for _, place := range r.places(name) {
			forms = append(forms, requestForm{method, escapePath(r.root()+prefix+"/"+place) + query})
		}
	}
	switch r.Verb {
	case "list":
		add("", "", strings.TrimSuffix("?"+selectName(r.Name), "?"))
	case "watch":
		if r.Name == "" || r.Subresource == "" {
			add("", "", strings.TrimSuffix("?watch=1&"+selectName(r.Name), "&"))
		}
		add("/watch", r.Name, "")
	case "proxy":
		add("/proxy", r.Name, "")
	default:
		add("", r.Name, "")
	}
	return forms
}

// selectName is the parameter by which a list asks for one name, nothing for none.
func selectName(name string) string {
	if name == "" {
		return ""
	}
	value := strings.NewReplacer(`\`, `\\`, `,`, `\,`, `=`, `\=`).Replace(name)
	return "fieldSelector=metadata.name=" + url.QueryEscape(value)
}

// resourceMethod is the way back from resourceVerb, and "GET" for the verbs that a path
// or a query gives, and those that nothing does.
func resourceMethod(verb string) string {
	switch verb {
	case "create":
		return "POST"
	case "update":
		return "PUT"
	case "patch":
		return "PATCH"
	case "delete", "deletecollection":
		return "DELETE"
	case "":
		return "OPTIONS"
	}
	return "GET"
}

// root is the path before the resource.
func (r RequestInfo) root() string {
	prefix, version := r.APIPrefix, r.APIVersion
	if version == "" {
		version = "v1"
	}
	if prefix == "api" || prefix == "" && r.APIGroup == "" {
		return "/api/" + version
	}
	return "/apis/" + r.APIGroup + "/" + version
}

// places are the paths behind the root that may lead to the namespace, the resource
// and the subresource.
func (r RequestInfo) places(name string) []string {
	// Slashes at the end are not counted; what is behind a subresource is not looked at.
	cluster := strings.TrimRight(r.Resource+"/"+name+"/"+r.Subresource, "/")
	if cluster == "" {
		cluster = "///-"
	}
	return []string{cluster, "namespaces/" + r.Namespace + "/" + cluster}
}

func escapePath(path string) string { return (&url.URL{Path: path}).EscapedPath() }

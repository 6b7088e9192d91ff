package klog

import (
	"strings"

	"kubetrail/audit"
	"kubetrail/policy"
)

// fill completes an event that was scanned, found at an offset.
func (d *Decoder) fill(e *audit.Event, at int64) {
	e.Offset = at
	e.Text[audit.Source] = []byte(d.cfg.Source)
	e.Text[audit.Cluster] = []byte(d.cfg.Cluster)
	e.Text[audit.Server] = []byte(d.cfg.Server)
	e.Text[audit.Destination] = nil
	e.Text[audit.Marks] = []byte(Mark)
	e.Text[audit.Annotations] = d.msg.annotations()
	refer(e)
}

// refer fills in the object that the request was for. The legacy format has its
// namespace alone; the others are told from the URI, as kube-apiserver does when the
// request comes. The name of what is created is not in there.
func refer(e *audit.Event) {
	r, err := policy.ParseRequest(method(string(e.Text[audit.Verb])), string(e.Text[audit.RequestURI]))
	if err != nil || !r.IsResourceRequest {
		return
	}
	for _, x := range [...]struct {
		column audit.Column
		value  string
	}{{audit.Resource, r.Resource}, {audit.Name, r.Name}, {audit.Subresource, r.Subresource},
		{audit.APIGroup, r.APIGroup}, {audit.APIVersion, r.APIVersion}} {
		if x.value != "" {
			e.Text[x.column] = []byte(x.value)
		}
	}
}

// method is the method of a request that has a verb.
func method(verb string) string {
	switch verb {
	case "get", "list", "watch", "proxy":
		return "GET"
	case "create":
		return "POST"
	case "update":
		return "PUT"
	case "deletecollection":
		return "DELETE"
	case "":
		return "OPTIONS"
	}
	return strings.ToUpper(verb)
}

package request

import (
	"bytes"
	"net/url"
	"strings"

	kjson "sigs.k8s.io/json"

	"kubetrail/audit"
)

// DryRunColumns are what [DryRun] needs of an event. Without the body of the request the
// dry runs of deletions and evictions that say so there are not found.
var DryRunColumns = audit.Set(audit.RequestURI, audit.Verb, audit.Subresource, audit.RequestObject)

// DryRun reports whether a write was to be no more than tried. The options of a deletion
// stand in its body if it has one, and then those in the URI are not looked at: where the
// body was not recorded, dryRun in the URI is not sure. Upstream: DeleteResource in
// k8s.io/apiserver/pkg/endpoints/handlers, and EvictionREST.
func DryRun(e *audit.Event) (dry, sure bool) {
	deletion := bytes.HasPrefix(e.Text[audit.Verb], []byte("delete"))
	eviction := string(e.Text[audit.Subresource]) == "eviction"
	switch {
	case (deletion || eviction) && inBody(e.RequestObject, eviction && !deletion):
		return true, true
	case !inURI(e.Text[audit.RequestURI]):
		return false, true
	case !deletion:
		return true, true
	case len(e.RequestObject) > 0:
		return false, true
	}
	return true, false
}

// inBody reports whether options ask for a dry run: those of a deletion, or those in an
// Eviction. Anything else of that name, such as in managed fields, is none.
func inBody(body []byte, eviction bool) bool {
	if !bytes.Contains(body, []byte(`"dryRun"`)) {
		return false
	}
	var b struct {
		DryRun  []string `json:"dryRun"`
		Options struct {
			DryRun []string `json:"dryRun"`
		} `json:"deleteOptions"`
	}
	if kjson.UnmarshalCaseSensitivePreserveInts(body, &b) != nil {
		return false
	}
	if eviction {
		return len(b.Options.DryRun) > 0
	}
	return len(b.DryRun) > 0
}

// inURI reports whether the query of a URI has dryRun.
func inURI(uri []byte) bool {
	_, q, found := bytes.Cut(uri, []byte("?"))
	if !found || !bytes.Contains(q, []byte("dryRun")) && bytes.IndexByte(q, '%') < 0 {
		return false
	}
	values, _ := url.ParseQuery(string(q)) // what is no pair is passed over, as kube-apiserver does
	return strings.Join(values["dryRun"], "") != ""
}

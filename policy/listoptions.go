package policy

import (
	"net/url"
	"strconv"
	"strings"

	"kubetrail/internal/selector"
)

// listOrWatch tells what a GET without a name in its path is, and which name its
// field selector asks for. Where any parameter is broken, upstream gives up the
// selector and reads watch alone, by other rules than before.
func listOrWatch(query string) (verb, name string) {
	if query == "" {
		return "list", ""
	}
	o := decodeListOptions(query)
	name, ok := "", o.limit.integer() && o.timeoutSeconds.integer() && selector.ValidLabels(o.labelSelector.value)
	if ok {
		name, ok = selector.Name(o.fieldSelector.value)
	}
	watch := false
	switch v := o.watch.value; {
	case !o.watch.set:
	case ok:
		watch = v != "0" && !strings.EqualFold(v, "false")
	default:
		name = ""
		// Not the same as above: case folding equates more than lower case does.
		v = strings.ToLower(v)
		watch = v != "0" && v != "false"
	}
	if !ok || !isPathSegment(name) {
		name = ""
	}
	if watch {
		return "watch", name
	}
	return "list", name
}

// listOptions are the parameters of a list that can fail to decode, or that tell
// the verb or the name. Upstream: metav1.ListOptions; its other members take any text.
type listOptions struct {
	labelSelector, fieldSelector, watch, limit, timeoutSeconds parameter
}

// parameter is the first value given for a name in a query.
type parameter struct {
	value string
	set   bool
}

func (p parameter) integer() bool {
	if !p.set {
		return true
	}
	_, err := strconv.ParseInt(p.value, 10, 64)
	return err == nil
}

// maxParameters is how many net/url reads; of a query with more it reads none.
const maxParameters = 10_000

// decodeListOptions reads a query as url.ParseQuery does: a pair that is not well
// formed is passed over.
func decodeListOptions(query string) (o listOptions) {
	if len(query) >= maxParameters && strings.Count(query, "&") >= maxParameters {
		return o
	}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		p := o.parameter(key)
		if p == nil || p.set || strings.Contains(pair, ";") {
			continue
		}
		if value, err := url.QueryUnescape(value); err == nil {
			*p = parameter{value, true}
		}
	}
	return o
}

// parameter returns the parameter of a name as it stands in a query, nil if it is
// none of ours.
func (o *listOptions) parameter(key string) *parameter {
	if strings.ContainsAny(key, "%") { // none of them has a space, so that + cannot matter
		decoded, err := url.QueryUnescape(key)
		if err != nil {
			return nil
		}
		key = decoded
	}
	switch key {
	case "labelSelector":
		return &o.labelSelector
	case "fieldSelector":
		return &o.fieldSelector
	case "watch":
		return &o.watch
	case "limit":
		return &o.limit
	case "timeoutSeconds":
		return &o.timeoutSeconds
	}
	return nil
}

// isPathSegment tells whether a name can stand between two slashes of a path.
// Upstream: content.IsPathSegmentName.
func isPathSegment(name string) bool {
	return name != "." && name != ".." && !strings.ContainsAny(name, "/%")
}

package answer

import (
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

// endings asks for the events that [ended] tells: one of each request.
const endings = "stage:(ResponseComplete or Panic) or stage:ResponseStarted and responseStatus.code:401 or not stage:*"

// requests narrows a question to one event of each request, so that counting what comes
// back counts requests. What comes back is still to be asked with [ended], as events in
// the legacy format have no stage to ask for.
func requests(q trail.Query) trail.Query {
	q.Where = query.Both(q.Where, must(endings))
	return q
}

// must parses a question of ours.
func must(text string) *query.Node {
	n, err := query.Parse(text)
	if err != nil {
		panic(err) // never: the text is a constant
	}
	return n
}

// refused reports whether a request was turned away for who sent it.
func refused(code int32) bool { return code == 401 || code == 403 }

// succeeded reports whether a request did what it asked for.
func succeeded(code int32) bool { return code == 101 || code >= 200 && code < 400 }

// writes reports whether a verb changes something, or may: to be inside a container is
// to change it. A request for a path that is no resource has the verb of its method.
func writes(verb, resource, sub string) bool {
	switch verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return !asks(resource, sub)
	case "post", "put":
		return resource == ""
	}
	return resource == "pods" && (sub == "exec" || sub == "attach" || sub == "portforward")
}

// asks tells resources that are created to be told something: nothing is stored.
func asks(resource, sub string) bool {
	switch resource {
	case "subjectaccessreviews", "selfsubjectaccessreviews", "localsubjectaccessreviews", "selfsubjectrulesreviews",
		"selfsubjectreviews", "tokenreviews":
		return sub == ""
	}
	return false
}

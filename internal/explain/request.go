package explain

import (
	"bytes"
	"strings"

	"kubetrail/audit"
	"kubetrail/internal/schema"
)

// param is a parameter of a request URI that a sentence may speak of.
type param uint8

const (
	pContainer param = iota
	pCommand
	pTailLines
	pFollow
	pPrevious
	pPorts
	pLimit
	pContinue
	pResourceVersion
	pInitialEvents
	pLabelSelector
	pFieldSelector
	pForce
	pFieldManager
	numParams
)

// paramNames are the names of parameters in a URI.
var paramNames = map[string]param{
	"container": pContainer, "command": pCommand, "tailLines": pTailLines, "follow": pFollow, "previous": pPrevious,
	"ports": pPorts, "limit": pLimit, "continue": pContinue, "resourceVersion": pResourceVersion,
	"sendInitialEvents": pInitialEvents, "labelSelector": pLabelSelector, "fieldSelector": pFieldSelector,
	"force": pForce, "fieldManager": pFieldManager,
}

// A request is one event, looked at as a sentence needs it. It is valid as long as the
// event is.
type request struct {
	*audit.Event
	path, query []byte // of the URI, as they were sent

	verb, group, resource, namespace, name, sub []byte // of objectRef, or of the path
	params                                      [numParams][]byte
	mood                                        mood
	thing                                       *thing // what the resource is called
	made                                        []byte // the name that the API server made of generateName
	prefix                                      []byte // generateName, where the name is not known
	refusal                                     cause  // why the request failed; nothing where it did not
	reason                                      []byte // what refusal says of it
}

// mood is how far the request got, and so the form of its verb.
type mood uint8

const (
	done    mood = iota // deleted
	tried               // tried to delete
	asks                // asks to delete: the answer is not known yet
	begun               // has begun to watch
	unknown             // asked to delete, and what came of it is not in the event
)

// read looks at an event.
func (r *request) read(e *audit.Event) {
	*r = request{Event: e}
	r.path, r.query, _ = bytes.Cut(e.Text[audit.RequestURI], []byte("?"))
	for rest := r.query; len(rest) > 0; {
		var one []byte
		one, rest, _ = bytes.Cut(rest, []byte("&"))
		key, v, _ := bytes.Cut(one, []byte("="))
		if p, ok := paramNames[string(key)]; ok && r.params[p] == nil {
			r.params[p] = v
		}
	}
	r.verb, r.group, r.resource, r.sub = e.Text[audit.Verb], e.Text[audit.APIGroup], e.Text[audit.Resource], e.Text[audit.Subresource]
	r.namespace, r.name = e.Text[audit.Namespace], e.Text[audit.Name]
	if len(r.resource) == 0 && bytes.HasPrefix(r.path, []byte("/api")) {
		r.readPath()
	}
	r.mood = moodOf(e)
	if r.mood == done && e.Code == 500 {
		r.refusal = notReady
	} else if r.mood == tried {
		r.refusal, r.reason = causeOf(r)
	}
	if string(r.verb) == "create" && len(r.name) == 0 && len(r.resource) > 0 {
		if kind := field(e.ResponseObject, "kind"); r.mood == done && string(kind) != "Status" && string(kind) != "Table" {
			r.made = field(e.ResponseObject, "metadata", "name")
		}
		if r.made == nil {
			r.prefix = field(e.RequestObject, "metadata", "generateName")
		}
	}
}

// readPath takes resource and object from the path, for an event without objectRef: a
// line in the legacy format.
func (r *request) readPath() {
	rest := r.path[1:]
	next := func() (part []byte) {
		part, rest, _ = bytes.Cut(rest, []byte("/"))
		return part
	}
	var group []byte
	if root := string(next()); root == "apis" {
		group = next()
	} else if root != "api" {
		return
	}
	next() // version
	resource := next()
	if string(resource) == "watch" {
		resource = next()
	}
	name, sub := next(), next()
	if string(resource) == "namespaces" {
		r.namespace = name
		if len(sub) > 0 && string(sub) != "status" && string(sub) != "finalize" {
			resource = sub
			name, sub = next(), next()
		}
	}
	r.group, r.resource, r.name, r.sub = group, resource, name, sub
}

// isHealth reports whether a path asks about the health of the API server, to which 500
// is an answer: no.
func isHealth(path []byte) bool {
	return bytes.HasPrefix(path, []byte("/healthz")) || bytes.HasPrefix(path, []byte("/livez")) || bytes.HasPrefix(path, []byte("/readyz"))
}

func moodOf(e *audit.Event) mood {
	stage := e.Text[audit.Stage]
	switch {
	case e.Code == 500 && len(e.Text[audit.Resource]) == 0 && isHealth(e.Text[audit.RequestURI]):
		return done
	case e.Code >= 300 && e.Code != 304 || string(stage) == "Panic" || string(e.Text[audit.Decision]) == "forbid":
		return tried
	case string(stage) == "RequestReceived":
		return asks
	case string(stage) == "ResponseStarted":
		return begun
	case e.Code == 0:
		return unknown
	}
	return done
}

// is reports whether a parameter is there and means yes.
func (r *request) is(p param) bool {
	v := r.params[p]
	return len(v) > 0 && string(v) != "false" && string(v) != "0"
}

// duration is how long the request took in microseconds, 0 where that says nothing:
// the request was none that lasts.
func (r *request) duration() int64 {
	if r.mood != done || r.Staged == audit.NoTime || r.Received == audit.NoTime || r.Staged <= r.Received || r.Form == audit.FormLegacy {
		return 0
	}
	switch string(r.sub) {
	case "exec", "attach", "portforward":
		return r.Staged - r.Received
	case "log":
		if r.is(pFollow) {
			return r.Staged - r.Received
		}
	case "":
		if string(r.verb) == "watch" {
			return r.Staged - r.Received
		}
	}
	return 0
}

// A thing is what the objects of a resource are called.
type thing struct {
	one, many string // Deployment, Deployments; empty where the kind is not known
	article   string // a, an
	cluster   bool   // its objects are in no namespace
	acts      []act  // what can be done to it, with this verb and subresource
}

// thingOf makes the thing of a resource.
func thingOf(group, resource string) *thing {
	r := schema.Find(group, resource)
	if r == nil {
		return &thing{}
	}
	t := &thing{one: r.Kind, many: many(r.Kind, r.Name), cluster: !r.Namespaced}
	if t.one != t.many {
		t.article = article(r.Kind)
	}
	return t
}

// many is the English plural of a kind.
func many(kind, plural string) string {
	switch {
	case strings.EqualFold(kind, plural):
		return kind
	case strings.HasSuffix(kind, "y"):
		return kind[:len(kind)-1] + "ies"
	case strings.HasSuffix(kind, "s"):
		return kind + "es"
	}
	return kind + "s"
}

func article(kind string) string {
	if strings.IndexByte("AEIO", kind[0]) >= 0 {
		return "an "
	}
	return "a "
}

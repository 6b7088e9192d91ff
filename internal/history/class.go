package history

import (
	"bytes"

	"kubetrail/audit"
	"kubetrail/internal/request"
	"kubetrail/internal/subject"
)

// Class is what kind of change a request was, if it was one.
type Class uint8

const (
	Unknown           Class = iota // the event does not tell whether anything changed
	Real                           // it changed what somebody declared, or created or removed an object
	StatusOnly                     // it wrote what was observed: the status
	ManagedFieldsOnly              // it changed nothing but the book of who manages which field
	NoChange                       // it was answered with success and changed nothing
	Heartbeat                      // it renewed a sign of life: of a node, or of an API server
	LeaderLease                    // it renewed a leadership
	Note                           // it wrote an event of Kubernetes: a note about another object
	DryRun                         // it asked what would happen
	Refused                        // it was not allowed, or not let in: 401, 403, 429
	Failed                         // it was answered with another error; from 500 on something may have changed all the same
	Read                           // it read: get, list, watch
	Connect                        // it talked to a container, a node or a service through the API server
	Review                         // it asked for a verdict or an identity, which is stored nowhere
	Credential                     // it had a token issued, which is stored nowhere
	Unfinished                     // it was received; its end stands in another event
	NumClasses        = iota
)

// String returns the name that JSON answers have.
func (c Class) String() string {
	return [NumClasses]string{"unknown", "real", "status-only", "managedFields-only", "no-op", "heartbeat", "leader-lease",
		"event", "dry-run", "refused", "failed", "read", "connect", "review", "credential", "unfinished"}[c]
}

// Chinese returns the name for people who read Chinese.
func (c Class) Chinese() string {
	return [NumClasses]string{"未知", "实际变更", "仅 status", "仅 managedFields", "无变化", "心跳", "选主续租",
		"Event 记录", "试运行", "被拒绝", "失败", "读取", "连接", "鉴权查询", "签发凭证", "未完成"}[c]
}

// English returns the name for people who read English.
func (c Class) English() string {
	return [NumClasses]string{"unknown", "real change", "status only", "managedFields only", "no change", "heartbeat", "leader lease",
		"event written", "dry run", "refused", "failed", "read", "connection", "review", "token issued", "unfinished"}[c]
}

// Wrote reports whether requests of the class wrote to an object, or may have.
func (c Class) Wrote() bool { return c <= Note }

// Routine reports whether requests of the class are what a cluster does all day with
// nobody having asked for it.
func (c Class) Routine() bool {
	return c == StatusOnly || c == ManagedFieldsOnly || c == NoChange || c == Heartbeat || c == LeaderLease || c == Note
}

// ClassColumns are what Classify needs of an event. Where the body of a request is
// filled in as well, it finds the dry runs of deletions, whose options stand there.
var ClassColumns = audit.Set(audit.Level, audit.Stage, audit.Verb, audit.RequestURI, audit.UserAgent, audit.Username, audit.Resource,
	audit.APIGroup, audit.Subresource, audit.Namespace, audit.Name, audit.Code)

// Classify tells the class of the request that an event is about, from the event alone
// and without decoding a body. What only a comparison of two versions of the object can
// tell is Real here: NoChange and ManagedFieldsOnly.
func Classify(e *audit.Event) Class {
	switch stage := string(e.Text[audit.Stage]); {
	case stage == "RequestReceived":
		return Unfinished
	case e.Code == 401 || e.Code == 403 || e.Code == 429:
		return Refused
	case e.Code >= 400 || stage == "Panic":
		return Failed
	}
	if c := calls(e); c != Unknown {
		return c
	}
	switch string(e.Text[audit.Verb]) {
	case "get", "list", "watch", "head", "options":
		return Read
	case "create", "update", "patch", "delete", "deletecollection":
		if len(e.Text[audit.Resource]) == 0 || e.Code == 0 {
			return Unknown
		}
		return classifyWrite(e)
	}
	return Unknown
}

// calls tells the requests that reach something other than an object in etcd: Connect,
// Review or Credential, otherwise Unknown.
func calls(e *audit.Event) Class {
	group := string(e.Text[audit.APIGroup])
	switch sub := string(e.Text[audit.Subresource]); {
	case sub == "exec" || sub == "attach" || sub == "portforward":
		if group == "" && string(e.Text[audit.Resource]) == "pods" {
			return Connect
		}
	case sub == "proxy" || string(e.Text[audit.Verb]) == "proxy":
		if group == "" {
			return Connect
		}
	case string(e.Text[audit.Verb]) != "create":
	case sub == "token" && group == "" && string(e.Text[audit.Resource]) == "serviceaccounts":
		return Credential
	case (group == "authorization.k8s.io" || group == "authentication.k8s.io") && bytes.HasSuffix(e.Text[audit.Resource], []byte("reviews")):
		return Review
	}
	return Unknown
}

func classifyWrite(e *audit.Event) Class {
	switch dry, sure := request.DryRun(e); {
	case dry && sure:
		return DryRun
	case dry:
		return Unknown
	}
	verb := string(e.Text[audit.Verb])
	if verb == "delete" || verb == "deletecollection" {
		return Real
	}
	group, sub := string(e.Text[audit.APIGroup]), string(e.Text[audit.Subresource])
	switch resource := string(e.Text[audit.Resource]); {
	case resource == "leases" && group == "coordination.k8s.io" && sub == "":
		return lease(e)
	case resource == "leasecandidates" && group == "coordination.k8s.io" && verb != "create":
		return LeaderLease
	case resource == "events" && (group == "" || group == "events.k8s.io"):
		return Note
	case sub != "status":
		return Real
	case resource == "nodes" && group == "" && bytes.HasPrefix(e.Text[audit.Username], []byte("system:node:")):
		return Heartbeat
	}
	return StatusOnly
}

// lease tells the leases that are signs of life from those that are leaderships. What is
// done with kubectl is nobody's routine, nor is a leadership taken by somebody who is no
// part of the cluster, whatever their program calls itself.
func lease(e *audit.Event) Class {
	tool, _ := subject.Tool(string(e.Text[audit.UserAgent]))
	switch user := e.Text[audit.Username]; {
	case tool == "kubectl":
		return Real
	case string(e.Text[audit.Namespace]) == "kube-node-lease", string(user) == "system:apiserver":
		return Heartbeat
	case !bytes.HasPrefix(user, []byte("system:")) || string(user) == "system:anonymous":
		return Real
	}
	return LeaderLease
}

package simulate

import (
	"bytes"

	"kubetrail/audit"
	"kubetrail/policy"
)

// levelOf reads a level; it is empty where the event has none (the legacy format and
// the GKE export) or one that no policy has.
func levelOf(text []byte) policy.Level {
	switch string(text) {
	case string(policy.LevelMetadata):
		return policy.LevelMetadata
	case string(policy.LevelRequest):
		return policy.LevelRequest
	case string(policy.LevelRequestResponse):
		return policy.LevelRequestResponse
	}
	return ""
}

// stageOf reads a stage; it is empty where no policy has it.
func stageOf(text []byte) policy.Stage {
	switch string(text) {
	case string(policy.StageRequestReceived):
		return policy.StageRequestReceived
	case string(policy.StageResponseStarted):
		return policy.StageResponseStarted
	case string(policy.StageResponseComplete):
		return policy.StageResponseComplete
	case string(policy.StagePanic):
		return policy.StagePanic
	}
	return ""
}

// resized is what becomes of the line of an event that is recorded at another level.
type resized struct {
	bytes   int64 // of the line with its newline
	managed int64 // bytes of metadata.managedFields that were left out

	// There may be more bytes, which were never recorded: because the level is a
	// higher one, because bodies were cut off that may be short enough at this one, or
	// for another reason.
	atLeast, grows, truncated bool
}

// resize works out how many bytes the line of e, recorded at level from, would have at
// level to. What a lower level leaves out is known to the byte: bodies, annotations
// that only Request and above have, and the level's own name. What a higher one adds
// was never recorded.
func resize(e *audit.Event, req *policy.Request, line int64, from policy.Level, d policy.Decision) resized {
	out := resized{bytes: line}
	if from == "" { // the legacy format has nothing that depends on the level
		return out
	}
	out.bytes += int64(len(d.Level)) - int64(len(from))
	request, response := len(e.RequestObject) > 0, len(e.ResponseObject) > 0
	if response && d.Level.Less(policy.LevelRequestResponse) {
		out.bytes -= int64(len(`,"responseObject":`) + len(e.ResponseObject))
		response = false
	}
	if d.Level.Less(policy.LevelRequest) && !from.Less(policy.LevelRequest) {
		if request {
			out.bytes -= int64(len(`,"requestObject":`) + len(e.RequestObject))
			request = false
		}
		out.bytes -= requestAnnotations(e)
	}
	if from.Less(d.Level) {
		out.grows = grows(e, req, d.Level)
	} else if d.Level.Less(from) && d.Level == policy.LevelRequest {
		out.truncated = truncated(e) // a request body alone might have been short enough
	}
	out.atLeast = out.grows || out.truncated
	if d.OmitManagedFields {
		if request && req.Verb != "patch" { // a patch is recorded as it was sent
			out.managed += managedFields(e.RequestObject)
		}
		if response {
			out.managed += managedFields(e.ResponseObject)
		}
		out.bytes -= out.managed
	}
	return out
}

// hasBody tells whether level l keeps a body of e that can have managedFields.
func hasBody(e *audit.Event, req *policy.Request, l policy.Level) bool {
	return l == policy.LevelRequestResponse && len(e.ResponseObject) > 0 ||
		!l.Less(policy.LevelRequest) && len(e.RequestObject) > 0 && req.Verb != "patch"
}

// grows tells whether an event recorded at a higher level could hold more. Bodies are
// not yet there when a request is received, requests for URLs that are no resource
// never have any, and reads have no request body.
func grows(e *audit.Event, req *policy.Request, to policy.Level) bool {
	switch {
	case stageOf(e.Text[audit.Stage]) == policy.StageRequestReceived, !req.IsResourceRequest:
		return false
	case to == policy.LevelRequest:
		return req.Verb != "get" && req.Verb != "list" && req.Verb != "watch"
	}
	return true
}

// Annotations that only events of level Request and above have: the patches of
// mutating webhooks, and the mark of --audit-log-truncate-enabled, which has nothing
// to cut off below.
const (
	patchAnnotation     = "patch.webhook.admission.k8s.io/"
	truncatedAnnotation = "audit.k8s.io/truncated"
)

func truncated(e *audit.Event) bool {
	return bytes.Contains(e.Text[audit.Annotations], []byte(`"`+truncatedAnnotation+`"`))
}

// requestAnnotations returns how many bytes of the line these annotations take.
func requestAnnotations(e *audit.Event) int64 {
	all := e.Text[audit.Annotations]
	if !bytes.Contains(all, []byte(`"`+patchAnnotation)) && !truncated(e) {
		return 0
	}
	var dropped, members, gone int
	eachMember(all, func(name, member []byte) {
		members++
		if bytes.HasPrefix(name, []byte(patchAnnotation)) || string(name) == truncatedAnnotation {
			dropped += len(member) + 1 // and a comma
			gone++
		}
	})
	if gone == members && len(e.Text[audit.Decision])+len(e.Text[audit.Reason]) == 0 {
		return int64(len(`,"annotations":`) + len(all))
	}
	return int64(dropped)
}

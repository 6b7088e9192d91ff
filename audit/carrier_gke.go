package audit

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// gkeEntry is a LogEntry of Google Cloud Logging whose payload is an AuditLog of a
// cluster, which is all that GKE lets out of an audit event. Its stage, level,
// groups and request URI are lost. See
// https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry and
// https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog
type gkeEntry struct {
	ProtoPayload struct {
		Type               string `json:"@type"`
		ServiceName        string `json:"serviceName"`
		MethodName         string `json:"methodName"`
		ResourceName       string `json:"resourceName"`
		AuthenticationInfo struct {
			PrincipalEmail string `json:"principalEmail"`
		} `json:"authenticationInfo"`
		AuthorizationInfo []struct {
			Granted bool `json:"granted"`
		} `json:"authorizationInfo"`
		RequestMetadata struct {
			CallerIP                string `json:"callerIp"`
			CallerSuppliedUserAgent string `json:"callerSuppliedUserAgent"`
		} `json:"requestMetadata"`
		Status struct {
			Code    *int32 `json:"code"`
			Message string `json:"message"`
		} `json:"status"`
		Request  json.RawMessage `json:"request"`
		Response json.RawMessage `json:"response"`
	} `json:"protoPayload"`
	Labels   map[string]string `json:"labels"`
	Resource struct {
		Labels struct {
			ClusterName string `json:"cluster_name"`
		} `json:"labels"`
	} `json:"resource"`
	Operation struct {
		ID string `json:"id"`
	} `json:"operation"`
	Timestamp        string `json:"timestamp"`
	ReceiveTimestamp string `json:"receiveTimestamp"`
}

// isAudit reports whether the entry is about a request to a cluster's API server,
// and not to the cloud's own API.
func (g *gkeEntry) isAudit() bool {
	p := &g.ProtoPayload
	return strings.HasSuffix(p.Type, "google.cloud.audit.AuditLog") &&
		(p.ServiceName == "k8s.io" || p.ServiceName == "" && strings.HasPrefix(p.MethodName, "io.k8s."))
}

// fill makes e the event that the entry tells of. What the entry does not hold stays
// absent. It always succeeds.
func (g *gkeEntry) fill(e *Event) bool {
	p := &g.ProtoPayload
	e.reset(nil)
	set := func(c Column, s string) {
		if s != "" {
			e.Text[c] = []byte(s)
		}
	}
	set(AuditID, g.Operation.ID)
	set(Username, p.AuthenticationInfo.PrincipalEmail)
	set(UserAgent, p.RequestMetadata.CallerSuppliedUserAgent)
	set(Cluster, g.Resource.Labels.ClusterName)
	set(Message, p.Status.Message)
	if ip := p.RequestMetadata.CallerIP; ip != "" {
		e.Text[SourceIPs] = toJSON([]string{ip})
	}
	g.fillObject(e, set)
	g.fillLabels(e, set)
	if p.Status.Code != nil {
		e.Code = httpCode(*p.Status.Code)
	}
	e.RequestObject, e.ResponseObject = present(p.Request), present(p.Response)
	for _, t := range []string{g.Timestamp, g.ReceiveTimestamp} {
		if micros, _, ok := parseTime([]byte(t)); ok {
			e.Received = micros
			break
		}
	}
	return true
}

// fillObject fills verb and objectRef from methodName, such as
// io.k8s.authorization.rbac.v1.rolebindings.create or io.k8s.core.v1.pods.exec.create,
// and resourceName, such as core/v1/namespaces/shop/pods/web-0/exec. The group is
// taken from resourceName, because methodName has it backwards.
func (g *gkeEntry) fillObject(e *Event, set func(Column, string)) {
	method := strings.Split(g.ProtoPayload.MethodName, ".")
	set(Verb, method[len(method)-1])
	resource := ""
	if i := slices.IndexFunc(method, isVersion); i >= 0 && i+2 < len(method) {
		set(APIVersion, method[i])
		resource = method[i+1]
		set(Resource, resource)
		set(Subresource, strings.Join(method[i+2:len(method)-1], "/"))
	}
	path := strings.Split(g.ProtoPayload.ResourceName, "/")
	if len(path) < 3 || !isVersion(path[1]) {
		return
	}
	if path[0] != "core" {
		set(APIGroup, path[0])
	}
	set(APIVersion, path[1])
	path = path[2:]
	if path[0] == "namespaces" && len(path) > 1 {
		set(Namespace, path[1])
		if len(path) > 2 && resource != "namespaces" {
			path = path[2:]
		}
	}
	set(Resource, path[0])
	if len(path) > 1 {
		set(Name, path[1])
	}
	if len(path) > 2 {
		set(Subresource, strings.Join(path[2:], "/"))
	}
}

// isVersion reports whether s is the version of an API: v1, v1beta1, v2alpha3.
func isVersion(s string) bool {
	return len(s) >= 2 && s[0] == 'v' && '1' <= s[1] && s[1] <= '9' && strings.Trim(s[2:], "0123456789alphbet") == ""
}

// fillLabels fills the annotations, which GKE writes as labels, and the decision,
// which is in the permissions that were checked where it is not in the labels.
func (g *gkeEntry) fillLabels(e *Event, set func(Column, string)) {
	const decision, reason = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
	set(Decision, g.Labels[decision])
	set(Reason, g.Labels[reason])
	if info := g.ProtoPayload.AuthorizationInfo; len(info) > 0 && e.Text[Decision] == nil {
		set(Decision, "allow")
		for _, permission := range info {
			if !permission.Granted {
				set(Decision, "forbid")
			}
		}
	}
	others := make(map[string]string, len(g.Labels))
	for key, value := range g.Labels {
		if key != decision && key != reason {
			others[key] = value
		}
	}
	if len(others) > 0 {
		e.Text[Annotations] = toJSON(others)
	}
}

// httpCode is the HTTP status that stands for a code of google.rpc.Code, as
// https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto gives
// it for each. A number that is an HTTP status already stays, and any other is 0.
func httpCode(code int32) int32 {
	http := [...]int32{200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401}
	switch {
	case 0 <= code && int(code) < len(http):
		return http[code]
	case 100 <= code && code <= 599:
		return code
	}
	return 0
}

// present returns a body, or nil for none.
func present(body json.RawMessage) []byte {
	if len(body) == 0 || string(body) == "null" {
		return nil
	}
	return body
}

// toJSON returns a list or map of strings as JSON, without the escapes for HTML.
func toJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return nil // cannot be: lists and maps of strings have JSON
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

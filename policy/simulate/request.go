package simulate

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"kubetrail/audit"
	"kubetrail/policy"
)

// Request rebuilds what the recording apiserver's policy looked at from an event: the
// real user and groups, requestURI and verb. It never looks at objectRef, which a
// later stage completes from the body: a policy sees a create without a name.
//
// An error says why the event cannot be judged: it has no requestURI (the GKE export),
// one that no request line can hold, or one that contradicts the verb because
// something cut or rewrote it. Upstream: filters.GetAuthorizerAttributes.
func Request(e *audit.Event) (policy.Request, error) {
	groups, err := groupsOf(e.Text[audit.UserGroups])
	if err != nil {
		return policy.Request{}, err
	}
	info, err := requestInfo(string(e.Text[audit.Verb]), string(e.Text[audit.RequestURI]))
	if err != nil {
		return policy.Request{}, err
	}
	return policy.Request{
		Authenticated: authenticated(e),
		User:          string(e.Text[audit.Username]),
		Groups:        groups,
		RequestInfo:   info,
	}, nil
}

// authenticated tells a user from "user":{}, which is written where authentication
// failed or the request's timeout was bad.
func authenticated(e *audit.Event) bool {
	return len(e.Text[audit.Username])+len(e.Text[audit.UserUID])+
		len(e.Text[audit.UserGroups])+len(e.Text[audit.UserExtra]) > 0
}

func groupsOf(raw []byte) ([]string, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var groups []string
	if err := json.Unmarshal(raw, &groups); err != nil {
		return nil, errors.New("user.groups is no list of names")
	}
	return groups, nil
}

// requestInfo resolves a recorded verb and URI. The verb stands for the method, and
// where the two leave a choice (list and watch differ by the query alone) it counts.
func requestInfo(verb, uri string) (policy.RequestInfo, error) {
	switch {
	case uri == "":
		return policy.RequestInfo{}, errors.New("no requestURI")
	case uri[0] != '/':
		return policy.RequestInfo{}, errors.New("requestURI is no path")
	}
	info, err := policy.ParseRequest(method(verb), uri)
	switch {
	case err != nil:
		return policy.RequestInfo{}, err
	case !info.IsResourceRequest: // any method, in lower case
		info.Verb = verb
	case info.Verb == verb:
	case collects(verb) && collects(info.Verb):
		info.Verb = verb
	default:
		return policy.RequestInfo{}, fmt.Errorf("requestURI is one of verb %q, not %q", info.Verb, verb)
	}
	return info, nil
}

func collects(verb string) bool { return verb == "list" || verb == "watch" }

// method is one that leads to a verb on a resource; on other paths it does not matter.
func method(verb string) string {
	switch verb {
	case "get", "list", "watch", "proxy":
		return "GET"
	case "create":
		return "POST"
	case "update":
		return "PUT"
	case "delete", "deletecollection":
		return "DELETE"
	case "": // of any other method
		return "OPTIONS"
	}
	return strings.ToUpper(verb)
}

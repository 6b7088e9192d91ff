package simulate

import (
	"strings"

	"kubetrail/audit"
	"kubetrail/policy"
)

// resolver remembers what users and URIs of late stood for: the same few come again
// and again, and to resolve one anew costs more than all else that is done with an
// event. Its memory is bounded: it forgets everything once it is full.
type resolver struct {
	users map[string]*identity
	whats map[string]*resolved
	key   []byte
}

// Bounds of a resolver. Longer keys are resolved each time.
const (
	maxRemembered = 8192
	maxKey        = 1024
)

// identity is who asks, as a policy sees it.
type identity struct {
	key           string // the name, cut where it is long
	name          string
	groups        []string
	authenticated bool
	err           error
}

// resolved is what was asked for.
type resolved struct {
	verb     string
	resource string // deployments.apps/scale, or a path; cut where it is long
	info     policy.RequestInfo
	err      error
}

func newResolver() *resolver {
	return &resolver{users: map[string]*identity{}, whats: map[string]*resolved{}}
}

func (r *resolver) user(e *audit.Event) *identity {
	r.key = append(r.key[:0], e.Text[audit.Username]...)
	r.key = append(append(r.key, 0), e.Text[audit.UserGroups]...)
	if !authenticated(e) {
		r.key = r.key[:0]
	}
	if id := r.users[string(r.key)]; id != nil {
		return id
	}
	id := &identity{name: string(e.Text[audit.Username]), authenticated: authenticated(e)}
	id.key = clip(id.name)
	id.groups, id.err = groupsOf(e.Text[audit.UserGroups])
	remember(r.users, r.key, id)
	return id
}

func (r *resolver) what(e *audit.Event) *resolved {
	r.key = append(r.key[:0], e.Text[audit.Verb]...)
	r.key = append(append(r.key, 0), e.Text[audit.RequestURI]...)
	if w := r.whats[string(r.key)]; w != nil {
		return w
	}
	w := &resolved{verb: clip(e.Text[audit.Verb])}
	w.info, w.err = requestInfo(string(e.Text[audit.Verb]), string(e.Text[audit.RequestURI]))
	w.resource = clip(resourceName(&w.info))
	remember(r.whats, r.key, w)
	return w
}

func remember[V any](m map[string]V, key []byte, v V) {
	if len(key) > maxKey {
		return
	}
	if len(m) == maxRemembered {
		clear(m)
	}
	m[string(key)] = v
}

// resourceName is "deployments.apps/scale", or the path of what is no resource.
func resourceName(info *policy.RequestInfo) string {
	if !info.IsResourceRequest {
		return info.Path
	}
	var b strings.Builder
	b.WriteString(info.Resource)
	if info.APIGroup != "" {
		b.WriteString("." + info.APIGroup)
	}
	if info.Subresource != "" {
		b.WriteString("/" + info.Subresource)
	}
	return b.String()
}

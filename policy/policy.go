package policy

// Level is how much of a request is recorded. Upstream: audit.Level.
type Level string

// The levels, from nothing to everything.
const (
	LevelNone            Level = "None"
	LevelMetadata        Level = "Metadata"
	LevelRequest         Level = "Request"
	LevelRequestResponse Level = "RequestResponse"
)

// Levels lists the levels from nothing to everything.
func Levels() []Level {
	return []Level{LevelNone, LevelMetadata, LevelRequest, LevelRequestResponse}
}

// Less tells whether l records less than m. An unknown level records nothing.
func (l Level) Less(m Level) bool { return l.rank() < m.rank() }

func (l Level) rank() int {
	switch l {
	case LevelMetadata:
		return 1
	case LevelRequest:
		return 2
	case LevelRequestResponse:
		return 3
	}
	return 0
}

// Stage is a moment in the life of a request at which an event is written.
// Upstream: audit.Stage.
type Stage string

// The stages, in the order in which upstream's messages list them.
const (
	StageRequestReceived  Stage = "RequestReceived"
	StageResponseStarted  Stage = "ResponseStarted"
	StageResponseComplete Stage = "ResponseComplete"
	StagePanic            Stage = "Panic"
)

// Stages lists the stages in the order in which upstream's messages list them.
func Stages() []Stage {
	return []Stage{StageRequestReceived, StageResponseStarted, StageResponseComplete, StagePanic}
}

// Policy is what is recorded of which requests: the first rule that matches a
// request decides, and where none does nothing is recorded. Upstream: audit.Policy,
// audit.k8s.io/v1, whose members it has in the same order.
type Policy struct {
	Kind       string     `json:"kind,omitempty"`
	APIVersion string     `json:"apiVersion,omitempty"`
	Metadata   ObjectMeta `json:"metadata,omitempty"`

	// Rules are tried in order. A policy without rules does not load.
	Rules []PolicyRule `json:"rules"`

	// OmitStages are the stages at which no event is written, whatever the rule.
	OmitStages []Stage `json:"omitStages,omitempty"`

	// OmitManagedFields says whether metadata.managedFields is left out of bodies,
	// where the rule does not say.
	OmitManagedFields bool `json:"omitManagedFields,omitempty"`
}

// PolicyRule maps requests to a level. All its conditions must hold; within a list
// one suffices; an empty list holds always. All comparisons are exact and
// case-sensitive. A rule with Namespaces or Resources never matches a request for a
// URL that is no resource, one with NonResourceURLs never one for a resource.
// Upstream: audit.PolicyRule.
type PolicyRule struct {
	Level Level `json:"level"`

	// Users are names of authenticated users; UserGroups groups they are in. A
	// request that was not authenticated matches no rule that has either.
	Users      []string `json:"users,omitempty"`
	UserGroups []string `json:"userGroups,omitempty"`

	// Verbs are those of the API (get, list, watch, create, update, patch, delete,
	// deletecollection), for other URLs the HTTP method in lower case. There is no
	// wildcard.
	Verbs []string `json:"verbs,omitempty"`

	Resources []GroupResources `json:"resources,omitempty"`

	// Namespaces are compared with the namespace in the URL; "" is the absence of
	// one: cluster-scoped objects, and lists over all namespaces.
	Namespaces []string `json:"namespaces,omitempty"`

	// NonResourceURLs are paths; "*" is all of them, and a trailing * stands for any
	// rest.
	NonResourceURLs []string `json:"nonResourceURLs,omitempty"`

	// OmitStages are added to those of the policy.
	OmitStages []Stage `json:"omitStages,omitempty"`

	// OmitManagedFields overrides that of the policy; nil leaves it.
	OmitManagedFields *bool `json:"omitManagedFields,omitempty"`
}

// GroupResources are resources of one API group. Upstream: audit.GroupResources.
type GroupResources struct {
	// Group is "" for the core group, and "*" for all since Kubernetes 1.36.
	Group string `json:"group,omitempty"`

	// Resources are "pods" (no subresource), "pods/log", "pods/*" (pods and all
	// their subresources), "*/log" (of any resource) or "*" (everything). None means
	// everything in the group. "*/*" matches nothing.
	Resources []string `json:"resources,omitempty"`

	// ResourceNames are compared with the name in the URL, which is empty for a
	// create, and for a list unless it selects metadata.name.
	ResourceNames []string `json:"resourceNames,omitempty"`
}

// Request is what a policy looks at: who asks, and for what. Upstream:
// authorizer.Attributes.
type Request struct {
	// Authenticated is false for a request that failed authentication or whose
	// ?timeout= is bad: it has no user, and no rule with users or userGroups matches.
	Authenticated bool

	// User and Groups are the real user's, before any impersonation.
	User   string
	Groups []string

	RequestInfo
}

// RequestInfo is what the method and the URI of a request say. Upstream:
// request.RequestInfo.
type RequestInfo struct {
	IsResourceRequest bool
	Path              string // decoded, without the query
	Verb              string
	APIPrefix         string // "api" or "apis"; "" where the path is no resource's, but for /apis/g/v
	APIGroup          string
	APIVersion        string
	Namespace         string
	Resource          string
	Subresource       string
	Name              string
}

// Decision is what a policy says about a request.
type Decision struct {
	Level Level

	// OmitStages are the stages without an event, sorted by name, each once. They
	// belong to the policy: do not change them.
	OmitStages []Stage

	OmitManagedFields bool

	// Rule is the index of the rule that decided, -1 where none matched.
	Rule int
}

// Position is a place in a file. The zero Position is unknown.
type Position struct {
	Line   int // from 1
	Column int // from 1, in characters
}

// Finding is something to say about a place in a policy.
type Finding struct {
	Text string // upstream's words, where upstream says it
	Path string // such as rules[0].resources[1].group; empty where it is about the file
	Position
}

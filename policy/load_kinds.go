package policy

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
)

// What kube-apiserver can read besides a policy, only to say that it is none: it
// decodes the file first, and a member of a wrong type is then what it complains of.
// The types here have the members of those that upstreamName gives for their names;
// members that came later than 1.23 are those of the newest release.

type (
	metaTypeMeta struct {
		Kind       string `json:"kind,omitempty"`
		APIVersion string `json:"apiVersion,omitempty"`
	}
	metaListMeta struct {
		SelfLink           string         `json:"selfLink"`
		ResourceVersion    string         `json:"resourceVersion"`
		Continue           string         `json:"continue"`
		RemainingItemCount *int64         `json:"remainingItemCount"`
		ShardInfo          *metaShardInfo `json:"shardInfo"`
	}
	metaShardInfo struct {
		Selector string `json:"selector"`
	}
	metaListOptions struct {
		metaTypeMeta
		LabelSelector        string                   `json:"labelSelector"`
		FieldSelector        string                   `json:"fieldSelector"`
		Watch                bool                     `json:"watch"`
		AllowWatchBookmarks  bool                     `json:"allowWatchBookmarks"`
		ResourceVersion      string                   `json:"resourceVersion"`
		ResourceVersionMatch metaResourceVersionMatch `json:"resourceVersionMatch"`
		TimeoutSeconds       *int64                   `json:"timeoutSeconds"`
		Limit                int64                    `json:"limit"`
		Continue             string                   `json:"continue"`
		SendInitialEvents    *bool                    `json:"sendInitialEvents"`
		ShardSelector        string                   `json:"shardSelector"`
	}
	metaResourceVersionMatch string
	metaGetOptions           struct {
		metaTypeMeta
		ResourceVersion string `json:"resourceVersion"`
	}
	metaDeleteOptions struct {
		metaTypeMeta
		GracePeriodSeconds *int64                   `json:"gracePeriodSeconds"`
		Preconditions      *metaPreconditions       `json:"preconditions"`
		OrphanDependents   *bool                    `json:"orphanDependents"`
		PropagationPolicy  *metaDeletionPropagation `json:"propagationPolicy"`
		DryRun             []string                 `json:"dryRun"`
		IgnoreReadError    *bool                    `json:"ignoreStoreReadErrorWithClusterBreakingPotential"`
	}
	metaDeletionPropagation string
	metaPreconditions       struct {
		UID             *UID    `json:"uid"`
		ResourceVersion *string `json:"resourceVersion"`
	}
	metaCreateOptions struct {
		metaTypeMeta
		DryRun          []string `json:"dryRun"`
		FieldManager    string   `json:"fieldManager"`
		FieldValidation string   `json:"fieldValidation"`
	}
	metaUpdateOptions metaCreateOptions
	metaPatchOptions  struct {
		metaTypeMeta
		DryRun          []string `json:"dryRun"`
		Force           *bool    `json:"force"`
		FieldManager    string   `json:"fieldManager"`
		FieldValidation string   `json:"fieldValidation"`
	}
	metaStatus struct {
		metaTypeMeta
		Metadata metaListMeta       `json:"metadata"`
		Status   string             `json:"status"`
		Message  string             `json:"message"`
		Reason   metaStatusReason   `json:"reason"`
		Details  *metaStatusDetails `json:"details"`
		Code     int32              `json:"code"`
	}
	metaStatusReason  string
	metaStatusDetails struct {
		Name              string            `json:"name"`
		Group             string            `json:"group"`
		Kind              string            `json:"kind"`
		UID               UID               `json:"uid"`
		Causes            []metaStatusCause `json:"causes"`
		RetryAfterSeconds int32             `json:"retryAfterSeconds"`
	}
	metaStatusCause struct {
		Type    metaCauseType `json:"reason"`
		Message string        `json:"message"`
		Field   string        `json:"field"`
	}
	metaCauseType   string
	metaAPIVersions struct {
		metaTypeMeta
		Versions                   []string                        `json:"versions"`
		ServerAddressByClientCIDRs []metaServerAddressByClientCIDR `json:"serverAddressByClientCIDRs"`
	}
	metaServerAddressByClientCIDR struct {
		ClientCIDR    string `json:"clientCIDR"`
		ServerAddress string `json:"serverAddress"`
	}
	metaAPIGroupList struct {
		metaTypeMeta
		Groups []metaAPIGroup `json:"groups"`
	}
	metaAPIGroup struct {
		metaTypeMeta
		Name                       string                          `json:"name"`
		Versions                   []metaGroupVersionForDiscovery  `json:"versions"`
		PreferredVersion           metaGroupVersionForDiscovery    `json:"preferredVersion"`
		ServerAddressByClientCIDRs []metaServerAddressByClientCIDR `json:"serverAddressByClientCIDRs"`
	}
	metaGroupVersionForDiscovery struct {
		GroupVersion string `json:"groupVersion"`
		Version      string `json:"version"`
	}
	metaAPIResourceList struct {
		metaTypeMeta
		GroupVersion string            `json:"groupVersion"`
		APIResources []metaAPIResource `json:"resources"`
	}
	metaAPIResource struct {
		Name               string    `json:"name"`
		SingularName       string    `json:"singularName"`
		Namespaced         bool      `json:"namespaced"`
		Group              string    `json:"group"`
		Version            string    `json:"version"`
		Kind               string    `json:"kind"`
		Verbs              metaVerbs `json:"verbs"`
		ShortNames         []string  `json:"shortNames"`
		Categories         []string  `json:"categories"`
		StorageVersionHash string    `json:"storageVersionHash"`
	}
	metaVerbs      []string
	metaWatchEvent struct {
		Type   string          `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	metaInternalEvent struct {
		Type   watchEventType
		Object runtimeObject
	}
	watchEventType string
	runtimeObject  interface{ GetObjectKind() }
	metaUserInfo   struct {
		Username string                    `json:"username"`
		UID      string                    `json:"uid"`
		Groups   []string                  `json:"groups"`
		Extra    map[string]metaExtraValue `json:"extra"`
	}
	metaExtraValue []string
)

// metaMicroTime is written in microseconds.
type metaMicroTime struct{ time Time }

func (t *metaMicroTime) UnmarshalJSON(data []byte) error {
	return t.time.read(data, "2006-01-02T15:04:05.000000Z07:00")
}

type (
	auditEvent struct {
		metaTypeMeta
		auditEventMembers
		ObjectRef *auditObjectReference `json:"objectRef"`
	}
	auditEventMembers struct {
		Level                    Level                        `json:"level"`
		AuditID                  UID                          `json:"auditID"`
		Stage                    Stage                        `json:"stage"`
		RequestURI               string                       `json:"requestURI"`
		Verb                     string                       `json:"verb"`
		User                     metaUserInfo                 `json:"user"`
		ImpersonatedUser         *metaUserInfo                `json:"impersonatedUser"`
		AuthenticationMetadata   *auditAuthenticationMetadata `json:"authenticationMetadata"`
		SourceIPs                []string                     `json:"sourceIPs"`
		UserAgent                string                       `json:"userAgent"`
		ResponseStatus           *metaStatus                  `json:"responseStatus"`
		RequestObject            *json.RawMessage             `json:"requestObject"`
		ResponseObject           *json.RawMessage             `json:"responseObject"`
		RequestReceivedTimestamp metaMicroTime                `json:"requestReceivedTimestamp"`
		StageTimestamp           metaMicroTime                `json:"stageTimestamp"`
		Annotations              map[string]string            `json:"annotations"`
	}
	auditAuthenticationMetadata struct {
		ImpersonationConstraint string `json:"impersonationConstraint"`
	}
	auditObjectReference struct {
		auditAlphaObjectReference
		APIGroup string `json:"apiGroup"`
	}
	auditAlphaObjectReference struct {
		Resource        string `json:"resource"`
		Namespace       string `json:"namespace"`
		Name            string `json:"name"`
		UID             UID    `json:"uid"`
		APIVersion      string `json:"apiVersion"`
		ResourceVersion string `json:"resourceVersion"`
		Subresource     string `json:"subresource"`
	}
	auditBetaEvent struct {
		auditEvent
		Metadata  ObjectMeta `json:"metadata"`
		Timestamp Time       `json:"timestamp"`
	}
	auditAlphaEvent struct {
		auditBetaEvent
		ObjectRef *auditAlphaObjectReference `json:"objectRef"`
	}
	auditEventList struct {
		metaTypeMeta
		Metadata metaListMeta `json:"metadata"`
		Items    []auditEvent `json:"items"`
	}
	auditBetaEventList struct {
		metaTypeMeta
		Metadata metaListMeta     `json:"metadata"`
		Items    []auditBetaEvent `json:"items"`
	}
	auditAlphaEventList struct {
		metaTypeMeta
		Metadata metaListMeta      `json:"metadata"`
		Items    []auditAlphaEvent `json:"items"`
	}
	auditPolicyList struct {
		metaTypeMeta
		Metadata metaListMeta        `json:"metadata"`
		Items    []auditListedPolicy `json:"items"`
	}
)

// In a list, the type of a policy is embedded, so errors name it.
type (
	auditListedPolicy struct {
		metaTypeMeta
		auditListedMembers
	}
	auditListedMembers struct{ Policy }
)

// Up to 1.24 metadata had one member more.
type (
	auditClusterNamedPolicy struct {
		Policy
		Metadata auditClusterNamedObjectMeta `json:"metadata"`
	}
	auditClusterNamedObjectMeta struct {
		ObjectMeta
		ClusterName string `json:"clusterName"`
	}
)

// The members of the internal version have no tags, and metadata stands at the top.
type (
	internalPolicy struct {
		metaTypeMeta
		ObjectMeta
		Rules             []internalPolicyRule
		OmitStages        []internalStage
		OmitManagedFields bool
	}
	internalPolicyRule struct {
		Level             internalLevel
		Users             []string
		UserGroups        []string
		Verbs             []string
		Resources         []internalGroupResources
		Namespaces        []string
		NonResourceURLs   []string
		OmitStages        []internalStage
		OmitManagedFields *bool
	}
	internalGroupResources struct {
		Group         string
		Resources     []string
		ResourceNames []string
	}
	internalLevel string
	internalStage string
	internalEvent struct {
		metaTypeMeta
		Level                    internalLevel
		AuditID                  UID
		Stage                    internalStage
		RequestURI               string
		Verb                     string
		User                     metaUserInfo
		ImpersonatedUser         *metaUserInfo
		AuthenticationMetadata   *internalAuthenticationMetadata
		SourceIPs                []string
		UserAgent                string
		ObjectRef                *internalObjectReference
		ResponseStatus           *metaStatus
		RequestObject            *json.RawMessage
		ResponseObject           *json.RawMessage
		RequestReceivedTimestamp metaMicroTime
		StageTimestamp           metaMicroTime
		Annotations              map[string]string
	}
	internalAuthenticationMetadata struct{ ImpersonationConstraint string }
	internalObjectReference        struct {
		Resource        string
		Namespace       string
		Name            string
		UID             UID
		APIGroup        string
		APIVersion      string
		ResourceVersion string
		Subresource     string
	}
	internalEventList struct {
		metaTypeMeta
		metaListMeta
		Items []internalEvent
	}
	internalPolicyList struct {
		metaTypeMeta
		metaListMeta
		Items []internalPolicy
	}
)

// registered returns a new value of what kube-apiserver of release k, which knows the
// old versions where old is set, decodes a file of version and kind into; nil where it
// knows none.
func registered(v groupVersion, kind string, k Kubernetes, old bool) any {
	inAudit := v.group == auditGroup
	switch v.version {
	case "v1alpha1", "v1beta1":
		inAudit = inAudit && old
	case "v1", internalVersion:
	default:
		inAudit = false
	}
	if inAudit {
		if into := auditKind(v.version, kind, k); into != nil {
			return into
		}
	}
	known := inAudit || v == groupVersion{"", "v1"}
	switch {
	case kind == "WatchEvent" && v.version == internalVersion && (inAudit || v.group == ""):
		return new(metaInternalEvent)
	case known && v.version != internalVersion:
		switch kind {
		case "WatchEvent":
			return new(metaWatchEvent)
		case "ListOptions":
			return new(metaListOptions)
		case "GetOptions":
			return new(metaGetOptions)
		case "DeleteOptions":
			return new(metaDeleteOptions)
		case "CreateOptions":
			return new(metaCreateOptions)
		case "UpdateOptions":
			return new(metaUpdateOptions)
		case "PatchOptions":
			return new(metaPatchOptions)
		}
	}
	switch kind { // of any version
	case "Status":
		return new(metaStatus)
	case "APIVersions":
		return new(metaAPIVersions)
	case "APIGroupList":
		return new(metaAPIGroupList)
	case "APIGroup":
		return new(metaAPIGroup)
	case "APIResourceList":
		return new(metaAPIResourceList)
	}
	return nil
}

// auditKind is registered for a version of audit.k8s.io.
func auditKind(version, kind string, k Kubernetes) any {
	switch version + " " + kind {
	case internalVersion + " Policy":
		return new(internalPolicy)
	case internalVersion + " PolicyList":
		return new(internalPolicyList)
	case internalVersion + " Event":
		return new(internalEvent)
	case internalVersion + " EventList":
		return new(internalEventList)
	case "v1 Event":
		return new(auditEvent)
	case "v1 EventList":
		return new(auditEventList)
	case "v1beta1 Event":
		return new(auditBetaEvent)
	case "v1beta1 EventList":
		return new(auditBetaEventList)
	case "v1alpha1 Event":
		return new(auditAlphaEvent)
	case "v1alpha1 EventList":
		return new(auditAlphaEventList)
	}
	switch {
	case kind == "Policy" && k <= 24:
		return new(auditClusterNamedPolicy)
	case kind == "Policy":
		return new(Policy)
	case kind == "PolicyList":
		return new(auditPolicyList)
	}
	return nil
}

var ourTypeNames = regexp.MustCompile(`\bpolicy\.(\w+)`)

// upstreamType is how upstream writes t, in an error about a file of version.
func upstreamType(t reflect.Type, version string) string {
	return ourTypeNames.ReplaceAllStringFunc(t.String(), func(ours string) string {
		pkg, name := upstreamName(strings.TrimPrefix(ours, "policy."), version)
		return pkg + "." + name
	})
}

// upstreamName gives the package and the name of the type which ours is named after:
// "meta" stands for the v1 of the API machinery, "audit" for the version at hand.
func upstreamName(ours, version string) (pkg, name string) {
	for _, p := range [...]struct{ prefix, pkg string }{
		{"meta", "v1"}, {"internal", "audit"}, {"watch", "watch"}, {"runtime", "runtime"},
		{"auditClusterNamed", version}, {"auditListed", version}, {"auditBeta", version}, {"auditAlpha", version}, {"audit", version},
	} {
		if rest, ok := strings.CutPrefix(ours, p.prefix); ok {
			return p.pkg, rest
		}
	}
	switch ours {
	case "ObjectMeta", "OwnerReference", "ManagedFieldsEntry", "ManagedFieldsOperationType", "Time":
		return "v1", ours
	case "UID":
		return "types", ours
	}
	return version, ours
}

// upstreamTypeOf is upstreamType of what into points to.
func upstreamTypeOf(into any, version string) string {
	return upstreamType(reflect.TypeOf(into).Elem(), version)
}

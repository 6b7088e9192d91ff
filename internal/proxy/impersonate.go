package proxy

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/api/validation"

	"kubetrail/record"
)

const (
	serviceAccountUser  = "system:serviceaccount:"
	serviceAccountGroup = "system:serviceaccounts"
)

// wanted is the user whom the sender of h wants to be, as the upstream will see them, or
// nil: without a name the upstream refuses the request. Upstream: legacy and user-info
// impersonation in pkg/endpoints/filters/impersonation.
func wanted(h http.Header) *record.User {
	name := h.Get(authenticationv1.ImpersonateUserHeader)
	if name == "" {
		return nil
	}
	u := &record.User{Username: name, UID: h.Get(authenticationv1.ImpersonateUIDHeader),
		Groups: slices.Clone(h[authenticationv1.ImpersonateGroupHeader]),
		Extra:  extras(nil, h, authenticationv1.ImpersonateUserExtraHeaderPrefix)}
	if rest, ok := strings.CutPrefix(name, serviceAccountUser); ok && len(u.Groups) == 0 {
		if namespace, account, ok := strings.Cut(rest, ":"); ok &&
			len(validation.ValidateNamespaceName(namespace, false)) == 0 && len(validation.ValidateServiceAccountName(account, false)) == 0 {
			u.Groups = []string{serviceAccountGroup, serviceAccountGroup + ":" + namespace}
		}
	}
	group := authenticated
	switch {
	case name == anonymous:
		group = unauthenticated
	case slices.Contains(u.Groups, unauthenticated):
		return u
	}
	if !slices.Contains(u.Groups, group) {
		u.Groups = append(u.Groups, group)
	}
	return u
}

// impersonates tells whether the sender of h wants to be somebody else.
func impersonates(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "Impersonate-") {
			return true
		}
	}
	return false
}

// notAllowed matches the message by which kube-apiserver refuses to impersonate. What a
// client can choose of it stands in quotes.
var notAllowed = regexp.MustCompile(`^[a-z0-9./-]*( "(?:[^"\\]|\\.)*")? ?(?:is )?forbidden: User "(?:[^"\\]|\\.)*" cannot impersonate[ :-]`)

// refusesToImpersonate tells whether the body of an answer of 403 says that it was not
// allowed to be somebody else, rather than that somebody else was not allowed something.
func refusesToImpersonate(status []byte) bool {
	var s struct {
		Message string `json:"message"`
	}
	return json.Unmarshal(status, &s) == nil && notAllowed.MatchString(s.Message)
}

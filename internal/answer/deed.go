package answer

import (
	"strings"

	"kubetrail/internal/output"
)

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

// quoted writes a value for a question, so that nothing in it is special.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\x00", `\u0000`).Replace(strings.ToValidUTF8(s, "\uFFFD")) + `"`
}

// who names a user and whom they acted as, for people.
func who(user, as string, chinese bool) string {
	if user == "" {
		return either(chinese, "（未通过认证）", "(not authenticated)")
	}
	if as == "" {
		return output.Cell(user)
	}
	return output.Cell(user) + "->" + output.Cell(as)
}

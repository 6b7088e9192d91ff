package answer

import (
	"net/netip"
	"strings"

	"kubetrail/internal/query"
)

// A Subject is whom an activity is about.
type Subject struct {
	Kind string // user, group, address or tool
	Name string // the full user name, the group, the address or network, the tool
	Text string // as it was asked for
}

// ParseSubject reads whom somebody means:
//
//	alice                                 a user
//	ci/deployer, sa:ci/deployer           a service account
//	system:serviceaccount:ci:deployer     the same
//	node:worker-1, system:node:worker-1   a node
//	group:dev-team                        everybody in a group
//	10.0.0.7, 10.0.0.0/8, ip:10.0.0.7     an address, a network
//	tool:kubectl                          a program, by what it calls itself
//	user:10.0.0.7                         a user, whatever the name looks like
func ParseSubject(text string) Subject {
	s := Subject{Kind: "user", Name: text, Text: text}
	if _, err := netip.ParseAddr(text); err == nil {
		s.Kind = "address"
		return s
	}
	if _, err := netip.ParsePrefix(text); err == nil {
		s.Kind = "address"
		return s
	}
	kind, name, ok := strings.Cut(text, ":")
	switch {
	case !ok || name == "":
	case kind == "user":
		s.Name = name
		return s
	case kind == "group", kind == "tool":
		s.Kind, s.Name = kind, name
		return s
	case kind == "ip":
		s.Kind, s.Name = "address", name
		return s
	case kind == "node":
		s.Name = "system:node:" + name
		return s
	case kind == "sa":
		s.Name = name
	case kind != "sa":
		return s // system:kube-scheduler, https://issuer#user
	}
	if namespace, account, ok := strings.Cut(s.Name, "/"); ok && namespace != "" && account != "" && !strings.Contains(account, "/") {
		s.Name = "system:serviceaccount:" + namespace + ":" + account
	}
	return s
}

// Where is the question for everything that the subject did, or that others did in the
// subject's name.
func (s Subject) Where() (*query.Node, error) {
	name := quoted(s.Name)
	switch s.Kind {
	case "group":
		return query.Parse("user.groups:" + name + " or impersonatedUser.groups:" + name)
	case "tool":
		return query.Parse("userAgent:" + name + " or userAgent:" + pattern(s.Name) + "/* or userAgent:" + pattern(s.Name) + " *")
	case "address":
		return query.Parse("sourceIPs:" + name)
	}
	return query.Parse("user.username:" + name + " or impersonatedUser.username:" + name)
}

// pattern writes a value for a question outside quotes, where a star may follow it.
func pattern(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(`\():<>"*{}`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

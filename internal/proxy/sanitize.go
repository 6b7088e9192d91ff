package proxy

import (
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
)

// reserved are the headers that say who somebody is or where a request comes from,
// lower case. An ending "-" stands for all that begin so.
var reserved = []string{"authorization", "audit-id", "impersonate-", "x-remote-", "x-forwarded-", "x-real-ip", "forwarded"}

// A sanitizer takes away from requests what their senders may not say. It does not
// change.
type sanitizer struct {
	identity []string // headers of declared proxies, canonical
	prefixes []string // and how they begin, canonical
}

func newSanitizer(c *Clients) *sanitizer {
	s := &sanitizer{}
	for _, names := range [][]string{c.UserHeaders, c.UIDHeaders, c.GroupHeaders} {
		for _, name := range names {
			s.identity = append(s.identity, textproto.CanonicalMIMEHeaderKey(name))
		}
	}
	for _, prefix := range append(c.ExtraPrefixes, "X-Remote-") {
		s.prefixes = append(s.prefixes, textproto.CanonicalMIMEHeaderKey(prefix))
	}
	return s
}

// hop takes away what is for this hop only: what Connection names, which a client could
// use to have the upstream not see what its event shows, and spellings of reserved
// headers that kube-apiserver does not know, but what stands between might make into
// such headers.
func (s *sanitizer) hop(h http.Header) {
	if values := h["Connection"]; len(values) > 0 {
		upgrade := false
		for _, value := range values {
			for name := range strings.SplitSeq(value, ",") {
				switch name = textproto.TrimString(name); {
				case strings.EqualFold(name, "upgrade"):
					upgrade = true
				case name != "" && !strings.EqualFold(name, "close") && !strings.EqualFold(name, "keep-alive"):
					h.Del(name)
				}
			}
		}
		h.Del("Connection")
		// Nobody could tell what requests another HTTP inside of a connection brings.
		if up := strings.ToLower(h.Get("Upgrade")); upgrade && up != "" && !strings.Contains(up, "h2c") && !strings.Contains(up, "http/") {
			h["Connection"] = []string{"Upgrade"}
		}
	}
	if h["Connection"] == nil {
		h.Del("Upgrade")
	}
	for name, values := range h {
		if !plainName(name) && misspelt(name) {
			delete(h, name)
		}
		for i, v := range values { // HTTP/2 brings spaces around values, HTTP/1.1 drops them
			if trimmed := textproto.TrimString(v); len(trimmed) < len(v) {
				values[i] = trimmed
			}
		}
	}
}

// plainName tells names that are spelt as everybody spells them.
func plainName(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// misspelt tells names that are reserved ones but for their spelling.
func misspelt(name string) bool {
	folded := strings.Map(func(r rune) rune {
		if r == '_' || r == '.' || r == ' ' {
			return '-'
		}
		return r
	}, strings.ToLower(name))
	if folded == strings.ToLower(name) {
		return false // only other characters, such as the percent sign of an extra's key
	}
	return slices.ContainsFunc(reserved, func(r string) bool {
		if strings.HasSuffix(r, "-") {
			// The keys of extras hold what they like: only the prefix is looked at.
			return strings.HasPrefix(folded, r) && !strings.HasPrefix(strings.ToLower(name), r)
		}
		return folded == r
	})
}

// claims takes away who the sender says the user is.
func (s *sanitizer) claims(h http.Header) {
	for _, name := range s.identity {
		delete(h, name)
	}
	for name := range h {
		for _, prefix := range s.prefixes {
			if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
				delete(h, name)
			}
		}
	}
}

// origin takes away where the sender says that the request comes from.
func (s *sanitizer) origin(h http.Header) {
	delete(h, "X-Real-Ip")
	delete(h, "Forwarded")
	for name := range h {
		if strings.HasPrefix(name, "X-Forwarded-") {
			delete(h, name)
		}
	}
}

// trusts tells whether a peer is one of the addresses that are believed.
func (c *Clients) trusts(remote string) bool {
	if len(c.trusted) == 0 {
		return false
	}
	addr, err := netip.ParseAddrPort(remote)
	return err == nil && slices.ContainsFunc(c.trusted, func(p netip.Prefix) bool { return p.Contains(addr.Addr().Unmap()) })
}

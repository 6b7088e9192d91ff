package record

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// appendSourceIPs appends where a request came from as a JSON list, or nothing where that
// is not known: what the first X-Forwarded-For header and X-Real-Ip say, and then the
// peer. Only the last can be trusted. Upstream: net.SourceIPs in k8s.io/apimachinery.
func appendSourceIPs(dst []byte, req *http.Request) []byte {
	start := len(dst)
	var last netip.Addr
	add := func(a netip.Addr) {
		dst = append(dst, ',', '"')
		dst = append(a.AppendTo(dst), '"')
		last = a
	}
	real := parseIP(first(req.Header["X-Real-Ip"]))
	for list, more := first(req.Header["X-Forwarded-For"]), true; more && list != ""; {
		var part string
		part, list, more = strings.Cut(list, ",")
		if a := parseIP(strings.TrimSpace(part)); a.IsValid() {
			add(a)
			if a == real {
				real = netip.Addr{}
			}
		}
	}
	if real.IsValid() {
		add(real)
	}
	var peer netip.Addr
	if host, _, err := net.SplitHostPort(req.RemoteAddr); err == nil {
		peer = parseIP(host)
	}
	if !peer.IsValid() {
		peer = parseIP(req.RemoteAddr)
	}
	if peer.IsValid() && peer != last {
		add(peer)
	}
	if len(dst) == start {
		return dst
	}
	dst[start] = '['
	return append(dst, ']')
}

// parseIP reads an address as Go did before it refused leading zeros: 010.1.1.1 is
// 10.1.1.1. The zero Addr is none. Upstream: ParseIPSloppy in k8s.io/utils/net.
func parseIP(s string) netip.Addr {
	if s == "" || strings.IndexByte(s, '%') >= 0 {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil && strings.IndexByte(s, '0') >= 0 {
		a, _ = netip.ParseAddr(withoutZeros(s))
	}
	return a.Unmap()
}

// withoutZeros drops the leading zeros of the numbers between dots and colons.
func withoutZeros(s string) string {
	b := make([]byte, 0, len(s))
	leading := true
	for i := 0; i < len(s); i++ {
		c := s[i]
		separator := c == '.' || c == ':'
		if leading && c == '0' && i+1 < len(s) && s[i+1] != '.' && s[i+1] != ':' {
			continue
		}
		leading = separator
		b = append(b, c)
	}
	return string(b)
}

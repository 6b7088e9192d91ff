package record

import (
	"encoding/json"
	"net/http"
	"testing"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"pgregory.net/rapid"
)

// TestSourceIPs asks upstream where requests come from.
func TestSourceIPs(t *testing.T) {
	part := rapid.SampledFrom([]string{"0", "00", "1", "010", "255", "256", "0255", "ffff", "00001", "abcde", ":", "::", ".", "%eth0", " ", ",", "[", "]", "1.2.3.4", "::1", "::ffff:1.2.3.4", "fe80::1", "1:2:3:4:5:6:7:8", ":443", "x", "-1"})
	text := rapid.Custom(func(t *rapid.T) string {
		s := ""
		for _, p := range rapid.SliceOfN(part, 0, 10).Draw(t, "parts") {
			s += p
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		checkSourceIPs(t, text.Draw(t, "forwarded"), text.Draw(t, "real"), text.Draw(t, "peer"))
	})
}

func FuzzSourceIPs(f *testing.F) {
	f.Add("1.2.3.4, 010.1.1.1,::1", "::1", "[::1]:443")
	f.Add("::ffff:01.2.3.4,0001::", "1.2.3.4", "1.2.3.4")
	f.Fuzz(func(t *testing.T, forwarded, real, peer string) { checkSourceIPs(t, forwarded, real, peer) })
}

func checkSourceIPs(t interface{ Fatalf(string, ...any) }, forwarded, real, peer string) {
	req := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {forwarded, "9.9.9.9"}, "X-Real-Ip": {real}}}
	want := ""
	if ips := utilnet.SourceIPs(req); ips != nil {
		text, _ := json.Marshal(ips)
		want = string(text)
	}
	if got := string(appendSourceIPs(nil, req)); got != want {
		t.Fatalf("from %q, %q, %q: got %s, want %s", forwarded, real, peer, got, want)
	}
}

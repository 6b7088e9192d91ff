package proxy

import (
	"github.com/spf13/pflag"
)

// A FlagGroup is flags under one heading of the help.
type FlagGroup struct {
	Title string
	Flags *pflag.FlagSet
}

// Flags are the flags that show and change c, but for those of events.
func (c *Config) Flags() []FlagGroup {
	group := func(title string, add func(*pflag.FlagSet)) FlagGroup {
		fs := pflag.NewFlagSet(title, pflag.ContinueOnError)
		fs.SortFlags = false
		add(fs)
		return FlagGroup{title, fs}
	}
	s, u, l, f, v := &c.Serving, &c.Upstream, &c.Clients, &c.Forward, &c.Reviews
	return []FlagGroup{
		group("The API server", func(fs *pflag.FlagSet) {
			fs.StringVar(&u.URL, "upstream", u.URL, "`URL` of the API server")
			fs.StringVar(&u.CAFile, "upstream-ca-file", u.CAFile, "CA `FILE` of its certificate, PEM (default the CAs of this machine)")
			fs.StringVar(&u.ServerName, "upstream-server-name", u.ServerName, "`NAME` that its certificate must be for (default the host of --upstream)")
			fs.StringVar(&u.Kubeconfig, "kubeconfig", u.Kubeconfig, "Take from this `FILE` what the three above leave out; its credentials are not used")
			fs.StringVar(&u.Context, "context", u.Context, "`NAME` of the context in --kubeconfig (default the current one)")
		}),
		group("Serving", func(fs *pflag.FlagSet) {
			fs.StringVar(&s.Listen, "listen", s.Listen, "Listen on this `ADDRESS`; port 0 takes a free one")
			fs.StringVar(&s.CertFile, "tls-cert-file", s.CertFile, "Certificate `FILE`, PEM")
			fs.StringVar(&s.KeyFile, "tls-private-key-file", s.KeyFile, "Key `FILE` of the certificate, PEM")
			fs.BoolVar(&s.InsecureHTTP, "insecure-http", s.InsecureHTTP, "Serve plain HTTP, on a loopback address only")
			fs.StringVar(&s.MetricsListen, "metrics-listen", s.MetricsListen, "Serve /metrics, /livez and /readyz of the proxy on this `ADDRESS`")
			fs.IntVar(&s.MaxConnections, "max-connections", s.MaxConnections, "Connections of clients at a time; 0 is any number")
			fs.IntVar(&s.MaxStreams, "http2-max-streams-per-connection", s.MaxStreams, "Requests at a time on one HTTP/2 connection")
			fs.DurationVar(&s.DrainTimeout, "drain-timeout", s.DrainTimeout, "Time for open requests to end when the proxy is stopped")
		}),
		group("Who asks", func(fs *pflag.FlagSet) {
			fs.StringVar(&l.CAFile, "client-ca-file", l.CAFile, "CA `FILE` of users with certificates, PEM")
			fs.StringVar(&l.HeaderCAFile, "requestheader-client-ca-file", l.HeaderCAFile, "CA `FILE` of declared proxies, whose X-Remote-* and X-Forwarded-For headers are believed")
			fs.StringSliceVar(&l.HeaderNames, "requestheader-allowed-names", l.HeaderNames, "Common `NAMES` of declared proxies (default any)")
			fs.StringSliceVar(&l.UserHeaders, "requestheader-username-headers", l.UserHeaders, "`HEADERS` with the name of a user")
			fs.StringSliceVar(&l.UIDHeaders, "requestheader-uid-headers", l.UIDHeaders, "`HEADERS` with the UID")
			fs.StringSliceVar(&l.GroupHeaders, "requestheader-group-headers", l.GroupHeaders, "`HEADERS` with the groups")
			fs.StringSliceVar(&l.ExtraPrefixes, "requestheader-extra-headers-prefix", l.ExtraPrefixes, "How `HEADERS` with all else begin")
			fs.StringSliceVar(&l.TrustedProxies, "trusted-proxy-cidr", l.TrustedProxies, "`RANGES` of addresses whose X-Forwarded-For and X-Real-Ip are believed")
			fs.DurationVar(&v.TTL, "identity-cache-ttl", v.TTL, "How long it is remembered whose a token is")
			fs.IntVar(&v.Size, "identity-cache-size", v.Size, "How many tokens are remembered")
			fs.DurationVar(&v.Timeout, "identity-timeout", v.Timeout, "How long the API server may take to say whose a token is")
			fs.BoolVar(&v.Refuse, "refuse-unknown-users", v.Refuse, "Refuse requests while it cannot be found out who sends them")
		}),
		group("Telling the API server of users with certificates", func(fs *pflag.FlagSet) {
			fs.StringVar(&f.By, "forward-by", f.By, "`HOW`: front-proxy (X-Remote-* headers) or impersonate")
			fs.StringVar(&f.CertFile, "proxy-client-cert-file", f.CertFile, "Certificate `FILE` of the proxy, PEM; for front-proxy of the CA of the API server's --requestheader-client-ca-file")
			fs.StringVar(&f.KeyFile, "proxy-client-key-file", f.KeyFile, "Key `FILE` of that certificate, PEM")
			fs.StringVar(&f.TokenFile, "proxy-token-file", f.TokenFile, "`FILE` with a token of the proxy instead, for impersonate")
		}),
	}
}

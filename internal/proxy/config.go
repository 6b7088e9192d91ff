// Package proxy is kubetrail proxy: a reverse proxy before a kube-apiserver that records
// what passes it as kube-apiserver itself would.
//
// A request passes sanitizer (what the client may not say of itself is taken away),
// identify (who sends it), record.Handler (the events) and forwarder (the way to the
// upstream), in this order, so that an event never tells of a header that the upstream
// did not get, nor the upstream gets one that no event was told of.
package proxy

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubetrail/record"
)

// Config says what a Proxy does. Files are read again when they change; a new version
// that is no good is logged and the old one kept.
type Config struct {
	Serving  Serving
	Upstream Upstream
	Clients  Clients
	Forward  Forward
	Reviews  Reviews

	Record     record.Config // all but User, which the proxy brings, and Wire, if it is nil
	Chain      string        // of backends, to be printed
	UserAgent  string        // of the requests of the proxy's own
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer // served as /metrics; nil: no metrics are
	Logger     *slog.Logger        // nil: silent
	Now        func() time.Time    // nil: time.Now
}

// Serving says where and how clients are served.
type Serving struct {
	Listen            string // host:port; port 0 takes a free one
	MetricsListen     string // of /metrics, /livez and /readyz; "": nowhere
	CertFile, KeyFile string
	InsecureHTTP      bool // plain HTTP, on loopback only

	MaxConnections int // 0: any number
	MaxStreams     int // of one HTTP/2 connection
	HeaderTimeout  time.Duration
	IdleTimeout    time.Duration
	DrainTimeout   time.Duration // for open requests to end, when the proxy ends
}

// Upstream says where the API server is.
type Upstream struct {
	URL        string
	CAFile     string // "": the CAs of this machine
	ServerName string // that its certificate must be for; "": the host of URL
	Kubeconfig string // tells what is empty of the above
	Context    string // of Kubeconfig; "": its current one

	url *url.URL
	ca  []byte // of Kubeconfig
}

// Clients says how clients are told apart.
type Clients struct {
	CAFile string // of certificates of users; "": none is asked for

	// A declared proxy shows a certificate of HeaderCAFile, with one of HeaderNames as
	// its common name if there are any: its X-Remote-* headers say who the user is.
	HeaderCAFile string
	HeaderNames  []string

	// The first of each is written to the upstream, all are taken away from clients.
	UserHeaders, UIDHeaders, GroupHeaders, ExtraPrefixes []string

	// TrustedProxies are addresses whose X-Forwarded-For and X-Real-Ip are believed, as
	// are those of declared proxies.
	TrustedProxies []string
	trusted        []netip.Prefix
}

// The ways to tell the upstream who a user is whom the proxy knows by a certificate.
const (
	ByFrontProxy  = "front-proxy" // X-Remote-* headers, as the aggregation layer does
	ByImpersonate = "impersonate" // Impersonate-* headers
)

// Forward says how the upstream is told who sends a request where the client's own
// credentials cannot be passed through, and as whom the proxy does so.
type Forward struct {
	By                string // ByFrontProxy or ByImpersonate
	CertFile, KeyFile string // "" for both: none
	TokenFile         string // ByImpersonate only
}

// Reviews say how the upstream is asked whose a token is.
type Reviews struct {
	TTL     time.Duration // that an answer holds
	Denied  time.Duration // that a refusal, or a failure to ask, holds
	Size    int           // answers that are remembered at most
	Timeout time.Duration // of one question
	Refuse  bool          // requests whose user cannot be found out, with 503
}

// Defaults returns what holds where nothing else is said.
func Defaults() Config {
	return Config{
		Serving: Serving{Listen: "127.0.0.1:8443", MaxStreams: 250,
			HeaderTimeout: 32 * time.Second, IdleTimeout: 90 * time.Second, DrainTimeout: 30 * time.Second},
		Clients: Clients{UserHeaders: []string{"X-Remote-User"}, UIDHeaders: []string{"X-Remote-Uid"},
			GroupHeaders: []string{"X-Remote-Group"}, ExtraPrefixes: []string{"X-Remote-Extra-"}},
		Forward: Forward{By: ByFrontProxy},
		Reviews: Reviews{TTL: time.Minute, Denied: 2 * time.Second, Size: 16384, Timeout: 10 * time.Second},
	}
}

// A startError is an error of New that says what to do about it.
type startError struct {
	err   error
	hint  string
	usage bool
}

// Usage tells that what was told is wrong by itself, whatever stands in files.
func (e *startError) Usage() bool { return e.usage }

func (e *startError) Error() string { return e.err.Error() }
func (e *startError) Unwrap() error { return e.err }

// Hint returns the next step, one line.
func (e *startError) Hint() string { return e.hint }

func wrong(err error, hint string) error { return &startError{err, hint, true} }

func failing(err error, hint string) error { return &startError{err, hint, false} }

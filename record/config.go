package record

import (
	"log/slog"
	"net/http"
	"time"

	"kubetrail/policy"
)

// A User is somebody who was authenticated. Upstream: user.Info.
type User struct {
	Username string
	UID      string
	Groups   []string
	Extra    map[string][]string
}

// Config says how requests are recorded. Policy and Backend are required, all else has
// a default.
type Config struct {
	// Policy decides what is recorded of a request; (*policy.Live).Match can be given.
	Policy func(*policy.Request) policy.Decision

	Backend Backend

	// User tells who sent a request, nil for somebody who was not authenticated. It must
	// come from whoever authenticated the request, never from what the client says.
	User func(*http.Request) *User

	// LongRunning tells requests that are recorded at ResponseStarted too.
	// The default is (*policy.RequestInfo).LongRunning.
	LongRunning func(*http.Request, *policy.RequestInfo) bool

	// Wire takes bodies as they pass, for servers without objects; nil does not.
	Wire *Wire

	// MaxBody bounds the bytes of one body that are held for its event, and MaxBodies
	// those of all requests at a time. Beyond that an event is recorded without bodies
	// and with the annotation audit.k8s.io/truncated. Defaults 8 MiB and 256 MiB.
	MaxBody, MaxBodies int64

	// Redact changes what must not be recorded in clear; it is called once for each
	// event, before it is encoded.
	Redact func(*Event)

	// Annotations are put on every event: the cluster and the server, which an event
	// of kube-apiserver does not tell. They come first, so nobody can take their keys.
	Annotations map[string]string

	// Strict holds an answer back until its event is stored, and refuses it where that
	// fails: kube-apiserver's mode blocking-strict, at whatever stage comes first.
	Strict bool

	Metrics *Metrics         // nil: none
	Logger  *slog.Logger     // default slog.DiscardHandler
	Now     func() time.Time // default time.Now
	NewID   func() string    // of an audit ID where the client sends none; default a random UUID
}

// Wire says how bodies are read from the wire.
type Wire struct {
	// JSON makes one JSON value of a body that was sent with the headers Content-Type
	// and Content-Encoding; package record/wire has one. An error records the body as
	// {"raw": base64}.
	JSON func(contentType, contentEncoding string, body []byte) ([]byte, error)
}

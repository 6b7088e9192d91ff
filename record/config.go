package record

import (
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	// those of all requests at a time, half of which is kept for bodies of up to 64 KiB.
	// Beyond that an event is recorded without bodies and with the annotation
	// audit.k8s.io/truncated. Defaults 8 MiB and 256 MiB.
	MaxBody, MaxBodies int64

	// Redact changes what must not be recorded in clear; it is called once for each
	// event, before it is encoded. It may replace columns and bodies, but not write
	// into them: the events of later stages have the same bytes.
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

	// Object and Status begin to look at a body with these headers while it passes, for
	// what an event says of it at every level. It is written to w, whose errors do not
	// matter, and told says what it was when all of it has passed: what stands in the
	// metadata of an object, "" where it is not known, and a Status, or nil. Package
	// record/wire has both. Without them an event lacks these things.
	Object func(contentType, contentEncoding string) (w io.Writer, told func() (namespace, name, uid, resourceVersion string))
	Status func(contentType, contentEncoding string) (w io.Writer, told func() *metav1.Status)
}

func (c *Config) setDefaults() {
	if c.LongRunning == nil {
		c.LongRunning = func(_ *http.Request, i *policy.RequestInfo) bool { return i.LongRunning() }
	}
	if c.MaxBody == 0 {
		c.MaxBody = 8 << 20
	}
	if c.MaxBodies == 0 {
		c.MaxBodies = 256 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = newID
	}
}

// newID makes a random UUID (version 4). It need not be unguessable: clients choose
// audit IDs as they like.
func newID() string {
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(b[8:], rand.Uint64())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	const digits = "0123456789abcdef"
	var text [36]byte
	n := 0
	for i, x := range b {
		switch i {
		case 4, 6, 8, 10:
			text[n] = '-'
			n++
		}
		text[n], text[n+1] = digits[x>>4], digits[x&15]
		n += 2
	}
	return string(text[:])
}

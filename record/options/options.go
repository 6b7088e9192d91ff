package options

import "time"

// The modes of a backend.
const (
	ModeBatch          = "batch"           // events wait in a buffer and go out together
	ModeBlocking       = "blocking"        // a request waits until its event is out
	ModeBlockingStrict = "blocking-strict" // and fails where it cannot go out
)

// Options are what the flags say. Upstream: AuditOptions.
type Options struct {
	PolicyFile string // empty: nothing is recorded

	Log     Log
	Webhook Webhook
	Redact  Redact

	// Cluster and Server are put on every event as the annotations kubetrail.io/cluster
	// and kubetrail.io/server. Where only Cluster is given, Server is the host name.
	Cluster, Server string
}

// Log says how events are written to a file. Upstream: AuditLogOptions.
type Log struct {
	Path       string // "-" is standard output; empty: no log
	MaxAge     int    // days that rotated files are kept; 0: for ever
	MaxBackups int    // rotated files that are kept; 0: all
	MaxSize    int    // MiB at which the file is rotated; 0: never
	Format     string // "json" or "legacy"
	Compress   bool   // rotated files
	Version    string // group and version of events
	Sync       bool   // an event is written once it is on disk

	Batch    Batch
	Truncate Truncate
}

// Webhook says how events are sent to receivers. Upstream: AuditWebhookOptions.
type Webhook struct {
	ConfigFiles    []string // kubeconfigs, one for each receiver; empty: no webhook
	InitialBackoff time.Duration
	Version        string

	// SpillDir is where events wait whose receiver is slow or away, one directory below
	// it for each receiver; empty: they wait in memory alone. SpillMaxSize bounds the
	// bytes that wait there for one receiver.
	SpillDir     string
	SpillMaxSize int64

	Batch    Batch
	Truncate Truncate
}

// Batch says how events are put together; all but Mode counts in ModeBatch only.
// Upstream: AuditBatchOptions.
type Batch struct {
	Mode string

	BufferSize     int           // events that may wait
	MaxSize        int           // events that go out together
	MaxWait        time.Duration // for others to go out with
	ThrottleEnable bool
	ThrottleQPS    float32 // batches per second
	ThrottleBurst  int     // batches at once after a rest
}

// Truncate says what is too large. Upstream: AuditTruncateOptions.
type Truncate struct {
	Enabled      bool
	MaxBatchSize int64 // bytes
	MaxEventSize int64 // bytes; larger events lose their bodies
}

// Redact says what must not be recorded in clear.
type Redact struct {
	What    []string // names and paths as redact.Parse reads them; empty: nothing
	KeyFile string
}

// New returns the defaults of kube-apiserver v1.36.
func New() *Options {
	truncate := Truncate{MaxBatchSize: 10 << 20, MaxEventSize: 100 << 10}
	return &Options{
		Log: Log{
			MaxAge: 366, MaxBackups: 100, MaxSize: 100,
			Format:   formatJSON,
			Version:  version,
			Batch:    Batch{Mode: ModeBlocking, BufferSize: 10000, MaxSize: 1},
			Truncate: truncate,
		},
		Webhook: Webhook{
			InitialBackoff: 10 * time.Second,
			Version:        version,
			SpillMaxSize:   1 << 30,
			Batch: Batch{Mode: ModeBatch, BufferSize: 10000, MaxSize: 400, MaxWait: 30 * time.Second,
				ThrottleEnable: true, ThrottleQPS: 10, ThrottleBurst: 15},
			Truncate: truncate,
		},
	}
}

const (
	version      = "audit.k8s.io/v1" // the only one that kube-apiserver still writes
	formatJSON   = "json"
	formatLegacy = "legacy"
)

package options

import (
	"encoding/csv"
	"strings"

	"github.com/spf13/pflag"
)

// AddFlags adds the 32 flags of kube-apiserver and ours. They show and change o.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.PolicyFile, "audit-policy-file", o.PolicyFile, "`FILE` with the audit policy; without it nothing is recorded. It is read again when it changes")
	o.Log.addFlags(fs)
	o.Log.Batch.addFlags(fs, "log")
	o.Log.Truncate.addFlags(fs, "log")
	o.Webhook.addFlags(fs)
	o.Webhook.Batch.addFlags(fs, "webhook")
	o.Webhook.Truncate.addFlags(fs, "webhook")
	fs.StringSliceVar(&o.Redact.What, "audit-redact", o.Redact.What, "`WHAT` is recorded as a keyed hash instead of in clear: secrets, tokens, last-applied, env, path=FIELD")
	fs.StringVar(&o.Redact.KeyFile, "audit-redact-key-file", o.Redact.KeyFile, "`FILE` with the key of these hashes, at least 32 random bytes")
	fs.StringVar(&o.Cluster, "audit-cluster-name", o.Cluster, "`NAME` of the cluster, put on every event as the annotation kubetrail.io/cluster")
	fs.StringVar(&o.Server, "audit-server-name", o.Server, "`NAME` of this server, put on every event as the annotation kubetrail.io/server; with --audit-cluster-name the default is the host name")
}

func (l *Log) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&l.Path, "audit-log-path", l.Path, "`FILE` that events are written to, - for standard output; without it there is no log")
	fs.IntVar(&l.MaxAge, "audit-log-maxage", l.MaxAge, "Days after which rotated logs are removed; 0 is never")
	fs.IntVar(&l.MaxBackups, "audit-log-maxbackup", l.MaxBackups, "How many rotated logs are kept; 0 is all")
	fs.IntVar(&l.MaxSize, "audit-log-maxsize", l.MaxSize, "Megabytes at which the log is rotated; 0 is never")
	fs.StringVar(&l.Format, "audit-log-format", l.Format, "`FORMAT` of events: json, or legacy for one line of text each")
	fs.StringVar(&l.Version, "audit-log-version", l.Version, "API `VERSION` that events are written in")
	fs.BoolVar(&l.Compress, "audit-log-compress", l.Compress, "Compress rotated logs with gzip")
	fs.BoolVar(&l.Sync, "audit-log-sync", l.Sync, "Write events through to the disk (fsync)")
}

func (w *Webhook) addFlags(fs *pflag.FlagSet) {
	fs.Var(files{&w.ConfigFiles}, "audit-webhook-config-file", "Kubeconfig `FILE` that says where events are sent; give it again for further receivers")
	fs.DurationVar(&w.InitialBackoff, "audit-webhook-initial-backoff", w.InitialBackoff, "How long after the first failure sending is tried again")
	const old = "audit-webhook-batch-initial-backoff"
	fs.DurationVar(&w.InitialBackoff, old, w.InitialBackoff, "How long after the first failure sending is tried again")
	_ = fs.MarkDeprecated(old, "Deprecated, use --audit-webhook-initial-backoff instead.") // it fails for flags that do not exist
	fs.StringVar(&w.Version, "audit-webhook-version", w.Version, "API `VERSION` that events are sent in")
	fs.StringVar(&w.SpillDir, "audit-webhook-spill-dir", w.SpillDir, "`DIR` where events wait whose receiver is slow or away; without it they wait in memory, and the buffer bounds them")
	fs.Int64Var(&w.SpillMaxSize, "audit-webhook-spill-max-size", w.SpillMaxSize, "`BYTES` that may wait there for one receiver")
}

func (b *Batch) addFlags(fs *pflag.FlagSet, plugin string) {
	prefix := "audit-" + plugin + "-"
	fs.StringVar(&b.Mode, prefix+"mode", b.Mode, "`MODE`: batch buffers events, blocking lets requests wait for their events, blocking-strict also refuses requests whose events fail")
	fs.IntVar(&b.BufferSize, prefix+"batch-buffer-size", b.BufferSize, "Events that the buffer holds (in mode batch)")
	fs.IntVar(&b.MaxSize, prefix+"batch-max-size", b.MaxSize, "Events in a batch (in mode batch)")
	fs.DurationVar(&b.MaxWait, prefix+"batch-max-wait", b.MaxWait, "How long a batch waits to become full (in mode batch)")
	fs.BoolVar(&b.ThrottleEnable, prefix+"batch-throttle-enable", b.ThrottleEnable, "Bound the rate of batches (in mode batch)")
	fs.Float32Var(&b.ThrottleQPS, prefix+"batch-throttle-qps", b.ThrottleQPS, "Batches per second, on average (in mode batch)")
	fs.IntVar(&b.ThrottleBurst, prefix+"batch-throttle-burst", b.ThrottleBurst, "Batches at once after a rest (in mode batch)")
}

func (t *Truncate) addFlags(fs *pflag.FlagSet, plugin string) {
	prefix := "audit-" + plugin + "-truncate-"
	fs.BoolVar(&t.Enabled, prefix+"enabled", t.Enabled, "Bound the size of events and batches")
	fs.Int64Var(&t.MaxBatchSize, prefix+"max-batch-size", t.MaxBatchSize, "`BYTES` of a batch; a larger one is split")
	fs.Int64Var(&t.MaxEventSize, prefix+"max-event-size", t.MaxEventSize, "`BYTES` of an event; a larger one loses its bodies, then the ends of long texts")
}

// files is a flag that can be given several times. It has the type of upstream's, which
// cannot, so that programs that look at the type see what they know.
type files struct{ all *[]string }

func (f files) Type() string { return "string" }

func (f files) String() string {
	if f.all == nil { // the zero value, which pflag compares with
		return ""
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(*f.all) // a Builder takes everything
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// Set adds a file. As with upstream an empty name is no webhook.
func (f files) Set(name string) error {
	if name == "" {
		*f.all = nil
		return nil
	}
	*f.all = append(*f.all, name)
	return nil
}

package collect

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/klog"
	"kubetrail/internal/trail"
)

// APIServerLog is the format of what kube-apiserver writes to stderr, in a file or in the
// log of its container: of that, the events which it lost. See [klog.Decoder].
func APIServerLog() *Format {
	return &Format{
		Decode: func(in io.Reader, cfg audit.ReaderConfig) Decoder {
			c := klog.Config{ReaderConfig: cfg}
			// klog writes local time. Where that may be another one than UTC, which a
			// container has, there is no telling.
			now := time.Now()
			if _, offset := now.Zone(); offset == 0 {
				c.Now = now.UnixMicro()
			}
			return klog.NewDecoder(in, c)
		},
		Foreign: func(head []byte) string {
			if klog.Looks(head) != klog.Unlike {
				return ""
			}
			return "no log of kube-apiserver"
		},
	}
}

// FaultOf is what a Decoder set aside in s, as a trail keeps it; false where err is
// another error.
func FaultOf(err error, s trail.Source) (trail.Fault, bool) {
	f, ok := errors.AsType[*audit.Fault](err)
	if !ok {
		return trail.Fault{}, false
	}
	fault := trail.Fault{Source: s.Name, Cluster: s.Cluster, Server: s.Server,
		Offset: f.Offset, Length: f.Length, Reason: f.Reason, Head: f.Head}
	if l, ok := errors.AsType[*klog.Loss](err); ok {
		fault.Lost = &trail.Loss{From: l.From, To: l.To, Events: l.Events, Cause: l.Cause}
	}
	return fault, true
}

// detect tells what a file holds that begins with head and, if events is false, does not
// seem to be an audit log: nil where it is nothing else of ours. Logs that look like one
// of kube-apiserver are many in /var/log; in a directory only those are taken whose path
// names it, or that tell of lost events where they begin.
func detect(head []byte, path string, named, events bool) *Format {
	named = named || strings.Contains(filepath.ToSlash(path), "kube-apiserver")
	if like := klog.Looks(head); like == klog.Certain || like == klog.Similar && named && !events {
		return APIServerLog()
	}
	return nil
}

// Decode reads a content of the file.
func (f *File) Decode(in io.Reader, cfg audit.ReaderConfig) Decoder {
	if f.format == nil {
		return audit.NewReader(in, cfg)
	}
	return f.format.Decode(in, cfg)
}

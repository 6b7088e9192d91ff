package gap

import (
	"bytes"
	"strings"

	"github.com/cespare/xxhash/v2"

	"kubetrail/audit"
)

// note finds the stream that an event belongs to, a new one perhaps. The event may come
// in any order. A Beat without a stream is to be passed over.
func (d *Detector) note(e *audit.Event) Beat {
	at := e.Time()
	if at == audit.NoTime {
		return Beat{}
	}
	s := d.server(e)
	if s == nil {
		return Beat{}
	}
	return Beat{at, d.stream(s, e)}
}

// server returns the one that observed an event.
func (d *Detector) server(e *audit.Event) *server {
	cluster, name, source := e.Text[audit.Cluster], e.Text[audit.Server], e.Text[audit.Source]
	n := &d.near
	if n.is != nil && n.source == string(source) && n.server == string(name) && n.cluster == string(cluster) {
		return n.is
	}
	d.key = append(append(append(append(append(d.key[:0], cluster...), 0), name...), 0), source...)
	s := d.lately[string(d.key)]
	if s == nil {
		if len(name) == 0 && bytes.Contains(e.Text[audit.Marks], []byte("recovered")) {
			return nil // it came from another log than its server's events
		}
		key := serverKey{string(cluster), string(name), ""}
		if key.server == "" {
			key.source = logName(string(source))
		}
		if s = d.servers[key]; s == nil {
			if len(d.sorted) >= maxServers {
				return nil
			}
			s = newServer(key)
			d.servers[key] = s
			d.sorted = append(d.sorted, s)
		}
		if len(d.lately) >= 16*maxServers {
			clear(d.lately)
		}
		d.lately[string(d.key)] = s
	}
	n.cluster, n.server, n.source, n.is = string(cluster), string(name), string(source), s
	return s
}

// stream returns the one that an event of s belongs to.
func (d *Detector) stream(s *server, e *audit.Event) *stream {
	user, verb, resource := e.Text[audit.Username], e.Text[audit.Verb], e.Text[audit.Resource]
	if len(e.Text[audit.Stage]) != len("ResponseComplete") || !repeats(verb) {
		return s.idle // other stages are of the same requests
	}
	ours := string(user) == "system:apiserver"
	if ours && (string(resource) == "clusterroles" || string(resource) == "clusterrolebindings") {
		return s.booting
	}
	d.key = append(append(append(append(d.key[:0], user...), 0), verb...), 0)
	path := resource
	if len(resource) > 0 {
		d.key = append(append(append(append(append(d.key, resource...), '/'), e.Text[audit.Namespace]...), '/'), e.Text[audit.Name]...)
	} else {
		path = e.Text[audit.RequestURI]
		if i := bytes.IndexByte(path, '?'); i >= 0 {
			path = path[:i]
		}
		d.key = append(d.key, path...)
	}
	if len(d.key) > 512 {
		return s.idle
	}
	hash := xxhash.Sum64(d.key)
	if x := s.streams[hash]; x != nil {
		return x
	}
	limit := keen
	if ours || likely(resource, path) {
		limit = maxStreams
	}
	if !d.room(s, e.Time(), limit, ours) {
		return s.idle
	}
	x := &stream{of: s, user: string(user), verb: string(verb), hash: hash}
	x.what = strings.TrimRight(string(d.key[len(user)+len(verb)+2:]), "/")
	x.group = x.user
	if ours {
		// What it asks of itself comes from independent loops, but for what it does in
		// one of them: all the reads, or all the writes, of objects.
		x.kind, x.group = own, x.user+" "+x.verb
		if len(resource) == 0 {
			x.group += " path"
		}
	}
	s.streams[hash] = x
	d.held++
	return x
}

// room reports whether one more candidate may be held. Those of an API server's own may
// be though too many are held of others.
func (d *Detector) room(s *server, at int64, limit int, ours bool) bool {
	free := func() bool { return len(s.streams) < limit && (ours || d.held < maxHeld) }
	if free() {
		return true
	}
	if d.holding || at-s.swept < maxInterval {
		return false
	}
	s.swept = at
	d.sweep(s, at-maxInterval, at-forgotten)
	return free()
}

// sweep forgets candidates of a server that were not seen since a time, so that there is
// room for others, and pulses that ended long before another.
func (d *Detector) sweep(s *server, candidates, pulses int64) {
	before := len(s.streams)
	for hash, x := range s.streams {
		if x.recent == nil && x.seen < candidates || x.recent != nil && max(x.seen, x.last) < pulses {
			delete(s.streams, hash)
			s.changed = true
		}
	}
	d.held -= before - len(s.streams)
}

// forgotten is how long after its last beat a pulse is held.
const forgotten = 3600 * second

// repeats reports whether requests of a verb can be a pulse.
func repeats(verb []byte) bool {
	switch string(verb) {
	case "get", "list", "update", "patch":
		return true
	}
	return false
}

// likely reports whether requests for a resource or a path are a pulse most probably.
func likely(resource, path []byte) bool {
	switch string(resource) {
	case "leases":
		return true
	case "":
		switch string(path) {
		case "/readyz", "/livez", "/healthz":
			return true
		}
	}
	return false
}

// logName is the name that a log has before it is rotated: without compression, without
// the time that lumberjack puts before the suffix, without the number of logrotate. Of
// files that are named by a number alone it is their directory.
func logName(source string) string {
	name := source
	for before := ""; name != before; {
		before = name
		for _, suffix := range []string{".gz", ".zst", ".bz2", ".xz"} {
			name = strings.TrimSuffix(name, suffix)
		}
		name = withoutStamp(name)
		if i := strings.LastIndexByte(name, '.'); i >= 0 && digits(name[i+1:]) && len(name)-i <= 4 {
			name = name[:i]
		}
	}
	// 0001.json: one post of a webhook, a file each
	dir := strings.LastIndexByte(name, '/') + 1
	if base, _, _ := strings.Cut(name[dir:], "."); dir > 1 && digits(base) {
		return name[:dir-1]
	}
	return name
}

// withoutStamp makes audit.log of audit-2026-11-20T15-13-23.604.log.
func withoutStamp(name string) string {
	const stamp = "-2006-01-02T15-04-05.000"
	from := strings.LastIndexByte(name, 'T') - len("-2006-01-02")
	to := from + len(stamp)
	if from <= 0 || to > len(name) || name[from] != '-' || !digits(name[from+1:from+5]) || !digits(name[to-3:to]) {
		return name
	}
	return name[:from] + name[to:]
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0
}

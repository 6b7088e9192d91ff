package record

import (
	"io"
	"mime"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A capture is a body as it passes: it is kept where the level records it, and looked at
// for what an event says at every level. recording.mu owns it.
type capture struct {
	contentType, encoding string

	look   io.Writer // nil: nothing is looked for
	object func() (namespace, name, uid, resourceVersion string)
	status func() *metav1.Status
	keeps  bool
	whole  bool // what object tells is read when all of it has passed
	kept   body
	over   bool  // what was to be kept is too large
	seen   int64 // bytes
	length int64 // as announced, -1 where it was not
	ended  bool
}

func capturing(header http.Header, keeps bool) *capture {
	c := &capture{contentType: first(header["Content-Type"]), encoding: first(header["Content-Encoding"]), keeps: keeps, length: -1}
	if c.encoding == "identity" {
		c.encoding = ""
	}
	return c
}

// write looks at the next piece of the body.
func (c *capture) write(h *recorder, p []byte) {
	c.seen += int64(len(p))
	if c.look != nil {
		_, _ = c.look.Write(p)
	}
	if !c.keeps && !c.whole || c.over {
		return
	}
	if c.seen > h.MaxBody || !h.reserve(int64(len(p)), c.seen) {
		h.drop(&c.kept)
		c.over = true
		return
	}
	if c.kept.json == nil {
		c.kept.json = h.memory()
	}
	c.kept.budget += int64(len(p))
	*c.kept.json = append(*c.kept.json, p...)
}

// complete tells whether all of the body has passed.
func (c *capture) complete() bool { return c.ended || c.seen == c.length }

// tapRequest has the body of a request looked at: that of every object that is written,
// of patches, and of deletions that have one.
func (r *recording) tapRequest(req *http.Request) {
	i := &r.request.RequestInfo
	if !i.IsResourceRequest || r.long {
		return
	}
	c := capturing(req.Header, r.level() >= request)
	c.encoding = "" // kube-apiserver does not look at it, so nobody can hide a body behind it
	switch i.Verb {
	case "create", "update":
		switch {
		case r.h.Wire.Object == nil:
		case isTree(c.contentType):
			c.whole = true
		default:
			c.look, c.object = r.h.Wire.Object(c.contentType, c.encoding)
		}
	case "patch", "delete", "deletecollection":
	default:
		return
	}
	if c.look == nil && !c.keeps && !c.whole {
		return
	}
	c.length = req.ContentLength
	r.sent = c
	if req.Body == nil || req.Body == http.NoBody {
		c.ended = true
		return
	}
	req.Body = &tappedBody{req.Body, r}
}

// A tappedBody shows what is read of a body to its recording.
type tappedBody struct {
	io.ReadCloser
	r *recording
}

func (b *tappedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 || err == io.EOF {
		b.r.mu.Lock()
		defer b.r.mu.Unlock()
		if !b.r.released {
			b.r.sent.write(b.r.h, p[:n])
			b.r.sent.ended = b.r.sent.ended || err == io.EOF
		}
	}
	return n, err
}

// tapAnswer decides, when an answer with a code begins, whether it is looked at. Streams
// are not, but an error that is an answer instead of the stream is; then ResponseStarted
// waits for it, as kube-apiserver knows it by then. r.mu is held.
func (r *recording) tapAnswer(code int) bool {
	header := r.writer.Header()
	if r.h.Wire == nil || r.logged || !isObject(first(header["Content-Type"])) {
		return false
	}
	isError := code >= http.StatusBadRequest
	if !isError && (r.long || !r.request.IsResourceRequest && !isDiscovery(r.request.Path)) {
		return false
	}
	c := capturing(header, r.level() >= requestResponse)
	if r.h.Wire.Status != nil {
		c.look, c.status = r.h.Wire.Status(c.contentType, c.encoding)
	}
	r.answer, r.pending = c, r.long
	return true
}

// tap sees a piece of the answer before it goes out, unless it is kept back.
func (r *recording) tap(b []byte) (kept bool, err error) {
	r.mu.Lock()
	if c := r.answer; c != nil && !r.released {
		c.write(r.h, b)
	}
	o := r.writer.hold
	if o == nil {
		r.mu.Unlock()
		return false, nil
	}
	kept, err = o.keep(b)
	r.mu.Unlock()
	if !kept && err == nil {
		err = r.writer.letGo()
	}
	return kept, err
}

// takeWire makes of what has passed what the event says, unless the handler has said it:
// kube-apiserver's own idea of it, as far as the wire tells. whole is false where the
// answer was broken off. r.mu is held.
func (r *recording) takeWire(whole bool) {
	var st *metav1.Status
	if c := r.answer; c != nil && c.status != nil && !r.logged {
		if st = c.status(); st != nil {
			code := r.status.code
			r.setStatus(st)
			r.status.code = code
		}
	}
	if c := r.sent; c != nil && c.complete() && r.bodies[0].json == nil && r.wasRead() {
		r.takeRequest(c)
	}
	// What is an error of a stream or of a URL that is no resource is a Status, or was not
	// written by an API server.
	if c := r.answer; c != nil && c.keeps && whole && !r.logged && c.seen > 0 && (c.length < 0 || c.complete()) {
		if st != nil || !r.long && (r.request.IsResourceRequest || isDiscovery(r.request.Path)) {
			r.take(1, c, r.decision.OmitManagedFields)
		}
	}
	for _, c := range []*capture{r.sent, r.answer} {
		if c != nil {
			r.h.drop(&c.kept)
		}
	}
}

// takeRequest takes what the body of the request says.
func (r *recording) takeRequest(c *capture) {
	if c.object != nil && c.seen > 0 {
		var o objectRef
		o.namespace, o.name, o.uid, o.resourceVersion = c.object()
		r.ref.fill(&o)
	}
	isPatch := r.request.Verb == "patch"
	switch {
	case c.whole && c.seen > 0:
		r.takeTree(c)
	case !c.keeps:
	case c.seen > 0:
		r.take(0, c, r.decision.OmitManagedFields && !isPatch)
	case isPatch:
		r.set(0, r.convert([]byte("null"), "application/json", "", false))
	}
}

// takeTree takes the object of a request that could not be looked at while it passed, and
// was kept at every level: otherwise a long comment would hide the name of what is made.
func (r *recording) takeTree(c *capture) {
	if c.over {
		r.truncated = true
		return
	}
	b := r.convert(*c.kept.json, c.contentType, c.encoding, r.decision.OmitManagedFields)
	if look, told := r.h.Wire.Object("application/json", ""); look != nil {
		_, _ = look.Write(*b.json)
		var o objectRef
		o.namespace, o.name, o.uid, o.resourceVersion = told()
		r.ref.fill(&o)
	}
	if c.keeps {
		r.set(0, b)
		return
	}
	if b.unread && r.status.code < http.StatusBadRequest {
		r.truncated = true // the server could read it, so there is a name that is not told
	}
	r.h.drop(&b)
}

// take makes what was kept the body of the request (0) or of the answer (1).
func (r *recording) take(i int, c *capture, omit bool) {
	if c.over {
		r.truncated = true
		return
	}
	r.set(i, r.convert(*c.kept.json, c.contentType, c.encoding, omit))
}

// wasRead tells whether an API server has come as far as to know the body of the request,
// by how it was answered: authentication, authorization, limits of load and of size,
// routing and decoding come before that.
func (r *recording) wasRead() bool {
	switch r.status.code {
	case http.StatusUnauthorized, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusNotAcceptable:
		return false
	case http.StatusNotFound, http.StatusTooManyRequests: // where it is no page, but an object
		return (r.answer != nil || r.logged) && r.status.message != "the server could not find the requested resource"
	case http.StatusForbidden:
		return !strings.Contains(r.status.message, `is forbidden: User "`) || !strings.Contains(r.status.message, `" cannot `+r.request.Verb+" ")
	case http.StatusBadRequest:
		return r.request.Verb == "patch" ||
			!strings.Contains(r.status.message, " cannot be handled as a ") &&
				!strings.Contains(r.status.message, " does not match the expected API version ")
	}
	return true
}

// isObject tells whether a Content-Type is one in which an API server writes an object,
// other than a stream of them.
func isObject(contentType string) bool {
	media, parameters, more := strings.Cut(contentType, ";")
	switch strings.TrimSpace(strings.ToLower(media)) {
	case "application/json", "application/yaml", "application/cbor", "application/vnd.kubernetes.protobuf":
	default:
		return false
	}
	if !more || !strings.Contains(parameters, "stream") {
		return true
	}
	_, p, err := mime.ParseMediaType(contentType)
	return err == nil && p["stream"] == ""
}

// isTree tells whether a Content-Type is one whose objects can be read only as a whole.
func isTree(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.TrimSpace(strings.ToLower(media))
	return media == "application/yaml" || media == "application/cbor"
}

// isDiscovery tells whether a path that is no resource is answered with an object: with
// the versions, groups or resources of the API.
func isDiscovery(path string) bool {
	first, _, _ := strings.Cut(strings.Trim(path, "/"), "/")
	return first == "api" || first == "apis"
}

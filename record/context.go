package record

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"kubetrail/internal/rawjson"
)

type contextKey struct{}

// Value makes the recording known to the functions below.
func (r *recording) Value(key any) any {
	if key == (contextKey{}) {
		return r
	}
	return r.Context.Value(key)
}

// from returns the recording of a request that is recorded at a level or above it, or nil.
func from(ctx context.Context, level int32) *recording {
	r, _ := ctx.Value(contextKey{}).(*recording)
	if r == nil || r.level() < level {
		return nil
	}
	return r
}

// AuditID returns the audit ID of the request that ctx belongs to, recorded or not, and
// "" where there is none. Upstream: audit.AuditIDFrom.
func AuditID(ctx context.Context) string {
	if r, ok := ctx.Value(contextKey{}).(*recording); ok {
		return r.id
	}
	return ""
}

// Annotate adds an annotation to the events that are still to come of the request that
// ctx belongs to. The first value of a key stays; another one is dropped with a warning.
// Like all functions here it does nothing for a request that is not recorded or that is
// over, or has come neither to a Handler nor, which suffices for this one, to Init; and is
// safe for concurrent use. Upstream: audit.AddAuditAnnotation.
func Annotate(ctx context.Context, key, value string) {
	r := from(ctx, undecided)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.released || r.level() == nothing {
		return
	}
	i, found := search(r.annotations, key)
	if found {
		if set := r.annotations[i].value; set != value {
			r.h.Logger.Warn("an annotation is set already", "auditID", r.id, "key", key, "value", value, "set", set)
		}
		return
	}
	r.annotations = slices.Insert(r.annotations, i, annotation{key, value})
}

// LogImpersonatedUser notes as whom the request is handled, and by which constraint of
// impersonation, "" where there is none. Upstream: audit.LogImpersonatedUser.
func LogImpersonatedUser(ctx context.Context, u *User, constraint string) {
	r := from(ctx, metadata)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.released {
		return
	}
	r.impersonated = u
	if constraint != "" {
		r.constraint = constraint
	}
}

// LogRequestObject notes the object in the body of a request: from Metadata on what
// objectRef lacks, from Request on the object as enc writes it, which must be JSON. A nil
// enc is that of encoding/json; upstream's is one for the version that was sent. obj is
// encoded where its level records it alone. Upstream: audit.LogRequestObject.
func LogRequestObject(ctx context.Context, obj runtime.Object, gvr schema.GroupVersionResource, subresource string, enc runtime.Encoder) {
	r := from(ctx, metadata)
	if r == nil {
		return
	}
	ref := objectRef{resource: gvr.Resource, group: gvr.Group, version: gvr.Version, sub: subresource}
	if m, err := meta.Accessor(obj); err == nil {
		ref.namespace, ref.name = m.GetNamespace(), m.GetName()
		ref.uid, ref.resourceVersion = string(m.GetUID()), m.GetResourceVersion()
	}
	var b body
	if r.level() >= request {
		b = r.encode(obj, enc)
	}
	r.logRequest(&ref, b)
}

// LogRequestJSON is LogRequestObject for servers that have the object as JSON alone.
func LogRequestJSON(ctx context.Context, raw []byte) {
	r := from(ctx, metadata)
	if r == nil {
		return
	}
	var o struct {
		Metadata struct {
			Namespace       string `json:"namespace"`
			Name            string `json:"name"`
			UID             string `json:"uid"`
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	var ref objectRef
	if kjson.UnmarshalCaseSensitivePreserveInts(raw, &o) == nil {
		m := &o.Metadata
		ref = objectRef{namespace: m.Namespace, name: m.Name, uid: m.UID, resourceVersion: m.ResourceVersion}
	}
	var b body
	if r.level() >= request {
		b = r.convert(raw, "application/json", "", r.decision.OmitManagedFields)
	}
	r.logRequest(&ref, b)
}

// LogRequestPatch notes the body of a patch, of the type in its header Content-Type.
// What is no JSON is turned into it, or recorded as {"raw": base64}: unlike upstream's,
// its event is never lost. Upstream: audit.LogRequestPatch.
func LogRequestPatch(ctx context.Context, patch []byte, contentType string) {
	r := from(ctx, request)
	if r == nil {
		return
	}
	if len(patch) == 0 {
		patch, contentType = []byte("null"), "application/json"
	}
	r.logRequest(nil, r.convert(patch, contentType, "", false))
}

// LogResponseObject notes the object that the request is answered with: from Metadata on
// what a metav1.Status says, at RequestResponse the object, encoded as by
// LogRequestObject. It must be called before the answer begins. Upstream:
// audit.LogResponseObject.
func LogResponseObject(ctx context.Context, obj runtime.Object, enc runtime.Encoder) {
	r := from(ctx, metadata)
	if r == nil {
		return
	}
	st, _ := obj.(*metav1.Status)
	var b body
	if r.level() >= requestResponse {
		b = r.encode(obj, enc)
	}
	r.logResponse(st, b)
}

// LogResponseJSON is LogResponseObject for servers that have the object as JSON alone.
func LogResponseJSON(ctx context.Context, raw []byte) {
	r := from(ctx, metadata)
	if r == nil {
		return
	}
	var st *metav1.Status
	if bytes.Contains(raw, []byte(`"Status"`)) {
		if s := (metav1.Status{}); kjson.UnmarshalCaseSensitivePreserveInts(raw, &s) == nil && s.Kind == "Status" {
			st = &s
		}
	}
	var b body
	if r.level() >= requestResponse {
		b = r.convert(raw, "application/json", "", r.decision.OmitManagedFields)
	}
	r.logResponse(st, b)
}

// logRequest fills the gaps of objectRef, and sets the body where there is one.
func (r *recording) logRequest(ref *objectRef, b body) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.released {
		r.h.drop(&b)
		return
	}
	if ref != nil {
		r.ref.fill(ref)
	}
	r.set(0, b)
}

// fill takes over from o what is empty in r. Upstream: LogRequestObject.
func (r *objectRef) fill(o *objectRef) {
	r.present = true
	or := func(p *string, s string) {
		if *p == "" {
			*p = s
		}
	}
	or(&r.namespace, o.namespace)
	or(&r.name, o.name)
	or(&r.uid, o.uid)
	or(&r.resourceVersion, o.resourceVersion)
	if r.version == "" {
		r.group, r.version = o.group, o.version
	}
	or(&r.resource, o.resource)
	or(&r.sub, o.sub)
}

func (r *recording) logResponse(st *metav1.Status, b body) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.released {
		r.h.drop(&b)
		return
	}
	r.logged = true
	if r.level() >= requestResponse {
		r.h.drop(&r.bodies[1]) // even where the object after it cannot be encoded
	}
	if st != nil {
		r.answered = true
		r.setStatus(st)
	}
	r.set(1, b)
}

// setStatus makes responseStatus of what st says within bounds. r.mu is held.
func (r *recording) setStatus(st *metav1.Status) {
	r.status = status{code: st.Code, status: st.Status, message: st.Message, reason: string(st.Reason)}
	if st.Details != nil {
		r.status.details, _ = json.Marshal(st.Details)
	}
}

// encode makes a body of an object.
func (r *recording) encode(obj runtime.Object, enc runtime.Encoder) body {
	h := r.h
	plain := h.memory()
	var err error
	if enc == nil {
		*plain, err = h.objects.Append(*plain, obj)
	} else {
		err = enc.Encode(obj, (*appender)(plain))
	}
	if err != nil {
		h.Logger.Error("an object cannot be encoded", "auditID", r.id, "error", err)
		h.buffer.Put(plain)
		return body{}
	}
	if enc == nil && !r.decision.OmitManagedFields && len(*plain) < 2*rawjson.MaxDepth {
		return body{json: plain} // as it shall be, and too short to be nested too deep
	}
	b := r.convert(*plain, "application/json", "", r.decision.OmitManagedFields)
	h.buffer.Put(plain)
	return b
}

// convert makes a body of bytes as they were sent.
func (r *recording) convert(raw []byte, contentType, contentEncoding string, omit bool) body {
	h := r.h
	made := h.memory()
	add := rawjson.Append
	if omit {
		add = rawjson.OmitManagedFields
	}
	var err error
	if contentEncoding == "" {
		if *made, err = add((*made)[:0], raw); err == nil {
			return body{json: made}
		}
	}
	if h.Wire != nil {
		var converted []byte
		if converted, err = h.Wire.JSON(contentType, contentEncoding, raw); err == nil {
			if *made, err = add((*made)[:0], converted); err == nil {
				return body{json: made}
			}
		}
	}
	*made = rawjson.Raw((*made)[:0], raw)
	return body{json: made, unread: true}
}

// An appender writes to a slice.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

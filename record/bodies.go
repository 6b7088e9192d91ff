package record

// memory returns an empty buffer of the pool.
func (h *recorder) memory() *[]byte {
	if p, ok := h.buffer.Get().(*[]byte); ok {
		*p = (*p)[:0]
		return p
	}
	return new([]byte)
}

// smallBody is how large a body is that half of MaxBodies is kept for, so that a few who
// send or ask for large ones do not cost all others theirs.
const smallBody = 64 << 10

// reserve takes n bytes of MaxBodies for a body of size in all, if they are left.
func (h *recorder) reserve(n, size int64) bool {
	limit := h.MaxBodies
	if size > smallBody {
		limit /= 2
	}
	if h.held.Add(n) <= limit {
		return true
	}
	h.held.Add(-n)
	return false
}

// drop gives back what a body takes.
func (h *recorder) drop(b *body) {
	if b.json == nil {
		return
	}
	h.held.Add(-b.budget)
	if cap(*b.json) <= maxPooled {
		h.buffer.Put(b.json)
	}
	*b = body{}
}

// set makes b the body of the request (0) or of the answer (1) unless it is none, or
// notes that it is too large. mu is held.
func (r *recording) set(i int, b body) {
	if b.json == nil {
		return
	}
	h := r.h
	h.drop(&r.bodies[i])
	n := int64(len(*b.json))
	if n > h.MaxBody || !h.reserve(n, n) {
		h.drop(&b)
		r.truncated = true
		return
	}
	b.budget = n
	r.bodies[i] = b
}

// bytes returns the JSON of a body, nil where there is none.
func (b *body) bytes() []byte {
	if b.json == nil {
		return nil
	}
	return *b.json
}

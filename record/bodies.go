package record

// memory returns an empty buffer of the pool.
func (h *recorder) memory() *[]byte {
	if p, ok := h.buffer.Get().(*[]byte); ok {
		*p = (*p)[:0]
		return p
	}
	return new([]byte)
}

// reserve takes n bytes of MaxBodies, if they are left.
func (h *recorder) reserve(n int64) bool {
	if h.held.Add(n) <= h.MaxBodies {
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
	if n > h.MaxBody || !h.reserve(n) {
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

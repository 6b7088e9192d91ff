package policy

// source finds places in a file.
type source struct {
	data []byte
	read bool
	root *node
}

func (s *source) places() *node {
	if !s.read {
		s.read, s.root = true, places(s.data)
	}
	return s.root
}
func (s *source) locate(f []Finding)      {}
func (s *source) place(err error) Finding { return Finding{Text: err.Error()} }
func (s *source) strict(errs []error) []Finding {
	var f []Finding
	for _, e := range errs {
		f = append(f, Finding{Text: e.Error()})
	}
	return f
}

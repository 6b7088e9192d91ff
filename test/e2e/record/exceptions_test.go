package record_test

// exception is a difference between what the proxy and kube-apiserver record that has a
// reason.
type exception struct {
	field  string // of the event, in words
	theirs string // what kube-apiserver has there, in words
	ours   string // what the proxy has there
	why    string

	excuses func(p *pair, d difference) bool
}

// exceptions are all of them. Each must be as narrow as it can be, and must be needed.
func exceptions() []*exception {
	return []*exception{}
}

package policy

import "sync/atomic"

// A Live is the policy in force: it can be exchanged while requests are matched. Each
// request is matched by one policy as a whole, the old or the new one. It is safe for
// concurrent use.
type Live struct{ matcher atomic.Pointer[Matcher] }

// NewLive puts m in force.
func NewLive(m *Matcher) *Live {
	l := &Live{}
	l.matcher.Store(m)
	return l
}

// Match returns the decision of the policy in force.
func (l *Live) Match(r *Request) Decision { return l.matcher.Load().Match(r) }

// Load puts the policy in data in force if kube-apiserver of release k would take it.
// If not, the old one stays, and the error is a *Rejection.
func (l *Live) Load(data []byte, k Kubernetes) (*Document, error) {
	d, err := Load(data, k)
	if err != nil {
		return nil, err
	}
	l.matcher.Store(d.Policy.Compile())
	return d, nil
}

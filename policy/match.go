package policy

// Matcher answers which decision a request meets. It is immutable and safe for
// concurrent use.
type Matcher struct{}

// Compile prepares p, which must be valid, for matching. Later changes of p do not
// reach the Matcher.
func (p *Policy) Compile() *Matcher { panic("being built") }

// Match returns the decision for r. It allocates nothing.
func (m *Matcher) Match(r *Request) Decision { panic("being built") }

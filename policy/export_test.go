package policy

// Invalid lends validate to tests that stand outside, because what they import imports
// this package.
func (p *Policy) Invalid(k Kubernetes) []Finding { return p.validate(k) }

// Package lint finds what is legal in an audit policy, but wrong: rules that can never
// match, fields that kube-apiserver ignores, secrets written in clear, evidence that is
// lost, and money spent on noise. What kube-apiserver itself says comes first.
//
// Each [Finding] has a place in the file, a message and, where one is safe, a repair:
// an edit of the text that leaves everything else byte for byte. [Checks] lists what is
// looked for; docs/policy-lint.md shows each with a bad and a good example.
//
// A comment silences a finding on its line, or, alone on a line, on the next one:
//
//	# kubetrail:ignore no-catch-all: the proxy before it records the rest
package lint

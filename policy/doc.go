// Package policy is the Kubernetes audit policy: everything one can ask of a file
// before a cluster runs it.
//
// [Load] reads a policy as a given release of kube-apiserver reads it: the same
// verdict, the same error and warning texts, and for each finding the line and
// column, which upstream does not give. [Policy.Compile] makes a [Matcher], which
// answers in a few dozen nanoseconds which [Decision] a [Request] meets, and a [Live]
// holds the one in force while it is exchanged. [ParseRequest] turns a method and a
// URI into what a policy looks at.
//
// What is built on these lies beside: policy/explain tells which rule decides and why
// each earlier one does not, policy/lint finds what is legal but wrong, policy/diff
// compares two policies by meaning, policy/simulate replays recorded events,
// policy/profile holds policies to start from.
//
// The contract is that of k8s.io/apiserver (pkg/audit/policy, pkg/apis/audit and
// pkg/endpoints/request). It is no dependency, but the judge: test/oracle asks both.
package policy

// Package record writes audit events of requests to an API server as kube-apiserver
// does: the same stages, levels and fields, but without its holes.
//
// [Handler] is a middleware for API servers written in Go; [Failed] records what was
// refused before anybody was known, and [Init] stands before both where something between
// has annotations to add. Handlers inside add what they know by [Annotate],
// [LogRequestObject], [LogRequestPatch], [LogResponseObject] and [LogImpersonatedUser].
// A server that has no objects, such as a proxy, takes bodies from the wire instead.
// Events go to a [Backend]; package record/backend has those of kube-apiserver,
// record/options its flags.
//
// The contract is that of k8s.io/apiserver (pkg/audit, pkg/endpoints/filters), which is
// no dependency, but the judge: test/oracle asks both.
package record

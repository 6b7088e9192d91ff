// Package audit is the Kubernetes audit event: what kube-apiserver writes about
// each request, in the three versions of the audit.k8s.io API and in the older
// one-line text format.
//
// An [Event] holds one event as columns. [Event.Scan] fills them from a line
// without decoding the request and response bodies, which are most of its bytes;
// [Event.AppendColumns] writes a line from them, byte for byte as kube-apiserver
// would; [Event.Exact] tells whether the two agree, that is, whether the columns
// are all that must be kept to give the line back.
//
// The package also holds the dictionary of fields, [Fields]: what names an event's
// members for everything that asks about them.
package audit

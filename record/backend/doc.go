// Package backend has the backends of kube-apiserver's auditing, under their names and
// with their semantics, but for their losses:
//
//   - [Log] writes lines to a [File], which rotates, or to any writer
//   - [Webhook] sends lists of events to the receiver that a kubeconfig names
//   - [Buffered] collects events for one of these, in memory and on disk
//   - [Truncate] bounds the size of an event
//   - [Union] has several backends, [IgnoreErrors] is one that never fails
//
// A chain of them ends in a leaf, a log or a webhook, and shares one [Losses]: whatever
// is dropped anywhere in the chain is counted there, and the leaf writes it into the
// trail as an event of its own, so that the trail says what it misses.
//
// Upstream: k8s.io/apiserver/plugin/pkg/audit.
package backend

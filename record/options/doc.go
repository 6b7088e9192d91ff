// Package options has the --audit-* flags of kube-apiserver v1.36, with its names, types,
// defaults and checks, and makes of them what records: a [record.Config] and the [Runner]
// of what stands behind it.
//
// What kube-apiserver has not: the policy is read again when its file changes, there may
// be several webhooks, each of which may keep on disk what its receiver does not take, and
// what must not stand in a trail in clear can be redacted.
//
// Upstream: options.AuditOptions in k8s.io/apiserver/pkg/server/options.
package options

// Package space explores every request that the constants of one or several audit
// policies can tell apart: exactly, and without sampling.
//
// A policy compares a request with constants only, so in each dimension (verb, API
// group, resource with subresource, namespace, name, path, user, set of groups) the
// values fall into finitely many classes: those that a policy names, and all others,
// of which one stands for the rest. [Split] goes through the dimensions one after
// another, keeps which rules may still match, stops as soon as the first match of
// each policy is settled, and remembers what it found for the same rules before. What
// comes out is a decision diagram whose ends are the labels that the caller gives to
// tuples of deciding rules.
//
// Requests that no method and URI lead to are left out: a get without a name, a
// resource verb that is no verb of the API, a constant with a slash. Every set of groups
// counts, also one that kube-apiserver never gives: it puts all who log in into
// system:authenticated.
package space

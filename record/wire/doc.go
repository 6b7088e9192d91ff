// Package wire reads the bodies of the Kubernetes API as they pass over the network, for
// a recorder without objects. [JSON] turns a whole body into the JSON that kube-apiserver
// would record of it. [Object] and [Status] look at a body while it passes, and keep no
// more of it than the few names that an event has at every level.
//
// Bodies come from whoever can send a request. What they can cost is bounded by their
// size, and what cannot be read is an error, never a guess.
package wire

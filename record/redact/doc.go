// Package redact takes out of an event what must not stand in a trail in clear, before
// the event is encoded: the data of Secrets, tokens in bodies and URIs, copies of objects
// in annotations, the values of environment variables, and whatever a path names.
//
// What is taken out is replaced by "hmac:KEYID:HASH", a keyed hash, so that equal values
// stay equal: whoever has the key can ask where a value was used, and whoever has not
// cannot guess it. See [Redactor.Hash].
package redact

// Package history tells the life of one object: the versions that it had, what changed
// from one to the next, who changed it, and how sure all that is.
package history

// Package tally counts the requests in a trail, and what many of them have in common:
// each request once, in bounded memory, with the events that the counts are made of.
package tally

// Package simulate replays recorded audit events under another policy: what a
// candidate would have kept of them, at how many bytes, and what no replay can know.
//
// A [Simulation] takes events one at a time, in any order and any number, and keeps
// a bounded amount of state. [Request] rebuilds from one event what a policy looks at.
package simulate

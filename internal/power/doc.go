// Package power answers how power over a cluster was used, refused and given: who
// reached into containers (Sessions), who read or wrote an object (Access), who was
// refused what, and what would allow it (Denied), and who gave power to whom, and what
// was done with it (Grants).
//
// An answer asks the trail by a question in KQL and looks at what comes back once, or
// twice where the present is compared with the past. Its memory is bounded: what is
// left out is counted, and said.
package power

// Package query is the question language: KQL, the Kibana Query Language, as the
// people who ask about clusters already know it, and the tree it is read into.
//
//	user:jai and verb:(delete or patch) and not ns:kube-*
//	code >= 400 and requestObject.spec.containers:{ image:nginx* and securityContext.privileged:true }
//
// # Language
//
// and, or, not (in any case; not binds closest, then and, then or), parentheses,
// field:value, field:(a or b), field:(a and not b), field:*, the ranges < <= > >=,
// field:{ … } where one object of an array must pass the whole test, and bare text.
// A * outside quotes stands for any characters, in values and in field names. A
// backslash takes the meaning from \ ( ) : < > " * { } and from and, or, not; \t \r
// \n and \uXXXX are characters. The empty question and * match everything.
//
// Where we go beyond Kibana: a value may hold colons (user:system:node:*), since
// half of all Kubernetes names do; not may be repeated; blanks around and, or may be
// missing beside parentheses; a key may be quoted inside a field name.
//
// # What matches
//
//   - Keyword, List, Map and Object values compare whole and case-sensitively, as
//     Kibana's keyword fields. Several words without quotes are one value, blanks
//     included. A number in a body also equals its other spellings: 3, 3.0.
//   - Prose (message, reason) compares words, in any case, as Kibana's text fields.
//     Words in quotes must stand there in that order, punctuation included, and
//     begin and end where words do; words without quotes are alternatives, as in
//     Kibana. A * stands for anything, also over blanks: can*list.
//   - Bare text is a case-sensitive piece of any value, or of the JSON of bodies,
//     annotations and other maps: names of members are found too. Neither the names
//     of the event's own members nor times, numbers, cluster or source are looked
//     at: they have fields. Several words without quotes are alternatives.
//   - A range compares numbers with numbers, times with times, anything else byte
//     by byte. A time may be cut short: <= "2026-11-20" includes that day, in UTC.
//   - sourceIPs understands networks: ip:10.0.0.0/8.
//   - A field that is absent, or null, matches nothing; so not user:x holds where
//     there is no user. field:* asks whether it is there. An array matches if any
//     element does.
//
// Questions about now belong to --since and --until: this package has no clock.
package query

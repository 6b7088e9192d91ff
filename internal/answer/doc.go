// Package answer answers the questions that people ask of an audit trail, each as a
// report made of events: what somebody did, what changed, what loads the API server,
// who may get at what.
//
// An answer asks the trail by a question in KQL and looks at what comes back once. Its
// memory is bounded: what is left out of it is counted, and said.
package answer

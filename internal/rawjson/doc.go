// Package rawjson puts the bodies of requests and answers into events: each is checked,
// stripped of space and made safe for HTML in one pass over its bytes, as encoding/json
// does with a json.RawMessage, which is what k8s.io/apimachinery's runtime.Unknown is to
// it. What passed can stand in an event as it is, so that an event which cannot be
// encoded does not come about.
package rawjson

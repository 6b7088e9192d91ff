package explain_test

import (
	"fmt"

	"kubetrail/policy"
	"kubetrail/policy/explain"
)

const secretsAside = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: ["RequestReceived"]
rules:
  - level: Metadata
    resources:
      - group: ""
        resources: ["secrets"]
  - level: Request
    verbs: ["create", "update"]
  - level: Metadata
`

// Why was a request recorded as it was?
func Example() {
	doc, err := policy.Load([]byte(secretsAside), policy.Newest)
	if err != nil {
		fmt.Println(err)
		return
	}
	request := policy.Request{Authenticated: true, User: "alice"}
	if request.RequestInfo, err = policy.ParseRequest("GET", "/api/v1/namespaces/shop/pods"); err != nil {
		fmt.Println(err)
		return
	}
	line := func(rule int) int { return doc.Position(fmt.Sprintf("rules[%d]", rule)).Line }
	words := explain.Request(doc.Policy, &request).Words(policy.English, line)
	for _, miss := range words.Misses {
		fmt.Println(miss)
	}
	fmt.Println(words.Decision)
	// Output:
	// rules[0] (line 5) asks for "secrets" of the core group, not "pods".
	// rules[1] (line 9) asks for verb "create" or "update", not "list".
	// rules[2] (line 11) has no conditions and matches every request: level Metadata.
}

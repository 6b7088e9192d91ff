package policy_test

import (
	"errors"
	"fmt"

	"kubetrail/policy"
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

// What does a policy record of a request? Compile once, match as often as you like.
func Example() {
	doc, err := policy.Load([]byte(secretsAside), policy.Newest)
	if err != nil {
		fmt.Println(err)
		return
	}
	info, err := policy.ParseRequest("POST", "/api/v1/namespaces/shop/pods?dryRun=All")
	if err != nil {
		fmt.Println(err)
		return
	}
	request := policy.Request{
		Authenticated: true,
		User:          "alice",
		Groups:        []string{"dev", "system:authenticated"},
		RequestInfo:   info,
	}
	decision := doc.Policy.Compile().Match(&request)
	fmt.Println(info.Verb, info.Resource, "in", info.Namespace)
	fmt.Println(decision.Level, "by rule", decision.Rule, "without", decision.OmitStages)
	// Output:
	// create pods in shop
	// Request by rule 1 without [RequestReceived]
}

// A policy that does not load says where it is wrong.
func ExampleLoad() {
	_, err := policy.Load([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n  - level: metadata\n"), 36)
	if r, ok := errors.AsType[*policy.Rejection](err); ok {
		fmt.Println("line", r.Findings[0].Line, "column", r.Findings[0].Column)
		fmt.Println(r.Text)
	}
	// Output:
	// line 4 column 12
	// rules[0].level: Unsupported value: "metadata": supported values: "None", "Metadata", "Request", "RequestResponse"
}

// A field that kube-apiserver does not know is ignored, with a warning. Here the rule
// was meant for one namespace and now drops everything.
func ExampleDocument() {
	doc, err := policy.Load([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n  - level: None\n    namespace: kube-system\n"), 36)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, w := range doc.Warnings {
		fmt.Printf("%d:%d: %s\n", w.Line, w.Column, w.Text)
	}
	// Output:
	// 5:5: Audit policy contains errors, falling back to lenient decoding: strict decoding error: unknown field "rules[0].namespace"
}

// A Live policy is exchanged while requests are matched; a bad one changes nothing.
func ExampleLive() {
	doc, err := policy.Load([]byte(secretsAside), policy.Newest)
	if err != nil {
		fmt.Println(err)
		return
	}
	live := policy.NewLive(doc.Policy.Compile())
	request := policy.Request{Authenticated: true, User: "alice", RequestInfo: policy.RequestInfo{
		IsResourceRequest: true, Verb: "get", Resource: "pods", Namespace: "shop", Name: "web"}}

	_, err = live.Load([]byte("rules: []"), policy.Newest)
	fmt.Println(err)
	fmt.Println(live.Match(&request).Level)
	// Output:
	// unknown group version field audit.k8s.io/__internal, Kind=Policy in policy
	// Metadata
}

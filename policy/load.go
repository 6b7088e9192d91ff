package policy

import (
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Kubernetes is a minor release of Kubernetes 1, such as 36 for 1.36.
type Kubernetes int

// The releases whose kube-apiserver judged this package.
const (
	Oldest Kubernetes = 23
	Newest Kubernetes = 37
)

// ParseKubernetes reads "1.36", "v1.36.3" or "1.36.3".
func ParseKubernetes(text string) (Kubernetes, error) {
	parts := strings.Split(strings.TrimPrefix(text, "v"), ".")
	if len(parts) != 2 && len(parts) != 3 || parts[0] != "1" {
		return 0, fmt.Errorf("%q is no release of Kubernetes such as 1.36", text)
	}
	for _, part := range parts {
		if _, err := strconv.ParseUint(part, 10, 16); err != nil {
			return 0, fmt.Errorf("%q is no release of Kubernetes such as 1.36", text)
		}
	}
	minor, _ := strconv.Atoi(parts[1])
	k := Kubernetes(minor)
	if k < Oldest || k > Newest {
		return 0, fmt.Errorf("Kubernetes %s is not known here: only %s to %s are", k, Oldest, Newest)
	}
	return k, nil
}

// String is like "1.36".
func (k Kubernetes) String() string { return "1." + strconv.Itoa(int(k)) }

// A Document is a policy that was accepted, with where in its file everything stands.
type Document struct {
	Policy *Policy

	// Version is the apiVersion it was written in.
	Version string

	// Warnings are what kube-apiserver prints on accepting it, in its words.
	Warnings []Finding

	// Notes are what we add: that the version is one this release no longer reads.
	Notes []Finding

	root *node // nil where the places are unknown
}

// Rejection is why kube-apiserver would not start with a policy. Error returns
// upstream's whole text, without the "loading audit policy file: " before it and the
// ": from file" after it.
type Rejection struct {
	Text     string
	Findings []Finding // one for each error in Text, with its place
	Warnings []Finding // printed before it was rejected
}

func (r *Rejection) Error() string { return r.Text }

// Load reads a policy exactly as kube-apiserver of release k does. The error is a
// *Rejection.
func Load(data []byte, k Kubernetes) (*Document, error) {
	doc, err := LoadAny(data, k)
	if err == nil && doc.Version != "audit.k8s.io/v1" && k > 23 {
		return nil, &Rejection{Text: fmt.Sprintf("failed decoding: no kind %q is registered for version %q in scheme %q", "Policy", doc.Version, "pkg/runtime/scheme.go:111")}
	}
	return doc, err
}

// LoadAny is Load, but takes a v1beta1 or v1alpha1 policy on every release, with a
// note where kube-apiserver of release k would not.
func LoadAny(data []byte, k Kubernetes) (*Document, error) {
	asJSON, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil, &Rejection{Text: "failed decoding: " + err.Error()}
	}
	p := &Policy{}
	strict, err := json.UnmarshalStrict(asJSON, p)
	if err != nil {
		return nil, &Rejection{Text: "failed decoding: " + err.Error()}
	}
	doc := &Document{Policy: p, Version: p.APIVersion, root: places(data)}
	switch {
	case p.APIVersion == "":
		return nil, &Rejection{Text: "unknown group version field audit.k8s.io/__internal, Kind=Policy in policy"}
	case p.Kind != "Policy" && p.Kind != "":
		return nil, &Rejection{Text: fmt.Sprintf("failed decoding: no kind %q is registered for version %q in scheme %q", p.Kind, p.APIVersion, "pkg/runtime/scheme.go:111")}
	}
	p.Kind, p.APIVersion = "Policy", "audit.k8s.io/v1"
	if len(strict) > 0 {
		var texts []string
		for _, e := range strict {
			texts = append(texts, e.Error())
		}
		doc.Warnings = []Finding{{Text: "Audit policy contains errors, falling back to lenient decoding: strict decoding error: " + strings.Join(texts, ", ")}}
	}
	if len(p.Rules) == 0 {
		return nil, &Rejection{Text: "loaded illegal policy with 0 rules"}
	}
	return doc, nil
}

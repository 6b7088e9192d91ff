package policy

import (
	"fmt"
	"strconv"
	"strings"

	"kubetrail/internal/place"
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

	// Strict are the faults behind the warning that strict decoding failed, one by
	// one: unknown members and those given twice. They are told for releases that do
	// not decode strictly, too.
	Strict []Finding

	// Notes are what we add: that the version is one this release no longer reads.
	Notes []Finding

	file *place.File
}

// Rejection is why kube-apiserver would not start with a policy. Error returns
// upstream's whole text, without the "loading audit policy file: " before it and the
// ": from file" after it.
type Rejection struct {
	Text     string
	Findings []Finding // one for each error in Text, with its place
	Warnings []Finding // printed before it was rejected
	Strict   []Finding // as in a Document
}

func (r *Rejection) Error() string { return r.Text }

// Load reads a policy exactly as kube-apiserver of release k does. The error is a
// *Rejection. Upstream: policy.LoadPolicyFromBytes.
//
// Its cost is that of kube-apiserver: aliases are refused once they make up nearly all
// of what is read, and nesting beyond 10,000 levels. Places are told only in files of
// up to 4 MiB.
func Load(data []byte, k Kubernetes) (*Document, error) {
	return load(data, scheme{release: k, old: k <= lastOld})
}

// LoadAny is Load, but takes a v1beta1 or v1alpha1 policy on every release, with a
// note where kube-apiserver of release k would not.
func LoadAny(data []byte, k Kubernetes) (*Document, error) {
	return load(data, scheme{release: k, old: true})
}

// The last release that reads v1beta1 and v1alpha1, and the first one that decodes
// strictly before it decodes at all.
const (
	lastOld     Kubernetes = 23
	firstStrict Kubernetes = 26
)

func load(data []byte, s scheme) (*Document, error) {
	src := &source{data, place.New(data)}
	d, err := s.decode(data)
	if err != nil {
		text := "failed decoding: " + err.Error()
		return nil, &Rejection{Text: text, Findings: []Finding{src.failure(text, err)}}
	}
	doc := &Document{Policy: d.policy, Version: d.version.String(), Strict: src.strict(d.strict), file: src.File}
	if len(d.strict) > 0 && s.release >= firstStrict {
		doc.Warnings = append(doc.Warnings, Finding{strictText(d.strict), doc.Strict[0].Path, doc.Strict[0].Position})
	}
	reject := func(text string, findings ...Finding) error {
		return &Rejection{text, src.locate(findings), doc.Warnings, doc.Strict}
	}
	if d.policy == nil {
		text := fmt.Sprintf("unknown group version field %s, Kind=Policy in policy", d.version)
		return nil, reject(text, Finding{Text: text, Path: "apiVersion"})
	}
	doc.Policy.Kind, doc.Policy.APIVersion = "Policy", auditGroup+"/v1"
	if d.version.version != "v1" {
		old := Finding{Path: "apiVersion", Position: doc.Position("apiVersion")}
		if s.release <= lastOld {
			old.Text = fmt.Sprintf("%q is deprecated and will be removed in a future release, use %q instead", d.version.String(), auditGroup+"/v1")
			doc.Warnings = append(doc.Warnings, old)
		} else {
			old.Text = fmt.Sprintf("Kubernetes %s does not read %s, only up to %s did: kubetrail policy convert makes it %s/v1", s.release, d.version, lastOld, auditGroup)
			doc.Notes = append(doc.Notes, old)
		}
	}
	if wrong := doc.Policy.validate(s.release); len(wrong) > 0 {
		return nil, reject(aggregate(wrong), wrong...)
	}
	if len(doc.Policy.Rules) == 0 {
		text := "loaded illegal policy with 0 rules"
		return nil, reject(text, Finding{Text: text, Path: "rules"})
	}
	return doc, nil
}

// strictText is what kube-apiserver warns of where it went on without strictness.
func strictText(faults []error) string {
	texts := make([]string, len(faults))
	for i, f := range faults {
		texts[i] = f.Error()
	}
	return "Audit policy contains errors, falling back to lenient decoding: strict decoding error: " + strings.Join(texts, ", ")
}

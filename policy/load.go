package policy

// Kubernetes is a minor release of Kubernetes 1, such as 36 for 1.36.
type Kubernetes int

// Newest is the newest release whose kube-apiserver judged this package.
const Newest Kubernetes = 37

// ParseKubernetes reads "1.36", "v1.36.3" or "1.36.3".
func ParseKubernetes(text string) (Kubernetes, error) { panic("being built") }

// String is like "1.36".
func (k Kubernetes) String() string { panic("being built") }

// A Document is a policy that was accepted, with where in its file everything stands.
type Document struct {
	Policy *Policy

	// Version is the apiVersion it was written in.
	Version string

	// Warnings are what kube-apiserver prints on accepting it, in its words.
	Warnings []Finding

	// Notes are what we add: that the version is one this release no longer reads.
	Notes []Finding
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
func Load(data []byte, k Kubernetes) (*Document, error) { panic("being built") }

// LoadAny is Load, but takes a v1beta1 or v1alpha1 policy on every release, with a
// note where kube-apiserver of release k would not.
func LoadAny(data []byte, k Kubernetes) (*Document, error) { panic("being built") }

// Position tells where the value at path stands, path being like
// "rules[0].resources[1].group"; for a member that is absent, where its parent does.
func (d *Document) Position(path string) Position { panic("being built") }

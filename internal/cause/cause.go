// Package cause tells through whom something happened: the chain from a person, a
// service account, a node or a controller of its own accord, through controllers, to
// the object that was changed in the end.
//
// No event of an audit log says what it was caused by. The chain is found from what is
// known of Kubernetes (which controller reacts to what) and from evidence in events:
// uids in owner references, generations, pod templates, numbers of replicas, names and
// times. Every link shows its evidence. Where the evidence allows two answers with
// different people, the answer is unknown: blaming the wrong one is worse.
package cause

import (
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/subject"
)

// Strength is how sure a link or a chain is.
type Strength string

const (
	// Certain: uids or contents that the API server itself recorded leave one answer.
	Certain Strength = "certain"
	// Likely: names, times and the way controllers work leave one answer.
	Likely Strength = "likely"
	// Unknown: evidence is missing, or allows two answers.
	Unknown Strength = "unknown"
)

// weaker returns the weaker of two strengths.
func weaker(a, b Strength) Strength {
	if a == Unknown || b == Unknown {
		return Unknown
	}
	if a == Likely || b == Likely {
		return Likely
	}
	return Certain
}

// Actor is who did something.
type Actor struct {
	User string `json:"user"`         // as authenticated: the impersonator where somebody was impersonated
	As   string `json:"as,omitempty"` // who was impersonated

	// Kind is that of subject.Kind: person, serviceAccount, node, controlPlane.
	Kind string `json:"kind"`

	// Name is a short name: alice, ci/deployer, replicaset-controller, node-1.
	Name string `json:"name"`

	// OwnAccord tells of a controller or node that acted on a schedule, a metric or a
	// state of the cluster, and not because of a request.
	OwnAccord bool `json:"ownAccord,omitempty"`
}

// Object is what was written to.
type Object struct {
	Group       string `json:"group,omitempty"`
	Resource    string `json:"resource"`
	Subresource string `json:"subresource,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
	Name        string `json:"name,omitempty"` // empty for collections, and where the log does not tell
	UID         string `json:"uid,omitempty"`
}

// Link is one request of a chain.
type Link struct {
	Event  output.EventRef `json:"event"`
	Actor  Actor           `json:"actor"`
	Verb   string          `json:"verb"`
	Object Object          `json:"object"`
	Did    Fact            `json:"did"` // in short: scaled to 5

	// Evidence is what ties it to the link before; empty in the first one.
	Evidence []Fact   `json:"evidence,omitempty"`
	Strength Strength `json:"strength"`
}

// Chain is the way from a root to a consequence.
type Chain struct {
	// Links begin with what the root did and end with the event that was asked about.
	// Where the root is unknown they begin with the first request that is known.
	Links []Link `json:"links"`

	// Root is who it comes from, nil where that is unknown.
	Root *Actor `json:"root"`

	Strength Strength `json:"strength"`

	// Why says why the root is unknown, or that it is so of its own accord.
	Why *Fact `json:"why,omitempty"`

	// Competing are the actors between whom the evidence does not decide.
	Competing []Actor `json:"competing,omitempty"`
}

// Direct reports whether the event was the root's own request.
func (c *Chain) Direct() bool { return len(c.Links) == 1 && c.Root != nil && !c.Root.OwnAccord }

// actorOf returns who sent e, and the name of the controller that it is, if one.
func actorOf(e *audit.Event, intern func([]byte) string) (a Actor, controller string) {
	a.User, a.As = intern(e.Text[audit.Username]), intern(e.Text[audit.ImpersonatedUsername])
	s := subject.Of(a.User)
	a.Kind, a.Name = s.Kind.String(), s.Name
	switch {
	case a.As != "":
		// Who impersonates is the one who acts, even if a controller is impersonated.
		if s.Kind == subject.ServiceAccount {
			a.Name = s.Namespace + "/" + s.Name
		}
		if s.Kind == subject.ControlPlane {
			return a, s.Name
		}
	case s.Kind == subject.ServiceAccount:
		a.Name = s.Namespace + "/" + s.Name
	case s.Kind == subject.Node:
		return a, kubelet
	case s.Kind == subject.ControlPlane:
		agent := string(e.Text[audit.UserAgent])
		if s.Name == manager {
			// Without --use-service-account-credentials all controllers are one user, and
			// say in the user agent which they are.
			name := agent[strings.LastIndexByte(agent, '/')+1:]
			name = name[strings.LastIndexByte(name, ':')+1:]
			if strings.HasPrefix(agent, manager+"/") && subject.Of("system:serviceaccount:kube-system:"+name).Kind == subject.ControlPlane {
				a.Name = intern([]byte(name))
				return a, a.Name
			}
		}
		if s.Namespace != "" && !strings.HasPrefix(agent, manager+"/") && agent != "" {
			return a, "" // the account of a controller, used by another program
		}
		return a, s.Name
	}
	return a, ""
}

const (
	kubelet = "kubelet"
	manager = "kube-controller-manager"
)

// lag is how long after what causes it a controller is expected to react, where nothing
// but time tells; quiet is how long nothing must have happened for what came before to
// be over.
const (
	lag   = int64(20 * time.Second / time.Microsecond)
	quiet = int64(3 * time.Second / time.Microsecond)
	close = int64(5 * time.Second / time.Microsecond)
)

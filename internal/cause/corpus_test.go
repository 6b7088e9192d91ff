package cause_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/cause"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/trail/file"
)

// corpora are the logs whose story is known: one with bodies, one without.
func corpora() []string { return []string{"a-gce-derived", "d-metadata-all"} }

// told has a tracer learn a corpus, and calls yield with the chain of every change.
func told(t *testing.T, name string, yield func(e *audit.Event, c *cause.Chain)) {
	t.Helper()
	lines := corpustest.Events(t, name)
	tracer := cause.New(cause.Config{})
	var e audit.Event
	each := func(f func()) {
		for i, line := range lines {
			if err := e.Scan(line); err != nil {
				t.Fatal(err)
			}
			e.Seq = uint64(i)
			f()
		}
	}
	each(func() { tracer.Note(&e) })
	each(func() {
		if c := tracer.Trace(&e); len(c.Links) > 0 {
			yield(&e, &c)
		}
	})
}

// TestLoad judges thousands of consequences: in the namespace load people made and
// deleted Deployments that begin with their names, five at a time.
func TestLoad(t *testing.T) {
	for _, name := range corpora() {
		t.Run(name, func(t *testing.T) {
			all, given := 0, 0
			told(t, name, func(e *audit.Event, c *cause.Chain) {
				last := c.Links[len(c.Links)-1]
				owner, _, ok := strings.Cut(last.Object.Name, "-")
				if last.Object.Namespace != "load" || c.Direct() || !ok || owner == "kube" || c.Why != nil && c.Why.Kind == "nodeState" {
					return
				}
				all++
				if c.Root == nil {
					return
				}
				given++
				if owner == "wangfang" {
					owner = "王芳"
				}
				if c.Root.User != owner {
					t.Errorf("%s: not %s", c.Words(false), owner)
				}
			})
			if given < all*85/100 || all < 1000 {
				t.Errorf("a root for %d of %d", given, all)
			}
		})
	}
}

// TestStory looks at what the planted commands led to.
func TestStory(t *testing.T) {
	for _, name := range corpora() {
		t.Run(name, func(t *testing.T) {
			found := map[string]int{}
			told(t, name, func(e *audit.Event, c *cause.Chain) {
				last := c.Links[len(c.Links)-1]
				if c.Direct() || last.Object.Resource == "events" || last.Actor.Name == "kwok-controller" {
					return
				}
				found[fmt.Sprintf("%s %s %s/%s", last.Actor.Name, last.Verb, last.Object.Resource, last.Object.Namespace)]++
				want := ""
				switch o := last.Object; {
				case strings.HasPrefix(o.Name, "nginx-old-") && last.Verb == "delete":
					want = "jai"
				case o.Namespace == "sandbox" && last.Actor.Name == "namespace-controller", o.Name == "sandbox" && o.Subresource == "finalize":
					want = "kubernetes-admin"
				case o.Namespace == "payments" && last.Verb == "delete" && last.Actor.Name == "generic-garbage-collector":
					want = "bob"
				case strings.HasPrefix(o.Name, "nine-") && o.Resource == "pods" && last.Verb == "create", strings.HasPrefix(o.Name, "six-") && o.Resource == "pods":
					want = "jai"
				default:
					return
				}
				if c.Root == nil || c.Root.User != want {
					t.Errorf("%s: not %s", c.Words(false), want)
				}
			})
			for _, kind := range []string{"generic-garbage-collector delete pods/payments", "namespace-controller deletecollection pods/sandbox", "namespace-controller update namespaces/"} {
				if found[kind] == 0 {
					t.Errorf("nothing was told of: %s", kind)
				}
			}
		})
	}
}

// open makes a trail of a corpus.
func open(t *testing.T, name string) *file.Trail {
	t.Helper()
	var text bytes.Buffer
	for _, line := range corpustest.Events(t, name) {
		text.Write(line)
		text.WriteByte('\n')
	}
	return file.Open(file.Config{Inputs: []file.Input{{Name: name, Each: func(visit func(string, io.Reader) error, _ func(*audit.Damage)) error {
		return visit(name, bytes.NewReader(text.Bytes()))
	}}}})
}

// TestOf compares what a trail is asked for with what a tracer knows that has seen it all.
func TestOf(t *testing.T) {
	for _, name := range corpora() {
		t.Run(name, func(t *testing.T) {
			r := open(t, name)
			n, given := 0, 0
			told(t, name, func(e *audit.Event, c *cause.Chain) {
				last := c.Links[len(c.Links)-1]
				if n++; n%197 != 0 || c.Direct() || last.Object.Resource == "events" {
					return
				}
				got, err := cause.Of(context.Background(), r, e)
				if err != nil {
					t.Fatal(err)
				}
				if c.Root != nil {
					given++
				}
				if c.Root != nil && (got.Root == nil || *got.Root != *c.Root) {
					t.Errorf("Of: %s\nTrace: %s", got.Words(false), c.Words(false))
				}
			})
			if given < 4 {
				t.Errorf("only %d events were asked about", given)
			}
		})
	}
}

// TestTeller compares a teller, which reads along, with a tracer that has seen it all.
func TestTeller(t *testing.T) {
	for _, name := range corpora() {
		t.Run(name, func(t *testing.T) {
			teller := cause.NewTeller(open(t, name))
			given, other := 0, 0
			told(t, name, func(e *audit.Event, c *cause.Chain) {
				got, err := teller.Tell(context.Background(), e)
				if err != nil {
					t.Fatal(err)
				}
				if c.Root == nil || c.Direct() {
					return
				}
				if given++; got.Root == nil || *got.Root != *c.Root {
					if other++; other < 10 {
						t.Logf("Tell: %s\nTrace: %s", got.Words(false), c.Words(false))
					}
				}
			})
			if other*100 > given || given < 1000 {
				t.Errorf("%d of %d chains have another root", other, given)
			}
		})
	}
}

// TestRemoved looks at what deletions of many removed, with bodies and without.
func TestRemoved(t *testing.T) {
	for _, name := range corpora() {
		t.Run(name, func(t *testing.T) {
			r := open(t, name)
			seen := map[string]bool{}
			var e audit.Event
			for i, line := range corpustest.Events(t, name) {
				if err := e.Scan(line); err != nil {
					t.Fatal(err)
				}
				e.Seq = uint64(i)
				what := string(e.Text[audit.Username]) + " " + string(e.Text[audit.Verb]) + " " + string(e.Text[audit.Resource]) + " " + string(e.Text[audit.Subresource])
				if string(e.Text[audit.Stage]) != "ResponseComplete" || e.Code > 299 || seen[what] {
					continue
				}
				switch what {
				case "kubernetes-admin delete namespaces ", "bob create pods eviction":
				default:
					continue
				}
				got, err := cause.Removed(context.Background(), r, &e)
				if err != nil {
					t.Fatal(err)
				}
				seen[what] = true
				judgeRemoval(t, what, &got)
			}
			if len(seen) < 1 {
				t.Errorf("only %v happened", seen)
			}
		})
	}
}

func judgeRemoval(t *testing.T, what string, got *cause.Removal) {
	t.Helper()
	count := map[string]cause.Count{}
	for _, c := range got.Counts {
		count[c.Resource] = c
	}
	names := map[string]bool{}
	for _, g := range got.Items {
		names[g.Object.Name] = true
	}
	switch what {
	case "kubernetes-admin delete namespaces ":
		if got.Kind != "namespace" || got.Over == nil || !names["default"] || !names["kube-root-ca.crt"] {
			t.Errorf("%s: %s, over %v, %v", what, got.Kind, got.Over, got.Counts)
		}
	case "bob create pods eviction":
		if got.Kind != "drain" || count["pods"].Certain == 0 {
			t.Errorf("%s: %v", what, got.Counts)
		}
	}
}

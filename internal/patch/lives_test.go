package patch

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"testing"

	"kubetrail/internal/stored"
	"kubetrail/internal/tree"
)

// life is an object that a real kube-apiserver v1.36.3 had, and patches that it took:
// chosen from what the test of histories in test/e2e records, one object of each kind.
type life struct {
	Group, Version, Resource, Namespace string
	First                               json.RawMessage
	Steps                               []struct {
		Subresource, URI, Agent string
		Patch, After            json.RawMessage
	}
}

func lives(t testing.TB) []life {
	t.Helper()
	f, err := os.Open("testdata/lives.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<24)
	var all []life
	for lines.Scan() {
		var l life
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func decoded(t testing.TB, text []byte) map[string]any {
	t.Helper()
	v, err := tree.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return tree.Object(v)
}

// request is step i of a life.
func (l *life) request(i int) *Request {
	s := l.Steps[i]
	return &Request{Verb: "patch", Group: l.Group, Version: l.Version, Resource: l.Resource, Namespace: l.Namespace,
		Subresource: s.Subresource, URI: s.URI, UserAgent: s.Agent, Body: s.Patch}
}

// TestLives rebuilds objects from patches alone: what is called exact must be what the API
// server had, but for what Missing says, and nine in ten must be.
func TestLives(t *testing.T) {
	exact, all := 0, 0
	for _, l := range lives(t) {
		v := Recorded(decoded(t, l.First))
		for i := range l.Steps {
			v = Rebuild(v, l.request(i))
			all++
			if v.Sure != Exact {
				if v.Why.En == "" || v.Why.Zh == "" {
					t.Errorf("%s, step %d: %s, and no reason", l.Resource, i, v.Sure)
				}
				continue
			}
			exact++
			is := decoded(t, l.Steps[i].After)
			missing := map[string]bool{}
			for _, path := range stored.Missing(v.Object) {
				missing[path] = true
			}
			for _, c := range tree.Changes(is, v.Object) {
				if c.Op != tree.Removed || !missing[c.Path] {
					t.Errorf("%s, step %d, read as %s:\n%s\n%+v", l.Resource, i, v.Kind, l.Steps[i].Patch, c)
				}
			}
		}
	}
	if all < 300 || exact*10 < all*9 {
		t.Errorf("%d of %d versions are exact", exact, all)
	}
	t.Logf("%d of %d versions are exact", exact, all)
}

// TestStoredIsStored checks that what an API server stored is stored as it is: every
// field, default and empty value of every kind is as it writes it.
func TestStoredIsStored(t *testing.T) {
	for _, l := range lives(t) {
		for i, s := range l.Steps {
			o := decoded(t, s.After)
			kind := tree.TypeOf(o)
			if kind == nil {
				continue
			}
			got, err := (&stored.Storer{}).Object(nil, o, kind)
			if err != nil {
				t.Errorf("%s, step %d: %v", l.Resource, i, err)
				continue
			}
			for _, c := range tree.Changes(o, got) {
				t.Errorf("%s, step %d: %+v", l.Resource, i, c)
			}
		}
	}
}

// TestNothingIsChanged checks that Rebuild leaves what it is given as it is.
func TestNothingIsChanged(t *testing.T) {
	for _, l := range lives(t) {
		v := Recorded(decoded(t, l.First))
		for i := range l.Steps {
			before := tree.Compact(v.Object)
			next := Rebuild(v, l.request(i))
			if tree.Compact(v.Object) != before {
				t.Fatalf("%s, step %d changed the version before", l.Resource, i)
			}
			if v = next; v.Object == nil {
				break
			}
		}
	}
}

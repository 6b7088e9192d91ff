package oracle

import (
	"math/rand/v2"
	"testing"

	"kubetrail/policy"
	"kubetrail/policy/profile"
)

// TestProfiles asks upstream what the profiles say about random requests, of users
// that they name and of others.
func TestProfiles(t *testing.T) {
	w := newWorld(rand.New(rand.NewPCG(36, 5)))
	for _, p := range profile.All() {
		text := p.YAML("zh")
		j := newJudge(t, text)
		doc, err := policy.Load(text, 36)
		if err != nil {
			t.Fatal(err)
		}
		m, decided := doc.Policy.Compile(), map[int]bool{}
		for range 20_000 {
			c := w.call()
			named := doc.Policy.Rules[w.IntN(len(doc.Policy.Rules))]
			if len(named.Users) > 0 && c.Authenticated {
				c.User = w.oneOf(named.Users...)
			}
			if len(named.UserGroups) > 0 && c.Authenticated {
				c.Groups = append(c.Groups, w.oneOf(named.UserGroups...))
			}
			a, err := attributes(t, c)
			if err != nil {
				continue
			}
			q, err := resolved(c)
			if err != nil {
				t.Fatal(err)
			}
			got, want := m.Match(&q), j.rules.EvaluatePolicyRule(a)
			if !same(got, want) {
				t.Fatalf("%s: %+v: upstream %+v, we %+v", p.Name, c, want, got)
			}
			decided[got.Rule] = true
		}
		if len(decided) < len(doc.Policy.Rules)-3 {
			t.Errorf("%s: of %d rules only %d decided", p.Name, len(doc.Policy.Rules), len(decided))
		}
	}
}

package history

import (
	"context"
	"errors"
	"hash/maphash"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/recorded"
	"kubetrail/policy"
)

// Writes to subresources change an object, too: where a rule hides them nobody can be
// said not to have written to it.
func TestHiddenWrites(t *testing.T) {
	for _, c := range []struct {
		object, namespace, rule string
		hidden                  bool
	}{
		{"deploy/web", "shop", `resources: [{group: apps, resources: [deployments/scale]}]`, true},
		{"pod/web", "shop", `resources: [{group: "", resources: [pods/eviction]}]`, true},
		{"pod/web", "shop", `resources: [{group: "", resources: [pods/exec, pods/log]}]`, false},
		{"ns/shop", "", `namespaces: [shop]`, true},
		{"widget/w", "shop", `resources: [{group: example.com}]`, true},
		{"widget.example.com/w", "shop", `resources: [{group: example.com, resources: [widgets/status]}]`, true},
		{"widget.example.com/w", "shop", `resources: [{group: example.org}]`, false},
	} {
		target, err := ParseTarget(c.object, c.namespace, "")
		if err != nil {
			t.Fatal(err)
		}
		doc, err := policy.Load([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: None, "+c.rule+"}\n- {level: Metadata}\n"), policy.Newest)
		if err != nil {
			t.Fatal(err)
		}
		if v := recorded.By(doc, target.writes()...); v.All() == c.hidden {
			t.Errorf("%s, None for %s: all recorded is %t", c.object, c.rule, v.All())
		}
	}
}

// Ctrl-C ends a history between two versions: to work one out may take long.
func TestInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	r := &reader{seed: maphash.MakeSeed(), kept: []*audit.Event{{Code: 1}, {Code: 2}, {Code: 3}}}
	n := 0
	err := r.each(ctx, func(*audit.Event) error {
		n++
		stop()
		return nil
	})
	if n != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d events, %v", n, err)
	}
}

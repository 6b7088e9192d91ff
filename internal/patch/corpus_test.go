package patch

import (
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/internal/stored"
	"kubetrail/internal/tree"
)

// TestCorpus rebuilds what was created and updated in a real log from the requests, and
// compares it with the answers. Updates are taken whose request says which version they
// replace, and that is known; of patches nothing says so.
func TestCorpus(t *testing.T) {
	versions := map[string]*Version{} // by UID
	exact, all := map[string]int{}, map[string]int{}
	for _, line := range corpustest.Events(t, "a-gce-derived") {
		var e audit.Event
		if err := e.Scan(line); err != nil {
			t.Fatal(err)
		}
		v, err := tree.Decode(e.ResponseObject)
		is := tree.Object(v)
		uid := tree.Text(tree.At(is, "metadata", "uid"))
		if string(e.Text[audit.Stage]) != "ResponseComplete" || e.Code/100 != 2 || err != nil || uid == "" || tree.TypeOf(is) == nil || is["kind"] == "Scale" {
			continue
		}
		before := versions[uid]
		versions[uid] = Recorded(is)
		r := RequestOf(&e)
		switch r.Verb {
		case "create":
			before = nil
		case "update":
			sent, err := tree.Decode(r.Body)
			if err != nil || before == nil || tree.At(sent, "metadata", "resourceVersion") != tree.At(before.Object, "metadata", "resourceVersion") {
				continue
			}
		default:
			continue
		}
		all[r.Verb]++
		got := Rebuild(before, r)
		if got.Sure != Exact {
			continue
		}
		exact[r.Verb]++
		missing := map[string]bool{}
		for _, path := range stored.Missing(got.Object) {
			missing[path] = true
		}
		for _, c := range tree.Changes(is, got.Object) {
			if c.Op != tree.Removed || !missing[c.Path] {
				t.Errorf("%s %s: %+v", r.Verb, r.URI, c)
			}
		}
	}
	// New Pods are what admission makes of them, and half of what is created.
	if exact["create"] < 800 || exact["update"] < 850 || exact["update"]*100 < all["update"]*95 {
		t.Errorf("exact: %v of %v", exact, all)
	}
	t.Logf("exact: %v of %v", exact, all)
}

package history

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/internal/trail"
)

// log is a trail of events in memory.
type log struct {
	events []*audit.Event
	sorted []*audit.Event // by time
}

func (l *log) Search(_ context.Context, q trail.Query, page trail.Page, yield func(*audit.Event) error) error {
	if len(l.sorted) != len(l.events) {
		l.sorted = slices.Clone(l.events)
		slices.SortStableFunc(l.sorted, func(a, b *audit.Event) int { return cmp.Compare(a.Time(), b.Time()) })
	}
	n := 0
	for i := range l.sorted {
		e := l.sorted[i]
		if !page.Oldest {
			e = l.sorted[len(l.sorted)-1-i]
		}
		if q.Since != audit.NoTime && e.Time() < q.Since || q.Until != audit.NoTime && e.Time() >= q.Until || q.Where != nil && !q.Where.Match(e) {
			continue
		}
		if n++; page.Limit > 0 && n > page.Limit {
			break
		}
		x := *e // without what was not asked for
		for c := range audit.Column(audit.NumText) {
			if !page.Columns.Has(c) {
				x.Text[c] = nil
			}
		}
		if !page.Columns.Has(audit.RequestObject) {
			x.RequestObject = nil
		}
		if !page.Columns.Has(audit.ResponseObject) {
			x.ResponseObject = nil
		}
		if err := yield(&x); err != nil {
			return err
		}
	}
	return nil
}

func (l *log) Aggregate(_ context.Context, q trail.Query, by []audit.Ref, _ int) (trail.Groups, error) {
	counts, g := map[string]uint64{}, trail.Groups{}
	for _, e := range l.events {
		if q.Where != nil && !q.Where.Match(e) {
			continue
		}
		key := make([]string, len(by))
		for i, r := range by {
			key[i] = string(r.AppendText(nil, e))
		}
		k, _ := json.Marshal(key)
		counts[string(k)]++
		g.Events++
	}
	for k, n := range counts {
		row := trail.Group{Count: n}
		json.Unmarshal([]byte(k), &row.Key)
		g.Rows = append(g.Rows, row)
	}
	return g, nil
}

func (l *log) Histogram(context.Context, trail.Query, time.Duration) ([]trail.Bucket, error) {
	return nil, errors.New("not asked for")
}

func (l *log) Summary(context.Context) (trail.Summary, error) {
	s := trail.Summary{Events: uint64(len(l.events)), First: audit.NoTime, Last: audit.NoTime}
	for i, e := range l.events {
		if i == 0 {
			s.First = e.Time()
		}
		s.Last = e.Time()
	}
	return s, nil
}

func (l *log) Faults(context.Context, func(trail.Fault) error) error { return nil }

// a scene writes events, a second apart.
type scene struct {
	t testing.TB
	log
}

type m = map[string]any

// add appends a request on deployments default/web by a user. extra are members of the
// event that replace the usual ones.
func (s *scene) add(user, verb string, code int, extra m) *scene {
	s.t.Helper()
	n := len(s.events)
	at := time.Date(2026, 11, 20, 15, 0, n, 0, time.UTC).Format("2006-01-02T15:04:05.000000Z")
	e := m{"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "auditID": fmt.Sprintf("id-%d", n), "stage": "ResponseComplete",
		"requestURI": "/apis/apps/v1/namespaces/default/deployments/web", "verb": verb, "user": m{"username": user}, "userAgent": "kubectl/v1.36.3",
		"objectRef":                m{"resource": "deployments", "namespace": "default", "name": "web", "apiGroup": "apps", "apiVersion": "v1"},
		"responseStatus":           m{"metadata": m{}, "code": code},
		"requestReceivedTimestamp": at, "stageTimestamp": at}
	for k, v := range extra {
		if v == nil {
			delete(e, k)
		} else {
			e[k] = v
		}
	}
	text, err := json.Marshal(e)
	if err != nil {
		s.t.Fatal(err)
	}
	x := &audit.Event{}
	if err := x.Scan(text); err != nil {
		s.t.Fatal(err)
	}
	x.Seq = uint64(n)
	s.events = append(s.events, x)
	return s
}

// web is deployments default/web with an image, replicas and a resourceVersion.
func web(rv, image string, replicas int, meta m) m {
	all := m{"name": "web", "namespace": "default", "uid": "u1", "resourceVersion": rv, "generation": 1, "labels": m{"app": "web"}}
	for k, v := range meta {
		if v == nil {
			delete(all, k)
		} else {
			all[k] = v
		}
	}
	return m{"kind": "Deployment", "apiVersion": "apps/v1", "metadata": all, "spec": m{"replicas": replicas,
		"template": m{"spec": m{"containers": []any{m{"name": "web", "image": image}}}}}}
}

func answer(o m) m { return m{"responseObject": o} }

func (s *scene) story(target string, change func(*Config)) *Story {
	s.t.Helper()
	t, err := ParseTarget(target, "", "")
	if err != nil {
		s.t.Fatal(err)
	}
	c := Config{Target: t, Since: audit.NoTime, Until: audit.NoTime}
	if change != nil {
		change(&c)
	}
	story, err := Find(context.Background(), &s.log, c)
	if err != nil {
		s.t.Fatal(err)
	}
	return story
}

// rows writes rows as "life user verb class certainty: change".
func rows(s *Story) string {
	var b strings.Builder
	for _, r := range s.Rows {
		fmt.Fprintf(&b, "%d %s %s %s %s: %s\n", r.Life, r.actor(), r.verb(), r.Class, cmp.Or(string(r.Certainty), "-"), r.changed(&output.Page{}))
	}
	return b.String()
}

func whole(c *Config) { c.All = true }

func (s *scene) expect(target string, change func(*Config), want string) *Story {
	s.t.Helper()
	story := s.story(target, change)
	want = strings.TrimPrefix(want, "\n")
	if got := rows(story); got != want {
		s.t.Errorf("got\n%swant\n%s", got, want)
	}
	return story
}

func TestLife(t *testing.T) {
	s := &scene{t: t}
	s.add("jai", "create", 201, answer(web("1", "web:1", 2, nil)))
	s.add("jai", "patch", 200, answer(web("2", "web:2", 3, nil)))
	s.add("jai", "patch", 200, answer(web("2", "web:2", 3, nil))) // the same bytes
	s.add("jai", "update", 200, answer(web("2", "web:2", 3, m{"managedFields": []any{m{"manager": "x"}}})))
	s.add("jai", "patch", 200, answer(web("3", "web:2", 3, m{"managedFields": []any{m{"manager": "x"}}})))
	s.add("eve", "delete", 403, m{"responseStatus": m{"code": 403, "message": "no"}})
	s.add("jai", "patch", 200, m{"requestURI": "/x?dryRun=All", "responseObject": web("3", "web:9", 3, nil)})
	s.add("veeru", "delete", 200, m{"responseObject": m{"kind": "Status", "status": "Success"}, "responseStatus": m{"status": "Success", "code": 200}})
	s.add("jai", "create", 201, answer(web("9", "web:3", 1, m{"uid": "u2"})))
	s.expect("deploy/web", whole, `
1 jai create real exact: created: replicas 2; image web:1
1 jai patch real exact: replicas 2 → 3; image web:1 → web:2
1 jai patch no-op exact: nothing
1 jai update no-op exact: nothing
1 jai patch managedFields-only exact: managedFields
1 eve delete refused -: refused: no
1 jai patch dry-run -: dry run: nothing was stored
1 veeru delete real exact: deleted
2 jai create real exact: created: replicas 1; image web:3
`)
	story := s.expect("deploy/web", nil, `
1 jai create real exact: created: replicas 2; image web:1
1 jai patch real exact: replicas 2 → 3; image web:1 → web:2
1 veeru delete real exact: deleted
2 jai create real exact: created: replicas 1; image web:3
`)
	want := map[Class]int{NoChange: 2, ManagedFieldsOnly: 1, Refused: 1, DryRun: 1}
	for c, n := range want {
		if story.Hidden[c] != n {
			t.Errorf("%d of %v are hidden, want %d", story.Hidden[c], c, n)
		}
	}
	if story.Lives != 2 || story.Target.Namespace != "default" {
		t.Errorf("lives %d in %q", story.Lives, story.Target.Namespace)
	}
}

// TestOrder has two API servers whose clocks differ: the versions decide.
func TestOrder(t *testing.T) {
	s := &scene{t: t}
	s.add("jai", "create", 201, answer(web("1", "web:1", 1, nil)))
	s.add("jai", "patch", 200, answer(web("3", "web:1", 3, nil)))
	s.add("veeru", "patch", 200, answer(web("2", "web:1", 2, nil)))
	s.add("veeru", "patch", 200, answer(web("4", "web:1", 4, nil)))
	s.expect("deploy/web", nil, `
1 jai create real exact: created: replicas 1; image web:1
1 veeru patch real exact: replicas 1 → 2
1 jai patch real exact: replicas 2 → 3
1 veeru patch real exact: replicas 3 → 4
`)
}

func TestUnrecorded(t *testing.T) {
	s := &scene{t: t}
	s.add("jai", "create", 201, m{"level": "Metadata"})
	s.add("jai", "patch", 200, m{"level": "Metadata"})
	s.add("veeru", "patch", 200, m{"requestObject": m{"spec": m{"replicas": 5}}, "responseObject": web("7", "web:1", 5, nil)})
	s.add("jai", "patch", 200, m{"level": "Metadata"})
	s.add("veeru", "patch", 200, answer(web("9", "web:2", 6, nil)))
	s.add("eve", "get", 200, answer(web("9", "web:2", 6, nil)))
	s.add("jai", "patch", 200, m{"annotations": m{"audit.k8s.io/truncated": "true"}})
	s.add("eve", "get", 200, answer(web("12", "web:2", 9, nil)))
	s.add("jai", "patch", 200, m{"level": "Metadata"})
	story := s.expect("deploy/web", nil, `
1 jai create real unknown: created
1 jai patch real unknown: not recorded
1 veeru patch real derived: replicas=5
1 jai patch real unknown: not recorded
1 veeru patch real derived: replicas 5 → 6; image web:1 → web:2
1 jai patch real unknown: not recorded
1 eve get unknown derived: replicas 6 → 9
1 jai patch real unknown: not recorded
`)
	for i, want := range []string{"recorded at level Metadata: without bodies", "recorded at level Metadata: without bodies", "what it was before was not recorded", "recorded at level Metadata: without bodies",
		"the changes may be those of 1 write before it, whose content was not recorded", "the bodies were too large and left out (audit.k8s.io/truncated)",
		"this shows what 1 write before it made, whose content was not recorded"} {
		if got := story.Rows[i].Reason; got != want {
			t.Errorf("row %d: %q, want %q", i, got, want)
		}
	}
	r, err := story.Whole(true, false)
	if err != nil {
		t.Fatal(err)
	}
	if text := printed(t, r); !strings.Contains(text, "# unknown: of 1 later write the content was not recorded\n") || !strings.Contains(text, "replicas: 9\n") {
		t.Errorf("the last version:\n%s", text)
	}
}

func printed(t testing.TB, r output.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Print(&output.Page{W: bufio.NewWriter(&b), Headers: true}, "table"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestSubresources has requests whose answer is not the object.
func TestSubresources(t *testing.T) {
	ref := func(sub string) m {
		return m{"resource": "deployments", "namespace": "default", "name": "web", "apiGroup": "apps", "subresource": sub}
	}
	status := web("3", "web:1", 4, m{"generation": 2})
	status["status"] = m{"replicas": 4}
	s := &scene{t: t}
	s.add("jai", "create", 201, answer(web("1", "web:1", 1, nil)))
	s.add("jai", "patch", 200, m{"objectRef": ref("scale"), "responseObject": m{"kind": "Scale", "apiVersion": "autoscaling/v1",
		"metadata": m{"name": "web", "namespace": "default", "uid": "u1", "resourceVersion": "2"}, "spec": m{"replicas": 4}}})
	s.add("system:serviceaccount:kube-system:deployment-controller", "update", 200, m{"objectRef": ref("status"), "responseObject": status})
	s.add("gc", "patch", 200, answer(m{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
		"metadata": m{"name": "web", "namespace": "default", "uid": "u1", "resourceVersion": "4", "labels": m{"app": "shop"}}}))
	s.add("jai", "get", 200, m{"responseObject": m{"kind": "Table"}})
	s.add("jai", "get", 200, answer(web("8", "web:7", 4, nil)))
	item := web("9", "web:8", 4, nil)
	delete(item, "kind")
	delete(item, "apiVersion")
	s.add("jai", "list", 200, m{"objectRef": m{"resource": "deployments", "namespace": "default", "apiGroup": "apps", "apiVersion": "v1"},
		"responseObject": m{"kind": "DeploymentList", "items": []any{web("1", "x:1", 1, m{"name": "other"}), item}}})
	s.expect("deploy/web", whole, `
1 jai create real exact: created: replicas 1; image web:1
1 jai patch/scale real derived: replicas 1 → 4
1 system:serviceaccount:kube-system:deployment-controller update/status status-only derived: +status
1 gc patch real derived: app web → shop
1 jai get unknown derived: app shop → web; image web:1 → web:7; -status
1 jai list unknown derived: image web:7 → web:8
`)
}

func TestDeletion(t *testing.T) {
	s := &scene{t: t}
	s.add("jai", "create", 201, answer(web("1", "web:1", 1, m{"finalizers": []any{"example.com/a"}})))
	s.add("bob", "delete", 200, m{"requestObject": m{"kind": "DeleteOptions", "propagationPolicy": "Foreground"},
		"responseObject": web("2", "web:1", 1, m{"finalizers": []any{"example.com/a", "foregroundDeletion"}, "deletionTimestamp": "2026-11-20T15:00:01Z", "deletionGracePeriodSeconds": 0})})
	s.add("bob", "delete", 200, answer(web("2", "web:1", 1, m{"finalizers": []any{"example.com/a", "foregroundDeletion"}, "deletionTimestamp": "2026-11-20T15:00:01Z", "deletionGracePeriodSeconds": 0})))
	s.add("op", "patch", 200, answer(web("3", "web:1", 1, m{"finalizers": nil, "deletionTimestamp": "2026-11-20T15:00:01Z", "deletionGracePeriodSeconds": 0})))
	s.add("op", "patch", 404, nil)
	story := s.expect("deploy/web", whole, `
1 jai create real exact: created: replicas 1; image web:1
1 bob delete real exact: marked for deletion (Foreground): finalizers example.com/a, foregroundDeletion
1 bob delete no-op exact: deleted again: finalizers example.com/a, foregroundDeletion
1 op patch real exact: removed the last finalizer
1 op patch failed -: failed (404) 
`)
	text := printed(t, story.Report())
	if !strings.Contains(text, "deleted by bob (kubectl) at 2026-11-20T15:00:01Z\ngone at 2026-11-20T15:00:03Z, by op (kubectl): removed the last finalizer\n") {
		t.Error(text)
	}
	if _, err := story.Whole(false, false); !errors.Is(err, ErrGone) {
		t.Errorf("the object after its end: %v", err)
	}
	r, err := story.Whole(true, false)
	if err != nil {
		t.Fatal(err)
	}
	if text := printed(t, r); !strings.Contains(text, "\n# exact\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  labels:\n    app: web\n  name: web\n  namespace: default\nspec:\n") {
		t.Error(text)
	}
}

func TestCollections(t *testing.T) {
	ref := m{"resource": "deployments", "namespace": "default", "apiGroup": "apps"}
	for _, x := range []struct {
		name  string
		extra m
		want  string // "" where it did not hit
	}{
		{"the answer lists it", m{"objectRef": ref, "responseObject": m{"kind": "DeploymentList", "items": []any{web("1", "web:1", 1, nil)}}}, "real exact: deleted with others (deletecollection)"},
		{"the answer lists others", m{"objectRef": ref, "responseObject": m{"kind": "DeploymentList", "items": []any{m{"metadata": m{"name": "x"}}}}}, ""},
		{"all of them", m{"objectRef": ref}, "real derived: deleted with others (deletecollection)"},
		{"by its label", m{"objectRef": ref, "requestURI": "/x?labelSelector=app%3Dweb"}, "real derived: deleted with others (deletecollection)"},
		{"by another label", m{"objectRef": ref, "requestURI": "/x?labelSelector=app%3Dother"}, ""},
		{"by a set of labels", m{"objectRef": ref, "requestURI": "/x?labelSelector=app+in+(web)"}, "real unknown: deletecollection: it may have been deleted with others"},
		{"refused", m{"objectRef": ref, "responseStatus": m{"code": 403}}, ""},
		{"as a dry run", m{"objectRef": ref, "requestObject": m{"dryRun": []any{"All"}}}, ""},
		{"the namespace", m{"objectRef": m{"resource": "namespaces", "namespace": "default", "name": "default"}}, "real exact: the namespace was deleted, and with it all that is in it"},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := &scene{t: t}
			verb, want := "deletecollection", ""
			if x.name == "the namespace" {
				verb = "delete"
			}
			if x.want != "" {
				want = "1 bob " + verb + " " + x.want + "\n"
			}
			s.add("jai", "create", 201, answer(web("1", "web:1", 1, nil)))
			s.add("bob", verb, 200, x.extra)
			s.expect("deploy/web", whole, "1 jai create real exact: created: replicas 1; image web:1\n"+want)
		})
	}
}

// TestLarge has more bodies than are kept: they are read twice, and told in order.
func TestLarge(t *testing.T) {
	s := &scene{t: t}
	s.add("jai", "create", 201, answer(web("1", "web:1", 1, nil)))
	large := strings.Repeat("x", 1<<20)
	want := "1 jai create real exact: created: replicas 1; image web:1\n"
	for i := 2; i <= 36; i++ {
		rv := i
		if i >= 35 {
			rv = 71 - i // the last two are told by a clock that is behind
		}
		s.add("jai", "patch", 200, answer(web(fmt.Sprint(rv), "web:1", rv, m{"annotations": m{"large": large}})))
		if i == 2 {
			want += "1 jai patch real exact: replicas 1 → 2; +large " + strings.Repeat("x", 39) + "…\n"
		} else {
			want += fmt.Sprintf("1 jai patch real exact: replicas %d → %d\n", i-1, i)
		}
	}
	s.expect("deploy/web", nil, want)
}

// TestTwice has an event that came over two ways, and a patch that was sent twice.
func TestTwice(t *testing.T) {
	s := &scene{t: t}
	s.add("jai", "create", 201, answer(web("1", "web:1", 1, nil)))
	s.add("jai", "patch", 200, answer(web("2", "web:1", 2, nil)))
	again := *s.events[1]
	again.Seq = 2
	s.events = append(s.events, &again)
	s.add("jai", "patch", 200, answer(web("2", "web:1", 2, nil)))
	s.expect("deploy/web", whole, `
1 jai create real exact: created: replicas 1; image web:1
1 jai patch real exact: replicas 1 → 2
1 jai patch no-op exact: nothing
`)
}

// TestGap finds writes that are not in the trail.
func TestGap(t *testing.T) {
	s := &scene{t: t}
	s.add("jai", "create", 201, answer(web("1", "web:1", 1, nil)))
	s.add("jai", "patch", 200, answer(web("5", "web:2", 3, m{"generation": 4})))
	s.add("jai", "update", 200, m{"objectRef": m{"resource": "deployments", "namespace": "default", "name": "web", "apiGroup": "apps", "resourceVersion": "7"},
		"responseObject": web("8", "web:2", 9, m{"generation": 5})})
	s.expect("deploy/web", nil, `
1 jai create real exact: created: replicas 1; image web:1
1 jai patch real derived: replicas 1 → 3; image web:1 → web:2
1 jai update real derived: replicas 3 → 9
`)
}

func TestSecrets(t *testing.T) {
	secret := func(rv, password string) m {
		return m{"kind": "Secret", "apiVersion": "v1", "metadata": m{"name": "db", "namespace": "shop", "uid": "u", "resourceVersion": rv,
			"annotations": m{lastApplied: `{"data":{"password":"` + password + `"}}`}}, "data": m{"password": password}}
	}
	ref := m{"resource": "secrets", "namespace": "shop", "name": "db"}
	s := &scene{t: t}
	s.add("jai", "create", 201, m{"objectRef": ref, "responseObject": secret("1", "aHVudGVyMQ==")})
	s.add("bob", "update", 200, m{"objectRef": ref, "responseObject": secret("2", "aHVudGVyMg==")})
	everything := func(show bool) string {
		var b bytes.Buffer
		for _, format := range []string{"table", "jsonl"} {
			story := s.story("secret/db", func(c *Config) { c.Diff, c.Objects, c.Blame, c.ShowSecrets = true, true, true, show })
			whole, err := story.Whole(true, true)
			if err != nil {
				t.Fatal(err)
			}
			blame, err := story.Blame(false)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range []output.Report{story.Report(), whole, blame} {
				if err := r.Print(&output.Page{W: bufio.NewWriter(&b)}, format); err != nil {
					t.Fatal(err)
				}
			}
		}
		return b.String()
	}
	hidden, shown := everything(false), everything(true)
	for _, word := range []string{"aHVudGVy", "hunter"} {
		if strings.Contains(hidden, word) {
			t.Errorf("%q is shown:\n%s", word, hidden)
		}
	}
	if !strings.Contains(shown, "aHVudGVyMg==") || !strings.Contains(hidden, "(7 bytes, changed)") || !strings.Contains(hidden, `"old":"(7 bytes)"`) {
		t.Errorf("hidden:\n%s\nshown:\n%s", hidden, shown)
	}
}

func TestBlame(t *testing.T) {
	fields := []any{m{"manager": "helm", "operation": "Update", "time": "2026-11-01T00:00:00Z", "fieldsV1": m{"f:spec": m{"f:replicas": m{},
		"f:template": m{"f:spec": m{"f:containers": m{`k:{"name":"web"}`: m{".": m{}, "f:image": m{}}}}}}}}}
	s := &scene{t: t}
	s.add("jai", "patch", 200, m{"requestObject": m{"spec": m{"replicas": 2}}, "responseObject": web("1", "web:1", 2, m{"managedFields": fields})})
	s.add("bob", "patch", 200, answer(web("2", "web:1", 2, m{"managedFields": fields, "labels": m{"app": "shop"}})))
	r, err := s.story("deploy/web", func(c *Config) { c.Blame = true }).Blame(false)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, x := range r.Items {
		b := x.(*Blamed)
		got[b.Path] = b.How + " " + b.User + b.Tool
	}
	for path, want := range map[string]string{"metadata.labels.app": "changed bobkubectl", "spec.replicas": "changed jaikubectl",
		"spec.template.spec.containers[web].image": "managedFields helm", "spec.template.spec.containers[web].name": "unknown "} {
		if got[path] != want {
			t.Errorf("%s: %q, want %q", path, got[path], want)
		}
	}
}

// TestPlaces does not mix up objects of the same name.
func TestPlaces(t *testing.T) {
	s := &scene{t: t}
	s.add("jai", "create", 201, answer(web("1", "web:1", 1, nil)))
	s.add("jai", "create", 201, m{"objectRef": m{"resource": "deployments", "namespace": "shop", "name": "web", "apiGroup": "apps"}})
	target, _ := ParseTarget("deploy/web", "", "")
	_, err := Find(context.Background(), &s.log, Config{Target: target, Since: audit.NoTime, Until: audit.NoTime})
	x, ok := errors.AsType[*Ambiguous](err)
	if !ok || strings.Join(x.Places, ", ") != "-n default, -n shop" {
		t.Errorf("%v", err)
	}
	s.expect("deploy/web", func(c *Config) { c.Target.Namespace = "shop" }, "1 jai create real unknown: created\n")
}

// TestHostile gives bodies that lie, and names that hold escape sequences.
func TestHostile(t *testing.T) {
	s := &scene{t: t}
	deep := json.RawMessage(strings.Repeat(`{"a":`, 3000) + "1" + strings.Repeat("}", 3000))
	s.add("jai", "create", 201, answer(web("1", "web:1\x1b[31m", 1, nil)))
	s.add("jai", "patch", 200, m{"responseObject": m{"kind": "Deployment", "metadata": m{"name": "other"}}})
	s.add("jai", "patch", 200, m{"responseObject": deep})
	s.add("jai", "patch", 200, m{"responseObject": []any{1, 2}})
	s.add("jai", "patch", 200, m{"responseObject": m{"kind": "Scale", "spec": "x"}})
	s.add("jai\x1b[0m", "patch", 200, m{"responseObject": m{"kind": 5, "metadata": "x"}})
	story := s.story("deploy/web", func(c *Config) { c.All, c.Diff = true, true })
	if text := printed(t, story.Report()); strings.Contains(text, "\x1b") {
		t.Errorf("%q", text)
	}
	for i, r := range story.Rows {
		if i > 0 && r.Certainty != Unsure {
			t.Errorf("row %d is %s: %s", i, r.Certainty, r.Reason)
		}
	}
}

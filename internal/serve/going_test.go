package serve

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/destination"
	"kubetrail/internal/trail/disk"
)

// What an earlier serve learned about nodes and APIs, the next one knows from the trail.
func TestKnownFromTheTrail(t *testing.T) {
	dir := t.TempDir()
	w, err := disk.OpenWriter(disk.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	event := func(n int, members string) *audit.Event {
		e := &audit.Event{}
		line := fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"x","stage":"ResponseComplete",%s,`+
			`"responseStatus":{"code":200},"stageTimestamp":"2026-11-20T15:00:%02d.000000Z","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}`, members, n)
		if err := e.Scan([]byte(line)); err != nil {
			t.Fatal(err)
		}
		e.Text[audit.Cluster] = []byte("prod")
		return e
	}
	pod := func(name, sub string) string {
		return `"objectRef":{"resource":"pods","namespace":"shop","name":"` + name + `","subresource":"` + sub + `"}`
	}
	for n, members := range []string{
		`"verb":"create",` + pod("p", "binding") + `,"requestObject":{"target":{"name":"n1"}}`,
		`"verb":"delete",` + pod("p", ""),
		`"verb":"create",` + pod("p", "binding") + `,"requestObject":{"target":{"name":"n2"}}`,
		`"verb":"patch","user":{"username":"system:node:n3"},` + pod("q", "status"),
		`"verb":"create","user":{"username":"admin"},"objectRef":{"resource":"apiservices","name":"v1.example.com"},"requestObject":{"kind":"APIService","spec":{"service":{"namespace":"a","name":"b"}}}`,
	} {
		w.Append(event(n, members))
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	k := known(t.Context(), dir, slog.New(slog.NewTextHandler(&said, nil)))
	for members, want := range map[string]string{
		`"verb":"get",` + pod("p", "exec"): `["node/n2","pod/shop/p"]`,
		`"verb":"get",` + pod("q", "log"):  `["node/n3","pod/shop/q"]`,
		`"verb":"list","objectRef":{"resource":"things","apiGroup":"example.com","apiVersion":"v1"}`: `["apiservice/v1.example.com","service/a/b"]`,
	} {
		if got := destination.Of(event(30, members), k); string(got) != want {
			t.Errorf("%s: %s, want %s", members, got, want)
		}
	}
	if said.Len() > 0 {
		t.Error(said.String())
	}
	if known(t.Context(), t.TempDir()+"/none", slog.New(slog.NewTextHandler(&said, nil))) == nil || said.Len() == 0 {
		t.Error("a trail that is not there was read")
	}
}

package destination

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
)

// event makes an event that was allowed; members override and add.
func event(t testing.TB, members string) *audit.Event {
	t.Helper()
	e := &audit.Event{}
	line := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"x","stage":"ResponseComplete",` +
		`"responseStatus":{"code":200},"annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""},` + members + `}`
	if err := e.Scan([]byte(line)); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return e
}

func ref(resource, namespace, name, sub string) string {
	return fmt.Sprintf(`"objectRef":{"resource":%q,"namespace":%q,"name":%q,"subresource":%q,"apiVersion":"v1"}`, resource, namespace, name, sub)
}

func of(t testing.TB, k *Known, members ...string) string {
	t.Helper()
	return string(Of(event(t, strings.Join(members, ",")), k))
}

func TestConnected(t *testing.T) {
	for _, x := range []struct{ members, want string }{
		{ref("nodes", "", "n1", "proxy"), `["node/n1"]`},
		{ref("nodes", "", "https:n1:10250", "proxy"), `["node/n1"]`},
		{ref("nodes", "", "n1", "status"), ""},
		{ref("nodes", "", "n1", ""), ""},
		{ref("services", "shop", "cart", "proxy"), `["service/shop/cart"]`},
		{ref("services", "shop", "cart:http", "proxy"), `["service/shop/cart"]`},
		{ref("services", "shop", "https:cart:8443", "proxy"), `["service/shop/cart"]`},
		{ref("services", "shop", "https:cart:", "proxy"), `["service/shop/cart"]`},
		{ref("services", "shop", "cart", "status"), ""},
		{ref("pods", "shop", "p", "exec"), `["pod/shop/p"]`},
		{ref("pods", "shop", "p", "attach"), `["pod/shop/p"]`},
		{ref("pods", "shop", "p", "portforward"), `["pod/shop/p"]`},
		{ref("pods", "shop", "p", "log"), `["pod/shop/p"]`},
		{ref("pods", "shop", "http:p:80", "proxy"), `["pod/shop/p"]`},
		{ref("pods", "shop", "p", "eviction"), ""},
		{ref("pods", "shop", "", "exec"), ""},
		{ref("pods", "shop", `<"p`, "exec"), `["pod/shop/<\"p"]`},
		{ref("pods", "shop", "p", "exec") + `,"annotations":{"authorization.k8s.io/decision":"forbid"}`, ""},
		{ref("pods", "shop", "p", "exec") + `,"annotations":{}`, ""},
		{ref("pods", "shop", "p", "exec") + `,"responseStatus":{"code":404,"status":"Failure","reason":"NotFound"}`, ""},
		{ref("pods", "shop", "p", "exec") + `,"responseStatus":{"code":500,"status":"Failure"}`, `["pod/shop/p"]`},
		{ref("services", "shop", "cart", "proxy") + `,"responseStatus":{"code":404}`, `["service/shop/cart"]`}, // the service's answer
	} {
		for _, k := range []*Known{nil, {}} {
			if got := of(t, k, x.members); got != x.want {
				t.Errorf("%s: %s, want %s", x.members, got, x.want)
			}
		}
	}
}

func TestNodeOfAPod(t *testing.T) {
	exec := ref("pods", "shop", "p", "exec")
	for name, x := range map[string]struct {
		before []string
		want   string
	}{
		"bound":             {[]string{`"verb":"create",` + ref("pods", "shop", "p", "binding") + `,"requestObject":{"kind":"Binding","target":{"kind":"Node","name":"n1"}}`}, "n1"},
		"binding failed":    {[]string{`"verb":"create",` + ref("pods", "shop", "p", "binding") + `,"requestObject":{"target":{"name":"n1"}},"responseStatus":{"code":409}`}, ""},
		"another pod":       {[]string{`"verb":"create",` + ref("pods", "shop", "q", "binding") + `,"requestObject":{"target":{"name":"n1"}}`}, ""},
		"another namespace": {[]string{`"verb":"create",` + ref("pods", "web", "p", "binding") + `,"requestObject":{"target":{"name":"n1"}}`}, ""},
		"its kubelet":       {[]string{`"verb":"patch",` + ref("pods", "shop", "p", "status") + `,"user":{"username":"system:node:n2"}`}, "n2"},
		"somebody else":     {[]string{`"verb":"patch",` + ref("pods", "shop", "p", "status") + `,"user":{"username":"kwok"}`}, ""},
		"read":              {[]string{`"verb":"get",` + ref("pods", "shop", "p", "") + `,"responseObject":{"kind":"Pod","spec":{"nodeName":"n3"}}`}, "n3"},
		"a label":           {[]string{`"verb":"get",` + ref("pods", "shop", "p", "") + `,"responseObject":{"metadata":{"labels":{"nodeName":"evil"}},"spec":{}}`}, ""},
		"a patch":           {[]string{`"verb":"patch",` + ref("pods", "shop", "p", "") + `,"requestObject":{"spec":{"nodeName":"evil"}}`}, ""},
		"gone": {[]string{`"verb":"create",` + ref("pods", "shop", "p", "binding") + `,"requestObject":{"target":{"name":"n1"}}`,
			`"verb":"delete",` + ref("pods", "shop", "p", "")}, ""},
		"all gone": {[]string{`"verb":"create",` + ref("pods", "shop", "p", "binding") + `,"requestObject":{"target":{"name":"n1"}}`,
			`"verb":"deletecollection",` + ref("pods", "shop", "", "")}, ""},
		"others gone": {[]string{`"verb":"create",` + ref("pods", "shop", "p", "binding") + `,"requestObject":{"target":{"name":"n1"}}`,
			`"verb":"deletecollection",` + ref("pods", "sho", "", "")}, "n1"},
		"back elsewhere": {[]string{`"verb":"create",` + ref("pods", "shop", "p", "binding") + `,"requestObject":{"target":{"name":"n1"}}`,
			`"verb":"create",` + ref("pods", "shop", "p", "") + `,"requestObject":{"spec":{"nodeName":"n4"}}`}, "n4"},
	} {
		k := &Known{}
		for _, b := range x.before {
			of(t, k, b)
		}
		want := `["pod/shop/p"]`
		if x.want != "" {
			want = `["node/` + x.want + `","pod/shop/p"]`
		}
		if got := of(t, k, exec); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func api(group, version string) string {
	return fmt.Sprintf(`"verb":"list","objectRef":{"resource":"things","apiGroup":%q,"apiVersion":%q}`, group, version)
}

func TestAggregatedAPIs(t *testing.T) {
	service := func(name, spec string) string {
		return `"verb":"create","user":{"username":"admin"},` + ref("apiservices", "", name, "") + `,"responseObject":{"kind":"APIService","spec":` + spec + `}`
	}
	metadata := func(user string) string {
		return `"verb":"create","user":{"username":"` + user + `"},` + ref("apiservices", "", "v1.example.com", "")
	}
	const things = `["apiservice/v1.example.com"]`
	for name, x := range map[string]struct {
		before []string
		asked  string
		want   string
	}{
		"unknown":            {nil, api("example.com", "v1"), ""},
		"with its service":   {[]string{service("v1.example.com", `{"service":{"namespace":"kube-system","name":"ext"}}`)}, api("example.com", "v1"), `["apiservice/v1.example.com","service/kube-system/ext"]`},
		"discovery":          {[]string{service("v1.example.com", `{"service":{"namespace":"kube-system","name":"ext"}}`)}, `"requestURI":"/apis/example.com/v1?timeout=32s"`, `["apiservice/v1.example.com","service/kube-system/ext"]`},
		"discovery of all":   {[]string{service("v1.example.com", `{"service":{"namespace":"kube-system","name":"ext"}}`)}, `"requestURI":"/apis/example.com"`, ""},
		"another version":    {[]string{service("v1.example.com", `{"service":{"namespace":"kube-system","name":"ext"}}`)}, api("example.com", "v2"), ""},
		"in process":         {[]string{service("v1.example.com", `{"group":"example.com"}`)}, api("example.com", "v1"), ""},
		"gone":               {[]string{service("v1.example.com", `{"service":{"namespace":"a","name":"b"}}`), `"verb":"delete",` + ref("apiservices", "", "v1.example.com", "")}, api("example.com", "v1"), ""},
		"without a body":     {[]string{metadata("admin")}, api("example.com", "v1"), things},
		"of the API server":  {[]string{metadata("system:apiserver")}, api("example.com", "v1"), ""},
		"of a definition":    {[]string{`"verb":"get",` + ref("customresourcedefinitions", "", "things.example.com", ""), metadata("admin")}, api("example.com", "v1"), ""},
		"metrics":            {nil, `"verb":"list","objectRef":{"resource":"pods","apiGroup":"metrics.k8s.io","apiVersion":"v1beta1"}`, `["apiservice/v1beta1.metrics.k8s.io"]`},
		"metrics nobody has": {nil, `"responseStatus":{"code":404},` + api("custom.metrics.k8s.io", "v1"), ""},
		"built in":           {nil, api("coordination.k8s.io", "v1"), ""},
	} {
		k := &Known{}
		for _, b := range x.before {
			of(t, k, b)
		}
		if got := of(t, k, x.asked); got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
	k := &Known{}
	e := event(t, metadata("admin"))
	e.Text[audit.Cluster] = []byte("prod")
	Of(e, k)
	if got := of(t, k, api("example.com", "v1")); got != "" {
		t.Errorf("known of another cluster: %s", got)
	}
}

func notes(text string) string {
	return `"verb":"create",` + ref("pods", "shop", "p", "") + `,"annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"",` + text + `}`
}

func TestWebhooks(t *testing.T) {
	const mutated = `"mutation.webhook.admission.k8s.io/round_0_index_0":"{\"configuration\":\"c\",\"webhook\":\"a.example.com\",\"mutated\":true}"`
	const patched = `"patch.webhook.admission.k8s.io/round_0_index_0":"{\"configuration\":\"c\",\"webhook\":\"a.example.com\",\"patch\":[],\"patchType\":\"JSONPatch\"}"`
	const second = `"mutation.webhook.admission.k8s.io/round_1_index_0":"{\"configuration\":\"d\",\"webhook\":\"b.example.com\",\"mutated\":false}"`
	const open = `"failed-open.mutation.webhook.admission.k8s.io/round_0_index_0":"a.example.com"`
	const validating = `"failed-open.validating.webhook.admission.k8s.io/round_0_index_0":"v.example.com"`
	k := &Known{}
	for _, x := range []struct{ members, want string }{
		{notes(`"v.example.com/why":"because"`), ""}, // may be a policy's
		{notes(validating), `["webhook/-/v.example.com"]`},
		{`"verb":"create",` + ref("validatingwebhookconfigurations", "", "w", "") + `,"requestObject":{"metadata":{"name":"w"},"webhooks":[{"name":"v.example.com"}]}`, ""},
		{notes(validating), `["webhook/w/v.example.com"]`},
		{notes(`"v.example.com/why":"because"`), `["webhook/w/v.example.com"]`},
		{notes(mutated + "," + patched + "," + second + "," + open), `["webhook/c/a.example.com","webhook/d/b.example.com"]`},
		{notes(open), `["webhook/c/a.example.com"]`},
		{notes(`"pod-security.kubernetes.io/enforce-policy":"privileged:latest"`), ""},
		{notes(`"mutation.webhook.admission.k8s.io/round_0_index_0":"no JSON"`), ""},
	} {
		if got := of(t, k, x.members); got != x.want {
			t.Errorf("%s: %s, want %s", x.members, got, x.want)
		}
	}
	if got := of(t, nil, notes(mutated+","+open)); got != `["webhook/c/a.example.com"]` {
		t.Errorf("without anything known: %s", got)
	}
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf(`"failed-open.validating.webhook.admission.k8s.io/round_0_index_%d":"w%d"`, i, i))
	}
	if got := of(t, nil, notes(strings.Join(many, ","))); strings.Count(got, "webhook/") != maxPlaces {
		t.Errorf("%d places", strings.Count(got, "webhook/"))
	}
}

func TestKnownIsBounded(t *testing.T) {
	k := &Known{}
	for i := range 3 * maxOther {
		of(t, k, fmt.Sprintf(`"verb":"create","user":{"username":"admin"},"objectRef":{"resource":"apiservices","name":"v1.g%d.example.com"}`, i))
		of(t, k, fmt.Sprintf(`"verb":"get","objectRef":{"resource":"customresourcedefinitions","name":"x.h%d.example.com"}`, i))
	}
	r := recent{}
	for i := range 1000 {
		r.put(fmt.Sprint(i), "v", 100)
		r.get("0")
	}
	for name, n := range map[string]int{"apis": len(k.apis.young) + len(k.apis.old), "groups": len(k.groups) - 1, "local": len(k.local.young) + len(k.local.old)} {
		if n > maxOther {
			t.Errorf("%s: %d", name, n)
		}
	}
	if n := len(r.young) + len(r.old); n > 100 || !r.has("0") || !r.has("999") || r.has("500") {
		t.Errorf("%d: what is used must stay, and only that", n)
	}
}

// What the story of two real logs says went elsewhere, and nothing else: exec, attach,
// port-forward and logs of pods, the proxies of a node and of a service, the API that
// was registered and served by another process, and a change that two webhooks saw. In
// the second log, which has no bodies, no node is known, nor a service.
func TestRealStory(t *testing.T) {
	for corpus, want := range map[string][]string{
		"a-gce-derived": {
			`["apiservice/v1.ext.rig.example.com","service/kube-system/rig-ext"] fail500 1`,
			`["apiservice/v1.ext.rig.example.com","service/kube-system/rig-ext"] things 2`,
			`["apiservice/v1.ext.rig.example.com","service/kube-system/rig-ext"] truncated 2`,
			`["node/kwok-node-1","pod/kube-system/toolbox"] exec 2`,
			`["node/kwok-node-1"] proxy 2`,
			`["node/kwok-node-7","pod/default/nginx"] attach 2`,
			`["node/kwok-node-7","pod/default/nginx"] exec 6`,
			`["node/kwok-node-7","pod/default/nginx"] log 6`,
			`["node/kwok-node-7","pod/default/nginx"] portforward 2`,
			`["service/shop/cart"] proxy 2`,
			`["webhook/rig-mutator/label.rig.example.com","webhook/rig-mutator/broken.rig.example.com"] configmaps 1`,
		},
		"d-metadata-all": {
			`["apiservice/v1.ext.rig.example.com"] fail500 1`,
			`["apiservice/v1.ext.rig.example.com"] things 2`,
			`["apiservice/v1.ext.rig.example.com"] truncated 2`,
			`["node/kwok-node-1"] proxy 2`,
			`["pod/default/nginx"] attach 2`,
			`["pod/default/nginx"] exec 6`,
			`["pod/default/nginx"] log 6`,
			`["pod/default/nginx"] portforward 2`,
			`["pod/kube-system/toolbox"] exec 2`,
			`["service/shop/cart"] proxy 2`,
			`["webhook/rig-mutator/label.rig.example.com","webhook/rig-mutator/broken.rig.example.com"] configmaps 1`,
		},
	} {
		hash := regexp.MustCompile(`nginx-[0-9a-z]+-[0-9a-z]+`)
		count := map[string]int{}
		k, e := &Known{}, &audit.Event{}
		for _, line := range corpustest.Events(t, corpus) {
			if err := e.Scan(line); err != nil {
				t.Fatal(err)
			}
			if to := Of(e, k); to != nil {
				what := cmp.Or(string(e.Text[audit.Subresource]), string(e.Text[audit.Resource]))
				count[hash.ReplaceAllString(string(to), "nginx")+" "+what]++
			}
		}
		var got []string
		for _, k := range slices.Sorted(maps.Keys(count)) {
			got = append(got, fmt.Sprintf("%s %d", k, count[k]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", corpus, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// Whatever an event holds, what is made of it is a list of strings.
func FuzzOf(f *testing.F) {
	f.Add([]byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"get","objectRef":{"resource":"pods","namespace":"a","name":"b","subresource":"exec"},"annotations":{"authorization.k8s.io/decision":"allow"}}`))
	f.Add([]byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"create","objectRef":{"resource":"apiservices","name":"v1.a.b"},"responseStatus":{"code":201},"responseObject":{"kind":"APIService","spec":{"service":null}}}`))
	f.Add([]byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"list","objectRef":{"resource":"x","apiGroup":"metrics.k8s.io","apiVersion":"v1"},"annotations":{"authorization.k8s.io/decision":"allow","failed-open.validating.webhook.admission.k8s.io/":"\u0000"}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e := &audit.Event{}
		if e.Scan(line) != nil {
			return
		}
		k := &Known{}
		for range 2 {
			var places []string
			if to := Of(e, k); to != nil && (json.Unmarshal(to, &places) != nil || len(places) == 0 || len(places) > maxPlaces) {
				t.Errorf("%s: %s", line, to)
			}
		}
	})
}

// What is asked for again and again is kept, but not beyond the bound.
func TestRecentBound(t *testing.T) {
	const limit = 100
	var r recent
	var used []string
	for n := range 20 * limit {
		key := fmt.Sprint(n)
		r.put(key, "x", limit)
		if used = append(used, key); n%(limit/2) == limit/2-1 {
			for _, key := range used {
				r.get(key)
			}
		}
		if held := len(r.young) + len(r.old); held > limit {
			t.Fatalf("%d are remembered after %d, with a bound of %d", held, n, limit)
		}
	}
}

// Names that no object has, as somebody may make them up, are not remembered.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("n", 1<<20)
	k := &Known{}
	for _, e := range []*audit.Event{
		event(t, `"verb":"delete",`+ref("pods", long, "p", "")),
		event(t, `"verb":"create","responseObject":{"kind":"APIService","spec":{"service":{"namespace":"`+long+`","name":"s"}}},`+
			`"objectRef":{"resource":"apiservices","name":"v1.g.example.org","apiGroup":"apiregistration.k8s.io"}`),
	} {
		k.Learn(e)
	}
	for _, r := range []recent{k.pods, k.apis} {
		for key, value := range r.young {
			t.Errorf("a key of %d bytes and a value of %d", len(key), len(value))
		}
	}
}

// What an event costs that goes nowhere.
func BenchmarkOf(b *testing.B) {
	lines := corpustest.Events(b, "d-metadata-all")
	events := make([]audit.Event, 4096)
	for i := range events {
		if err := events[i].Scan(lines[i*7]); err != nil {
			b.Fatal(err)
		}
	}
	k := &Known{}
	n := 0
	for b.Loop() {
		Of(&events[n&4095], k)
		n++
	}
}

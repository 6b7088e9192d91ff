package policy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kubetrail/internal/corpustest"
)

// describe writes what a request means as testdata/requests.txt does, such as
// "get apis/apps/v1 deployments ns=a name=x sub=scale".
func describe(r RequestInfo, err error) string {
	quote := func(s string) string {
		if q := strconv.Quote(s); s == "" || len(q) > len(s)+2 || strings.Contains(s, " ") {
			return q
		}
		return s
	}
	refused := (*Unserved)(nil)
	switch {
	case errors.As(err, &refused):
		return "unserved: " + refused.Reason
	case err != nil:
		return "error: " + err.Error()
	case !r.IsResourceRequest && r.APIPrefix != "":
		return fmt.Sprintf("%s %s prefix=%s", quote(r.Verb), quote(r.Path), r.APIPrefix)
	case !r.IsResourceRequest:
		return fmt.Sprintf("%s %s", quote(r.Verb), quote(r.Path))
	}
	root := r.APIPrefix + "/" + r.APIVersion
	if r.APIPrefix == "apis" {
		root = r.APIPrefix + "/" + r.APIGroup + "/" + r.APIVersion
	}
	out := fmt.Sprintf("%s %s %s", quote(r.Verb), root, quote(r.Resource))
	for _, a := range []struct{ name, value string }{{"ns", r.Namespace}, {"name", r.Name}, {"sub", r.Subresource}} {
		if a.value != "" {
			out += " " + a.name + "=" + quote(a.value)
		}
	}
	return out
}

// requestTable reads testdata/requests.txt: a method, a URI, a tab and a meaning on
// each line. test/oracle asks upstream about the same lines.
func requestTable(tb testing.TB) (requests [][3]string) {
	tb.Helper()
	text, err := os.ReadFile("testdata/requests.txt")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line == "" || line[0] == '#' {
			continue
		}
		request, meaning, _ := strings.Cut(line, "\t")
		method, uri, ok := strings.Cut(request, " ")
		if !ok {
			tb.Fatalf("no request: %q", line)
		}
		requests = append(requests, [3]string{method, uri, meaning})
	}
	return requests
}

func TestRequests(t *testing.T) {
	table := requestTable(t)
	if len(table) < 250 {
		t.Errorf("%d requests, want them all", len(table))
	}
	for _, c := range table {
		if got := describe(ParseRequest(c[0], c[1])); got != c[2] {
			t.Errorf("%s %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

// TestRequestGoldens asks for every request of which ../shared holds upstream's answer.
func TestRequestGoldens(t *testing.T) {
	type golden struct {
		Method, URI string
		Expect      struct {
			RequestInfo RequestInfo
			Error       string
		}
	}
	count := 0
	for line := range bytes.Lines(corpustest.Shared(t, "policy/cases.jsonl.zst")) {
		var g golden
		if err := json.Unmarshal(line, &g); err != nil {
			t.Fatal(err)
		}
		info, err := ParseRequest(g.Method, g.URI)
		count++
		if g.Expect.Error != "" {
			if err == nil || err.Error() != g.Expect.Error {
				t.Errorf("%s %s: error %v, want %s", g.Method, g.URI, err, g.Expect.Error)
			}
			continue
		}
		if diff := cmp.Diff(g.Expect.RequestInfo, info); err != nil || diff != "" {
			t.Errorf("%s %s: error %v, -want +got:\n%s", g.Method, g.URI, err, diff)
		}
	}
	if count < 14_000 {
		t.Errorf("%d requests, want all 14,280", count)
	}
}

// slowly is ParseRequest without what makes it fast.
func slowly(method, uri string) (RequestInfo, error) {
	u, err := parseURI(method, uri)
	if err != nil {
		return RequestInfo{}, err
	}
	info, ok := resolve(method, u.Path, u.RawQuery)
	if !ok {
		return info, fmt.Errorf("unable to determine kind and namespace from url, %v", u)
	}
	return info, nil
}

// slowListOptions is decodeListOptions by url.ParseQuery.
func slowListOptions(query string) (o listOptions) {
	values, _ := url.ParseQuery(query)
	for name, p := range map[string]*parameter{"labelSelector": &o.labelSelector, "fieldSelector": &o.fieldSelector,
		"watch": &o.watch, "limit": &o.limit, "timeoutSeconds": &o.timeoutSeconds} {
		if v := values[name]; len(v) > 0 {
			*p = parameter{v[0], true}
		}
	}
	return o
}

// fataler is a testing.TB or a rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkRequest checks all that is true of every request.
func checkRequest(tb fataler, method, uri string) {
	tb.Helper()
	r, err := ParseRequest(method, uri)
	slow, slowErr := slowly(method, uri)
	if r != slow || fmt.Sprint(err) != fmt.Sprint(slowErr) {
		tb.Fatalf("%q %q: fast %+v %v, slow %+v %v", method, uri, r, err, slow, slowErr)
	}
	_, query, _ := strings.Cut(uri, "?")
	if fast, slow := decodeListOptions(query), slowListOptions(query); fast != slow {
		tb.Fatalf("%q: fast %+v, slow %+v", query, fast, slow)
	}
	refused := (*Unserved)(nil)
	if takes, sure := http1Takes(method, uri); sure && takes == errors.As(err, &refused) {
		tb.Fatalf("%q %q: %v, but net/http takes it: %v", method, uri, err, takes)
	}
	if err != nil {
		return
	}
	if r.IsResourceRequest {
		for _, part := range []string{r.APIVersion, r.APIGroup, r.Namespace, r.Resource, r.Subresource, r.Name} {
			if strings.Contains(part, "/") {
				tb.Fatalf("%q %q: a slash in %q", method, uri, part)
			}
		}
	} else if want := (RequestInfo{Path: r.Path, Verb: strings.ToLower(method), APIPrefix: r.APIPrefix}); r != want {
		tb.Fatalf("%q %q: no resource, but %+v", method, uri, r)
	}
	again, againURI, ok := r.Request()
	if !ok {
		tb.Fatalf("%q %q: no request has %+v", method, uri, r)
	}
	made, err := ParseRequest(again, againURI)
	if r.IsResourceRequest {
		made.Path = r.Path
	}
	if r.APIVersion == "" {
		made.APIVersion = ""
	}
	if err != nil || made != r {
		tb.Fatalf("%q %q: made again as %q %q\n%+v\n%+v %v", method, uri, again, againURI, r, made, err)
	}
}

// http1Takes tells whether net/http hands a request line to a handler. It is not sure
// where the line is none of HTTP/1, which HTTP/2 may still take.
func http1Takes(method, uri string) (takes, sure bool) {
	if strings.Contains(uri, " ") || strings.ContainsFunc(method, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	}) {
		return false, false
	}
	_, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + uri + " HTTP/1.1\r\nHost: h\r\n\r\n")))
	return err == nil && (method != "OPTIONS" || uri != "*"), true
}

// drawURI makes a URI from what has a meaning somewhere.
func drawURI(t *rapid.T) string {
	head := rapid.SampledFrom([]string{"/api/v1", "/api/v1", "/apis/apps/v1", "/apis//v1", "//api/", "/api", "/x", "", "http://h/api/v1", "*"}).Draw(t, "head")
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"pods", "a", "b", "namespaces", "watch", "proxy", "status", "finalize", "log", "",
		"%2F", "%6eamespaces", "%ff", "%", "a b", "..", "#", "?", "\x00", "é"}), 0, 7).Draw(t, "parts")
	pairs := rapid.SliceOfN(rapid.SampledFrom([]string{"watch", "watch=0", "watch=false", "w%61tch=1", "limit=1", "limit=x", "timeoutSeconds=1.",
		"fieldSelector=metadata.name=x", "fieldSelector=metadata.name=.", `fieldSelector=metadata.name=a\,%ff`, "fieldSelector=a", "labelSelector=a",
		"labelSelector=a+in+(b,c)", "labelSelector=!", "a;b", "%zz", "", "=", "watch=%zz"}), 0, 4).Draw(t, "pairs")
	uri := strings.Join(append([]string{head}, parts...), "/")
	if len(pairs) > 0 {
		uri += "?" + strings.Join(pairs, "&")
	}
	return uri
}

func TestRequestProperties(t *testing.T) {
	methods := []string{"GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "get", "LİST", "", "a b"}
	rapid.Check(t, func(t *rapid.T) {
		checkRequest(t, rapid.SampledFrom(methods).Draw(t, "method"), drawURI(t))
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, c := range requestTable(f) {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, method, uri string) { checkRequest(t, method, uri) })
}

// TestTooManyParameters: net/url reads nothing of a query with more than ten thousand.
func TestTooManyParameters(t *testing.T) {
	for n, want := range map[int]string{9_999: "watch", 10_000: "list"} {
		query := "watch=1" + strings.Repeat("&", n)
		checkRequest(t, "GET", "/api/v1/pods?"+query)
		if r, _ := ParseRequest("GET", "/api/v1/pods?"+query); r.Verb != want {
			t.Errorf("%d ampersands: %s, want %s", n, r.Verb, want)
		}
	}
}

// TestRequestMethods has what a line of the table cannot hold. HTTP/2 carries a tab.
func TestRequestMethods(t *testing.T) {
	for method, want := range map[string]string{
		"a\tb": `"a\tb" /x`, "A B": `"a b" /x`, "LİST": "list /x", "\xff": "\ufffd /x", "": `unserved: invalid method ""`,
		"a\nb": `unserved: invalid method "a\nb"`, "a\x7f": `unserved: invalid method "a\x7f"`,
	} {
		if got := describe(ParseRequest(method, "/x")); got != want {
			t.Errorf("%q: %s, want %s", method, got, want)
		}
	}
}

func TestParseRequestAllocatesNothing(t *testing.T) {
	for _, uri := range []string{"/api/v1/namespaces/kube-system/configmaps/a", "/apis/apps/v1/deployments", "/healthz",
		"/api/v1/namespaces/default/pods?watch=true&timeoutSeconds=395"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = ParseRequest("GET", uri) }); n != 0 {
			t.Errorf("%s: %v allocations", uri, n)
		}
	}
}

// TestStages checks at which stages requests of each kind write events.
func TestStages(t *testing.T) {
	long := []Stage{StageRequestReceived, StageResponseStarted, StageResponseComplete}
	short := []Stage{StageRequestReceived, StageResponseComplete}
	for _, c := range []struct {
		method, uri string
		want        []Stage
	}{
		{"GET", "/api/v1/pods", short},
		{"GET", "/api/v1/pods?watch=true", long},
		{"GET", "/api/v1/watch/pods", long},
		{"GET", "/api/v1/proxy/nodes/n", long},
		{"POST", "/api/v1/namespaces/a/pods/b/exec?command=sh", long},
		{"POST", "/api/v1/namespaces/a/pods/b/attach", long},
		{"POST", "/api/v1/namespaces/a/pods/b/portforward", long},
		{"GET", "/api/v1/namespaces/a/pods/b/log", long},
		{"GET", "/api/v1/namespaces/a/services/b/proxy/x", long},
		{"PUT", "/api/v1/namespaces/a/pods/b/status", short},
		{"GET", "/debug/pprof/heap", long},
		{"GET", "/debug/pprof", short},
		{"GET", "/proxy/log", short},
	} {
		info, err := ParseRequest(c.method, c.uri)
		if err != nil {
			t.Fatal(err)
		}
		r := Request{Authenticated: true, RequestInfo: info}
		if got := r.Stages(); !slices.Equal(got, c.want) {
			t.Errorf("%s %s: %v, want %v", c.method, c.uri, got, c.want)
		}
		r.Authenticated = false
		if got := r.Stages(); !slices.Equal(got, []Stage{StageResponseStarted}) {
			t.Errorf("%s %s without a user: %v", c.method, c.uri, got)
		}
	}
}

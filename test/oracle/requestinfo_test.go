package oracle

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"k8s.io/klog/v2"

	"kubetrail/policy"
)

// quiet keeps NewRequestInfo from logging every query that it cannot decode.
func quiet(tb testing.TB) {
	tb.Helper()
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	for _, f := range []string{"logtostderr=false", "alsologtostderr=false", "stderrthreshold=FATAL"} {
		name, value, _ := strings.Cut(f, "=")
		if err := flags.Set(name, value); err != nil {
			tb.Fatal(err)
		}
	}
	klog.SetOutput(io.Discard)
}

// served reads a request line as net/http's server does, and for a URI with a space,
// or a method that is no token, as that of HTTP/2 does.
func served(method, uri string) (*http.Request, error) {
	if method == "" || method == "OPTIONS" && uri == "*" {
		return nil, errors.New("answered by the server itself")
	}
	if strings.ContainsFunc(method, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return nil, errors.New("no header value")
	}
	authority := method == "CONNECT" && !strings.HasPrefix(uri, "/")
	if authority {
		uri = "http://" + uri
	}
	u, err := url.ParseRequestURI(uri)
	if authority && err == nil {
		u.Scheme = ""
	}
	return &http.Request{Method: method, URL: u}, err
}

// compareRequest asks upstream and us what a request is; difference is empty where
// the answers are equal.
func compareRequest(method, uri string) (verdict, difference string) {
	got, gotErr := policy.ParseRequest(method, uri)
	req, err := served(method, uri)
	if refused := (*policy.Unserved)(nil); err != nil || errors.As(gotErr, &refused) {
		if err == nil || !errors.As(gotErr, &refused) {
			return "", fmt.Sprintf("the server: %v, we: %v", err, gotErr)
		}
		return "unserved", ""
	}
	info, wantErr := infos.NewRequestInfo(req)
	if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		return "", fmt.Sprintf("upstream: %v, we: %v", wantErr, gotErr)
	}
	want := policy.RequestInfo{
		IsResourceRequest: info.IsResourceRequest, Path: info.Path, Verb: info.Verb, APIPrefix: info.APIPrefix,
		APIGroup: info.APIGroup, APIVersion: info.APIVersion, Namespace: info.Namespace, Resource: info.Resource,
		Subresource: info.Subresource, Name: info.Name,
	}
	if got != want {
		return "", fmt.Sprintf("upstream: %+v\n      we: %+v", want, got)
	}
	switch {
	case wantErr != nil:
		return "refused", ""
	case !want.IsResourceRequest:
		return "no resource", ""
	case (want.Verb == "list" || want.Verb == "watch") && want.Name != "" && !strings.Contains(want.Path, "watch"):
		return want.Verb + " of a name", ""
	}
	return want.Verb, ""
}

func TestRequests(t *testing.T) {
	quiet(t)
	const requests = 1_000_000
	o := odd{rand.New(rand.NewPCG(1, 3))}
	verdicts := map[string]int{}
	for range requests {
		method, uri := o.method(), o.uri()
		verdict, difference := compareRequest(method, uri)
		if difference != "" {
			t.Fatalf("%q %q\n%s", method, uri, difference)
		}
		verdicts[verdict]++
	}
	t.Logf("%d requests: %v", requests, verdicts)
	for _, verdict := range []string{"unserved", "refused", "no resource", "list", "watch", "get", "proxy", "create",
		"deletecollection", "list of a name", "watch of a name"} {
		if verdicts[verdict] < requests/500 {
			t.Errorf("only %d requests are: %s", verdicts[verdict], verdict)
		}
	}
}

// TestRequestTable asks upstream what policy's own table of requests says of us.
func TestRequestTable(t *testing.T) {
	quiet(t)
	text, err := os.ReadFile("../../policy/testdata/requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(string(text)) {
		request, _, ok := strings.Cut(line, "\t")
		if !ok {
			continue
		}
		count++
		method, uri, _ := strings.Cut(request, " ")
		if _, difference := compareRequest(method, uri); difference != "" {
			t.Errorf("%q %q\n%s", method, uri, difference)
		}
	}
	if count < 250 {
		t.Errorf("%d requests, want them all", count)
	}
}

// TestSelectors asks for lists by one name with all kinds of selectors, which is how
// it shows whether upstream and we could read them.
func TestSelectors(t *testing.T) {
	quiet(t)
	const requests = 300_000
	o := odd{rand.New(rand.NewPCG(2, 3))}
	for name, query := range map[string]func() string{
		"label": func() string {
			s := o.labelSelector()
			if o.chance(20) {
				s = o.noise(s)
			}
			return "fieldSelector=metadata.name%3Dx&labelSelector=" + url.QueryEscape(s)
		},
		"field": func() string {
			s := o.fieldSelector()
			if o.chance(20) {
				s = o.noise(s)
			}
			return "fieldSelector=" + url.QueryEscape(s)
		},
	} {
		verdicts := map[string]int{}
		for range requests {
			uri := "/api/v1/pods?" + query()
			verdict, difference := compareRequest("GET", uri)
			if difference != "" {
				t.Fatalf("%q\n%s", uri, difference)
			}
			verdicts[verdict]++
		}
		t.Logf("%s selectors: %v", name, verdicts)
		if len(verdicts) != 2 || min(verdicts["list"], verdicts["list of a name"]) < requests/10 {
			t.Errorf("%s selectors are read, or not read, too seldom: %v", name, verdicts)
		}
	}
}

// TestRequestsMadeAgain makes a request for the attributes of each of a million others,
// and asks upstream whether it has them.
func TestRequestsMadeAgain(t *testing.T) {
	quiet(t)
	o := odd{rand.New(rand.NewPCG(4, 3))}
	for range 1_000_000 {
		method, uri := o.method(), o.uri()
		want, err := policy.ParseRequest(method, uri)
		if err != nil {
			continue
		}
		madeMethod, madeURI, ok := want.Request()
		if !ok {
			t.Fatalf("%q %q: no request for %+v", method, uri, want)
		}
		if _, difference := compareRequest(madeMethod, madeURI); difference != "" {
			t.Fatalf("%q %q\n%s", madeMethod, madeURI, difference)
		}
		got, err := policy.ParseRequest(madeMethod, madeURI)
		if want.IsResourceRequest {
			got.Path = want.Path
		}
		if want.APIVersion == "" {
			got.APIVersion = ""
		}
		if err != nil || got != want {
			t.Fatalf("%q %q made %q %q\n%+v\n%+v %v", method, uri, madeMethod, madeURI, want, got, err)
		}
	}
}

func FuzzRequest(f *testing.F) {
	quiet(f)
	o := odd{rand.New(rand.NewPCG(3, 1))}
	for range 500 {
		f.Add(o.method(), o.uri())
	}
	f.Fuzz(func(t *testing.T, method, uri string) {
		if _, difference := compareRequest(method, uri); difference != "" {
			t.Errorf("%q %q\n%s", method, uri, difference)
		}
	})
}

// BenchmarkRequestInfo resolves the typical requests in turn; upstream-parsed is given a
// URL that net/http has parsed already.
func BenchmarkRequestInfo(b *testing.B) {
	calls := typical()
	requests := make([]*http.Request, len(calls))
	for i, c := range calls {
		req, err := served(c.Method, c.URI)
		if err != nil {
			b.Fatal(err)
		}
		requests[i] = req
	}
	for _, way := range []struct {
		name    string
		resolve func(i int) error
	}{
		{"by=kubetrail", func(i int) error { _, err := policy.ParseRequest(calls[i].Method, calls[i].URI); return err }},
		{"by=upstream-parsed", func(i int) error { _, err := infos.NewRequestInfo(requests[i]); return err }},
		{"by=upstream", func(i int) error {
			u, err := url.ParseRequestURI(calls[i].URI)
			if err == nil {
				_, err = infos.NewRequestInfo(&http.Request{Method: calls[i].Method, URL: u})
			}
			return err
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := way.resolve(i % len(calls)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// odd makes requests, most of them strange in one way or another.
type odd struct{ *rand.Rand }

func (o odd) of(s ...string) string   { return s[o.IntN(len(s))] }
func (o odd) chance(percent int) bool { return o.IntN(100) < percent }
func (o odd) many(n int, f func() string, sep string) string {
	parts := make([]string, o.IntN(n+1))
	for i := range parts {
		parts[i] = f()
	}
	return strings.Join(parts, sep)
}

func (o odd) method() string {
	if o.chance(50) {
		return "GET"
	}
	return o.of("HEAD", "POST", "PUT", "PATCH", "DELETE", "DELETE", "OPTIONS", "CONNECT", "TRACE", "get", "Delete",
		"WATCH", "PROXY", "LİST", "G T", "", "a\tb", "a\nb")
}

func (o odd) uri() string {
	if o.chance(25) {
		return o.of("/api/v1/pods", "/apis/apps/v1/namespaces/a/deployments", "/api/v1/namespaces/", "/api/v1/nodes//", "/api/v1/namespaces//pods") +
			"?" + o.query()
	}
	path := o.path()
	if o.chance(15) {
		path = o.noise(path)
	}
	switch o.IntN(60) {
	case 0:
		path = o.of("http://host", "https://u:p@[::1]:6443", "HTTP://", "http:", "mailto:", "//", "http://a b", "host:443",
			"http://%41", "x+y.z://h", "1:", "é") + path
	case 1:
		path = o.of("*", "", "?", "*?", "a", ":", "%", "#", "api/v1/pods", "host:443", "host", "[::1]:x")
	}
	if o.chance(55) {
		return path
	}
	query := o.query()
	if o.chance(10) {
		query = o.noise(query)
	}
	return path + "?" + query
}

func (o odd) path() string {
	head := o.of("/api/v1", "/api/v1", "/apis/apps/v1", "/apis/a.b/v1beta1", "/api", "/apis", "/apis/apps", "/API/v1", "//api/v1",
		"/api//v1", "/api/", "/apis//v1", "/apis///", "/%61pi/v1", "/api%2Fv1", "/healthz", "/", "", "///")
	part := func() string {
		return o.of("pods", "nodes", "a", "b", "namespaces", "namespaces", "watch", "proxy", "status", "finalize", "log", "exec", "",
			"scale", "*", "%2F", "%2f", "x%20y", "a:b", "%6eamespaces", "w%61tch", "%E4%BD%A0", "%ff", "é", "..", ".", "#", "+", ";", "%25", "?")
	}
	return head + o.of("/", "/", "/", "/", "", "//") + o.many(7, part, "/") + o.of("", "", "", "/", "//")
}

func (o odd) query() string {
	pair := func() string {
		if o.chance(50) { // nothing to object to
			return o.of("watch=1", "watch=true", "watch=0", "limit=500", "timeoutSeconds=30", "fieldSelector=metadata.name%3Dx", "fieldSelector=metadata.name=y,a!=b",
				"labelSelector=a%3Db", "labelSelector=a+in+(b,,c),!d,e>1", "resourceVersion=7", "allowWatchBookmarks=true", "watch")
		}
		key := o.of("watch", "watch", "fieldSelector", "fieldSelector", "labelSelector", "labelSelector", "limit", "timeoutSeconds",
			"resourceVersion", "allowWatchBookmarks", "sendInitialEvents", "resourceVersionMatch", "continue", "shardSelector",
			"timeout", "Watch", "w%61tch", "field%53elector", "watch+", "+limit", "", "%zz", "pretty", "name", "kind", "apiVersion")
		value := ""
		switch {
		case strings.HasPrefix(key, "field"):
			value = o.fieldSelector()
		case strings.HasPrefix(key, "label"):
			value = o.labelSelector()
		default:
			value = o.of("", "1", "0", "true", "false", "FALSE", "False", "fal\u017fe", "fAlSE ", "2", "-1", "+5", "500", "9223372036854775808",
				"9223372036854775807", "1_0", "0x1", "1.5", " 1", "t", "%31", "%", "%4", "a=b")
		}
		if o.chance(5) {
			return key
		}
		if o.chance(60) && !strings.Contains(value, "%") {
			value = url.QueryEscape(value)
		}
		return key + o.of("=", "=", "=", "=", "=", "=", "=", "=", "==", ";=", "") + value
	}
	return o.many(4, pair, o.of("&", "&", "&", "&&", ";", "&amp;"))
}

func (o odd) fieldSelector() string {
	term := func() string {
		if o.chance(70) {
			return o.of("metadata.name=x", "metadata.name==y", "metadata.name!=x", `metadata.name=a\,b`, `metadata.name=\=`, "metadata.name=z ",
				"a=b", "a!=b", "=", "metadata.namespace=a")
		}
		field := o.of("metadata.name", "metadata.name", "metadata.name", "metadata.namespace", "spec.nodeName", "", " metadata.name", "metadata.name ",
			"Metadata.name", `metadata\.name`, "metadata.name!")
		value := o.of("x", "y", "z", "", "a/b", "%", "..", ".", " x ", `a\,b`, `a\=b`, `a\\`, `a\`, `\x`, "a=b", "=", "!", "é", "\xff", "\xff"+`\,`, "x!y", "\x00")
		return field + o.of("=", "=", "=", "==", "!=", "", "===", "!==", " = ", "in") + value
	}
	return o.many(3, term, o.of(",", ",", ",", ",,", ", "))
}

func (o odd) labelSelector() string {
	space := func() string { return o.of("", "", "", "", " ", "\t", "\r\n", "  ", "\x00") }
	value := func() string {
		return space() + o.of("a", "b", "1", "-1", "x_y.z", "", "in", "notin", "é", "-a", "a-", "a/b", "\xff", "9223372036854775808",
			strings.Repeat("v", 63), strings.Repeat("v", 64), "=", "!", "(") + space()
	}
	term := func() string {
		key := o.of("a", "app", "a.b/c", "A.b/c", "a..b/c", "a-/c", "-a.b/c", "/c", "a/", "a/b/c", "in", "notin", "x_", "_x", "X.y-z", "1", "",
			strings.Repeat("k", 63), strings.Repeat("k", 64), strings.Repeat("d", 253)+"/k", strings.Repeat("d", 254)+"/k")
		switch o.IntN(6) {
		case 0:
			return space() + key + space()
		case 1:
			return space() + "!" + space() + key + o.of("", "", "", " in (a)", "=b")
		case 2:
			return key + space() + o.of("=", "==", "!=", "===", "!", "=!", "><") + value()
		case 3:
			return key + space() + o.of(">", "<", ">=") + value()
		}
		return space() + key + o.of(" ", "\t", "") + o.of("in", "notin", "In") + space() + o.of("(", "(", "(", "(", "", "((") +
			o.many(4, value, o.of(",", ",", ",,")) + o.of(")", ")", ")", ")", "", "))")
	}
	return o.many(3, term, ",")
}

// noise changes one byte of s, or inserts, doubles or leaves out one.
func (o odd) noise(s string) string {
	if s == "" {
		return s
	}
	i := o.IntN(len(s))
	c := o.of("/", "%", "%2", "?", "&", "=", ",", "\\", "\x00", "%00", "\x7f", " ", "+", ";", "#", "!", "(", ")", "\x80", "%80", ":", s[i:i+1]+s[i:i+1])
	switch o.IntN(3) {
	case 0:
		return s[:i] + c + s[i:]
	case 1:
		return s[:i] + c + s[i+1:]
	}
	return s[:i] + s[i+1:]
}

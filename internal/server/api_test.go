package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// item is an element of a list of events.
type item struct {
	Seq     uint64          `json:"seq"`
	Cluster string          `json:"cluster"`
	To      []string        `json:"destination"`
	Source  string          `json:"source"`
	Offset  int64           `json:"offset"`
	Event   json.RawMessage `json:"event"`
	Fields  json.RawMessage `json:"fields"`
	Raw     string          `json:"raw"`
}

type eventList struct {
	head
	Items      []item `json:"items"`
	NextCursor string `json:"nextCursor"`
}

// wanted is an event of the sample as encoding/json reads it.
type wanted struct {
	Seq    uint64
	Offset int64
	Line   string
	Time   string // six decimals, so that it sorts
	User   string
	Verb   string
	Code   int
}

// readSample reads the sample the slow way, in the order of the file.
func readSample(t testing.TB) []wanted {
	t.Helper()
	var list []wanted
	offset := int64(0)
	for line := range bytes.Lines(sample(t)) {
		var e struct {
			Verb           string
			StageTimestamp string
			User           struct{ Username string }
			ResponseStatus struct{ Code int }
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, wanted{uint64(len(list)), offset, string(bytes.TrimSpace(line)), e.StageTimestamp, e.User.Username, e.Verb, e.ResponseStatus.Code})
		offset += int64(len(line))
	}
	return list
}

// inOrder sorts as the API does.
func inOrder(list []wanted, oldest bool) []wanted {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b wanted) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Seq, b.Seq))
	})
	if !oldest {
		slices.Reverse(list)
	}
	return list
}

func check(t *testing.T, got []item, want []wanted) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if exec := strings.Contains(w.Line, `/exec?`) && strings.Contains(w.Line, `"authorization.k8s.io/decision":"allow"`); exec && len(g.To) == 0 {
			t.Errorf("event %d went nowhere", g.Seq)
		}
		if g.Seq != w.Seq || g.Offset != w.Offset || g.Cluster != "prod" || g.Source != "audit.log" || string(g.Event) != w.Line {
			t.Fatalf("item %d: %d of %s %s at %d: %.99s\nwant %d at %d: %.99s", i, g.Seq, g.Cluster, g.Source, g.Offset, g.Event, w.Seq, w.Offset, w.Line)
		}
	}
}

// allPages follows the cursors from the first page of target to the last.
func allPages(t *testing.T, s *Server, target string, lines bool) [][]item {
	t.Helper()
	var pages [][]item
	for cursor := ""; ; {
		var page eventList
		at := target
		if cursor != "" {
			at += "&cursor=" + cursor
		}
		if lines {
			page = getLines(t, s, at)
		} else {
			page = getJSON[eventList](t, s, at, http.StatusOK)
		}
		pages = append(pages, page.Items)
		if cursor = page.NextCursor; cursor == "" {
			return pages
		}
		if len(pages) > 1000 {
			t.Fatal("the pages do not end")
		}
	}
}

func getLines(t *testing.T, s *Server, target string) eventList {
	t.Helper()
	w := get(s, target)
	if ct := w.Header().Get("Content-Type"); w.Code != http.StatusOK || ct != "application/x-ndjson" {
		t.Fatalf("%s: %d %s %s", target, w.Code, ct, w.Body)
	}
	list := eventList{NextCursor: w.Result().Trailer.Get(cursorTrailer)}
	for line := range bytes.Lines(w.Body.Bytes()) {
		var it item
		if err := json.Unmarshal(line, &it); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		list.Items = append(list.Items, it)
	}
	return list
}

// However the answers are cut into pages, together they are all events in order,
// byte for byte.
func TestEventsPageByPage(t *testing.T) {
	s := newServer(t, Config{})
	all := readSample(t)
	for _, limit := range []int{1, 7, 100, 199, 200, 201, 10000} {
		for _, order := range []string{"newest", "oldest"} {
			for _, lines := range []bool{false, true} {
				if limit == 1 && (lines || order == "oldest") {
					continue // each page is one pass over the sample
				}
				pages := allPages(t, s, fmt.Sprintf("/api/v1/events?limit=%d&order=%s", limit, order), lines)
				check(t, slices.Concat(pages...), inOrder(all, order == "oldest"))
				if want := (len(all) + limit - 1) / limit; len(pages) != want {
					t.Errorf("limit %d: %d pages, want %d", limit, len(pages), want)
				}
			}
		}
	}
}

func TestEventsByDefault(t *testing.T) {
	s := newServer(t, Config{})
	check(t, getLines(t, s, "/api/v1/events").Items, inOrder(readSample(t), false)[:defaultLimit])
}

func TestEventsOfAQuestion(t *testing.T) {
	s := newServer(t, Config{})
	all := inOrder(readSample(t), false)
	middle := all[len(all)/2].Time
	day := func(ts string) time.Time {
		at, err := time.Parse(time.RFC3339, ts)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	ago := now.Sub(day(middle)).Truncate(time.Second)
	tests := []struct {
		values url.Values
		match  func(wanted) bool
	}{
		{url.Values{"query": {"user:alice"}}, func(w wanted) bool { return w.User == "alice" }},
		{url.Values{"query": {"code >= 400 and not verb:get"}}, func(w wanted) bool { return w.Code >= 400 && w.Verb != "get" }},
		{url.Values{"query": {"user:nobody-of-that-name"}}, func(w wanted) bool { return false }},
		{url.Values{"query": {""}}, func(w wanted) bool { return true }},
		{url.Values{"since": {middle}}, func(w wanted) bool { return w.Time >= middle }},
		{url.Values{"until": {middle}}, func(w wanted) bool { return w.Time < middle }},
		{url.Values{"since": {"2026-11-20"}, "until": {"now"}}, func(w wanted) bool { return true }},
		{url.Values{"since": {strconv.Itoa(int(ago.Seconds())) + "s"}, "query": {"verb:delete"}},
			func(w wanted) bool { return w.Verb == "delete" && !day(w.Time).Before(now.Add(-ago)) }},
		{url.Values{"until": {"2026-11-20"}}, func(w wanted) bool { return false }},
	}
	for _, tt := range tests {
		var want []wanted
		for _, w := range all {
			if tt.match(w) {
				want = append(want, w)
			}
		}
		tt.values.Set("limit", "1000")
		t.Run(tt.values.Encode(), func(t *testing.T) {
			check(t, getJSON[eventList](t, s, "/api/v1/events?"+tt.values.Encode(), 200).Items, want)
		})
	}
}

func TestEventsWithFields(t *testing.T) {
	s := newServer(t, Config{})
	got := getLines(t, s, "/api/v1/events?order=oldest&limit=200&fields=verb,user,responseStatus.code,+seq,annotations.nothing")
	for i, w := range inOrder(readSample(t), true) {
		code := "null"
		if w.Code != 0 {
			code = strconv.Itoa(w.Code)
		}
		user := "null"
		if w.User != "" {
			user = strconv.Quote(w.User)
		}
		verb := "null"
		if w.Verb != "" {
			verb = strconv.Quote(w.Verb)
		}
		want := fmt.Sprintf(`{"verb":%s,"user":%s,"responseStatus.code":%s,"seq":%d,"annotations.nothing":null}`, verb, user, code, w.Seq)
		if g := got.Items[i]; string(g.Fields) != want || g.Event != nil || g.Seq != w.Seq {
			t.Errorf("event %d: %s, want %s", i, g.Fields, want)
		}
	}
}

func TestAccept(t *testing.T) {
	for accept, document := range map[string]bool{
		"": false, "*/*": false, "application/x-ndjson": false, "application/json": true, "text/html": false,
		"application/json, */*": true, "application/json;q=0.5, application/x-ndjson": false,
		"application/x-ndjson;q=0.5,application/json": true, "application/json;q=0": false, "application/json;q=NaN": false,
		"application/json; charset=utf-8": true, ";;q=,,": false,
	} {
		if got := wantsDocument(accept); got != document {
			t.Errorf("Accept %q: document %v, want %v", accept, got, document)
		}
	}
}

func TestOneEvent(t *testing.T) {
	s := newServer(t, Config{})
	for w := range slices.Chunk(readSample(t), 9) { // one of nine: each takes a pass over the sample
		w := w[0]
		path := fmt.Sprintf("/api/v1/events/%d", w.Seq)
		check(t, []item{getJSON[item](t, s, path, 200)}, []wanted{w})
		if raw := get(s, path+"?raw=true").Body.String(); raw != w.Line {
			t.Fatalf("raw event %d: %q, want %q", w.Seq, raw, w.Line)
		}
	}
	for path, status := range map[string]int{
		"200": 404, "99999": 404, "18446744073709551615": 404, "9223372036854775808": 404,
		"18446744073709551616": 400, "-1": 400, "x": 400, "1%20or%20seq:2": 400,
	} {
		if e := getJSON[apiError](t, s, "/api/v1/events/"+path, status); e.Code != status || e.Message == "" || e.Hint == "" {
			t.Errorf("%s: %+v", path, e)
		}
	}
}

// Whatever was kept as an event comes out as one line of valid JSON, and its
// original byte for byte.
func TestOddEvents(t *testing.T) {
	legacy := `2026-11-20T15:21:41.557464123Z AUDIT: id="7de7c315" stage="ResponseComplete" ip="10.0.0.7" method="get" user="jane" groups="\"a\",\"b c\"" as="<self>" asgroups="<lookup>" user-agent="curl" namespace="default" uri="/api/v1/pods" response="200"`
	tests := []struct{ name, line, want string }{
		{"legacy", legacy, `"username":"jane"`},
		{"v1beta1", `{"kind":"Event","apiVersion":"audit.k8s.io/v1beta1","metadata":{"creationTimestamp":"2018-01-02T03:04:05Z"},"level":"Metadata","timestamp":"2018-01-02T03:04:05Z","auditID":"x","stage":"ResponseComplete","requestURI":"/","verb":"get","user":{"username":"u"},"requestReceivedTimestamp":"2018-01-02T03:04:05.000000Z","stageTimestamp":"2018-01-02T03:04:05.000001Z"}`, `audit.k8s.io/v1beta1`},
		{"unusual blanks", `{ "kind" : "Event", "apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"x","stage":"ResponseComplete","requestURI":"/","verb":"get","user":{},"requestReceivedTimestamp":null,"stageTimestamp":null}`, `{ "kind" : "Event"`},
		{"no UTF-8", "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\",\"auditID\":\"x\",\"stage\":\"ResponseComplete\",\"requestURI\":\"/\",\"verb\":\"get\",\"user\":{\"username\":\"\xff\"},\"requestReceivedTimestamp\":null,\"stageTimestamp\":null}", "\ufffd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, Config{Trail: trailOf([]byte(tt.line + "\n"))})
			w := get(s, "/api/v1/events")
			if bytes.Count(w.Body.Bytes(), []byte("\n")) != 1 || !json.Valid(w.Body.Bytes()) || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %q, want one line of JSON with %q", w.Body, tt.want)
			}
			if raw := get(s, "/api/v1/events/0?raw"); raw.Body.String() != tt.line {
				t.Errorf("raw %q, want %q", raw.Body, tt.line)
			}
		})
	}
}

// A line that is not JSON in any way, and one on several lines, as a trail might
// hand them out.
func TestItemsOfBadLines(t *testing.T) {
	var iw itemWriter
	for raw, want := range map[string]string{
		"{\n \"verb\": \"get\"\r\n}": `"event":{"verb":"get"}`,
		`{"verb":`:                   `"event":{"kind":"Event"`,
	} {
		e := &audit.Event{Raw: []byte(raw), Staged: audit.NoTime, Received: audit.NoTime}
		got := string(iw.append(nil, e))
		if !json.Valid([]byte(got)) || !strings.Contains(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%q: %s", raw, got)
		}
	}
	e := &audit.Event{Raw: []byte(`{"a":`), RequestObject: []byte(`{"b`)}
	if got := string(iw.append(nil, e)); !strings.HasSuffix(got, `,"raw":"{\"a\":"}`) {
		t.Errorf("the last resort: %s", got)
	}
}

func TestAggregate(t *testing.T) {
	s := newServer(t, Config{})
	counts := map[[2]string]uint64{}
	for _, w := range readSample(t) {
		counts[[2]string{w.User, w.Verb}]++
	}
	var want []aggregate
	for k, n := range counts {
		want = append(want, aggregate{k[:], n})
	}
	slices.SortFunc(want, func(a, b aggregate) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), slices.Compare(a.Key, b.Key))
	})
	got := getJSON[aggregation](t, s, "/api/v1/aggregate?by=user,verb&top=5", 200)
	if d := gocmp.Diff(aggregation{head{apiVersion, "Aggregation"}, []string{"user", "verb"}, want[:5], len(want), 200}, got, gocmp.AllowUnexported(aggregation{})); d != "" {
		t.Error(d)
	}
	if none := getJSON[aggregation](t, s, "/api/v1/aggregate?by=user&query=user:none", 200); none.Rows == nil || len(none.Rows) != 0 || none.Events != 0 {
		t.Errorf("no answers: %+v", none)
	}
}

func TestHistogram(t *testing.T) {
	s := newServer(t, Config{})
	counts := map[string]uint64{}
	first, last := "", ""
	for _, w := range inOrder(readSample(t), true) {
		minute := w.Time[:len("2026-11-20T15:04")] + ":00.000000Z"
		counts[minute]++
		if first == "" {
			first = minute
		}
		last = minute
	}
	got := getJSON[histogram](t, s, "/api/v1/histogram?every=1m", 200)
	sum := uint64(0)
	for _, b := range got.Buckets {
		if b.Count != counts[b.Start] {
			t.Errorf("%s: %d, want %d", b.Start, b.Count, counts[b.Start])
		}
		sum += b.Count
	}
	if got.EverySeconds != 60 || sum != 200 || got.Buckets[0].Start != first || got.Buckets[len(got.Buckets)-1].Start != last {
		t.Errorf("%d events in bars of %v s, from %v, want 200 from %s to %s", sum, got.EverySeconds, got.Buckets, first, last)
	}
	if auto := getJSON[histogram](t, s, "/api/v1/histogram", 200); len(auto.Buckets) < 20 || len(auto.Buckets) > 102 {
		t.Errorf("%d bars of %v s when the server chooses", len(auto.Buckets), auto.EverySeconds)
	}
	if none := getJSON[histogram](t, s, "/api/v1/histogram?query=user:none", 200); none.Buckets == nil || len(none.Buckets) != 0 {
		t.Errorf("no answers: %+v", none)
	}
	e := getJSON[apiError](t, s, "/api/v1/histogram?every=1ms", 400)
	if e.Parameter != "every" || !strings.Contains(e.Hint, "wider bars") {
		t.Errorf("too many bars: %+v", e)
	}
	empty := newServer(t, Config{Trail: trailOf(nil)})
	getJSON[histogram](t, empty, "/api/v1/histogram?every=1ms", 200)
}

func TestRoundWidth(t *testing.T) {
	for _, span := range []time.Duration{0, time.Second, time.Minute, time.Hour, 24 * time.Hour, 365 * 24 * time.Hour, 290 * 365 * 24 * time.Hour} {
		w := roundWidth(span.Microseconds())
		if bars := span / w; w <= 0 || bars > 100 || span > 2*time.Minute && bars < 14 {
			t.Errorf("%v: %d bars of %v", span, bars, w)
		}
	}
	if w := roundWidth(1<<63 - 1); w <= 0 {
		t.Errorf("the longest span: %v", w)
	}
}

func TestFieldsAndSummary(t *testing.T) {
	s := newServer(t, Config{})
	list := getJSON[fieldList](t, s, "/api/v1/fields", 200)
	if len(list.Items) != len(audit.Fields()) {
		t.Errorf("%d fields, want %d", len(list.Items), len(audit.Fields()))
	}
	types := map[string]bool{}
	for _, f := range list.Items {
		types[f.Type] = true
		if f.Docs["en"] == "" || f.Docs["zh"] == "" {
			t.Errorf("%s is not documented: %v", f.Path, f.Docs)
		}
	}
	if len(types) != 7 {
		t.Errorf("types %v, want all seven", types)
	}
	all := inOrder(readSample(t), true)
	got := getJSON[summary](t, s, "/api/v1/summary", 200)
	if got.Events != 200 || *got.First != all[0].Time || *got.Last != all[199].Time || len(got.Sources) != 1 || got.Sources[0].Name != "audit.log" {
		t.Errorf("%+v", got)
	}
	empty := getJSON[summary](t, newServer(t, Config{Trail: trailOf(nil)}), "/api/v1/summary", 200)
	if empty.First != nil || empty.Last != nil || empty.Events != 0 || empty.Sources == nil {
		t.Errorf("an empty trail: %+v", empty)
	}
}

func TestBadParameters(t *testing.T) {
	s := newServer(t, Config{})
	tests := []struct{ target, parameter, say string }{
		{"/api/v1/events?limit=0", "limit", "1 to 10000"},
		{"/api/v1/events?limit=10001", "limit", "1 to 10000"},
		{"/api/v1/events?limit=ten", "limit", "1 to 10000"},
		{"/api/v1/events?order=up", "order", "newest or oldest"},
		{"/api/v1/events?since=yesterday", "since", "RFC 3339"},
		{"/api/v1/events?until=-1h", "until", "RFC 3339"},
		{"/api/v1/events?since=1h&until=2h", "since", "not before until"},
		{"/api/v1/events?cursor=xyz", "cursor", "begin again"},
		{"/api/v1/events?order=oldest&cursor=" + trail.FormatCursor(false, trail.Cursor{Time: 1, Seq: 1}), "cursor", "begin again"},
		{"/api/v1/events?fields=verb,usr", "fields", `did you mean`},
		{"/api/v1/events?fields=" + strings.Repeat("verb,", maxFields) + "verb", "fields", "200 at most"},
		{"/api/v1/events?qurey=x", "qurey", "no such parameter"},
		{"/api/v1/events?limit=1&limit=2", "limit", "more than once"},
		{"/api/v1/events?query=%zz", "", "%zz"},
		{"/api/v1/events?query=a;b", "", "semicolon"},
		{"/api/v1/events/1?raw=maybe", "raw", "neither"},
		{"/api/v1/aggregate", "by", "no field"},
		{"/api/v1/aggregate?by=", "by", "no field"},
		{"/api/v1/aggregate?by=user,", "by", "no field"},
		{"/api/v1/aggregate?by=user&top=0", "top", "1 to 10000"},
		{"/api/v1/aggregate?by=" + strings.Repeat("user,", maxBy) + "user", "by", "8 at most"},
		{"/api/v1/histogram?every=often", "every", "no duration"},
		{"/api/v1/histogram?every=0s", "every", "1ms"},
		{"/api/v1/fields?x=1", "x", "no parameters"},
		{"/readyz?verbose=perhaps", "verbose", "neither"},
	}
	for _, tt := range tests {
		e := getJSON[apiError](t, s, tt.target, http.StatusBadRequest)
		if text := e.Message + " " + e.Hint; e.Parameter != tt.parameter || !strings.Contains(text, tt.say) {
			t.Errorf("%s: %q about %q, want %q about %q", tt.target, text, e.Parameter, tt.say, tt.parameter)
		}
	}
}

func TestBadQuestionSaysWhere(t *testing.T) {
	s := newServer(t, Config{})
	for text, want := range map[string]position{
		"verb:get and usr:alice": {13, 16},
		"verb:(get or":           {12, 12},
		"user:alice)":            {10, 11},
		"verb:get 用户 and usr:x":  {20, 23},
	} {
		e := getJSON[apiError](t, s, "/api/v1/events?query="+url.QueryEscape(text), http.StatusBadRequest)
		if d := gocmp.Diff(&want, e.Position); d != "" || e.Reason != "BadQuery" || e.Parameter != "query" || e.Message == "" {
			t.Errorf("%q: %+v\n%s", text, e, d)
		}
	}
	e := getJSON[apiError](t, s, "/api/v1/events?query=usr:alice", http.StatusBadRequest)
	if !strings.Contains(e.Message+e.Hint, "user") {
		t.Errorf("no suggestion in %+v", e)
	}
}

func TestCursorRoundTrip(t *testing.T) {
	for _, c := range []trail.Cursor{{}, {Time: audit.NoTime, Seq: 1}, {Time: -1, Seq: 1<<64 - 1}, {Time: 1795188101557464, Seq: 42}} {
		for _, oldest := range []bool{false, true} {
			text := trail.FormatCursor(oldest, c)
			gotOldest, got, err := trail.ParseCursor(text)
			if err != nil || got != c || gotOldest != oldest || url.QueryEscape(text) != text {
				t.Errorf("%v %v: %q is read as %v %v, %v", oldest, c, text, gotOldest, got, err)
			}
		}
	}
}

// Only what formatCursor writes is a cursor.
func FuzzCursor(f *testing.F) {
	f.Add(trail.FormatCursor(true, trail.Cursor{Time: 1795188101557464, Seq: 42}))
	f.Add(trail.FormatCursor(false, trail.Cursor{Time: audit.NoTime}))
	f.Add("b\nAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		oldest, c, err := trail.ParseCursor(text)
		if err == nil && trail.FormatCursor(oldest, c) != text {
			t.Errorf("%q is read as %v %v, which is written %q", text, oldest, c, trail.FormatCursor(oldest, c))
		}
	})
}

// Whatever stands in a URL, the answer is one of the documented ones.
func FuzzParameters(f *testing.F) {
	s := newServer(f, Config{Trail: trailOf(sample(f)[:20000])})
	s.ready.Store(true)
	f.Add("/api/v1/events", "query=verb:get&limit=3&order=oldest&fields=verb&since=1d&until=now", "application/json")
	f.Add("/api/v1/events/0", "raw=1", "")
	f.Add("/api/v1/aggregate", "by=user,verb&top=3", "*/*;q=0.1")
	f.Add("/api/v1/histogram", "every=1d", "")
	f.Add("/", "query=(&lang=zh&cursor=AA", "")
	f.Add("/events/7", "lang=en", "")
	f.Fuzz(func(t *testing.T, path, query, accept string) {
		w := httptest.NewRecorder()
		r := &http.Request{Method: "GET", Host: "localhost", Header: http.Header{"Accept": {accept}, "Accept-Language": {accept}},
			URL: &url.URL{Path: "/" + strings.TrimPrefix(path, "/"), RawQuery: query}, Body: http.NoBody}
		s.ServeHTTP(w, r.WithContext(t.Context()))
		if w.Code >= 500 || w.Code == 0 {
			t.Errorf("%s?%s: %d %s", path, query, w.Code, w.Body)
		}
		if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s?%s: no JSON: %s", path, query, w.Body)
		}
	})
}

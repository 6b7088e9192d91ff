package server

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"kubetrail/audit"
)

var (
	rowLink = regexp.MustCompile(`href="(/events/\d+[^"]*)"`)
	allRefs = regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)
)

func TestListPage(t *testing.T) {
	s := newServer(t, Config{})
	all := inOrder(readSample(t), false)
	seen := 0
	for target := "/"; target != ""; {
		w := get(s, target)
		page := w.Body.String()
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Fatalf("%s: %d %s", target, w.Code, page)
		}
		for _, m := range rowLink.FindAllStringSubmatch(page, -1) {
			if want := "/events/" + fmt.Sprint(all[seen].Seq); m[1] != want {
				t.Fatalf("row %d leads to %s, want %s", seen, m[1], want)
			}
			seen++
		}
		target = ""
		if m := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(page); m != nil {
			target = html.UnescapeString(m[1])
		}
	}
	if seen != len(all) {
		t.Errorf("the pages show %d events, want %d", seen, len(all))
	}
}

func TestListPageShowsWhoDidWhat(t *testing.T) {
	line := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"x","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/shop/deployments/web/scale","verb":"update","user":{"username":"jane"},"impersonatedUser":{"username":"root"},"sourceIPs":["10.0.0.7","192.168.1.9"],"objectRef":{"resource":"deployments","namespace":"shop","name":"web","apiGroup":"apps","apiVersion":"v1","subresource":"scale"},"responseStatus":{"metadata":{},"code":403},"requestObject":{"spec":{"replicas":12345}},"requestReceivedTimestamp":"2026-11-20T15:21:41.557464Z","stageTimestamp":"2026-11-20T15:21:41.599740Z"}`
	page := get(newServer(t, Config{Trail: trailOf([]byte(line))}), "/").Body.String()
	for _, want := range []string{
		`<time datetime="2026-11-20T15:21:41.599740Z">2026-11-20 15:21:41</time>`, ">jane ", "</span> root<", ">update<",
		"deployments.apps/scale <strong>shop/web</strong>", `<span class="c4">403</span>`, ">192.168.1.9<", "<p>1 event</p>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	for _, secret := range []string{"12345", "requestObject", "10.0.0.7"} {
		if strings.Contains(page, secret) {
			t.Errorf("the list shows %q", secret)
		}
	}
}

func TestListPageOfAQuestion(t *testing.T) {
	s := newServer(t, Config{})
	page := get(s, "/?query=user:alice&since=1d").Body.String()
	if got := strings.Count(page, `<tr role="row"><td`); got == 0 || got != strings.Count(page, `class="who">alice<`) {
		t.Errorf("%d rows, not all of alice", got)
	}
	if !strings.Contains(page, `name="query" value="user:alice"`) || !strings.Contains(page, `name="since" value="1d"`) {
		t.Error("the form forgets the question")
	}
	if page := get(s, "/?query=user:none").Body.String(); !strings.Contains(page, "No event matches.") {
		t.Error("nothing is said where nothing matches")
	}
}

func TestListPageShowsWhereAQuestionIsWrong(t *testing.T) {
	s := newServer(t, Config{})
	w := get(s, "/?query=verb:get+and+usr:alice")
	page := html.UnescapeString(w.Body.String())
	if w.Code != http.StatusBadRequest || !strings.Contains(page, "\n  "+strings.Repeat(" ", 13)+"^") || !strings.Contains(page, "user") {
		t.Errorf("%d, no caret below the place in %s", w.Code, page)
	}
	if !strings.Contains(page, `value="verb:get and usr:alice"`) || strings.Contains(page, "<table") {
		t.Error("the form forgets the question, or there is a table")
	}
	for _, target := range []string{"/?since=soon", "/?cursor=x", "/?x=1", "/events/200", "/events/x"} {
		w := get(s, target)
		if w.Code/100 != 4 || !strings.Contains(w.Body.String(), `role="alert"`) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

func TestPageLanguage(t *testing.T) {
	s := newServer(t, Config{})
	for _, tt := range []struct{ target, accept, lang string }{
		{"/", "", "en"}, {"/", "zh-CN,zh;q=0.9,en;q=0.8", "zh"}, {"/", "de,en;q=0.7,zh;q=0.3", "en"}, {"/", "fr", "en"},
		{"/?lang=zh", "en", "zh"}, {"/?lang=en", "zh", "en"}, {"/?lang=xx", "zh-TW", "zh"},
		{"/events/1?lang=zh", "", "zh"}, {"/events/200?lang=zh", "", "zh"}, {"/?lang=zh&query=(", "", "zh"},
	} {
		page := get(s, tt.target, "Accept-Language", tt.accept).Body.String()
		if !strings.Contains(page, `<html lang="`+tt.lang+`">`) {
			t.Errorf("%s with %q is not in %s", tt.target, tt.accept, tt.lang)
		}
	}
	page := get(s, "/?lang=zh&query=verb:get").Body.String()
	for _, want := range []string{"最新审计事件", `href="/?lang=en&amp;query=verb%3Aget"`, `name="lang" value="zh"`, "?lang=zh"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the Chinese page", want)
		}
	}
	if m := rowLink.FindStringSubmatch(page); m == nil || !strings.HasSuffix(m[1], "?lang=zh") {
		t.Errorf("the link %v forgets the language", m)
	}
}

func TestEventPage(t *testing.T) {
	s := newServer(t, Config{})
	for _, w := range readSample(t)[:40] {
		answer := get(s, "/events/"+fmt.Sprint(w.Seq))
		page := html.UnescapeString(answer.Body.String())
		_, shown, _ := strings.Cut(page, `<pre tabindex="0">`)
		shown, _, _ = strings.Cut(shown, "</pre>")
		var got, want any
		if err := json.Unmarshal([]byte(shown), &got); err != nil {
			t.Fatalf("event %d: %v in %.200s", w.Seq, err, shown)
		}
		if err := json.Unmarshal([]byte(w.Line), &want); err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if string(a) != string(b) || !strings.Contains(shown, "\n  ") {
			t.Errorf("event %d: %.200s", w.Seq, shown)
		}
		if w.User != "" && !strings.Contains(page, `>user.username</th><td>`+w.User+`</td>`) {
			t.Errorf("event %d: no user name in its table", w.Seq)
		}
	}
}

// What a client wrote into an event must not become part of a page.
func TestPagesEscape(t *testing.T) {
	evil := `\u003cscript\u003ealert(1)\u003c/script\u003e\" onload=\"x`
	line := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"` + evil + `","stage":"ResponseComplete","requestURI":"javascript:alert(1)","verb":"` + evil +
		`","user":{"username":"` + evil + `"},"userAgent":"` + evil + `","requestReceivedTimestamp":null,"stageTimestamp":null}`
	s := newServer(t, Config{Trail: trailOf([]byte(line))})
	for _, target := range []string{"/", "/events/0", "/?query=%22%3E%3Cscript%3Ealert(1)", "/?query=(&since=%3Cscript%3E", "/%3Cscript%3E", "/?lang=%22%3E%3Cscript%3E"} {
		body := get(s, target).Body.String()
		if strings.Contains(body, "<script") || strings.Contains(body, `" onload`) || strings.Contains(body, `href="javascript`) {
			t.Errorf("%s: %s", target, body)
		}
	}
}

// Every link and file of the pages is a path of this server that exists.
func TestPagesLinkToWhatExists(t *testing.T) {
	s := newServer(t, Config{})
	for _, target := range []string{"/", "/?lang=zh", "/events/7", "/events/200", "/?query=code%3E300"} {
		page := get(s, target).Body.String()
		for _, m := range allRefs.FindAllStringSubmatch(page, -1) {
			link := html.UnescapeString(m[1])
			if !strings.HasPrefix(link, "/") || strings.HasPrefix(link, "//") {
				t.Errorf("%s: the link %q leaves the server", target, link)
			}
			if w := get(s, link); w.Code != http.StatusOK && !strings.HasPrefix(link, "/events/200?") {
				t.Errorf("%s: the link %q gives %d", target, link, w.Code)
			}
		}
		for _, banned := range []string{"<script", "<style", " style=", "data:"} {
			if strings.Contains(page, banned) {
				t.Errorf("%s: %q, which the content security policy forbids", target, banned)
			}
		}
	}
}

func TestLargeEventIsCut(t *testing.T) {
	e := &audit.Event{Raw: []byte(`{"a":"` + strings.Repeat("用", maxShownJSON) + `"}`)}
	text, cut := prettyJSON(e)
	if !cut || len(text) > 2*maxShownJSON+3 {
		t.Errorf("%d bytes, cut %v", len(text), cut)
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 23131: "23,131", 1<<64 - 1: "18,446,744,073,709,551,615"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q, want %q", n, got, want)
		}
	}
}

package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"kubetrail/audit"
)

const (
	pageRows     = 50
	maxShownJSON = 256 << 10 // bytes of an event that its page shows
)

// pages are the HTML pages. They are whole without scripts.
type pages struct{ templates *template.Template }

func newPages() *pages {
	return &pages{template.Must(template.ParseFS(files, "page.html"))}
}

// layout is what all pages have in common.
type layout struct {
	Lang, Title         string
	LangParam           string // the language where the URL asks for it
	LangOnly            string // "?lang=…" or nothing, for links that keep nothing else
	OtherURL, OtherLang string // this page in the other language
	OtherName           string
	Holds               string // what the trail holds
	W                   map[string]string
	Error               *pageError
}

type pageError struct{ Message, Caret, Hint string }

func newLayout(r *http.Request, title string) layout {
	l := layout{Lang: language(r), OtherLang: "zh", OtherName: "中文"}
	if l.Lang == "zh" {
		l.OtherLang, l.OtherName = "en", "English"
	}
	l.W = words(l.Lang)
	l.Title = l.W[title]
	values := r.URL.Query()
	if values.Get("lang") == l.Lang {
		l.LangParam, l.LangOnly = l.Lang, "?lang="+l.Lang
	}
	values.Set("lang", l.OtherLang)
	l.OtherURL = r.URL.EscapedPath() + "?" + values.Encode()
	return l
}

// render sends a page.
func (ps *pages) render(w http.ResponseWriter, code int, name string, data any) error {
	var b bytes.Buffer
	if err := ps.templates.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept-Language")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
	return nil
}

// fail sends an error as a page.
func (ps *pages) fail(w http.ResponseWriter, r *http.Request, e *apiError) {
	l := newLayout(r, "title")
	l.Error = &pageError{e.Message, e.caret, e.Hint}
	if err := ps.render(w, e.Code, "failed", l); err != nil {
		http.Error(w, e.Message, e.Code)
	}
}

// listData is the page of the latest events.
type listData struct {
	layout
	Query, Since, Until string
	Examples            []example
	Rows                []row
	NextURL             string
}

type example struct{ Query, URL string }

// row is one event of the list. It shows no bodies.
type row struct {
	URL             string
	Stamp, When     string // RFC 3339; for people
	Who, As         string
	Verb            string
	What, Name      string // "pods/log"; "namespace/name"
	Code, CodeClass string
	From            string
}

func (s *Server) listPage(w http.ResponseWriter, r *http.Request, p params) error {
	data := listData{layout: newLayout(r, "title"), Query: p.get("query"), Since: p.get("since"), Until: p.get("until")}
	for _, q := range []string{"verb:delete", "code >= 400", "resource:secrets and not user:system*"} {
		data.Examples = append(data.Examples, example{q, listURL(url.Values{"query": {q}}, data.LangParam)})
	}
	held, err := s.cfg.Trail.Summary(r.Context())
	if err != nil {
		return err
	}
	data.Holds = fmt.Sprintf(data.W["holds"], number(held.Events))
	if held.Events == 1 {
		data.Holds = data.W["holdsOne"]
	}
	next, err := s.rows(r, p, &data)
	code := http.StatusOK
	if err != nil {
		e := toAPIError(err)
		if e.Code >= http.StatusInternalServerError {
			return err
		}
		code, data.Error = e.Code, &pageError{e.Message, e.caret, e.Hint}
	}
	if next != "" {
		data.NextURL = listURL(url.Values{"query": {data.Query}, "since": {data.Since}, "until": {data.Until}, "cursor": {next}}, data.LangParam)
	}
	return s.pages.render(w, code, "list", data)
}

// rows fills in the rows of a list and returns the cursor of the next page.
func (s *Server) rows(r *http.Request, p params, data *listData) (next string, err error) {
	q, err := p.question()
	if err != nil {
		return "", err
	}
	page, err := p.page(audit.Set(audit.Username, audit.ImpersonatedUsername, audit.Verb, audit.Resource, audit.Subresource,
		audit.APIGroup, audit.Namespace, audit.Name, audit.RequestURI, audit.Code, audit.SourceIPs))
	if err != nil {
		return "", err
	}
	page.Limit = pageRows + 1
	return s.searchPage(r.Context(), q, page, func(e *audit.Event) error {
		row := newRow(e)
		row.URL += data.LangOnly
		data.Rows = append(data.Rows, row)
		return nil
	})
}

// listURL is the address of a list, parameters without a value left out.
func listURL(values url.Values, lang string) string {
	values.Set("lang", lang)
	for name := range values {
		if values.Get(name) == "" {
			values.Del(name)
		}
	}
	return "/?" + values.Encode()
}

func newRow(e *audit.Event) row {
	text := func(c audit.Column) string { return string(e.Text[c]) }
	r := row{
		URL: "/events/" + strconv.FormatUint(e.Seq, 10),
		Who: text(audit.Username), As: text(audit.ImpersonatedUsername), Verb: text(audit.Verb),
	}
	r.What, r.Name = target(e)
	if t := e.Time(); t != audit.NoTime {
		r.Stamp = formatTime(t)
		r.When = strings.Replace(r.Stamp[:len("2006-01-02T15:04:05")], "T", " ", 1)
	}
	if e.Code != 0 {
		r.Code = strconv.Itoa(int(e.Code))
		r.CodeClass = "c" + r.Code[:1]
	}
	// The last address is the one that the API server saw itself; those before it
	// are what proxies, or the client, said.
	var addresses []string
	if json.Unmarshal(e.Text[audit.SourceIPs], &addresses) == nil && len(addresses) > 0 {
		r.From = addresses[len(addresses)-1]
	}
	return r
}

// target says what a request was about: a resource, and the object's name where it
// has one; or the path of a request for something else.
func target(e *audit.Event) (what, name string) {
	if len(e.Text[audit.Resource]) == 0 {
		path, _, _ := strings.Cut(string(e.Text[audit.RequestURI]), "?")
		return path, ""
	}
	what = string(e.Text[audit.Resource])
	if group := e.Text[audit.APIGroup]; len(group) > 0 {
		what += "." + string(group)
	}
	if sub := e.Text[audit.Subresource]; len(sub) > 0 {
		what += "/" + string(sub)
	}
	name, ns := string(e.Text[audit.Name]), string(e.Text[audit.Namespace])
	switch {
	case ns == "":
		return what, name
	case name == "":
		return what, "-n " + ns
	}
	return what, ns + "/" + name
}

// eventData is the page of one event.
type eventData struct {
	layout
	Seq    uint64
	Fields []fieldValue
	JSON   string
	Cut    bool // JSON is not the whole
}

type fieldValue struct{ Path, Doc, Value string }

func (s *Server) eventPage(w http.ResponseWriter, r *http.Request, _ params) error {
	seq, err := parseSeq(r.PathValue("seq"))
	if err != nil {
		return err
	}
	data := eventData{layout: newLayout(r, "event"), Seq: seq}
	err = s.oneEvent(r.Context(), seq, audit.AllColumns, func(e *audit.Event) {
		row := newRow(e)
		data.Title = strings.Join(strings.Fields(strings.Join([]string{row.Who, row.Verb, row.What, row.Name, row.Code}, " ")), " ")
		data.Fields = fieldValues(e, data.Lang)
		data.JSON, data.Cut = prettyJSON(e)
	})
	if err != nil {
		return err
	}
	return s.pages.render(w, http.StatusOK, "event", data)
}

// fieldValues lists the fields that e has, but for the bodies.
func fieldValues(e *audit.Event, lang string) []fieldValue {
	var list []fieldValue
	for _, f := range audit.Fields() {
		if f.Needs.Has(audit.RequestObject) || f.Needs.Has(audit.ResponseObject) {
			continue
		}
		ref, err := audit.Resolve(f.Path)
		if err != nil {
			continue
		}
		value := ref.AppendJSON(nil, e)
		if string(value) == "null" {
			continue
		}
		text := string(value)
		var one string
		var several []string
		if json.Unmarshal(value, &one) == nil {
			text = one
		} else if json.Unmarshal(value, &several) == nil {
			text = strings.Join(several, ", ")
		}
		doc := f.Doc
		if lang == "zh" {
			doc = f.DocZH
		}
		list = append(list, fieldValue{f.Path, doc, text})
	}
	return list
}

// prettyJSON returns the event on many lines, or the beginning of one too large for
// a page.
func prettyJSON(e *audit.Event) (text string, cut bool) {
	line := e.AppendLine(nil)
	var b bytes.Buffer
	if len(line) <= maxShownJSON && json.Indent(&b, line, "", "  ") == nil {
		line = b.Bytes()
	}
	if len(line) > 2*maxShownJSON {
		line, cut = line[:2*maxShownJSON], true
	}
	return string(bytes.ToValidUTF8(line, []byte(string(utf8.RuneError)))), cut
}

// number writes a count with its thousands apart.
func number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

package server

import (
	"net/http"
	"strconv"
	"strings"
)

// words returns the texts of the page in a language, English unless it is "zh".
func words(lang string) map[string]string {
	if lang == "zh" {
		return map[string]string{
			"title":       "最新审计事件",
			"query":       "查询（KQL）",
			"since":       "起始",
			"until":       "截止",
			"now":         "现在",
			"search":      "搜索",
			"tryThese":    "试试：",
			"newestFirst": "最新的在前，时间为 UTC",
			"time":        "时间",
			"who":         "用户",
			"as":          "扮演",
			"verb":        "动作",
			"what":        "对象",
			"code":        "状态码",
			"from":        "来源",
			"nobody":      "（未认证）",
			"noTime":      "（无时间）",
			"nothing":     "没有匹配的事件。",
			"older":       "更早的事件 →",
			"event":       "事件",
			"asWritten":   "原始 JSON",
			"cut":         "事件很大，这里只显示开头部分。",
			"original":    "逐字节的原文",
			"back":        "返回列表",
			"holds":       "共 %s 个事件",
			"holdsOne":    "共 1 个事件",
		}
	}
	return map[string]string{
		"title":       "Latest audit events",
		"query":       "Question (KQL)",
		"since":       "Since",
		"until":       "Until",
		"now":         "now",
		"search":      "Search",
		"tryThese":    "Try:",
		"newestFirst": "Newest first, times in UTC",
		"time":        "Time",
		"who":         "Who",
		"as":          "as",
		"verb":        "Verb",
		"what":        "What",
		"code":        "Code",
		"from":        "From",
		"nobody":      "(not authenticated)",
		"noTime":      "(no time)",
		"nothing":     "No event matches.",
		"older":       "Older events →",
		"event":       "Event",
		"asWritten":   "As JSON",
		"cut":         "This event is large, only its beginning is shown.",
		"original":    "The original, byte for byte",
		"back":        "Back to the list",
		"holds":       "%s events",
		"holdsOne":    "1 event",
	}
}

// language is the language of the page that r asks for: what the parameter lang
// says, else the one of English and Chinese that the browser prefers.
func language(r *http.Request) string {
	switch lang := r.URL.Query().Get("lang"); lang {
	case "en", "zh":
		return lang
	}
	best, bestQ := "en", 0.0
	for name, q := range accepted(r.Header.Get("Accept-Language")) {
		primary, _, _ := strings.Cut(strings.ToLower(name), "-")
		if (primary == "en" || primary == "zh") && q > bestQ {
			best, bestQ = primary, q
		}
	}
	return best
}

// wantsDocument reports whether an Accept header prefers one JSON document to JSON
// lines, which are what a client gets that does not say.
func wantsDocument(accept string) bool {
	document, lines := 0.0, 0.0
	for name, q := range accepted(accept) {
		switch name {
		case "application/json":
			document = max(document, q)
		case "application/x-ndjson", "application/jsonl":
			lines = max(lines, q)
		}
	}
	return document > lines
}

// accepted yields the elements of an Accept or Accept-Language header with their
// weights, parameters but q left out.
func accepted(header string) func(yield func(string, float64) bool) {
	return func(yield func(string, float64) bool) {
		for element := range strings.SplitSeq(header, ",") {
			name, rest, _ := strings.Cut(element, ";")
			q := 1.0
			for parameter := range strings.SplitSeq(rest, ";") {
				if v, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
					q, _ = strconv.ParseFloat(v, 64)
				}
			}
			if !yield(strings.TrimSpace(name), q) {
				return
			}
		}
	}
}

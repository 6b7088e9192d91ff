package main

// words are the names that show prints, in one language.
type words struct {
	what, when, who, as, onWhat, observed, from, to  string
	result, decision, after, nowhere                 string
	annotations, userExtra, metadata, details, other string
	request, response                                string
}

func wordsOf(lang string) words {
	if lang == "zh" {
		return words{
			what: "什么", when: "何时", who: "谁", as: "冒充", onWhat: "对象", observed: "记录于",
			from: "来自", to: "去往", result: "结果", decision: "授权", after: "收到后",
			nowhere: "（据所知未被转发）", annotations: "注解", userExtra: "用户附加信息",
			metadata: "认证元数据", details: "状态详情", other: "其他成员",
			request: "请求体", response: "响应体",
		}
	}
	return words{
		what: "What", when: "When", who: "Who", as: "As", onWhat: "On what", observed: "Observed",
		from: "From", to: "To", result: "Result", decision: "Decision", after: "after",
		nowhere: "(not passed on, as far as is known)", annotations: "Annotations", userExtra: "User extra",
		metadata: "Authentication metadata", details: "Status details", other: "Other members",
		request: "Request object", response: "Response object",
	}
}

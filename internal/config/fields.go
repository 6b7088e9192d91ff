package config

// Field is one field of a configuration file: what it means, and what changing it takes.
type Field struct {
	Path string // such as "clusters[].sources[].path"
	EN   string // meaning, one or two sentences
	ZH   string
	// Default is what holds where the field is not given and [Defaults] has no value
	// for it, in both languages; empty: see Defaults.
	DefaultEN, DefaultZH string
	Required             bool
	Restart              bool // a change is noticed while serve runs, and takes part with its next start
}

// Fields are all fields, in the order of the file.
func Fields() []Field {
	return []Field{
		{Path: "apiVersion", EN: "Always `kubetrail.io/v1alpha1`.", ZH: "固定为 `kubetrail.io/v1alpha1`。", Required: true},
		{Path: "kind", EN: "Always `Config`.", ZH: "固定为 `Config`。", Required: true},
		{Path: "data", EN: "Directory of the trail.", ZH: "审计链所在目录。", Restart: true,
			DefaultEN: "`$KUBETRAIL_DATA`, else `~/.local/share/kubetrail`", DefaultZH: "`$KUBETRAIL_DATA`，否则 `~/.local/share/kubetrail`"},
		{Path: "readOnly", EN: "Only answer questions, beside whatever else writes to the trail.", ZH: "只回答提问，由别的进程写审计链。", Restart: true},
		{Path: "listen", EN: "Address, `HOST:PORT`; port 0 takes a free one. Any other than this machine's own loopback needs `tokens` or `certificates`.",
			ZH: "监听地址 `HOST:PORT`；端口 0 表示任选一个空闲端口。若不是本机回环地址，必须有 `tokens` 或 `certificates`。", Restart: true},
		{Path: "tls.cert", EN: "Certificate, PEM. Like all files named here it is read again when it changes.", ZH: "证书（PEM）。与这里提到的其他文件一样，改变后会重新读取。", DefaultEN: "plain HTTP", DefaultZH: "明文 HTTP"},
		{Path: "tls.key", EN: "Key of the certificate, PEM.", ZH: "证书的私钥（PEM）。"},
		{Path: "tls.clientCA", EN: "CA of client certificates, PEM; `certificates` says which of those it signed may do what.", ZH: "客户端证书的 CA（PEM）；由它签发的证书能做什么，见 `certificates`。"},
		{Path: "tokens[].name", EN: "Name in messages; each token has its own.", ZH: "消息中使用的名称，互不相同。", Required: true},
		{Path: "tokens[].file", EN: "File whose only line is the token, at least 16 characters.", ZH: "只有一行的文件，内容即令牌，至少 16 个字符。", Required: true},
		{Path: "tokens[].roles", EN: "What it is good for: `read` (questions, the page, `/metrics`), `webhook` (posts to `/webhook/CLUSTER`), `agent` (appends of `kubetrail agent`), `metrics` (`/metrics` alone).",
			ZH: "可以做什么：`read`（提问、网页、`/metrics`）、`webhook`（向 `/webhook/CLUSTER` 发送）、`agent`（`kubetrail agent` 的追加）、`metrics`（只有 `/metrics`）。", Required: true},
		{Path: "tokens[].clusters", EN: "Only these clusters, for every role. Who reads with such a token finds the events of these clusters alone.", ZH: "对所有角色，只限这些集群。用这样的令牌只能查到这些集群的事件。", DefaultEN: "all", DefaultZH: "全部"},
		{Path: "certificates[].name", EN: "Name in messages; each has its own.", ZH: "消息中使用的名称，互不相同。", Required: true},
		{Path: "certificates[].commonName", EN: "Common name (CN) of the subject.", ZH: "主体的通用名（CN）。", DefaultEN: "any", DefaultZH: "任意"},
		{Path: "certificates[].organization", EN: "One of the organizations (O) of the subject.", ZH: "主体的组织（O）之一。", DefaultEN: "any", DefaultZH: "任意"},
		{Path: "certificates[].roles", EN: "As those of a token. A certificate that several entries fit has all that they give.", ZH: "同令牌的角色。证书符合多项时，兼得各项所给的权限。", Required: true},
		{Path: "certificates[].clusters", EN: "As those of a token.", ZH: "同令牌。", DefaultEN: "all", DefaultZH: "全部"},
		{Path: "clusters[].name", EN: "Name of the cluster, which becomes the field `cluster` of its events.", ZH: "集群名，即其事件的 `cluster` 字段。", DefaultEN: "none", DefaultZH: "无"},
		{Path: "clusters[].sources[].path", EN: "Log to follow through its rotations: the file that `--audit-log-path` names, or its directory. It need not exist yet, and may be a pattern.",
			ZH: "要跟踪（包括轮转）的日志：`--audit-log-path` 所指的文件，或其目录。可以尚不存在，也可以是通配模式。", Required: true},
		{Path: "clusters[].sources[].server", EN: "Name of the API server that writes it, which becomes the field `server`.", ZH: "写日志的 API server 的名称，即 `server` 字段。", DefaultEN: "unknown", DefaultZH: "未知"},
		{Path: "clusters[].sources[].kind", EN: "`audit` for audit events, `apiserver-log` for the standard error of kube-apiserver, where it tells of events that it could not deliver.",
			ZH: "`audit` 为审计事件；`apiserver-log` 为 kube-apiserver 的标准错误，其中有未能送达的事件。", DefaultEN: "`audit`", DefaultZH: "`audit`"},
		{Path: "clusters[].scrape[].server", EN: "Name of the API server.", ZH: "API server 的名称。", DefaultEN: "unknown", DefaultZH: "未知"},
		{Path: "clusters[].scrape[].url", EN: "Its metrics, such as `https://cp-1:6443/metrics`: what it counted is compared with what arrived.", ZH: "它的指标地址，例如 `https://cp-1:6443/metrics`：其计数与实际到达的数目相比较。", Required: true},
		{Path: "clusters[].scrape[].tokenFile", EN: "File whose only line is the bearer token to show.", ZH: "只有一行的文件，内容即要出示的令牌。", DefaultEN: "none", DefaultZH: "无"},
		{Path: "clusters[].scrape[].caFile", EN: "CA that signed its certificate, PEM.", ZH: "签发其证书的 CA（PEM）。", DefaultEN: "those of the system", DefaultZH: "系统自带"},
		{Path: "retention.keep", EN: "Files of the trail whose newest event is older are removed, such as `30d`.", ZH: "审计链中最新事件早于此时长的文件会被删除，例如 `30d`。", DefaultEN: "for ever", DefaultZH: "永久"},
		{Path: "retention.keepBytes", EN: "The oldest files are removed until the trail takes at most so much, such as `10GiB`.", ZH: "删除最旧的文件，直到审计链不大于此值，例如 `10GiB`。", DefaultEN: "no bound", DefaultZH: "不限"},
		{Path: "limits.spoolBytes", EN: "What webhooks and agents brought and is not in the trail yet, for each cluster. Beyond it they are told to come again.", ZH: "每个集群由 webhook 和 agent 送来、尚未进入审计链的数据上限；超过时让对方稍后再来。"},
		{Path: "limits.partBytes", EN: "Lines in a file of the trail. Less takes less memory and more disk.", ZH: "审计链单个文件所含的行的大小。越小越省内存，越费磁盘。", Restart: true},
		{Path: "limits.memory", EN: "Where the collector of garbage begins to work harder; `GOMEMLIMIT` in the environment counts for more.",
			ZH: "从此处起垃圾回收更加努力；环境变量 `GOMEMLIMIT` 优先。", DefaultEN: "`208MiB`, with larger parts in proportion", DefaultZH: "`208MiB`，单个文件更大时按比例增大"},
		{Path: "limits.bodyBytes", EN: "One post to the webhook.", ZH: "webhook 的单次请求。"},
		{Path: "log.format", EN: "`text` or `json`, on standard error.", ZH: "`text` 或 `json`，写到标准错误。", Restart: true},
		{Path: "log.level", EN: "`debug`, `info`, `warn` or `error`.", ZH: "`debug`、`info`、`warn` 或 `error`。"},
	}
}

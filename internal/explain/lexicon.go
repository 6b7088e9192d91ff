package explain

import "strings"

// An act is something that can be done, in the language of the explainer.
type act struct {
	needs  slot // the act is called so only where this is known; empty: always
	asking bool // the act is to ask for something
	pattern
}

// An entry of the lexicon tells how to say what a verb does to a resource or subresource.
type entry struct {
	verbs string // separated by commas; * is any
	what  string // resource.group/subresource, where * is any; a resource of the core group has no dot; without slash: no subresource
	needs string // a slot that must be known, or empty
	en    string
	zh    string
}

const writes = "create,update,patch"

// lexicon is what there is to say, the special before the general: the first entry that
// fits a request is taken.
var lexicon = [...]entry{
	{"*", "*/exec", "command", "<run|ran> {command} in [container {container} of ]{object}[, which took {duration}]", "在{object's}[的容器 {container}]内<执行>命令 {command}[，历时 {duration}]"},
	{"*", "*/exec", "", "<open|opened> a command in [container {container} of ]{object}[ for {duration}]", "在{object's}[的容器 {container}]内<执行>命令[，历时 {duration}]"},
	{"*", "*/attach", "", "<attach|attached> to [container {container} of ]{object}[ for {duration}]", "<挂接到>{object's}[的容器 {container}][，历时 {duration}]"},
	{"*", "*/portforward", "ports", "<forward|forwarded> port {ports} to {object}[ for {duration}]", "将端口 {ports} <转发到>{object}[，历时 {duration}]"},
	{"*", "*/portforward", "", "<forward|forwarded> ports to {object}[ for {duration}]", "将端口<转发到>{object}[，历时 {duration}]"},
	{"get", "*/log", "follow", "<follow|followed> the log of [container {container} of ]{object}[ for {duration}]", "持续<读取>{object's}[的容器 {container}]的日志[，历时 {duration}]"},
	{"get", "*/log", "", "<read|read> [the last {lines} lines of ]the {previous}log of [container {container} of ]{object}", "<读取>{object's}[的容器 {container}]{previous}的日志[（最后 {lines} 行）]"},
	{"create", "*/eviction", "", "<evict|evicted> {object}", "<驱逐>{object}"},
	{"create", "pods/binding", "node", "<schedule|scheduled> {object} to node {node}", "将{object}<调度到>节点 {node}"},
	{"create", "pods/binding", "", "<schedule|scheduled> {object}", "<调度>{object}"},
	{"create", "bindings", "node", "<schedule|scheduled> a Pod[ in {namespace}] to node {node}", "将[ {namespace} 命名空间中的]一个 Pod <调度到>节点 {node}"},
	{"create", "bindings", "", "<schedule|scheduled> a Pod[ in {namespace}]", "<调度>[ {namespace} 命名空间中的]一个 Pod"},
	{"create", "serviceaccounts/token", "", "<get|got> a token for {object}", "<获取>{object's}的令牌"},
	{"get", "*/scale", "", "<read|read> the scale of {object}", "<读取>{object's}的副本数"},
	{writes, "*/scale", "replicas", "<scale|scaled> {object} to {replicas}", "将{object's}的副本数<=调整为> {replicas}"},
	{writes, "*/scale", "", "<scale|scaled> {object}", "<调整>{object's}的副本数"},
	{"get", "*/status", "", "<read|read> the status of {object}", "<读取>{object's}的状态"},
	{writes, "*/status", "", "<update|updated> the status of {object}", "<更新>{object's}的状态"},
	{writes, "*/approval", "approved", "<approve|approved> {object}", "<批准>{object}"},
	{writes, "*/approval", "denied", "<deny|denied> {object}", "<驳回>{object}"},
	{writes, "*/approval", "", "<decide|decided> about {object}", "<审批>{object}"},
	{"get", "*/approval", "", "<read|read> the approval of {object}", "<读取>{object's}的审批结果"},
	{"*", "namespaces/finalize", "", "<update|updated> the finalizers of {object}", "<更新>{object's}的终结器"},
	{"get", "pods/ephemeralcontainers", "", "<read|read> the ephemeral containers of {object}", "<读取>{object's}的临时容器"},
	{writes, "pods/ephemeralcontainers", "debugger", "<add|added> the debug container {debugger} to {object}", "向{object}<添加>调试容器 {debugger}"},
	{writes, "pods/ephemeralcontainers", "", "<add|added> a debug container to {object}", "向{object}<添加>调试容器"},
	{"get", "pods/resize", "", "<read|read> the size of {object}", "<读取>{object's}的资源规格"},
	{writes, "pods/resize", "", "<resize|resized> {object}", "<调整>{object's}的资源规格"},
	{"*", "*/proxy", "path", "<send|sent> {method} {path} to {object} through the API server", "通过 API server 向{object}<发送> {method} {path} 请求"},
	{"*", "*/proxy", "", "<send|sent> {method} to {object} through the API server", "通过 API server 向{object}<发送> {method} 请求"},

	{"create", "selfsubjectaccessreviews.authorization.k8s.io", "question", "<ask|asked> whether {they} may {question}[; the answer was {answer}]", "<询问>自己能否{question}[，答复为{answer}]"},
	{"create", "selfsubjectaccessreviews.authorization.k8s.io", "", "<ask|asked> what {they} may do", "<询问>自己的权限"},
	{"create", "selfsubjectrulesreviews.authorization.k8s.io", "", "<ask|asked> for the list of {their} own permissions", "<询问>自己拥有的全部权限"},
	{"create", "selfsubjectreviews.authentication.k8s.io", "", "<ask|asked> for {their} own identity", "<询问>自己在 API server 中的身份"},
	{"create", "subjectaccessreviews.authorization.k8s.io", "question", "<ask|asked> whether {asked} may {question}[; the answer was {answer}]", "<询问>{asked}能否{question}[，答复为{answer}]"},
	{"create", "localsubjectaccessreviews.authorization.k8s.io", "question", "<ask|asked> whether {asked} may {question}[; the answer was {answer}]", "<询问>{asked}能否{question}[，答复为{answer}]"},
	{"create", "subjectaccessreviews.authorization.k8s.io", "", "<ask|asked> about the permissions of somebody", "<询问>某个主体的权限"},
	{"create", "localsubjectaccessreviews.authorization.k8s.io", "", "<ask|asked> about the permissions of somebody[ in {namespace}]", "<询问>某个主体[在 {namespace} 命名空间中]的权限"},
	{"create", "tokenreviews.authentication.k8s.io", "", "<ask|asked> whose a token is[; the answer was {owner}]", "<查询>一个令牌的主人[，答复为{owner}]"},
	{"create", "certificatesigningrequests.certificates.k8s.io", "", "<ask|asked> for a certificate with {object}[, to be signed by {signer}]", "以{object}<申请>证书[（由 {signer} 签发）]"},
	{"create", "clusterrolebindings.rbac.authorization.k8s.io", "role", "<create|created> {object}, which gives {role} to {grantee}", "{place}<创建>{bare}，把 {role} 授予 {grantee}"},
	{"create", "rolebindings.rbac.authorization.k8s.io", "role", "<create|created> {object}, which gives {role} to {grantee}", "{place}<创建>{bare}，把 {role} 授予 {grantee}"},
	{"update", "leases.coordination.k8s.io", "machine", "<renew|renewed> {object}", "<续租>{object}"},
	{"create", "events", "about", "<record|recorded> {object}[: {about}]", "{place}<记录>{bare}[（{about}）]"},
	{"create", "events.events.k8s.io", "about", "<record|recorded> {object}[: {about}]", "{place}<记录>{bare}[（{about}）]"},
	{"create", "events", "", "<record|recorded> {object}", "{place}<记录>{bare}"},
	{"create", "events.events.k8s.io", "", "<record|recorded> {object}", "{place}<记录>{bare}"},

	{"get", "*", "", "<read|read> {object}", "<读取>{object}"},
	{"list", "*", "", "<list|listed> {page}{object}{selectors}", "<列出>{object}{selectors}"},
	{"watch", "*", "initial", "<list and watch|listed and watched> {object}{selectors}[ for {duration}]", "<列出并监视>{object}{selectors}[，历时 {duration}]"},
	{"watch", "*", "", "<watch|watched> {object}{selectors}[ for {duration}]", "<监视>{object}{selectors}[，历时 {duration}]"},
	{"create", "*", "", "<create|created> {object}", "{place}<创建>{bare}"},
	{"update", "*", "", "<update|updated> {object}", "<更新>{object}"},
	{"patch", "nodes", "cordoned", "<cordon|cordoned> {object}", "将{object}<=标记为>不可调度"},
	{"patch", "nodes", "uncordoned", "<uncordon|uncordoned> {object}", "将{object}<=恢复为>可调度"},
	{"patch", "*", "restarted", "<restart|restarted> {object}", "<滚动重启>{object}"},
	{"patch", "*", "force", "<apply|applied> {object} server-side[ as {manager}]{forced}", "{forced}<应用>{object}[（服务器端应用，字段管理者 {manager}）]"},
	{"patch", "*", "", "<patch|patched> {object}", "<修改>{object}"},
	{"delete", "*", "", "<delete|deleted> {object}", "<删除>{object}"},
	{"deletecollection", "*", "", "<delete|deleted> all {object}{selectors}", "批量<删除>{object}{selectors}"},
	{"get", "*/*", "", "<read|read> {sub} of {object}", "<读取>{object's}的 {sub} 子资源"},
	{"create", "*/*", "", "<create|created> {sub} of {object}", "<创建>{object's}的 {sub} 子资源"},
	{"update", "*/*", "", "<update|updated> {sub} of {object}", "<更新>{object's}的 {sub} 子资源"},
	{"patch", "*/*", "", "<patch|patched> {sub} of {object}", "<修改>{object's}的 {sub} 子资源"},
	{"delete", "*/*", "", "<delete|deleted> {sub} of {object}", "<删除>{object's}的 {sub} 子资源"},
	{"", "*", "", "<send|sent> a request with an unusual method for {object}", "以非常规方法<访问>{object}"},
	{"*", "*", "", "<send|sent> a {verb} request for {object}", "对{object}<发出> {verb} 请求"},
	{"", "*/*", "", "<send|sent> a request with an unusual method for {sub} of {object}", "以非常规方法<访问>{object's}的 {sub} 子资源"},
	{"*", "*/*", "", "<send|sent> a {verb} request for {sub} of {object}", "对{object's}的 {sub} 子资源<发出> {verb} 请求"},
}

// paths is the lexicon of what is no resource; a path that ends in * stands for all that
// begin so.
var paths = [...]entry{
	{"*", "", "", "<do|did> something that the event does not name", "<进行>某项未记录的操作"},
	{"get,head", "/healthz*", "", "<check|checked> whether the API server is healthy ({path})", "<检查> API server 是否健康（{path}）"},
	{"get,head", "/livez*", "", "<check|checked> whether the API server is healthy ({path})", "<检查> API server 是否健康（{path}）"},
	{"get,head", "/readyz*", "", "<check|checked> whether the API server is ready ({path})", "<检查> API server 是否就绪（{path}）"},
	{"get", "/metrics*", "", "<read|read> the metrics of the API server ({path})", "<读取> API server 的监控指标（{path}）"},
	{"get", "/version*", "", "<ask|asked> for the version of the API server", "<查询> API server 的版本"},
	{"get", "/openapi*", "", "<read|read> the OpenAPI schema ({path})", "<读取> OpenAPI 定义（{path}）"},
	{"get", "/swagger*", "", "<read|read> the OpenAPI schema ({path})", "<读取> OpenAPI 定义（{path}）"},
	{"get", "/api", "", "<ask|asked> which APIs there are ({path})", "<查询>有哪些 API（{path}）"},
	{"get", "/apis", "", "<ask|asked> which APIs there are ({path})", "<查询>有哪些 API（{path}）"},
	{"get", "/api/*", "", "<ask|asked> which resources {path} has", "<查询> {path} 有哪些资源"},
	{"get", "/apis/*", "", "<ask|asked> which resources {path} has", "<查询> {path} 有哪些资源"},
	{"get", "/.well-known/openid-configuration", "", "<read|read> how service account tokens are checked ({path})", "<读取>服务账号令牌的校验方式（{path}）"},
	{"get", "/openid/v1/jwks*", "", "<read|read> the public keys of service account tokens ({path})", "<读取>服务账号令牌的公钥（{path}）"},
	{"*", "/debug/pprof*", "", "<profile|profiled> the API server ({path})", "对 API server <进行>性能剖析（{path}）"},
	{"get", "/logs*", "", "<read|read> log files of the API server's host ({path})", "<读取> API server 主机上的日志文件（{path}）"},
	{"get", "/", "", "<list|listed> the paths of the API server", "<列出> API server 的路径"},
	{"get,head", "*", "", "<read|read> the path {path}", "<读取>路径 {path}"},
	{"", "*", "", "<send|sent> a request with an unusual method to {path}", "以非常规方法<访问> {path}"},
	{"*", "*", "", "<send|sent> {method} {path}", "<发送> {method} {path} 请求"},
}

// fits reports whether an entry speaks of a verb.
func (e *entry) fits(verb string) bool {
	if e.verbs == "*" {
		return true
	}
	for v := range strings.SplitSeq(e.verbs, ",") {
		if v == verb {
			return true
		}
	}
	return false
}

// about reports whether an entry speaks of a resource.
func (e *entry) about(resource, sub string) bool {
	what, below, has := strings.Cut(e.what, "/")
	if has != (sub != "") || has && below != "*" && below != sub {
		return false
	}
	return what == "*" || what == resource
}

// onPath reports whether an entry of paths speaks of a path.
func (e *entry) onPath(path string) bool {
	prefix, any := strings.CutSuffix(e.what, "*")
	return path == prefix || any && strings.HasPrefix(path, prefix) &&
		(strings.HasSuffix(prefix, "/") || prefix == "" || path[len(prefix)] == '/' || path[len(prefix)] == '?')
}

// actsOn returns what a verb may mean for a resource, up to what is always known.
func (x *Explainer) actsOn(verb, group, resource, sub string) []act {
	if group != "" {
		resource += "." + group
	}
	return x.acts(lexicon[:], verb, func(e *entry) bool { return e.about(resource, sub) })
}

func (x *Explainer) actsOnPath(verb, path string) []act {
	return x.acts(paths[:], verb, func(e *entry) bool { return e.onPath(path) })
}

func (x *Explainer) acts(from []entry, verb string, about func(*entry) bool) (acts []act) {
	for i := range from {
		e := &from[i]
		if !e.fits(verb) || !about(e) {
			continue
		}
		acts = append(acts, act{slot(e.needs), strings.HasPrefix(x.pick(e.en, e.zh), "<ask|") || x.zh && (strings.HasPrefix(e.zh, "<询问>") || strings.HasPrefix(e.zh, "<查询>")), x.patterns[e]})
		if e.needs == "" {
			break
		}
	}
	return acts
}

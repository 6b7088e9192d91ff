package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Sizes that make a trail: a part has room for many lines, and its places fit into the
// 32 bits that they have.
const (
	MinPart Size = 4 << 10
	MaxPart Size = 1 << 30
)

// Bounds of the other limits.
const (
	minMemory Size = 64 << 20
	minBody   Size = 64 << 10
	maxBody   Size = 1 << 30
	maxName        = 63 // bytes of a name
)

// checker gathers what is wrong with a Config.
type checker struct {
	cfg      *Config
	findings []Finding
}

func (c *checker) add(path string, text, hint Text) {
	c.findings = append(c.findings, Finding{Path: path, Text: text, Hint: hint})
}

func (c *checker) warn(path string, text, hint Text) {
	c.findings = append(c.findings, Finding{Path: path, Text: text, Hint: hint, Warning: true})
}

// Validate tells what is wrong with a configuration, as far as that can be told without
// looking at a file: whether the files it names are there, it does not know.
func (cfg *Config) Validate() []Finding {
	c := &checker{cfg: cfg}
	if cfg.APIVersion != APIVersion {
		c.add("apiVersion", say("apiVersion is %q", "apiVersion 是 %q", cfg.APIVersion), wantHead())
	}
	if cfg.Kind != Kind {
		c.add("kind", say("kind is %q", "kind 是 %q", cfg.Kind), wantHead())
	}
	if cfg.Data == "" {
		c.add("data", say("no directory for the trail", "没有指定审计链的目录"), Text{})
	}
	c.tls()
	c.tokens()
	c.certificates()
	c.access()
	c.clusters()
	c.limits()
	c.oneOf("log.format", cfg.Log.Format, []string{"text", "json"})
	c.oneOf("log.level", cfg.Log.Level, []string{"debug", "info", "warn", "error"})
	return c.findings
}

// oneOf wants a value to be one of those known.
func (c *checker) oneOf(path, value string, known []string) {
	if slices.Contains(known, value) {
		return
	}
	hint := say("choose one of %s", "可选：%s", strings.Join(known, ", "))
	if near := nearest(value, known); near != "" {
		hint = say("did you mean %q?", "是否想写 %q？", near)
	}
	c.add(path, say("%s: %q is not known", "%s：不认识 %q", path, value), hint)
}

func (c *checker) tls() {
	t := c.cfg.TLS
	if (t.Cert == "") != (t.Key == "") {
		c.add("tls", say("a certificate and its key go together, one of them is missing", "证书与私钥须同时给出，缺了一个"), say("give both or none", "都给或都不给"))
	}
	if t.ClientCA != "" && t.Cert == "" {
		c.add("tls.clientCA", say("client certificates need TLS, and there is no certificate", "客户端证书需要 TLS，但没有服务器证书"), say("give tls.cert and tls.key as well", "同时给出 tls.cert 和 tls.key"))
	}
	if t.ClientCA != "" && len(c.cfg.Certificates) == 0 {
		c.add("tls.clientCA", say("a client CA alone lets nobody in", "只有客户端 CA，谁也进不来"), say("say in certificates who may do what", "在 certificates 中写明谁能做什么"))
	}
	if t.ClientCA == "" && len(c.cfg.Certificates) > 0 {
		c.add("certificates", say("nothing tells whether client certificates are genuine", "无从判断客户端证书的真假"), say("give tls.clientCA", "给出 tls.clientCA"))
	}
}

func (c *checker) tokens() {
	names, files := map[string]bool{}, map[string]bool{}
	for i, t := range c.cfg.Tokens {
		path := fmt.Sprintf("tokens[%d]", i)
		c.name(path, t.Name, names)
		if t.File == "" {
			c.add(path, say("%s names no file", "%s 没有给出文件", path), say("a token stands in a file of its own: openssl rand -hex 32 > FILE", "令牌单独放在一个文件中：openssl rand -hex 32 > FILE"))
		} else if files[t.File] {
			c.add(path+".file", say("%s is there twice", "%s 出现了两次", t.File), say("give the first one all roles", "把角色都写在第一处"))
		}
		files[t.File] = true
		c.grant(path, t.Roles, t.Clusters)
		if slices.Contains(t.Roles, Webhook) && c.cfg.TLS.Cert == "" {
			c.warn(path+".roles", say("kube-apiserver sends its token over TLS only, and there is no certificate", "kube-apiserver 只通过 TLS 发送令牌，而这里没有证书"), say("give tls.cert and tls.key", "给出 tls.cert 和 tls.key"))
		}
	}
}

func (c *checker) certificates() {
	names := map[string]bool{}
	for i, x := range c.cfg.Certificates {
		path := fmt.Sprintf("certificates[%d]", i)
		c.name(path, x.Name, names)
		c.grant(path, x.Roles, x.Clusters)
	}
}

// name wants a name that no other has.
func (c *checker) name(path, name string, seen map[string]bool) {
	switch {
	case name == "":
		c.add(path, say("%s has no name", "%s 没有名称", path), say("messages tell of it by that", "消息中以它相称"))
	case seen[name]:
		c.add(path+".name", say("%q is there twice", "%q 出现了两次", name), say("choose another name", "换个名称"))
	case !validName(name):
		c.add(path+".name", say("%.80q is no name", "%.80q 不能作名称", name), nameHint())
	}
	seen[name] = true
}

// validName tells whether a cluster, a server or a token can be called so.
func validName(name string) bool {
	return len(name) <= maxName && strings.IndexFunc(name, func(r rune) bool {
		return !unicode.IsPrint(r) || unicode.IsSpace(r) || strings.ContainsRune(`/\=`, r)
	}) < 0
}

func nameHint() Text {
	return say("a name has at most %d bytes, and no spaces, slashes or =", "名称最多 %d 字节，不含空格、斜线和 =", maxName)
}

// grant looks at what somebody may do.
func (c *checker) grant(path string, roles []Role, clusters []string) {
	var known []string
	for _, r := range Roles() {
		known = append(known, string(r))
	}
	if len(roles) == 0 {
		c.add(path, say("%s has no roles and is good for nothing", "%s 没有角色，什么也做不了", path), say("choose among %s", "可选：%s", strings.Join(known, ", ")))
	}
	for i, r := range roles {
		at := fmt.Sprintf("%s.roles[%d]", path, i)
		c.oneOf(at, string(r), known)
		if slices.Index(roles, r) < i {
			c.add(at, say("role %s is there twice", "角色 %s 出现了两次", r), say("remove it", "删除它"))
		}
	}
	for i, name := range clusters {
		if name == "" || !validName(name) {
			c.add(fmt.Sprintf("%s.clusters[%d]", path, i), say("%.80q is no name of a cluster", "%.80q 不是集群名", name), nameHint())
		}
	}
	if len(clusters) > 0 && slices.Contains(roles, Metrics) {
		c.warn(path+".roles", say("metrics are those of all clusters", "指标是所有集群的"), Text{})
	}
}

// access wants to be sure who asks.
func (c *checker) access() {
	loopback, _, err := Loopback(c.cfg.Listen)
	if err != nil {
		c.add("listen", say("listen: %q %v", "listen：%q %v", c.cfg.Listen, err), say("write it as host:port, as in %s", "写成 host:port，例如 %s", Defaults("").Listen))
		return
	}
	if loopback {
		return
	}
	if len(c.cfg.Tokens) == 0 && c.cfg.TLS.ClientCA == "" {
		c.add("listen", say("%s can be reached from other machines, and nothing would tell who asks: audit events hold secrets", "%s 可从别的机器访问，却无从得知是谁在问：审计事件里有机密", c.cfg.Listen),
			say("give tokens, or a client CA with certificates, or listen on %s", "给出 tokens，或客户端 CA 与 certificates，或监听 %s", Defaults("").Listen))
	} else if c.cfg.TLS.Cert == "" {
		c.warn("listen", say("tokens and all answers cross the network in clear text", "令牌和所有回答都以明文经过网络"), say("give tls.cert and tls.key", "给出 tls.cert 和 tls.key"))
	}
}

// Loopback reports whether only this machine can reach an address, HOST:PORT, and
// returns its host. A host name counts as reachable unless it is localhost: what it
// resolves to can change.
func Loopback(listen string) (loopback bool, host string, err error) {
	i := strings.LastIndexByte(listen, ':')
	if i < 0 {
		return false, "", fmt.Errorf("is missing port in address")
	}
	host, port := listen[:i], listen[i+1:]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if host, ok = strings.CutSuffix(inner, "]"); !ok {
			return false, "", fmt.Errorf("has a bracket that is not closed")
		}
	} else if strings.ContainsRune(host, ':') {
		return false, "", fmt.Errorf("needs brackets around an IPv6 address")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(n, 10) {
		return false, "", fmt.Errorf("has no port from 0 to 65535")
	}
	if strings.EqualFold(host, "localhost") {
		return true, host, nil
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback(), host, nil
}

func (c *checker) clusters() {
	names, paths := map[string]bool{}, map[string]string{}
	for i, cluster := range c.cfg.Clusters {
		path := fmt.Sprintf("clusters[%d]", i)
		switch {
		case names[cluster.Name]:
			c.add(path+".name", say("cluster %q is there twice", "集群 %q 出现了两次", cluster.Name), say("list its sources in one place", "把它的来源写在一处"))
		case !validName(cluster.Name):
			c.add(path+".name", say("%.80q is no name of a cluster", "%.80q 不是集群名", cluster.Name), nameHint())
		}
		names[cluster.Name] = true
		if len(cluster.Sources) > 0 && c.cfg.ReadOnly {
			c.add(path+".sources", say("sources write to the trail, and it is readOnly", "来源要写审计链，而它是 readOnly"), say("leave one of them away", "去掉其中一个"))
		}
		for j, s := range cluster.Sources {
			c.source(fmt.Sprintf("%s.sources[%d]", path, j), s, paths)
		}
		for j, s := range cluster.Scrape {
			c.scrape(fmt.Sprintf("%s.scrape[%d]", path, j), s)
		}
	}
}

func (c *checker) source(path string, s Source, paths map[string]string) {
	kinds := make([]string, 0, 2)
	for _, k := range SourceKinds() {
		kinds = append(kinds, string(k))
	}
	c.oneOf(path+".kind", string(s.Kind), kinds)
	if !validName(s.Server) {
		c.add(path+".server", say("%.80q is no name of a server", "%.80q 不是服务器名", s.Server), nameHint())
	}
	if s.Path == "" {
		c.add(path, say("%s names no file", "%s 没有给出文件", path), say("for example path: /var/log/kubernetes/audit/audit.log", "例如 path: /var/log/kubernetes/audit/audit.log"))
		return
	}
	clean := filepath.Clean(s.Path)
	if paths[clean] != "" {
		c.add(path+".path", say("%s is there twice, and every event would be", "%s 出现了两次，每个事件也会如此", clean), say("give it once", "只写一次"))
	}
	paths[clean] = path
}

func (c *checker) scrape(path string, s Scrape) {
	u, err := url.Parse(s.URL)
	switch {
	case s.URL == "":
		c.add(path, say("%s names no address", "%s 没有给出地址", path), say("for example url: https://cp-1:6443/metrics", "例如 url: https://cp-1:6443/metrics"))
		return
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		c.add(path+".url", say("%.200q is no http or https address", "%.200q 不是 http 或 https 地址", s.URL), say("for example https://cp-1:6443/metrics", "例如 https://cp-1:6443/metrics"))
		return
	case u.User != nil:
		c.add(path+".url", say("the address holds a user or password", "地址中含有用户名或口令"), say("put a token into tokenFile", "把令牌放进 tokenFile"))
	case s.TokenFile != "" && u.Scheme == "http":
		c.warn(path+".url", say("the token crosses the network in clear text", "令牌以明文经过网络"), say("write https", "改用 https"))
	}
	if !validName(s.Server) {
		c.add(path+".server", say("%.80q is no name of a server", "%.80q 不是服务器名", s.Server), nameHint())
	}
}

func (c *checker) limits() {
	l := c.cfg.Limits
	within := func(path string, v, low, high Size) {
		if v < low || v > high {
			c.add(path, say("%s is %s: want %s to %s", "%s 是 %s：应为 %s 到 %s", path, v.String(), low.String(), high.String()),
				say("leave it away unless you know better", "若无把握，不写即可"))
		}
	}
	within("limits.partBytes", l.PartBytes, MinPart, MaxPart)
	within("limits.memory", l.Memory, minMemory, 1<<50)
	within("limits.bodyBytes", l.BodyBytes, minBody, maxBody)
	if l.SpoolBytes < l.BodyBytes {
		c.warn("limits.spoolBytes", say("a post of %s would never fit into a spool of %s", "%s 的请求永远放不进 %s 的缓存", l.BodyBytes.String(), l.SpoolBytes.String()),
			say("make limits.spoolBytes larger or limits.bodyBytes smaller", "增大 limits.spoolBytes 或减小 limits.bodyBytes"))
	}
}

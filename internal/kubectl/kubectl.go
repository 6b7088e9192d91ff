// Package kubectl gives the kubectl command line that makes the request of an audit
// event again.
//
// The line is for a POSIX shell, and whatever stands in the event stays inside its
// quotes. It makes a request of the same method, path and query, in the name of the same
// impersonated user, with the same body. What kubectl adds by itself is left alone: the
// form in which it wants the answer, time limits, lists in chunks of 500, and the field
// manager where the request named none.
//
// Flags and requests are those of kubectl v1.36.
package kubectl

import (
	"net/url"
	"strings"

	"kubetrail/audit"
	"kubetrail/policy"
)

// Columns are the columns of an event that [Command] looks at. Without the request's
// body it says that the body was not recorded.
var Columns = audit.Set(audit.Stage, audit.Verb, audit.RequestURI, audit.Level, audit.Code, audit.Message, audit.Annotations,
	audit.ImpersonatedUsername, audit.ImpersonatedUID, audit.ImpersonatedGroups, audit.ImpersonatedExtra, audit.RequestObject)

// Command returns the command line that makes the request of e again, empty where
// kubectl cannot make it. The line is UTF-8 without control characters other than
// newlines and tabs, and shows as it is on a terminal.
//
// The note says, in English or Chinese, what the event does not hold and what kubectl
// does differently; it is empty where nothing is to be said. Where a body was not
// recorded, the name of a file stands for it.
func Command(e *audit.Event, chinese bool) (line, note string) {
	r := parse(e)
	c := r.command()
	if c == nil {
		return "", r.impossible.in(chinese)
	}
	if !c.impersonate(e) {
		return "", note1("an impersonated user without a name cannot be given to kubectl",
			"没有用户名的扮演请求，kubectl 无法发出").in(chinese)
	}
	if len(e.Text[audit.ImpersonatedUsername]) == 0 {
		switch {
		case string(e.Text[audit.Stage]) == "RequestReceived":
			c.say("whether it was sent in the name of somebody else is not known at this stage", "这一阶段尚不知道请求是否扮演了他人")
		case e.Code == 403 && strings.Contains(string(e.Text[audit.Message]), " cannot impersonate"):
			c.say("in whose name it was to be sent was not recorded", "请求想要扮演谁未被记录")
		}
	}
	return c.line(), c.note(chinese)
}

// request is the request of an event, as it can be read off.
type request struct {
	method    string
	uri       string // as recorded
	path      string // decoded
	query     url.Values
	info      policy.RequestInfo
	canonical bool // the path is the one that a client makes for info

	code      int32
	body      []byte // JSON, nil where it was not recorded
	size      int    // of a body that is too large to be given, 0 else
	bodiless  bool   // it is sure that a deletion had no body
	truncated bool   // kube-apiserver dropped the bodies of the event
	upgrade   bool   // the connection was not to be upgraded, though it had to be

	impossible note
}

// parse reads the request of e; impossible is set where no request can be read.
func parse(e *audit.Event) *request {
	r := &request{uri: string(e.Text[audit.RequestURI]), code: e.Code}
	r.method = methodOf(string(e.Text[audit.Verb]))
	if r.method == "" {
		r.impossible = note1("kubectl never sends a request with this method", "kubectl 不会用这种方法发请求")
		return r
	}
	u, err := url.ParseRequestURI(r.uri)
	if err != nil || !strings.HasPrefix(r.uri, "/") || strings.HasPrefix(r.uri, "//") {
		r.impossible = note1("kubectl cannot send a request to this path", "kubectl 无法向该路径发请求")
		return r
	}
	r.path = u.Path
	if r.query, err = url.ParseQuery(u.RawQuery); err != nil {
		r.impossible = note1("kubectl cannot send this query", "kubectl 无法发出该查询串")
		return r
	}
	r.info, err = policy.ParseRequest(r.method, r.uri)
	if r.info.Verb == "list" || r.info.Verb == "watch" {
		r.info.Name = "" // that of a field selector
	}
	r.canonical = err == nil && r.info.IsResourceRequest && pathOf(r.info) == r.path
	r.truncated = strings.Contains(string(e.Text[audit.Annotations]), `"audit.k8s.io/truncated":"true"`)
	if r.body, r.size = readBody(e.RequestObject); r.body == nil && r.size == 0 {
		// What an aggregated API, a service or a node was sent is never recorded: that
		// there was no body is sure of built-in resources alone.
		level := string(e.Text[audit.Level])
		r.bodiless = r.method == "DELETE" && r.canonical && r.info.Subresource == "" && r.builtIn() != nil &&
			!r.truncated && (level == "Request" || level == "RequestResponse") && e.Code >= 200 && e.Code < 300
	}
	r.upgrade = e.Code == 400 && strings.Contains(string(e.Text[audit.Message]), "pgrade request required")
	return r
}

// methodOf returns the HTTP method of an audit verb, empty for one that kubectl does not
// send. A HEAD of a resource is recorded as get, and cannot be told from a GET.
func methodOf(verb string) string {
	switch strings.ToLower(verb) {
	case "get", "list", "watch":
		return "GET"
	case "create", "post":
		return "POST"
	case "update", "put":
		return "PUT"
	case "patch":
		return "PATCH"
	case "delete", "deletecollection":
		return "DELETE"
	}
	return ""
}

// pathOf returns the path that clients make of what a request asks for.
func pathOf(i policy.RequestInfo) string {
	parts := []string{"", i.APIPrefix}
	if i.APIPrefix == "apis" {
		parts = append(parts, i.APIGroup)
	}
	parts = append(parts, i.APIVersion)
	if i.Namespace != "" && i.Resource != "namespaces" {
		parts = append(parts, "namespaces", i.Namespace)
	}
	parts = append(parts, i.Resource)
	if i.Name != "" {
		parts = append(parts, i.Name)
	}
	if i.Subresource != "" {
		parts = append(parts, i.Subresource)
	}
	return strings.Join(parts, "/")
}

// command returns the command that makes the request, nil where kubectl cannot. The
// forms are tried from the one that people would type to the one that fits everything.
func (r *request) command() *command {
	if r.impossible != (note{}) {
		return nil
	}
	var forms []func() *command
	switch {
	case r.canonical && r.info.Subresource != "" && r.method != "PUT" && r.method != "PATCH":
		forms = []func() *command{r.exec, r.attach, r.portForward, r.logs, r.token, r.getOne}
	case !r.canonical:
	case r.method == "GET":
		forms = []func() *command{r.getOne, r.list}
	case r.method == "POST":
		forms = []func() *command{r.canI, r.canIList, r.whoami, r.create}
	case r.method == "PUT":
		forms = []func() *command{r.certificate, r.replace}
	case r.method == "DELETE":
		forms = []func() *command{r.remove}
	}
	if r.method == "PATCH" {
		return r.patch()
	}
	for _, form := range forms {
		if c := form(); c != nil {
			return c
		}
	}
	return r.raw()
}

// raw makes the request by its URI.
func (r *request) raw() *command {
	uri := plainURI(r.uri)
	var c *command
	switch r.method {
	case "GET":
		c = newCommand("get", "--raw", uri)
		if r.upgrade {
			c.say("kubectl get --raw does not upgrade the connection, as the request did not", "kubectl get --raw 不会升级连接，原请求也没有")
		}
		return c
	case "POST":
		c = newCommand("create", "--raw", uri)
	case "PUT":
		c = newCommand("replace", "--raw", uri)
	case "DELETE":
		c = newCommand("delete", "--raw", uri)
		if r.body == nil && r.size == 0 {
			if !r.bodiless {
				c.say("options in the body were not recorded", "请求体中的删除选项未被记录")
			}
			return c
		}
	}
	r.give(c, "body.json")
	return c
}

// plainURI is uri with what a URI must not hold percent-encoded, which changes nothing.
func plainURI(uri string) string {
	var b strings.Builder
	for i := 0; i < len(uri); i++ {
		if c := uri[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"'<>\\^`{|}#", c) >= 0 {
			b.WriteString("%" + string("0123456789ABCDEF"[c>>4]) + string("0123456789ABCDEF"[c&15]))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// give hands the body to a command that reads a file: from here, or from a file of that
// name where it was not recorded.
func (r *request) give(c *command, file string) {
	switch {
	case r.body != nil:
		c.add("-f", "-")
		c.stdin = indent(r.body)
	case r.size > 0:
		c.add("-f", file)
		c.notef("the body of %d bytes is left out: %s stands for it", "请求体有 %d 字节，此处省略：以 %s 代替", r.size, file)
	default:
		c.add("-f", file)
		c.unrecorded(r, file)
	}
}

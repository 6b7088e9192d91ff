package kubectl

import "strconv"

// pod reports whether the request is about that subresource of a pod.
func (r *request) pod(subresource string) bool {
	i := &r.info
	return i.APIGroup == "" && i.APIVersion == "v1" && i.Resource == "pods" && i.Subresource == subresource &&
		i.Namespace != "" && sound(i.Name)
}

// connect is what exec, attach and port-forward have in common. kubectl upgrades a GET
// to a WebSocket since v1.31, and before that a POST to SPDY, which can still be chosen.
func (r *request) connect(subresource, variable string, words ...string) *command {
	if !r.pod(subresource) || r.method != "GET" && r.method != "POST" || r.upgrade {
		return nil
	}
	c := newCommand(append(words, "-n", r.info.Namespace)...)
	if r.method == "POST" {
		c.env = variable + "=false"
	}
	return c
}

// streams says which streams are connected. kubectl wants what a program writes, and its
// errors but on a terminal; it reports false for anything else.
func (p params) streams(c *command) bool {
	if v, ok := p.take("container"); ok && v != "" {
		c.add("-c", v)
	} else {
		c.say("the request named no container, kubectl names the default one", "原请求未指定容器，kubectl 会填上默认容器")
	}
	in, out, errs, tty := p.yes("stdin"), p.yes("stdout"), p.yes("stderr"), p.yes("tty")
	if in {
		c.add("-i")
	}
	if tty {
		c.add("-t")
	}
	return out && errs == !tty && (in || !tty)
}

func (r *request) exec() *command {
	c := r.connect("exec", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "exec", r.info.Name)
	p := r.left()
	if c == nil || !p.streams(c) {
		return nil
	}
	c.after = p["command"]
	delete(p, "command")
	if len(p) > 0 || len(c.after) == 0 || !passable(c.after) {
		return nil
	}
	return c
}

func (r *request) attach() *command {
	c := r.connect("attach", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "attach", r.info.Name)
	if p := r.left(); c == nil || !p.streams(c) || len(p) > 0 {
		return nil
	}
	return c
}

func (r *request) portForward() *command {
	c := r.connect("portforward", "KUBECTL_PORT_FORWARD_WEBSOCKETS", "port-forward", "pod/"+r.info.Name)
	p := r.left()
	if c == nil {
		return nil
	}
	if v, ok := p.take("ports"); ok {
		if _, err := strconv.ParseUint(v, 10, 16); err != nil {
			return nil
		}
		c.add(":" + v)
	} else {
		c.add(":8080")
		c.say("which port was forwarded is not part of the request: 8080 stands for it", "请求中不含被转发的端口：以 8080 代替")
	}
	if len(p) > 0 {
		return nil
	}
	return c
}

// logs reads the log of a container.
func (r *request) logs() *command {
	if !r.pod("log") || r.method != "GET" {
		return nil
	}
	c := newCommand("logs", r.info.Name, "-n", r.info.Namespace)
	p := r.left()
	v, ok := p.take("container")
	if !ok {
		return nil // kubectl always names it
	}
	c.add("-c", v)
	for _, f := range [][2]string{{"follow", "-f"}, {"previous", "-p"}, {"timestamps", "--timestamps"},
		{"insecureSkipTLSVerifyBackend", "--insecure-skip-tls-verify-backend"}} {
		if p.yes(f[0]) {
			c.add(f[1])
		}
	}
	for _, f := range [][2]string{{"sinceSeconds", "since"}, {"tailLines", "tail"}, {"limitBytes", "limit-bytes"}} {
		v, ok := p.take(f[0])
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n < 0 || n == 0 && f[0] != "tailLines" {
			return nil
		}
		if f[0] == "sinceSeconds" {
			v += "s"
		}
		c.flag(f[1], v)
	}
	if v, ok := p.take("sinceTime"); ok {
		c.flag("since-time", v)
	}
	if len(p) > 0 {
		return nil
	}
	return c
}

// passable reports whether a program can be started with these arguments.
func passable(args []string) bool {
	for _, a := range args {
		for i := range len(a) {
			if a[i] == 0 {
				return false
			}
		}
	}
	return true
}

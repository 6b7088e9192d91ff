package kubectl

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"kubetrail/audit"
)

// command is a command line that is being put together.
type command struct {
	env   string   // before kubectl: NAME=value
	words []string // not quoted yet
	after []string // what follows "--"
	stdin []byte   // of a here-document, nil for none
	notes []note
}

// note is something to be said, in two languages.
type note struct{ en, zh string }

func note1(en, zh string) note { return note{en, zh} }

func (n note) in(chinese bool) string {
	if chinese {
		return n.zh
	}
	return n.en
}

func newCommand(words ...string) *command { return &command{words: words} }

func (c *command) add(words ...string) { c.words = append(c.words, words...) }

// flag adds --name=value.
func (c *command) flag(name, value string) { c.words = append(c.words, "--"+name+"="+value) }

func (c *command) say(en, zh string) { c.notes = append(c.notes, note{en, zh}) }

func (c *command) notef(en, zh string, args ...any) {
	c.say(fmt.Sprintf(en, args...), fmt.Sprintf(zh, args...))
}

// unrecorded says that the event lacks the body that file stands for.
func (c *command) unrecorded(r *request, file string) {
	if r.truncated {
		c.notef("kube-apiserver dropped the body to keep the event small: %s stands for it",
			"kube-apiserver 为缩小事件丢弃了请求体：以 %s 代替", file)
		return
	}
	c.notef("the body was not recorded: %s stands for it", "请求体未被记录：以 %s 代替", file)
}

func (c *command) note(chinese bool) string {
	var texts []string
	for _, n := range c.notes {
		texts = append(texts, n.in(chinese))
	}
	if chinese {
		return strings.Join(texts, "；")
	}
	return strings.Join(texts, "; ")
}

// line writes the command for a shell.
func (c *command) line() string {
	var b strings.Builder
	if c.env != "" {
		b.WriteString(c.env + " ")
	}
	b.WriteString("kubectl")
	for _, w := range c.words {
		b.WriteString(" " + quote(w))
	}
	if c.after != nil {
		b.WriteString(" --")
		for _, w := range c.after {
			b.WriteString(" " + quote(w))
		}
	}
	if c.stdin != nil {
		b.WriteString(hereDocument(c.stdin))
	}
	return b.String()
}

// impersonate adds who was impersonated. It reports false where kubectl cannot do that.
//
// kube-apiserver adds groups to those that were asked for, and records all of them:
// upstream: endpoints/filters/impersonation.
func (c *command) impersonate(e *audit.Event) bool {
	name := string(e.Text[audit.ImpersonatedUsername])
	uid := string(e.Text[audit.ImpersonatedUID])
	groups := texts(e.Text[audit.ImpersonatedGroups])
	extra := map[string][]string{}
	if text := e.Text[audit.ImpersonatedExtra]; len(text) > 0 && json.Unmarshal(text, &extra) != nil {
		extra = nil
	}
	if name == "" {
		return uid == "" && len(groups) == 0 && len(extra) == 0
	}
	c.flag("as", name)
	for _, g := range askedGroups(name, groups) {
		c.flag("as-group", g)
	}
	if uid != "" {
		c.flag("as-uid", uid)
	}
	for _, key := range sortedKeys(extra) {
		for _, value := range extra[key] {
			c.flag("as-user-extra", key+"="+value)
		}
	}
	return true
}

func sortedKeys(m map[string][]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// askedGroups are the groups that must be asked for so that name has these.
func askedGroups(name string, groups []string) []string {
	const authenticated, unauthenticated = "system:authenticated", "system:unauthenticated"
	added := authenticated
	if name == "system:anonymous" {
		added = unauthenticated
	}
	asked := slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return g == added })
	if account, ok := strings.CutPrefix(name, "system:serviceaccount:"); ok {
		namespace, _, _ := strings.Cut(account, ":")
		switch {
		case slices.Equal(asked, []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace}):
			return nil
		case len(asked) == 0:
			return groups // otherwise those of a service account would be added
		}
	}
	return asked
}

// texts reads a JSON list of strings.
func texts(list []byte) (all []string) {
	if len(list) == 0 || json.Unmarshal(list, &all) != nil {
		return nil
	}
	return all
}

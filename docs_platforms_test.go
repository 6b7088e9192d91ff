package kubetrail_test

import (
	"encoding/json"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"

	"kubetrail/policy"
)

// auditFlags are the flags of kube-apiserver 1.36 that have to do with auditing.
var auditFlags = []string{
	"audit-policy-file",
	"audit-log-path", "audit-log-maxage", "audit-log-maxbackup", "audit-log-maxsize", "audit-log-compress",
	"audit-log-format", "audit-log-version", "audit-log-mode",
	"audit-log-batch-buffer-size", "audit-log-batch-max-size", "audit-log-batch-max-wait",
	"audit-log-batch-throttle-enable", "audit-log-batch-throttle-qps", "audit-log-batch-throttle-burst",
	"audit-log-truncate-enabled", "audit-log-truncate-max-event-size", "audit-log-truncate-max-batch-size",
	"audit-webhook-config-file", "audit-webhook-version", "audit-webhook-mode", "audit-webhook-initial-backoff",
	"audit-webhook-batch-buffer-size", "audit-webhook-batch-max-size", "audit-webhook-batch-max-wait",
	"audit-webhook-batch-throttle-enable", "audit-webhook-batch-throttle-qps", "audit-webhook-batch-throttle-burst",
	"audit-webhook-truncate-enabled", "audit-webhook-truncate-max-event-size", "audit-webhook-truncate-max-batch-size",
}

// collecting are the pages that tell how to switch auditing on.
func collecting() []string {
	return []string{"docs/collect.md", "docs/platforms.md", "docs/zh/collect.md", "docs/zh/platforms.md"}
}

// snippets are the blocks of a language in a page.
func snippets(text, language string) []string {
	var all []string
	for i, part := range strings.Split(text, "```") {
		if block, ok := strings.CutPrefix(part, language+"\n"); ok && i%2 == 1 {
			all = append(all, block)
		}
	}
	return all
}

// anything is a YAML value of unknown shape, in which things are looked up by path.
type anything struct{ value any }

func (a anything) at(path ...string) anything {
	for _, key := range path {
		m, _ := a.value.(map[string]any)
		a = anything{m[key]}
	}
	return a
}

func (a anything) text() string { s, _ := a.value.(string); return s }

func (a anything) list() []anything {
	var all []anything
	items, _ := a.value.([]any)
	for _, item := range items {
		all = append(all, anything{item})
	}
	return all
}

// walk calls visit for a and for everything in it.
func (a anything) walk(visit func(anything)) {
	visit(a)
	switch v := a.value.(type) {
	case map[string]any:
		for _, child := range v {
			anything{child}.walk(visit)
		}
	case []any:
		for _, child := range v {
			anything{child}.walk(visit)
		}
	}
}

// TestSnippets checks what people will copy: every YAML snippet parses, every policy in
// one is taken by kube-apiserver, and every file that a flag names is mounted where
// kube-apiserver is a pod.
func TestSnippets(t *testing.T) {
	kinds := map[string]int{}
	for _, name := range collecting() {
		for _, snippet := range snippets(read(t, name), "yaml") {
			decoder := yaml.NewDecoder(strings.NewReader(snippet))
			for {
				var value any
				err := decoder.Decode(&value)
				if err != nil && err.Error() == "EOF" {
					break
				}
				if err != nil {
					t.Fatalf("%s: %v in\n%s", name, err, snippet)
				}
				kinds[checkSnippet(t, name, anything{value})]++
			}
		}
		for _, snippet := range snippets(read(t, name), "json") {
			if !json.Valid([]byte(snippet)) {
				t.Errorf("%s: no JSON: %s", name, snippet)
			}
		}
	}
	for _, kind := range []string{"kubeadm", "Pod", "kubeconfig", "rke2", "k3s", "talos", "Policy", "iam", "DaemonSet"} {
		if kinds[kind] == 0 {
			t.Errorf("no snippet is for %s any more", kind)
		}
	}
}

// checkSnippet checks one YAML document and says what it is for.
func checkSnippet(t *testing.T, name string, v anything) string {
	v.walk(func(a anything) {
		if version := a.at("apiVersion").text(); a.at("kind").text() == "Policy" && strings.HasPrefix(version, "audit.k8s.io/") {
			checkPolicy(t, name, a)
		}
		if text := a.text(); strings.Contains(text, "kind: Policy") { // within a string, as Rancher has it
			var inner any
			if err := yaml.Unmarshal([]byte(text), &inner); err != nil {
				t.Errorf("%s: %v in %s", name, err, text)
			}
			checkPolicy(t, name, anything{inner})
		}
	})
	switch kind, version := v.at("kind").text(), v.at("apiVersion").text(); {
	case strings.HasPrefix(version, "kubeadm.k8s.io/"):
		checkKubeadm(t, name, version, v)
		return "kubeadm"
	case kind == "Pod":
		checkPod(t, name, v)
		return "Pod"
	case kind == "Config" && v.at("clusters").value != nil:
		checkKubeconfig(t, name, v)
		return "kubeconfig"
	case kind == "DaemonSet":
		checkDaemonSet(t, name, v)
		return "DaemonSet"
	case v.at("audit-policy-file").value != nil:
		checkArguments(t, name, v.at("kube-apiserver-arg"), "")
		return "rke2"
	case v.at("kube-apiserver-arg").value != nil:
		checkArguments(t, name, v.at("kube-apiserver-arg"), "")
		return "k3s"
	case kind == "KubeAuditPolicyConfig" || v.at("cluster", "apiServer", "auditPolicy").value != nil:
		if v.at("configuration", "kind").text() != "Policy" && v.at("cluster", "apiServer", "auditPolicy", "kind").text() != "Policy" {
			t.Errorf("%s: no policy in %v", name, v.value)
		}
		return "talos"
	case v.at("auditConfigs").value != nil:
		return "iam"
	case kind != "":
		return kind
	}
	t.Errorf("%s: nobody knows what this is for: %v", name, v.value)
	return ""
}

// checkPolicy fails where kube-apiserver would not take a policy as it stands.
func checkPolicy(t *testing.T, name string, v anything) {
	text, err := yaml.Marshal(v.value)
	if err != nil {
		t.Fatal(err)
	}
	for k := policy.Oldest; k <= policy.Newest; k++ {
		document, err := policy.Load(text, k)
		if err != nil {
			t.Errorf("%s: Kubernetes %s: %v in\n%s", name, k, err, text)
			continue
		}
		if len(document.Warnings)+len(document.Strict) > 0 {
			t.Errorf("%s: Kubernetes %s: %v %v in\n%s", name, k, document.Warnings, document.Strict, text)
		}
	}
}

// checkFlags checks the flags of a kube-apiserver in a pod: that they are known, and
// that what they name is below one of the directories that are mounted.
func checkFlags(t *testing.T, name string, flags map[string]string, mounts []string) {
	if flags["audit-policy-file"] == "" || flags["audit-log-path"] == "" && flags["audit-webhook-config-file"] == "" {
		t.Errorf("%s: nothing is recorded with %v", name, flags)
	}
	for flag, value := range flags {
		if !slices.Contains(auditFlags, flag) {
			t.Errorf("%s: kube-apiserver knows no --%s", name, flag)
		}
		if strings.HasPrefix(value, "/") && !slices.ContainsFunc(mounts, func(dir string) bool { return strings.HasPrefix(value, dir+"/") }) {
			t.Errorf("%s: --%s=%s is not mounted; only %q are", name, flag, value, mounts)
		}
	}
}

func checkKubeadm(t *testing.T, name, version string, v anything) {
	flags := map[string]string{}
	switch arguments := v.at("apiServer", "extraArgs"); version {
	case "kubeadm.k8s.io/v1beta4":
		for _, a := range arguments.list() {
			flags[a.at("name").text()] = a.at("value").text()
		}
	case "kubeadm.k8s.io/v1beta3":
		m, _ := arguments.value.(map[string]any)
		for flag, value := range m {
			flags[flag] = anything{value}.text()
		}
	default:
		t.Errorf("%s: %s", name, version)
	}
	var mounts []string
	for _, m := range v.at("apiServer", "extraVolumes").list() {
		if m.at("name").text() == "" || m.at("hostPath").text() == "" {
			t.Errorf("%s: %v", name, m.value)
		}
		mounts = append(mounts, m.at("mountPath").text())
	}
	for flag, value := range flags {
		if value == "" {
			t.Errorf("%s: %s: the value of %s is no string", name, version, flag)
		}
	}
	checkFlags(t, name, flags, mounts)
}

func checkPod(t *testing.T, name string, v anything) {
	container := v.at("spec", "containers").list()[0]
	flags := map[string]string{}
	for _, argument := range container.at("command").list() {
		if flag, value, ok := strings.Cut(strings.TrimPrefix(argument.text(), "--"), "="); ok {
			flags[flag] = value
		}
	}
	checkFlags(t, name, flags, checkMounts(t, name, container, v.at("spec")))
}

// checkMounts returns where the volumes of a pod are mounted in a container.
func checkMounts(t *testing.T, name string, container, spec anything) []string {
	volumes := map[string]bool{}
	for _, volume := range spec.at("volumes").list() {
		volumes[volume.at("name").text()] = true
	}
	var mounts []string
	for _, m := range container.at("volumeMounts").list() {
		if !volumes[m.at("name").text()] {
			t.Errorf("%s: no volume for %v", name, m.value)
		}
		mounts = append(mounts, m.at("mountPath").text())
	}
	return mounts
}

// checkArguments checks a list of flag=value.
func checkArguments(t *testing.T, name string, v anything, prefix string) {
	if len(v.list()) == 0 {
		t.Errorf("%s: no arguments", name)
	}
	for _, argument := range v.list() {
		flag, value, _ := strings.Cut(strings.TrimPrefix(argument.text(), prefix), "=")
		if !slices.Contains(auditFlags, flag) || value == "" {
			t.Errorf("%s: %v", name, argument.value)
		}
	}
}

func checkKubeconfig(t *testing.T, name string, v anything) {
	u, err := url.Parse(v.at("clusters").list()[0].at("cluster", "server").text())
	if err != nil || u.Scheme != "https" || u.RawQuery != "" || !strings.HasPrefix(u.Path, "/webhook/") {
		t.Errorf("%s: events go to %v (%v)", name, u, err)
	}
	context := v.at("contexts").list()[0]
	if context.at("name").text() != v.at("current-context").text() ||
		context.at("context", "cluster").text() != v.at("clusters").list()[0].at("name").text() ||
		context.at("context", "user").text() != v.at("users").list()[0].at("name").text() {
		t.Errorf("%s: the names in the kubeconfig do not agree", name)
	}
}

func checkDaemonSet(t *testing.T, name string, v anything) {
	spec := v.at("spec", "template", "spec")
	mounts := checkMounts(t, name, spec.at("containers").list()[0], spec)
	for _, argument := range spec.at("containers").list()[0].at("args").list() {
		_, path, _ := strings.Cut(argument.text(), "=/")
		if path != "" && !slices.ContainsFunc(mounts, func(dir string) bool { return strings.HasPrefix("/"+path, dir) }) {
			t.Errorf("%s: %s is not mounted", name, argument.text())
		}
	}
	if v.at("spec", "selector", "matchLabels", "app").text() != v.at("spec", "template", "metadata", "labels", "app").text() {
		t.Errorf("%s: the DaemonSet selects other pods", name)
	}
}

// TestSnippetFlags checks that every flag of auditing that a page mentions is one.
func TestSnippetFlags(t *testing.T) {
	flag := regexp.MustCompile(`(?:--|[- ]|name: )(audit-(?:log|webhook|policy)-[a-z-]*[a-z])`)
	for _, name := range collecting() {
		n := 0
		for _, m := range flag.FindAllStringSubmatch(read(t, name), -1) {
			n++
			if !slices.Contains(auditFlags, m[1]) {
				t.Errorf("%s: kube-apiserver knows no --%s", name, m[1])
			}
		}
		if n < 5 {
			t.Errorf("%s: only %d flags found", name, n)
		}
	}
}

// TestSnippetTwins checks that the Chinese pages have the same snippets and commands.
func TestSnippetTwins(t *testing.T) {
	comment := regexp.MustCompile(`(?m)\s+#.*$`)
	for _, name := range []string{"collect.md", "platforms.md"} {
		en, zh := read(t, filepath.Join("docs", name)), read(t, filepath.Join("docs/zh", name))
		for _, language := range []string{"yaml", "json"} {
			a, b := snippets(en, language), snippets(zh, language)
			for i := range max(len(a), len(b)) {
				if i >= len(a) || i >= len(b) || comment.ReplaceAllString(a[i], "") != comment.ReplaceAllString(b[i], "") {
					t.Fatalf("docs/%s and docs/zh/%s: %s snippet %d differs", name, name, language, i+1)
				}
			}
		}
		if a, b := indented(en), indented(zh); !slices.Equal(a, b) {
			t.Errorf("docs/%s and docs/zh/%s have other commands:\n%q\n%q", name, name, a, b)
		}
	}
}

// indented are the lines of a page, outside of snippets, that are shown as they are.
func indented(text string) []string {
	var all []string
	for i, part := range strings.Split(text, "```") {
		for line := range strings.Lines(part) {
			if i%2 == 0 && strings.HasPrefix(line, "    ") {
				all = append(all, strings.TrimSpace(line))
			}
		}
	}
	return all
}

// TestAnchors checks that the headings are there that documents point to.
func TestAnchors(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]*)#([^)\s]+)\)`)
	for _, name := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, name), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			page := name
			if m[1] != "" {
				page = filepath.Join(filepath.Dir(name), m[1])
			}
			if !slices.Contains(anchors(read(t, page)), m[2]) {
				t.Errorf("%s points to %s#%s, where no such heading is", name, m[1], m[2])
			}
		}
	}
}

// anchors are the names that GitHub gives the headings of a page.
func anchors(text string) []string {
	dropped := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	var all []string
	for i, part := range strings.Split(text, "```") {
		for line := range strings.Lines(part) {
			if title := strings.TrimLeft(line, "#"); i%2 == 0 && title != line && strings.HasPrefix(title, " ") {
				slug := dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
				all = append(all, strings.ReplaceAll(slug, " ", "-"))
			}
		}
	}
	return all
}

// TestCommands checks that the commands of these pages exist, and their flags too.
func TestCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	bin := filepath.Join(t.TempDir(), "kubetrail")
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd/kubetrail").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	command := regexp.MustCompile("(?m)(?:^ +|`|\\$ )kubetrail ([a-z]+(?: [a-z]+)?)([^`\n]*)")
	flag := regexp.MustCompile(`(?:^| )--([a-z-]+)`)
	helps := map[string]string{}
	help := func(verbs string) string {
		if _, ok := helps[verbs]; !ok {
			out, err := exec.Command(bin, append(strings.Fields(verbs), "--help")...).CombinedOutput()
			if err != nil {
				out = nil
			}
			helps[verbs] = string(out)
		}
		return helps[verbs]
	}
	for _, name := range collecting() {
		n := 0
		for _, m := range command.FindAllStringSubmatch(read(t, name), -1) {
			n++
			text := help(m[1])
			for _, f := range flag.FindAllStringSubmatch(m[2], -1) {
				if !strings.Contains(text, " --"+f[1]+" ") {
					t.Errorf("%s: kubetrail %s has no --%s", name, m[1], f[1])
				}
			}
			if text == "" {
				t.Errorf("%s: there is no kubetrail %s", name, m[1])
			}
		}
		for _, snippet := range snippets(read(t, name), "yaml") {
			_, arguments, ok := strings.Cut(snippet, "\n        - agent\n")
			for _, f := range regexp.MustCompile(`(?m)^        - --([a-z-]+)=`).FindAllStringSubmatch(arguments, -1) {
				if !strings.Contains(help("agent"), " --"+f[1]+" ") {
					t.Errorf("%s: kubetrail agent has no --%s", name, f[1])
				}
			}
			if ok {
				n++
			}
		}
		if n < 5 {
			t.Errorf("%s: only %d commands found", name, n)
		}
	}
}

// Package destination tells where the API server passed a request on to, which an audit
// event does not say: to a kubelet, a pod, a service, an aggregated API, or to admission
// webhooks.
package destination

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"kubetrail/audit"
)

// maxPlaces bounds the places of one event: what annotations name comes from outside.
const maxPlaces = 64

// Of returns where e went, as a JSON list of strings, or nil where it was answered by
// the API server itself, as most are, or where that is unknown. It learns from e what
// later events need; k may be nil.
//
//	node/NAME                    the kubelet: nodes/proxy, and exec, attach, portforward
//	                             and log of a pod whose node is known
//	pod/NAMESPACE/NAME           exec, attach, portforward, log and proxy of a pod
//	service/NAMESPACE/NAME       proxy of a service, and what serves an aggregated API
//	apiservice/VERSION.GROUP     an aggregated API
//	webhook/CONFIGURATION/NAME   an admission webhook that was called; - is unknown
//
// An event of the stage RequestReceived has none, nor has a request that was refused, or
// whose object was not found: it went nowhere. That a request was passed on does not
// mean that it was answered; the code tells.
func Of(e *audit.Event, k *Known) []byte {
	if k != nil {
		k.learn(e)
	}
	if string(e.Text[audit.Decision]) != "allow" {
		return nil
	}
	var to []string
	switch string(e.Text[audit.Resource]) {
	case "":
		to = k.discovery(e)
	case "pods", "nodes", "services":
		if len(e.Text[audit.Subresource]) > 0 && len(e.Text[audit.APIGroup]) == 0 {
			to = k.connected(e)
			break
		}
		fallthrough // pods and nodes of metrics.k8s.io
	default:
		if group := e.Text[audit.APIGroup]; len(group) > 0 {
			to = k.api(e, group, e.Text[audit.APIVersion])
		}
	}
	if notes := e.Text[audit.Annotations]; len(notes) > 0 {
		to = k.webhooks(to, e, notes)
	}
	if len(to) == 0 {
		return nil
	}
	return encode(to)
}

// encode writes a list without the escapes meant for HTML.
func encode(to []string) []byte {
	var b bytes.Buffer
	w := json.NewEncoder(&b)
	w.SetEscapeHTML(false)
	if w.Encode(to) != nil {
		return nil // never: strings encode
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// connected is where a request for a subresource went that the API server passes on.
func (k *Known) connected(e *audit.Event) []string {
	name := string(e.Text[audit.Name])
	if name == "" || e.Code == 404 && string(e.Text[audit.StatusReason]) == "NotFound" {
		return nil
	}
	namespace := string(e.Text[audit.Namespace])
	sub := string(e.Text[audit.Subresource])
	switch string(e.Text[audit.Resource]) {
	case "nodes":
		if sub == "proxy" {
			return []string{"node/" + hostOf(name)}
		}
	case "services":
		if sub == "proxy" {
			return []string{"service/" + namespace + "/" + hostOf(name)}
		}
	case "pods":
		switch sub {
		case "proxy":
			name = hostOf(name)
		case "exec", "attach", "portforward", "log":
		default:
			return nil
		}
		pod := "pod/" + namespace + "/" + name
		if node := k.nodeOf(e, namespace, name); node != "" {
			return []string{"node/" + node, pod}
		}
		return []string{pod}
	}
	return nil
}

// hostOf takes the name out of what a proxy is asked for: NAME, NAME:PORT or
// SCHEME:NAME:PORT, where PORT may be empty.
func hostOf(name string) string {
	switch parts := strings.Split(name, ":"); len(parts) {
	case 2:
		return parts[0]
	case 3:
		return parts[1]
	}
	return name
}

// discovery is where a request for the resources of an aggregated API went:
// /apis/GROUP/VERSION, which is no request for a resource.
func (k *Known) discovery(e *audit.Event) []string {
	path, ok := bytes.CutPrefix(e.Text[audit.RequestURI], []byte("/apis/"))
	if !ok {
		return nil
	}
	path, _, _ = bytes.Cut(path, []byte("?"))
	group, version, ok := bytes.Cut(bytes.TrimSuffix(path, []byte("/")), []byte("/"))
	if !ok || len(version) == 0 || bytes.IndexByte(version, '/') >= 0 {
		return nil
	}
	return k.api(e, group, version)
}

// api is where a request for a resource of a group went, if that group is served by
// another server.
func (k *Known) api(e *audit.Event, group, version []byte) []string {
	if bytes.IndexByte(group, '.') < 0 || len(version) == 0 {
		return nil // built in
	}
	wellKnown := false
	switch string(group) {
	case "metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io":
		wellKnown = e.Code != 404 // which the API server answers where nobody serves it
	}
	if k == nil || !wellKnown && k.groups[string(group)] == 0 {
		if !wellKnown {
			return nil
		}
		return []string{"apiservice/" + string(version) + "." + string(group)}
	}
	name := string(version) + "." + string(group)
	service, known := k.apis.get(k.key(e, "", name))
	switch {
	case known && service == inProcess, !known && !wellKnown:
		return nil
	case service == "":
		return []string{"apiservice/" + name}
	}
	return []string{"apiservice/" + name, "service/" + service}
}

// webhooks adds the admission webhooks that annotations tell of.
func (k *Known) webhooks(to []string, e *audit.Event, notes []byte) []string {
	told := bytes.Contains(notes, []byte(".webhook.admission.k8s.io/"))
	if !told && (k == nil || k.hooks.empty()) {
		return to
	}
	var all map[string]string
	if json.Unmarshal(notes, &all) != nil {
		return to
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names) // mutation before patch; what failed open comes first
	var failed []string
	for _, name := range names {
		plugin, key, _ := strings.Cut(name, "/")
		switch plugin {
		case "mutation.webhook.admission.k8s.io", "patch.webhook.admission.k8s.io":
			var note struct{ Configuration, Webhook string }
			if json.Unmarshal([]byte(all[name]), &note) == nil && note.Webhook != "" && key != "" {
				k.learnHook(e, note.Configuration, note.Webhook)
				to = add(to, hook(note.Configuration, note.Webhook))
			}
		case "failed-open.mutation.webhook.admission.k8s.io", "failed-open.validating.webhook.admission.k8s.io":
			failed = append(failed, all[name])
		default:
			if configuration, ok := k.hookOf(e, plugin); ok { // of its own: NAME/KEY
				to = add(to, hook(configuration, plugin))
			}
		}
	}
	for _, name := range failed {
		configuration, _ := k.hookOf(e, name)
		if !slices.ContainsFunc(to, func(s string) bool {
			return strings.HasPrefix(s, "webhook/") && strings.HasSuffix(s, "/"+name)
		}) {
			to = add(to, hook(configuration, name))
		}
	}
	return to
}

func hook(configuration, name string) string {
	if configuration == "" {
		configuration = "-"
	}
	return "webhook/" + configuration + "/" + name
}

func add(to []string, s string) []string {
	if len(to) >= maxPlaces || slices.Contains(to, s) {
		return to
	}
	return append(to, s)
}

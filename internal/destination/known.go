package destination

import (
	"bytes"
	"encoding/json"
	"strings"

	"kubetrail/audit"
)

// How much is remembered, of all clusters together. What was not needed for longest is
// forgotten first.
const (
	maxPods  = 1 << 16
	maxOther = 1 << 12 // of APIs, groups and webhooks each
	maxName  = 253     // bytes of a name that is remembered
)

// Known is what one event tells about where later ones go: which node a pod runs on,
// which APIs are served by other servers, and which configuration a webhook is of. Its
// memory is bounded. It is for one goroutine. The zero Known knows nothing.
type Known struct {
	pods   recent         // CLUSTER NAMESPACE NAME to the node
	apis   recent         // CLUSTER VERSION.GROUP to NAMESPACE/NAME of the service, "" or inProcess
	groups map[string]int // how often apis has an API of a group that is not inProcess, or had
	local  recent         // CLUSTER GROUP: of CustomResourceDefinitions
	hooks  recent         // CLUSTER NAME to the configuration
	spare  []byte
}

// inProcess stands for the service of an API that the API server serves itself.
const inProcess = "."

// key makes the key of a name in the cluster of an event.
func (k *Known) key(e *audit.Event, namespace, name string) string {
	k.spare = append(k.spare[:0], e.Text[audit.Cluster]...)
	k.spare = append(append(k.spare, 0), namespace...)
	k.spare = append(append(k.spare, 0), name...)
	return string(k.spare)
}

func (k *Known) nodeOf(e *audit.Event, namespace, name string) string {
	if k == nil {
		return ""
	}
	node, _ := k.pods.get(k.key(e, namespace, name))
	return node
}

func (k *Known) hookOf(e *audit.Event, name string) (configuration string, ok bool) {
	if k == nil {
		return "", false
	}
	return k.hooks.get(k.key(e, "", name))
}

func (k *Known) learnHook(e *audit.Event, configuration, name string) {
	if k != nil && name != "" && len(name) <= maxName && len(configuration) <= maxName {
		k.hooks.put(k.key(e, "", name), configuration, maxOther)
	}
}

// Learn takes from e what later events need, as Of does.
func (k *Known) Learn(e *audit.Event) { k.learn(e) }

// learn takes from e what later events need, if it was done.
func (k *Known) learn(e *audit.Event) {
	if e.Code < 200 || e.Code > 299 || len(e.Text[audit.Name]) > maxName || len(e.Text[audit.Namespace]) > maxName {
		return
	}
	switch string(e.Text[audit.Resource]) {
	case "pods":
		if len(e.Text[audit.APIGroup]) == 0 {
			k.learnPod(e)
		}
	case "apiservices":
		k.learnAPI(e)
	case "customresourcedefinitions":
		if _, group, ok := strings.Cut(string(e.Text[audit.Name]), "."); ok && string(e.Text[audit.Verb]) != "delete" {
			k.local.put(k.key(e, "", group), inProcess, maxOther)
		}
	case "mutatingwebhookconfigurations", "validatingwebhookconfigurations":
		k.learnConfiguration(e)
	}
}

// object is the body that shows what an object is after the request: the answer, or
// what was sent to create or replace it. It is nil where none was recorded.
func object(e *audit.Event) []byte {
	if len(e.ResponseObject) > 0 {
		return e.ResponseObject
	}
	if verb := string(e.Text[audit.Verb]); verb == "create" || verb == "update" {
		return e.RequestObject
	}
	return nil
}

// learnPod learns the node of a pod from its binding, from its kubelet, which writes its
// status, and from its body. A pod that is gone may come back elsewhere.
func (k *Known) learnPod(e *audit.Event) {
	switch string(e.Text[audit.Verb]) {
	case "deletecollection":
		k.pods.forget(k.key(e, string(e.Text[audit.Namespace]), ""))
		return
	case "delete":
		if len(e.Text[audit.Subresource]) == 0 {
			k.pods.put(k.podKey(e), "", maxPods)
		}
		return
	}
	if len(e.Text[audit.Name]) == 0 {
		return
	}
	node := ""
	switch sub := e.Text[audit.Subresource]; string(sub) {
	case "binding":
		var binding struct{ Target struct{ Name string } }
		if json.Unmarshal(e.RequestObject, &binding) == nil {
			node = binding.Target.Name
		}
	case "status":
		if kubelet, ok := bytes.CutPrefix(e.Text[audit.Username], []byte("system:node:")); ok {
			node = string(kubelet)
			break
		}
		fallthrough
	case "":
		node = k.nodeIn(e)
	}
	if node != "" && len(node) <= maxName {
		k.pods.put(k.podKey(e), node, maxPods)
	}
}

func (k *Known) podKey(e *audit.Event) string {
	return k.key(e, string(e.Text[audit.Namespace]), string(e.Text[audit.Name]))
}

// nodeIn is the node in the body of a pod, unless it is known without.
func (k *Known) nodeIn(e *audit.Event) string {
	body := object(e)
	if !bytes.Contains(body, []byte(`"nodeName":"`)) {
		return ""
	}
	if string(e.Text[audit.Verb]) != "create" && k.pods.has(k.podKey(e)) {
		return ""
	}
	var pod struct{ Spec struct{ NodeName string } }
	if json.Unmarshal(body, &pod) != nil {
		return ""
	}
	return pod.Spec.NodeName
}

// learnAPI learns who serves an API. Where bodies are not recorded, kube-apiserver's own
// controller registers what the API server serves itself, those of
// CustomResourceDefinitions included; what somebody else creates is served elsewhere,
// unless it is known of such a definition.
func (k *Known) learnAPI(e *audit.Event) {
	name, verb := string(e.Text[audit.Name]), string(e.Text[audit.Verb])
	version, group, ok := strings.Cut(name, ".")
	if !ok || version == "" || group == "" {
		return
	}
	key := k.key(e, "", name)
	if verb == "delete" {
		k.apis.put(key, inProcess, maxOther)
		return
	}
	var api struct {
		Kind string
		Spec *struct {
			Service *struct{ Namespace, Name string }
		}
	}
	switch err := json.Unmarshal(object(e), &api); {
	case err == nil && api.Kind == "APIService" && api.Spec != nil && api.Spec.Service == nil:
		k.apis.put(key, inProcess, maxOther)
	case err == nil && api.Kind == "APIService" && api.Spec != nil:
		if len(api.Spec.Service.Namespace) > maxName || len(api.Spec.Service.Name) > maxName {
			return
		}
		k.learnGroup(key, group, api.Spec.Service.Namespace+"/"+api.Spec.Service.Name)
	case verb == "create" && string(e.Text[audit.Username]) != "system:apiserver" && !k.local.has(k.key(e, "", group)):
		k.learnGroup(key, group, "")
	}
}

func (k *Known) learnGroup(key, group, service string) {
	if k.groups == nil || len(k.groups) > maxOther {
		k.groups = map[string]int{}
	}
	k.groups[group]++
	k.apis.put(key, service, maxOther)
}

func (k *Known) learnConfiguration(e *audit.Event) {
	var configuration struct {
		Metadata struct{ Name string }
		Webhooks []struct{ Name string }
	}
	if json.Unmarshal(object(e), &configuration) != nil {
		return
	}
	for _, w := range configuration.Webhooks {
		k.learnHook(e, configuration.Metadata.Name, w.Name)
	}
}

// recent maps strings to strings and forgets those not used for longest: what was used
// since the last time that half of them were new, it has.
type recent struct{ young, old map[string]string }

func (r *recent) empty() bool { return len(r.young)+len(r.old) == 0 }

func (r *recent) has(key string) bool {
	v, _ := r.get(key)
	return v != ""
}

func (r *recent) get(key string) (string, bool) {
	if v, ok := r.young[key]; ok {
		return v, true
	}
	v, ok := r.old[key]
	if ok && len(r.young) < len(r.old) { // used, so that it must not be forgotten with the others
		r.young[key] = v
	}
	return v, ok
}

func (r *recent) put(key, value string, limit int) {
	if r.young == nil || len(r.young) >= limit/2 {
		r.young, r.old = map[string]string{}, r.young
	}
	r.young[key] = value
}

// forget forgets every key that begins so.
func (r *recent) forget(prefix string) {
	for _, m := range []map[string]string{r.young, r.old} {
		for key := range m {
			if strings.HasPrefix(key, prefix) {
				delete(m, key)
			}
		}
	}
}

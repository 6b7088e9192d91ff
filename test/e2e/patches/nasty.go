package patches

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// nasty makes a patch that is legal to send, and odd.
func (l *Life) nasty(now Object) Patch {
	all := []func(Object) (Patch, bool){l.oddMerge, l.oddJSON, l.oddStrategic, l.oddStrategic, l.oddApply, l.malformed}
	for {
		if p, ok := pick(l.r, all...)(now); ok {
			return p
		}
	}
}

func (l *Life) oddMerge(now Object) (Patch, bool) {
	p := Patch{ContentType: MergePatch, Category: "odd merge patch"}
	p.Body = []byte(pick(l.r, `{}`, `{"metadata":{"labels":{"absent":null,"deep":null}}}`, `{"metadata":{"labels":null}}`, `{"metadata":{"annotations":{}}}`,
		`{"metadata":{"annotations":{"a":"1","a":"2"}}}`, `{"spec":null}`, `{"spec":{}}`, `{"kind":"Other"}`, `{"apiVersion":"v9"}`, `{"status":null}`,
		`{"metadata":{"labels":{"x":1}}}`, `{"metadata":{"finalizers":["example.com/a",null]}}`, `{"metadata":{"annotations":{"big":"`+strings.Repeat("x", 5000)+`"}}}`,
		`{"metadata":{"managedFields":null}}`, `{"metadata":null}`, `{"Metadata":{"labels":{"case":"x"}}}`, `{"metadata":{"Labels":{"case":"x"}}}`,
		` {"metadata" : {"annotations":{"spaces":"\u0041\/"}} }`, `{"metadata":{"deletionTimestamp":"2026-11-20T10:00:00Z"}}`, `{"metadata":{"deletionGracePeriodSeconds":3}}`))
	_ = now
	return p, true
}

func (l *Life) oddJSON(now Object) (Patch, bool) {
	p := Patch{ContentType: JSONPatch, Category: "odd JSON patch"}
	value := func(text string) any { return json.RawMessage(text) }
	switch l.r.IntN(12) {
	case 0:
		p.Body = []byte(`[]`)
	case 1:
		p.Body = encode([]any{op("test", "/metadata/labels/app", "not so"), op("remove", "/metadata/labels/app")})
	case 2:
		p.Body = encode([]any{op("remove", "/metadata/labels/absent")})
	case 3:
		p.Body = encode([]any{op("replace", "/metadata/labels/absent", "x")})
	case 4:
		p.Body = encode([]any{op("add", "/metadata/annotations/deep~1er", "x")}) // fails where there are none
	case 5:
		p.Body = encode([]any{op("add", "/metadata/labels/one", "1"), Object{"op": "copy", "from": "/metadata/labels/one", "path": "/metadata/labels/two"}})
	case 6:
		p.Body = encode([]any{op("add", "/metadata/labels/one", "1"), Object{"op": "move", "from": "/metadata/labels/one", "path": "/metadata/labels/three"}})
	case 7:
		p.Body = encode([]any{op("add", "/metadata/annotations", Object{"only": "this"}), op("test", "/metadata/annotations/only", "this"), op("remove", "/metadata/annotations/only")})
	case 8:
		p.Body = encode([]any{op("add", "/metadata/labels/nothing", nil)})
	case 9:
		p.Body = encode([]any{op("add", "", value(`{"metadata":{}}`))})
	default:
		return l.listMoves(now)
	}
	return p, true
}

// listMoves moves items of the first list of objects that there is.
func (l *Life) listMoves(now Object) (Patch, bool) {
	path, n := findList("", now)
	if path == "" {
		return Patch{}, false
	}
	var ops []any
	switch l.r.IntN(6) {
	case 0:
		ops = []any{Object{"op": "copy", "from": path + "/0", "path": path + "/-"}}
	case 1:
		ops = []any{Object{"op": "move", "from": path + "/0", "path": fmt.Sprintf("%s/%d", path, n-1)}}
	case 2:
		ops = []any{op("remove", path+"/-1")}
	case 3:
		ops = []any{op("remove", fmt.Sprintf("%s/%d", path, n))}
	case 4:
		ops = []any{op("test", path+"/0", Object{}), op("remove", path+"/0")}
	case 5:
		ops = []any{op("remove", path)}
	}
	return Patch{ContentType: JSONPatch, Category: "odd JSON patch", Body: encode(ops)}, true
}

func findList(path string, o Object) (string, int) {
	for _, k := range slices.Sorted(maps.Keys(o)) {
		if k == "managedFields" {
			continue
		}
		switch v := o[k].(type) {
		case []any:
			if len(v) > 0 && part(v[0]) != nil {
				return path + "/" + k, len(v)
			}
		case Object:
			if at, n := findList(path+"/"+k, v); at != "" {
				return at, n
			}
		}
	}
	return "", 0
}

func (l *Life) oddStrategic(now Object) (Patch, bool) {
	p := Patch{ContentType: Strategic, Category: "odd strategic merge patch"}
	general := []string{
		`{"metadata":{"labels":{"$patch":"replace","only":"this"}}}`,
		`{"metadata":{"annotations":{"$patch":"delete"}}}`,
		`{"metadata":{"finalizers":["example.com/a","example.com/b"]}}`,
		`{"metadata":{"$deleteFromPrimitiveList/finalizers":["example.com/a","example.com/absent"]}}`,
		`{"metadata":{"$setElementOrder/finalizers":["example.com/b","example.com/a"],"finalizers":["example.com/b"]}}`,
		`{"metadata":{"finalizers":null}}`,
		`{"metadata":{"labels":{"absent":null}}}`,
		`{"metadata":{"$retainKeys":["name","labels"],"labels":{"kept":"yes"}}}`,
		`{"metadata":{"ownerReferences":[{"$patch":"delete","uid":"11111111-1111-4111-8111-111111111111"}]}}`,
		`{"metadata":{"ownerReferences":[{"$patch":"replace"}]}}`,
		`{"$patch":"replace","metadata":{"name":"x"}}`,
		`{"metadata":{"labels":{"$patch":"merge","a":"b"}}}`,
		`{"metadata":{"labels":{"$patch":"nonsense","a":"b"}}}`,
		`{}`,
	}
	pod := []string{
		`{"containers":[{"name":"app","image":"x:1"}]}`,
		`{"containers":[{"name":"app","env":[{"name":"MODE","$patch":"delete"},{"name":"NEW","value":"1"}]}]}`,
		`{"containers":[{"name":"app","env":[{"name":"MODE","value":null,"valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]}]}`,
		`{"containers":[{"$patch":"replace"},{"name":"fresh","image":"y"}]}`,
		`{"containers":[{"name":"sidecar","$patch":"delete"}]}`,
		`{"containers":[{"name":"absent","$patch":"delete"}]}`,
		`{"containers":[{"name":"app","$patch":"replace","image":"alone:1"}]}`,
		`{"$setElementOrder/containers":[{"name":"sidecar"},{"name":"app"}],"containers":[{"name":"app","image":"x:2"}]}`,
		`{"$setElementOrder/containers":[{"name":"new"},{"name":"app"}],"containers":[{"name":"new","image":"z"}]}`,
		`{"containers":[{"image":"nameless"}]}`,
		`{"containers":[{"name":"app","ports":[{"containerPort":80,"protocol":"UDP"}]}]}`,
		`{"containers":[{"name":"app","ports":[{"containerPort":53,"name":"renamed"}]}]}`,
		`{"containers":[{"name":"app","ports":[{"containerPort":53,"$patch":"delete"}]}]}`,
		`{"containers":[{"name":"app","resources":{"$patch":"replace","limits":{"cpu":"3"}}}]}`,
		`{"containers":[{"name":"app","livenessProbe":{"$patch":"delete"}}]}`,
		`{"containers":[{"name":"app","readinessProbe":{"httpGet":null,"tcpSocket":{"port":80}}}]}`,
		`{"containers":[{"name":"app","args":["a","b"],"command":null}]}`,
		`{"volumes":[{"$retainKeys":["name","secret"],"name":"config","secret":{"secretName":"s"}}]}`,
		`{"volumes":[{"name":"config","configMap":null,"emptyDir":{}}]}`,
		`{"volumes":[{"name":"extra","emptyDir":{}},{"name":"extra","hostPath":{"path":"/x"}}]}`,
		`{"tolerations":[{"key":"only","operator":"Exists"}]}`,
		`{"tolerations":[{"$patch":"delete","key":"only"}]}`,
		`{"topologySpreadConstraints":[{"topologyKey":"zone","whenUnsatisfiable":"ScheduleAnyway","maxSkew":3}]}`,
		`{"nodeSelector":{"$patch":"replace","disk":"hdd"}}`,
		`{"imagePullSecrets":[{"name":"registry"},{"name":"new"}]}`,
		`{"hostAliases":[{"ip":"10.1.1.1","$patch":"delete"}]}`,
	}
	if l.Kind.pod == nil || l.r.IntN(4) == 0 {
		body := pick(l.r, general...)
		if l.Kind.Kind == "ServiceAccount" && l.r.IntN(8) == 0 { // kube-apiserver panics
			body = `{"$setElementOrder/imagePullSecrets":[{"name":"x"}],"imagePullSecrets":[{"name":"x"}]}`
		}
		if l.Kind.Kind == "Service" && l.r.IntN(2) == 0 {
			body = pick(l.r, `{"spec":{"ports":[{"port":80,"name":"http","targetPort":9}]}}`, `{"spec":{"ports":[{"port":53,"protocol":"TCP","name":"dns-tcp"}]}}`,
				`{"spec":{"ports":[{"port":443,"$patch":"delete"}]}}`, `{"spec":{"$setElementOrder/ports":[{"port":443},{"port":80}],"ports":[{"port":80,"nodePort":null}]}}`,
				`{"spec":{"ports":[{"port":53,"targetPort":5353}]}}`)
		}
		p.Body = []byte(body)
		return p, true
	}
	body := pick(l.r, pod...)
	for _, name := range slices.Backward(l.Kind.pod) {
		body = `{"` + name + `":` + body + `}`
	}
	p.Body = []byte(body)
	_ = now
	return p, true
}

func (l *Life) oddApply(now Object) (Patch, bool) {
	p := Patch{ContentType: Apply, Category: "odd apply", Query: "fieldManager=odd&force=true"}
	meta := Object{"name": l.Name}
	o := Object{"apiVersion": l.Kind.APIVersion(), "kind": l.Kind.Kind, "metadata": meta}
	switch l.r.IntN(11) {
	case 0: // nothing but the name
	case 1:
		meta["labels"] = Object{"team": nil, "odd": "1"}
	case 2:
		meta["annotations"] = Object{"odd": ""}
		meta["finalizers"] = []any{"example.com/odd"}
	case 3:
		meta["resourceVersion"] = "1"
	case 4:
		meta["managedFields"] = []any{}
	case 5:
		o["apiVersion"] = "v9"
	case 6:
		delete(meta, "name")
		meta["labels"] = Object{"nameless": "1"}
	case 7:
		p.Query = "force=true" // nobody's
	case 8:
		meta["ownerReferences"] = []any{Object{"apiVersion": "v1", "kind": "ConfigMap", "name": "odd", "uid": "55555555-5555-4555-8555-555555555555"}}
	case 9:
		o["bogus"] = Object{"a": 1}
	case 10:
		meta["labels"] = Object{"team": "conflict"}
		p.Query = "fieldManager=odd"
	}
	p.Body = encode(o)
	_ = now
	return p, true
}

// malformed is JSON, so that the event is logged, but no patch.
func (l *Life) malformed(now Object) (Patch, bool) {
	_ = now
	p := Patch{Category: "malformed", ContentType: pick(l.r, JSONPatch, MergePatch, Strategic, Apply, "application/json", "text/plain")}
	p.Body = []byte(pick(l.r, `"text"`, `5`, `null`, `[1]`, `{"op":"add"}`, `[{"op":"destroy","path":"/"}]`, `[{"path":"/metadata/labels/a"}]`, `{"metadata":[]}`, `{"spec":"text"}`, `[{"op":"add","path":"no/slash","value":1}]`))
	if p.ContentType == Apply {
		p.Query = "fieldManager=odd"
	}
	return p, true
}

package schema_test

import (
	"slices"
	"testing"

	"kubetrail/internal/schema"
)

func TestTypeOf(t *testing.T) {
	spec := schema.TypeOf("apps", "v1", "Deployment").Field("spec").Type
	pod := spec.Field("template").Type.Field("spec").Type
	containers := pod.Field("containers")
	if !containers.Merge || containers.MergeKey != "name" || containers.Type.List != schema.MapList || containers.OmitEmpty {
		t.Errorf("containers: %+v %+v", containers, containers.Type)
	}
	if v := pod.Field("volumes"); !v.Merge || !v.RetainKeys || v.MergeKey != "name" {
		t.Errorf("volumes: %+v", v)
	}
	ports := containers.Type.Item.Field("ports")
	if ports.MergeKey != "containerPort" || !slices.Equal(ports.Type.Keys, []string{"containerPort", "protocol"}) {
		t.Errorf("ports: %+v %+v", ports, ports.Type)
	}
	if r := spec.Field("replicas"); !r.Pointer || !r.OmitEmpty || r.Type.Form != schema.Int32 {
		t.Errorf("replicas: %+v", r)
	}
	if s := spec.Field("selector"); !s.Type.Atomic {
		t.Errorf("selector: %+v", s.Type)
	}
	if s := spec.Field("strategy"); !s.RetainKeys || s.Merge {
		t.Errorf("strategy: %+v", s)
	}
	if f := schema.ObjectMeta().Field("finalizers"); !f.Merge || f.MergeKey != "" || f.Type.List != schema.SetList {
		t.Errorf("finalizers: %+v %+v", f, f.Type)
	}
	if l := containers.Type.Item.Field("resources").Type.Field("limits").Type; l.Form != schema.Map || l.Item.Form != schema.Quantity {
		t.Errorf("limits: %+v", l)
	}
	if schema.TypeOf("stable.example.com", "v1", "CronTab") != nil || schema.TypeOf("autoscaling", "v1", "HorizontalPodAutoscaler") == nil {
		t.Error("kinds that are not served have a type, or served ones have none")
	}
}

// TestEveryResourceHasAType checks that the two tables are of one API server, and that
// every type is whole.
func TestEveryResourceHasAType(t *testing.T) {
	seen := map[*schema.Type]bool{}
	var walk func(t *schema.Type, at string)
	walk = func(x *schema.Type, at string) {
		switch {
		case x == nil:
			t.Errorf("%s has no type", at)
			return
		case seen[x]:
			return
		}
		seen[x] = true
		if (x.Form == schema.List || x.Form == schema.Map) != (x.Item != nil) {
			t.Errorf("%s: form %d and item %v", at, x.Form, x.Item)
		}
		if x.Item != nil {
			walk(x.Item, at+"[]")
		}
		if x.Form == schema.Struct && x.Name == "" || len(x.Fields) > 0 && x.Form != schema.Struct {
			t.Errorf("%s: %+v", at, x)
		}
		for _, f := range x.Fields {
			if x.Field(f.Name) != f {
				t.Errorf("%s.%s is not found", at, f.Name)
			}
			walk(f.Type, at+"."+f.Name)
		}
		for _, k := range x.Keys {
			if x.Item.Field(k) == nil {
				t.Errorf("%s has no key %s", at, k)
			}
		}
	}
	for _, r := range schema.Resources() {
		walk(schema.TypeOf(r.Group, r.Version, r.Kind), r.Kind)
	}
	if len(seen) < 800 {
		t.Errorf("only %d types", len(seen))
	}
}

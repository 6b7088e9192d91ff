package history

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/output"
)

// BenchmarkHistory tells the life of an object of 10 KB with 1,000 versions.
func BenchmarkHistory(b *testing.B) {
	s := &scene{t: b}
	containers := make([]any, 20)
	for i := range containers {
		env := make([]any, 6)
		for k := range env {
			env[k] = m{"name": fmt.Sprintf("VARIABLE_%d", k), "value": "some value that is not short"}
		}
		containers[i] = m{"name": fmt.Sprintf("c%d", i), "image": "registry.example.com/team/app:v1", "env": env, "imagePullPolicy": "IfNotPresent"}
	}
	for i := range 1000 {
		o := web(fmt.Sprint(i+1), "web:1", i, m{"generation": i + 1})
		containers[i%20].(m)["image"] = fmt.Sprintf("registry.example.com/team/app:v%d", i)
		o["spec"].(m)["template"] = m{"spec": m{"containers": containers}}
		verb, code := "patch", 200
		if i == 0 {
			verb, code = "create", 201
		}
		s.add("jai", verb, code, m{"requestObject": m{"spec": m{"replicas": i}}, "responseObject": o})
	}
	text, _ := json.Marshal(json.RawMessage(s.events[1].ResponseObject))
	b.Logf("%d bytes each", len(text))
	for _, x := range []struct {
		name string
		c    Config
	}{{"rows", Config{}}, {"diff", Config{Diff: true}}, {"blame", Config{Blame: true}}} {
		b.Run(x.name, func(b *testing.B) {
			for b.Loop() {
				c := x.c
				c.Target, _ = ParseTarget("deploy/web", "default", "")
				c.Since, c.Until = audit.NoTime, audit.NoTime
				story, err := Find(context.Background(), &s.log, c)
				if err != nil || len(story.Rows) != 1000 {
					b.Fatal(err)
				}
				if err := story.Report().Print(&output.Page{W: bufio.NewWriter(io.Discard)}, "table"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

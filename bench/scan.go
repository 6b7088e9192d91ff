package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"kubetrail/audit"
)

// tree is the event as encoding/json fills it with what our scanner keeps: strings
// decoded, lists, maps and bodies raw.
type tree struct {
	Kind                     string          `json:"kind"`
	APIVersion               string          `json:"apiVersion"`
	Level                    string          `json:"level"`
	AuditID                  string          `json:"auditID"`
	Stage                    string          `json:"stage"`
	RequestURI               string          `json:"requestURI"`
	Verb                     string          `json:"verb"`
	User                     rawUser         `json:"user"`
	ImpersonatedUser         *rawUser        `json:"impersonatedUser"`
	AuthenticationMetadata   json.RawMessage `json:"authenticationMetadata"`
	SourceIPs                json.RawMessage `json:"sourceIPs"`
	UserAgent                string          `json:"userAgent"`
	ObjectRef                *objectRef      `json:"objectRef"`
	ResponseStatus           *rawStatus      `json:"responseStatus"`
	RequestObject            json.RawMessage `json:"requestObject"`
	ResponseObject           json.RawMessage `json:"responseObject"`
	RequestReceivedTimestamp time.Time       `json:"requestReceivedTimestamp"`
	StageTimestamp           time.Time       `json:"stageTimestamp"`
	Annotations              json.RawMessage `json:"annotations"`
}

type rawUser struct {
	Username string          `json:"username"`
	UID      string          `json:"uid"`
	Groups   json.RawMessage `json:"groups"`
	Extra    json.RawMessage `json:"extra"`
}

type rawStatus struct {
	Status  string          `json:"status"`
	Message string          `json:"message"`
	Reason  string          `json:"reason"`
	Details json.RawMessage `json:"details"`
	Code    int32           `json:"code"`
}

type objectRef struct {
	Resource        string `json:"resource"`
	Namespace       string `json:"namespace"`
	Name            string `json:"name"`
	UID             string `json:"uid"`
	APIGroup        string `json:"apiGroup"`
	APIVersion      string `json:"apiVersion"`
	ResourceVersion string `json:"resourceVersion"`
	Subresource     string `json:"subresource"`
}

// typed is the event as programs usually decode it, bodies included.
type typed struct {
	tree
	User             typedUser         `json:"user"`
	ImpersonatedUser *typedUser        `json:"impersonatedUser"`
	SourceIPs        []string          `json:"sourceIPs"`
	ResponseStatus   map[string]any    `json:"responseStatus"`
	RequestObject    any               `json:"requestObject"`
	ResponseObject   any               `json:"responseObject"`
	Annotations      map[string]string `json:"annotations"`
}

type typedUser struct {
	Username string              `json:"username"`
	UID      string              `json:"uid"`
	Groups   []string            `json:"groups"`
	Extra    map[string][]string `json:"extra"`
}

// readings are the ways to read a line.
func readings() map[string]func(line []byte) error {
	var e audit.Event
	return map[string]func(line []byte) error{
		"kubetrail": e.Scan,
		"tree":      func(line []byte) error { return json.Unmarshal(line, &tree{}) },
		"typed":     func(line []byte) error { return json.Unmarshal(line, &typed{}) },
	}
}

// scanFile measures how fast the lines of a file are read, from memory. The best of
// three rounds counts: the others were disturbed.
func scanFile(ctx context.Context, t task) (result, error) {
	read := readings()[t.How]
	data, err := os.ReadFile(t.File)
	if err != nil {
		return result{}, err
	}
	lines := bytes.Split(bytes.TrimSuffix(data, []byte{'\n'}), []byte{'\n'})
	best := result{}
	for range 3 {
		r := result{}
		start := cpuTime()
		for r.CPU < 300*time.Millisecond {
			for _, line := range lines {
				if err := read(line); err != nil {
					return r, err
				}
				r.Events++
			}
			r.CPU = cpuTime() - start
		}
		if best.Events == 0 || r.rate() > best.rate() {
			best = r
		}
		if err := ctx.Err(); err != nil {
			return best, err
		}
	}
	return best, nil
}

// scans compares the ways to read lines.
func (b *bench) scans(ctx context.Context) ([]row, error) {
	var rows []row
	for _, in := range b.inputs {
		rates := map[string]float64{}
		for _, how := range []string{"kubetrail", "tree", "typed"} {
			r, err := task{Do: "scan", How: how, File: in.short}.run(ctx)
			if err != nil {
				return nil, err
			}
			rates[how] = r.rate()
		}
		ours := row{topic: "Scan into columns", what: in.name, by: "kubetrail", figure: perSecond(rates["kubetrail"]), ratio: "1"}
		if in.scanTarget > 0 {
			ours.target, ours.met = "about "+perSecond(in.scanTarget), rates["kubetrail"] >= 0.95*in.scanTarget
		}
		times := rates["kubetrail"] / rates["tree"]
		rows = append(rows, ours,
			row{topic: ours.topic, what: in.name, by: "encoding/json, equal struct tree", figure: perSecond(rates["tree"]),
				ratio: fmt.Sprintf("1/%.1f", times), target: "at most 1/9", met: times >= 9},
			row{topic: ours.topic, what: in.name, by: "encoding/json, bodies decoded too", figure: perSecond(rates["typed"]),
				ratio: fmt.Sprintf("1/%.1f", rates["kubetrail"]/rates["typed"])})
	}
	return rows, nil
}

func perSecond(rate float64) string {
	switch {
	case rate >= 1e6:
		return fmt.Sprintf("%.2fM/s", rate/1e6)
	case rate >= 1e5:
		return fmt.Sprintf("%.0fk/s", rate/1e3)
	}
	return fmt.Sprintf("%.1fk/s", rate/1e3)
}

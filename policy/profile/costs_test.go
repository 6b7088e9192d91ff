package profile

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/policy"
	"kubetrail/policy/simulate"
)

var update = flag.Bool("update", false, "write costs.tsv")

// An event of a log that recorded everything at Metadata.
type event struct {
	request policy.Request
	stage   policy.Stage
	bytes   int
}

// recorded returns every event of a log that recorded everything.
func recorded(t testing.TB) (all []event) {
	t.Helper()
	var e audit.Event
	for _, line := range corpustest.Events(t, "d-metadata-all") {
		r, stage := parse(t, &e, line)
		all = append(all, event{r, stage, len(line) + 1})
	}
	if len(all) < 29_000 {
		t.Fatalf("only %d events", len(all))
	}
	return all
}

func parse(t testing.TB, e *audit.Event, line []byte) (policy.Request, policy.Stage) {
	t.Helper()
	if err := e.Scan(line); err != nil {
		t.Fatal(err)
	}
	r, err := simulate.Request(e)
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return r, policy.Stage(e.Text[audit.Stage])
}

// What requests to one resource by one verb look like.
type kind struct{ verb, group, resource, subresource string }

func kindOf(r *policy.Request) kind { return kind{r.Verb, r.APIGroup, r.Resource, r.Subresource} }

// bodies are how large bodies were, and of how many events.
type bodies struct{ requests, responses, of, ofResponses int }

// examples measures the bodies in a log that has some: without managed fields, as all
// profiles with bodies leave them out.
func examples(t *testing.T) map[kind]*bodies {
	all := map[kind]*bodies{}
	var e audit.Event
	for _, line := range corpustest.Events(t, "a-gce-derived") {
		r, stage := parse(t, &e, line)
		level := policy.Level(e.Text[audit.Level])
		if stage != policy.StageResponseComplete || !policy.LevelMetadata.Less(level) {
			continue
		}
		var body struct{ RequestObject, ResponseObject json.RawMessage }
		if err := json.Unmarshal(line, &body); err != nil {
			t.Fatal(err)
		}
		b := all[kindOf(&r)]
		if b == nil {
			b = &bodies{}
			all[kindOf(&r)] = b
		}
		request := body.RequestObject
		if r.Verb != "patch" { // of which upstream removes nothing
			request = withoutManagedFields(t, request)
		}
		b.of++
		b.requests += member("requestObject", request)
		if level == policy.LevelRequestResponse {
			b.ofResponses++
			b.responses += member("responseObject", withoutManagedFields(t, body.ResponseObject))
		}
	}
	return all
}

// member is how long a body is in the line of its event.
func member(name string, body []byte) int {
	if body == nil {
		return 0
	}
	return len(`,"":`) + len(name) + len(body)
}

// withoutManagedFields leaves out metadata.managedFields of an object or of the items
// of a list.
func withoutManagedFields(t *testing.T, body []byte) []byte {
	if !bytes.Contains(body, []byte(`"managedFields"`)) {
		return body
	}
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		t.Fatal(err)
	}
	objects, _ := object["items"].([]any)
	for _, o := range append(objects, object) {
		if m, ok := o.(map[string]any)["metadata"].(map[string]any); ok {
			delete(m, "managedFields")
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	if err := encoder.Encode(object); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

// TestCosts measures what every profile would have made of a log that recorded
// everything, and keeps costs.tsv what was measured.
func TestCosts(t *testing.T) {
	events, known := recorded(t), examples(t)
	total := Cost{Events: len(events)}
	for _, e := range events {
		total.Bytes += int64(e.bytes)
		// A request that failed to log in has no stage RequestReceived, and only one.
		if e.stage == policy.StageRequestReceived || !e.request.Authenticated {
			total.Requests++
		}
	}
	var b strings.Builder
	b.WriteString("# profile\trequests\tevents\tbytes\tbodies\tunknown; written by go test ./policy/profile -run TestCosts -update\n")
	write := func(name string, c Cost) {
		fmt.Fprintf(&b, "%s\t%d\t%d\t%d\t%d\t%d\n", name, c.Requests, c.Events, c.Bytes, c.Bodies, c.Unknown)
	}
	write("everything", total)
	for _, p := range All() {
		c := replay(load(t, p).Compile(), events, known)
		c.Requests = total.Requests
		write(p.Name, c)
	}
	if *update {
		if err := os.WriteFile("costs.tsv", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if costs != b.String() {
		t.Errorf("costs.tsv holds\n%sbut measured is\n%srun with -update", costs, b.String())
	}
}

func replay(m *policy.Matcher, events []event, known map[kind]*bodies) (c Cost) {
	for i := range events {
		e := &events[i]
		d := m.Match(&e.request)
		if d.Level == policy.LevelNone || slices.Contains(d.OmitStages, e.stage) {
			continue
		}
		c.Events++
		c.Bytes += int64(e.bytes + len(d.Level) - len(policy.LevelMetadata))
		if e.stage != policy.StageResponseComplete || !policy.LevelMetadata.Less(d.Level) || !e.request.IsResourceRequest {
			continue
		}
		b, both := known[kindOf(&e.request)], d.Level == policy.LevelRequestResponse
		if b == nil || both && b.ofResponses == 0 {
			c.Unknown++
			continue
		}
		c.Bodies += int64(b.requests / b.of)
		if both {
			c.Bodies += int64(b.responses / b.ofResponses)
		}
	}
	return c
}

// TestCostsAreSimulated checks that policy/simulate comes to the same.
func TestCostsAreSimulated(t *testing.T) {
	lines := corpustest.Events(t, "d-metadata-all")
	for _, p := range All() {
		s, err := simulate.New(simulate.Config{Candidate: &policy.Document{Policy: load(t, p)}})
		if err != nil {
			t.Fatal(err)
		}
		var e audit.Event
		for _, line := range lines {
			if err := e.Scan(line); err != nil {
				t.Fatal(err)
			}
			if err := s.Add(&e); err != nil {
				t.Fatal(err)
			}
		}
		c, got := p.Cost(), s.Report().Total.After
		if got.Events != int64(c.Events) || got.Bytes != c.Bytes {
			t.Errorf("%s: simulated %+v, measured %+v", p.Name, got, c)
		}
	}
}

// TestCostsAreThere checks that what the list of profiles shows was measured.
func TestCostsAreThere(t *testing.T) {
	total := Traffic()
	if total.Requests == 0 || total.Events < total.Requests {
		t.Errorf("traffic %+v", total)
	}
	before := Cost{}
	for _, p := range All() {
		c := p.Cost()
		if c.Requests != total.Requests || c.Events == 0 || c.Events >= total.Events || c.Bytes >= total.Bytes {
			t.Errorf("%s costs %+v", p.Name, c)
		}
		if p.Name != "cis" && c.Events < before.Events {
			t.Errorf("%s records fewer events than the tier before it", p.Name)
		}
		before = c
	}
}

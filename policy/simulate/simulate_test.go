package simulate

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/sample"
	"kubetrail/policy"
)

// sampleLines are some minutes of a real log that every clone has.
func sampleLines(t testing.TB) [][]byte {
	t.Helper()
	z, err := zstd.NewReader(sample.Log())
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(all, []byte("\n")), []byte("\n"))
}

// replay simulates lines.
func replay(t rapid.TB, cfg Config, lines [][]byte) Report {
	t.Helper()
	s := newSimulation(t, cfg)
	var e audit.Event
	for _, line := range lines {
		if err := e.Scan(line); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		_ = s.Add(&e) // the report counts it
	}
	return s.Report()
}

func load(t testing.TB, text string) *policy.Document {
	t.Helper()
	doc, err := policy.Load([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\n"+text), policy.Newest)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// somePolicy draws a policy over the constants of the sample.
func somePolicy(t *rapid.T, label string) *policy.Document {
	some := func(name string, of ...string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, 2, rapid.ID).Draw(t, label+name)
	}
	stages := func(name string) (out []policy.Stage) {
		for _, s := range some(name, "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic") {
			out = append(out, policy.Stage(s))
		}
		return out
	}
	p := &policy.Policy{OmitManagedFields: rapid.Bool().Draw(t, label+"omitManagedFields")}
	if rapid.IntRange(0, 3).Draw(t, label+"few") == 0 {
		p.OmitStages = stages("omitStages")
	}
	for i := range rapid.IntRange(1, 6).Draw(t, label+"rules") {
		name := fmt.Sprintf("rule %d ", i)
		r := policy.PolicyRule{
			Level:      rapid.SampledFrom(policy.Levels()).Draw(t, label+name+"level"),
			Users:      some(name+"users", "alice", "bob", "jai", "kubernetes-admin", "system:apiserver", "system:anonymous"),
			UserGroups: some(name+"groups", "system:masters", "dev-team", "system:nodes", "system:authenticated"),
			Verbs:      some(name+"verbs", "get", "list", "watch", "create", "update", "patch", "delete"),
		}
		switch rapid.IntRange(0, 2).Draw(t, label+name+"kind") {
		case 1:
			r.NonResourceURLs = some(name+"urls", "/healthz*", "/version", "*", "/api*")
		case 2:
			r.Namespaces = some(name+"namespaces", "shop", "payments", "", "kube-system")
			r.Resources = []policy.GroupResources{{Group: rapid.SampledFrom([]string{"", "apps", "*"}).Draw(t, label+name+"group"),
				Resources: some(name+"resources", "pods", "configmaps", "secrets", "deployments", "pods/*", "*/status", "*")}}
		}
		if rapid.IntRange(0, 3).Draw(t, label+name+"few") == 0 {
			r.OmitStages = stages(name + "omitStages")
		}
		p.Rules = append(p.Rules, r)
	}
	return &policy.Document{Policy: p}
}

// TestReportAddsUp checks what holds of every simulation: each way to take it apart
// adds up to the whole, nothing comes out of nothing, and the order does not matter.
func TestReportAddsUp(t *testing.T) {
	lines := sampleLines(t)
	size := int64(0)
	for _, l := range lines {
		size += int64(len(l)) + 1
	}
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, len(lines)-400).Draw(t, "from")
		part := lines
		if rapid.IntRange(0, 9).Draw(t, "all") > 0 {
			part = lines[from : from+400]
		}
		cfg := Config{Candidate: somePolicy(t, "candidate: ")}
		if rapid.Bool().Draw(t, "with the policy in force") {
			cfg.Current = somePolicy(t, "current: ")
		}
		r := replay(t, cfg, part)
		if r.Total.Before.Events != int64(len(part)) || len(part) == len(lines) && r.Total.Before.Bytes != size {
			t.Fatalf("%+v before of %d events, %d bytes in all", r.Total.Before, len(part), size)
		}
		addsUp(t, &r)

		turned := slices.Clone(part)
		slices.Reverse(turned)
		again := replay(t, cfg, turned)
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("another order, another report:\n%s", cmp.Diff(r, again))
		}
	})
}

// addsUp checks the sums of a report of which no group was folded.
func addsUp(t rapid.TB, r *Report) {
	t.Helper()
	sums := map[string]*Change{"rules": {}, "levels": {}, "users": {}, "resources": {}}
	for _, x := range r.Rules {
		sums["rules"].add(&x.Change)
	}
	for _, x := range r.Levels {
		sums["levels"].add(&x.Change)
	}
	for _, x := range r.Users.Rows {
		sums["users"].add(&x.Change)
	}
	for _, x := range r.Resources.Rows {
		sums["resources"].add(&x.Change)
	}
	for _, x := range r.Unknown.Unreadable { // no rule decides about them
		sums["rules"].add(&Change{Before: x.Volume})
	}
	for name, sum := range sums {
		if *sum != r.Total {
			t.Fatalf("%s add up to %+v, not %+v", name, *sum, r.Total)
		}
	}
	var vanished Volume
	for _, v := range r.Vanish.Rows {
		vanished.Events += v.Events
		vanished.Bytes += v.Bytes
	}
	gone := r.Vanished.Events
	for _, x := range r.Unknown.Unreadable {
		gone += x.Events
	}
	if vanished != r.Vanished || gone+r.Total.After.Events != r.Total.Before.Events {
		t.Fatalf("%+v vanish, in groups %+v, of %+v", r.Vanished, vanished, r.Total)
	}
	// A level's name may be longer than the one it takes the place of: by one byte
	// where Request becomes Metadata, by eight at most where a level rises.
	most := r.Total.Before.Bytes + r.Lowered.Before.Events + 8*r.Raised.Before.Events
	if r.Total.After.Bytes > most || r.Lowered.After.Bytes > r.Lowered.Before.Bytes+r.Lowered.Before.Events {
		t.Fatalf("more bytes than there were: %+v, lowered %+v", r.Total, r.Lowered)
	}
	if r.Total.Partly > 0 && !r.MoreBytes() {
		t.Fatalf("%d events are known in part, but not the sum", r.Total.Partly)
	}
}

func withoutExamples(r *Report) {
	for i := range r.Vanish.Rows {
		r.Vanish.Rows[i].Example = Example{}
	}
	for i := range r.Unknown.Unreadable {
		r.Unknown.Unreadable[i].Example = Example{}
	}
	if c := r.Unknown.Current; c != nil {
		for i := range c.Disagree {
			c.Disagree[i].Example = Example{}
		}
	}
}

// event is a line of a log.
func event(level, stage, verb, uri, rest string) string {
	return fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":%q,"auditID":"i","stage":%q,"requestURI":%q,"verb":%q,%s"requestReceivedTimestamp":null,"stageTimestamp":null}`,
		level, stage, uri, verb, rest)
}

const alice = `"user":{"username":"alice","groups":["dev"]},`

func linesOf(lines ...string) (out [][]byte) {
	for _, l := range lines {
		out = append(out, []byte(l))
	}
	return out
}

// TestUnknown checks what is said to be unknown, each thing by events made for it.
func TestUnknown(t *testing.T) {
	const (
		pods = "/api/v1/namespaces/a/pods"
		body = alice + `"requestObject":{"a":1},"responseObject":{"b":2},`
	)
	for _, c := range []struct {
		name               string
		candidate, current string
		lines              [][]byte
		want               Unknown
	}{
		{"a raised create may have bodies, a raised get no request", "rules: [{level: Request}]", "",
			linesOf(event("Metadata", "ResponseComplete", "create", pods, alice), event("Metadata", "ResponseComplete", "list", pods, alice)),
			Unknown{Raised: []Raise{{From: "Metadata", To: "Request", Volume: Volume{Events: 1}}},
				Stages: []MissingStage{{Stage: "RequestReceived", Requests: 2}}}},
		{"nothing is in a body when a request is received, and in none of a URL's", "rules: [{level: RequestResponse}]", "",
			linesOf(event("Metadata", "RequestReceived", "create", pods, alice), event("Metadata", "ResponseComplete", "get", "/version", alice)),
			Unknown{}},
		{"a stage is missing where the log has none of it", "rules: [{level: Metadata}]", "",
			linesOf(event("Metadata", "ResponseComplete", "watch", pods+"?watch=1", alice), event("Metadata", "Panic", "get", pods+"/x/log", alice), event("Metadata", "ResponseComplete", "get", pods+"/x", alice)),
			Unknown{Stages: []MissingStage{{Stage: "RequestReceived", Requests: 3}, {Stage: "ResponseStarted", Requests: 2}}}},
		{"or where the policy in force omitted it", "rules: [{level: Metadata}]", "rules: [{level: Metadata, users: [bob]}, {level: Metadata, omitStages: [RequestReceived]}]",
			linesOf(event("Metadata", "ResponseComplete", "get", pods+"/x", alice), event("Metadata", "RequestReceived", "get", pods+"/x", `"user":{"username":"bob"},`), event("Metadata", "ResponseComplete", "get", pods+"/x", `"user":{"username":"bob"},`)),
			Unknown{Stages: []MissingStage{{Stage: "RequestReceived", Requests: 1}}, Current: &CurrentUnknown{Agree: 3}}},
		{"the end is counted at the beginning", "rules: [{level: Metadata}]", "omitStages: [ResponseComplete]\nrules: [{level: Metadata}]",
			linesOf(event("Metadata", "RequestReceived", "get", pods+"/x", alice)),
			Unknown{Stages: []MissingStage{{Stage: "ResponseComplete", Requests: 1}}, Current: &CurrentUnknown{Agree: 1}}},
		{"what no policy can judge", "rules: [{level: Metadata}]", "",
			linesOf(event("Metadata", "ResponseStarted", "get", "", alice), event("Metadata", "ResponseStarted", "create", pods+"/x", alice), event("Metadata", "ResponseStarted", "delete", pods, alice)),
			Unknown{Unreadable: []Reason{{Text: "no requestURI", Volume: Volume{Events: 1}},
				{Text: `requestURI is one of verb "deletecollection", not "delete"`, Volume: Volume{Events: 1}}}}},
		{"a cut body that might fit", "rules: [{level: Request}]", "",
			linesOf(event("RequestResponse", "ResponseStarted", "create", pods, alice+`"annotations":{"audit.k8s.io/truncated":"true"},`)),
			Unknown{Truncated: Volume{Events: 1}}},
		{"managed fields that the policy in force left out", "rules: [{level: Request}]", "omitManagedFields: true\nrules: [{level: RequestResponse}]",
			linesOf(event("RequestResponse", "RequestReceived", "create", pods, body), event("RequestResponse", "RequestReceived", "patch", pods+"/x", body)),
			Unknown{Cleaned: Volume{Events: 1}, Current: &CurrentUnknown{Agree: 2}}},
		{"another policy was in force", "rules: [{level: Metadata}]", "omitStages: [Panic]\nrules: [{level: Metadata, users: [alice]}]",
			linesOf(event("Request", "RequestReceived", "create", pods, alice), event("Request", "RequestReceived", "create", pods, alice), event("Metadata", "Panic", "create", pods, alice), event("Metadata", "ResponseStarted", "create", pods, `"user":{},`)),
			Unknown{Current: &CurrentUnknown{
				Disagree:  []Disagree{{Recorded: "Request", Policy: "Metadata", Events: 2}, {Recorded: "Metadata", Policy: "Metadata", Stage: "Panic", Events: 1}, {Recorded: "Metadata", Policy: "None", Events: 1}},
				Invisible: []Invisible{{Rule: 0, Line: 3, Level: "Metadata"}}}}},
		{"legacy lines do not say their level", "rules: [{level: RequestResponse}]", "",
			linesOf(`2026-11-20T15:22:00.1Z AUDIT: id="a" stage="ResponseStarted" ip="::1" method="create" user="alice" groups="\"dev\"" as="<self>" asgroups="<lookup>" user-agent="" namespace="a" uri="/api/v1/namespaces/a/pods" response="<deferred>"`),
			Unknown{NoLevel: Volume{Events: 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{Candidate: load(t, c.candidate)}
			if c.current != "" {
				cfg.Current = load(t, c.current)
			}
			r := replay(t, cfg, c.lines)
			addsUp(t, &r)
			withoutExamples(&r)
			checkInvisible(t, cfg, &r)
			got := r.Unknown
			got.Raised, got.Stages, got.Unreadable = orNil(got.Raised), orNil(got.Stages), orNil(got.Unreadable)
			for _, v := range volumes(&got) { // TestLowered counts bytes
				v.Bytes = 0
			}
			if got.Current != nil {
				got.Current.Disagree, got.Current.Invisible = orNil(got.Current.Disagree), orNil(got.Current.Invisible)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

// checkInvisible checks the example of each rule that could match what is not recorded,
// and takes it away.
func checkInvisible(t *testing.T, cfg Config, r *Report) {
	t.Helper()
	if r.Unknown.Current == nil {
		return
	}
	for i := range r.Unknown.Current.Invisible {
		x := &r.Unknown.Current.Invisible[i]
		info, err := policy.ParseRequest(x.Example.Method, x.Example.URI)
		if err != nil {
			t.Fatal(err)
		}
		req := policy.Request{Authenticated: x.Example.User != "", User: x.Example.User, Groups: x.Example.Groups, RequestInfo: info}
		if d := cfg.Candidate.Policy.Compile().Match(&req); d.Rule != x.Rule {
			t.Errorf("rules[%d] decides about the example of rules[%d]: %+v", d.Rule, x.Rule, x.Example)
		}
		if d := cfg.Current.Policy.Compile().Match(&req); d.Level != policy.LevelNone {
			t.Errorf("the policy in force records the example of rules[%d]: %+v", x.Rule, x.Example)
		}
		x.Example = RequestLine{}
	}
}

func volumes(u *Unknown) []*Volume {
	all := []*Volume{&u.NoLevel, &u.Truncated, &u.Cleaned}
	for i := range u.Raised {
		all = append(all, &u.Raised[i].Volume)
	}
	for i := range u.Unreadable {
		all = append(all, &u.Unreadable[i].Volume)
	}
	return all
}

func orNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

// TestNever checks why a rule is said to have matched nothing.
func TestNever(t *testing.T) {
	candidate := load(t, `
rules:
- {level: Metadata, verbs: [get], resources: [{group: "", resources: [pods]}]}
- {level: Request, verbs: [get], resources: [{group: "", resources: [pods]}]}
- {level: Request, users: [bob]}
- {level: None, users: [carol]}
- {level: Metadata}
`)
	lines := linesOf(event("Metadata", "RequestReceived", "get", "/version", alice))
	never := func(r Report) (out []Never) {
		for _, x := range r.Rules {
			out = append(out, x.Never)
		}
		return out
	}
	alone := never(replay(t, Config{Candidate: candidate}, lines))
	if want := []Never{NeverSeen, NeverReached, NeverSeen, NeverSeen, ""}; !slices.Equal(alone, want) {
		t.Errorf("alone: %q, want %q", alone, want)
	}
	current := load(t, "rules: [{level: None, users: [bob]}, {level: None, users: [carol]}, {level: Metadata}]")
	r := replay(t, Config{Candidate: candidate, Current: current}, lines)
	if got, want := never(r), []Never{NeverSeen, NeverReached, NeverRecorded, NeverRecorded, ""}; !slices.Equal(got, want) {
		t.Errorf("beside the policy in force: %q, want %q", got, want)
	}
	checkInvisible(t, Config{Candidate: candidate, Current: current}, &r)
	var rules []int
	for _, x := range r.Unknown.Current.Invisible {
		rules = append(rules, x.Rule)
	}
	// carol's pods are read under rules[0], bob's under it too, and the rest of bob under rules[2].
	if want := []int{0, 2}; !slices.Equal(rules, want) {
		t.Errorf("rules %v could match what is not recorded, want %v", rules, want)
	}
}

// TestVanishing checks what is said of events that vanish, and why.
func TestVanishing(t *testing.T) {
	r := replay(t, Config{Candidate: load(t, "rules: [{level: None, verbs: [get]}, {level: Metadata, omitStages: [RequestReceived]}]")}, linesOf(
		event("Metadata", "ResponseComplete", "get", "/apis/apps/v1/namespaces/a/deployments/x/scale", alice),
		event("Metadata", "RequestReceived", "get", "/apis/apps/v1/namespaces/a/deployments/y/scale", alice),
		event("Metadata", "RequestReceived", "post", "/x?y=z", `"user":{},`),
		event("Metadata", "ResponseComplete", "post", "/x?y=z", `"user":{},`)))
	for i := range r.Vanish.Rows {
		r.Vanish.Rows[i].Bytes, r.Vanish.Rows[i].Example.Time = 0, 0
	}
	want := []Vanishing{
		{User: "alice", Verb: "get", Resource: "deployments.apps/scale", Rule: 0, Volume: Volume{Events: 2},
			Example: Example{AuditID: "i", Verb: "get", URI: "/apis/apps/v1/namespaces/a/deployments/x/scale", User: "alice"}},
		{Verb: "post", Resource: "/x", Rule: 1, Stage: "RequestReceived", Volume: Volume{Events: 1},
			Example: Example{AuditID: "i", Verb: "post", URI: "/x?y=z"}},
	}
	if diff := cmp.Diff(want, r.Vanish.Rows); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestCleaned checks which bodies lose their managed fields: not a patch, which is
// recorded as it was sent, and none that the level drops anyway.
func TestCleaned(t *testing.T) {
	const fields = `"managedFields":[{"manager":"kubectl"}]`
	const object = `{"metadata":{"name":"x",` + fields + `}}`
	const bodies = alice + `"requestObject":` + object + `,"responseObject":` + object + `,`
	for _, c := range []struct {
		level policy.Level
		verb  string
		times int
	}{{"RequestResponse", "update", 2}, {"RequestResponse", "patch", 1}, {"Request", "update", 1}, {"Request", "patch", 0}, {"Metadata", "update", 0}} {
		lines := linesOf(event("RequestResponse", "ResponseComplete", c.verb, "/api/v1/namespaces/a/pods/x", bodies))
		with := replay(t, Config{Candidate: load(t, "rules: [{level: "+string(c.level)+"}]")}, lines)
		without := replay(t, Config{Candidate: load(t, "omitManagedFields: true\nrules: [{level: "+string(c.level)+"}]")}, lines)
		if got, want := with.Total.After.Bytes-without.Total.After.Bytes, int64(c.times*len(","+fields)); got != want {
			t.Errorf("%s at %s loses %d bytes, want %d", c.verb, c.level, got, want)
		}
		if n := without.Cleaned.Before.Events; n != int64(min(c.times, 1)) {
			t.Errorf("%s at %s: %d events are cleaned", c.verb, c.level, n)
		}
	}
}

// TestNobody checks that a user without a name is not taken for a request without a
// user, which matches no rule with users, even where both come one after the other.
func TestNobody(t *testing.T) {
	r := replay(t, Config{Candidate: load(t, `rules: [{level: None, users: [""]}, {level: Metadata}]`)}, linesOf(
		event("Metadata", "ResponseStarted", "get", "/version", `"user":{},`),
		event("Metadata", "ResponseComplete", "get", "/version", `"user":{"uid":"1"},`),
		event("Metadata", "ResponseStarted", "get", "/version", `"user":{},`)))
	if r.Rules[0].Before.Events != 1 || r.Rules[1].Before.Events != 2 {
		t.Errorf("%+v", r.Rules)
	}
}

// TestMemoryIsBounded gives a simulation more users, URIs and reasons than it tells
// apart.
func TestMemoryIsBounded(t *testing.T) {
	s := newSimulation(t, Config{Candidate: load(t, "rules: [{level: None}]"), Groups: 10})
	var e audit.Event
	long := strings.Repeat("x", 2000)
	for i := range 3 * maxRemembered {
		line := event("Metadata", "Panic", "get", fmt.Sprintf("/%d/%s", i, long[:i%2*len(long)]), fmt.Sprintf(`"user":{"username":"u%d"},`, i))
		if i%5 == 0 {
			line = event("Metadata", "Panic", "get", "/often", alice)
		}
		if err := e.Scan([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if err := s.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	for name, n := range map[string]int{"users": len(s.users.rows), "resources": len(s.resources.rows), "groups": len(s.vanish.rows)} {
		if n > 20 {
			t.Errorf("%d %s are held", n, name)
		}
	}
	for k := range s.resources.rows {
		if len(k) > maxText {
			t.Errorf("a name of %d bytes is held", len(k))
		}
	}
	if n := len(s.resolve.users); n > maxRemembered {
		t.Errorf("%d users are remembered", n)
	}
	if n := len(s.resolve.whats); n > maxRemembered {
		t.Errorf("%d URIs are remembered", n)
	}
	for i := range 3 * maxReasons {
		if err := e.Scan([]byte(event("Metadata", "Panic", fmt.Sprintf("verb%d", i), "/api/v1/pods", alice))); err != nil {
			t.Fatal(err)
		}
		if s.Add(&e) == nil {
			t.Fatal("a verb that no method has was accepted")
		}
	}
	r := s.Report()
	if n := len(r.Unknown.Unreadable); n > maxReasons+1 {
		t.Errorf("%d reasons", n)
	}
	sum := r.Vanish.Others.Before
	for _, v := range r.Vanish.Rows {
		sum.Events += v.Events
		sum.Bytes += v.Bytes
	}
	if sum != r.Vanished || r.Vanish.Folded == 0 || r.Vanish.Missed == 0 {
		t.Errorf("the groups and the others come to %+v, not %+v; %d folded, %d missed", sum, r.Vanished, r.Vanish.Folded, r.Vanish.Missed)
	}
	if top := r.Vanish.Rows[0]; top.User != "alice" || top.Events+r.Vanish.Missed < 3*maxRemembered/5 {
		t.Errorf("the biggest group is %+v, lacking %d at most", top, r.Vanish.Missed)
	}
}

// TestTally checks what a tally promises of any sequence of keys.
func TestTally(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		keys := rapid.SliceOfN(rapid.IntRange(0, 20), 0, 500).Draw(t, "keys")
		sums := newTally[int](limit, func(g *group) int64 { return g.Before.Events })
		exact := map[int]int64{}
		for _, k := range keys {
			g, _ := sums.at(k)
			g.Before.add(1)
			exact[k]++
			if len(sums.rows) > 2*limit {
				t.Fatalf("%d keys are held, more than twice %d", len(sums.rows), limit)
			}
		}
		all := sums.others.Before.Events
		for k, g := range sums.rows {
			all += g.Before.Events
			if n := g.Before.Events; n > exact[k] || n+sums.missed < exact[k] {
				t.Fatalf("key %d: %d, lacking %d at most, but it came %d times", k, n, sums.missed, exact[k])
			}
		}
		if all != int64(len(keys)) {
			t.Fatalf("%d of %d", all, len(keys))
		}
		order := sums.sorted(func(a, b int) int { return a - b })
		if !slices.IsSortedFunc(order, func(a, b int) int { return int(sums.rows[b].Before.Events - sums.rows[a].Before.Events) }) {
			t.Fatalf("not the heaviest first: %v", order)
		}
	})
}

// FuzzAdd replays any line that is an event, under a policy that looks at everything.
func FuzzAdd(f *testing.F) {
	for _, line := range sampleLines(f)[:20] {
		f.Add(line)
	}
	f.Add([]byte(event("Request", "Panic", "", "//%2", `"user":{},"annotations":{"audit.k8s.io/truncated":"true"},`)))
	cfg := Config{Candidate: load(f, `
omitManagedFields: true
rules:
- {level: None, users: [a], verbs: [get]}
- {level: Metadata, userGroups: [b], resources: [{group: "", resources: [pods/*, "*/log"], resourceNames: [c]}]}
- {level: Request, nonResourceURLs: ["/a*"], omitStages: [Panic]}
- {level: Metadata, namespaces: [d]}
- {level: Request}
`)}
	f.Fuzz(func(t *testing.T, line []byte) {
		var e audit.Event
		if e.Scan(line) != nil {
			return
		}
		s := newSimulation(t, cfg)
		_ = s.Add(&e) // the report counts it
		r := s.Report()
		addsUp(t, &r)
		if r.Total.Before.Events != 1 || r.Total.Before.Bytes != int64(len(line))+1 || r.Total.After.Bytes < 0 {
			t.Errorf("%+v", r.Total)
		}
	})
}

package simulate_test

import (
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/corpustest"
	"kubetrail/policy"
	"kubetrail/policy/simulate"
)

// corpora are those whose events can be judged and whose archive holds the policy that
// they were recorded with.
func corpora() []string {
	return []string{"a-gce-derived", "d-metadata-all", "rotation-keepall", "rotation-maxbackup3", "webhook-batch",
		"webhook-retry", "truncate-10k", "lost-events", "kill9-blocking"}
}

// inForce reads the policy that a corpus was recorded with.
func inForce(t testing.TB, corpus string) *policy.Document {
	t.Helper()
	return load(t, corpustest.Members(t, corpus, "policy.yaml")[0].Data)
}

func load(t testing.TB, text []byte) *policy.Document {
	t.Helper()
	doc, err := policy.Load(text, 36)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestAgreesWithApiserver asks the policy that was in force about every event of the
// real logs: it must give the level that the apiserver has written, and omit no stage
// that is there. So replaying them under it changes nothing: not a byte.
func TestAgreesWithApiserver(t *testing.T) {
	for _, corpus := range corpora() {
		t.Run(corpus, func(t *testing.T) {
			doc := inForce(t, corpus)
			s, err := simulate.New(simulate.Config{Candidate: doc, Current: doc})
			if err != nil {
				t.Fatal(err)
			}
			var e audit.Event
			n, size := int64(0), int64(0)
			for _, line := range corpustest.Events(t, corpus) {
				if err := e.Scan(line); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				n++
				size += int64(len(line)) + 1
				if err := s.Add(&e); err != nil {
					t.Errorf("%s: %v", line, err)
				}
			}
			r := s.Report()
			if c := r.Unknown.Current; c.Agree != n || len(c.Disagree)+len(c.Invisible) > 0 {
				t.Errorf("%d of %d events agree; %+v", c.Agree, n, c)
			}
			if all := (simulate.Volume{Events: n, Bytes: size}); r.Total.Before != all || r.Total.After != all || r.MoreBytes() {
				t.Errorf("%+v, want %+v before and after", r.Total, all)
			}
			if len(r.Vanish.Rows) > 0 || r.Lowered.Before.Events+r.Raised.Before.Events+r.Cleaned.Before.Events > 0 {
				t.Errorf("something changes: %+v", r)
			}
			for _, rule := range r.Rules {
				if rule.Before != rule.After {
					t.Errorf("rule %d changes: %+v", rule.Rule, rule.Change)
				}
			}
			t.Logf("%d of %d events agree, %d bytes", r.Unknown.Current.Agree, n, size)
		})
	}
}

// TestWholeFile checks that the bytes of the events are those of the file.
func TestWholeFile(t *testing.T) {
	doc := inForce(t, "a-gce-derived")
	log := corpustest.Members(t, "a-gce-derived", "audit.log")[0]
	s, err := simulate.New(simulate.Config{Candidate: doc})
	if err != nil {
		t.Fatal(err)
	}
	var e audit.Event
	for _, line := range log.Events(t) {
		if err := e.Scan(line); err != nil {
			t.Fatal(err)
		}
		if e.Exact() {
			e.Raw = nil // as it comes out of a trail
		}
		if err := s.Add(&e); err != nil {
			t.Error(err)
		}
	}
	if r := s.Report(); r.Total.Before.Bytes != int64(len(log.Data)) || r.Total.After.Bytes != int64(len(log.Data)) {
		t.Errorf("%+v of a file of %d bytes", r.Total, len(log.Data))
	}
}

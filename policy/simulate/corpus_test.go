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
// that is there.
func TestAgreesWithApiserver(t *testing.T) {
	for _, corpus := range corpora() {
		t.Run(corpus, func(t *testing.T) {
			doc := inForce(t, corpus)
			s, err := simulate.New(simulate.Config{Candidate: doc, Current: doc})
			if err != nil {
				t.Fatal(err)
			}
			var e audit.Event
			n := int64(0)
			for _, line := range corpustest.Events(t, corpus) {
				if err := e.Scan(line); err != nil {
					continue
				}
				n++
				if err := s.Add(&e); err != nil {
					t.Errorf("%s: %v", line, err)
				}
			}
			r := s.Report()
			if r.Unknown.Current.Agree != n || len(r.Unknown.Current.Disagree) > 0 {
				t.Errorf("%d of %d events agree; %+v", r.Unknown.Current.Agree, n, r.Unknown.Current.Disagree)
			}
			t.Logf("%d of %d events agree", r.Unknown.Current.Agree, n)
		})
	}
}

package record_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubetrail/test/e2e/plane"
)

// TestRecordProxy sends requests of every kind through the proxy, and compares what it
// records with the audit log of the kube-apiserver behind it: field by field, all must be
// equal but for the exceptions.
func TestRecordProxy(t *testing.T) {
	r := newRig(t, "kube-scheduler", "kwok")
	excused := exceptions()
	used := map[*exception]int{}
	var judges []*judge
	t.Run("ways", func(t *testing.T) {
		servers := map[string]*plane.Server{} // by level
		for i, way := range []struct{ level, by string }{{"RequestResponse", byFrontProxy}, {"Metadata", byFrontProxy}, {"Metadata", byImpersonate}} {
			policy, s := r.policy(way.level), servers[way.level]
			if s == nil {
				s = r.addServer(fmt.Sprintf("cp-%d", i+1), policy)
				servers[way.level] = s
			}
			if i == 0 {
				r.addNode(s)
			}
			to, log := s.URL, s.AuditLog
			if !*direct {
				p := r.addProxy(s, policy, way.by)
				to, log = p.url, p.log
			}
			j := &judge{level: way.level, by: way.by, exceptions: excused, used: map[*exception]int{}}
			judges = append(judges, j)
			t.Run(way.level+" by "+way.by, func(t *testing.T) {
				t.Parallel()
				j.t = t
				sender, err := newSender(r.plane.PKI, r.strangers, to, map[string]string{
					"RUN": fmt.Sprint(i), "BACKEND": fmt.Sprintf("http:node-1:%d", r.port()), "CSR": signingRequest(t)})
				must(t, err)
				defer sender.close()
				var all []*answered
				for _, a := range requests(fmt.Sprintf("shop-%d", i), fmt.Sprintf("e2e-%d.example", i)) {
					if way.by == byImpersonate && a.nested() {
						continue // the proxy refuses it: nobody can impersonate for somebody who is impersonated
					}
					if got := sender.ask(t, a); got != nil {
						all = append(all, got)
					}
				}
				theirs, ours := settle(t, all, s.AuditLog, log)
				for _, a := range all {
					switch {
					case a.silent:
						if len(theirs[a.id])+len(ours[a.id]) > 0 {
							t.Errorf("%s is recorded", a.what)
						}
					case a.id == "":
						t.Errorf("%s: no Audit-ID", a.what)
					default:
						j.compare(a, theirs[a.id], ours[a.id])
					}
				}
				t.Logf("%s by %s: %d requests, %d events, %d equal but for the exceptions", way.level, way.by, len(all), j.events, j.equal)
			})
		}
	})
	if *direct {
		return
	}
	for _, j := range judges {
		for x, n := range j.used {
			used[x] += n
		}
	}
	for _, x := range excused {
		t.Logf("%6d x %s: kube-apiserver %s, proxy %s: %s", used[x], x.field+" of "+x.when, x.theirs, x.ours, x.why)
		if used[x] == 0 {
			t.Errorf("nothing needs the exception of %s: kube-apiserver %s, proxy %s", x.field+" of "+x.when, x.theirs, x.ours)
		}
	}
}

var update = flag.Bool("update", false, "write the table of exceptions anew")

// TestExceptions sees to it that the table of exceptions is there as a file: the
// document of the proxy shows it.
func TestExceptions(t *testing.T) {
	var b strings.Builder
	b.WriteString("| field | of | kube-apiserver records | the proxy records | because |\n|---|---|---|---|---|\n")
	for _, x := range exceptions() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", x.field, x.when, x.theirs, x.ours, x.why)
	}
	path := filepath.Join("..", "testdata", "proxy-exceptions.txt")
	if *update {
		must(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != b.String() {
		t.Errorf("%s is not the table of exceptions (%v): run go -C test/e2e test ./record -run Exceptions -update", path, err)
	}
}

// ask sends a request, and again where controllers have to do something before, and says
// where the answer is not the one that is expected.
func (s *sender) ask(t *testing.T, a *ask) *answered {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		got, err := s.send(t.Context(), a)
		switch {
		case err != nil:
			t.Errorf("%s: %v", a.what, err)
			return nil
		case got.status == a.want || a.want == 0:
			return got
		case !a.patient || time.Now().After(until):
			t.Errorf("%s: %d instead of %d: %.300s", a.what, got.status, a.want, got.body)
			return got
		}
	}
}

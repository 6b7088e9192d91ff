package cause_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"bytes"
	"io"

	"pgregory.net/rapid"

	"kubetrail/audit"
	"kubetrail/internal/cause"
	"kubetrail/internal/trail/file"
)

// play is a simulated cluster with one Deployment at a time, whose controllers do what
// they should at once. It knows who every consequence comes from.
type play struct {
	*world
	truth    map[string]string // by audit ID
	life     int               // which Deployment web it is
	gen, rev int               // generations of the Deployment and of its newest ReplicaSet
	rs       string
	image    string
	replicas int
	pods     []string
	next     int
}

func (p *play) because(who string, line []byte) {
	p.truth[fmt.Sprintf("id-%d", p.number)] = who
}

func (p *play) uid() string { return fmt.Sprintf("D%d", p.life) }

func (p *play) deployment() obj {
	return workload("Deployment", meta("web", p.uid(), p.gen), p.replicas, p.image)
}

func (p *play) replicaSet(replicas int) obj {
	return workload("ReplicaSet", meta(p.rs, "R"+p.rs, p.rev, "Deployment", "web", p.uid()), replicas, p.image, p.replicas)
}

// follow has the ReplicaSet have as many pods as it should.
func (p *play) follow(who string) {
	controller := account("replicaset-controller")
	for len(p.pods) < p.replicas {
		p.next++
		suffix := "bcdfg"[:4] + string("bcdfghjklmnpqrstvwxz"[p.next%20])
		suffix = string("bcdfghjklmnpqrstvwxz"[p.next/20%20]) + suffix[1:]
		p.because(who, p.pod(controller, p.rs, "R"+p.rs, suffix))
		p.pods = append(p.pods, suffix)
	}
	for len(p.pods) > p.replicas {
		p.because(who, p.removePod(controller, p.rs, "R"+p.rs, p.pods[0]))
		p.pods = p.pods[1:]
	}
	rs := p.replicaSet(p.replicas)
	rs["status"] = obj{"observedGeneration": p.rev, "replicas": p.replicas}
	p.because(who, p.change(controller, "update", "replicasets", "status", rs))
}

func (p *play) up(who string, replicas int) {
	p.life, p.gen, p.rev, p.replicas, p.image, p.pods = p.life+1, 1, 1, replicas, "a", nil
	p.rs = fmt.Sprintf("web-%c%c", "bcdfghjklmnpqrstvwxz"[p.life/20%20], "bcdfghjklmnpqrstvwxz"[p.life%20])
	p.create(who, "deployments", p.deployment())
	p.because(who, p.create(account("deployment-controller"), "replicasets", p.replicaSet(replicas)))
	p.follow(who)
}

func (p *play) scale(who string, replicas int) {
	if replicas == p.replicas {
		return
	}
	p.replicas = replicas
	p.gen++
	p.rev++
	p.change(who, "patch", "deployments", "", p.deployment())
	p.because(who, p.change(account("deployment-controller"), "update", "replicasets", "", p.replicaSet(replicas)))
	p.follow(who)
}

func (p *play) kill(who string) {
	if len(p.pods) == 0 {
		return
	}
	p.removePod(who, p.rs, "R"+p.rs, p.pods[0])
	p.pods = p.pods[1:]
	p.follow(who)
}

func (p *play) down(who string) {
	gc := account("generic-garbage-collector")
	p.remove(who, "apps", "deployments", "web", p.uid())
	p.because(who, p.remove(gc, "apps", "replicasets", p.rs, "R"+p.rs))
	for _, pod := range p.pods {
		p.because(who, p.removePod(gc, p.rs, "R"+p.rs, pod))
	}
}

// meddle scales the ReplicaSet, which the deployment-controller puts right.
func (p *play) meddle(who string) {
	p.rev++
	p.change(who, "patch", "replicasets", "", p.replicaSet(p.replicas+1))
	p.next++
	suffix := string("bcdfghjklmnpqrstvwxz"[p.next/20%20]) + "zzz" + string("bcdfghjklmnpqrstvwxz"[p.next%20])
	p.because(who, p.pod(account("replicaset-controller"), p.rs, "R"+p.rs, suffix))
	p.pods = append(p.pods, suffix)
	p.rev++
	p.because(who, p.change(account("deployment-controller"), "update", "replicasets", "", p.replicaSet(p.replicas)))
	p.follow(who)
}

// draw plays at random.
func draw(t *rapid.T) *play {
	p := &play{world: newWorld(), truth: map[string]string{}}
	people := rapid.SampledFrom([]string{"alice", "bob", "mallory"})
	p.up(people.Draw(t, "who"), rapid.IntRange(0, 3).Draw(t, "replicas"))
	for range rapid.IntRange(1, 8).Draw(t, "actions") {
		p.wait(time.Duration(rapid.SampledFrom([]int{0, 1, 2, 5, 20, 60}).Draw(t, "seconds")) * time.Second)
		who := people.Draw(t, "who")
		switch rapid.SampledFrom([]string{"scale", "kill", "down", "meddle"}).Draw(t, "action") {
		case "scale":
			p.scale(who, rapid.IntRange(0, 4).Draw(t, "replicas"))
		case "kill":
			p.kill(who)
		case "meddle":
			p.meddle(who)
		default:
			p.down(who)
			p.wait(time.Second)
			p.up(people.Draw(t, "who"), rapid.IntRange(0, 3).Draw(t, "replicas"))
		}
	}
	return p
}

// TestNeverWrong plays at random and has the tracer learn all of it: what it says is
// right, with bodies and without, in any order of learning.
func TestNeverWrong(t *testing.T) {
	told, right := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		p := draw(t)
		order := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 1)).Perm(len(p.lines))
		p.each(t, order, func(id string, c *cause.Chain) {
			want := p.truth[id]
			if want == "" {
				return
			}
			told++
			if c.Root == nil {
				return
			}
			if right++; c.Root.User != want {
				t.Fatalf("%s\nnot %s\n%s", c.Words(false), want, bytes.Join(p.lines, []byte("\n")))
			}
		})
	})
	if right < told*8/10 {
		t.Errorf("a root for %d of %d", right, told)
	}
}

// TestNeverCertainlyWrong leaves out events and bodies at random: what is called
// certain is right all the same.
func TestNeverCertainlyWrong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := draw(t)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "loss"), 1))
		var order []int
		for i := range p.lines {
			switch random.IntN(10) {
			case 0: // lost
			case 1:
				p.lines[i] = metadata(t, p.lines[i])
				order = append(order, i)
			default:
				order = append(order, i)
			}
		}
		p.each(t, order, func(id string, c *cause.Chain) {
			if want := p.truth[id]; want != "" && c.Root != nil && c.Root.User != want && c.Strength == cause.Certain {
				t.Fatalf("%s\nnot %s", c.Words(false), want)
			}
		})
	})
}

// metadata takes the bodies out of an event.
func metadata(t *rapid.T, line []byte) []byte {
	var e map[string]json.RawMessage
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatal(err)
	}
	delete(e, "requestObject")
	delete(e, "responseObject")
	e["level"] = json.RawMessage(`"Metadata"`)
	out, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// each has a tracer learn the lines in some order, and tells of each of them.
func (p *play) each(t *rapid.T, order []int, yield func(id string, c *cause.Chain)) {
	tracer := cause.New(cause.Config{Window: 24 * time.Hour})
	var e audit.Event
	for _, i := range order {
		if err := e.Scan(p.lines[i]); err != nil {
			t.Fatal(err)
		}
		e.Seq = uint64(i)
		tracer.Note(&e)
	}
	for _, i := range order {
		if err := e.Scan(p.lines[i]); err != nil {
			t.Fatal(err)
		}
		e.Seq = uint64(i)
		c := tracer.Trace(&e)
		yield(string(e.Text[audit.AuditID]), &c)
	}
}

// TestForgetting checks that a small memory makes answers unknown, never other ones.
func TestForgetting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := draw(t)
		tracer := cause.New(cause.Config{Writes: rapid.IntRange(1, 30).Draw(t, "writes"), Window: time.Minute})
		var e audit.Event
		for i, line := range p.lines {
			if err := e.Scan(line); err != nil {
				t.Fatal(err)
			}
			e.Seq = uint64(i)
			tracer.Note(&e)
			c := tracer.Trace(&e)
			want := p.truth[string(e.Text[audit.AuditID])]
			if want != "" && c.Root != nil && c.Root.User != want && c.Strength == cause.Certain {
				t.Fatalf("%s\nnot %s", c.Words(false), want)
			}
		}
	})
}

// removed asks a trail of all lines what the request of one removed.
func (w *world) removed(t *testing.T, line []byte) cause.Removal {
	t.Helper()
	r := file.Open(file.Config{Inputs: []file.Input{{Name: "x", Each: func(visit func(string, io.Reader) error, _ func(*audit.Damage)) error {
		return visit("x", bytes.NewReader(append(bytes.Join(w.lines, []byte("\n")), '\n')))
	}}}})
	var e audit.Event
	for i, l := range w.lines {
		if &l[0] != &line[0] {
			continue
		}
		if err := e.Scan(l); err != nil {
			t.Fatal(err)
		}
		e.Seq = uint64(i)
	}
	got, err := cause.Removed(context.Background(), r, &e)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestOwner looks at what went with a Deployment, and not with another one.
func TestOwner(t *testing.T) {
	w, gc := deployed("alice"), account("generic-garbage-collector")
	w.create("alice", "deployments", workload("Deployment", meta("api", "D2", 1), 1, "a"))
	w.create(account("deployment-controller"), "replicasets", workload("ReplicaSet", meta("api-7777", "R2", 1, "Deployment", "api", "D2"), 1, "a", 1))
	line := w.remove("bob", "apps", "deployments", "web", "D")
	w.remove("carol", "apps", "deployments", "api", "D2")
	w.remove(gc, "apps", "replicasets", "api-7777", "R2")
	w.remove(gc, "apps", "replicasets", "web-5d4f", "R")
	w.removePod(gc, "web-5d4f", "R", "bbbbb")
	w.removePod(gc, "web-5d4f", "R", "ccccc")
	got := w.removed(t, line)
	if got.Kind != "owner" || len(got.Items) != 3 || got.Counts[0].Certain != 2 {
		t.Errorf("%+v", got)
	}
	if words := got.Words(false); words != "bob deleted Deployment shop/web: 3 objects went (2 pods, 1 replicaset)" {
		t.Error(words)
	}
	if words := got.Words(true); words != "bob 删除了 Deployment shop/web：共删除 3 个对象（2 个 Pod、1 个 ReplicaSet）" {
		t.Error(words)
	}
}

// TestCollection looks at what a deletecollection removed, told by its answer, and
// guessed where that was not recorded.
func TestCollection(t *testing.T) {
	for _, level := range []string{"RequestResponse", "Metadata"} {
		for _, uri := range []string{"x", "x?labelSelector=a%3Db"} {
			w := newWorld()
			w.level = level
			for _, name := range []string{"one", "two", "three"} {
				w.create("alice", "services", obj{"metadata": meta(name, "uid-"+name, 0)})
			}
			w.remove("bob", "apps", "services", "three", "uid-three")
			line := w.send(request{user: "bob", verb: "deletecollection", group: "apps", resource: "services", namespace: "shop", uri: uri,
				response: obj{"kind": "ServiceList", "items": []obj{{"metadata": meta("one", "uid-one", 0)}, {"metadata": meta("two", "uid-two", 0)}}}})
			got := w.removed(t, line)
			if len(got.Items) != 2 || got.Kind != "collection" || got.Actor.Name != "bob" {
				t.Fatalf("%s: %+v", level, got)
			}
			want := cause.Certain
			if level == "Metadata" {
				want = cause.Likely
				if strings.Contains(uri, "Selector") {
					want = cause.Unknown
				}
			}
			for _, g := range got.Items {
				if g.Strength != want || g.Object.Name != "one" && g.Object.Name != "two" {
					t.Errorf("%s %s: %+v", level, uri, g)
				}
			}
		}
	}
}

// FuzzNote feeds any bytes as events: nothing panics, and every answer can be written.
func FuzzNote(f *testing.F) {
	w := deployed("alice")
	w.scaled("bob", 2, 1)
	w.removePod(account("replicaset-controller"), "web-5d4f", "R", "bbbbb")
	w.remove("bob", "apps", "deployments", "web", "D")
	w.remove(account("generic-garbage-collector"), "apps", "replicasets", "web-5d4f", "R")
	f.Add(bytes.Join(w.lines, []byte("\n")))
	for _, line := range w.lines {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tracer := cause.New(cause.Config{Writes: 100})
		base := bytes.Join(w.lines, []byte("\n"))
		for _, text := range [][]byte{base, data} {
			var e audit.Event
			for line := range bytes.Lines(text) {
				if e.Scan(bytes.TrimSuffix(line, []byte("\n"))) != nil {
					continue
				}
				tracer.Note(&e)
				c := tracer.Trace(&e)
				if (c.Root == nil) != (c.Strength == cause.Unknown) {
					t.Fatalf("%+v", c)
				}
				if c.Words(true) == "" && len(c.Links) > 0 {
					t.Fatal("no words")
				}
				if _, err := json.Marshal(&c); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// BenchmarkTrace tells of each of many pods of one ReplicaSet.
func BenchmarkTrace(b *testing.B) {
	for _, pods := range []int{100, 3000} {
		b.Run(fmt.Sprint(pods), func(b *testing.B) {
			w := newWorld()
			w.create("alice", "deployments", workload("Deployment", meta("web", "D", 1), pods, "a"))
			w.create(account("deployment-controller"), "replicasets", workload("ReplicaSet", meta("web-5d4f", "R", 1, "Deployment", "web", "D"), pods, "a", pods))
			for i := range pods {
				w.pod(account("replicaset-controller"), "web-5d4f", "R", fmt.Sprint(i))
			}
			events := make([]audit.Event, len(w.lines))
			tracer := cause.New(cause.Config{})
			for i, line := range w.lines {
				if err := events[i].Scan(line); err != nil {
					b.Fatal(err)
				}
				tracer.Note(&events[i])
			}
			for i := 0; b.Loop(); i++ {
				if c := tracer.Trace(&events[i%len(events)]); c.Root == nil || c.Root.Name != "alice" {
					b.Fatal(c.Words(false))
				}
			}
		})
	}
}

package record_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

// event is an audit event as its line says it.
type event map[string]any

func (e event) text(name string) string {
	s, _ := e[name].(string)
	return s
}

// stages are the events of one audit ID, by stage, in the order of the log.
type stages map[string][]event

// logs are the events of an audit log.
type logs map[string]stages

// readLog reads an audit log, as far as it is whole.
func readLog(path string) (logs, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := logs{}
	for r := bufio.NewReaderSize(f, 1<<20); ; {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var e event
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("%s: %w: %.300s", path, err, line)
		}
		id := e.text("auditID")
		if all[id] == nil {
			all[id] = stages{}
		}
		all[id][e.text("stage")] = append(all[id][e.text("stage")], e)
	}
}

// over reports whether the last event of a request is there.
func (s stages) over(status int) bool {
	return len(s["ResponseComplete"])+len(s["Panic"]) > 0 || status == 401 && len(s["ResponseStarted"]) > 0
}

// difference is a field that differs. A nil is one that is not there.
type difference struct {
	path         string // of the field; of lists [] instead of the index
	theirs, ours any
}

func (d difference) String() string {
	return fmt.Sprintf("%s: kube-apiserver %s, proxy %s", d.path, short(d.theirs), short(d.ours))
}

func short(v any) string {
	if v == nil {
		return "nothing"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%.250s", text)
}

// differ lists what is different in two JSON values.
func differ(path string, theirs, ours any, out []difference) []difference {
	switch t := theirs.(type) {
	case map[string]any:
		if o, ok := ours.(map[string]any); ok {
			for _, name := range members(t, o) {
				out = differ(path+"."+name, t[name], o[name], out)
			}
			return out
		}
	case []any:
		if o, ok := ours.([]any); ok && len(t) == len(o) {
			for i := range t {
				out = differ(path+"[]", t[i], o[i], out)
			}
			return out
		}
	}
	if !reflect.DeepEqual(theirs, ours) {
		out = append(out, difference{strings.TrimPrefix(path, "."), theirs, ours})
	}
	return out
}

func members(a, b map[string]any) (names []string) {
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// pair is an event in both logs; one of them may be missing.
type pair struct {
	*answered
	by           string // the way the proxy tells of certificates
	stage        string
	theirs, ours event
}

// judge compares what both recorded of requests.
type judge struct {
	t          *testing.T
	level, by  string
	exceptions []*exception
	used       map[*exception]int
	events     int
	equal      int
}

// compare compares the events of one request.
func (j *judge) compare(a *answered, theirs, ours stages) {
	var problems []string
	names := slices.Sorted(func(yield func(string) bool) {
		for _, stage := range []string{"RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"} {
			if (len(theirs[stage]) > 0 || len(ours[stage]) > 0) && !yield(stage) {
				return
			}
		}
	})
	for _, stage := range names {
		t, o := theirs[stage], ours[stage]
		if len(o) > 1 || len(t) > 1 {
			problems = append(problems, fmt.Sprintf("%s: %d events of kube-apiserver, %d of the proxy", stage, len(t), len(o)))
			continue
		}
		p := &pair{answered: a, by: j.by, stage: stage}
		var all []difference
		switch {
		case len(t) == 0:
			p.ours = o[0]
			all = []difference{{"event", nil, any(map[string]any(o[0]))}}
		case len(o) == 0:
			p.theirs = t[0]
			all = []difference{{"event", any(map[string]any(t[0])), nil}}
		default:
			p.theirs, p.ours = t[0], o[0]
			for _, e := range []event{p.theirs, p.ours} {
				if e["annotations"] == nil { // so that they are compared one by one
					e["annotations"] = map[string]any{}
				}
			}
			all = differ("", map[string]any(t[0]), map[string]any(o[0]), nil)
		}
		j.events++
		left := false
		for _, d := range all {
			if x := j.excuse(p, d); x == nil {
				left = true
				problems = append(problems, stage+": "+d.String())
			}
		}
		if !left {
			j.equal++
		}
	}
	if lost := len(theirs["ResponseComplete"]) == 0; a.hole && j.level == "RequestResponse" && !lost {
		problems = append(problems, "kube-apiserver does not lose it any more")
	}
	if len(problems) > 0 {
		j.t.Errorf("%s: %d (%s)\n\t%s", a.what, a.status, a.id, strings.Join(problems, "\n\t"))
	}
}

// excuse finds the first exception for a difference.
func (j *judge) excuse(p *pair, d difference) *exception {
	for _, x := range j.exceptions {
		if x.excuses(p, d) {
			j.used[x]++
			return x
		}
	}
	return nil
}

// settle reads both logs until they hold the last events of all requests.
func settle(t *testing.T, all []*answered, theirs, ours string) (a, b logs) {
	t.Helper()
	until := time.Now().Add(20 * time.Second)
	for {
		var err error
		a, err = readLog(theirs)
		must(t, err)
		b, err = readLog(ours)
		must(t, err)
		missing := 0
		for _, x := range all {
			if !x.silent && (!b[x.id].over(x.status) || !x.hole && !a[x.id].over(x.status)) {
				missing++
			}
		}
		if missing == 0 || time.Now().After(until) {
			return a, b // what is still missing is found when it is compared
		}
		time.Sleep(100 * time.Millisecond)
	}
}

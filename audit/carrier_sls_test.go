package audit

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sls is an event as aliyunlog log pull_log_dump writes it: every member is a string,
// among members of the Log Service's own, with blanks where Python puts them.
func sls(t testing.TB, event string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(event), &members); err != nil {
		t.Fatal(err)
	}
	b := `{"__time__": 1763652435, "__topic__": "", "__source__": "10.0.0.1", "__tag__:__receive_time__": "1763652436"`
	for _, m := range slsMembers {
		value, ok := members[m.name]
		if !ok {
			continue
		}
		if value[0] != '"' {
			value = json.RawMessage(quoted(string(value)))
		}
		b += `, "` + m.name + `": ` + string(value)
	}
	return b + "}"
}

// An event is the same one with SLS around it as without, and its record is kept.
func TestSLS(t *testing.T) {
	for name, line := range samples {
		if line[0] != '{' || name == "unknown members last" || !strings.Contains(line, `"audit.k8s.io/v1"`) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var want, got Event
			if err := want.Scan([]byte(line)); err != nil {
				t.Fatal(err)
			}
			record := sls(t, line)
			r := NewReader(strings.NewReader(record+"\n"), ReaderConfig{})
			if err := r.Next(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(columns(&want), columns(&got)); diff != "" {
				t.Error(diff)
			}
			if got.Code != want.Code || got.Received != want.Received || got.Staged != want.Staged ||
				string(got.RequestObject) != string(want.RequestObject) || string(got.ResponseObject) != string(want.ResponseObject) {
				t.Errorf("code %d, times %d %d, bodies %s %s", got.Code, got.Received, got.Staged, got.RequestObject, got.ResponseObject)
			}
			if string(got.Raw) != record || got.Exact() {
				t.Errorf("raw %s", got.Raw)
			}
		})
	}
}

// The forms in which the command line of SLS writes records.
func TestSLSForms(t *testing.T) {
	record := func(n int) string { return sls(t, sample(n)) }
	for name, data := range map[string]string{
		"pull_log_dump":       streamOf(1, 3, record, "", "\n"),
		"get_log_all":         "[" + record(1) + ", " + record(2) + ", " + record(3) + "]\n",
		"get_log_all, json":   pretty(t, "["+record(1)+","+record(2)+","+record(3)+"]"),
		"among others":        record(1) + "\n" + sample(2) + "\n" + record(3) + "\n",
		"in an EventList":     `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[` + record(1) + "," + azure(sample(2)) + "," + cloudWatch(sample(3)) + "]}",
		"in another's record": streamOf(1, 3, func(n int) string { return cloudWatch(record(n)) }, "", "\n"),
	} {
		t.Run(name, func(t *testing.T) {
			got := checkResume(t, []byte(data), 1)
			got.wantIDs(t, 1, 3)
			if len(got.faults) > 0 {
				t.Errorf("faults %v", got.faults)
			}
			r := NewReader(strings.NewReader(data), ReaderConfig{})
			var e Event
			for n := range 3 {
				if err := r.Next(&e); err != nil || string(e.Text[Username]) != "alice" || string(e.Text[Resource]) != "configmaps" {
					t.Errorf("event %d: %q %q (%v)", n+1, e.Text[Username], e.Text[Resource], err)
				}
			}
		})
	}
}

// What is no JSON within its string stays what it is: absent, with the record kept.
func TestSLSValues(t *testing.T) {
	for value, want := range map[string]string{
		`"{\"username\":\"jai\"}"`: "jai", `" {\"username\": \"jai\"} "`: "jai", `{"username":"jai"}`: "jai",
		`""`: "", `"jai"`: "", `"{\"username\":"`: "", `null`: "", `7`: "", `"[]"`: "",
	} {
		line := `{"__time__":1,"apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","zone":"eu","user":` + value + `}`
		r := NewReader(strings.NewReader(line), ReaderConfig{})
		var e Event
		if err := r.Next(&e); err != nil || string(e.Text[Username]) != want || string(e.Raw) != line {
			t.Errorf("%s: user %q, want %q (%v)", value, e.Text[Username], want, err)
		}
		if !strings.Contains(string(e.Text[Other]), `"zone":"eu"`) || strings.Contains(string(e.Text[Other]), "__time__") {
			t.Errorf("%s: other members %s", value, e.Text[Other])
		}
	}
}

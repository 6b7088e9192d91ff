package gap

import (
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// TestReportedLosses: what a recorder says in the stream of its events that it lost is a
// gap, whether a trail is read or events are seen as they come; who only uses the verb or
// the name of the recorder says nothing.
func TestReportedLosses(t *testing.T) {
	all := play(drawn(), 900, usual("cp-1")...)
	i := len(all) / 2
	tells := func(user, annotations string) moment {
		e := beats{server: "cp-1", user: user, verb: trail.LostVerb}.event()
		e.Text[audit.RequestURI] = nil
		e.Text[audit.Annotations] = []byte(annotations)
		e.Received = all[i].at - 2*second
		return moment{all[i].at, e}
	}
	const said = `{"kubetrail.io/lost":"16004","kubetrail.io/lost-cause":"buffer-full"}`
	for name, c := range map[string]struct {
		user, annotations string
		gaps              int
	}{
		"told":            {trail.LostUser, said, 1},
		"another user":    {"mallory", said, 0},
		"no annotation":   {trail.LostUser, "", 0},
		"no number":       {trail.LostUser, `{"kubetrail.io/lost":"many","kubetrail.io/lost-cause":"buffer-full"}`, 0},
		"negative number": {trail.LostUser, `{"kubetrail.io/lost":"-5","kubetrail.io/lost-cause":"buffer-full"}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			told := append(append(append([]moment{}, all[:i]...), tells(c.user, c.annotations)), all[i:]...)
			d := New(Config{})
			watchAll(d, told)
			r := onDisk(t, told, nil)
			found, err := Find(t.Context(), r, always())
			if err != nil {
				t.Fatal(err)
			}
			for how, gaps := range map[string][]Gap{"seen": d.Report(audit.NoTime).Gaps, "read": found.Gaps} {
				if len(gaps) != c.gaps {
					t.Fatalf("%s: %+v", how, gaps)
				}
				if c.gaps == 0 {
					continue
				}
				g := gaps[0]
				if g.Cause != "buffer-full" || g.Events != 16004 || g.Server != "cp-1" || int64(g.From) != all[i].at-2*second || int64(g.To) != all[i].at {
					t.Errorf("%s: %+v", how, g)
				}
			}
		})
	}
}

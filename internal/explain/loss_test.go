package explain

import (
	"testing"

	"kubetrail/audit"
)

// TestLoss asks for the sentence of what a recorder says that it lost, and for that of
// requests that only look like it.
func TestLoss(t *testing.T) {
	for name, c := range map[string]struct{ line, en, zh string }{
		"loss": {
			lossLine("system:kubetrail", `{"kubetrail.io/lost":"16004","kubetrail.io/lost-cause":"buffer-full"}`),
			"The recorder lost 16004 events between 2026-11-22T08:00:00Z and 2026-11-22T08:01:30Z (buffer-full).",
			"审计记录器在 2026-11-22T08:00:00Z 至 2026-11-22T08:01:30Z 之间丢失了 16004 个事件（buffer-full）。",
		},
		"one": {
			lossLine("system:kubetrail", `{"kubetrail.io/lost":"1","kubetrail.io/lost-cause":"\u001b[31mred"}`),
			`The recorder lost 1 event between 2026-11-22T08:00:00Z and 2026-11-22T08:01:30Z (\x1b[31mred).`,
			`审计记录器在 2026-11-22T08:00:00Z 至 2026-11-22T08:01:30Z 之间丢失了 1 个事件（\x1b[31mred）。`,
		},
	} {
		var e audit.Event
		if err := e.Scan([]byte(c.line)); err != nil {
			t.Fatal(err)
		}
		if got := string(New(Config{}).Append(nil, &e)); got != c.en {
			t.Errorf("%s: %s", name, got)
		}
		if got := string(New(Config{Chinese: true}).Append(nil, &e)); got != c.zh {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, line := range []string{
		lossLine("mallory", `{"kubetrail.io/lost":"16004","kubetrail.io/lost-cause":"buffer-full"}`),
		lossLine("system:kubetrail", `{"kubetrail.io/lost":"-1","kubetrail.io/lost-cause":"buffer-full"}`),
		lossLine("system:kubetrail", `{}`),
	} {
		var e audit.Event
		if err := e.Scan([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if got := string(New(Config{}).Append(nil, &e)); got == "" || got[:12] == "The recorder" {
			t.Errorf("%s: %s", line, got)
		}
	}
}

func lossLine(user, annotations string) string {
	return `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"l1","stage":"ResponseComplete","requestURI":"","verb":"lost",` +
		`"user":{"username":"` + user + `"},"requestReceivedTimestamp":"2026-11-22T08:00:00.000000Z","stageTimestamp":"2026-11-22T08:01:30.000000Z","annotations":` + annotations + `}`
}

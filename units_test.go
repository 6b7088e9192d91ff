package kubetrail_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kubetrail/internal/config"
)

// TestExampleConfig wants the example of a configuration to be one.
func TestExampleConfig(t *testing.T) {
	data, err := os.ReadFile("deploy/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, findings := config.Load(data, "/etc/kubetrail", config.Defaults("/nowhere"))
	for _, x := range findings {
		t.Errorf("deploy/config.yaml:%d:%d: %s", x.Line, x.Column, x.Text.En)
	}
	if f.Config.Data != "/var/lib/kubetrail" || len(f.Config.Tokens) == 0 {
		t.Errorf("%+v", f.Config)
	}
}

// TestUnits lets systemd judge the units, with programs that are there in the place of
// ours and of kill.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	units, err := filepath.Glob("deploy/systemd/*.service")
	if err != nil || len(units) == 0 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	here, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, unit := range units {
		text := read(t, unit)
		for _, want := range []string{"\nType=notify\n", "\nNoNewPrivileges=yes\n", "\nProtectSystem=strict\n", "\nWatchdogSec="} {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %q", unit, want)
			}
		}
		text = strings.NewReplacer("/usr/local/bin/kubetrail", here, "/bin/kill", here).Replace(text)
		copied := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", copied).CombinedOutput()
		if err != nil || strings.Contains(string(out), copied) {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}

package options_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"kubetrail/record/options"
)

// upstreamFlags are the flags of kube-apiserver v1.36: name, type and default.
const upstreamFlags = `
audit-log-batch-buffer-size int 10000
audit-log-batch-max-size int 1
audit-log-batch-max-wait duration 0s
audit-log-batch-throttle-burst int 0
audit-log-batch-throttle-enable bool false
audit-log-batch-throttle-qps float32 0
audit-log-compress bool false
audit-log-format string json
audit-log-maxage int 366
audit-log-maxbackup int 100
audit-log-maxsize int 100
audit-log-mode string blocking
audit-log-path string
audit-log-truncate-enabled bool false
audit-log-truncate-max-batch-size int64 10485760
audit-log-truncate-max-event-size int64 102400
audit-log-version string audit.k8s.io/v1
audit-policy-file string
audit-webhook-batch-buffer-size int 10000
audit-webhook-batch-initial-backoff duration 10s
audit-webhook-batch-max-size int 400
audit-webhook-batch-max-wait duration 30s
audit-webhook-batch-throttle-burst int 15
audit-webhook-batch-throttle-enable bool true
audit-webhook-batch-throttle-qps float32 10
audit-webhook-config-file string
audit-webhook-initial-backoff duration 10s
audit-webhook-mode string batch
audit-webhook-truncate-enabled bool false
audit-webhook-truncate-max-batch-size int64 10485760
audit-webhook-truncate-max-event-size int64 102400
audit-webhook-version string audit.k8s.io/v1
`

const ownFlags = `
audit-cluster-name string
audit-log-sync bool false
audit-redact stringSlice []
audit-redact-key-file string
audit-server-name string
audit-webhook-spill-dir string
audit-webhook-spill-max-size int64 1073741824
`

func flags(o *options.Options) *pflag.FlagSet {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	o.AddFlags(fs)
	return fs
}

func TestFlags(t *testing.T) {
	var got []string
	flags(options.New()).VisitAll(func(f *pflag.Flag) {
		got = append(got, strings.TrimSpace(f.Name+" "+f.Value.Type()+" "+f.DefValue))
		if f.Usage == "" || f.Shorthand != "" {
			t.Errorf("%s: usage %q, shorthand %q", f.Name, f.Usage, f.Shorthand)
		}
	})
	want := strings.Split(strings.TrimSpace(upstreamFlags)+"\n"+strings.TrimSpace(ownFlags), "\n")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := strings.Count(strings.TrimSpace(upstreamFlags), "\n") + 1; n != 32 {
		t.Errorf("%d flags of upstream's", n)
	}
}

func TestFlagsChangeNoDefaults(t *testing.T) {
	o := options.New()
	if err := flags(o).Parse(nil); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%#v", o), fmt.Sprintf("%#v", options.New()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestFlagsSet checks that every flag changes an option of its own.
func TestFlagsSet(t *testing.T) {
	values := map[string]string{"int": "7", "int64": "7", "float32": "7", "duration": "7s", "string": "seven", "stringSlice": "seven"}
	seen := map[string]string{}
	flags(options.New()).VisitAll(func(f *pflag.Flag) {
		value := values[f.Value.Type()]
		if f.Value.Type() == "bool" {
			value = fmt.Sprint(f.DefValue == "false")
		}
		o := options.New()
		if err := flags(o).Parse([]string{"--" + f.Name + "=" + value}); err != nil {
			t.Fatal(err)
		}
		state := fmt.Sprintf("%+v", o)
		if state == fmt.Sprintf("%+v", options.New()) {
			t.Errorf("--%s=%s changes nothing", f.Name, value)
		}
		if before, ok := seen[state]; ok && f.Name != "audit-webhook-initial-backoff" {
			t.Errorf("--%s does what --%s does", f.Name, before)
		}
		seen[state] = f.Name
	})
}

func TestDeprecatedFlag(t *testing.T) {
	fs := flags(options.New())
	var out strings.Builder
	fs.SetOutput(&out)
	if err := fs.Parse([]string{"--audit-webhook-batch-initial-backoff=1s"}); err != nil {
		t.Fatal(err)
	}
	if want := "Flag --audit-webhook-batch-initial-backoff has been deprecated, Deprecated, use --audit-webhook-initial-backoff instead.\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestSeveralWebhooks(t *testing.T) {
	o := options.New()
	fs := flags(o)
	if err := fs.Parse([]string{"--audit-webhook-config-file=a", "--audit-webhook-config-file", "b,c"}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b,c"}; !slices.Equal(o.Webhook.ConfigFiles, want) {
		t.Errorf("got %q, want %q", o.Webhook.ConfigFiles, want)
	}
	if s, err := fs.GetString("audit-webhook-config-file"); err != nil || s != `a,"b,c"` {
		t.Errorf("got %q, %v", s, err)
	}
}

// TestValidate checks upstream's texts, and when upstream checks at all.
func TestValidate(t *testing.T) {
	const log, webhook = "--audit-log-path=-", "--audit-webhook-config-file=f"
	tests := []struct {
		args string
		want string // lines
	}{
		{"", ""},
		{log + " " + webhook, ""},
		{log + " --audit-log-format=xml", `invalid audit log format xml, allowed formats are "legacy,json"`},
		{log + " --audit-log-version=v1", `invalid group version, allowed versions are ["audit.k8s.io/v1"]`},
		{log + " --audit-log-version=", `invalid group version, allowed versions are ["audit.k8s.io/v1"]`},
		{log + " --audit-log-version=audit.k8s.io/v1beta1", `invalid group version, allowed versions are ["audit.k8s.io/v1"]`},
		{webhook + " --audit-webhook-version=a/b/c", `unexpected GroupVersion string: a/b/c`},
		{log + " --audit-log-maxage=-1 --audit-log-maxbackup=-2 --audit-log-maxsize=-3",
			"--audit-log-maxage -1 can't be a negative number\n--audit-log-maxbackup -2 can't be a negative number\n--audit-log-maxsize -3 can't be a negative number"},
		{log + " --audit-log-maxage=0 --audit-log-maxbackup=0 --audit-log-maxsize=0", ""},
		{log + " --audit-log-mode=foo", `invalid audit log mode foo, allowed modes are "batch,blocking,blocking-strict"`},
		{log + " --audit-log-mode=", `invalid audit log mode , allowed modes are "batch,blocking,blocking-strict"`},
		{webhook + " --audit-webhook-mode=foo", `invalid audit webhook mode foo, allowed modes are "batch,blocking,blocking-strict"`},

		{log + " --audit-log-batch-buffer-size=0", ""},
		{log + " --audit-log-mode=blocking-strict --audit-log-batch-buffer-size=0", ""},
		{log + " --audit-log-mode=batch --audit-log-batch-buffer-size=0", "invalid audit batch log buffer size 0, must be a positive number"},
		{log + " --audit-log-mode=batch --audit-log-batch-max-size=-1", "invalid audit batch log max batch size -1, must be a positive number"},
		{log + " --audit-log-mode=batch --audit-log-batch-throttle-qps=-1", ""},
		{log + " --audit-log-mode=batch --audit-log-batch-throttle-enable", "invalid audit batch log throttle QPS 0, must be a positive number"},
		{log + " --audit-log-mode=batch --audit-log-batch-throttle-enable --audit-log-batch-throttle-qps=0.5", "invalid audit batch log throttle burst 0, must be a positive number"},
		{webhook + " --audit-webhook-batch-throttle-qps=-1.5", "invalid audit batch webhook throttle QPS -1.5, must be a positive number"},
		{webhook + " --audit-webhook-batch-max-wait=-1s --audit-webhook-initial-backoff=-1s", ""},
		{webhook + " --audit-webhook-batch-buffer-size=0 --audit-webhook-batch-max-size=0", "invalid audit batch webhook buffer size 0, must be a positive number"},

		{log + " --audit-log-truncate-max-event-size=0", "invalid audit truncate log max event size 0, must be a positive number"},
		{log + " --audit-log-truncate-max-batch-size=10", "invalid audit truncate log max batch size 10, must be greater than max event size (102400)"},
		{log + " --audit-log-truncate-max-batch-size=102400", ""},
		{webhook + " --audit-webhook-truncate-enabled --audit-webhook-truncate-max-event-size=-1", "invalid audit truncate webhook max event size -1, must be a positive number"},

		{"--audit-log-mode=foo --audit-log-format=foo --audit-log-maxage=-1 --audit-log-truncate-max-event-size=0 --audit-webhook-mode=foo --audit-webhook-version=foo", ""},
		{log + " " + webhook + " --audit-webhook-mode=foo --audit-log-mode=bar --audit-log-format=x --audit-log-maxage=-1 --audit-log-version=x --audit-log-truncate-max-event-size=0",
			"invalid audit log mode bar, allowed modes are \"batch,blocking,blocking-strict\"\ninvalid audit truncate log max event size 0, must be a positive number\n" +
				"invalid group version, allowed versions are [\"audit.k8s.io/v1\"]\ninvalid audit log format x, allowed formats are \"legacy,json\"\n" +
				"--audit-log-maxage -1 can't be a negative number\ninvalid audit webhook mode foo, allowed modes are \"batch,blocking,blocking-strict\""},

		// What upstream has not.
		{webhook + " --audit-webhook-spill-dir=d", ""},
		{webhook + " --audit-webhook-spill-dir=d --audit-webhook-spill-max-size=0", "--audit-webhook-spill-max-size 0 must be a positive number"},
		{webhook + " " + webhook, "--audit-webhook-config-file f is given twice"},
		{webhook + " --audit-webhook-config-file=x/../f", "--audit-webhook-config-file x/../f is given twice"},
		{"--audit-redact=secrets,tokens", "--audit-redact needs --audit-redact-key-file; make one by head -c 32 /dev/urandom > FILE"},
		{"--audit-redact=foo --audit-redact-key-file=k", `--audit-redact: "foo" cannot be redacted: secrets, tokens, last-applied, env and path=FIELD can`},
		{"--audit-redact=secrets --audit-redact=path=requestObject.spec.key --audit-redact-key-file=k", ""},
	}
	for _, tt := range tests {
		o := options.New()
		if err := flags(o).Parse(strings.Fields(tt.args)); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := errors.Join(o.Validate()...); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s\ngot  %s\nwant %s", tt.args, got, tt.want)
		}
	}
}

// write makes a file in a directory of the test's own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

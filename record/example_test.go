package record_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"kubetrail/audit"
	"kubetrail/record"
	"kubetrail/record/options"
)

// An API server for widgets that records what is done to them, with the flags of
// kube-apiserver.
func Example() {
	dir, err := os.MkdirTemp("", "widgets-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	policyFile, logFile := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "audit.log")
	const rules = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Request\n"
	if err := os.WriteFile(policyFile, []byte(rules), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	// The flags, as they would come from os.Args.
	opts, flags := options.New(), pflag.NewFlagSet("widgets", pflag.ContinueOnError)
	opts.AddFlags(flags)
	if err := flags.Parse([]string{"--audit-policy-file", policyFile, "--audit-log-path", logFile}); err != nil {
		fmt.Println(err)
		return
	}
	for _, err := range opts.Validate() {
		fmt.Println(err)
		return
	}
	cfg, runner, err := opts.Build(options.Env{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error)
	go func() { ended <- runner.Run(ctx) }()

	// What authenticates stands outside, what authorizes and stores inside.
	cfg.User = func(*http.Request) *record.User { return &record.User{Username: "ann"} }
	widgets := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		record.LogRequestJSON(req.Context(), []byte(`{"kind":"Widget","metadata":{"name":"gear"}}`))
		record.Annotate(req.Context(), "example.com/checked", "yes")
		w.WriteHeader(http.StatusCreated)
	})
	server := httptest.NewServer(record.Handler(widgets, cfg))
	resp, err := http.Post(server.URL+"/apis/example.com/v1/namespaces/shop/widgets", "application/json", strings.NewReader("{}"))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	server.Close() // first no more requests, then no more events
	stop()
	if err := <-ended; err != nil {
		fmt.Println(err)
	}

	log, err := os.Open(logFile)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	var e audit.Event
	for events := audit.NewReader(log, audit.ReaderConfig{}); events.Next(&e) == nil; {
		fmt.Printf("%s %s %s %s/%s: %d\n%s\n%s\n", e.Text[audit.Username], e.Text[audit.Verb], e.Text[audit.Resource],
			e.Text[audit.Namespace], e.Text[audit.Name], e.Code, e.RequestObject, e.Text[audit.Annotations])
	}
	// Output:
	// ann create widgets shop/gear: 201
	// {"kind":"Widget","metadata":{"name":"gear"}}
	// {"example.com/checked":"yes"}
}

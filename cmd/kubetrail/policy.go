package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kubetrail/internal/output"
	"kubetrail/policy"
)

const policyLong = `Policy tells everything one can ask of an audit policy before a cluster runs it:
whether kube-apiserver takes it, what is wrong with it though legal, what it
records of a request and why, what it would have recorded of the events you have
and what that costs, and how two policies differ.`

func (a *app) policyVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check, explain, compare and try out audit policies",
		Long:  policyLong,
		Example: `  # would kube-apiserver 1.36 start with it?
  kubetrail policy check audit-policy.yaml --kubernetes 1.36

  # what is legal in it, but wrong?
  kubetrail policy lint audit-policy.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage(cmd.CommandPath()+" --help lists the commands", "unknown command %q", args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, verb := range []func() *cobra.Command{
		a.policyCheckVerb, a.policyConvertVerb, a.policyDiffVerb, a.policyExplainVerb, a.policyLintVerb, a.policyProfileVerb, a.policySimulateVerb,
	} {
		v := verb()
		run := v.RunE
		v.RunE = func(cmd *cobra.Command, args []string) error {
			return interruptible(cmd.Context(), func() error { return run(cmd, args) })
		}
		cmd.AddCommand(v)
	}
	return cmd
}

// interruptible does work that may not look at ctx: it waits for standard input, or
// compares large policies. Where it has not ended soon after Ctrl-C it is left alone,
// for the process is about to end.
func interruptible(ctx context.Context, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(300 * time.Millisecond):
		return ctx.Err()
	}
}

// releaseFlag adds --kubernetes, whose value goes to k.
func releaseFlag(fs *pflag.FlagSet, k *policy.Kubernetes) {
	*k = policy.Newest
	fs.Var((*releaseValue)(k), "kubernetes", "Judge as kube-apiserver of this `VERSION` does, such as 1.36")
}

// releaseValue is a policy.Kubernetes as a flag.
type releaseValue policy.Kubernetes

func (v *releaseValue) String() string { return policy.Kubernetes(*v).String() }
func (v *releaseValue) Type() string   { return "VERSION" }

func (v *releaseValue) Set(text string) error {
	k, err := policy.ParseKubernetes(text)
	*v = releaseValue(k)
	return err
}

// maxPolicyBytes bounds a policy file: the largest ones seen are a few dozen KiB.
const maxPolicyBytes = 16 << 20

// readPolicy reads a policy file, "-" being standard input.
func (a *app) readPolicy(name string) ([]byte, error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, failed(err, "check the path; kube-apiserver reads its policy where --audit-policy-file says")
		case errors.Is(err, fs.ErrPermission):
			return nil, failed(err, "try sudo, or copy the file")
		case err != nil:
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxPolicyBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxPolicyBytes:
		return nil, failed(fmt.Errorf("%s: larger than %d MiB", name, maxPolicyBytes>>20), "this is no audit policy; did you mean an audit log?")
	}
	return data, nil
}

// loadPolicy reads a policy for the verbs that need one which loads. Its warnings and
// notes are told on standard error.
func (a *app) loadPolicy(name string, k policy.Kubernetes) (*policy.Document, error) {
	data, err := a.readPolicy(name)
	if err != nil {
		return nil, err
	}
	doc, err := policy.LoadAny(data, k)
	if err != nil {
		if r, ok := errors.AsType[*policy.Rejection](err); ok && len(r.Findings) > 0 && r.Findings[0].Line > 0 {
			return nil, failed(fmt.Errorf("%s:%d: %w", name, r.Findings[0].Line, err), "kubetrail policy lint "+name+" tells more")
		}
		return nil, failed(fmt.Errorf("%s: %w", name, err), "kubetrail policy lint "+name+" tells more")
	}
	for _, f := range append(doc.Warnings, doc.Notes...) {
		fmt.Fprintf(a.err, "warning: %s:%d: %s\n", output.Plain(name, false), f.Line, output.Plain(f.Text, false))
	}
	return doc, nil
}

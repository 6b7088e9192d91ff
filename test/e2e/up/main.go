// Up runs a control plane until Ctrl-C, for whoever wants to try something on it:
//
//	go -C test/e2e run ./up -dir /some/empty/directory -policy policy.yaml
//
// It prints the address and a kubeconfig for each API server. With several policies
// there are several API servers of one cluster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"kubetrail/test/e2e/plane"
)

func main() {
	dir := flag.String("dir", "", "empty directory for all files")
	mod := flag.String("module", ".", "directory of the module test/e2e")
	policies := flag.String("policy", "", "audit policies, one for each API server, separated by commas")
	logs := flag.String("log", "", "audit logs, one for each policy, separated by commas (default DIR/cp-N/audit.log)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := up(ctx, *dir, *mod, *policies, *logs); err != nil {
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
}

func up(ctx context.Context, dir, mod, policies, logs string) (err error) {
	if dir == "" || policies == "" {
		return errors.New("want -dir and -policy")
	}
	bin, err := plane.Build(ctx, mod, os.Stderr)
	if err != nil {
		return err
	}
	p, err := plane.New(ctx, dir, bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	paths := strings.Split(logs, ",")
	for i, policy := range strings.Split(policies, ",") {
		name := fmt.Sprintf("cp-%d", i+1)
		log := filepath.Join(dir, name, "audit.log")
		if i < len(paths) && paths[i] != "" {
			log = paths[i]
		}
		s, err := p.AddServer(ctx, name, plane.Audit{Policy: policy, Log: log,
			Flags: []string{"--audit-log-maxbackup", "0", "--audit-log-maxage", "0"}})
		if err != nil {
			return err
		}
		fmt.Printf("%s %s\n  export KUBECONFIG=%s\n  audit log %s\n", name, s.URL, s.Kubeconfig, s.AuditLog)
	}
	if err := p.AddManager(p.Servers[0]); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

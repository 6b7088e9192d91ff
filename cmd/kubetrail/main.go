// Kubetrail answers who did what, when, to what, from where and with what result in
// Kubernetes clusters, from the audit logs that kube-apiserver writes.
//
// This package is the command line: one file per verb, flags.go for the flags that
// the verbs share, exit.go for the exit codes, wire.go for everything that is put
// together from the floors below.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		<-signals // the one that ended ctx
		<-signals // a second one ends the process at once: nothing that counts can be lost
		os.Exit(exitInterrupted)
	})
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, now: time.Now}
	os.Exit(a.run(ctx, os.Args))
}

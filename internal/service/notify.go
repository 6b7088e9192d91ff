// Package service is what a program that runs for long has to do with the machine it
// runs on: tell systemd how it is, and see that a file has changed.
package service

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Notifier tells systemd about the program, with the protocol of sd_notify(3): a
// datagram of lines NAME=VALUE to the socket that $NOTIFY_SOCKET names. Without systemd
// it does nothing. It is safe for concurrent use.
type Notifier struct {
	log      *slog.Logger
	watchdog time.Duration // systemd kills the program when it hears nothing for so long; 0: never

	mu   sync.Mutex // guards what follows
	conn net.Conn   // nil: nobody listens
	told bool       // that a message could not be sent
}

// NewNotifier reads what systemd asks for from the environment. A socket that cannot be
// reached is logged: the program runs without.
func NewNotifier(env func(string) string, log *slog.Logger) *Notifier {
	n := &Notifier{log: log}
	name := env("NOTIFY_SOCKET")
	if name == "" || name[0] != '/' && name[0] != '@' {
		return n
	}
	conn, err := net.Dial("unixgram", name) // a name with @ is abstract
	if err != nil {
		log.Warn("cannot tell systemd anything", "err", err)
		return n
	}
	n.conn = conn
	usec, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64)
	if pid := env("WATCHDOG_PID"); err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// Ready tells that the program does its work, at the start or again after Reloading,
// and how it is, in one line.
func (n *Notifier) Ready(status string) { n.send("READY=1", "STATUS="+oneLine(status)) }

// Status tells how the program is, in one line.
func (n *Notifier) Status(status string) { n.send("STATUS=" + oneLine(status)) }

// Reloading tells that the program reads its configuration; Ready must follow.
func (n *Notifier) Reloading() {
	n.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", monotonic().Microseconds()))
}

// Stopping tells that the program is about to end.
func (n *Notifier) Stopping() { n.send("STOPPING=1") }

// Run feeds systemd's watchdog for as long as alive says so, until ctx ends. It returns
// at once where there is no watchdog.
func (n *Notifier) Run(ctx context.Context, alive func() bool) {
	if n.watchdog == 0 {
		return
	}
	tick := time.NewTicker(n.watchdog / 3)
	defer tick.Stop()
	for {
		if alive() {
			n.send("WATCHDOG=1")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Close gives the socket back.
func (n *Notifier) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn == nil {
		return nil
	}
	err := n.conn.Close()
	n.conn = nil
	return err
}

func (n *Notifier) send(lines ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn == nil {
		return
	}
	// systemd reads at once; if it does not, this program must not wait for it.
	_ = n.conn.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := n.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil && !n.told {
		n.told = true
		n.log.Warn("cannot tell systemd anything", "err", err)
	}
}

// maxStatus is how much of a status is told.
const maxStatus = 1000

// oneLine makes text safe as a value: a newline would begin another one.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxStatus {
		s = strings.ToValidUTF8(s[:maxStatus], "") + "…"
	}
	return s
}

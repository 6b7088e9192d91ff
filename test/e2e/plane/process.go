package plane

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is a program that runs. It dies with the process that started it.
type Process struct {
	Name string
	Log  string // file with all that it said, also when it ran before

	cmd  *exec.Cmd
	done chan struct{} // closed when it ended
	err  error         // how, then
}

// Start starts a program; what it says is appended to the file log. It is in a process
// group of its own, so that Ctrl-C reaches only who started it, who ends it then.
func Start(name, log, program string, args ...string) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{Name: name, Log: log, cmd: cmd, done: make(chan struct{})}
	go func() { // ends with the process, for which Stop and Kill wait
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is its number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// RSS is how much memory it holds, and how much it held at most, in bytes.
func (p *Process) RSS() (now, most int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, 0, err
	}
	for line := range bytes.Lines(text) {
		for name, to := range map[string]*int64{"VmRSS:": &now, "VmHWM:": &most} {
			if rest, found := bytes.CutPrefix(line, []byte(name)); found {
				if _, err := fmt.Sscanf(string(rest), "%d kB", to); err != nil {
					return 0, 0, err
				}
				*to <<= 10
			}
		}
	}
	return now, most, nil
}

// CPU is how long it has computed, in user and system mode.
func (p *Process) CPU() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; the times are 12th and 13th after it.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s: %q", p.Name, text)
	}
	var ticks [2]int64 // of a hundredth of a second
	for i := range ticks {
		if _, err := fmt.Sscan(string(fields[11+i]), &ticks[i]); err != nil {
			return 0, err
		}
	}
	return time.Duration(ticks[0]+ticks[1]) * 10 * time.Millisecond, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the process ended, after Done.
func (p *Process) Err() error { return p.err }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Kill ends the process at once and waits. It reports whether the process ran until then.
func (p *Process) Kill() bool {
	ran := p.Running()
	err := p.cmd.Process.Kill()
	<-p.done
	return ran && err == nil
}

// Stop asks the process to end, waits for at most so long, and then kills it. The error
// says that it did not end, or not well.
func (p *Process) Stop(wait time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s: %w", p.Name, p.err)
		}
		return nil
	case <-time.After(wait):
		p.Kill()
		return fmt.Errorf("%s: did not end within %s", p.Name, wait)
	}
}

// Tail is the end of what the process said.
func (p *Process) Tail(n int64) []byte { return Tail(p.Log, n) }

// Tail returns about the last n bytes of a file, whole lines.
func Tail(path string, n int64) []byte {
	f, err := os.Open(path)
	if err != nil {
		return []byte(err.Error())
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-n), io.SeekStart)
	}
	text, err := io.ReadAll(f)
	if int64(len(text)) >= n {
		text = text[bytes.IndexByte(text, '\n')+1:]
	}
	return append(text, errorText(err)...)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// FreePort returns a port of the loopback address that nobody listens on.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// errEnded says that a process came to its end while somebody waited for it.
var errEnded = errors.New("ended")

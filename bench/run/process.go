package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/bench/order"
)

// anywhere is the processor of a process that is not pinned.
const anywhere = -1

// process is a program that runs until it is stopped.
type process struct {
	cmd *exec.Cmd
	log *tail
}

// The goroutine main stays on its thread: a child inherits the processors of the
// thread that starts it, and dies with it.
func init() { runtime.LockOSThread() }

// spawn starts a program on one processor, or anywhere. It dies with us. Only
// main may call it.
func spawn(cmd *exec.Cmd, processor int) (*process, error) {
	p := &process{cmd: cmd, log: &tail{}}
	if cmd.Stdout == nil {
		cmd.Stdout = p.log
	}
	cmd.Stderr = p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if processor != anywhere {
		var before, one unix.CPUSet
		if err := unix.SchedGetaffinity(0, &before); err != nil {
			return nil, err
		}
		one.Set(processor)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			return nil, err
		}
		defer unix.SchedSetaffinity(0, &before)
	}
	return p, cmd.Start()
}

// stop ends the program and its children, at once: their sockets are reset.
func (p *process) stop() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	p.cmd.Wait()
}

// alive reports whether it still runs.
func (p *process) alive() bool {
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WNOHANG, nil)
	return err == nil && pid == 0
}

// await waits until somebody listens at address.
func (p *process) await(address string) error {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			c.Close()
			if p.alive() {
				return nil
			}
		}
		if !p.alive() {
			return fmt.Errorf("it ended: %s", p.log)
		}
	}
	return fmt.Errorf("it does not listen: %s", p.log)
}

// Ports of servers: below those that the system gives to clients, so that no
// connection of a benchmark with thousands takes one meanwhile.
const (
	firstPort = 20_000
	lastPort  = 32_000
)

// address is one of the loopback interface on which nobody listens, and another
// one each time.
func (l *lab) address() (string, error) {
	for range lastPort - firstPort {
		l.port++
		if l.port < firstPort || l.port >= lastPort {
			l.port = firstPort
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", l.port))
		if err == nil {
			return listener.Addr().String(), listener.Close()
		}
	}
	return "", errors.New("no free port")
}

// tail keeps the last of what a program says.
type tail struct {
	mu   sync.Mutex // guards text
	text []byte
}

const maxTail = 4 << 10 // bytes

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - maxTail; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.text) == 0 {
		return "it said nothing"
	}
	return string(bytes.TrimSpace(t.text))
}

// driver is a running load client.
type driver struct {
	*process
	orders  io.WriteCloser
	pipe    *os.File
	answers *bufio.Reader
}

// drive starts a load client for a server.
func (l *lab) drive(s *server) (*driver, error) {
	cmd := exec.Command(l.program("drive"))
	orders, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = write
	p, err := spawn(cmd, s.client)
	write.Close()
	if err != nil {
		read.Close()
		return nil, err
	}
	return &driver{p, orders, read, bufio.NewReader(read)}, nil
}

func (d *driver) stop() {
	d.process.stop()
	d.pipe.Close()
}

// do has an order carried out.
func (d *driver) do(o *order.Order) (a order.Answer, err error) {
	line, err := json.Marshal(o)
	if err != nil {
		return a, err
	}
	if _, err := d.orders.Write(append(line, '\n')); err != nil {
		return a, fmt.Errorf("load client: %w: %s", err, d.log)
	}
	line, err = d.answers.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("load client: %w: %s", err, d.log)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, err
	}
	if a.Error != "" {
		return a, errors.New(o.Do + ": " + a.Error)
	}
	return a, nil
}

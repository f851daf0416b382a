package app_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/app/metrics"
	"github.com/sallyport/sallyport/internal/config"
)

// runFile makes the test binary a server with this configuration.
const runFile = "RUN_SERVER_WITH"

func TestMain(m *testing.M) {
	if file := os.Getenv(runFile); file != "" {
		os.Exit(runServer(file))
	}
	os.Exit(m.Run())
}

// addresses is what a server in a process of its own says once it serves.
type addresses struct{ Public, Health, CA string }

func runServer(file string) int {
	load := func() (*config.File, config.Origins, error) {
		return config.Load(config.Source{Files: []string{file}, Env: app.EngineEnv()})
	}
	f, origins, err := load()
	if err == nil {
		err = app.Run(context.Background(), app.Options{
			File: f, Origins: origins, Load: load, Log: os.Stderr, Meter: metrics.New("test"),
			Ready: func(s *app.Server) {
				json.NewEncoder(os.Stdout).Encode(addresses{s.Addr().String(), s.HealthAddr().String(), string(s.Authority().CertPEM())})
			},
		})
	}
	if stopped, ok := errors.AsType[*app.Interrupted](err); ok {
		return 128 + int(stopped.Signal.(syscall.Signal))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// process is a server in a process of its own.
type process struct {
	*world
	cmd  *exec.Cmd
	at   addresses
	done chan struct{} // closed when it has ended
}

// spawn starts the world's configuration in a process of its own.
func (w *world) spawn() *process {
	w.t.Helper()
	p := &process{world: w, cmd: exec.Command(os.Args[0]), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), runFile+"="+w.file)
	p.cmd.Stderr = w.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		p.cmd.Wait()
		w.t.Fatalf("it did not start: %v\n%s", err, w.log)
	}
	if err := json.Unmarshal(line, &p.at); err != nil {
		w.t.Fatal(err)
	}
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM([]byte(p.at.CA))
	w.admin = admin.NewClient("unix", w.state(), "")
	go func() { defer close(p.done); p.cmd.Wait() }()
	w.t.Cleanup(func() { p.cmd.Process.Kill(); <-p.done })
	return p
}

func (p *process) dial(c client) (*websocket.Conn, error) {
	conn, _, err := dialAt(p.at.Public, p.roots, c)
	return conn, err
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end and returns the code.
func (p *process) exit(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("it runs on after %s\n%s", within, p.log)
		return -1
	}
}

// TestHangup reloads, and keeps the old configuration when the new one is broken.
func TestHangup(t *testing.T) {
	const other = "https://other.example.com"
	w := newWorld(t)
	both := strings.Replace(w.jwtGate("/chat", ""), fmt.Sprintf("[%q]", trusted), fmt.Sprintf("[%q, %q]", trusted, other), 1)
	w.gates(both)
	p := w.spawn()
	here, err := p.dial(client{bearer: w.idp.token(t, "a", nil)})
	if err != nil {
		t.Fatal(err)
	}
	there, err := p.dial(client{bearer: w.idp.token(t, "b", nil), origin: other})
	if err != nil {
		t.Fatal(err)
	}
	alive(t, here, there)

	w.configure("listen: [\n")
	p.signal(syscall.SIGHUP)
	eventually(t, "the line in the log", func() bool { return strings.Contains(w.log.String(), "reload failed") })
	if !strings.Contains(w.log.String(), `sallyport.yaml:`) {
		t.Errorf("no position in the log:\n%s", w.log)
	}
	alive(t, here, there)

	w.gates(w.jwtGate("/chat", ""))
	p.signal(syscall.SIGHUP)
	if got := ending(t, there); got != deny.PolicyChanged {
		t.Errorf("got %v, want %v", got, deny.PolicyChanged)
	}
	alive(t, here)
}

// TestTerminate drains many connections: readiness goes first, then all are
// told, and the program exits with 0.
func TestTerminate(t *testing.T) {
	const many = 200
	w := newWorld(t)
	w.configure(w.text(w.jwtGate("/chat", "")) + "shutdown: {delay: 1s, drain: 4s}\nlimits: {per_subject: 1000, per_address: 1000}\n")
	p := w.spawn()
	token := w.idp.token(t, "alice", nil)
	conns := make([]*websocket.Conn, many)
	for i := range conns {
		var err error
		if conns[i], err = p.dial(client{bearer: token}); err != nil {
			t.Fatal(i, err)
		}
	}
	p.signal(syscall.SIGTERM)
	eventually(t, "not ready", func() bool {
		status, _ := get(t, "http://"+p.at.Health+"/readyz")
		return status == http.StatusServiceUnavailable
	})
	if conn, err := p.dial(client{bearer: token}); err != nil {
		t.Errorf("during the delay the door still serves: %v", err)
	} else {
		conn.Close()
	}
	ended := make([]time.Time, many)
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() {
			conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			_, _, err := conn.ReadMessage()
			ce, ok := errors.AsType[*websocket.CloseError](err)
			if !ok || ce.Code != int(deny.Drain.Close()) || ce.Text != deny.Drain.CloseReason() {
				t.Errorf("connection %d: %v", i, err)
			}
			ended[i] = time.Now()
		})
	}
	all.Wait()
	first, last := ended[0], ended[0]
	for _, at := range ended {
		if at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	if spread := last.Sub(first); spread < time.Second || spread > 4*time.Second {
		t.Errorf("the closes were spread over %s", spread)
	}
	if code := p.exit(10 * time.Second); code != 0 {
		t.Errorf("exit %d\n%s", code, w.log)
	}
}

// TestSecondSignal stops at once.
func TestSecondSignal(t *testing.T) {
	w := newWorld(t)
	w.configure(w.text(w.jwtGate("/chat", "")) + "shutdown: {delay: 5m, drain: 5m}\n")
	p := w.spawn()
	if _, err := p.dial(client{bearer: w.idp.token(t, "alice", nil)}); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGTERM)
	eventually(t, "draining", func() bool { return strings.Contains(w.log.String(), "draining") })
	p.signal(syscall.SIGTERM)
	if code := p.exit(4 * time.Second); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit %d\n%s", code, w.log)
	}
}

// TestKill: what was revoked stays so when the process is killed at the moment
// of the answer.
func TestKill_SR43_AT72(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", ""))
	p := w.spawn()
	token := w.idp.token(t, "alice", nil)
	conn, err := p.dial(client{bearer: token})
	if err != nil {
		t.Fatal(err)
	}
	echo(t, conn)
	if n, err := w.admin.Revoke(t.Context(), guard.Match{Issuer: issuer, Subject: "alice"}); err != nil || n != 1 {
		t.Fatalf("revoke: %d, %v", n, err)
	}
	p.signal(syscall.SIGKILL)
	p.exit(5 * time.Second)

	again := w.spawn()
	conn, err = again.dial(client{bearer: token})
	if err != nil {
		t.Fatal(err)
	}
	if got := ending(t, conn); got != deny.AuthRevoked {
		t.Errorf("got %v, want %v", got, deny.AuthRevoked)
	}
	if conn, err = again.dial(client{bearer: w.idp.token(t, "bob", nil)}); err != nil {
		t.Fatal(err)
	}
	alive(t, conn)
}

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/headers"
	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/wss"
)

// A BindError says that an address could not be listened on.
type BindError struct {
	Setting string // that names the address: listen, health or admin
	Address string // as configured
	Err     error
}

func (e *BindError) Error() string { return e.Setting + ": " + e.Err.Error() }
func (e *BindError) Unwrap() error { return e.Err }

// bind opens every address. Nothing is accepted yet.
func (s *Server) bind() (errs []error) {
	f := s.options.File
	fail := func(setting, address string, err error) { errs = append(errs, &BindError{setting, address, err}) }
	var err error
	if s.public = s.options.Listener; s.public == nil {
		if s.public, err = listenPublic(f.Listen); err != nil {
			s.public = nowhere{}
			fail("listen", f.Listen, err)
		}
	}
	if f.Health != "off" {
		if s.health, err = net.Listen("tcp", f.Health); err != nil {
			s.health = nil
			fail("health", f.Health, err)
		}
	}
	switch {
	case f.Admin.Listen == "off":
	case f.Admin.Listen == "unix" && f.InMemory(): // there is no directory for it; see announce
	default:
		if s.admin, err = admin.Listen(f.Admin.Listen, f.State); err != nil {
			s.admin = nil
			fail("admin", f.Admin.Listen, err)
		}
	}
	return errs
}

// nowhere stands for a listener that could not be opened, so that the other
// mistakes are found too.
type nowhere struct{ net.Listener }

func (nowhere) Addr() net.Addr { return &net.TCPAddr{} }
func (nowhere) Close() error   { return nil }

func listenPublic(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return net.Listen("tcp", address)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("%s: another process answers there", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return net.Listen("unix", path) // who may connect is decided by its directory and the umask
}

// serve starts the listeners and the upkeep.
func (s *Server) serve() {
	f, p := s.options.File, s.now()
	if m := s.options.Meter; m != nil {
		m.Bind(s.snapshot)
	}
	s.servePublic(p)
	if s.health != nil {
		s.run("health", s.health, &http.Server{
			Handler: s.healthHandler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
			WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		})
	}
	if s.admin != nil {
		s.run("admin", s.admin, &http.Server{
			Handler: s.adminHandler(f), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
			WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		})
	}
	s.tasks.Go(s.upkeep)
	s.serving.Store(true)
}

// servePublic serves the door.
func (s *Server) servePublic(p *plan) {
	f := s.options.File
	o := wss.Options{
		TerminatedBy: wss.Peers{Unix: f.TLS.TerminatedBy.Unix, Prefixes: f.TLS.TerminatedBy.Prefixes},
		Handshakes:   p.limits.Handshakes, Unauthenticated: p.limits.Unauthenticated,
		MaxBody:    int64(f.Limits.Body),
		Refusal:    refusal(p),
		OnRefuse:   s.turnedAway,
		PerAddress: (&waiting{most: p.limits.PerAddress}).enter,
	}
	if p.certs != nil {
		o.TLS, _ = wss.TLSConfig(wss.Config{Certificates: &s.certs, MinVersion: f.TLS.MinVersion}) // checked by config
	}
	s.listener = wss.Listen(s.public, o)
	server := &http.Server{Handler: s.door.Load()}
	s.listener.Install(server)
	s.run("public", s.listener, server)
}

// run serves l until the server stops. The goroutine ends with server.Close and
// is waited for by Stop.
func (s *Server) run(name string, l net.Listener, server *http.Server) {
	server.ErrorLog = log.New(slogWriter{s.log, name}, "", 0)
	s.servers = append(s.servers, server)
	s.tasks.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.fatal <- fmt.Errorf("%s listener: %w", name, err)
		}
	})
}

// slogWriter takes what net/http has to say: of handlers that panicked, mostly.
type slogWriter struct {
	log  *slog.Logger
	name string
}

func (w slogWriter) Write(b []byte) (int, error) {
	level := slog.LevelDebug
	if strings.Contains(string(b), "panic") {
		level = slog.LevelError
	}
	w.log.Log(context.Background(), level, "http server", "listener", w.name, "err", strings.TrimSpace(string(b)))
	return len(b), nil
}

// turnedAway is told of connections refused before a request was read.
func (s *Server) turnedAway(remote netip.Addr, status int, why string) {
	s.access.refused(remote, status, why)
	if m := s.options.Meter; m != nil {
		m.Refused(status)
	}
}

// statuses are the reasons for what the listener answers by itself.
var statuses = map[int]deny.Reason{
	http.StatusUpgradeRequired:             deny.HTTPPlaintext,
	http.StatusRequestTimeout:              deny.HTTPTimeout,
	http.StatusRequestHeaderFieldsTooLarge: deny.HTTPHead,
	http.StatusRequestEntityTooLarge:       deny.HTTPTooLarge,
	http.StatusTooManyRequests:             deny.GuardCrowded,
	http.StatusServiceUnavailable:          deny.GuardFull,
}

// refusal writes the answers of the listener with the door's headers.
func refusal(p *plan) func(int, string) []byte {
	policy, err := headers.New(p.door.Headers)
	if err != nil {
		return nil // the door would not have been made
	}
	return func(status int, _ string) []byte {
		reason, ok := statuses[status]
		if !ok {
			reason = deny.HTTPMalformed
		}
		body, _ := json.Marshal(map[string]string{"error": reason.Code(), "message": reason.Sentence()})
		b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
		b = policy.Append(b)
		b = fmt.Appendf(b, "Content-Type: application/json\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", len(body)+1)
		return append(append(b, body...), '\n')
	}
}

// waiting counts the connections of each address that were not admitted yet. It
// holds no more entries than there are such connections.
type waiting struct {
	most int

	mu    sync.Mutex // guards count
	count map[netip.Prefix]int
}

func (w *waiting) enter(addr netip.Addr) (release func(), ok bool) {
	bits := 32
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		bits = 64 // the holder of a /64 has all of it
	}
	key, _ := addr.Prefix(bits)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == nil {
		w.count = map[netip.Prefix]int{}
	}
	if w.count[key] >= w.most {
		return nil, false
	}
	w.count[key]++
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.count[key]--; w.count[key] == 0 {
			delete(w.count, key)
		}
	}), true
}

package enginetest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport/sallyport/internal/engine"
)

// patience bounds every wait of a test that is broken.
const patience = 20 * time.Second

// wire is what a connection runs over.
type wire uint8

const (
	inClear wire = iota
	inClearWrapped
	onUnix
	overTLS
	overTLSOnUnix
	overTLS12
)

var wires = []wire{inClear, inClearWrapped, onUnix, overTLS, overTLSOnUnix, overTLS12}

func (w wire) String() string {
	return [...]string{"tcp", "tcp in a wrapper", "unix", "tls", "tls on unix", "tls 1.2"}[w]
}

// site makes connections to an engine, which is expected to be as it was in the
// end: no goroutine and no descriptor is left.
type site struct {
	t      testing.TB
	engine engine.Engine

	mu        *sync.Mutex // from dial to accept, so that they belong together
	tcp, unix net.Listener

	serverTLS, clientTLS *tls.Config
}

// newSite is a site until the test ends.
func newSite(t testing.TB, n New) *site {
	t.Helper()
	leaks(t)
	s := &site{t: t, engine: n(), mu: new(sync.Mutex)}
	s.serverTLS, s.clientTLS = certificate(t)
	var err error
	if s.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "engine") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	if s.unix, err = net.Listen("unix", filepath.Join(folder, "s")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.tcp.Close()
		s.unix.Close()
		os.RemoveAll(folder)
		ended := make(chan struct{})
		go func() { s.engine.Wait(); close(ended) }()
		within(t, ended, "Wait")
	})
	return s
}

// leaks looks in the end for goroutines and descriptors that were not there now.
func leaks(t testing.TB) {
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close() // package net has its own descriptor from now on
	}
	goroutines, open := goleak.IgnoreCurrent(), descriptors()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		if err := goleak.Find(goroutines); err != nil {
			t.Error(err)
		}
		until(t, "all descriptors closed", func() bool { return descriptors() <= open })
	})
}

// descriptors counts this process's; 0 where nobody tells.
func descriptors() (n int) {
	list, _ := os.ReadDir("/proc/self/fd")
	for _, d := range list {
		to, err := os.Readlink("/proc/self/fd/" + d.Name())
		if err == nil && (strings.HasPrefix(to, "socket:") || strings.Contains(to, "eventpoll")) {
			n++
		}
	}
	return n
}

func within(t testing.TB, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: never", what)
	}
}

// until waits for something that no channel tells.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: never", what)
		}
	}
}

// of is the same site, for a test within the test.
func (s *site) of(t testing.TB) *site {
	inner := *s
	inner.t = t
	return &inner
}

// transports makes a connection below TLS.
func (s *site) transports(unix bool) (near, far net.Conn) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.tcp
	if unix {
		l = s.unix
	}
	far, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err == nil {
		near, err = l.Accept()
	}
	if err != nil {
		s.t.Error(err)
		panic(err)
	}
	far.SetDeadline(time.Now().Add(2 * patience))
	return near, far
}

// open makes a connection and has the engine feed m, but does not start it.
func (s *site) open(w wire, m *machine) (far net.Conn) {
	s.t.Helper()
	near, far := s.transports(w == onUnix || w == overTLSOnUnix)
	switch w {
	case inClearWrapped:
		near = &wrapper{Conn: near}
	case overTLS, overTLSOnUnix, overTLS12:
		near, far = s.shake(w, near, far)
	}
	m.attach(s, near)
	return far
}

// start is open, and start.
func (s *site) start(w wire, m *machine) (far net.Conn) {
	s.t.Helper()
	far = s.open(w, m)
	m.handle.Start(nil)
	return far
}

// shake performs a handshake.
func (s *site) shake(w wire, near, far net.Conn) (server, client *tls.Conn) {
	s.t.Helper()
	config := s.clientTLS
	if w == overTLS12 {
		config = config.Clone()
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	}
	server, client = tls.Server(&wrapper{Conn: near}, s.serverTLS), tls.Client(far, config)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		s.t.Error("client:", err)
	}
	if err := <-done; err != nil {
		s.t.Error("server:", err)
	}
	return server, client
}

// wrapper is what a listener puts around a socket: the transport in it can be
// replaced.
type wrapper struct {
	net.Conn
	mu     sync.Mutex
	closed bool
}

func (w *wrapper) Replace(f func(net.Conn) (net.Conn, error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	c, err := f(w.Conn)
	if err == nil {
		w.Conn = c
	}
	return err
}

func (w *wrapper) Close() error {
	w.mu.Lock()
	closed := w.closed
	w.closed = true
	w.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	return w.Conn.Close()
}

func (w *wrapper) NetConn() net.Conn { return w.Conn }

func (w *wrapper) CloseWrite() error {
	return w.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (w *wrapper) SyscallConn() (syscall.RawConn, error) {
	return w.Conn.(syscall.Conn).SyscallConn()
}

// below is what lies under TLS, or c itself.
func below(c net.Conn) net.Conn {
	for {
		w, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = w.NetConn()
	}
}

// reset ends a connection with RST, or on a unix socket as well as that can be.
func reset(c net.Conn) {
	if l, ok := below(c).(interface{ SetLinger(int) error }); ok {
		l.SetLinger(0)
	}
	below(c).Close()
}

// certificate makes both ends' configurations.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"engine.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
		MinVersion:   tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.X25519}, SessionTicketsDisabled: true,
	}
	client = &tls.Config{RootCAs: roots, ServerName: "engine.test", MinVersion: tls.VersionTLS13}
	return server, client
}

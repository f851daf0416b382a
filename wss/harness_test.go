package wss

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// refusals records what a listener refused.
type refusals struct {
	mu   sync.Mutex
	list []string
}

func (r *refusals) add(_ netip.Addr, status int, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, fmt.Sprint(status, " ", why))
}

func (r *refusals) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.list, "; ")
}

// site is a server behind a Listener.
type site struct {
	t        testing.TB
	l        *Listener
	roots    *x509.CertPool
	refusals refusals
	served   served
	dial     func() net.Conn // a new connection, before TLS
}

// served records what reached the handler.
type served struct {
	mu   sync.Mutex
	list []string
}

func (s *served) add(r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+string(body)))
}

func (s *served) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

type kind uint8

const (
	overTLS kind = iota
	behindProxy
	inClear
)

func (k kind) String() string { return [...]string{"over TLS", "behind a proxy", "in clear"}[k] }

// newSite serves h on loopback until the test ends.
func newSite(t testing.TB, k kind, h http.Handler, change ...func(*Options)) *site {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, inner, k, h, change...)
	s.dial = func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Error(err)
			return nil
		}
		c.SetDeadline(time.Now().Add(20 * time.Second)) // a bound for a broken test
		return c
	}
	return s
}

func serve(t testing.TB, inner net.Listener, k kind, h http.Handler, change ...func(*Options)) *site {
	t.Helper()
	s := &site{t: t}
	o := Options{OnRefuse: s.refusals.add}
	switch k {
	case overTLS:
		ca := devCA(t)
		certs, err := ca.For("localhost", "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if o.TLS, err = TLSConfig(Config{Certificates: certs}); err != nil {
			t.Fatal(err)
		}
		s.roots = x509.NewCertPool()
		s.roots.AppendCertsFromPEM(ca.CertPEM())
	case behindProxy:
		o.TerminatedBy = peers(t, "127.0.0.0/8")
	}
	for _, f := range change {
		f(&o)
	}
	s.l = Listen(inner, o)
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	if h == nil {
		server.Handler = http.HandlerFunc(s.echo)
	}
	s.l.Install(server)
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(s.l) })
	t.Cleanup(func() {
		server.Close()
		s.l.Close()
		wg.Wait()
	})
	return s
}

// echo answers ordinary requests with their bodies.
func (s *site) echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.served.add(r, body)
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%s %s:%s", r.Method, r.RequestURI, body)
}

var sharedCA = sync.OnceValues(func() (*DevCA, error) { return createDevCA(scratch, time.Now()) })
var scratch string

func devCA(t testing.TB) *DevCA {
	t.Helper()
	ca, err := sharedCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// client is a raw HTTP client.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (s *site) client(k kind) *client {
	s.t.Helper()
	c := s.dial()
	if k == overTLS {
		c = tls.Client(c, &tls.Config{RootCAs: s.roots, ServerName: "localhost"})
	}
	return &client{s.t, c, bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads a response whole.
func (c *client) answer() (status int, body string) {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func (c *client) wantAnswer(status int, body string) {
	c.t.Helper()
	got, text := c.answer()
	if got != status || body != "" && text != body {
		c.t.Fatalf("got %d %.200q (%d bytes), want %d %.200q (%d bytes)", got, text, len(text), status, body, len(body))
	}
}

// wantEnd wants the connection to be closed without another byte.
func (c *client) wantEnd() {
	c.t.Helper()
	if b, err := io.ReadAll(c.r); len(b) > 0 || errors.Is(err, context.DeadlineExceeded) {
		c.t.Fatalf("got %q, %v, want the end", b, err)
	}
}

// head writes a request with the headers that every kind of site wants.
func head(method, target string, lines ...string) string {
	return method + " " + target + " HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: https\r\n" + strings.Join(lines, "") + "\r\n"
}

const upgradeLines = "Connection: Upgrade\r\nUpgrade: websocket\r\n"

// memory is a listener whose connections are pipes, for synctest.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), done: make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.done) }); return nil }
func (m *memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// pipe is an end of a pipe that has an address.
type pipe struct {
	net.Conn
	ip string
}

func (p pipe) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(p.ip), Port: 1} }

func (m *memory) dial(ip string) net.Conn {
	a, b := net.Pipe()
	m.conns <- pipe{b, ip}
	return a
}

// newMemorySite is newSite on pipes; it must be called within a bubble.
func newMemorySite(t testing.TB, k kind, h http.Handler, change ...func(*Options)) *site {
	m := newMemory()
	s := serve(t, m, k, h, change...)
	s.dial = func() net.Conn { return m.dial("127.0.0.1") }
	return s
}

// drip writes a byte every so often until the connection ends, and returns how long that took.
func drip(c net.Conn, text string, every time.Duration) time.Duration {
	start := time.Now()
	for i := 0; ; i++ {
		if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
			return time.Since(start)
		}
		time.Sleep(every)
	}
}

func contains(t testing.TB, what, want string) {
	t.Helper()
	if !strings.Contains(what, want) {
		t.Errorf("got %q, want %q in it", what, want)
	}
}

func isAlert(err error, alert tls.AlertError) bool {
	var got tls.AlertError
	if errors.As(err, &got) {
		return got == alert
	}
	return err != nil && bytes.Contains([]byte(err.Error()), []byte(alert.Error()[len("tls: "):]))
}

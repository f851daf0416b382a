package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/origin"
)

// origin of every page in these tests.
const page = "https://app.example.com"

// alice is who is admitted unless a test says otherwise.
var alice = auth.Identity{Issuer: "https://idp.example", Subject: "alice", Session: "s1", Credential: "c1", Method: "session"}

// as admits everybody as id.
type as auth.Identity

func (a as) Authenticate(context.Context, *http.Request) (auth.Identity, error) {
	return auth.Identity(a), nil
}

// setup is a door with one gate, /, in front of a backend.
type setup struct {
	proxy  Config
	guard  guard.Config
	id     auth.Identity
	http   bool // guarded
	app    http.Handler
	events chan sallyport.Event // of connections that ended or were refused
}

// fast are limits under which tests of other things are not slowed.
var fast = guard.Config{MaxMessage: 32 << 20, Messages: 1_000_000, Bytes: 1 << 30}

func (s *setup) door(t *testing.T) *sallyport.Door {
	t.Helper()
	p, err := New(s.proxy)
	if err != nil {
		t.Fatal(err)
	}
	return s.doorTo(t, p)
}

func (s *setup) doorTo(t *testing.T, route sallyport.Route) *sallyport.Door {
	t.Helper()
	if s.id.Method == "" {
		s.id = alice
	}
	if s.guard == (guard.Config{}) {
		s.guard = fast
	}
	s.events = make(chan sallyport.Event, 1024)
	gate := sallyport.Gate{Path: "/ws/", Route: route, Refuse: sallyport.RefuseHTTP}
	if s.http {
		gate.HTTP = route.(*Proxy).HTTP()
	}
	d, err := sallyport.New(sallyport.Config{
		Origin: origin.Config{Trusted: []string{page}, Hosts: []string{"127.0.0.1", "door.example"}},
		Auth:   as(s.id), Guard: s.guard, Gates: []sallyport.Gate{gate}, App: s.app,
		Observe: func(e sallyport.Event) {
			if e.Kind != sallyport.Admitted {
				s.events <- e
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// start serves the door on a loopback port and returns its address.
func (s *setup) start(t *testing.T) (*sallyport.Door, string) {
	t.Helper()
	d := s.door(t)
	return d, s.serve(t, d)
}

func (s *setup) serve(t *testing.T, d *sallyport.Door) string {
	srv := httptest.NewServer(d)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := d.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		srv.Close()
	})
	return srv.Listener.Addr().String()
}

// reason waits for the next connection that ends, or handshake that is refused.
func (s *setup) reason(t *testing.T) deny.Reason {
	t.Helper()
	select {
	case e := <-s.events:
		t.Logf("%s: %v", e.Kind, e.Cause)
		return e.Reason
	case <-time.After(5 * time.Second):
		t.Fatal("nothing ended in 5 s")
		return 0
	}
}

// fixture is a backend on a loopback port: serve is called with each connection.
type fixture struct {
	addr string

	mu    sync.Mutex // guards what follows
	conns []net.Conn
}

func backendAt(t *testing.T, serve func(conn net.Conn)) *fixture {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, serve)
}

func serveOn(t *testing.T, l net.Listener, serve func(conn net.Conn)) *fixture {
	f := &fixture{addr: l.Addr().String()}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			c.SetDeadline(time.Now().Add(time.Second))
		}
		f.mu.Unlock()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			serving.Go(func() { defer c.Close(); serve(c) })
		}
	})
	return f
}

func (f *fixture) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns)
}

// wire is one end of a WebSocket in a test: it reads strictly and sends what it
// is told.
type wire struct {
	t      testing.TB
	conn   net.Conn
	in     io.Reader
	role   ws.Role
	parser ws.Parser
	buf    []byte
}

func newWire(t testing.TB, conn net.Conn, in io.Reader, role ws.Role) *wire {
	w := &wire{t: t, conn: conn, in: in, role: role}
	w.parser = ws.Parser{Role: role, MaxMessage: 64 << 20, MaxFragments: -1}
	return w
}

func (w *wire) send(op ws.Opcode, data []byte) {
	w.conn.Write(ws.AppendFrame(nil, w.role, true, op, data))
}

func (w *wire) raw(frames ...byte) { w.conn.Write(frames) }

func (w *wire) close(code uint16, reason string) {
	w.conn.Write(ws.AppendClose(nil, w.role, code, reason))
}

// event is the next event; ok is false when the socket ended.
func (w *wire) event() (ws.Event, error) {
	w.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		ev, n, err := w.parser.Next(w.buf)
		w.buf = w.buf[n:]
		if err != nil || ev.Kind != ws.None {
			return ev, err
		}
		b := make([]byte, 32<<10)
		n, err = w.in.Read(b)
		w.buf = b[:n]
		if n == 0 && err != nil {
			return ws.Event{}, err
		}
	}
}

// message is the next whole message; pings are answered. A close frame is a
// *closed.
func (w *wire) message() (op ws.Opcode, data []byte, err error) {
	for {
		ev, err := w.event()
		if err != nil {
			return 0, nil, err
		}
		switch ev.Kind {
		case ws.PingEvent:
			w.send(ws.Pong, bytes.Clone(ev.Data))
		case ws.CloseEvent:
			return 0, nil, &closed{ev.Code, string(ev.Data)}
		case ws.Data:
			op = ev.Op
			data = append(data, ev.Data...)
			if ev.Last {
				return op, data, nil
			}
		}
	}
}

type closed struct {
	code   uint16
	reason string
}

func (c *closed) Error() string { return "closed: " + c.reason }

// wantClose reads on to the close frame and to the end of the socket.
func (w *wire) wantClose(code uint16, reason string) {
	w.t.Helper()
	for {
		_, _, err := w.message()
		if err == nil {
			continue
		}
		c, ok := errors.AsType[*closed](err)
		if !ok {
			w.t.Errorf("got %v, want a close frame %d %q", err, code, reason)
			return
		}
		if c.code != code || c.reason != reason {
			w.t.Errorf("got close %d %q, want %d %q", c.code, c.reason, code, reason)
		}
		return
	}
}

func (w *wire) wantMessage(op ws.Opcode, data []byte) {
	w.t.Helper()
	gotOp, got, err := w.message()
	if err != nil || gotOp != op || !bytes.Equal(got, data) {
		w.t.Errorf("got %v %.40q (%d bytes), %v; want %v %.40q (%d bytes)", gotOp, got, len(got), err, op, data, len(data))
	}
}

// dial opens a socket to the door and sends a handshake; the answer is read.
func dial(t testing.TB, addr string, target string, header http.Header, protocols ...string) (*http.Response, *wire) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return shake(t, conn, target, header, protocols...)
}

func shake(t testing.TB, conn net.Conn, target string, header http.Header, protocols ...string) (*http.Response, *wire) {
	t.Helper()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Origin", page)
	request, err := ws.AppendRequest(nil, "GET", target, "door.example", ws.NewKey(), protocols, header)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	return response, newWire(t, conn, in, ws.Client)
}

// connect dials and wants a 101.
func connect(t testing.TB, addr string) *wire {
	t.Helper()
	response, w := dial(t, addr, "/ws/", nil)
	if response.StatusCode != 101 {
		t.Fatalf("got status %d, want 101", response.StatusCode)
	}
	return w
}

// accept reads a handshake and answers it as a good backend would.
func accept(t testing.TB, conn net.Conn) (*http.Request, *wire) {
	r, in := request(t, conn)
	if r == nil {
		return nil, nil
	}
	offer, err := ws.CheckUpgrade(r)
	if err != nil {
		t.Errorf("the backend got a bad handshake: %v", err)
		return nil, nil
	}
	protocol := ""
	if len(offer.Protocols) > 0 {
		protocol = offer.Protocols[0]
	}
	conn.Write(ws.AppendResponse(nil, offer, protocol, nil))
	return r, newWire(t, conn, in, ws.Server)
}

func request(t testing.TB, conn net.Conn) (*http.Request, *bufio.Reader) {
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "closed") {
			t.Errorf("the backend got no request: %v", err)
		}
		return nil, nil
	}
	return r, in
}

// echo answers every message with itself until the end.
func echo(t testing.TB) func(net.Conn) {
	return func(conn net.Conn) {
		_, w := accept(t, conn)
		if w == nil {
			return
		}
		for {
			op, data, err := w.message()
			if c, ok := errors.AsType[*closed](err); ok {
				w.close(c.code, "")
			}
			if err != nil {
				return
			}
			w.send(op, data)
		}
	}
}

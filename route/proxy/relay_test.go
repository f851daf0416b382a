package proxy

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
)

func TestMessagesPassBothWays(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	certificate := httptest.NewTLSServer(nil)
	defer certificate.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Certificate())
	for _, tt := range []struct {
		name   string
		listen func() (net.Listener, error)
		config func(addr string) Config
	}{
		{"ws", func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
			func(addr string) Config { return Config{To: "ws://" + addr} }},
		{"ws, streamed", func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
			func(addr string) Config { return Config{To: "ws://" + addr, Stream: true} }},
		{"ws over IPv6", func() (net.Listener, error) { return net.Listen("tcp", "[::1]:0") },
			func(addr string) Config { return Config{To: "ws://" + addr} }},
		{"a unix socket", func() (net.Listener, error) { return net.Listen("unix", filepath.Join(t.TempDir(), "s")) },
			func(addr string) Config { return Config{To: "unix:" + addr} }},
		{"wss", func() (net.Listener, error) {
			return tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certificate.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}})
		}, func(addr string) Config {
			return Config{To: "wss://" + addr, TLS: TLS{RootCAs: roots, ServerName: "example.com"}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := tt.listen()
			if err != nil {
				t.Skip(err)
			}
			f := serveOn(t, l, echo(t))
			s := &setup{proxy: tt.config(f.addr)}
			_, addr := s.start(t)
			c := connect(t, addr)
			for _, m := range []struct {
				op   ws.Opcode
				data []byte
			}{
				{ws.Text, []byte("hällo")}, {ws.Binary, []byte{0, 1, 2}}, {ws.Text, nil}, {ws.Binary, big}, {ws.Text, big},
			} {
				go c.send(m.op, m.data)
				c.wantMessage(m.op, m.data)
			}
			c.close(1000, "bye")
			c.wantClose(1000, "")
			if got := s.reason(t); got != deny.PeerClosed {
				t.Errorf("ended with %s", got)
			}
		})
	}
}

func TestBackendCertificates(t *testing.T) {
	srv := quietTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	to := "wss://" + srv.Listener.Addr().String()
	for _, tt := range []struct {
		name string
		tls  TLS
		want deny.Reason
	}{
		{"unknown authority", TLS{}, deny.BackendUnreachable},
		{"another name", TLS{RootCAs: roots, ServerName: "other.example"}, deny.BackendUnreachable},
		{"verified by its address", TLS{RootCAs: roots}, deny.BackendRefused}, // it answers 404
		{"any, for a reason", TLS{DangerouslySkipVerify: "a test"}, deny.BackendRefused},
	} {
		s := &setup{proxy: Config{To: to, TLS: tt.tls}}
		_, addr := s.start(t)
		dial(t, addr, "/ws/", nil)
		if got := s.reason(t); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// Close codes and reasons pass in both directions; a backend can't speak in the
// name of the door.
func TestCloseCodes(t *testing.T) {
	ours := deny.AuthRevoked.CloseReason()
	for _, tt := range []struct {
		name       string
		code       uint16
		reason     string
		wantCode   uint16
		wantReason string
	}{
		{"normal", 1000, "bye", 1000, "bye"},
		{"without a code", 1005, "", 1005, ""},
		{"without a reason", 1001, "", 1001, ""},
		{"of an application", 4999, "grün", 4999, "grün"},
		{"of a library", 3000, "x", 3000, "x"},
		{"the longest reason", 1011, string(bytes.Repeat([]byte("a"), 123)), 1011, string(bytes.Repeat([]byte("a"), 123))},
		{"AT-88 a reason in the door's form", 4001, ours, 4001, ""},
	} {
		t.Run("from the backend, "+tt.name, func(t *testing.T) {
			answered := make(chan error, 1)
			f := backendAt(t, func(c net.Conn) {
				_, w := accept(t, c)
				w.send(ws.Text, []byte("before"))
				w.close(tt.code, tt.reason)
				_, _, err := w.message()
				answered <- err
			})
			s := &setup{proxy: Config{To: "ws://" + f.addr}}
			_, addr := s.start(t)
			c := connect(t, addr)
			c.wantMessage(ws.Text, []byte("before"))
			c.wantClose(tt.wantCode, tt.wantReason)
			if e, ok := errors.AsType[*closed](<-answered); !ok || e.code != tt.code {
				t.Errorf("the backend's goodbye was answered by %+v", e)
			}
			if got := s.reason(t); got != deny.BackendClosed {
				t.Errorf("ended with %s", got)
			}
		})
		if tt.reason == ours {
			continue
		}
		t.Run("from the client, "+tt.name, func(t *testing.T) {
			got := make(chan error, 1)
			f := backendAt(t, func(c net.Conn) {
				_, w := accept(t, c)
				w.wantMessage(ws.Text, []byte("before"))
				_, _, err := w.message()
				got <- err
			})
			s := &setup{proxy: Config{To: "ws://" + f.addr}}
			_, addr := s.start(t)
			c := connect(t, addr)
			c.send(ws.Text, []byte("before"))
			c.close(tt.code, tt.reason)
			if e, ok := errors.AsType[*closed](<-got); !ok || e.code != tt.wantCode || e.reason != tt.wantReason {
				t.Errorf("the backend got %+v, want %d %q", e, tt.wantCode, tt.wantReason)
			}
		})
	}
}

// A backend that breaks the protocol after its 101 ends both legs, and nothing
// broken reaches the client.
func TestHostileFrames_SR82_AT88(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(w *wire)
		want deny.Reason
		code uint16 // that the backend gets; 0: no close frame
	}{
		{"a masked frame", func(w *wire) { w.conn.Write(ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte("x"))) }, deny.BackendProtocol, 1002},
		{"text that is not UTF-8", func(w *wire) { w.send(ws.Text, []byte("a\xff")) }, deny.BackendProtocol, 1002},
		{"a reserved bit", func(w *wire) { w.raw(0xc1, 0) }, deny.BackendProtocol, 1002},
		{"a reserved opcode", func(w *wire) { w.raw(0x83, 0) }, deny.BackendProtocol, 1002},
		{"a continuation of nothing", func(w *wire) { w.raw(0x80, 0) }, deny.BackendProtocol, 1002},
		{"a message within a message", func(w *wire) { w.raw(0x01, 1, 'a', 0x81, 0) }, deny.BackendProtocol, 1002},
		{"a ping of 126 bytes", func(w *wire) { w.raw(0x89, 126, 0, 126) }, deny.BackendProtocol, 1002},
		{"a close code that must not travel", func(w *wire) { w.raw(0x88, 2, 3, 0xee) }, deny.BackendProtocol, 1002},
		{"a close reason that is too long", func(w *wire) { w.raw(0x88, 126, 0, 126) }, deny.BackendProtocol, 1002},
		{"a length that is not minimal", func(w *wire) { w.raw(0x82, 126, 0, 1, 'a') }, deny.BackendProtocol, 1002},
		{"2^62 bytes announced", func(w *wire) { w.raw(0x82, 127, 0x40, 0, 0, 0, 0, 0, 0, 0) }, deny.BackendTooBig, 1009},
		{"a byte more than allowed", func(w *wire) { w.send(ws.Binary, make([]byte, 1<<20+1)) }, deny.BackendTooBig, 1009},
		{"too much in fragments", func(w *wire) {
			w.raw(0x02, 127, 0, 0, 0, 0, 0, 0x10, 0, 0)
			w.conn.Write(make([]byte, 1<<20))
			w.raw(0x80, 1, 0)
		}, deny.BackendTooBig, 1009},
		{"an end without a goodbye", func(w *wire) { w.conn.(*net.TCPConn).CloseWrite() }, deny.BackendLost, 0},
		{"a reset", func(w *wire) { w.conn.(*net.TCPConn).SetLinger(0); w.conn.Close() }, deny.BackendLost, 0},
		{"an end within a frame", func(w *wire) { w.raw(0x81, 5, 'a'); w.conn.(*net.TCPConn).CloseWrite() }, deny.BackendLost, 0},
	} {
		t.Run("SR-82 AT-88 "+tt.name, func(t *testing.T) {
			t.Parallel()
			end := make(chan error, 1)
			f := backendAt(t, func(c net.Conn) {
				_, w := accept(t, c)
				if w == nil {
					return
				}
				w.wantMessage(ws.Text, []byte("go"))
				tt.do(w)
				_, _, err := w.message()
				end <- err
			})
			s := &setup{proxy: Config{To: "ws://" + f.addr, MaxMessageDown: 1 << 20}}
			_, addr := s.start(t)
			c := connect(t, addr)
			c.send(ws.Text, []byte("go"))
			c.wantClose(tt.want.Close(), tt.want.CloseReason())
			e, ok := errors.AsType[*closed](<-end)
			if ok != (tt.code != 0) || ok && (e.code != tt.code || e.reason != tt.want.Title()) {
				t.Errorf("the backend got %+v, want %d", e, tt.code)
			}
			if got := s.reason(t); got != tt.want {
				t.Errorf("ended with %s, want %s", got, tt.want)
			}
		})
	}
}

// A ping of either side is answered by the door and does not pass.
func TestPingsEndAtTheDoor(t *testing.T) {
	pinged := make(chan struct{})
	f := backendAt(t, func(c net.Conn) {
		_, w := accept(t, c)
		w.send(ws.Ping, []byte("backend's"))
		if ev, err := w.event(); err != nil || ev.Kind != ws.PongEvent || string(ev.Data) != "backend's" {
			t.Errorf("the backend got %+v, %v", ev, err)
		}
		w.send(ws.Pong, nil) // unsolicited
		close(pinged)
		w.wantMessage(ws.Text, []byte("end"))
		w.close(1000, "")
		w.message()
	})
	s := &setup{proxy: Config{To: "ws://" + f.addr}}
	_, addr := s.start(t)
	c := connect(t, addr)
	<-pinged
	c.send(ws.Ping, []byte("client's"))
	if ev, err := c.event(); err != nil || ev.Kind != ws.PongEvent || string(ev.Data) != "client's" {
		t.Errorf("the client got %+v, %v", ev, err)
	}
	c.send(ws.Text, []byte("end"))
	c.wantClose(1000, "")
}

// 16 MiB stream through to a client that reads slowly, and the door holds no
// more than its queue.
func TestBigMessageToASlowClient(t *testing.T) {
	const size = 16 << 20
	f := backendAt(t, func(c net.Conn) {
		_, w := accept(t, c)
		c.Write(append([]byte{0x82, 127, 0, 0, 0, 0, 1, 0, 0, 0}, make([]byte, 1<<10)...))
		b := make([]byte, 64<<10)
		for left := size - 1<<10; left > 0; {
			n, err := c.Write(b[:min(left, len(b))])
			if err != nil {
				t.Errorf("the backend could not send: %v", err)
				return
			}
			left -= n
		}
		w.message()
	})
	s := &setup{proxy: Config{To: "ws://" + f.addr}}
	_, addr := s.start(t)
	c := connect(t, addr)
	c.conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	got, most, frames := 0, uint64(0), 0
	b := make([]byte, 256<<10)
	for done := false; !done; {
		n, err := c.in.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		for rest := b[:n]; len(rest) > 0; {
			ev, used, err := c.parser.Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[used:]
			got += len(ev.Data)
			done = done || ev.Last
			frames++
		}
		if frames%64 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
	}
	if got != size {
		t.Errorf("got %d bytes, want %d", got, size)
	}
	if grown := int64(most) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
}

// A client that does not read stops the backend, and is ended.
func TestClientThatNeverReads(t *testing.T) {
	var sent atomic.Int64
	f := backendAt(t, func(c net.Conn) {
		_, w := accept(t, c)
		for {
			if _, err := w.conn.Write(ws.AppendFrame(nil, ws.Server, true, ws.Binary, make([]byte, 16<<10))); err != nil {
				return
			}
			sent.Add(16 << 10)
		}
	})
	s := &setup{proxy: Config{To: "ws://" + f.addr}, guard: guard.Config{WriteWait: time.Second}}
	_, addr := s.start(t)
	connect(t, addr)
	time.Sleep(500 * time.Millisecond) // less than WriteWait: all that the backend could send is in queues
	if n := sent.Load(); n > 32<<20 {
		t.Errorf("the backend could send %d KiB", n>>10)
	}
	if got := s.reason(t); got != deny.GuardSlow {
		t.Errorf("ended with %s", got)
	}
}

// A backend that does not read stops the client, and is given up.
func TestBackendThatNeverReads_SR82(t *testing.T) {
	gone := make(chan struct{})
	f := backendAt(t, func(c net.Conn) {
		accept(t, c)
		<-gone
	})
	limits := fast
	limits.WriteWait = time.Second
	s := &setup{proxy: Config{To: "ws://" + f.addr}, guard: limits}
	_, addr := s.start(t)
	c := connect(t, addr)
	go func() {
		for {
			if _, err := c.conn.Write(ws.AppendFrame(nil, ws.Client, true, ws.Binary, make([]byte, 16<<10))); err != nil {
				return
			}
		}
	}()
	if got := s.reason(t); got != deny.BackendTimeout {
		t.Errorf("ended with %s", got)
	}
	close(gone)
	io.Copy(io.Discard, c.conn)
}

// Back-pressure does not lose or reorder anything: both sides send more than all
// queues hold while neither reads for a while.
func TestBothSidesAreSlowAtOnce(t *testing.T) {
	const n, size = 400, 32 << 10
	talk := func(w *wire) {
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range n {
				b := bytes.Repeat([]byte{byte(i)}, size)
				if _, err := w.conn.Write(ws.AppendFrame(nil, w.role, true, ws.Binary, b)); err != nil {
					t.Errorf("send: %v", err)
					return
				}
			}
		}()
		time.Sleep(200 * time.Millisecond) // until every queue is full
		for i := range n {
			w.wantMessage(ws.Binary, bytes.Repeat([]byte{byte(i)}, size))
			if t.Failed() {
				return
			}
		}
		<-sent
	}
	done := make(chan struct{})
	f := backendAt(t, func(c net.Conn) {
		_, w := accept(t, c)
		talk(w)
		close(done)
		w.message()
	})
	s := &setup{proxy: Config{To: "ws://" + f.addr, Stream: true}}
	_, addr := s.start(t)
	talk(connect(t, addr))
	<-done
}

// quietTLS is an HTTPS server that does not log the handshakes that fail.
func quietTLS() *httptest.Server {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	return srv
}

package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
)

// leg is a backend's end of a relay, handed to a test.
type leg struct {
	*wire
	conn net.Conn
	done chan struct{} // closed by the test: the backend lets go
}

func legs(t *testing.T, hold <-chan struct{}) (*fixture, <-chan leg) {
	all := make(chan leg, 4)
	f := backendAt(t, func(c net.Conn) {
		r, in := request(t, c)
		if r == nil {
			return
		}
		l := leg{newWire(t, c, in, ws.Server), c, make(chan struct{})}
		if hold != nil {
			all <- l
			<-hold
		}
		io.WriteString(c, good(r))
		if hold == nil {
			all <- l
		}
		<-l.done
	})
	return f, all
}

// gone waits for the end of a socket and says how long it took. Bytes that come
// before are dropped.
func gone(t *testing.T, conn net.Conn, began time.Time) {
	t.Helper()
	conn.SetReadDeadline(began.Add(3 * time.Second))
	_, err := io.Copy(io.Discard, conn)
	if timedOut(err) {
		t.Error("the socket is open after 3 s")
		return
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the socket ended after %s", took)
	}
}

// Whatever the two legs are busy with, a revocation ends both within a second.
func TestRevocationEndsBothLegs_SR60(t *testing.T) {
	part := func(role ws.Role, n int) []byte { // half of a frame
		b := ws.AppendFrame(nil, role, true, ws.Binary, make([]byte, n))
		return b[:len(b)-n/2]
	}
	flood := func(w *wire) {
		frame := ws.AppendFrame(nil, w.role, true, ws.Binary, make([]byte, 16<<10))
		for {
			if _, err := w.conn.Write(frame); err != nil {
				return
			}
		}
	}
	for _, tt := range []struct {
		name        string
		busy        func(client *wire, backend leg)
		client, leg bool // reads, so that it is told why
	}{
		{"nothing", func(*wire, leg) {}, true, true},
		{"a message half sent by the client", func(c *wire, _ leg) { c.conn.Write(part(ws.Client, 60<<10)) }, true, true},
		{"a message half sent by the backend", func(_ *wire, l leg) { l.conn.Write(part(ws.Server, 1<<20)) }, true, true},
		{"an upload to a backend that reads", func(c *wire, l leg) { go flood(c); go io.Copy(io.Discard, l.in) }, true, false},
		{"an upload to a backend that does not read", func(c *wire, l leg) { go flood(c) }, true, false},
		{"a download to a client that reads", func(c *wire, l leg) { go flood(l.wire) }, true, true},
		{"a download to a client that does not read", func(c *wire, l leg) { go flood(l.wire) }, false, true},
		{"neither reads", func(c *wire, l leg) { go flood(c); go flood(l.wire) }, false, false},
	} {
		t.Run("SR-60 "+tt.name, func(t *testing.T) {
			f, all := legs(t, nil)
			s := &setup{proxy: Config{To: "ws://" + f.addr, Stream: true}}
			door, addr := s.start(t)
			c := connect(t, addr)
			l := <-all
			defer close(l.done)
			tt.busy(c, l)
			time.Sleep(100 * time.Millisecond)
			began := time.Now()
			if n, err := door.Revoke(context.Background(), guard.Match{Session: alice.Session}); n != 1 || err != nil {
				t.Fatalf("revoked %d, %v", n, err)
			}
			told := make(chan error, 1)
			go func() {
				if !tt.leg {
					told <- nil
					return
				}
				for {
					_, _, err := l.message()
					if err != nil {
						told <- err
						return
					}
				}
			}()
			if tt.client {
				c.wantClose(deny.AuthRevoked.Close(), deny.AuthRevoked.CloseReason())
			}
			if err := <-told; tt.leg {
				if e, ok := errors.AsType[*closed](err); !ok || e.code != 1001 || e.reason != "Unauthorized" {
					t.Errorf("the backend got %v", err)
				}
			}
			gone(t, c.conn, began)
			gone(t, l.conn, began)
		})
	}
}

// A revocation, a drain or an expiry while the connection is opening wins.
func TestStopWhileOpening_SR60(t *testing.T) {
	for _, tt := range []struct {
		name string
		stop func(t *testing.T, d *sallyport.Door)
		want deny.Reason
	}{
		{"revoked", func(t *testing.T, d *sallyport.Door) {
			if n, err := d.Revoke(context.Background(), guard.Match{Session: alice.Session}); n != 1 || err != nil {
				t.Errorf("revoked %d, %v", n, err)
			}
		}, deny.AuthRevoked},
		{"drained", func(t *testing.T, d *sallyport.Door) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if err := d.Drain(ctx); err != nil {
				t.Errorf("drain: %v", err)
			}
		}, deny.Drain},
	} {
		t.Run("SR-60 while the backend withholds its 101: "+tt.name, func(t *testing.T) {
			hold := make(chan struct{})
			f, all := legs(t, hold)
			s := &setup{proxy: Config{To: "ws://" + f.addr}}
			door, addr := s.start(t)
			status := make(chan int, 1)
			go func() {
				response, _ := dial(t, addr, "/ws/", nil)
				status <- response.StatusCode
			}()
			l := <-all
			defer close(l.done)
			defer close(hold)
			began := time.Now()
			tt.stop(t, door)
			if got := <-status; got != tt.want.Status() {
				t.Errorf("got status %d, want %d", got, tt.want.Status())
			}
			gone(t, l.conn, began)
			if got := s.reason(t); got != tt.want {
				t.Errorf("observed %s, want %s", got, tt.want)
			}
		})
		t.Run("SR-60 while the door dials: "+tt.name, func(t *testing.T) {
			p, err := New(Config{To: "ws://192.0.2.1:9"})
			if err != nil {
				t.Fatal(err)
			}
			dialling, ended := make(chan struct{}), make(chan struct{})
			p.connect = func(ctx context.Context, _, _ string) (net.Conn, error) {
				close(dialling)
				<-ctx.Done()
				close(ended)
				return nil, ctx.Err()
			}
			s := &setup{proxy: Config{}}
			door := s.doorTo(t, p)
			addr := s.serve(t, door)
			status := make(chan int, 1)
			go func() {
				response, _ := dial(t, addr, "/ws/", nil)
				status <- response.StatusCode
			}()
			<-dialling
			tt.stop(t, door)
			<-ended
			if got := <-status; got != tt.want.Status() {
				t.Errorf("got status %d, want %d", got, tt.want.Status())
			}
		})
	}
}

// The backend has answered and the client has not been: a stop wins, and the
// backend is told.
func TestStopBeforeTheClientsAnswer_SR60(t *testing.T) {
	f, all := legs(t, nil)
	p, err := New(Config{To: "ws://" + f.addr})
	if err != nil {
		t.Fatal(err)
	}
	s := &setup{id: alice}
	var door *sallyport.Door
	route := routeFunc(func(ctx context.Context, h *sallyport.Handshake) (sallyport.Sink, error) {
		sink, err := p.Open(ctx, h)
		if _, err := door.Revoke(context.Background(), guard.Match{Session: alice.Session}); err != nil {
			t.Error(err)
		}
		return sink, err
	})
	door = s.doorTo(t, route)
	addr := s.serve(t, door)
	if response, _ := dial(t, addr, "/ws/", nil); response.StatusCode != 401 {
		t.Errorf("got status %d", response.StatusCode)
	}
	l := <-all
	defer close(l.done)
	began := time.Now()
	l.wantClose(1001, "Unauthorized")
	gone(t, l.conn, began)
}

type routeFunc func(context.Context, *sallyport.Handshake) (sallyport.Sink, error)

func (f routeFunc) Open(ctx context.Context, h *sallyport.Handshake) (sallyport.Sink, error) {
	return f(ctx, h)
}

// A drain ends every relay on both legs and leaves no goroutine behind: Drain
// waits for them.
func TestDrainEndsRelays(t *testing.T) {
	f, all := legs(t, nil)
	s := &setup{proxy: Config{To: "ws://" + f.addr}}
	door, addr := s.start(t)
	var clients []*wire
	for range 3 {
		clients = append(clients, connect(t, addr))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := door.Drain(ctx); err != nil {
		t.Errorf("drain: %v", err)
	}
	for _, c := range clients {
		c.wantClose(deny.Drain.Close(), deny.Drain.CloseReason())
		l := <-all
		l.wantClose(1001, deny.Drain.Title())
		close(l.done)
	}
}

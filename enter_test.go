package sallyport

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/origin"
)

// A revocation that comes after a credential was found good, and before its
// connection is in the registry, finds nobody there. It must not be lost. From
// outside nothing happens in between, so this looks inside.
func TestRevokedOnTheWay_SR43_AT72(t *testing.T) {
	d, err := New(Config{
		Origin: origin.Config{Trusted: []string{"https://app.example.com"}, Hosts: []string{"app.example.com"}},
		Auth:   auth.Anonymous("a test"),
		Gates:  []Gate{{Path: "/ws", Route: OnMessage(func(*Conn, Message) {})}},
	})
	if err != nil {
		t.Fatal(err)
	}
	visitor := func(name string) (*Conn, error) {
		r := httptest.NewRequest(http.MethodGet, "/ws", nil)
		v := &visit{door: d, policy: d.policy.Load(), gate: d.policy.Load().gates["/ws"], r: r}
		v.id = auth.Identity{Issuer: "test", Subject: name, Credential: name, Method: "anonymous"}
		place, err := d.places.Admit(netip.MustParseAddr("192.0.2.1"))
		if err != nil {
			t.Fatal(err)
		}
		c := d.newConn(v, place)
		return c, d.enter(c)
	}
	if _, err := d.Revoke(t.Context(), guard.Match{Credential: "ada"}); err != nil {
		t.Fatal(err)
	}
	c, err := visitor("ada")
	if deny.Of(err) != deny.AuthRevoked || c.Reason() != deny.AuthRevoked {
		t.Errorf("SR-43 entered with a revoked credential: got %v and %v, want auth.revoked", err, c.Reason())
	}
	c, err = visitor("bob")
	if err != nil || c.Reason() != 0 {
		t.Errorf("bob was not let in: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.Drain(ctx)
}

// taken is a socket that tells when a connection has it, and keeps what the
// connection sets.
type taken struct {
	net.Conn
	tell func()
	left atomic.Int64 // until the last deadline of reading, when it was set
}

func (s *taken) NetConn() net.Conn { // whoever takes a socket looks below it
	if tell := s.tell; tell != nil {
		s.tell = nil
		tell()
	}
	return s.Conn
}

func (s *taken) SetDeadline(until time.Time) error {
	s.left.Store(int64(time.Until(until)))
	return s.Conn.SetDeadline(until)
}

func (s *taken) SetReadDeadline(until time.Time) error {
	s.left.Store(int64(time.Until(until)))
	return s.Conn.SetReadDeadline(until)
}

// A route closes a connection while it goes live, and a stop follows at once: it
// hurries an ending whose link was not there yet.
func TestAStopMeetsAGoodbyeOnTheWay_SR43(t *testing.T) {
	d, err := New(Config{
		Origin: origin.Config{Trusted: []string{"https://app.example.com"}, Hosts: []string{"app.example.com"}},
		Auth:   auth.Anonymous("a test"),
		Gates:  []Gate{{Path: "/ws", Route: OnMessage(func(*Conn, Message) {})}},
	})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer far.Close()
	socket := &taken{Conn: near}
	v := &visit{
		door: d, policy: d.policy.Load(), gate: d.policy.Load().gates["/ws"], taken: socket,
		r: httptest.NewRequest(http.MethodGet, "/ws", nil), offer: ws.Offer{Key: ws.NewKey()},
	}
	v.id = auth.Identity{Issuer: "test", Subject: "ada", Method: "anonymous"}
	place, err := d.places.Admit(netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	c := d.newConn(v, place)
	if err := d.enter(c); err != nil {
		t.Fatal(err)
	}
	defer d.openings.Done()
	sink, err := v.gate.Route.Open(t.Context(), v.handshake(c))
	if err != nil {
		t.Fatal(err)
	}
	closed, stopped := make(chan struct{}), make(chan struct{})
	socket.tell = func() {
		go func() { c.Close(1000, ""); close(closed) }()
		for c.Reason() == 0 {
			runtime.Gosched()
		}
		go func() { c.stop(deny.AuthRevoked, nil); close(stopped) }()
		select {
		case <-stopped:
		case <-time.After(50 * time.Millisecond): // it waits for us
		}
	}
	c.goLive(v, "", sink)
	<-closed
	<-stopped
	if left := time.Duration(socket.left.Load()); left <= 0 || left > link.Linger {
		t.Errorf("the socket is kept for %s after a stop, want %s", left, link.Linger)
	}
	c.live().Start(nil)
	far.Close()
	d.sockets.Wait()
}

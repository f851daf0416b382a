package sallyport_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/sallyporttest"
)

// named admits whoever says a name in a bearer token: "ada", or "ada;5s" for a
// credential that ends so soon.
type named struct{}

func (named) Authenticate(_ context.Context, r *http.Request) (auth.Identity, error) {
	token, ok := auth.BearerFrom(r)
	if !ok {
		return auth.Identity{}, auth.ErrNoCredentials
	}
	name, life, _ := strings.Cut(token, ";")
	id := auth.Identity{Issuer: "test", Subject: name, Session: "session-of-" + name, Credential: "credential-of-" + name, Method: "named", IssuedAt: time.Now()}
	if d, err := time.ParseDuration(life); err == nil {
		id.Expires = time.Now().Add(d)
	}
	return id, nil
}

func (named) Judge(id auth.Identity) error {
	if id.Method != "named" {
		return auth.ErrNoCredentials
	}
	return nil
}

func as(name string) sallyporttest.Options {
	return sallyporttest.Options{Path: "/ws", Header: http.Header{"Authorization": {"Bearer " + name}}}
}

// echo sends every message back.
var echo = sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) { c.Post(m) })

func config(change func(*sallyport.Config)) sallyport.Config {
	c := sallyport.Config{
		Origin: origin.Config{Trusted: []string{"https://app.example.com"}, Hosts: []string{"app.example.com"}},
		Auth:   auth.First(named{}),
		Gates:  []sallyport.Gate{{Path: "/ws", Route: echo}},
		API:    sallyport.API{Origin: "https://app.example.com"},
	}
	if change != nil {
		change(&c)
	}
	return c
}

// bubble runs f with a served door, under synctest.
func bubble(t *testing.T, change func(*sallyport.Config), f func(*testing.T, *sallyport.Door, *sallyporttest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		door, err := sallyport.New(config(change))
		if err != nil {
			t.Fatal(err)
		}
		s := sallyporttest.Serve(t, door)
		f(t, door, s)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := door.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		s.Close()
	})
}

func wantReason(t *testing.T, c *sallyporttest.Client, r deny.Reason) {
	t.Helper()
	c.WantClose(r.Close(), r.CloseReason())
}

func TestEcho(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		c.Text("hello")
		c.WantText("hello")
		c.Raw(ws.AppendFrame(nil, ws.Client, false, ws.Text, []byte("a ")))
		c.Raw(ws.AppendFrame(nil, ws.Client, true, ws.Ping, []byte("?")))
		c.Raw(ws.AppendFrame(nil, ws.Client, true, ws.Continuation, []byte("b")))
		c.WantText("a b")
		c.Close(1000, "bye")
		c.WantClose(1000, "")
	})
}

func TestIdleEndsWith4000_SR61(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		began := time.Now()
		wantReason(t, c, deny.GuardIdle)
		if got := time.Since(began); got != time.Minute {
			t.Errorf("ended after %s, want 1m0s", got)
		}
	})
}

func TestDataKeepsAliveAndPongsDoNot_SR61(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		began := time.Now()
		for range 2 {
			time.Sleep(20 * time.Second)
			c.Text("still here")
			c.WantText("still here")
		}
		wantReason(t, c, deny.GuardIdle) // although the client answers pings
		if got := time.Since(began); got != 100*time.Second {
			t.Errorf("ended after %s, want 1m40s", got)
		}
	})
}

func TestSilentPeerIsLost_SR61(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		c.Mute()
		began := time.Now()
		_, err := c.Receive()
		if err == nil || time.Since(began) != 35*time.Second {
			t.Errorf("got %v after %s, want a reset after 35s", err, time.Since(began))
		}
	})
}

func TestExpiryEnds_SR42(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada;5s"))
		began := time.Now()
		wantReason(t, c, deny.AuthExpired)
		if got := time.Since(began); got > 5*time.Second+time.Second {
			t.Errorf("ended after %s", got)
		}
	})
}

func TestRevokeEnds_SR43_AT72(t *testing.T) {
	bubble(t, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		ada, bob := s.Connect(t, as("ada")), s.Connect(t, as("bob"))
		n, err := door.Revoke(t.Context(), guard.Match{Issuer: "test", Subject: "ada"})
		if n != 1 || err != nil {
			t.Fatalf("revoked %d, %v", n, err)
		}
		wantReason(t, ada, deny.AuthRevoked)
		bob.Text("untouched")
		bob.WantText("untouched")
		again := s.Connect(t, as("ada"))
		wantReason(t, again, deny.AuthRevoked)
	})
}

func TestAnAuthenticatorAloneRefusesTheUnknown(t *testing.T) {
	bubble(t, func(c *sallyport.Config) { c.Auth = named{} }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		wantReason(t, s.Connect(t, sallyporttest.Options{Path: "/ws"}), deny.AuthMissing)
	})
}

package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/sallyporttest"
)

// The client against the door itself, in memory.

// named admits whoever says a name in a bearer token: "ada", or "ada;5s" for a
// credential that ends so soon.
type named struct{}

func (named) Authenticate(_ context.Context, r *http.Request) (auth.Identity, error) {
	token, ok := auth.BearerFrom(r)
	if !ok {
		return auth.Identity{}, auth.ErrNoCredentials
	}
	name, life, _ := strings.Cut(token, ";")
	if name == "mallory" {
		return auth.Identity{}, deny.Because(deny.AuthInvalid, nil)
	}
	id := auth.Identity{Issuer: "test", Subject: name, Session: "session-of-" + name, Credential: "credential-of-" + name, Method: "named", IssuedAt: time.Now()}
	if d, err := time.ParseDuration(life); err == nil {
		id.Expires = time.Now().Add(d)
	}
	return id, nil
}

func (named) Judge(id auth.Identity) error { return nil }

// site is a door, in memory, that may be replaced by another.
type site struct {
	t      *testing.T
	mu     sync.Mutex // guards what follows
	door   *sallyport.Door
	server *sallyporttest.Server
	dials  atomic.Int32
}

var echo = sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) { c.Post(m) })

func (s *site) start(change func(*sallyport.Config)) {
	s.t.Helper()
	tickets, err := ticket.New(ticket.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	config := sallyport.Config{
		Origin:  origin.Config{Trusted: []string{"https://app.example.com"}, Hosts: []string{"app.example.com"}, Without: origin.AllowBearer},
		Auth:    auth.First(named{}, tickets),
		Tickets: tickets,
		Gates:   []sallyport.Gate{{Path: "/ws", Route: echo}},
		API:     sallyport.API{Origin: "https://app.example.com"},
	}
	if change != nil {
		change(&config)
	}
	door, err := sallyport.New(config)
	if err != nil {
		s.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/sallyport/", door.Endpoints())
	mux.Handle("/", door)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.door, s.server = door, sallyporttest.Serve(s.t, mux)
}

// stop drains the door, as a program does that ends.
func (s *site) stop(within time.Duration) {
	s.mu.Lock()
	door, server := s.door, s.server
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := door.Drain(ctx); err != nil {
		s.t.Errorf("drain: %v", err)
	}
	server.Close()
}

func (s *site) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	server := s.server
	s.mu.Unlock()
	s.dials.Add(1)
	return server.Dial(ctx)
}

func atDoor(t *testing.T, change func(*sallyport.Config), f func(t *testing.T, s *site, o client.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t}
		s.start(change)
		f(t, s, client.Options{
			NetDial: s.dial, DangerouslyAllowPlaintext: "a test in memory",
			Token: func(context.Context, client.Why) (string, error) { return "ada", nil },
		})
		s.stop(5 * time.Second)
	})
}

const doorURL = "ws://app.example.com/ws"

func text(s string) client.Message { return client.Message{Kind: client.Text, Data: []byte(s)} }

func newClient(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(doorURL, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func exchange(t *testing.T, c *client.Client, s string) {
	t.Helper()
	if err := c.Send(t.Context(), text(s)); err != nil {
		t.Fatalf("send %q: %v", s, err)
	}
	m, err := c.Receive(t.Context())
	if err != nil || string(m.Data) != s {
		t.Fatalf("got %q, %v, want %q", m.Data, err, s)
	}
}

func closeAll(t *testing.T, c interface{ Close(context.Context) error }) {
	t.Helper()
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestDoor(t *testing.T) {
	for _, plain := range []bool{false, true} {
		atDoor(t, nil, func(t *testing.T, s *site, o client.Options) {
			o.Plain = plain
			c, err := client.Dial(t.Context(), doorURL, &o)
			if err != nil {
				t.Fatal(err)
			}
			if c.Speaks() == plain {
				t.Errorf("plain %t, speaks %t", plain, c.Speaks())
			}
			long := strings.Repeat("ü", 30_000)
			for _, want := range []string{"", "hello", "\x01{}", long} {
				if err := c.Send(t.Context(), text(want)); err != nil {
					t.Fatal(err)
				}
				if m, err := c.Receive(t.Context()); err != nil || string(m.Data) != want || m.Kind != client.Text {
					t.Fatalf("got %.20q, %v, want %.20q", m.Data, err, want)
				}
			}
			closeAll(t, c)
		})
	}
}

func TestDoorRefuses(t *testing.T) {
	for _, refuse := range []sallyport.Refuse{sallyport.RefuseClose, sallyport.RefuseHTTP} {
		for _, plain := range []bool{false, true} {
			atDoor(t, func(c *sallyport.Config) { c.Gates[0].Refuse = refuse }, func(t *testing.T, s *site, o client.Options) {
				o.Plain = plain
				o.Token = func(context.Context, client.Why) (string, error) { return "mallory", nil }
				_, err := client.Dial(t.Context(), doorURL, &o)
				refused, ok := errors.AsType[*client.RefusedError](err)
				if !ok || refused.Reason != deny.AuthInvalid {
					t.Errorf("refuse %v, plain %t: got %v", refuse, plain, err)
				}
				o.Token, o.Header = nil, http.Header{"Origin": {"https://evil.example"}}
				_, err = client.Dial(t.Context(), doorURL, &o)
				if refused, ok := errors.AsType[*client.RefusedError](err); !ok || refused.Reason != deny.OriginUntrusted {
					t.Errorf("refuse %v, plain %t: got %v", refuse, plain, err)
				}
			})
		}
	}
}

func TestDoorWithTickets(t *testing.T) {
	atDoor(t, nil, func(t *testing.T, s *site, o client.Options) {
		o.TicketURL = "http://app.example.com/sallyport/ticket"
		var whys []client.Why
		o.Token = func(_ context.Context, why client.Why) (string, error) {
			whys = append(whys, why)
			return "ada;100s", nil
		}
		c := newClient(t, o)
		for range 10 {
			exchange(t, c, "x")
			time.Sleep(50 * time.Second)
		}
		synctest.Wait() // a renewal may be due at this very moment
		if n := len(slices.Collect(s.door.Conns())); n != 1 {
			t.Errorf("%d connections", n)
		}
		if len(whys) < 5 || whys[0] != client.Connecting || slices.ContainsFunc(whys[1:], func(w client.Why) bool { return w != client.Expiring }) {
			t.Errorf("asked for credentials because of %q", whys)
		}
		if end := c.Conn().Context().Err(); end != nil {
			t.Errorf("the connection ended: %v", end)
		}
		closeAll(t, c)
	})
}

func TestDoorSignedOut(t *testing.T) {
	atDoor(t, nil, func(t *testing.T, s *site, o client.Options) {
		o.TicketURL = "http://app.example.com/sallyport/ticket"
		signedOut := false
		o.Token = func(context.Context, client.Why) (string, error) {
			if signedOut {
				return "mallory", nil
			}
			return "ada", nil
		}
		c := newClient(t, o)
		exchange(t, c, "x")
		signedOut = true
		if _, err := s.door.Revoke(t.Context(), guard.Match{Issuer: "test", Subject: "ada"}); err != nil {
			t.Fatal(err)
		}
		_, err := c.Receive(t.Context())
		if !errors.Is(err, client.ErrUnauthenticated) || c.State().Status != client.Ended {
			t.Errorf("got %v, %+v", err, c.State())
		}
		dials := s.dials.Load()
		time.Sleep(time.Hour)
		if s.dials.Load() != dials {
			t.Errorf("it tried again")
		}
		closeAll(t, c)
	})
}

func TestDoorRenewsByToken(t *testing.T) {
	atDoor(t, nil, func(t *testing.T, s *site, o client.Options) {
		o.Token = func(context.Context, client.Why) (string, error) { return "ada;60s", nil }
		c, err := client.Dial(t.Context(), doorURL, &o)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			time.Sleep(30 * time.Second)
			if err := c.Send(t.Context(), text("x")); err != nil {
				t.Fatal(err)
			}
		}
		closeAll(t, c)
	})
}

// TestDoorIdle: after guard.idle a client comes back when it is used.
func TestDoorIdle(t *testing.T) {
	atDoor(t, nil, func(t *testing.T, s *site, o client.Options) {
		c := newClient(t, o)
		exchange(t, c, "x")
		time.Sleep(10 * time.Minute)
		if s := c.State(); s.Status != client.Idle {
			t.Errorf("got %+v", s)
		}
		exchange(t, c, "y")
		if got := s.dials.Load(); got != 2 {
			t.Errorf("%d connections", got)
		}
		closeAll(t, c)
	})
}

// TestRollingRestart: a door is replaced by another while clients are busy. They
// move within the time that they are given, each is connected throughout, and
// every message that was accepted comes back or is reported as unknown.
func TestRollingRestart(t *testing.T) {
	const n = 50
	atDoor(t, func(c *sallyport.Config) { c.Limits.PerSubject = 2 * n; c.Limits.PerAddress = 2 * n }, func(t *testing.T, s *site, o client.Options) {
		var unknown, lost, back atomic.Int32
		o.OnUnknown = func(m []client.Message) { unknown.Add(int32(len(m))) }
		o.OnState = func(st client.State) {
			if st.Status == client.Waiting {
				lost.Add(1)
			}
		}
		var busy, done sync.WaitGroup
		var accepted atomic.Int32
		var clients []*client.Client
		for range n {
			c := newClient(t, o)
			clients = append(clients, c)
			done.Go(func() {
				for range c.Messages(context.Background()) {
					back.Add(1)
				}
			})
			busy.Go(func() {
				for i := range 100 {
					if err := c.Send(context.Background(), text(fmt.Sprint(i))); err != nil {
						t.Error(err)
					} else {
						accepted.Add(1)
					}
					time.Sleep(500 * time.Millisecond)
				}
			})
		}
		time.Sleep(10 * time.Second)
		old := s.door
		s.mu.Lock()
		oldServer := s.server
		s.mu.Unlock()
		s.start(func(c *sallyport.Config) { c.Limits.PerSubject = 2 * n; c.Limits.PerAddress = 2 * n })
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := old.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		oldServer.Close()
		busy.Wait()
		for _, c := range clients {
			closeAll(t, c)
		}
		done.Wait()
		if got := s.dials.Load(); got != 2*n {
			t.Errorf("%d connections of %d clients", got, n)
		}
		if lost.Load() != 0 {
			t.Errorf("%d clients had no connection for a while", lost.Load())
		}
		if accepted.Load() != 100*n || back.Load() != accepted.Load() || unknown.Load() != 0 {
			t.Errorf("%d accepted, %d came back, %d unknown", accepted.Load(), back.Load(), unknown.Load())
		}
	})
}

// TestTLS_SR01_SR03: a server that TLS cannot verify gets nothing.
func TestTLS_SR01_SR03(t *testing.T) {
	door, err := sallyport.New(sallyport.Config{
		Origin: origin.Config{Trusted: []string{"https://app.example.com"}, Hosts: []string{"127.0.0.1", "example.com"}, Without: origin.AllowBearer},
		Auth:   auth.First(named{}),
		Gates:  []sallyport.Gate{{Path: "/ws", Route: echo}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(door)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the clients break off as they should
	server.StartTLS()
	defer server.Close()
	defer door.Drain(context.Background())
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	asked := 0
	o := client.Options{Token: func(context.Context, client.Why) (string, error) { asked++; return "ada", nil }}
	url := "wss" + strings.TrimPrefix(server.URL, "https") + "/ws"

	if _, err := client.Dial(t.Context(), url, &o); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: got %v", err)
	}
	o.TLS = &tls.Config{RootCAs: roots, ServerName: "another.example"}
	if _, err := client.Dial(t.Context(), url, &o); err == nil || !strings.Contains(err.Error(), "another.example") {
		t.Errorf("another name: got %v", err)
	}
	o.TLS = &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12}
	if _, err := client.Dial(t.Context(), url, &o); err == nil {
		t.Error("TLS 1.2 was spoken without being asked for by name")
	}
	o.TLS = &tls.Config{RootCAs: roots}
	c, err := client.Dial(t.Context(), url, &o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(t.Context(), text("x")); err != nil {
		t.Error(err)
	}
	if m, err := c.Receive(t.Context()); err != nil || string(m.Data) != "x" {
		t.Errorf("got %q, %v", m.Data, err)
	}
	closeAll(t, c)
}

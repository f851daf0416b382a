package sallyport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
)

// A server behind that cleans, decodes, cuts or lower-cases a path must not
// find itself behind another gate than the one whose policy was asked.
func TestPathsThatLeaveTheirGate_SR87_AT89(t *testing.T) {
	tests := map[string]int{
		"/public/x":                          101,
		"/public/":                           101,
		"/public/a%2fb":                      101,
		"/public/A;v=1/b":                    101,
		"/public//b":                         101,
		"/public/x/../y":                     101,
		"/public/100%25":                     101,
		"/public/%25/%252e%252e/x":           101,
		"/public/%25%32%65%25%32%65/admin/x": 400,
		"/public/%25/%252e%252e/%252e%252e/admin/x": 400,
		"/public/%zz":              400,
		"/public/../admin/x":       400,
		"/public/%2e%2e/admin/x":   400,
		"/public/..;/admin/x":      400,
		"/public/%252e%252e/admin": 400,
		`/public/..\admin/x`:       400,
		"/public/../elsewhere":     400,
		"/public/../sallyport/x":   400,
		"/public/inner/":           400, // /public/inner is a gate of its own
		"/public/Inner":            400,
		"/Upper/x":                 101,
		"/Upper/../admin/x":        400,
	}
	for path, want := range tests {
		t.Run("SR-87 AT-89 "+path, func(t *testing.T) {
			bubble(t, func(c *sallyport.Config) {
				everybody := auth.Anonymous("a test")
				c.Gates = []sallyport.Gate{
					{Path: "/public/", Route: echo, Auth: everybody}, {Path: "/admin/", Route: echo},
					{Path: "/public/inner", Route: echo}, {Path: "/Upper/", Route: echo, Auth: everybody},
				}
			}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				if got := s.Try(t, sallyporttest.Options{Path: path}).Response.StatusCode; got != want {
					t.Errorf("got %d, want %d", got, want)
				}
			})
		})
	}
}

// Messages without a byte fill the queue before a stuck handler too.
func TestEmptyMessagesFillTheInbox_SR71_SR75(t *testing.T) {
	stuck := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		<-ctx.Done()
		return nil
	})
	bubble(t, func(c *sallyport.Config) {
		c.Gates[0].Route, c.Guard = stuck, guard.Config{Messages: 1_000_000, RouteWait: 10 * time.Second}
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		done := flood(c, ws.AppendFrame(nil, ws.Client, true, ws.Binary, nil), time.Millisecond)
		wantReason(t, c, deny.RouteStuck)
		<-done
	})
}

// What is remembered of a refusal is small, whatever was sent.
func TestRefusalsRememberLittle_SR73_SR75(t *testing.T) {
	door, err := sallyport.New(config(nil))
	if err != nil {
		t.Fatal(err)
	}
	var asked sync.WaitGroup
	asked.Add(64)
	s := sallyporttest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer asked.Done()
		door.ServeHTTP(w, r)
	}))
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			c := s.Try(t, sallyporttest.Options{Path: "/ws", Origin: fmt.Sprintf("https://%d.example/%s", i, strings.Repeat("x", 512<<10))})
			c.Socket().Close()
		})
	}
	wg.Wait()
	asked.Wait()
	s.Close()
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("64 refusals hold %d KiB", grown>>10)
	}
	runtime.KeepAlive(door)
}

// panics panics where it is told to.
type panics string

func (p panics) at(place string) {
	if string(p) == place {
		panic("boom")
	}
}

func (p panics) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	p.at("Authenticate")
	return named{}.Authenticate(ctx, r)
}

func (panics) Judge(id auth.Identity) error { return named{}.Judge(id) }

func (panics) Every() (interval, grace time.Duration) { return time.Second, time.Second }

func (p panics) Recheck(_ context.Context, id auth.Identity) (auth.Identity, error) {
	p.at("Recheck")
	return id, nil
}

func (p panics) Open(context.Context, *sallyport.Handshake) (sallyport.Sink, error) {
	p.at("Open")
	return p, nil
}

func (p panics) Opened(*sallyport.Conn)                     { p.at("Opened") }
func (p panics) Message(*sallyport.Conn, sallyport.Message) { p.at("Message") }
func (p panics) Closed(*sallyport.Conn, deny.Reason)        { p.at("Closed") }

func (p panics) Leaving(c *sallyport.Conn, code uint16, _ string) {
	p.at("Leaving")
	c.Close(code, "")
}

// No code that a program brings can end the process, keep a place or keep a
// socket by panicking.
func TestPanicsEndOneConnection_SR76(t *testing.T) {
	for _, place := range []string{"Authenticate", "Open", "Opened", "Message", "Leaving", "Closed", "Recheck", "Observe"} {
		t.Run("SR-76 "+place, func(t *testing.T) {
			p := panics(place)
			bubble(t, func(c *sallyport.Config) {
				c.Auth, c.Gates[0].Route, c.Limits.PerSubject, c.Limits.Connections = auth.First(p), p, 1, 1
				c.Observe = func(sallyport.Event) { p.at("Observe") }
			}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				for range 3 { // the only place is free again each time
					c := s.Try(t, as("ada"))
					switch place {
					case "Authenticate", "Open":
						if got := c.Response.StatusCode; got != deny.Internal.Status() {
							t.Errorf("got status %d, want 500", got)
						}
					case "Opened", "Message", "Recheck":
						c.Text("x")
						wantReason(t, c, deny.Internal)
					case "Leaving":
						c.Close(1000, "")
						wantReason(t, c, deny.Internal)
					default:
						c.Close(1000, "")
						c.WantClose(1000, "")
					}
					c.Socket().Close()
					synctest.Wait()
				}
			})
		})
	}
}

// handled makes identities with a handle, as forward-auth does.
type handled struct{ named }

func (h handled) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	id, err := h.named.Authenticate(ctx, r)
	id.Handle = []byte("Cookie: secret")
	return id, err
}

// Events go to logs: what the door asks again with, perhaps the browser's
// cookies, is not among them.
func TestEventsHoldNoHandle_SR93(t *testing.T) {
	var kinds []sallyport.EventKind
	bubble(t, func(c *sallyport.Config) {
		c.Auth = auth.First(handled{})
		c.Observe = func(e sallyport.Event) {
			if kinds = append(kinds, e.Kind); e.Identity.Handle != nil {
				t.Errorf("%s: the event holds %q", e.Kind, e.Identity.Handle)
			}
		}
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		c.Close(1000, "")
		c.WantClose(1000, "")
	})
	if len(kinds) != 2 {
		t.Errorf("saw %v", kinds)
	}
}

// A connection that only flushes what is queued has not ended yet: a revocation
// still stops it within a second.
func TestRevokeWhileFlushing_SR43_AT72(t *testing.T) {
	leave := sallyport.OnMessage(func(c *sallyport.Conn, _ sallyport.Message) {
		for c.Post(sallyport.Message{Kind: sallyport.Binary, Data: make([]byte, 64<<10)}) == nil {
		}
		c.Close(1000, "")
	})
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = leave }, func(t *testing.T, d *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		c.Text("x")
		time.Sleep(time.Second) // the client reads nothing
		if _, err := d.Revoke(t.Context(), guard.Match{Issuer: "test", Subject: "ada"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n, err := io.Copy(io.Discard, c.Socket()); n > 64<<10 {
			t.Errorf("%d bytes came after the revocation, %v", n, err)
		}
	})
}

// meanwhile calls itself when the door drops remembered verdicts: between a
// revocation and the end of the connections that it names.
type meanwhile struct {
	named
	do *func()
}

func (m meanwhile) ForgetAll() { (*m.do)() }

// Nobody renews out of a revocation that has been made: revoke is final.
func TestRenewCannotOvertakeRevoke_SR43_AT72(t *testing.T) {
	do := func() {}
	var conn *sallyport.Conn
	bubble(t, func(c *sallyport.Config) {
		c.Auth = auth.First(meanwhile{do: &do})
		c.Gates[0].Route = sallyport.OnMessage(func(c *sallyport.Conn, _ sallyport.Message) { conn = c })
	}, func(t *testing.T, d *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		c.Text("x")
		synctest.Wait()
		do = func() {
			fresh := conn.Identity()
			fresh.Credential = "another"
			if err := d.Renew(conn, fresh); deny.Of(err) != deny.AuthRevoked {
				t.Errorf("renewed: %v", err)
			}
		}
		if n, err := d.Revoke(t.Context(), guard.Match{Credential: "credential-of-ada"}); n != 1 || err != nil {
			t.Errorf("revoked %d connections, %v, want 1", n, err)
		}
		do = func() {}
		wantReason(t, c, deny.AuthRevoked)
	})
}

// A pause that meets its end leaves nothing behind: what drained at the same
// moment is not stuck a minute later.
func TestPauseMeetsUnpause_SR74(t *testing.T) {
	var conn *sallyport.Conn
	bubble(t, func(c *sallyport.Config) {
		c.Guard = guard.Config{Idle: time.Hour, RouteWait: time.Second}
		c.Gates[0].Route = sallyport.OnMessage(func(c *sallyport.Conn, _ sallyport.Message) { conn = c })
	}, func(t *testing.T, d *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		c.Text("x")
		synctest.Wait()
		go c.Receive() // answers pings
		for range 50000 {
			var both sync.WaitGroup
			both.Go(conn.Pause)
			both.Go(conn.Unpause)
			both.Wait()
			conn.Unpause()
			time.Sleep(time.Second + 1)
			if why := conn.Reason(); why != 0 {
				t.Fatalf("ended with %s", why)
			}
		}
	})
}

// One request of nobody does not touch the connections of everybody.
func TestNobodyRenewsNothing_SR42_AT55(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		renewed := 0
		s := newSite(t, func(c *sallyport.Config) {
			c.Gates = append(c.Gates, sallyport.Gate{Path: "/open", Route: echo, Auth: auth.Anonymous("a test")})
			c.Observe = func(e sallyport.Event) {
				if e.Kind == sallyport.Renewed {
					renewed++
				}
			}
		})
		defer s.close()
		for range 3 {
			s.server.Connect(t, sallyporttest.Options{Path: "/open"})
		}
		if got, _, _ := s.call("POST", "/sallyport/renew", `{"gate":"/open"}`, asJSON, "Origin: "+own); got != 409 || renewed != 0 {
			t.Errorf("got %d and %d renewals, want 409 and none", got, renewed)
		}
	})
}

// fullStore keeps no revocation.
type fullStore struct{}

func (fullStore) Add(context.Context, guard.Revocation) error { return errors.New("the disk is full") }
func (fullStore) Load(context.Context) ([]guard.Revocation, error) {
	return nil, nil
}

// Who signs out is out, also when the revocation cannot be kept.
func TestSignOutFailsClosed_SR43_SR91(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(c *sallyport.Config) { c.Revocations = fullStore{} })
		defer s.close()
		c := s.connect(s.ticket(s.page()...))
		if got, _, _ := s.call("POST", "/sallyport/logout", "{}", s.page()...); got != 500 {
			t.Errorf("got %d, want 500", got)
		}
		began := time.Now()
		wantReason(t, c, deny.AuthSignedOut)
		if got := time.Since(began); got > time.Second {
			t.Errorf("ended after %s", got)
		}
	})
}

// stuck answers re-checks of ada only.
type stuck struct {
	named
	until chan struct{}
}

func (stuck) Every() (interval, grace time.Duration) { return 10 * time.Second, 20 * time.Second }

func (s stuck) Recheck(_ context.Context, id auth.Identity) (auth.Identity, error) {
	if id.Subject != "ada" {
		<-s.until
	}
	return id, nil
}

// A connection about which nobody can be asked ends after the grace time, also
// if the re-checks of others are what is in the way.
func TestRecheckThatCannotBeAsked_SR43_SR91(t *testing.T) {
	var until chan struct{}
	bubble(t, func(c *sallyport.Config) {
		until = make(chan struct{})
		c.Auth, c.Guard.Idle = auth.First(stuck{until: until}), time.Hour
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		defer func() { close(until); synctest.Wait() }()
		for i := range 32 {
			go s.Connect(t, as(fmt.Sprint("other", i))).Receive()
		}
		time.Sleep(15 * time.Second)
		c := s.Connect(t, as("ada"))
		began := time.Now()
		wantReason(t, c, deny.AuthUnavailable)
		if got := time.Since(began); got > 35*time.Second {
			t.Errorf("ended after %s", got)
		}
	})
}

// until opens at the moment at which the credential ends.
type until struct{ sallyport.Route }

func (u until) Open(ctx context.Context, h *sallyport.Handshake) (sallyport.Sink, error) {
	time.Sleep(time.Until(h.Identity.Expires))
	return u.Route.Open(ctx, h)
}

// The end of the credential is asked once more before the 101, not left to the
// clock's goroutine.
func TestNoneGoesLiveExpired_SR42(t *testing.T) {
	for range 50 {
		bubble(t, func(c *sallyport.Config) {
			c.Gates[0].Route, c.Gates[0].Refuse = until{echo}, sallyport.RefuseHTTP
		}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
			if got := s.Try(t, as("ada;5s")).Response.StatusCode; got != 401 {
				t.Fatalf("got %d, want 401", got)
			}
		})
	}
}

// A response that streams through a gate ends as a connection does, whatever
// its handler thinks of its context.
func TestGuardedStreamsEnd_SR42_SR43_AT72(t *testing.T) {
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			time.Sleep(100 * time.Millisecond)
			if _, err := w.Write([]byte("news\n")); err != nil {
				return
			}
			if http.NewResponseController(w).Flush() != nil {
				return
			}
		}
	})
	ends := map[string]func(*testing.T, *sallyport.Door){
		"AT-72 by a revocation": func(t *testing.T, d *sallyport.Door) {
			d.Revoke(t.Context(), guard.Match{Issuer: "test", Subject: "ada"})
		},
		"by a reload": func(t *testing.T, d *sallyport.Door) {
			d.Reload(config(func(c *sallyport.Config) { c.Gates[0].Path = "/other" }))
		},
		"SR-42 by the end of the credential": func(*testing.T, *sallyport.Door) { time.Sleep(10 * time.Second) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(c *sallyport.Config) { c.Gates[0].HTTP = stream }, func(t *testing.T, d *sallyport.Door, s *sallyporttest.Server) {
				socket, err := s.Dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer socket.Close()
				io.WriteString(socket, "GET /ws HTTP/1.1\r\nHost: app.example.com\r\nAuthorization: Bearer ada;10s\r\n\r\n")
				heard := make(chan time.Time)
				go func() {
					n, _ := io.Copy(io.Discard, socket)
					if n == 0 {
						t.Error("the stream did not begin")
					}
					heard <- time.Now()
				}()
				time.Sleep(5 * time.Second)
				d.Rejudge() // changes nothing
				began := time.Now()
				end(t, d)
				if strings.HasPrefix(name, "SR-42") {
					began = began.Add(5 * time.Second)
				}
				if got := (<-heard).Sub(began); got < 0 || got > time.Second {
					t.Errorf("the stream ended after %s", got)
				}
			})
		})
	}
}

// slowLeaver never ends what its client has left.
type slowLeaver struct{ panics }

func (slowLeaver) Message(c *sallyport.Conn, _ sallyport.Message) {
	for c.Post(sallyport.Message{Kind: sallyport.Binary, Data: make([]byte, 64<<10)}) == nil {
	}
}
func (slowLeaver) Leaving(*sallyport.Conn, uint16, string) {}
func (s slowLeaver) Open(context.Context, *sallyport.Handshake) (sallyport.Sink, error) {
	return s, nil
}

// A client that said goodbye has 5 s, not 5 s for the route and 5 s for the queue.
func TestGoodbyeTakesFiveSeconds_SR56_AT39(t *testing.T) {
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = slowLeaver{} }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		c.Text("x")
		c.Close(1000, "")
		time.Sleep(6 * time.Second)
		if n, err := io.Copy(io.Discard, c.Socket()); err == nil {
			t.Errorf("after 6 s there are still %d bytes, and no reset", n)
		}
	})
}

// A socket that was taken from the HTTP server is answered and given back, also
// when the route panics over a connection that never went live.
func TestPanicBeforeTheLinkKeepsNoSocket_SR76(t *testing.T) {
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = panics("Closed") }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		socket, err := s.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		io.WriteString(socket, "GET /ws HTTP/1.1\r\nHost: app.example.com\r\nOrigin: https://app.example.com\r\nAuthorization: Bearer ada\r\n"+
			"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly")
		socket.SetReadDeadline(time.Now().Add(2 * time.Second))
		if got, err := io.ReadAll(socket); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 400 ") {
			t.Errorf("got %.40q, %v; want 400 and the end", got, err)
		}
	})
}

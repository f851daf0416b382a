package sallyport_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/sallyporttest"
)

// The tests of this file each bite on a check whose removal nothing else
// noticed; test/mutants removes them again.

// routeOf is a route that is asked by a function.
type routeOf func(h *sallyport.Handshake) (sallyport.Sink, error)

func (f routeOf) Open(_ context.Context, h *sallyport.Handshake) (sallyport.Sink, error) { return f(h) }

// A route, and the backend behind it, learns neither the ticket nor what is
// between the client and the door.
func TestRouteSeesNoTicket_SR39(t *testing.T) {
	seen := ""
	bubble(t, func(c *sallyport.Config) {
		c.Auth = named{} // not First, for which a ticket beside a bearer is one too many
		c.Gates[0].Route = routeOf(func(h *sallyport.Handshake) (sallyport.Sink, error) {
			seen = strings.Join(h.Protocols, ",") + " and " + strings.Join(h.Request.Header["Sec-Websocket-Protocol"], ",")
			return echo.Open(context.Background(), h)
		})
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		o := as("ada")
		o.Protocols = []string{"chat", auth.TicketPrefix + "abc", "sallyport", "sallyport.v1~chat", "other"}
		s.Connect(t, o)
		if want := "chat,other and chat, other"; seen != want {
			t.Errorf("the route saw %q, want %q", seen, want)
		}
	})
}

// A revoked credential buys no ticket and passes no guarded gate.
func TestRevokedCredentialBuysNothing_SR43_AT72(t *testing.T) {
	bubble(t, func(c *sallyport.Config) {
		c.Gates[0].HTTP = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	}, func(t *testing.T, door *sallyport.Door, _ *sallyporttest.Server) {
		ask := func(method, path, body string) int {
			r := httptest.NewRequest(method, path, strings.NewReader(body))
			r.Host = "app.example.com"
			r.Header = http.Header{"Authorization": {"Bearer ada"}, "Content-Type": {"application/json"}}
			w := httptest.NewRecorder()
			door.ServeHTTP(w, r)
			return w.Code
		}
		if got := ask("POST", "/sallyport/ticket", `{"gate":"/ws"}`); got != 200 {
			t.Errorf("a ticket, before: got %d, want 200", got)
		}
		if got := ask("GET", "/ws", ""); got != 204 {
			t.Errorf("a guarded request, before: got %d, want 204", got)
		}
		if _, err := door.Revoke(t.Context(), guard.Match{Credential: "credential-of-ada"}); err != nil {
			t.Fatal(err)
		}
		if got := ask("POST", "/sallyport/ticket", `{"gate":"/ws"}`); got != 401 {
			t.Errorf("SR-43 a ticket for a revoked credential: got %d, want 401", got)
		}
		if got := ask("GET", "/ws", ""); got != 401 {
			t.Errorf("SR-43 a guarded request with a revoked credential: got %d, want 401", got)
		}
	})
}

// A connection that ends while its route opens is not opened, whatever the
// route makes of it.
func TestEndInsideOpenWins_SR43(t *testing.T) {
	opened, admitted := atomic.Bool{}, atomic.Bool{}
	bubble(t, func(c *sallyport.Config) {
		c.Observe = func(e sallyport.Event) {
			if e.Kind == sallyport.Admitted {
				admitted.Store(true)
			}
		}
		c.Gates[0].Route = routeOf(func(h *sallyport.Handshake) (sallyport.Sink, error) {
			h.Conn.End(deny.AdminClosed, nil)
			return openedSink{&opened}, nil
		})
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		if got := s.Try(t, as("ada")).Response.StatusCode; got != deny.AdminClosed.Status() {
			t.Errorf("got %d, want %d", got, deny.AdminClosed.Status())
		}
		if opened.Load() || admitted.Load() {
			t.Error("it was opened all the same")
		}
	})
}

type openedSink struct{ opened *atomic.Bool }

func (s openedSink) Opened(*sallyport.Conn)                     { s.opened.Store(true) }
func (s openedSink) Message(*sallyport.Conn, sallyport.Message) {}
func (s openedSink) Closed(*sallyport.Conn, deny.Reason)        {}

// forgetful is told to forget between a revocation and the end of the
// connections that it names.
type forgetful struct {
	named
	told func()
}

func (f forgetful) ForgetAll() { f.told() }

// A revocation that was made, and has not swept yet, stops a connection that
// goes live at this very moment.
func TestRevocationBeforeItsSweepWins_SR43_AT72(t *testing.T) {
	release, answered := make(chan struct{}), make(chan struct{})
	opened := atomic.Bool{}
	f := forgetful{told: func() {
		close(release)
		<-answered
	}}
	bubble(t, func(c *sallyport.Config) {
		release, answered = make(chan struct{}), make(chan struct{}) // of the bubble
		c.Auth = auth.First(f)
		c.Gates[0].Route = routeOf(func(*sallyport.Handshake) (sallyport.Sink, error) {
			<-release
			return openedSink{&opened}, nil
		})
	}, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		revoked := make(chan struct{})
		go func() {
			defer close(revoked)
			time.Sleep(time.Second) // the route is opening
			door.Revoke(context.Background(), guard.Match{Credential: "credential-of-ada"})
		}()
		c := s.Try(t, as("ada"))
		if opened.Load() {
			t.Error("SR-43 opened after its credential was revoked")
		}
		close(answered)
		<-revoked
		wantReason(t, c, deny.AuthRevoked)
	})
}

// asked is an authority that is asked again every second.
type asked struct {
	named
	again func(id auth.Identity) (auth.Identity, error)
}

func (asked) Every() (interval, grace time.Duration) { return time.Second, 5 * time.Second }

func (a asked) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	id, err := a.named.Authenticate(ctx, r)
	id.Scopes = []string{"read", "write"}
	return id, err
}

func (a asked) Recheck(_ context.Context, id auth.Identity) (auth.Identity, error) {
	return a.again(id)
}

func TestRecheckEnds_SR42_SR43_AT72(t *testing.T) {
	tests := []struct {
		name  string
		again func(id auth.Identity) (auth.Identity, error)
		want  deny.Reason
		after time.Duration
	}{
		{"AT-72 the user has signed out", func(id auth.Identity) (auth.Identity, error) {
			return id, deny.Because(deny.AuthSignedOut, nil)
		}, deny.AuthSignedOut, time.Second},
		{"AT-72 it is another user's now", func(id auth.Identity) (auth.Identity, error) {
			id.Subject = "bob"
			return id, nil
		}, deny.AuthSignedOut, time.Second},
		{"AT-72 it is another session's now", func(id auth.Identity) (auth.Identity, error) {
			id.Session = "x"
			return id, nil
		}, deny.AuthSignedOut, time.Second},
		{"a right was taken away", func(id auth.Identity) (auth.Identity, error) {
			id.Scopes = []string{"read"}
			return id, nil
		}, deny.PolicyChanged, time.Second},
		{"SR-42 the end was moved here", func(id auth.Identity) (auth.Identity, error) {
			if id.Expires.IsZero() {
				id.Expires = time.Now().Add(3 * time.Second)
			}
			return id, nil
		}, deny.AuthExpired, 4 * time.Second},
		{"SR-91 nobody answers for the time of grace", func(id auth.Identity) (auth.Identity, error) {
			return id, deny.Because(deny.AuthUnavailable, nil)
		}, deny.AuthUnavailable, 6 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(c *sallyport.Config) { c.Auth = auth.First(asked{again: tt.again}) }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				c := s.Connect(t, as("ada"))
				began := time.Now()
				wantReason(t, c, tt.want)
				if got := time.Since(began).Round(time.Second); got != tt.after {
					t.Errorf("ended after %s, want %s", got, tt.after)
				}
			})
		})
	}
}

// After a reload that failed, newcomers are judged as before too.
func TestBrokenReloadKeepsTheOldRules_SR91(t *testing.T) {
	bubble(t, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		if door.Reload(config(func(c *sallyport.Config) { c.Gates[0].Path, c.Auth = "/other", nil })) == nil {
			t.Fatal("no error")
		}
		c := s.Connect(t, as("ada"))
		c.Text("as before")
		c.WantText("as before")
	})
}

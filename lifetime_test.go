package sallyport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
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

func TestMessageLimits_SR71_AT32(t *testing.T) {
	tests := []struct {
		name string
		send func(*sallyporttest.Client)
		want deny.Reason
	}{
		{"a message of exactly the limit passes, one byte more does not", func(c *sallyporttest.Client) {
			c.Send(ws.Binary, make([]byte, 64<<10))
			if m, err := c.Receive(); err != nil || len(m.Data) != 64<<10 {
				panic("the largest message did not pass")
			}
			c.Send(ws.Binary, make([]byte, 64<<10+1))
		}, deny.GuardTooBig},
		{"a declared length of 2^62 ends at its header", func(c *sallyporttest.Client) {
			c.Raw([]byte{0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
		}, deny.GuardTooBig},
		{"fragments that add up to more than the limit", func(c *sallyporttest.Client) {
			c.Raw(ws.AppendFrame(nil, ws.Client, false, ws.Binary, make([]byte, 40<<10)))
			c.Raw(ws.AppendFrame(nil, ws.Client, true, ws.Continuation, make([]byte, 40<<10)))
		}, deny.GuardTooBig},
		{"AT-35 129 fragments", func(c *sallyporttest.Client) {
			frames := ws.AppendFrame(nil, ws.Client, false, ws.Binary, []byte{1})
			for range 129 {
				frames = ws.AppendFrame(frames, ws.Client, false, ws.Continuation, []byte{1})
			}
			c.Raw(frames)
		}, deny.GuardTooBig},
		{"AT-30 an unmasked frame", func(c *sallyporttest.Client) { c.Raw([]byte{0x81, 0x01, 'a'}) }, deny.WSProtocol},
		{"AT-38 a text that is not UTF-8", func(c *sallyporttest.Client) { c.Send(ws.Text, []byte{0xff}) }, deny.WSUTF8},
		{"AT-40 SR-71 a message that does not progress", func(c *sallyporttest.Client) {
			c.Raw(ws.AppendFrame(nil, ws.Client, true, ws.Binary, make([]byte, 100))[:20])
		}, deny.GuardStalled},
		{"AT-40 a message that drips a byte a second", func(c *sallyporttest.Client) {
			frame := ws.AppendFrame(nil, ws.Client, true, ws.Binary, make([]byte, 100))
			for _, b := range frame[:9] {
				c.Raw([]byte{b})
				time.Sleep(time.Second)
			}
		}, deny.GuardStalled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				c := s.Connect(t, as("ada"))
				tt.send(c)
				wantReason(t, c, tt.want)
			})
		})
	}
}

// flood sends a frame again and again until the connection ends.
func flood(c *sallyporttest.Client, frame []byte, every time.Duration) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := c.Socket().Write(frame); err != nil {
				return
			}
			time.Sleep(every)
		}
	}()
	return done
}

func TestRates_SR72_AT37(t *testing.T) {
	tests := []struct {
		name  string
		frame []byte
	}{
		{"messages", ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte("spam"))},
		{"AT-37 pings", ws.AppendFrame(nil, ws.Client, true, ws.Ping, nil)},
		{"AT-37 pongs", ws.AppendFrame(nil, ws.Client, true, ws.Pong, nil)},
		{"bytes", ws.AppendFrame(nil, ws.Client, true, ws.Binary, make([]byte, 60<<10))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var taken atomic.Int64
			count := sallyport.OnMessage(func(*sallyport.Conn, sallyport.Message) { taken.Add(1) })
			bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = count }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				c := s.Connect(t, as("ada"))
				began := time.Now()
				done := flood(c, tt.frame, time.Millisecond)
				wantReason(t, c, deny.GuardTooFast)
				<-done
				if got := time.Since(began); got < 4*time.Second || got > 7*time.Second {
					t.Errorf("ended after %s, want about 5s", got)
				}
				if got := taken.Load(); got > 100+6*50+1 {
					t.Errorf("%d messages were delivered, the rate allows %d", got, 100+6*50)
				}
			})
		})
	}
}

func TestBurstWithinTheRateIsNoFlood_SR72(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		for range 10 {
			for range 100 {
				c.Text("x")
				c.WantText("x")
			}
			time.Sleep(3 * time.Second) // the bucket fills
		}
	})
}

// A client that is a little over the rate for long is slowed, and ends.
func TestSlightlyTooFastForLong_SR72(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		done := flood(c, ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte("x")), time.Second/60)
		wantReason(t, c, deny.GuardTooFast)
		<-done
	})
}

func TestSlowConsumer_SR74_AT51(t *testing.T) {
	pour := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		for {
			if err := c.Send(ctx, sallyport.Message{Kind: sallyport.Binary, Data: make([]byte, 16<<10)}); err != nil {
				return err
			}
		}
	})
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = pour }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		time.Sleep(11 * time.Second) // reads nothing
		var err error
		for err == nil {
			_, err = c.Receive()
		}
		if errors.Is(err, io.EOF) {
			t.Errorf("got a clean end, want a reset")
		}
	})
}

func TestBroadcastDropsTheSlow_SR74(t *testing.T) {
	bubble(t, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		fast, _ := s.Connect(t, as("ada")), s.Connect(t, as("bob"))
		go func() {
			for {
				if _, err := fast.Receive(); err != nil {
					return
				}
			}
		}()
		dropped := 0
		for range 100 {
			_, n := door.Broadcast(door.Conns(), sallyport.Message{Kind: sallyport.Binary, Data: make([]byte, 16<<10)})
			dropped += n
			synctest.Wait()
		}
		if dropped != 1 {
			t.Errorf("%d connections were dropped, want the slow one", dropped)
		}
	})
}

func TestStuckHandlerHasABoundOfItsOwn_SR74(t *testing.T) {
	stuck := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		<-ctx.Done()
		return nil
	})
	limits := guard.Config{Bytes: 1 << 20, Idle: 30 * time.Second}
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Route, c.Guard = stuck, limits }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		began := time.Now()
		for range 3 {
			c.Send(ws.Binary, make([]byte, 60<<10))
		}
		wantReason(t, c, deny.RouteStuck)
		if got := time.Since(began); got != time.Minute {
			t.Errorf("ended after %s, want 1m0s", got)
		}
	})
}

func TestHandlerSeesWhatCameBeforeTheClose(t *testing.T) {
	var got bytes.Buffer
	collect := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		for m, err := range c.Messages(ctx) {
			if err != nil {
				t.Errorf("received %v", err)
			}
			got.Write(m.Data)
		}
		return nil
	})
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = collect }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		for _, s := range []string{"a", "b", "c"} {
			c.Text(s)
		}
		c.Close(1001, "")
		c.WantClose(1001, "")
		synctest.Wait()
		if got.String() != "abc" {
			t.Errorf("the handler saw %q", got.String())
		}
	})
}

func TestHandlerEndings_SR76(t *testing.T) {
	tests := []struct {
		name string
		end  func() error
		code uint16
		text string
	}{
		{"nil closes with 1000 after what was sent", func() error { return nil }, 1000, ""},
		{"a CloseError closes as it says", func() error { return &sallyport.CloseError{Code: 4100, Reason: "done"} }, 4100, "done"},
		{"a CloseError cannot look like one of ours", func() error {
			return &sallyport.CloseError{Code: 4001, Reason: deny.AuthRevoked.CloseReason()}
		}, 4001, ""},
		{"a denial closes for its reason", func() error { return deny.Because(deny.AuthRevoked, nil) }, 4001, deny.AuthRevoked.CloseReason()},
		{"any other error is internal and stays private", func() error { return errors.New("the database password is hunter2") }, 1011, deny.Internal.CloseReason()},
		{"SR-76 a panic ends one connection", func() error { panic("boom") }, 1011, deny.Internal.CloseReason()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			route := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
				c.Send(ctx, sallyport.Message{Kind: sallyport.Text, Data: []byte("last words")})
				time.Sleep(time.Second)
				return tt.end()
			})
			bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = route }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				c := s.Connect(t, as("ada"))
				c.WantText("last words")
				c.WantClose(tt.code, tt.text)
			})
		})
	}
}

func TestRenew_SR42_AT71(t *testing.T) {
	scoped := auth.Identity{Issuer: "test", Subject: "ada", Session: "session-of-ada", Credential: "credential-of-ada", Method: "named"}
	tests := []struct {
		name   string
		change func(*auth.Identity)
		want   deny.Reason // of Renew; 0 = renewed
		ends   deny.Reason
	}{
		{"a later end moves the end", func(*auth.Identity) {}, 0, 0},
		{"another credential of the session does too", func(id *auth.Identity) { id.Credential = "new" }, 0, 0},
		{"AT-71 another subject ends the connection", func(id *auth.Identity) { id.Subject = "bob" }, deny.RenewMismatch, deny.AuthInvalid},
		{"another session leaves it alone", func(id *auth.Identity) { id.Session = "x" }, deny.RenewMismatch, 0},
		{"another audience leaves it alone", func(id *auth.Identity) { id.Audience = "x" }, deny.RenewMismatch, 0},
		{"another method leaves it alone", func(id *auth.Identity) { id.Method = "x" }, deny.RenewMismatch, 0},
		{"an expired credential leaves it alone", func(id *auth.Identity) { id.Expires = time.Now().Add(-time.Second) }, deny.AuthExpired, 0},
		{"a revoked credential leaves it alone", func(id *auth.Identity) { id.Credential = "revoked" }, deny.AuthRevoked, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
				if _, err := door.Revoke(t.Context(), guard.Match{Credential: "revoked"}); err != nil {
					t.Fatal(err)
				}
				c := s.Connect(t, as("ada;30s"))
				var conn *sallyport.Conn
				for conn = range door.Conns() {
				}
				id := scoped
				id.Expires = time.Now().Add(50 * time.Second)
				tt.change(&id)
				began := time.Now()
				err := door.Renew(conn, id)
				if got := deny.Of(err); got != tt.want {
					t.Fatalf("renew: got %v, want %v", err, tt.want)
				}
				if tt.ends != 0 {
					wantReason(t, c, tt.ends)
					return
				}
				wantReason(t, c, deny.AuthExpired)
				want := 30 * time.Second
				if tt.want == 0 {
					want = 50 * time.Second
				}
				if got := time.Since(began).Round(time.Second); got != want {
					t.Errorf("ended after %s, want %s", got, want)
				}
			})
		})
	}
}

func TestReloadEndsWhatItNoLongerAdmits_SR43(t *testing.T) {
	tests := []struct {
		name   string
		change func(*sallyport.Config)
		ends   bool
	}{
		{"nothing changed", nil, false},
		{"the origin was removed", func(c *sallyport.Config) { c.Origin.Trusted = []string{"https://new.example.com"} }, true},
		{"the host was removed", func(c *sallyport.Config) { c.Origin.Hosts = []string{"new.example.com"} }, true},
		{"the gate is gone", func(c *sallyport.Config) { c.Gates[0].Path = "/other" }, true},
		{"the authenticator is another", func(c *sallyport.Config) { c.Auth = auth.Anonymous("test") }, true},
		{"an origin was added", func(c *sallyport.Config) {
			c.Origin.Trusted = append(c.Origin.Trusted, "https://new.example.com")
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
				c := s.Connect(t, as("ada"))
				if err := door.Reload(config(tt.change)); err != nil {
					t.Fatal(err)
				}
				if tt.ends {
					wantReason(t, c, deny.PolicyChanged)
					return
				}
				c.Text("still here")
				c.WantText("still here")
			})
		})
	}
}

func TestBrokenReloadChangesNothing_SR91(t *testing.T) {
	bubble(t, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		bad := config(func(c *sallyport.Config) {
			c.Auth = nil
			c.Origin.Trusted = []string{"https://*.co.uk", "null"}
		})
		err := door.Reload(bad)
		if err == nil || !strings.Contains(err.Error(), "co.uk") || !strings.Contains(err.Error(), "null") || !strings.Contains(err.Error(), "auth:") {
			t.Fatalf("reload: got %v, want all three mistakes", err)
		}
		c.Text("still here")
		c.WantText("still here")
	})
}

// slowRoute withholds its answer until released.
type slowRoute struct{ release chan struct{} }

func (r slowRoute) Open(ctx context.Context, h *sallyport.Handshake) (sallyport.Sink, error) {
	select {
	case <-r.release:
		return echo.Open(ctx, h)
	case <-ctx.Done():
		return nil, deny.Because(deny.BackendTimeout, context.Cause(ctx))
	}
}

// A stop while the route is opening wins: nobody is admitted afterwards.
func TestStopWhileOpeningWins_SR43(t *testing.T) {
	tests := []struct {
		name string
		stop func(*sallyport.Door)
		want deny.Reason
	}{
		{"revocation", func(d *sallyport.Door) { d.Revoke(context.Background(), guard.Match{Session: "session-of-ada"}) }, deny.AuthRevoked},
		{"reload without the origin", func(d *sallyport.Door) {
			d.Reload(config(func(c *sallyport.Config) { c.Origin.Trusted = nil }))
		}, deny.PolicyChanged},
		{"expiry", func(*sallyport.Door) { time.Sleep(6 * time.Second) }, deny.AuthExpired},
		{"drain", func(d *sallyport.Door) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			d.Drain(ctx)
		}, deny.Drain},
	}
	for _, tt := range tests {
		for _, releaseFirst := range []bool{false, true} {
			name := tt.name + ", and the route never answers"
			if releaseFirst {
				name = tt.name + ", and the route answers at the same moment"
			}
			t.Run(name, func(t *testing.T) {
				var route slowRoute
				bubble(t, func(c *sallyport.Config) {
					route = slowRoute{make(chan struct{})}
					c.Gates[0].Route = route
				}, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
					stopped := make(chan struct{})
					go func() {
						defer close(stopped)
						time.Sleep(time.Second)
						tt.stop(door)
						if releaseFirst {
							close(route.release)
						}
					}()
					defer func() { <-stopped }()
					c := s.Try(t, as("ada;5s"))
					if tt.want.Close() == 4001 {
						wantReason(t, c, tt.want)
					} else if c.Response.StatusCode != tt.want.Status() {
						t.Errorf("got %s, want %d", c.Response.Status, tt.want.Status())
					}
				})
			})
		}
	}
}

func TestDrainTellsEverybodySpread_AT53(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door, err := sallyport.New(config(func(c *sallyport.Config) { c.Limits.PerSubject = 1000 }))
		if err != nil {
			t.Fatal(err)
		}
		s := sallyporttest.Serve(t, door)
		defer s.Close()
		const n = 100
		began := time.Now()
		ends := make([]time.Duration, n)
		var wg sync.WaitGroup
		for i := range n {
			c := s.Connect(t, as("ada"))
			wg.Go(func() {
				m, err := c.Receive()
				if err != nil || m.Code != deny.Drain.Close() || string(m.Data) != deny.Drain.CloseReason() {
					t.Errorf("got %v, %v", m, err)
				}
				ends[i] = time.Since(began)
				c.Close(m.Code, "")
				c.WantEnd()
			})
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := door.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		wg.Wait()
		last := time.Duration(0)
		for _, at := range ends {
			last = max(last, at)
		}
		if last < 8*time.Second || last > 10*time.Second {
			t.Errorf("the last was told after %s, want spread over 10s", last)
		}
		if c := s.Try(t, as("ada")); c.Response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("while draining: got %s, want 503", c.Response.Status)
		}
	})
}

func TestPlaces_SR73_AT50(t *testing.T) {
	limits := guard.Limits{Connections: 5, PerAddress: 4, PerSubject: 2}
	bubble(t, func(c *sallyport.Config) { c.Limits = limits }, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		a, _ := s.Connect(t, as("ada")), s.Connect(t, as("ada"))
		if c := s.Try(t, as("ada")); c.Response.StatusCode != http.StatusTooManyRequests {
			t.Errorf("third of a subject: got %s, want 429", c.Response.Status)
		}
		s.Connect(t, as("bob"))
		s.Connect(t, as("bob"))
		if c := s.Try(t, as("eve")); c.Response.StatusCode != http.StatusTooManyRequests {
			t.Errorf("fifth of an address: got %s, want 429", c.Response.Status)
		}
		a.Close(1000, "")
		a.WantClose(1000, "")
		s.Connect(t, as("ada"))
	})
}

func TestGoRoutines_AT54(t *testing.T) {
	// bubble itself fails if a goroutine of the door is left after Drain.
	bubble(t, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		for range 20 {
			c := s.Connect(t, as("ada"))
			c.Socket().Close()
			s.Try(t, sallyporttest.Options{Path: "/ws", Origin: "https://evil.example"})
			time.Sleep(time.Second)
		}
	})
}

// patient is a route whose answers are under way when the client says goodbye.
type patient struct{ sallyport.Sink }

func (p patient) Open(ctx context.Context, h *sallyport.Handshake) (sallyport.Sink, error) {
	sink, err := echo.Open(ctx, h)
	return patient{sink}, err
}

func (patient) Leaving(*sallyport.Conn, uint16, string) {}

func TestRevocationFindsWhoIsLeaving_SR43(t *testing.T) {
	route := func(c *sallyport.Config) { c.Gates[0].Route = patient{} }
	bubble(t, route, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		c.Close(1000, "")
		time.Sleep(2 * time.Second)
		if n, err := door.Revoke(t.Context(), guard.Match{Session: "session-of-ada"}); n != 1 || err != nil {
			t.Fatalf("revoked %d, %v", n, err)
		}
		wantReason(t, c, deny.AuthRevoked)
	})
	bubble(t, route, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		began := time.Now()
		c.Close(3000, "")
		c.WantClose(3000, "")
		if got := time.Since(began); got < 5*time.Second || got > 6*time.Second {
			t.Errorf("ended after %s, want 5s", got)
		}
	})
}

// A client that reads slowly but steadily gets its pings late; it is not lost.
func TestSlowDownloadIsNoLostPeer_SR61(t *testing.T) {
	pour := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		for {
			if err := c.Send(ctx, sallyport.Message{Kind: sallyport.Binary, Data: make([]byte, 16<<10)}); err != nil {
				return err
			}
		}
	})
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = pour }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada"))
		for range 120 {
			time.Sleep(time.Second)
			if _, err := io.ReadFull(c.Socket(), make([]byte, 6<<10)); err != nil {
				t.Fatal(err)
			}
		}
		c.Socket().Close()
	})
}

func TestDrainOutOfTimeCutsOff_AT54(t *testing.T) {
	bubble(t, func(c *sallyport.Config) {
		c.Gates[0].Route = sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
			return c.Send(ctx, sallyport.Message{Kind: sallyport.Binary, Data: make([]byte, 300<<10)})
		})
	}, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		c := s.Connect(t, as("ada")) // reads nothing, while the door says goodbye
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := door.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain: got %v", err)
		}
		began := time.Now()
		n, _ := io.Copy(io.Discard, c.Socket())
		if took := time.Since(began); n >= 300<<10 || took > time.Second {
			t.Errorf("%d bytes more in %s, want fewer than were queued, within a second", n, took)
		}
	})
}

// application stands for forward-auth: it answers from what it said before, and
// says no when it is asked again.
type application struct{ kept time.Duration }

func (a application) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	id, err := named{}.Authenticate(ctx, r)
	id.IssuedAt = time.Now().Add(-a.kept)
	return id, err
}

func (application) Kind() auth.Kind { return auth.Forward }

func (application) Every() (interval, grace time.Duration) { return 30 * time.Second, time.Minute }

func (application) Recheck(context.Context, auth.Identity) (auth.Identity, error) {
	return auth.Identity{}, deny.Because(deny.AuthSignedOut, nil)
}

func TestAKeptAnswerIsAskedAgainSoon_SR43_AT72(t *testing.T) {
	for kept, want := range map[time.Duration]time.Duration{0: 30 * time.Second, time.Second: 2 * time.Second} {
		bubble(t, func(c *sallyport.Config) { c.Auth = application{kept} }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
			c := s.Connect(t, as("ada"))
			began := time.Now()
			wantReason(t, c, deny.AuthSignedOut)
			if got := time.Since(began); got != want {
				t.Errorf("an answer of %s ago: ended after %s, want %s", kept, got, want)
			}
		})
	}
}

package sallyport_test

import (
	"context"
	"crypto/ed25519"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/sallyporttest"
	"github.com/sallyport/sallyport/seal"
)

// leave sends the sealed end of a client.
func (c *sealer) leave(code uint16) {
	c.t.Helper()
	record, err := c.session.End(nil, code, "")
	if err != nil {
		c.t.Fatal(err)
	}
	c.Send(ws.Binary, record)
}

// wantBye receives the sealed end that answers the client's own.
func (c *sealer) wantBye(code uint16) {
	c.t.Helper()
	for {
		m, err := c.Receive()
		if err != nil || m.Op != ws.Binary {
			c.t.Fatalf("got %v, %v, want a sealed end", m, err)
		}
		r, err := c.session.Open(m.Data)
		if err != nil {
			c.t.Fatal(err)
		}
		if r.Kind == seal.End {
			if r.Code != code {
				c.t.Errorf("ended with %d, want %d", r.Code, code)
			}
			break
		}
	}
	m, err := c.Receive()
	if err != nil || m.Op != ws.Close || m.Code != 1000 {
		c.t.Errorf("got %v, %v, want a close frame with 1000", m, err)
	}
	if _, err := c.Receive(); err != io.EOF {
		c.t.Errorf("the connection ended with %v, want %v", err, io.EOF)
	}
}

// A step of the ratchet that was due behind the end reset the connection, and the
// end was lost with it.
func TestSealedEndWhenAKeyIsOld(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	sealedBubble(t, sallyport.SealRequired, func(c *sallyport.Config) {
		c.Gates[0].Guard = &guard.Config{Idle: time.Hour, Ping: 29 * time.Second}
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		c := sealedBy(t, s, k, bearer("ada@key"), device, sallyporttest.Options{})
		for began := time.Now(); time.Since(began) < 9*time.Minute+59*time.Second; { // beats, every 25 s
			c.Socket().SetReadDeadline(began.Add(10*time.Minute + time.Second))
			m, err := c.Receive()
			if err != nil {
				break // nothing was said since the key became old
			}
			if _, err := c.session.Open(m.Data); err != nil {
				t.Fatal(err)
			}
		}
		c.Socket().SetReadDeadline(time.Time{})
		c.leave(1000)
		c.Close(1000, "")
		c.wantBye(1000)
	})
}

// What the client says last is said inside: who is between can neither make it up
// nor keep the connection open behind it.
func TestTheEndIsInsideTheSeal(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	tests := []struct {
		name string
		do   func(c *sealer)
		want deny.Reason
		code uint16
	}{
		{"an end, and its close frame", func(c *sealer) { c.leave(3007); c.Close(1000, "") }, deny.PeerClosed, 3007},
		{"an end, and another close frame", func(c *sealer) { c.leave(3007); c.Close(4001, "Unauthorized") }, deny.PeerClosed, 3007},
		{"an end, and the close frame is kept back", func(c *sealer) { c.leave(3007) }, deny.PeerClosed, 3007},
		{"an end, and the connection is cut", func(c *sealer) { c.leave(3007); c.Socket().Close() }, deny.PeerClosed, 3007},
		{"a close frame alone", func(c *sealer) { c.Close(1000, "") }, deny.SealTruncated, 0},
		{"the connection is cut", func(c *sealer) { c.Socket().Close() }, deny.SealTruncated, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ended := []deny.Reason{}
			var code uint16
			sealedBubble(t, sallyport.SealRequired, func(c *sallyport.Config) {
				c.Observe = func(e sallyport.Event) {
					if e.Kind == sallyport.Ended {
						ended = append(ended, e.Reason)
					}
				}
			}, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
				c := sealedBy(t, s, k, bearer("ada@key"), device, sallyporttest.Options{})
				c.want("\x01{")
				var conn *sallyport.Conn
				for conn = range door.Conns() {
				}
				tt.do(c)
				time.Sleep(time.Second)
				synctest.Wait()
				if len(ended) != 1 || ended[0] != tt.want {
					t.Errorf("ended with %v, want %s", ended, tt.want)
				}
				if code, _, _ = conn.PeerClose(); code != tt.code {
					t.Errorf("the client said %d, want %d", code, tt.code)
				}
			})
		})
	}
}

// Whoever is in between must not make the client's session that of another, by a
// credential of the other outside, nor show one to the backend.
func TestNothingOutsideTheSealCounts(t *testing.T) {
	outside := http.Header{"Authorization": {"Bearer eve"}, "Cookie": {"session=eve"}, "Proxy-Authorization": {"Bearer eve"}}
	for _, tt := range []struct {
		name  string
		cred  seal.Credential
		offer []string
		want  deny.Reason
	}{
		{"none inside", seal.Credential{}, nil, deny.AuthMissing},
		{"none inside, a ticket outside", seal.Credential{}, []string{"sallyport.v1+seal", "sallyport.ticket.abc"}, deny.AuthMissing},
		{"another inside", bearer("ada"), nil, 0},
		{"another inside, a ticket outside", bearer("ada"), []string{"sallyport.v1+seal", "sallyport.ticket.abc"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen http.Header
			sealedBubble(t, sallyport.SealOffered, func(c *sallyport.Config) {
				c.Gates[0].Route = seeing{echo, &seen}
			}, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
				c := sealedBy(t, s, k, tt.cred, nil, sallyporttest.Options{Header: outside.Clone(), Protocols: tt.offer})
				if tt.want != 0 {
					c.wantEnd(tt.want)
					return
				}
				c.want("\x01{")
				for conn := range door.Conns() {
					if conn.Identity().Subject != "ada" {
						t.Errorf("admitted as %q", conn.Identity().Subject)
					}
				}
				for name, lines := range seen {
					if strings.Contains(strings.Join(lines, "\n"), "eve") {
						t.Errorf("the route was shown %s: %q", name, lines)
					}
				}
				c.wantEndAfter(door)
			})
		})
	}
	t.Run("a ticket outside, where the seal is required", func(t *testing.T) {
		sealedBubble(t, sallyport.SealRequired, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
			c := s.Connect(t, sallyporttest.Options{Path: "/ws", Protocols: []string{"sallyport.v1+seal", "sallyport.ticket.abc"}})
			if c.Protocol != "" {
				t.Errorf("%q was selected", c.Protocol) // inside the seal only the client is to blame
			}
			wantReason(t, c, deny.AuthInvalid)
		})
	})
}

// seeing notes the header that a route is shown.
type seeing struct {
	sallyport.Route
	header *http.Header
}

func (s seeing) Open(ctx context.Context, h *sallyport.Handshake) (sallyport.Sink, error) {
	*s.header = h.Request.Header.Clone()
	return s.Route.Open(ctx, h)
}

// A program has its credential inside, and need not show one outside.
func TestSealedProgramsShowNoCredential(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	for _, tt := range []struct {
		name    string
		without origin.Without
		header  http.Header
		status  int
	}{
		{"allowed", origin.AllowBearer, nil, 101},
		{"allowed, beside a cookie that does not count", origin.AllowBearer, http.Header{"Cookie": {"a=b"}}, 101},
		{"not allowed", 0, http.Header{"Authorization": {"Bearer ada"}}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sealedBubble(t, sallyport.SealRequired, func(c *sallyport.Config) {
				c.Origin.Without = tt.without
				c.Gates[0].Refuse = sallyport.RefuseHTTP
			}, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
				o := sallyporttest.Options{Path: "/ws", Origin: "-", Header: tt.header, Protocols: []string{"sallyport.v1+seal"}}
				if tt.status != 101 {
					if c := s.Try(t, o); c.Response.StatusCode != tt.status {
						t.Errorf("got %d, want %d", c.Response.StatusCode, tt.status)
					}
					return
				}
				c := sealedBy(t, s, k, bearer("ada@key"), device, o)
				c.want("\x01{")
				c.wantEndAfter(door)
			})
		})
	}
}

// A reload that wants the seal, or credentials with keys, ends what it would not
// admit, and nothing else.
func TestReloadToRequiredSeal(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	var c0 sallyport.Config
	sealedBubble(t, sallyport.SealOffered, func(c *sallyport.Config) { c0 = *c }, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		bound := sealedBy(t, s, k, bearer("ada@key"), device, sallyporttest.Options{})
		bound.want("\x01{")
		unbound := sealedBy(t, s, k, bearer("bob"), nil, sallyporttest.Options{})
		unbound.want("\x01{")
		plain := s.Connect(t, as("carol"))
		c0.Gates[0].Seal = sallyport.SealRequired
		if err := door.Reload(c0); err != nil {
			t.Fatal(err)
		}
		wantReason(t, plain, deny.PolicyChanged)
		unbound.wantEnd(deny.PolicyChanged)
		bound.say("\x00still here")
		bound.want("\x00still here")
		bound.wantEndAfter(door)
	})
}

func TestReloadToRequiredSealEndsRequests(t *testing.T) {
	var c0 sallyport.Config
	ended := make(chan error, 1)
	sealedBubble(t, sallyport.SealOffered, func(c *sallyport.Config) {
		c.Gates[0].HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			ended <- context.Cause(r.Context())
		})
		c0 = *c
	}, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		r, _ := http.NewRequest("GET", "https://app.example.com/ws", nil)
		r.RequestURI = "/ws"
		r.Header = http.Header{"Authorization": {"Bearer ada"}, "Origin": {"https://app.example.com"}}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go door.ServeHTTP(&recorder{header: http.Header{}}, r.WithContext(ctx))
		synctest.Wait()
		c0.Gates[0].Seal, c0.Gates[0].HTTP = sallyport.SealRequired, nil
		if err := door.Reload(c0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case err := <-ended:
			if deny.Of(err) != deny.PolicyChanged {
				t.Errorf("ended with %v", err)
			}
		default:
			t.Error("the request goes on, in the clear")
		}
	})
}

// A credential that names a key is none for a request that proves none.
func TestBoundCredentialsAreNoBearers(t *testing.T) {
	sealedBubble(t, sallyport.SealOffered, func(c *sallyport.Config) {
		c.Gates[0].HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Error("let through") })
	}, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		r, _ := http.NewRequest("GET", "https://app.example.com/ws", nil)
		r.RequestURI = "/ws"
		r.Header = http.Header{"Authorization": {"Bearer ada@other"}, "Origin": {"https://app.example.com"}}
		w := &recorder{header: http.Header{}}
		if door.ServeHTTP(w, r); w.status != deny.SealUnbound.Status() {
			t.Errorf("got %d, want %s", w.status, deny.SealUnbound)
		}
		o := as("ada@other")
		wantReason(t, s.Connect(t, o), deny.SealUnbound)
	})
}

// Renewal is said inside: a credential outside moves no end of a sealed connection.
func TestRenewOutsideTheSealDoesNothing(t *testing.T) {
	sealedBubble(t, sallyport.SealOffered, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		c := sealedBy(t, s, k, bearer("ada;1m"), nil, sallyporttest.Options{})
		c.want("\x01{")
		r, _ := http.NewRequest("POST", "https://app.example.com/sallyport/renew", strings.NewReader(`{"gate":"/ws"}`))
		r.RequestURI = "/sallyport/renew"
		r.Header = http.Header{"Authorization": {"Bearer ada;2m"}, "Origin": {"https://app.example.com"}, "Content-Type": {"application/json"}}
		w := &recorder{header: http.Header{}}
		if door.ServeHTTP(w, r); w.status != deny.RenewMismatch.Status() {
			t.Errorf("got %d %s", w.status, w.body)
		}
		c.say("\x01" + `{"t":"renew","token":"ada;2m"}`)
		c.want("\x01" + `{"expires_in":1`)
		c.wantEndAfter(door)
	})
}

// The query of a target that was changed is nobody's business, not even the log's.
func TestSealedRefusalsShowNoQuery_SR93(t *testing.T) {
	var causes string
	sealedBubble(t, sallyport.SealRequired, func(c *sallyport.Config) {
		c.Observe = func(e sallyport.Event) {
			if e.Cause != nil {
				causes += e.Cause.Error()
			}
		}
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		c := s.Connect(t, sallyporttest.Options{Path: "/ws?room=secret", Protocols: []string{"sallyport.v1+seal"}})
		_, hello, err := seal.NewClient(k.entry, seal.Context{
			Token: c.Protocol, Authority: "app.example.com:443", Target: "/ws?room=other", Origin: "https://app.example.com",
		}, seal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.Send(ws.Binary, hello)
		c.WantClose(deny.SealHandshake.Close(), deny.SealHandshake.CloseReason())
		if synctest.Wait(); causes == "" || strings.Contains(causes, "secret") {
			t.Errorf("the cause is %q", causes)
		}
	})
}

// A message that begins and does not go on holds memory: inside the seal it is no
// less unfinished because each of its records is a whole message outside.
func TestSealedMessageThatDoesNotProgress_SR71_AT40(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	sealedBubble(t, sallyport.SealRequired, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		c := sealedBy(t, s, k, bearer("ada@key"), device, sallyporttest.Options{})
		c.want("\x01{")
		part, err := c.session.Seal(nil, seal.Text, true, []byte("\x00begun"))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		c.Send(ws.Binary, part)
		c.wantEnd(deny.GuardStalled)
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// A few addresses that open seals and say nothing must not keep everybody out.
func TestSealsThatNobodyFinishes(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	var address netip.Addr
	sealedBubble(t, sallyport.SealRequired, func(c *sallyport.Config) {
		c.ClientAddress = func(*http.Request) netip.Addr { return address }
	}, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		o := sallyporttest.Options{Path: "/ws", Protocols: []string{"sallyport.v1+seal"}}
		for i := range 4 {
			address = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
			for range 64 {
				s.Connect(t, o)
			}
			if c := s.Try(t, o); c.Response.StatusCode != deny.GuardCrowded.Status() {
				t.Errorf("got %d, want %s", c.Response.StatusCode, deny.GuardCrowded)
			}
		}
		address = netip.AddrFrom4([4]byte{198, 51, 100, 1})
		c := sealedBy(t, s, k, bearer("ada@key"), device, sallyporttest.Options{})
		c.want("\x01{")
		c.wantEndAfter(door)
		time.Sleep(7 * time.Second)
		address = netip.AddrFrom4([4]byte{192, 0, 2, 1}) // and all places were given back
		c = sealedBy(t, s, k, bearer("ada@key"), device, sallyporttest.Options{})
		c.want("\x01{")
		c.wantEndAfter(door)
	})
}

// The limits count what was opened, as they do without a seal; that each record is
// a message towards the client's rate is for those that carry nothing.
func TestSealedRatesCountOpenedData_SR72(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	sealedBubble(t, sallyport.SealRequired, func(c *sallyport.Config) {
		c.Gates[0].Guard = &guard.Config{Idle: time.Hour, MaxMessage: 1 << 10, Bytes: 1 << 10, Messages: 1000}
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		c := sealedBy(t, s, k, bearer("ada@key"), device, sallyporttest.Options{})
		c.want("\x01{")
		began := time.Now()
		for range 500 { // a byte each, 49 on the wire
			c.say("\x00")
			c.want("\x00")
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("500 bytes took %s at 1 KiB/s", took)
		}
		for range 3000 {
			filler, err := c.session.Seal(nil, seal.Filler, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.Send(ws.Binary, filler)
		}
		c.say("\x00x")
		c.want("\x00x")
		if took := time.Since(began); took < time.Second {
			t.Errorf("3000 records took %s at 1000 a second", took)
		}
	})
}

// A close that cannot be sent as it is, such as an application's with a long
// reason, was sent without a sealed end, and looked like a cut to the client.
func TestSealedEndOfAnyClose(t *testing.T) {
	for _, tt := range []struct {
		name   string
		code   uint16
		reason string
		want   uint16
		text   string
	}{
		{"as it is", 4903, "bye", 4903, "bye"},
		{"no code", 1005, "", seal.NoCode, ""},
		{"no code, and a reason", 1005, "bye", seal.NoCode, ""},
		{"a code that may not be sent", 1015, "bye", seal.NoCode, ""},
		{"a code that nobody has", 2000, "", seal.NoCode, ""},
		{"a reason that is too long", 4000, strings.Repeat("ü", 100), 4000, strings.Repeat("ü", 61)},
		{"a reason that is not UTF-8", 4000, "ab\xff", 4000, "ab"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, device, _ := ed25519.GenerateKey(nil)
			sealedBubble(t, sallyport.SealRequired, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
				c := sealedBy(t, s, k, bearer("ada@key"), device, sallyporttest.Options{})
				c.want("\x01{")
				for conn := range door.Conns() {
					conn.Close(tt.code, tt.reason)
				}
				m, err := c.Receive()
				if err != nil || m.Op != ws.Binary {
					t.Fatalf("got %v, %v, want a sealed end", m, err)
				}
				if r, err := c.session.Open(m.Data); err != nil || r.Kind != seal.End || r.Code != tt.want || r.Reason != tt.text {
					t.Errorf("got %+v, %v", r, err)
				}
				c.WantClose(1000, "")
			})
		})
	}
}

package sallyport_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
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

// until skips messages of the application and what else comes before a control
// message of a type.
func (c *speaker) until(t string) string {
	c.t.Helper()
	for {
		m, err := c.Receive()
		if err != nil || m.Op == ws.Close {
			c.t.Fatalf("got %v, %v, want the control message %s", m, err, t)
		}
		if text := string(m.Data); strings.HasPrefix(text, "\x01") && strings.Contains(text, `"t":"`+t+`"`) {
			return text[1:]
		}
	}
}

// A message that ends the connection before the route gets it was not handed over.
func TestGotLeavesOutWhatTheRouteNeverGot_SR71_SR72(t *testing.T) {
	tests := []struct {
		name   string
		limits guard.Config
		memory int64
		send   func(*speaker) (done chan struct{})
		want   deny.Reason
	}{
		{"the message with which the rate was exceeded for too long", guard.Config{Messages: 10}, 0, func(c *speaker) chan struct{} {
			return flood(c.Client, ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte("\x00x")), 60*time.Millisecond)
		}, deny.GuardTooFast},
		{"the message whose last part finds no memory", guard.Config{}, 2000, func(c *speaker) chan struct{} {
			c.text("the first")
			c.Raw(ws.AppendFrame(nil, ws.Client, false, ws.Text, []byte("\x00x")))
			time.Sleep(time.Millisecond)
			c.Raw(ws.AppendFrame(nil, ws.Client, true, ws.Continuation, []byte(strings.Repeat("y", 3000))))
			return nil
		}, deny.GuardFull},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var heard atomic.Int64
			count := sallyport.OnMessage(func(*sallyport.Conn, sallyport.Message) { heard.Add(1) })
			bubble(t, func(c *sallyport.Config) {
				c.Gates[0].Route, c.Gates[0].Guard, c.Limits.Buffered = count, &tt.limits, tt.memory
			}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				c, _ := speak(t, s, withChannel("ada"))
				done := tt.send(c)
				got := c.until("close")
				if want := fmt.Sprintf(`{"code":%q,"got":%d,"t":"close"}`, tt.want.Code(), heard.Load()); got != want {
					t.Errorf("announced %s, want %s", got, want)
				}
				c.Socket().Close()
				if done != nil {
					<-done
				}
			})
		})
	}
}

// A browser that offered something fails with 1006 unless something is selected,
// also when its origin is refused before its offer was looked at.
func TestRefusedOriginsSeeTheirReason_SR11_SR21(t *testing.T) {
	tests := []struct {
		name     string
		offer    []string
		selected string
	}{
		{"nothing", nil, ""},
		{"a subprotocol of the application", []string{"chat", "mqtt"}, "chat"},
		{"one within the channel", []string{"sallyport.v1~chat"}, "sallyport.v1~chat"},
		{"the channel", []string{"sallyport.v1~chat", "sallyport.v1"}, "sallyport.v1"},
		{"neutral", []string{"chat", "sallyport"}, "sallyport"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				o := as("ada")
				o.Origin, o.Protocols = "https://evil.example", tt.offer
				c := &speaker{s.Connect(t, o), t}
				if c.Protocol != tt.selected {
					t.Errorf("selected %q, want %q", c.Protocol, tt.selected)
				}
				if strings.HasPrefix(tt.selected, "sallyport.v1") {
					c.wantEnd(deny.OriginUntrusted, 0)
				} else {
					wantReason(t, c.Client, deny.OriginUntrusted)
				}
			})
		})
	}
}

// Who has the answer to a renewal may ask for the next.
func TestRenewalsFollowEachOther_SR42(t *testing.T) {
	slow := func(c *sallyport.Config) { // whoever writes the log takes his time
		c.Observe = func(e sallyport.Event) {
			if e.Kind == sallyport.Renewed {
				time.Sleep(time.Second)
			}
		}
	}
	bubble(t, slow, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c, _ := speak(t, s, withChannel("ada;10s"))
		for range 3 {
			c.say(`{"t":"renew","token":"ada;1h"}`)
			c.control("renewed")
		}
		c.say(`{"t":"renew","token":"ada;1h"}`)
		c.say(`{"t":"renew","token":"ada;1h"}`) // while the other waits
		if got := c.control("renew-refused"); got["code"] != deny.GuardTooFast.Code() {
			t.Errorf("refused with %v", got)
		}
		c.control("renewed")
	})
}

// What no authenticator takes for a credential renews nothing and ends nothing,
// although the gate would let anybody in.
func TestNobodyRenewsInBand_SR42_AT55(t *testing.T) {
	tests := []struct {
		name, who, say string
		want           deny.Reason
	}{
		{"nobody, as nobody", "", `{"t":"renew","ticket":"sallyport.ticket.x"}`, deny.RenewMismatch},
		{"somebody, as nobody", "ada;10s", `{"t":"renew","ticket":"sallyport.ticket.x"}`, deny.RenewMismatch},
		{"a ticket that is none", "ada;10s", `{"t":"renew","ticket":"chat"}`, deny.AuthInvalid},
		{"a ticket behind something else", "ada;10s", `{"t":"renew","ticket":"chat,sallyport.ticket.x"}`, deny.AuthInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(c *sallyport.Config) { c.Auth = auth.First(named{}, auth.Anonymous("a test")) }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				o := withChannel(tt.who)
				if tt.who == "" {
					o.Header = nil
				}
				c, _ := speak(t, s, o)
				c.say(tt.say)
				if got := c.control("renew-refused"); got["code"] != tt.want.Code() {
					t.Errorf("refused with %v, want %s", got, tt.want)
				}
				c.text("still here")
				c.wantText("still here")
			})
		})
	}
}

// Who tries credentials on an open connection is seen, as at POST …/renew.
func TestRefusedRenewalsAreObserved_SR93(t *testing.T) {
	var events chan sallyport.Event
	bubble(t, func(c *sallyport.Config) {
		events = make(chan sallyport.Event, 10)
		c.Observe = func(e sallyport.Event) {
			if e.Kind == sallyport.Refused {
				events <- e
			}
		}
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c, hello := speak(t, s, withChannel("ada"))
		c.say(`{"t":"renew","token":"ada;-1s"}`)
		c.control("renew-refused")
		if e := <-events; e.Conn != hello["id"] || e.Gate != "/ws" || e.Reason != deny.AuthExpired || e.Identity.Subject != "ada" {
			t.Errorf("observed %+v", e)
		}
	})
}

// waiting is an authenticator that has not answered yet when the rules change.
type waiting struct {
	named
	asked, answer chan struct{}
}

func (w waiting) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	id, err := w.named.Authenticate(ctx, r)
	if id.Session = "s"; strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ada;1h") {
		id.KeyID = "old"
		close(w.asked)
		<-w.answer
	}
	return id, err
}

// without refuses credentials by a key that has left.
type without struct{ named }

func (without) Judge(id auth.Identity) error {
	if id.KeyID == "old" {
		return deny.Because(deny.AuthInvalid, nil)
	}
	return nil
}

func TestRenewalMeetsReload_SR43(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := waiting{asked: make(chan struct{}), answer: make(chan struct{})}
		rules := config(func(c *sallyport.Config) { c.Auth = auth.First(w) })
		door, err := sallyport.New(rules)
		if err != nil {
			t.Fatal(err)
		}
		s := sallyporttest.Serve(t, door)
		c, _ := speak(t, s, withChannel("ada;10s"))
		c.say(`{"t":"renew","token":"ada;1h"}`)
		<-w.asked
		rules.Auth = auth.First(without{})
		if err := door.Reload(rules); err != nil {
			t.Fatal(err)
		}
		close(w.answer)
		c.wantEnd(deny.PolicyChanged, 0)
		if err := door.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		s.Close()
	})
}

// Types that a later version may have are nobody's fault.
func TestUnknownTypesAreIgnored(t *testing.T) {
	for _, name := range []string{"", "tea", "a type", "größe", `\u0000`, strings.Repeat("x", 9000)} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				c, _ := speak(t, s, withChannel("ada"))
				c.say(`{"t":"` + name + `","ticket":7}`)
				c.text("?")
				c.wantText("?")
			})
		})
	}
}

// careless is a route that counts badly.
type careless struct{ choosing }

func (r careless) Open(context.Context, *sallyport.Handshake) (sallyport.Sink, error) { return r, nil }
func (careless) Opened(*sallyport.Conn)                                               {}
func (careless) Taken() int64                                                         { panic("boom") }

func TestRoutesThatCountBadlyEndOneConnection_SR76(t *testing.T) {
	for _, name := range []string{"on the clock", "for a probe", "at the end"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = careless{} }, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
				c, _ := speak(t, s, withChannel("ada"))
				want := deny.Internal
				switch name {
				case "for a probe":
					c.say(`{"t":"probe"}`)
				case "at the end":
					for conn := range door.Conns() {
						conn.End(deny.AdminClosed, nil)
					}
					want = deny.AdminClosed
				}
				c.wantEnd(want, 0)
			})
		})
	}
}

// inParts writes down the parts that it gets.
type inParts struct {
	choosing
	parts *[]sallyport.Part
}

func (r inParts) Open(context.Context, *sallyport.Handshake) (sallyport.Sink, error) { return r, nil }
func (inParts) Opened(*sallyport.Conn)                                               {}
func (r inParts) Part(_ *sallyport.Conn, p sallyport.Part) {
	p.Data = slices.Clone(p.Data)
	*r.parts = append(*r.parts, p)
}

// Only the last part of a message may be empty, and it begins with the first.
func TestTheByteAloneIsNoPart(t *testing.T) {
	var parts []sallyport.Part
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = inParts{parts: &parts} }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c, _ := speak(t, s, withChannel("ada"))
		for _, piece := range []string{"\x00", "", "a", "b"} {
			c.Raw(ws.AppendFrame(nil, ws.Client, false, map[bool]ws.Opcode{true: ws.Text}[piece == "\x00"], []byte(piece)))
			synctest.Wait()
		}
		c.Raw(ws.AppendFrame(nil, ws.Client, true, ws.Continuation, nil))
		c.text("")
		c.say(`{"t":"probe"}`)
		if got := c.control("beat")["got"]; got != 2.0 {
			t.Errorf("got %v", got)
		}
		var got []string
		for _, p := range parts {
			got = append(got, fmt.Sprintf("%q %t %t", p.Data, p.First, p.Last))
		}
		if want := []string{`"a" true false`, `"b" false false`, `"" false true`, `"" true true`}; !slices.Equal(got, want) {
			t.Errorf("the route got %v, want %v", got, want)
		}
	})
}

// Within a message that takes its time one beat waits, not one for every second.
func TestBeatsDoNotPileUpWithinAMessage(t *testing.T) {
	part := func(first, last bool) sallyport.Part {
		return sallyport.Part{Message: sallyport.Message{Kind: sallyport.Text, Data: []byte("x")}, First: first, Last: last}
	}
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Guard = &guard.Config{Idle: time.Hour} }, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		c, _ := speak(t, s, withChannel("ada;2h"))
		var conn *sallyport.Conn
		for conn = range door.Conns() {
		}
		conn.PostPart(part(true, false))
		for range 20 {
			c.say(`{"t":"probe"}`)
			time.Sleep(20 * time.Second)
		}
		c.say(`{"t":"renew","token":"ada;3h"}`)
		synctest.Wait()
		conn.PostPart(part(false, true))
		c.control("long")
		c.wantText("xx")
		c.control("beat")
		c.control("renewed")
		c.text("?")
		c.wantText("?")
	})
}

package sallyport_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
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

// Everything that speaks, renews, drains and ends at once, for the race detector;
// every client is told why in the end, and nothing is left.
func TestEverybodyAtOnce_SR75(t *testing.T) {
	bubble(t, func(c *sallyport.Config) {
		c.Gates[0].Guard = &guard.Config{Messages: 1_000_000, Bytes: 1 << 30}
		c.Gates[0].Route = sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
			for m, err := range c.Messages(ctx) {
				if err != nil {
					return err
				}
				c.Send(ctx, m)
			}
			return nil
		})
	}, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		var clients sync.WaitGroup
		for i := range 8 {
			c, _ := speak(t, s, withChannel(fmt.Sprintf("user-%d;1h", i)))
			clients.Go(func() { // says everything until nobody listens
				for _, text := range slices.Repeat([]string{"\x00hello", "\x01" + `{"t":"probe"}`, "\x01" + fmt.Sprintf(`{"t":"renew","token":"user-%d;2h"}`, i), "\x00"}, 50) {
					if _, err := c.Socket().Write(ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte(text))); err != nil {
						return
					}
					time.Sleep(time.Duration(i) * time.Millisecond)
				}
			})
			clients.Go(func() {
				announced := false
				for {
					m, err := c.Receive()
					switch {
					case err != nil:
						t.Errorf("client %d: %v", i, err)
						return
					case m.Op == ws.Close && !announced:
						t.Errorf("client %d: ended without a word", i)
						return
					case m.Op == ws.Close:
						return
					case announced:
						t.Errorf("client %d: got %q behind the end", i, m.Data)
					}
					announced = strings.HasPrefix(string(m.Data), "\x01") && strings.Contains(string(m.Data), `"t":"close"`)
				}
			})
		}
		for c := range door.Conns() {
			clients.Go(func() {
				time.Sleep(time.Duration(c.ID()[0]%5) * 20 * time.Millisecond)
				switch c.ID()[1] % 3 {
				case 0:
					c.End(deny.AdminClosed, nil)
				case 1:
					door.Revoke(t.Context(), guard.Match{Issuer: "test", Subject: c.Identity().Subject})
				}
			})
		}
		time.Sleep(30 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := door.Drain(ctx); err != nil {
			t.Error(err)
		}
		clients.Wait()
	})
}

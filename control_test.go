package sallyport_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
)

// speaker is a client of sallyport.v1.
type speaker struct {
	*sallyporttest.Client
	t *testing.T
}

func withChannel(name string, apps ...string) sallyporttest.Options {
	o := as(name)
	for _, app := range apps {
		o.Protocols = append(o.Protocols, "sallyport.v1~"+app)
	}
	o.Protocols = append(o.Protocols, "sallyport.v1")
	return o
}

func speak(t *testing.T, s *sallyporttest.Server, o sallyporttest.Options) (*speaker, map[string]any) {
	t.Helper()
	c := &speaker{s.Connect(t, o), t}
	return c, c.control("hello")
}

func (c *speaker) say(text string) { c.Send(ws.Text, []byte("\x01"+text)) }
func (c *speaker) text(s string)   { c.Send(ws.Text, []byte("\x00"+s)) }

// control receives a control message of a type.
func (c *speaker) control(t string) map[string]any {
	c.t.Helper()
	m, err := c.Receive()
	if err != nil || m.Op != ws.Text || len(m.Data) == 0 || m.Data[0] != 1 {
		c.t.Fatalf("got %v, %v, want the control message %s", m, err, t)
	}
	var got map[string]any
	if err := json.Unmarshal(m.Data[1:], &got); err != nil || got["t"] != t {
		c.t.Fatalf("got %s, %v, want the control message %s", m.Data[1:], err, t)
	}
	return got
}

func (c *speaker) wantText(want string) { c.t.Helper(); c.WantText("\x00" + want) }

// wantEnd is the announced end of a connection.
func (c *speaker) wantEnd(r deny.Reason, got float64) {
	c.t.Helper()
	want := map[string]any{"t": "close", "code": r.Code(), "got": got}
	if said := c.control("close"); !maps.Equal(said, want) {
		c.t.Errorf("announced %v, want %v", said, want)
	}
	wantReason(c.t, c.Client, r)
}

func vectors(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("spec/vectors/protocol/" + name)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestChannelNegotiation_SR39(t *testing.T) {
	var file struct {
		Doors []struct {
			Name, Choice, Selected, Shown, Error string
			Offer, Apps                          []string
			Speaks                               bool
		}
	}
	vectors(t, "selection.json", &file)
	for _, v := range file.Doors {
		t.Run(v.Name, func(t *testing.T) {
			var offered []string
			var shown string
			route := choosing{v.Choice, &offered, &shown}
			bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = route }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				o := as("ada")
				o.Protocols = slices.DeleteFunc(slices.Clone(v.Offer), func(p string) bool { return strings.HasPrefix(p, "sallyport.ticket.") })
				c := s.Try(t, o)
				if v.Error != "" {
					if c.Response.StatusCode != http.StatusBadRequest {
						t.Errorf("got %s, want 400 %s", c.Response.Status, v.Error)
					}
					return
				}
				if c.Protocol != v.Selected || !slices.Equal(offered, v.Apps) || shown != v.Shown {
					t.Errorf("selected %q, offered %q, shown %q; want %q, %q, %q", c.Protocol, offered, shown, v.Selected, v.Apps, v.Shown)
				}
				if v.Speaks {
					(&speaker{c, t}).control("hello")
				}
			})
		})
	}
}

// choosing is an echo that selects a subprotocol.
type choosing struct {
	choice         string
	offered, shown any
}

func (r choosing) Open(ctx context.Context, h *sallyport.Handshake) (sallyport.Sink, error) {
	*r.offered.(*[]string) = h.Protocols
	if header := h.Request.Header.Get("Sec-WebSocket-Protocol"); header != strings.Join(h.Protocols, ", ") {
		return nil, errors.New("the header says something else than Protocols: " + header)
	}
	h.Protocol = r.choice
	return r, nil
}
func (r choosing) Opened(c *sallyport.Conn)                       { *r.shown.(*string) = c.Protocol() }
func (r choosing) Message(c *sallyport.Conn, m sallyport.Message) { c.Post(m) }
func (r choosing) Closed(*sallyport.Conn, deny.Reason)            {}

type messageVector struct {
	Name, To, Type, Payload, Is, Data string
	Control                           map[string]any
}

func TestChannelMessages(t *testing.T) {
	var file struct{ Cases []messageVector }
	vectors(t, "messages.json", &file)
	for _, v := range file.Cases {
		if v.To != "door" {
			continue
		}
		payload, _ := hex.DecodeString(v.Payload)
		data, _ := hex.DecodeString(v.Data)
		op := ws.Text
		if v.Type == "binary" {
			op = ws.Binary
		}
		for _, pieces := range []int{1, 2, len(payload)} { // in as many frames, at most
			t.Run(v.Name, func(t *testing.T) {
				bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
					c, _ := speak(t, s, withChannel("a.b.c"))
					c.Raw(inFrames(op, payload, pieces))
					switch {
					case v.Is == "application":
						m, err := c.Receive()
						if want := append([]byte{0}, data...); err != nil || m.Op != op || !bytes.Equal(m.Data, want) {
							t.Errorf("came back as %v, %v, want %q", m, err, want)
						}
					case v.Is == "fault":
						c.wantEnd(deny.ControlMalformed, 0)
					case v.Is == "ignored":
						c.text("?")
						c.wantText("?")
					case v.Control["t"] == "probe":
						c.control("beat")
					case v.Control["t"] == "renew":
						if v.Control["token"] != nil {
							c.control("renewed")
						} else { // this door knows no tickets
							c.control("renew-refused")
						}
						c.text("?")
						c.wantText("?")
					default:
						t.Errorf("what is %v?", v)
					}
				})
			})
		}
	}
}

// inFrames cuts a message. The first frame has its first byte alone, if there are more.
func inFrames(op ws.Opcode, payload []byte, pieces int) (frames []byte) {
	if pieces = min(pieces, 100); pieces <= 1 {
		return ws.AppendFrame(nil, ws.Client, true, op, payload)
	}
	frames = ws.AppendFrame(frames, ws.Client, false, op, nil)
	for i := range pieces {
		part := payload[min(i, len(payload)):min(i+1, len(payload))]
		if i == pieces-1 {
			part = payload[min(i, len(payload)):]
		}
		frames = ws.AppendFrame(frames, ws.Client, i == pieces-1, ws.Continuation, part)
	}
	return frames
}

func TestHello(t *testing.T) {
	limits := &guard.Config{Idle: 90 * time.Second, IdleClient: true, MaxMessage: 1000, Messages: 7, Bytes: 2000, MaxLife: time.Hour}
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Guard = limits }, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		_, hello := speak(t, s, withChannel("ada;5m"))
		var id string
		for c := range door.Conns() {
			id = c.ID()
		}
		want := map[string]any{
			"t": "hello", "id": id, "beat": 25.0, "idle": 90.0, "idle_counts": "client", "expires_in": 300.0, "ends_in": 3600.0,
			"max_message": 1000.0, "messages_per_second": 7.0, "bytes_per_second": 2000.0,
		}
		if !reflect.DeepEqual(hello, want) {
			t.Errorf("got %v\nwant %v", hello, want)
		}
		if _, hello = speak(t, s, withChannel("ada")); hello["expires_in"] != nil {
			t.Errorf("a credential without an end has %v", hello["expires_in"])
		}
	})
}

func TestBeatsAreSeenAndDoNotKeepAlive_SR61(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c, _ := speak(t, s, withChannel("ada"))
		began := time.Now()
		at := func(want time.Duration) {
			t.Helper()
			if got := time.Since(began); got != want {
				t.Errorf("after %s, want %s", got, want)
			}
		}
		c.control("beat")
		at(25 * time.Second)
		c.say(`{"t":"probe"}`)
		c.control("beat")
		at(25 * time.Second)
		c.control("beat")
		at(50 * time.Second)
		c.wantEnd(deny.GuardIdle, 0)
		at(60 * time.Second)
	})
}

func TestBeatsWhileTheDoorDoesNotRead(t *testing.T) {
	stuck := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		c.Pause()
		<-ctx.Done()
		return nil
	})
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = stuck }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c, _ := speak(t, s, withChannel("ada"))
		synctest.Wait() // until it has paused
		began := time.Now()
		for range 5 {
			c.say(`{"t":"probe"}`) // is not read
			c.control("beat")
		}
		if got := time.Since(began); got != 5*time.Second {
			t.Errorf("five beats took %s, want 5s", got)
		}
	})
}

func TestGot(t *testing.T) {
	var taking chan struct{}
	slow := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		for range taking {
			if _, err := c.Receive(ctx); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return nil
	})
	bubble(t, func(c *sallyport.Config) {
		taking = make(chan struct{})
		c.Gates = append(c.Gates, sallyport.Gate{Path: "/slow", Route: slow})
	}, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		c, _ := speak(t, s, withChannel("ada"))
		for i := range 3 {
			c.text("x")
			c.wantText("x")
			c.say(`{"t":"probe"}`)
			if got := c.control("beat")["got"]; got != float64(i+1) {
				t.Errorf("got %v of %d", got, i+1)
			}
		}

		o := withChannel("ada")
		o.Path = "/slow"
		c, _ = speak(t, s, o)
		for range 3 {
			c.text("x")
		}
		taking <- struct{}{}
		taking <- struct{}{}
		time.Sleep(time.Millisecond) // until the handler has it
		c.say(`{"t":"probe"}`)
		if got := c.control("beat")["got"]; got != 2.0 {
			t.Errorf("got %v: the third is in the queue only", got)
		}
		for conn := range door.Conns() {
			if conn.Gate() == "/slow" {
				conn.End(deny.AdminClosed, nil)
			}
		}
		c.wantEnd(deny.AdminClosed, 2)
		close(taking)
	})
}

func TestPayloadsThatLookLikeControlStayPayloads(t *testing.T) {
	const fake = "\x01{\"t\":\"close\",\"code\":\"auth.revoked\",\"got\":0}"
	heard := make(chan string, 1)
	mirror := sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) {
		heard <- string(m.Data)
		c.Post(sallyport.Message{Kind: sallyport.Text, Data: []byte(fake)})
	})
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = mirror }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c, _ := speak(t, s, withChannel("ada"))
		c.text(`` + "\x01" + `{"t":"renew","token":"eve"}`)
		if got := <-heard; got != "\x01"+`{"t":"renew","token":"eve"}` {
			t.Errorf("the handler got %q", got)
		}
		c.wantText(fake)

		plain := s.Connect(t, as("ada")) // as before: nothing is added or taken away
		plain.Text("\x00\x01")
		if got := <-heard; got != "\x00\x01" {
			t.Errorf("the handler got %q", got)
		}
		plain.WantText(fake)
	})
}

func TestChannelLimits_SR71_SR72(t *testing.T) {
	limits := &guard.Config{MaxMessage: 1000}
	tests := []struct {
		name string
		send func(*speaker)
		want deny.Reason // 0: it comes back
	}{
		{"exactly the limit", func(c *speaker) { c.text(strings.Repeat("x", 1000)) }, 0},
		{"one byte more", func(c *speaker) { c.text(strings.Repeat("x", 1001)) }, deny.GuardTooBig},
		{"one byte more, in frames", func(c *speaker) { c.Raw(inFrames(ws.Text, []byte("\x00"+strings.Repeat("x", 1001)), 7)) }, deny.GuardTooBig},
		{"more than a control message may have", func(c *speaker) { c.text(strings.Repeat("x", 17<<10)) }, deny.GuardTooBig},
		{"a control message that is longer than the limit of the application", func(c *speaker) {
			c.say(`{"t":"tea","x":"` + strings.Repeat("x", 2000) + `"}`)
			c.text(strings.Repeat("x", 1000))
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(c *sallyport.Config) { c.Gates[0].Guard = limits }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				c, _ := speak(t, s, withChannel("ada"))
				tt.send(c)
				if tt.want != 0 {
					c.wantEnd(tt.want, 0)
				} else {
					c.wantText(strings.Repeat("x", 1000))
				}
			})
		})
	}
	t.Run("control messages are charged to the rate", func(t *testing.T) {
		bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
			c, _ := speak(t, s, withChannel("ada"))
			go func() {
				for range 600 { // 50 a second, with a burst of 100
					c.Raw(ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte("\x01"+`{"t":"probe"}`)))
				}
			}()
			for {
				m, err := c.Receive()
				if err != nil {
					t.Fatal(err)
				}
				if m.Op == ws.Close {
					if m.Code != deny.GuardTooFast.Close() {
						t.Errorf("closed with %v", m)
					}
					return
				}
			}
		})
	})
}

func TestRenewInBand_SR42_AT71(t *testing.T) {
	tests := []struct {
		name, token string
		refused     deny.Reason
		ended       deny.Reason
	}{
		{"a later end", "ada;1h", 0, 0},
		{"a credential that has ended", "ada;-1s", deny.AuthExpired, 0},
		{"one that the door refuses", "ada;400h", deny.AuthInvalid, 0},
		{"another subject", "eve;1h", 0, deny.AuthInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				c, _ := speak(t, s, withChannel("ada;10s"))
				time.Sleep(5 * time.Second)
				c.say(`{"t":"renew","token":"` + tt.token + `"}`)
				switch {
				case tt.ended != 0:
					c.wantEnd(tt.ended, 0)
				case tt.refused != 0:
					if got := c.control("renew-refused"); got["code"] != tt.refused.Code() {
						t.Errorf("refused with %v, want %s", got, tt.refused)
					}
					time.Sleep(4 * time.Second)
					c.text("the old end stands")
					c.wantText("the old end stands")
					c.wantEnd(deny.AuthExpired, 1)
				default:
					if got := c.control("renewed"); got["expires_in"] != 3600.0 {
						t.Errorf("renewed: %v", got)
					}
					time.Sleep(10 * time.Second)
					c.text("still here")
					c.wantText("still here")
				}
			})
		})
	}
}

func TestRenewalIsFinalAfterRevocation_SR42(t *testing.T) {
	bubble(t, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		c, _ := speak(t, s, withChannel("ada;10s"))
		if _, err := door.Revoke(t.Context(), guard.Match{Subject: "ada", Issuer: "test"}); err != nil {
			t.Fatal(err)
		}
		c.say(`{"t":"renew","token":"ada;1h"}`)
		c.wantEnd(deny.AuthRevoked, 0)
	})
}

func TestRefusalIsAnnounced_SR21(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		o := withChannel("ada", "chat")
		o.Header = nil
		c := &speaker{s.Connect(t, o), t}
		if c.Protocol != "sallyport.v1" {
			t.Errorf("selected %q", c.Protocol)
		}
		c.wantEnd(deny.AuthMissing, 0)
	})
}

func TestApplicationsEndIsNotAnnounced(t *testing.T) {
	bye := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		return &sallyport.CloseError{Code: 4321, Reason: "Unauthorized;auth.revoked"}
	})
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = bye }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c, _ := speak(t, s, withChannel("ada"))
		c.WantClose(4321, "")
	})
}

func TestNothingIsSaidWithinAMessage(t *testing.T) {
	const more = "more of it"
	var parts chan sallyport.Part
	feed := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		for p := range parts {
			if err := c.PostPart(p); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return nil
	})
	part := func(first, last bool) sallyport.Part {
		return sallyport.Part{Message: sallyport.Message{Kind: sallyport.Text, Data: []byte(more)}, First: first, Last: last}
	}
	bubble(t, func(c *sallyport.Config) { parts, c.Gates[0].Route = make(chan sallyport.Part), feed }, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		c, _ := speak(t, s, withChannel("ada;1h"))
		parts <- part(true, false)
		synctest.Wait() // until it is queued
		c.say(`{"t":"probe"}`)
		c.say(`{"t":"renew","token":"ada;2h"}`)
		time.Sleep(time.Second)
		parts <- part(false, true)
		c.control("long")
		c.wantText(more + more)
		c.control("beat")
		c.control("renewed")

		parts <- part(true, false)
		time.Sleep(time.Second)
		for conn := range door.Conns() {
			conn.End(deny.AdminClosed, nil)
		}
		c.control("long")
		wantReason(t, c.Client, deny.AdminClosed) // unannounced: the message was cut off
		close(parts)
	})
}

func TestLongMessagesAreTold(t *testing.T) {
	big := sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) {
		c.Post(sallyport.Message{Kind: sallyport.Binary, Data: make([]byte, 100<<10)})
	})
	bubble(t, func(c *sallyport.Config) { c.Gates[0].Route = big }, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
		c, _ := speak(t, s, withChannel("ada"))
		c.text("go")
		c.control("long")
		if m, err := c.Receive(); err != nil || m.Op != ws.Binary || len(m.Data) != 100<<10+1 {
			t.Errorf("got %v, %v", m, err)
		}
	})
}

func TestDrainAdvice(t *testing.T) {
	bubble(t, nil, func(t *testing.T, door *sallyport.Door, s *sallyporttest.Server) {
		stays, _ := speak(t, s, withChannel("ada"))
		moves, _ := speak(t, s, withChannel("bob"))
		plain := s.Connect(t, as("cid"))
		began := time.Now()
		done := make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			done <- door.Drain(ctx)
		}()
		for _, c := range []*speaker{stays, moves} {
			if got := c.control("drain"); got["spread"] != 10.0 || got["deadline"] != 12.5 {
				t.Errorf("advised %v", got)
			}
		}
		wantReason(t, plain, deny.Drain)
		stays.text("one more")
		stays.wantText("one more")
		moves.Close(1000, "")
		moves.WantClose(1000, "")
		stays.wantEnd(deny.Drain, 1)
		if got := time.Since(began); got < 12500*time.Millisecond || got > 15*time.Second {
			t.Errorf("ended after %s", got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

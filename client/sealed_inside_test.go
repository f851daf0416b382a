package client

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// sealedDoor is a scripted server behind a seal: its script seals what it likes.
type sealedDoor struct {
	t    *testing.T
	ring *seal.Ring
	seal *Seal
}

func newSealedDoor(t *testing.T) *sealedDoor {
	t.Helper()
	public, identity, _ := ed25519.GenerateKey(nil)
	now := time.Now()
	key, err := seal.GenerateKey(seal.Hybrid, now, now.Add(40*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	list, err := seal.Document{
		Authority: "door.example.com:443", Generation: 7, Issued: now, Expires: now.Add(31 * 24 * time.Hour), Keys: []seal.Entry{key.Entry()},
	}.Sign(identity)
	if err != nil {
		t.Fatal(err)
	}
	return &sealedDoor{t, ring, &Seal{
		Pins: []string{seal.PinOf(public).String()},
		Keys: func(context.Context, bool) ([]byte, error) { return list, nil },
	}}
}

// accept goes through the handshake and says what a door says first.
func (d *sealedDoor) accept(v *visitor) (*seal.Session, seal.Credential) {
	v.upgrade(seal.SealToken(""))
	message := func() []byte {
		op, data, err := v.receive()
		if err != nil || op != ws.Binary {
			d.t.Errorf("got %v, %v, want a message of the seal", op, err)
		}
		return []byte(data)
	}
	at := seal.Context{Token: seal.SealToken(""), Authority: "door.example.com:443", Target: "/chat?room=1"}
	server, answer, err := seal.Accept(d.ring, at, message(), seal.Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	v.raw(ws.AppendFrame(nil, ws.Server, true, ws.Binary, answer))
	session, cred, err := server.Authenticate(message())
	if err != nil {
		d.t.Fatal(err)
	}
	return session, cred
}

// say sends a record.
func (d *sealedDoor) say(v *visitor, record []byte, err error) {
	if err != nil {
		d.t.Error(err)
	}
	v.raw(ws.AppendFrame(nil, ws.Server, true, ws.Binary, record))
}

const sealedHello = "\x01" + `{"t":"hello","id":"c0ffee","beat":25,"idle":60,"ends_in":86400,"max_message":65536}`

// TestDoorBreaksItsWord: what a door itself puts into the seal against the rules is
// never delivered, and tells of the door.
func TestDoorBreaksItsWord_SR97(t *testing.T) {
	for _, tt := range []struct {
		name string
		say  func(d *sealedDoor, v *visitor, s *seal.Session)
		got  string
		code uint16
		text string
		next Status
	}{
		{"a text that is not UTF-8", func(d *sealedDoor, v *visitor, s *seal.Session) {
			r, err := s.Seal(nil, seal.Text, false, []byte("\x00\xff"))
			d.say(v, r, err)
		}, "", CodeSeal, "seal.malformed", Ended},
		{"a text that ends within a character", func(d *sealedDoor, v *visitor, s *seal.Session) {
			r, err := s.Seal(nil, seal.Text, true, []byte("\x00a\xc3"))
			d.say(v, r, err)
			r, err = s.Seal(nil, seal.Text, false, nil)
			d.say(v, r, err)
		}, "", CodeSeal, "seal.malformed", Ended},
		{"a character in two records", func(d *sealedDoor, v *visitor, s *seal.Session) {
			r, err := s.Seal(nil, seal.Text, true, []byte("\x00\xc3"))
			d.say(v, r, err)
			r, err = s.Seal(nil, seal.Text, false, []byte("\xbc"))
			d.say(v, r, err)
			r, err = s.End(nil, 4001, "Unauthorized")
			d.say(v, r, err)
		}, "ü", 4001, "Unauthorized", Ended},
		{"a record behind the end", func(d *sealedDoor, v *visitor, s *seal.Session) {
			r, err := s.End(nil, 1012, "bye")
			d.say(v, r, err)
			d.say(v, make([]byte, 64), nil)
		}, "", 1012, "bye", Waiting},
		{"a message that its end cuts off", func(d *sealedDoor, v *visitor, s *seal.Session) {
			r, err := s.Seal(nil, seal.Binary, true, []byte("\x00half"))
			d.say(v, r, err)
			r, err = s.End(nil, 1012, "bye")
			d.say(v, r, err)
		}, "", 1012, "bye", Waiting},
		{"a message that is too large", func(d *sealedDoor, v *visitor, s *seal.Session) {
			for range 3 {
				r, err := s.Seal(nil, seal.Binary, true, append([]byte{0}, make([]byte, 10_000)...))
				d.say(v, r, err)
			}
		}, "", 1009, "the message is larger than allowed", Waiting},
		{"a second hello", func(d *sealedDoor, v *visitor, s *seal.Session) {
			r, err := s.Seal(nil, seal.Text, false, []byte(sealedHello))
			d.say(v, r, err)
		}, "", CodeProtocol, "", Waiting},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d *sealedDoor
			bubble(t, func(t *testing.T, f *fakeDoor, o Options) {
				d = newSealedDoor(t)
				o.Seal, o.MaxMessage = d.seal, 20_000
				c, err := New(testURL, o)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				conn := c.Conn()
				got := ""
				<-conn.Context().Done()
				if tt.got != "" {
					got = receive(t, c)
				}
				if n := len(c.inbox.queue); n != 0 {
					t.Errorf("%d messages were delivered that should not be", n)
				}
				end, ok := errors.AsType[*CloseError](context.Cause(conn.Context()))
				if !ok || end.Code != tt.code || end.Text != tt.text || got != tt.got {
					t.Errorf("got %q and %+v", got, end)
				}
				synctest.Wait()
				if s := c.State().Status; s != tt.next {
					t.Errorf("then it is %s, want %s", s, tt.next)
				}
				c.Close(context.Background())
				if _, err := conn.sealed.session.Ratchet(nil); err == nil || tt.code < CodeSilent && !strings.Contains(err.Error(), "erased") {
					t.Errorf("the keys are not erased: %v", err)
				}
			}, func(v *visitor) {
				s, _ := d.accept(v)
				r, err := s.Seal(nil, seal.Text, false, []byte(sealedHello))
				d.say(v, r, err)
				time.Sleep(time.Second) // until the client has it
				tt.say(d, v, s)
				v.drop()
			})
		})
	}
}

// TestSealedCredentials: what a door gets of a credential, and of none.
func TestSealedCredentials_SR93(t *testing.T) {
	_, device, _ := ed25519.GenerateKey(nil)
	for _, tt := range []struct {
		name   string
		o      Options
		device bool
		want   seal.Credential
	}{
		{"none", Options{}, false, seal.Credential{}},
		{"none, of a device", Options{}, true, seal.Credential{}},
		{"a token", Options{Token: source("t0ken", nil)}, true, seal.Credential{Kind: seal.Token, Value: "t0ken"}},
		{"a ticket", Options{Ticket: source("sallyport.ticket.Zm9v", nil)}, false, seal.Credential{Kind: seal.Ticket, Value: "sallyport.ticket.Zm9v"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d *sealedDoor
			bubble(t, func(t *testing.T, f *fakeDoor, o Options) {
				d = newSealedDoor(t)
				tt.o.NetDial, tt.o.DangerouslyAllowPlaintext, tt.o.Seal = o.NetDial, o.DangerouslyAllowPlaintext, d.seal
				if tt.device {
					d.seal.Device = device
				}
				c := f.connect(tt.o)
				closeConn(t, c)
			}, func(v *visitor) {
				if got := fmt.Sprint(v.request.Header, v.offered()); strings.Contains(got, "t0ken") || strings.Contains(got, "ticket") {
					t.Errorf("the handshake shows %s", got)
				}
				s, cred := d.accept(v)
				if cred.Kind != tt.want.Kind || cred.Value != tt.want.Value || (cred.Thumbprint != "") != tt.device {
					t.Errorf("got %+v", cred)
				}
				r, err := s.Seal(nil, seal.Text, false, []byte(sealedHello))
				d.say(v, r, err)
				v.receive()
				r, err = s.End(nil, 1000, "")
				d.say(v, r, err)
				v.drop()
			})
		})
	}
}

// TestKeysOfASleeper: after a sleep an agreement is due sooner, and never sooner
// than the door allows, by the clock that a sleep stops.
func TestKeysOfASleeper_SR97(t *testing.T) {
	for _, tt := range []struct {
		name        string
		wall        time.Duration // since the agreement
		awake       time.Duration // … without what was slept
		gap         time.Duration // since the last record
		offer, step bool
	}{
		{"young", 9 * time.Minute, 9 * time.Minute, 25 * time.Second, false, false},
		{"a key that is old", 10 * time.Minute, 10 * time.Minute, 25 * time.Second, false, true},
		{"an agreement that is old", time.Hour, time.Hour, 25 * time.Second, true, true},
		{"a short sleep", 9 * time.Minute, 5 * time.Minute, 4 * time.Minute, false, false},
		{"a sleep", 11 * time.Minute, 5 * time.Minute, 6 * time.Minute, true, true},
		{"a long sleep just after the agreement", 8 * time.Hour, time.Minute, 8 * time.Hour, false, true},
		{"a clock that was set back", -time.Hour, 9 * time.Minute, -time.Hour, false, false},
		{"a clock that was set back, and a key that is old", -24 * time.Hour, 10 * time.Minute, 25 * time.Second, false, true},
		{"a clock that was set back, and an agreement that is old", -24 * time.Hour, time.Hour, 25 * time.Second, true, true},
	} {
		now := time.Now()
		wall := now.Round(0)
		then := instant{wall.Add(-tt.wall), now.Add(-tt.awake)}
		s := &sealed{since: then, agreed: then, heard: wall.Add(-tt.gap)}
		if due := s.opened(seal.Text); due != (tt.offer || tt.step) {
			t.Errorf("%s: due %t", tt.name, due)
		}
		if offer, step := s.dueNow(now); offer != tt.offer || step != tt.step {
			t.Errorf("%s: an offer %t, a step %t", tt.name, offer, step)
		}
		s.offered = true
		if offer, _ := s.dueNow(now); offer {
			t.Errorf("%s: two agreements at once", tt.name)
		}
	}
}

// TestKeysAgeInSilence: of a client that only hears beats, the keys are stepped and
// made anew, and it turns to the new ones at once.
func TestKeysAgeInSilence_SR97(t *testing.T) {
	var d *sealedDoor
	kinds := map[seal.Kind]int{}
	bubble(t, func(t *testing.T, f *fakeDoor, o Options) {
		d = newSealedDoor(t)
		o.Seal = d.seal
		c := f.connect(o)
		time.Sleep(2*time.Hour + 10*time.Minute)
		c.cut(errors.New("enough"))
		<-c.released
		f.busy.Wait()
		if kinds[seal.Offer] != 2 || kinds[seal.Turn] != 2 || kinds[seal.Filler] < 8 {
			t.Errorf("records of each kind: %v", kinds)
		}
	}, func(v *visitor) {
		s, _ := d.accept(v)
		r, err := s.Seal(nil, seal.Text, false, []byte(sealedHello))
		for {
			d.say(v, r, err)
			began := time.Now()
			v.socket.SetReadDeadline(began.Add(20 * time.Second))
			op, data, lost := v.receive()
			switch {
			case time.Since(began) >= 20*time.Second:
				r, err = s.Seal(nil, seal.Text, false, []byte("\x01"+`{"t":"beat","got":0}`))
				continue
			case lost != nil || op != ws.Binary:
				return
			}
			got, openErr := s.Open([]byte(data))
			if openErr != nil {
				t.Error(openErr)
				return
			}
			kinds[got.Kind]++
			if r, err = s.Reply(nil); len(r) == 0 {
				r, err = s.Seal(nil, seal.Filler, false, nil)
			} else if kinds[seal.Offer] != kinds[seal.Turn]+1 {
				t.Errorf("an answer after %v", kinds)
			}
		}
	})
}

// TestRecentKeys: when a list that was fetched before may be used.
func TestRecentKeys(t *testing.T) {
	now := time.Now().Round(0)
	for _, tt := range []struct {
		name     string
		at, ends time.Duration
		want     bool
	}{
		{"fetched just now", 0, time.Hour, true},
		{"fetched five minutes ago", -5 * time.Minute, time.Hour, false},
		{"fetched later, by a clock that was set back since", time.Second, time.Hour, false},
		{"over", -time.Minute, 0, false},
	} {
		s := &Seal{known: map[string]known{"a": {seal.Document{Expires: now.Add(tt.ends)}, now.Add(tt.at)}}}
		if _, ok := s.recent("a", now); ok != tt.want {
			t.Errorf("%s: %t", tt.name, ok)
		}
	}
	if _, ok := new(Seal).recent("a", now); ok {
		t.Error("never fetched")
	}
}

// TestShownUnderASeal: the handshake shows nothing that the endpoint of tickets gets.
func TestShownUnderASeal_SR93(t *testing.T) {
	p, err := newPlan("wss://app.example.com/chat", Options{
		TicketURL: "https://app.example.com/t", Header: map[string][]string{"Cookie": {"a"}, "authorization": {"b"}, "User-Agent": {"c"}},
		Seal: &Seal{Pins: []string{seal.PinOf(make([]byte, 32)).String()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	offered, header := p.shown(credential{ticket: "sallyport.ticket.Zm9v"})
	if len(header) != 1 || header.Get("User-Agent") != "c" || len(offered) != 1 || offered[0] != "sallyport.v1+seal" {
		t.Errorf("it shows %q and %v", offered, header)
	}
	if len(p.Header) != 3 {
		t.Errorf("the endpoint gets %v", p.Header)
	}
}

// TestStrikesInARow: a connection, or another failure, begins the count anew.
func TestStrikesInARow(t *testing.T) {
	m := newMachine(Backoff{Base: time.Second, Max: time.Second, Stable: 10 * time.Second}, false, func() float64 { return 0.5 })
	now := time.Second
	m.connect(now)
	strike, other := verdict{do: deny.Later, other: true}, verdict{do: deny.Later}
	fail := func(n int, v verdict) {
		for range n {
			now += 2 * time.Second
			m.look(now)
			m.failed(now, m.trying, v)
		}
	}
	fail(maxStrikes-1, strike)
	fail(1, other)
	fail(maxStrikes-1, strike)
	now += 2 * time.Second
	m.look(now)
	m.succeeded(now, m.trying)
	m.ended(now, m.current, other)
	fail(maxStrikes-1, strike)
	if m.state.Status == Ended {
		t.Error("it ended before its time")
	}
	if fail(1, strike); m.state.Status != Ended {
		t.Errorf("it is %s", m.state.Status)
	}
}

// TestSealIsBounded: one Seal remembers so many servers, and refuses the next.
func TestSealIsBounded(t *testing.T) {
	s := &Seal{}
	s.queue()
	for i := range maxAuthorities {
		s.known[fmt.Sprint(i)] = known{}
	}
	_, err := s.accept(t.Context(), nil, &sealPlan{at: seal.Context{Authority: "one more"}})
	if seal.FaultOf(err) != seal.FaultDocument || !strings.Contains(err.Error(), "1000 servers") {
		t.Errorf("got %v", err)
	}
	if _, err = s.accept(t.Context(), nil, &sealPlan{at: seal.Context{Authority: "7"}}); err == nil || strings.Contains(err.Error(), "servers") {
		t.Errorf("one that is known: got %v", err)
	}
	s.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = s.accept(ctx, nil, &sealPlan{}); !errors.Is(err, context.Canceled) {
		t.Errorf("behind somebody who hangs: got %v", err)
	}
}

// TestJudgeSeal: what follows an error of the seal.
func TestJudgeSeal_AT28(t *testing.T) {
	fault := func(f seal.Fault) error { return &seal.Error{Fault: f, Cause: errors.New("x")} }
	ended := func(code uint16, f seal.Fault) error {
		return &CloseError{Code: code, Text: string(f), Local: code == CodeSeal, Err: fault(f)}
	}
	for _, tt := range []struct {
		name  string
		err   error
		do    deny.Client
		other bool
	}{
		{"no pinned identity", fault(seal.FaultPin), deny.Later, true},
		{"a list that is too old", fault(seal.FaultDocument), deny.Later, true},
		{"a list that could not be had", noKeys(fmt.Errorf("get: %w", unjudged{errors.New("no network")})), deny.Later, false},
		{"stripped", fault(seal.FaultUnsealed), deny.Later, true},
		{"a broken handshake", fault(seal.FaultHandshake), deny.Later, false},
		{"a broken record", ended(CodeSeal, seal.FaultBroken), deny.Later, false},
		{"a door that breaks its word", ended(CodeSeal, seal.FaultMalformed), deny.Never, false},
		{"a cut", ended(1006, seal.FaultTruncated), deny.Later, false},
		{"a refusal outside", &RefusedError{Status: 403, Reason: deny.SealRequired, RetryAfter: time.Hour, Outside: true}, deny.Later, false},
		{"a refusal inside", &RefusedError{Status: 101, Reason: deny.SealUnbound}, deny.Reauth, false},
	} {
		if v := judge(fmt.Errorf("client: %w", tt.err), nil); v.do != tt.do || v.other != tt.other || v.after != 0 {
			t.Errorf("%s: got %+v", tt.name, v)
		}
	}
}

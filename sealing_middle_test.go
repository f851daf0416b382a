package sallyport_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
	"github.com/sallyport/sallyport/seal"
)

// Messages of a sealed connection, as whoever is in between sees them.
const (
	clientHello = iota
	clientAuth
	clientFirst
	clientSecond
	serverHello
	serverGreeting
	serverFirst
	serverSecond
	messages
)

var messageNames = [messages]string{"ClientHello", "auth", "the client's first record", "the client's second record",
	"ServerHello", "the door's greeting", "the door's first record", "the door's second record"}

// middle is whoever ends TLS: it has every message in its hands.
type middle struct {
	t      *testing.T
	server *sallyporttest.Server
	keys   sealingKeys
	device ed25519.PrivateKey

	// Of one connection.
	change func(n int, message []byte) [][]byte // what is sent on instead
	seen   [messages][]byte
	heard  string      // by the application
	ended  deny.Reason // by the door
	got    string      // by the client
	fault  seal.Fault  // by the client
}

// connect takes a client through a connection on which two messages are echoed.
func (m *middle) connect(change func(n int, message []byte) [][]byte) {
	m.t.Helper()
	m.change, m.seen, m.heard, m.ended, m.got, m.fault = change, [messages][]byte{}, "", 0, "", ""
	c := m.server.Connect(m.t, sallyporttest.Options{Path: "/ws", Protocols: []string{"sallyport.v1+seal"}})
	defer func() {
		c.Socket().Close()
		synctest.Wait()
	}()
	at := seal.Context{Token: c.Protocol, Authority: "app.example.com:443", Target: "/ws", Origin: "https://app.example.com"}
	client, hello, err := seal.NewClient(m.keys.entry, at, seal.Options{})
	if err != nil {
		m.t.Fatal(err)
	}
	m.up(c, clientHello, hello)
	waiting := [][]byte{} // for the client
	down := func(n int) (message []byte, ok bool) {
		for len(waiting) == 0 {
			in, err := c.Receive()
			if err != nil || in.Op != ws.Binary {
				return nil, false
			}
			if waiting = m.pass(n, in.Data); len(waiting) == 0 {
				n++ // kept back
			}
		}
		message, waiting = waiting[0], waiting[1:]
		return message, true
	}
	answer, ok := down(serverHello)
	if !ok {
		return
	}
	session, auth, err := client.Finish(answer, bearer("ada@key"), m.device)
	if err != nil {
		m.fault = seal.FaultOf(err)
		return
	}
	m.up(c, clientAuth, auth)
	for n := serverGreeting; n < messages; n++ {
		message, ok := down(n)
		if !ok {
			return
		}
		r, err := session.Open(bytes.Clone(message))
		if err != nil {
			m.fault = seal.FaultOf(err)
			return
		}
		if r.Kind == seal.Text && r.Data[0] == 0 { // else the door's own
			m.got += string(r.Data[1:])
		}
		if n == serverGreeting {
			for i, text := range []string{"\x00a", "\x00b"} {
				record, err := session.Seal(nil, seal.Text, false, []byte(text))
				if err != nil {
					m.t.Fatal(err)
				}
				m.up(c, clientFirst+i, record)
			}
		}
	}
	if len(waiting) > 0 { // what was added behind the last
		_, err := session.Open(waiting[0])
		m.fault = seal.FaultOf(err)
		return
	}
	if m.ended == 0 {
		if in, err := c.Receive(); err == nil && in.Op == ws.Binary { // what was added up the line
			session.Open(in.Data)
		}
	}
}

// pass says what becomes of a message.
func (m *middle) pass(n int, message []byte) [][]byte {
	m.seen[n] = bytes.Clone(message)
	if m.change == nil {
		return [][]byte{message}
	}
	return m.change(n, bytes.Clone(message))
}

func (m *middle) up(c *sallyporttest.Client, n int, message []byte) {
	for _, b := range m.pass(n, message) {
		if m.ended == 0 {
			c.Socket().Write(ws.AppendFrame(nil, ws.Client, true, ws.Binary, b))
			synctest.Wait()
		}
	}
}

// at changes one message and leaves the others.
func at(which int, change func(message []byte) [][]byte) func(int, []byte) [][]byte {
	return func(n int, message []byte) [][]byte {
		if n == which {
			return change(message)
		}
		return [][]byte{message}
	}
}

// outcome is the outcome of a changed message: a reason of the door, or a fault of the
// client.
func outcome(n, byteAt int) (deny.Reason, seal.Fault) {
	switch {
	case n == clientHello && byteAt >= 1 && byteAt < 11: // suite and name of the key, which everybody can read
		return deny.SealKeys, ""
	case n == clientHello, n == clientAuth:
		return deny.SealHandshake, ""
	case n == serverHello:
		return 0, seal.FaultHandshake
	case n < serverHello:
		return deny.SealBroken, ""
	}
	return 0, seal.FaultBroken
}

// want checks the end, and that what was heard is the beginning of what was said:
// nothing from the changed message on.
func (m *middle) want(what string, n int, reason deny.Reason, fault seal.Fault) {
	m.t.Helper()
	if reason != 0 && m.ended != reason || m.fault != fault {
		m.t.Errorf("%s: the door says %s, the client %q; want %s, %q", what, m.ended, m.fault, reason, fault)
	}
	heard, got := "ab", "ab"
	if n < serverHello {
		heard = heard[:max(0, n-clientFirst)]
	} else {
		got = got[:max(0, n-serverFirst)]
	}
	if !strings.HasPrefix(heard, m.heard) || !strings.HasPrefix(got, m.got) {
		m.t.Errorf("%s: the application heard %q, the client %q; want no more than %q, %q", what, m.heard, m.got, heard, got)
	}
}

func middleBubble(t *testing.T, f func(t *testing.T, m *middle)) {
	t.Helper()
	_, device, _ := ed25519.GenerateKey(nil)
	m := &middle{device: device}
	listen := sallyport.OnMessage(func(c *sallyport.Conn, in sallyport.Message) { m.heard += string(in.Data); c.Post(in) })
	sealedBubble(t, sallyport.SealRequired, func(c *sallyport.Config) {
		c.Gates[0].Route = listen
		c.Observe = func(e sallyport.Event) {
			if e.Kind == sallyport.Ended || e.Kind == sallyport.Refused {
				m.ended = e.Reason
			}
		}
	}, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server, k sealingKeys) {
		m.t, m.server, m.keys = t, s, k
		m.connect(nil)
		if m.heard != "ab" || m.got != "ab" || m.fault != "" {
			t.Fatalf("unchanged, the application heard %q, the client %q, %s", m.heard, m.got, m.fault)
		}
		f(t, m)
	})
}

// TestMiddleFlipsEveryByte flips one bit of each byte of each message in turn; under
// the race detector, which makes that slow, of some.
func TestMiddleFlipsEveryByte_SR97(t *testing.T) {
	for n, name := range messageNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			middleBubble(t, func(t *testing.T, m *middle) {
				step := 1
				if underRace {
					step = 37
				}
				for i, size := 0, len(m.seen[n]); i < size; i += step {
					m.connect(at(n, func(b []byte) [][]byte {
						if i < len(b) { // the greeting has no fixed length
							b[i] ^= 1 << (i % 8)
						} else {
							b[len(b)-1] ^= 1
						}
						return [][]byte{b}
					}))
					reason, fault := outcome(n, i)
					m.want(fmt.Sprintf("byte %d", i), n, reason, fault)
				}
			})
		})
	}
}

// TestMiddle does to whole messages whatever can be done to them.
func TestMiddle_SR97(t *testing.T) {
	type row struct {
		name   string
		n      int
		change func(m *middle, first [messages][]byte) func(int, []byte) [][]byte
		reason deny.Reason
		fault  seal.Fault
	}
	var rows []row
	for n, name := range messageNames {
		reason, fault := outcome(n, 0)
		add := func(what string, f func(b []byte, first [messages][]byte) [][]byte) {
			rows = append(rows, row{name + " " + what, n, func(_ *middle, first [messages][]byte) func(int, []byte) [][]byte {
				return at(n, func(b []byte) [][]byte { return f(b, first) })
			}, reason, fault})
		}
		add("is emptied", func(b []byte, _ [messages][]byte) [][]byte { return [][]byte{{}} })
		add("is cut to one byte", func(b []byte, _ [messages][]byte) [][]byte { return [][]byte{b[:1]} })
		add("is cut in half", func(b []byte, _ [messages][]byte) [][]byte { return [][]byte{b[:len(b)/2]} })
		add("lacks its last byte", func(b []byte, _ [messages][]byte) [][]byte { return [][]byte{b[:len(b)-1]} })
		add("has a byte more", func(b []byte, _ [messages][]byte) [][]byte { return [][]byte{append(b, 0)} })
		add("comes in two messages", func(b []byte, _ [messages][]byte) [][]byte { return [][]byte{b[:len(b)/2], b[len(b)/2:]} })
		add("is much too long", func(b []byte, _ [messages][]byte) [][]byte { return [][]byte{append(b, make([]byte, 17<<10)...)} })
		for other, of := range messageNames {
			if other == clientHello && n == clientHello {
				continue // below
			}
			add("is replaced by "+of+" of another connection", func(_ []byte, first [messages][]byte) [][]byte { return [][]byte{first[other]} })
		}
		dup := row{name + " is doubled", n + 1, func(*middle, [messages][]byte) func(int, []byte) [][]byte {
			return at(n, func(b []byte) [][]byte { return [][]byte{b, bytes.Clone(b)} })
		}, deny.SealBroken, ""}
		switch {
		case n == clientHello: // the second is no credential
			dup.reason = deny.SealHandshake
		case n == clientSecond:
			dup.n = messages
		case n >= serverHello:
			dup.reason, dup.fault = 0, seal.FaultBroken
		}
		rows = append(rows, dup)
	}
	rows = append(rows,
		row{"ClientHello of another connection", clientHello, func(_ *middle, first [messages][]byte) func(int, []byte) [][]byte {
			return at(clientHello, func([]byte) [][]byte { return [][]byte{first[clientHello]} })
		}, 0, seal.FaultHandshake}, // the door answers; whoever has not the key of that hello can't go on
		row{"all of another connection", clientHello, func(_ *middle, first [messages][]byte) func(int, []byte) [][]byte {
			return at(clientHello, func([]byte) [][]byte { return [][]byte{first[clientHello], first[clientAuth], first[clientFirst]} })
		}, deny.SealHandshake, seal.FaultHandshake},
		row{"the client's records are exchanged", clientFirst, func(*middle, [messages][]byte) func(int, []byte) [][]byte {
			return exchanged(clientFirst)
		}, deny.SealBroken, ""},
		row{"the door's records are exchanged", serverFirst, func(*middle, [messages][]byte) func(int, []byte) [][]byte {
			return exchanged(serverFirst)
		}, 0, seal.FaultBroken},
		row{"the client's first record is left out", clientFirst, func(*middle, [messages][]byte) func(int, []byte) [][]byte {
			return at(clientFirst, func([]byte) [][]byte { return nil })
		}, deny.SealBroken, ""},
		row{"the door's greeting is left out", serverGreeting, func(*middle, [messages][]byte) func(int, []byte) [][]byte {
			return func(n int, b []byte) [][]byte {
				if n == serverGreeting {
					return [][]byte{append([]byte{0x10}, make([]byte, 48)...)}
				}
				return [][]byte{b}
			}
		}, 0, seal.FaultBroken},
		row{"the client's record comes back to it", serverFirst, func(m *middle, _ [messages][]byte) func(int, []byte) [][]byte {
			return at(serverFirst, func([]byte) [][]byte { return [][]byte{m.seen[clientFirst]} })
		}, 0, seal.FaultBroken},
		row{"the door's record comes back to it", clientFirst, func(m *middle, _ [messages][]byte) func(int, []byte) [][]byte {
			return at(clientFirst, func([]byte) [][]byte { return [][]byte{m.seen[serverGreeting]} })
		}, deny.SealBroken, ""},
		row{"the credential comes a second time", clientFirst, func(m *middle, _ [messages][]byte) func(int, []byte) [][]byte {
			return at(clientFirst, func([]byte) [][]byte { return [][]byte{m.seen[clientAuth]} })
		}, deny.SealBroken, ""},
	)
	middleBubble(t, func(t *testing.T, m *middle) {
		first := m.seen
		for _, r := range rows {
			m.connect(r.change(m, first))
			m.want(r.name, r.n, r.reason, r.fault)
		}
	})
}

// exchanged holds a message back until the next was sent.
func exchanged(which int) func(int, []byte) [][]byte {
	var held []byte
	return func(n int, message []byte) [][]byte {
		switch n {
		case which:
			held = message
			return nil
		case which + 1:
			return [][]byte{message, held}
		}
		return [][]byte{message}
	}
}

// Whoever is in between offers something else than the client does, or shows it
// another answer than the door's: the door of a gate that requires the seal admits
// nobody, the client of a pin goes on with nothing.
func TestStrippedSeal_AT28(t *testing.T) {
	for _, tt := range []struct {
		name    string
		sent    []string // by the client, which has a pin
		arrives []string // at the door
		shown   string   // to the client, instead of what was selected
		reason  deny.Reason
		fault   seal.Fault
	}{
		{"the offer is left out", []string{"sallyport.v1+seal"}, []string{}, "sallyport.v1+seal", deny.SealRequired, ""},
		{"a plain channel is offered", []string{"sallyport.v1+seal"}, []string{"sallyport.v1"}, "", deny.SealRequired, seal.FaultUnsealed},
		{"a plain application is offered", []string{"sallyport.v1+seal~chat"}, []string{"chat"}, "", deny.SealRequired, seal.FaultUnsealed},
		{"the answer is plain", []string{"sallyport.v1+seal~chat"}, nil, "sallyport.v1~chat", 0, seal.FaultUnsealed},
		{"the answer names nothing", []string{"sallyport.v1+seal~chat"}, nil, "-", 0, seal.FaultUnsealed},
		{"another application", []string{"sallyport.v1+seal~chat", "sallyport.v1+seal~admin"}, []string{"sallyport.v1+seal~admin"}, "", 0, seal.FaultUnsealed},
		{"another application, and the answer is forged", []string{"sallyport.v1+seal~chat"}, []string{"sallyport.v1+seal~admin"}, "sallyport.v1+seal~chat", deny.SealHandshake, ""},
		{"plain beside sealed", []string{"sallyport.v1+seal~chat"}, []string{"sallyport.v1", "chat", "sallyport.v1+seal~chat"}, "", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			middleBubble(t, func(t *testing.T, m *middle) {
				m.ended, m.heard = 0, ""
				arrives := tt.arrives
				if arrives == nil {
					arrives = tt.sent
				}
				c := m.server.Connect(t, sallyporttest.Options{Path: "/ws", Protocols: arrives, Header: map[string][]string{"Authorization": {"Bearer eve"}}})
				defer c.Socket().Close()
				shown := c.Protocol
				switch tt.shown {
				case "":
				case "-":
					shown = ""
				default:
					shown = tt.shown
				}
				if got := seal.FaultOf(seal.CheckSelected(tt.sent, shown)); got != tt.fault {
					t.Errorf("shown %q the client says %q, want %q", shown, got, tt.fault)
				}
				_, hello, err := seal.NewClient(m.keys.entry, seal.Context{
					Token: tt.sent[0], Authority: "app.example.com:443", Target: "/ws", Origin: "https://app.example.com",
				}, seal.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if tt.fault == "" {
					c.Socket().Write(ws.AppendFrame(nil, ws.Client, true, ws.Binary, hello))
				}
				if synctest.Wait(); m.ended != tt.reason || m.heard != "" {
					t.Errorf("the door says %s and heard %q, want %s", m.ended, m.heard, tt.reason)
				}
			})
		})
	}
}

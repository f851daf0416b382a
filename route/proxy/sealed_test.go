package proxy

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/seal"
)

// sealedWire is a client of the seal.
type sealedWire struct {
	*wire
	session *seal.Session
}

// sealedDoor serves a door that requires the seal before a backend.
func sealedDoor(t *testing.T, backend string) (s *setup, addr string, entry seal.Entry) {
	t.Helper()
	return sealedDoorWith(t, Config{To: "ws://" + backend}, sallyport.SealRequired)
}

func sealedDoorWith(t *testing.T, c Config, required sallyport.Seal) (s *setup, addr string, entry seal.Entry) {
	t.Helper()
	route, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s = &setup{events: make(chan sallyport.Event, 1024)}
	config, entry := sealedConfig(t, route, required)
	config.Observe = func(e sallyport.Event) {
		if e.Kind != sallyport.Admitted {
			s.events <- e
		}
	}
	d, err := sallyport.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return s, s.serve(t, d), entry
}

// sealedConfig is a door before route, and what its clients pin.
func sealedConfig(t *testing.T, route sallyport.Route, required sallyport.Seal) (sallyport.Config, seal.Entry) {
	t.Helper()
	now := time.Now()
	key, err := seal.GenerateKey(seal.Hybrid, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	id := alice
	id.Method = "jwt" // with another, a credential could be meant for the backend
	return sallyport.Config{
		Origin: origin.Config{Trusted: []string{page}, Hosts: []string{"door.example"}},
		Auth:   as(id), Guard: fast,
		Gates:   []sallyport.Gate{{Path: "/ws/", Route: route, Seal: required, AllowUnbound: true}},
		Sealing: &sallyport.Sealing{Ring: ring, Document: []byte("not asked for")},
	}, key.Entry()
}

// dialSealed opens a sealed connection and reads its greeting.
func dialSealed(t *testing.T, addr string, entry seal.Entry, header http.Header) *sealedWire {
	t.Helper()
	token := seal.SealToken("chat")
	response, w := dial(t, addr, "/ws/room?q=1", header, token)
	if response.StatusCode != 101 || response.Header.Get("Sec-Websocket-Protocol") != token {
		t.Fatalf("got %d and %q", response.StatusCode, response.Header.Get("Sec-Websocket-Protocol"))
	}
	at := seal.Context{Token: token, Authority: "door.example:443", Target: "/ws/room?q=1", Origin: page}
	client, hello, err := seal.NewClient(entry, at, seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.send(ws.Binary, hello)
	_, answer, err := w.message()
	if err != nil {
		t.Fatal(err)
	}
	session, record, err := client.Finish(answer, seal.Credential{Kind: seal.Token, Value: "inside"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.send(ws.Binary, record)
	return &sealedWire{w, session}
}

// open receives a record.
func (c *sealedWire) open() seal.Record {
	c.t.Helper()
	op, data, err := c.message()
	if err != nil || op != ws.Binary {
		c.t.Fatalf("got %v, %v, want a record", op, err)
	}
	r, err := c.session.Open(data)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// whole receives a message of the application, among those of the door.
func (c *sealedWire) whole() (kind seal.Kind, text string) {
	c.t.Helper()
	for {
		var b []byte
		r := c.open()
		for kind = r.Kind; ; r = c.open() {
			if b = append(b, r.Data...); !r.More {
				break
			}
		}
		if kind == seal.End {
			c.t.Fatalf("ended with %d %q", r.Code, r.Reason)
		}
		if len(b) > 0 && b[0] == 0 {
			return kind, string(b[1:])
		}
	}
}

// say seals a message in records of at most n bytes.
func (c *sealedWire) say(kind seal.Kind, text string, n int) {
	c.t.Helper()
	for rest := "\x00" + text; rest != ""; {
		part := rest[:min(n, len(rest))]
		rest = rest[len(part):]
		record, err := c.session.Seal(nil, kind, rest != "", []byte(part))
		if err != nil {
			c.t.Fatal(err)
		}
		c.send(ws.Binary, record)
	}
}

// end receives everything to the sealed end, and what was announced before it.
func (c *sealedWire) end() (code uint16, reason, announced string) {
	c.t.Helper()
	for {
		r := c.open()
		if r.Kind == seal.End {
			return r.Code, r.Reason, announced
		}
		announced = string(r.Data)
	}
}

// A backend that knows nothing of the seal gets the messages of a sealed client as
// they are, and nothing that was shown outside the seal.
func TestSealedClientBeforeAnUnchangedBackend_AT28(t *testing.T) {
	big := strings.Repeat("größe ", 40_000)
	messages := []arrived{{ws.Text, ""}, {ws.Binary, ""}, {ws.Text, "hällo"}, {ws.Binary, "\x00\x01\xff"}, {ws.Text, big}, {ws.Text, "the last"}}
	head := make(chan *http.Request, 1)
	f := backendAt(t, func(conn net.Conn) {
		r, w := accept(t, conn)
		if w == nil {
			return
		}
		head <- r
		for {
			op, data, err := w.message()
			if c, ok := errors.AsType[*closed](err); ok {
				w.close(c.code, "")
			}
			if err != nil {
				return
			}
			w.send(op, data)
			if string(data) == "the last" {
				w.close(4321, "done")
			}
		}
	})
	s, addr, entry := sealedDoor(t, f.addr)
	c := dialSealed(t, addr, entry, http.Header{"Authorization": {"Bearer eve"}, "Cookie": {"session=eve"}})
	for _, m := range messages {
		kind := seal.Text
		if m.op == ws.Binary {
			kind = seal.Binary
		}
		c.say(kind, m.data, 5000)
		if gotKind, got := c.whole(); gotKind != kind || got != m.data {
			t.Errorf("got %v %.40q (%d bytes), want %v %.40q", gotKind, got, len(got), kind, m.data)
		}
	}
	if code, reason, _ := c.end(); code != 4321 || reason != "done" {
		t.Errorf("ended with %d %q", code, reason)
	}
	c.wantClose(1000, "")
	if err := c.session.Closed(); err != nil {
		t.Error(err)
	}
	if got := s.reason(t); got != deny.BackendClosed {
		t.Errorf("ended with %s", got)
	}
	r := <-head
	if got := strings.Join(r.Header.Values("Sec-Websocket-Protocol"), "|"); got != "chat" {
		t.Errorf("the backend was offered %q", got)
	}
	for name, lines := range r.Header {
		if all := strings.Join(lines, "\n"); strings.Contains(all, "eve") || strings.Contains(all, "inside") || strings.Contains(all, "sallyport.v1") {
			t.Errorf("the backend was shown %s: %q", name, lines)
		}
	}
}

// The token of the seal was selected before the backend was asked: it must select
// what that promised.
func TestSealedBackendSelectsSomethingElse(t *testing.T) {
	for _, selected := range []string{"", "mqtt", "sallyport.v1+seal~chat"} {
		t.Run(selected, func(t *testing.T) {
			f := backendAt(t, func(conn net.Conn) {
				r, _ := request(t, conn)
				if r == nil {
					return
				}
				line := ""
				if selected != "" {
					line = "Sec-WebSocket-Protocol: " + selected + "\r\n"
				}
				conn.Write([]byte(good(r, line)))
			})
			s, addr, entry := sealedDoor(t, f.addr)
			c := dialSealed(t, addr, entry, nil)
			code, _, announced := c.end()
			if code != deny.BackendProtocol.Close() || !strings.Contains(announced, `"code":"backend.protocol"`) {
				t.Errorf("ended with %d, announced %q", code, announced)
			}
			if got := s.reason(t); got != deny.BackendProtocol {
				t.Errorf("ended with %s", got)
			}
		})
	}
}

// Nobody dials a backend for a client that did not get through the seal.
func TestSealedHandshakeContactsNoBackend(t *testing.T) {
	f := backendAt(t, func(conn net.Conn) { conn.Close() })
	s, addr, entry := sealedDoor(t, f.addr)
	_, w := dial(t, addr, "/ws/room", nil, seal.SealToken("chat"))
	_, hello, err := seal.NewClient(entry, seal.Context{Token: seal.SealToken("chat"), Authority: "door.example:443", Target: "/ws/other", Origin: page}, seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.send(ws.Binary, hello)
	w.wantClose(deny.SealHandshake.Close(), deny.SealHandshake.CloseReason())
	if got := s.reason(t); got != deny.SealHandshake || f.count() != 0 {
		t.Errorf("ended with %s, the backend was dialled %d times", got, f.count())
	}
}

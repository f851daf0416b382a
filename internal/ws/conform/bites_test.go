package conform

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/sallyport/sallyport/internal/ws"
)

// fault is an echo endpoint with one fault.
type fault struct {
	name    string
	match   []string      // the cases that are run, as beginnings of ids
	timeout time.Duration // 0: long
	want    []string      // what is not strict
	run     func(net.Conn)
}

// talk is an echo loop whose every answer goes through say.
func talk(conn net.Conn, p *ws.Parser, say func(ws.Event, []byte) []byte, failed func(*ws.Error) []byte) {
	defer conn.Close()
	in, message := make([]byte, 4096), []byte(nil)
	for {
		n, err := conn.Read(in)
		for b := in[:n]; err == nil; {
			ev, used, fault := p.Next(b)
			b = b[used:]
			if fault != nil {
				conn.Write(failed(fault.(*ws.Error)))
				conn.(interface{ CloseWrite() error }).CloseWrite()
				time.AfterFunc(time.Second, func() { conn.Close() })
				for ; err == nil; _, err = conn.Read(in) {
				}
				return
			}
			if ev.Kind == ws.None {
				break
			}
			if ev.Kind == ws.Data {
				if message = append(message, ev.Data...); !ev.Last {
					continue
				}
				ev.Data, message = message, nil
			}
			conn.Write(say(ev, nil))
			if ev.Kind == ws.CloseEvent {
				conn.(interface{ CloseWrite() error }).CloseWrite()
			}
		}
		if err != nil {
			return
		}
	}
}

// right is what a good endpoint answers, in the role of the server.
func right(ev ws.Event, out []byte) []byte {
	switch ev.Kind {
	case ws.Data:
		return ws.AppendFrame(out, ws.Server, true, ev.Op, ev.Data)
	case ws.PingEvent:
		return ws.AppendFrame(out, ws.Server, true, ws.Pong, ev.Data)
	case ws.CloseEvent:
		return ws.AppendClose(out, ws.Server, ev.Code, "")
	}
	return out
}

func closeWith(code uint16) func(*ws.Error) []byte {
	return func(*ws.Error) []byte { return ws.AppendClose(nil, ws.Server, code, "") }
}

func ownCode(e *ws.Error) []byte { return ws.AppendClose(nil, ws.Server, e.Code, "") }

// Endpoints with one fault each are found out, by the cases that are about it.
func TestTheSuiteBites_SR62(t *testing.T) {
	server := func(say func(ws.Event, []byte) []byte, failed func(*ws.Error) []byte) func(net.Conn) {
		return func(c net.Conn) { talk(c, parser(ws.Server), say, failed) }
	}
	for _, f := range []fault{
		{name: "none", match: []string{"2.", "5.", "6.4", "7."}, run: server(right, ownCode)},
		{name: "fails without a word", match: []string{"3.1", "2.5", "2.4"}, want: []string{"2.5 non-strict", "3.1 non-strict"},
			run: server(right, func(*ws.Error) []byte { return nil })},
		{name: "fails with the wrong code", match: []string{"3.1", "6.3.1", "7.13.1"}, want: []string{"3.1 failed", "6.3.1 failed", "7.13.1 non-strict"},
			run: server(right, closeWith(1000))},
		{name: "answers a message twice", match: []string{"1.1.2", "1.1.1"}, want: []string{"1.1.1 failed", "1.1.2 failed"},
			run: server(func(ev ws.Event, b []byte) []byte { return right(ev, right(ev, b)) }, ownCode)},
		{name: "answers text as binary", match: []string{"1.1.3", "1.2.3"}, want: []string{"1.1.3 failed"},
			run: server(func(ev ws.Event, b []byte) []byte {
				if ev.Kind == ws.Data {
					ev.Op = ws.Binary
				}
				return right(ev, b)
			}, ownCode)},
		{name: "answers pongs", match: []string{"2.7", "2.9", "2.1"}, want: []string{"2.7 failed", "2.9 failed"},
			run: server(func(ev ws.Event, b []byte) []byte {
				if ev.Kind == ws.PongEvent {
					ev.Kind = ws.PingEvent
				}
				return right(ev, b)
			}, ownCode)},
		{name: "answers no pings", match: []string{"2.2", "5.6"}, timeout: 200 * time.Millisecond, want: []string{"2.2 failed", "5.6 failed"},
			run: server(func(ev ws.Event, b []byte) []byte {
				if ev.Kind == ws.PingEvent {
					return b
				}
				return right(ev, b)
			}, ownCode)},
		{name: "changes a byte of long messages", match: []string{"1.2.5", "1.2.6"}, want: []string{"1.2.6 failed"},
			run: server(func(ev ws.Event, b []byte) []byte {
				if len(ev.Data) > 1000 {
					ev.Data[700] ^= 1
				}
				return right(ev, b)
			}, ownCode)},
		{name: "answers close with another code", match: []string{"7.7.2", "7.7.1"}, want: []string{"7.7.1 failed", "7.7.2 failed"},
			run: server(func(ev ws.Event, b []byte) []byte {
				if ev.Kind == ws.CloseEvent {
					ev.Code = 3456
				}
				return right(ev, b)
			}, ownCode)},
		{name: "talks after the close", match: []string{"7.1.1", "7.3.3"}, want: []string{"7.1.1 failed", "7.3.3 failed"},
			run: server(func(ev ws.Event, b []byte) []byte {
				if b = right(ev, b); ev.Kind == ws.CloseEvent {
					b = ws.AppendFrame(b, ws.Server, true, ws.Pong, nil)
				}
				return b
			}, ownCode)},
		{name: "masks as a server", match: []string{"1.1.2"}, want: []string{"1.1.2 failed"},
			run: server(func(ev ws.Event, b []byte) []byte { return ws.AppendFrame(b, ws.Client, true, ev.Op, ev.Data) }, ownCode)},
		{name: "sets a reserved bit", match: []string{"1.1.2"}, want: []string{"1.1.2 failed"},
			run: server(func(ev ws.Event, b []byte) []byte { b = right(ev, b); b[0] |= 0x40; return b }, ownCode)},
		{name: "encodes lengths at full width", match: []string{"1.2.2"}, want: []string{"1.2.2 failed"},
			run: server(func(ev ws.Event, b []byte) []byte {
				return append(append(b, 0x82, 127, 0, 0, 0, 0, 0, 0, 0, 125), ev.Data...)
			}, ownCode)},
		{name: "cuts a character", match: []string{"6.2.1"}, want: []string{"6.2.1 failed"},
			run: server(func(ev ws.Event, b []byte) []byte { ev.Data = ev.Data[:7]; return right(ev, b) }, ownCode)},
		{name: "judges text at its end", match: []string{"6.4.1", "6.4.3", "6.3.1"}, want: []string{"6.4.1 non-strict", "6.4.3 non-strict"}, run: judgesLate},
		{name: "never ends TCP", match: []string{"1.1.2", "7.3.3"}, timeout: 100 * time.Millisecond, want: []string{"1.1.2 non-strict", "7.3.3 non-strict"},
			run: func(c net.Conn) { talk(neverEnds{c}, parser(ws.Server), right, ownCode) }},
		{name: "says nothing at all", match: []string{"1.1.1", "3.1"}, timeout: 50 * time.Millisecond, want: []string{"1.1.1 failed", "3.1 failed"},
			run: func(c net.Conn) { io.Copy(io.Discard, c); c.Close() }},
	} {
		t.Run(f.name, func(t *testing.T) {
			r := RunServer(behind(t, f.run), Options{Timeout: f.timeout, Pause: 4 * time.Millisecond, Match: func(id string) bool {
				return slices.ContainsFunc(f.match, func(s string) bool { return id == s || strings.HasSuffix(s, ".") && strings.HasPrefix(id, s) })
			}})
			if got := ids(r); !slices.Equal(got, f.want) || len(r) < len(f.match) {
				t.Errorf("got %q, want %q\n%s", got, f.want, r)
			}
		})
	}
}

// neverEnds keeps TCP open; the suite ends it.
type neverEnds struct{ net.Conn }

func (neverEnds) CloseWrite() error { return nil }

// judgesLate is a server that looks at a text once it is whole, as the suite's
// own reader does.
func judgesLate(c net.Conn) {
	defer c.Close()
	r := newReader(c, true)
	for {
		ev, err := r.next()
		switch {
		case err == brokenRule("a text message is not UTF-8"):
			c.Write(frame(false, 0x88, "\x03\xef"))
			return
		case err != nil:
			return
		case ev.op == 8:
			c.Write(frame(false, 0x88, "\x03\xe8"))
			return
		}
		c.Write(frame(false, 0x80|ev.op, string(ev.data)))
	}
}

// The two libraries that many servers are built on, as they come: neither looks
// at UTF-8, and gorilla takes a close frame of one byte for one without a code.
func TestOtherServers_SR62(t *testing.T) {
	handshake, _ := http.NewRequest("GET", "/", nil)
	for name, value := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
		handshake.Header.Set(name, value)
	}
	match := func(id string) bool { return !strings.HasPrefix(id, "9.") && !strings.HasPrefix(id, "10.") }
	for _, library := range []struct {
		name  string
		run   func(net.Conn)
		bytes int      // of the handshake's answer that is on the wire
		more  []string // cases that are not strict though they are not about UTF-8
	}{
		{"gorilla", func(c net.Conn) {
			conn, err := (&gorilla.Upgrader{}).Upgrade(&hijackable{httptest.NewRecorder(), c}, handshake, nil)
			if err != nil {
				return
			}
			defer conn.Close()
			for {
				kind, data, err := conn.ReadMessage()
				if err != nil || conn.WriteMessage(kind, data) != nil {
					return
				}
			}
		}, 129, []string{"7.3.2"}},
		{"coder", func(c net.Conn) {
			defer c.Close()
			conn, err := coder.Accept(&hijackable{httptest.NewRecorder(), c}, handshake, nil)
			if err != nil {
				return
			}
			defer conn.CloseNow()
			conn.SetReadLimit(-1)
			for {
				kind, data, err := conn.Read(context.Background())
				if err != nil || conn.Write(context.Background(), kind, data) != nil {
					return
				}
			}
		}, 0, nil},
	} {
		t.Run(library.name, func(t *testing.T) {
			dial := behind(t, library.run)
			r := RunServer(func() (net.Conn, error) {
				c, err := dial()
				if err == nil && library.bytes > 0 {
					_, err = io.ReadFull(c, make([]byte, library.bytes))
				}
				return c, err
			}, Options{Match: match, Pause: 4 * time.Millisecond})
			var got, want []string
			for _, result := range r.Others() {
				got = append(got, result.ID)
			}
			for _, c := range Cases() {
				if match(c.ID) && (c.codes()[0] == 1007 && c.End == fails || slices.Contains(library.more, c.ID)) {
					want = append(want, c.ID)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			t.Logf("%d of %d strict", r.Strict(), len(r))
		})
	}
}

// hijackable hands out the connection that it was given.
type hijackable struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

package proxy

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
)

// received starts a backend that holds its 101 back until release and then
// gives all bytes that follow the handshake.
func received(t *testing.T, release <-chan struct{}) (*fixture, <-chan []byte) {
	got := make(chan []byte, 1)
	f := backendAt(t, func(c net.Conn) {
		r, in := request(t, c)
		if r == nil {
			return
		}
		<-release
		io.WriteString(c, good(r))
		c.SetReadDeadline(time.Now().Add(3 * time.Second))
		b, _ := io.ReadAll(in)
		got <- b
	})
	return f, got
}

// What a client sends before it has its 101 never reaches the backend.
func TestEarlyBytes_SR83_AT87(t *testing.T) {
	for _, tt := range []struct {
		name string
		more []byte
	}{
		{"SR-83 AT-87 a second request", []byte("GET /admin HTTP/1.1\r\nHost: door.example\r\n\r\n")},
		{"SR-83 a frame", ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte("early"))},
		{"SR-83 one byte", []byte{0x81}},
	} {
		for _, together := range []bool{true, false} {
			t.Run(tt.name, func(t *testing.T) {
				release := make(chan struct{})
				f, got := received(t, release)
				s := &setup{proxy: Config{To: "ws://" + f.addr}}
				_, addr := s.start(t)
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				head, _ := ws.AppendRequest(nil, "GET", "/ws/", "door.example", ws.NewKey(), nil, http.Header{"Origin": {page}})
				if together {
					head = append(head, tt.more...)
				}
				conn.Write(head)
				for f.count() == 0 {
					time.Sleep(time.Millisecond)
				}
				if !together {
					conn.Write(tt.more)
					time.Sleep(50 * time.Millisecond)
				}
				close(release)
				// Nothing but the door's own goodbye arrives.
				w := newWire(t, conn, bytes.NewReader(<-got), ws.Server)
				w.wantClose(deny.HTTPMalformed.Backend(), deny.HTTPMalformed.Title())
				if got := s.reason(t); got != deny.HTTPMalformed {
					t.Errorf("ended with %s", got)
				}
			})
		}
	}
}

// A client that breaks the protocol ends both legs; the backend sees a goodbye
// and nothing of the violation.
func TestClientViolations_SR84(t *testing.T) {
	frame := func(fin bool, op ws.Opcode, data string) []byte {
		return ws.AppendFrame(nil, ws.Client, fin, op, []byte(data))
	}
	for _, tt := range []struct {
		name string
		send []byte
		want deny.Reason
	}{
		{"an unmasked frame", []byte{0x81, 1, 'x'}, deny.WSProtocol},
		{"a reserved bit", []byte{0xc1, 0x80, 0, 0, 0, 0}, deny.WSProtocol},
		{"a reserved opcode", []byte{0x83, 0x80, 0, 0, 0, 0}, deny.WSProtocol},
		{"a reserved control opcode", []byte{0x8b, 0x80, 0, 0, 0, 0}, deny.WSProtocol},
		{"a continuation of nothing", frame(true, ws.Continuation, "x"), deny.WSProtocol},
		{"a message within a message", append(frame(false, ws.Text, "x"), frame(true, ws.Text, "y")...), deny.WSProtocol},
		{"a ping in fragments", []byte{0x09, 0x80, 0, 0, 0, 0}, deny.WSProtocol},
		{"a ping of 126 bytes", []byte{0x89, 0xfe, 0, 126, 0, 0, 0, 0}, deny.WSProtocol},
		{"a length that is not minimal", []byte{0x82, 0xfe, 0, 1, 0, 0, 0, 0, 'x'}, deny.WSProtocol},
		{"a negative length", []byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, deny.WSProtocol},
		{"a close frame of one byte", []byte{0x88, 0x81, 0, 0, 0, 0, 3}, deny.WSProtocol},
		{"text that is not UTF-8", frame(true, ws.Text, "\xed\xa0\x80"), deny.WSUTF8},
		{"text that is not UTF-8 in its second frame", append(frame(false, ws.Text, "good"), frame(true, ws.Continuation, "\xff")...), deny.WSUTF8},
		{"a message that is too big", frame(true, ws.Binary, string(make([]byte, 64<<10+1))), deny.GuardTooBig},
		{"a message too big by its parts", append(frame(false, ws.Binary, string(make([]byte, 64<<10))), frame(true, ws.Continuation, "x")...), deny.GuardTooBig},
		{"an end without a goodbye", nil, deny.PeerLost},
		{"an end within a message", frame(false, ws.Text, "half"), deny.PeerLost},
	} {
		t.Run("SR-84 "+tt.name, func(t *testing.T) {
			release := make(chan struct{})
			close(release)
			f, got := received(t, release)
			limits := fast
			limits.MaxMessage = 64 << 10
			s := &setup{proxy: Config{To: "ws://" + f.addr}, guard: limits}
			_, addr := s.start(t)
			c := connect(t, addr)
			go func() {
				c.send(ws.Text, []byte("good"))
				c.conn.Write(tt.send)
				if tt.want == deny.PeerLost {
					c.conn.(*net.TCPConn).CloseWrite()
				}
			}()
			if tt.want != deny.PeerLost {
				c.wantClose(tt.want.Close(), tt.want.CloseReason())
			}
			w := newWire(t, c.conn, bytes.NewReader(<-got), ws.Server)
			op, data, err := w.message()
			if err == nil { // the message before may have been on its way, or not
				if op != ws.Text || string(data) != "good" {
					t.Errorf("the backend got %v %q", op, data)
				}
				_, _, err = w.message()
			}
			if e, ok := err.(*closed); !ok || e.code != tt.want.Backend() || e.reason != tt.want.Title() {
				t.Errorf("the backend got %v", err)
			}
			if got := s.reason(t); got != tt.want {
				t.Errorf("ended with %s, want %s", got, tt.want)
			}
		})
	}
}

// Frames are made anew: with masks of our own, cut to 16 KiB, and nobody who
// chooses a payload chooses the bytes on the wire to the backend.
func TestFramesAreMadeAnew_SR84(t *testing.T) {
	release := make(chan struct{})
	close(release)
	f, got := received(t, release)
	s := &setup{proxy: Config{To: "ws://" + f.addr}}
	_, addr := s.start(t)
	c := connect(t, addr)
	payload := bytes.Repeat([]byte("GET / HTTP/1.1\r\n\r\n"), 10)
	c.raw(append([]byte{0x82, 0xfe, 0, byte(len(payload)), 0, 0, 0, 0}, payload...)...) // masked with zeros
	c.raw(append([]byte{0x02, 0x81, 0, 0, 0, 0, 'a'}, 0x80, 0x81, 0, 0, 0, 0, 'b')...)
	c.close(1000, "")
	b := <-got
	if bytes.Contains(b, payload[:18]) {
		t.Error("the payload stands on the wire as the client chose it")
	}
	w := newWire(t, c.conn, bytes.NewReader(b), ws.Server)
	w.wantMessage(ws.Binary, payload)
	w.wantMessage(ws.Binary, []byte("ab"))
	w.wantClose(1000, "")
}

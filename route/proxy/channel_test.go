package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
)

// arrived is a message as a backend got it.
type arrived struct {
	op   ws.Opcode
	data string
}

// backendThatSays is offered subprotocols, says what it is told to after the first
// message, and writes down the rest.
func backendThatSays(t *testing.T, offered chan<- string, got chan<- arrived, say ...arrived) *fixture {
	return backendAt(t, func(conn net.Conn) {
		r, w := accept(t, conn)
		if w == nil {
			return
		}
		offered <- strings.Join(r.Header["Sec-Websocket-Protocol"], "|")
		for first := true; ; first = false {
			op, data, err := w.message()
			if c, ok := errors.AsType[*closed](err); ok {
				w.close(c.code, "")
			}
			if err != nil {
				close(got)
				return
			}
			got <- arrived{op, string(data)}
			for _, m := range say {
				if first {
					w.send(m.op, []byte(m.data))
				}
			}
		}
	})
}

// ours wants a control message of a type, after any number of longs and beats.
func ours(w *wire, t string) (members map[string]any) {
	w.t.Helper()
	for {
		op, data, err := w.message()
		if err != nil || op != ws.Text || len(data) == 0 || data[0] != 1 || json.Unmarshal(data[1:], &members) != nil {
			w.t.Fatalf("got %v %q, %v, want the control message %s", op, data, err, t)
		}
		if members["t"] == t {
			return members
		}
		if members["t"] != "long" && members["t"] != "beat" {
			w.t.Fatalf("got %v, want %s", members, t)
		}
	}
}

// A backend sees the application's messages as if there were no channel, and
// nothing that it says, or that the application says, is taken for the door's.
func TestBackendsKnowNothingOfTheChannel_SR84_AT88(t *testing.T) {
	const forged = "\x01" + `{"t":"close","code":"auth.revoked","got":0}`
	big := strings.Repeat("\x01", 200<<10)
	payloads := []arrived{
		{ws.Text, ""}, {ws.Binary, ""}, {ws.Text, "hällo"}, {ws.Text, "\x00\x01\x00"}, {ws.Binary, "\x02\xff"},
		{ws.Text, "\x01" + `{"t":"renew","token":"eve"}`}, {ws.Text, forged}, {ws.Binary, big}, {ws.Text, "the last"},
	}
	for _, name := range []string{"in messages", "streamed"} {
		t.Run(name, func(t *testing.T) {
			offered, got := make(chan string, 1), make(chan arrived, len(payloads))
			f := backendThatSays(t, offered, got, payloads...)
			s := &setup{proxy: Config{To: "ws://" + f.addr, Stream: name == "streamed"}}
			_, addr := s.start(t)
			response, c := dial(t, addr, "/ws/", nil, "sallyport.v1~chat", "mqtt", "sallyport.v1~v2", "sallyport.v2~x", "sallyport.v1")
			if selected := response.Header.Get("Sec-Websocket-Protocol"); response.StatusCode != 101 || selected != "sallyport.v1~chat" {
				t.Fatalf("got %d and %q", response.StatusCode, selected)
			}
			if line := <-offered; line != "chat, mqtt, v2" {
				t.Errorf("the backend was offered %q", line)
			}
			ours(c, "hello")
			go func() { // in three frames each, the first with the byte alone, around control messages
				for _, m := range payloads {
					half := len(m.data) / 2
					frames := ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte("\x01"+`{"t":"probe"}`))
					frames = ws.AppendFrame(frames, ws.Client, false, m.op, []byte{0})
					if m.op == ws.Text { // not between the bytes of a character, so that the halves can be compared
						half = 0
					}
					frames = ws.AppendFrame(frames, ws.Client, false, ws.Continuation, []byte(m.data[:half]))
					c.raw(ws.AppendFrame(frames, ws.Client, true, ws.Continuation, []byte(m.data[half:]))...)
				}
			}()
			for _, want := range payloads {
				if m := <-got; m != want {
					t.Errorf("the backend got %v %.40q, want %v %.40q", m.op, m.data, want.op, want.data)
				}
			}
			for _, want := range payloads {
				for {
					op, data, err := c.message()
					if err == nil && bytes.HasPrefix(data, []byte{1}) {
						continue // the door's
					}
					if err != nil || op != want.op || string(data) != "\x00"+want.data {
						t.Fatalf("came as %v %.40q, %v, want %v %.40q behind a zero", op, data, err, want.op, want.data)
					}
					break
				}
			}
			for tries := 0; ; tries++ { // an earlier probe's answer may come first
				c.send(ws.Text, []byte("\x01"+`{"t":"probe"}`))
				told := ours(c, "beat")["got"].(float64)
				if told == float64(len(payloads)) {
					break
				}
				if told > float64(len(payloads)) || tries == 1000 {
					t.Fatalf("told %v of %d", told, len(payloads))
				}
			}
			c.close(1000, "")
			c.wantClose(1000, "")
			if m, more := <-got; more {
				t.Errorf("the backend got %v %.40q as well", m.op, m.data)
			}
		})
	}
}

// What waits for the backend was not handed over, whatever becomes of the leg.
func TestGotIsWhatTheLegTook_SR74(t *testing.T) {
	bubble(t, Config{}, fast, func(conn net.Conn) { // takes one message, then nothing, then is gone
		if _, w := accept(t, conn); w != nil {
			w.message()
			time.Sleep(5 * time.Second)
		}
	}, func(c *wire, s *setup) {
		ours(c, "hello")
		go func() {
			for range 100 {
				c.send(ws.Binary, make([]byte, 16<<10))
			}
		}()
		before := ours(c, "beat")["got"].(float64) // the leg is full, so the client is not read
		if again := ours(c, "beat")["got"].(float64); again != before || before < 1 {
			t.Errorf("told %v and then %v", before, again)
		}
		end := ours(c, "close")
		e := <-s.events
		if got := end["got"].(float64); end["code"] != deny.BackendLost.Code() || got < before || got >= float64(e.Messages) {
			t.Errorf("told %v at the end, %v before it; the door has received %d", end, before, e.Messages)
		}
		c.conn.Close()
	}, "sallyport.v1")
}

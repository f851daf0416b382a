package wire

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// TestMessage reads what a slow server sends: a message whose halves are on either
// side of a deadline, a ping between them, and a close frame.
func TestMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		served := make(chan struct{})
		go func() {
			defer close(served)
			defer far.Close()
			in := bufio.NewReader(far)
			r, err := http.ReadRequest(in)
			if err != nil {
				t.Errorf("the server got no handshake: %v", err)
				return
			}
			offer, err := ws.CheckUpgrade(r)
			if err != nil {
				t.Errorf("the server got a wrong handshake: %v", err)
				return
			}
			far.Write(ws.AppendResponse(nil, offer, "", nil))
			far.Write(ws.AppendFrame(nil, ws.Server, false, ws.Text, []byte("one ")))
			time.Sleep(2 * time.Second)
			far.Write(ws.AppendFrame(nil, ws.Server, true, ws.Ping, nil))
			if pong, err := in.Peek(2); err != nil || pong[0] != 0x80|byte(ws.Pong) {
				t.Errorf("the server got %x, %v; want a pong", pong, err)
			}
			far.Write(ws.AppendFrame(nil, ws.Server, true, ws.Continuation, []byte("message")))
			far.Write(ws.AppendClose(nil, ws.Server, 1001, "away"))
		}()

		c := Conn{In: bufio.NewReader(near), Out: near}
		key := ws.NewKey()
		request, err := ws.AppendRequest(nil, http.MethodGet, "/", "localhost", key, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := c.Shake(request, key, nil); err != nil || response.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("shake: got %v, %v; want 101", response, err)
		}
		near.SetReadDeadline(time.Now().Add(time.Second))
		if _, data, err := c.Message(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("half a message: got %q, %v; want the deadline", data, err)
		}
		near.SetReadDeadline(time.Time{})
		if op, data, err := c.Message(); err != nil || op != ws.Text || string(data) != "one message" {
			t.Errorf("the other half: got opcode %d, %q, %v; want the whole text", op, data, err)
		}
		_, _, err = c.Message()
		if closed, ok := errors.AsType[*Closed](err); !ok || *closed != (Closed{1001, "away"}) {
			t.Errorf("close frame: got %v; want close 1001", err)
		}
		<-served
	})
}

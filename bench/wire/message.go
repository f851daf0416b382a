package wire

import (
	"strings"

	"github.com/sallyport/sallyport/internal/ws"
)

// Centrifuge is the dialect of messages that are commands in JSON.
const Centrifuge = "centrifuge"

// Frames returns n text messages of so many bytes, masked, as one write. In the
// dialect of centrifuge they are remote calls with so many bytes of data.
func Frames(n, size int, dialect string) []byte {
	message := strings.Repeat("sallyport ", size/10+1)[:size]
	if dialect == Centrifuge {
		message = `{"id":2,"rpc":{"data":"` + message + `"}}`
	}
	var b []byte
	for range n {
		b = ws.AppendFrame(b, ws.Client, true, ws.Text, []byte(message))
	}
	return b
}

// Greet says what a dialect wants to hear first, and waits for the answer.
func (c *Conn) Greet(dialect string) error {
	if dialect != Centrifuge {
		return nil
	}
	if _, err := c.Write(ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte(`{"id":1,"connect":{}}`))); err != nil {
		return err
	}
	return c.Await(1, make([]byte, 4<<10))
}

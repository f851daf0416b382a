// Package wire is what stands on both sides of a door under soak: a strict
// WebSocket client, and a backend that echoes or ends as it is told.
//
// Both soaks use it: the one that counts within one process, and the one in long
// that plays real doors. It therefore returns errors and knows no testing.T.
package wire

import (
	"bufio"
	"fmt"
	"io"
	"net/http"

	"github.com/sallyport/sallyport/internal/ws"
)

// Conn is one end of a WebSocket. Whoever owns the socket sets its deadlines. It
// is for one goroutine.
type Conn struct {
	In  *bufio.Reader
	Out io.Writer

	parser ws.Parser
	unread []byte
	data   []byte // of the message that is under way
	buf    []byte
}

// Closed is the error of a close frame that arrived.
type Closed struct {
	Code   uint16 // 1005 if it had none
	Reason string
}

func (c *Closed) Error() string { return fmt.Sprintf("close %d %q", c.Code, c.Reason) }

// Shake sends a handshake and reads the head of the answer, which may be a
// refusal. After a 101, which must suit the key and the protocols, the connection
// is a client's.
func (c *Conn) Shake(request []byte, key string, protocols []string) (*http.Response, error) {
	if _, err := c.Out.Write(request); err != nil {
		return nil, fmt.Errorf("send the handshake: %w", err)
	}
	response, err := http.ReadResponse(c.In, nil)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		c.parser = ws.Parser{Role: ws.Client, MaxMessage: 1 << 30, MaxFragments: -1}
		if _, err := ws.CheckResponse(response, key, protocols); err != nil {
			return nil, err
		}
	}
	return response, nil
}

// Message is the next whole message, of at most 1 GiB for a client; it is the
// caller's. Pings are answered, a close frame is a *Closed. After a deadline it
// goes on where it was.
func (c *Conn) Message() (op ws.Opcode, data []byte, err error) {
	for {
		ev, n, err := c.parser.Next(c.unread)
		c.unread = c.unread[n:]
		switch {
		case err != nil:
			return 0, nil, err
		case ev.Kind == ws.PingEvent:
			c.Out.Write(ws.AppendFrame(nil, c.parser.Role, true, ws.Pong, ev.Data))
		case ev.Kind == ws.CloseEvent:
			return 0, nil, &Closed{ev.Code, string(ev.Data)}
		case ev.Kind == ws.Data:
			if c.data = append(c.data, ev.Data...); ev.Last {
				data, c.data = c.data, nil
				return ev.Op, data, nil
			}
		case ev.Kind == ws.None && len(c.unread) == 0:
			if c.buf == nil {
				c.buf = make([]byte, 4<<10)
			}
			n, err := c.In.Read(c.buf)
			if n == 0 && err != nil {
				return 0, nil, err
			}
			c.unread = c.buf[:n]
		}
	}
}

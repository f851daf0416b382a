package demo

import (
	"io"
	"net"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// relayed is one connection through the relay.
type relayed struct {
	relay         *relay
	name          string // its address at the door
	browser, door net.Conn
	number        int
	sealed        bool

	// Guarded by the relay's lock.
	session string // whose it is; the door knows
	flip    way    // of which the next message is changed; "": nothing is
}

// way is a direction.
type way string

const (
	up   way = "up"   // from the browser to the door
	down way = "down" // from the door to the browser
)

// pump carries messages one way. When it ends the other way has relayLast left.
func (c *relayed) pump(to way, from io.Reader, role ws.Role, into net.Conn) {
	defer func() {
		into.(interface{ CloseWrite() error }).CloseWrite() // a peer that is gone is nobody to tell
		last := time.Now().Add(relayLast)
		c.browser.SetReadDeadline(last)
		c.door.SetReadDeadline(last)
	}()
	as := ws.Server // what is not read as a server is written as one
	if role == ws.Server {
		as = ws.Client
	}
	parser := ws.Parser{Role: role}
	chunk := make([]byte, 4<<10)
	var message []byte // at most the parser's MaxMessage
	for {
		n, err := from.Read(chunk)
		for rest := chunk[:n]; len(rest) > 0; {
			ev, used, err := parser.Next(rest)
			if err != nil {
				return
			}
			rest = rest[used:]
			var out []byte
			switch ev.Kind {
			case ws.Data:
				if message = append(message, ev.Data...); !ev.Last {
					continue
				}
				c.meddle(to, ev.Op, message)
				out, message = ws.AppendFrame(nil, as, true, ev.Op, message), nil
			case ws.CloseEvent:
				c.note(heard{What: "closed", Way: to, Code: ev.Code, Text: string(ev.Data)})
				out = ws.AppendClose(nil, as, ev.Code, string(ev.Data))
			case ws.PingEvent, ws.PongEvent:
				out = ws.AppendFrame(nil, as, true, ev.Op, ev.Data)
			default:
				continue
			}
			if send(into, out) != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func send(c net.Conn, b []byte) error {
	c.SetWriteDeadline(time.Now().Add(relayWrite))
	_, err := c.Write(b)
	return err
}

// meddle notes a message, after changing a bit of it if that was asked for.
func (c *relayed) meddle(to way, op ws.Opcode, message []byte) {
	h := heard{What: "message", Way: to, Size: len(message)}
	before := string(message)
	if c.relay.wants(c, to) && flip(message, c.sealed) {
		c.relay.arm(c.whose(), "")
		h.Flipped = true
		h.Before, _ = spoken(op, []byte(before))
	}
	h.Text, h.Hex = spoken(op, message)
	c.note(h)
}

func (p *relay) wants(c *relayed, w way) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return c.flip == w
}

func (c *relayed) whose() string {
	c.relay.mu.Lock()
	defer c.relay.mu.Unlock()
	return c.session
}

func (c *relayed) note(h heard) {
	h.Conn, h.Sealed, h.session = c.number, c.sealed, c.whose()
	c.relay.heard.note(h)
}

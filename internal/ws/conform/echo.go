package conform

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// Echo is a strict endpoint to test the suite with, or to stand behind a relay:
// it sends every message back whole, answers pings and the closing handshake, and
// ends conn. p brings the role and the limits. It returns the fault of the peer,
// or nil after a closing handshake.
func Echo(conn net.Conn, p *ws.Parser) error {
	defer conn.Close()
	in := make([]byte, 32<<10)
	var message, out []byte
	for {
		n, readErr := conn.Read(in)
		out = out[:0]
		for b := in[:n]; ; {
			ev, used, err := p.Next(b)
			b = b[used:]
			if err != nil {
				var fault *ws.Error
				errors.As(err, &fault)
				out = ws.AppendClose(out, p.Role, fault.Code, fault.Why)
				return errors.Join(err, hangUp(conn, out, p.Role))
			}
			if ev.Kind == ws.None {
				break
			}
			switch ev.Kind {
			case ws.Data:
				message = append(message, ev.Data...)
				if ev.Last {
					out = ws.AppendFrame(out, p.Role, true, ev.Op, message)
					message = message[:0]
				}
			case ws.PingEvent:
				out = ws.AppendFrame(out, p.Role, true, ws.Pong, ev.Data)
			case ws.CloseEvent:
				return hangUp(conn, ws.AppendClose(out, p.Role, ev.Code, ""), p.Role)
			}
		}
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return err
			}
		}
		if readErr != nil {
			return readErr
		}
	}
}

// hangUp says the last words. A server then ends TCP, its half first, so that
// what the peer still sends does not reset the connection under those words; a
// client leaves that to the server. Nobody is waited for longer than 2 s.
func hangUp(conn net.Conn, last []byte, role ws.Role) error {
	_, err := conn.Write(last)
	half, ok := conn.(interface{ CloseWrite() error })
	if role == ws.Server && ok {
		half.CloseWrite()
	}
	if role == ws.Client || ok {
		conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		io.Copy(io.Discard, conn)
	}
	return err
}

package wire

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// What a client says to Backend instead of something to be echoed.
const (
	AskDie   = "die"   // reset the socket
	AskLeave = "leave" // close with 1000
	AskFlood = "flood" // send messages of FloodSize until it fails
)

// FloodSize is how long a message of a flood is, in bytes.
const FloodSize = 16 << 10

// patience bounds how long Backend waits for an answer to its close frame.
const patience = 30 * time.Second

// Backend answers a handshake and echoes messages of at most 1 MiB, until the
// client ends the connection or asks for something else. The caller closes the
// socket.
func Backend(socket *net.TCPConn) {
	in := bufio.NewReaderSize(socket, 2<<10) // small: a soak has many
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	offer, err := ws.CheckUpgrade(r)
	if err != nil {
		return
	}
	if _, err := socket.Write(ws.AppendResponse(nil, offer, "", nil)); err != nil {
		return
	}
	c := Conn{In: in, Out: socket, parser: ws.Parser{Role: ws.Server, MaxMessage: 1 << 20}}
	for {
		op, data, err := c.Message()
		if closed, ok := errors.AsType[*Closed](err); ok {
			socket.Write(ws.AppendClose(nil, ws.Server, closed.Code, ""))
			return
		}
		if err != nil {
			return
		}
		switch string(data) {
		case AskDie:
			socket.SetLinger(0)
			return
		case AskLeave:
			socket.Write(ws.AppendClose(nil, ws.Server, 1000, "bye"))
			socket.SetReadDeadline(time.Now().Add(patience))
			io.Copy(io.Discard, in)
			return
		case AskFlood:
			flood := ws.AppendFrame(nil, ws.Server, true, ws.Binary, make([]byte, FloodSize))
			for err == nil {
				_, err = socket.Write(flood)
			}
			return
		}
		if _, err := socket.Write(ws.AppendFrame(nil, ws.Server, true, op, data)); err != nil {
			return
		}
	}
}

package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// What a client says instead of something to be echoed.
const (
	askDie   = "die"   // reset the socket; a handler panics
	askLeave = "leave" // close with 1000
	askFlood = "flood" // send until it fails
)

const floodSize = 16 << 10

// serveBackend accepts the connections of relaying doors until l is closed.
func serveBackend(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { // ends with the door's leg
			defer c.Close()
			backend(c.(*net.TCPConn))
		}()
	}
}

// backend echoes messages.
func backend(c *net.TCPConn) {
	in := bufio.NewReaderSize(c, 2<<10)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	offer, err := ws.CheckUpgrade(r)
	if err != nil {
		return
	}
	if _, err := c.Write(ws.AppendResponse(nil, offer, "", nil)); err != nil {
		return
	}
	w := wire{in: in, out: c, parser: ws.Parser{Role: ws.Server, MaxMessage: 1 << 20}}
	for {
		op, data, err := w.message()
		if closed, ok := errors.AsType[*closed](err); ok {
			c.Write(ws.AppendClose(nil, ws.Server, closed.code, ""))
			return
		}
		if err != nil {
			return
		}
		switch string(data) {
		case askDie:
			c.SetLinger(0)
			return
		case askLeave:
			c.Write(ws.AppendClose(nil, ws.Server, 1000, "bye"))
			c.SetReadDeadline(time.Now().Add(patience))
			io.Copy(io.Discard, in)
			return
		case askFlood:
			flood := ws.AppendFrame(nil, ws.Server, true, ws.Binary, make([]byte, floodSize))
			for err == nil {
				_, err = c.Write(flood)
			}
			return
		}
		if _, err := c.Write(ws.AppendFrame(nil, ws.Server, true, op, data)); err != nil {
			return
		}
	}
}

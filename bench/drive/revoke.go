package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/bench/order"
	"github.com/sallyport/sallyport/bench/wire"
	"github.com/sallyport/sallyport/internal/ws"
)

// revoke has the server revoke one subject after the other, and measures from the
// call until the last byte, the close frame's, has come on the last of its
// connections. Connection i of the group is that of subject i modulo N. Depth is
// how many subjects, Warm the pause between them in ms.
func (d *driver) revoke(o *order.Order) (a order.Answer, err error) {
	g, err := d.group(o, o.N)
	if err != nil {
		return a, err
	}
	client := &http.Client{Timeout: wire.Patience}
	m, err := startMeter(o.PID, 0)
	if err != nil {
		return a, err
	}
	h := &histogram{}
	trials := o.Depth
	for subject := range min(trials, o.N) {
		var theirs []*wire.Conn
		for i := subject; i < len(g.conns); i += o.N {
			theirs = append(theirs, g.conns[i])
		}
		began := time.Now()
		ends := make(chan end, len(theirs))
		for _, c := range theirs {
			go func() { // ends with the connection, which has a deadline
				at, err := lastByte(c)
				ends <- end{at, err}
			}()
		}
		response, err := client.Post("http://"+o.Control+"/revoke?subject="+url.QueryEscape(strconv.Itoa(subject)), "", nil)
		if err != nil {
			return a, err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return a, fmt.Errorf("revoke: %s", response.Status)
		}
		last := began
		for range theirs {
			e := <-ends
			if e.err != nil {
				return a, e.err
			}
			if e.at.After(last) {
				last = e.at
			}
		}
		h.add(last.Sub(began))
		for _, c := range theirs {
			c.Abort()
		}
		time.Sleep(time.Duration(o.Warm) * time.Millisecond)
	}
	if err := m.stop(&a, int64(min(trials, o.N))); err != nil {
		return a, err
	}
	h.report(&a)
	return a, nil
}

// end is how a connection ended.
type end struct {
	at  time.Time
	err error
}

// lastByte reads until a close frame with 4001 came, notes when, answers it as a
// client does, and makes sure that nothing follows but the end of the stream.
func lastByte(c *wire.Conn) (at time.Time, err error) {
	c.SetDeadline(time.Now().Add(wire.Patience))
	buf := make([]byte, 512)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return at, fmt.Errorf("no close frame: %w", err)
		}
		if _, err := c.Counter.Feed(buf[:n]); err != nil {
			at = time.Now()
			if closed, ok := errors.AsType[*wire.Closed](err); !ok || closed.Code != 4001 {
				return at, err
			}
			break
		}
	}
	c.Write(ws.AppendClose(nil, ws.Client, 4001, "")) // the socket may be gone already
	if n, err := c.Read(buf); n > 0 || err == nil {
		return at, fmt.Errorf("%d bytes behind the close frame", n)
	}
	return at, nil
}

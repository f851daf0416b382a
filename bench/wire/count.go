package wire

import (
	"encoding/binary"
	"fmt"
)

// Counter counts whole messages in what a server sends, without copying them. It
// knows frames (RFC 6455, section 5.2) and nothing about extensions.
type Counter struct {
	head  [10]byte
	have  int   // bytes of head
	skip  int64 // of the payload still to come
	close []byte
	open  bool // the payload of a frame is still to come, or of a close frame
}

const (
	opClose = 8
	finBit  = 0x80
)

// Feed takes the next bytes and returns how many messages ended in them. A close
// frame is an error, as are masked frames.
func (c *Counter) Feed(b []byte) (messages int, err error) {
	for len(b) > 0 || c.open && c.skip == 0 {
		if !c.open {
			n, err := c.header(b)
			if b = b[n:]; err != nil {
				return messages, err
			}
			continue
		}
		n := min(int64(len(b)), c.skip)
		if c.head[0]&0xf == opClose {
			c.close = append(c.close, b[:n]...)
		}
		b, c.skip = b[n:], c.skip-n
		if c.skip > 0 {
			continue
		}
		c.open, c.have = false, 0
		switch op := c.head[0] & 0xf; {
		case op == opClose:
			return messages, closed(c.close)
		case op < opClose && c.head[0]&finBit != 0:
			messages++
		}
	}
	return messages, nil
}

// header takes bytes of a frame's header.
func (c *Counter) header(b []byte) (n int, err error) {
	for n < len(b) {
		c.head[c.have] = b[n]
		n, c.have = n+1, c.have+1
		if c.have < 2 {
			continue
		}
		need, short := 2, c.head[1]&0x7f
		switch {
		case c.head[1]&0x80 != 0:
			return n, fmt.Errorf("the server masks")
		case short == 126:
			need = 4
		case short == 127:
			need = 10
		}
		if c.have < need {
			continue
		}
		switch need {
		case 2:
			c.skip = int64(short)
		case 4:
			c.skip = int64(binary.BigEndian.Uint16(c.head[2:]))
		case 10:
			c.skip = int64(binary.BigEndian.Uint64(c.head[2:]))
		}
		c.open = true
		return n, nil
	}
	return n, nil
}

// Closed is what a close frame said.
type Closed struct {
	Code   int
	Reason string
}

func (c *Closed) Error() string { return fmt.Sprintf("closed %d %s", c.Code, c.Reason) }

func closed(payload []byte) error {
	if len(payload) < 2 {
		return &Closed{Code: 1005}
	}
	return &Closed{int(binary.BigEndian.Uint16(payload)), string(payload[2:])}
}

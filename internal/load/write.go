package load

import (
	"bytes"
	"encoding/hex"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// batch is the most that one write takes, in bytes: one record of TLS.
const batch = 16 << 10

// lent are buffers to send from.
var lent = sync.Pool{New: func() any { return new([batch]byte) }}

// filling is what messages are made of behind their head.
var filling = bytes.Repeat([]byte{'.'}, batch)

// part is what is left of the message that is being handed over.
type part struct {
	left int
	key  ws.MaskKey // turned to its next byte
}

// kick has everything sent that is due. It never blocks.
func (c *conn) kick() {
	c.mu.Lock()
	start := !c.writing
	c.writing = true
	c.mu.Unlock()
	if start {
		c.run.writers.Go(c.flush)
	}
}

// flush writes until nothing is due.
func (c *conn) flush() {
	buf := lent.Get().(*[batch]byte)
	defer lent.Put(buf)
	for {
		out := c.compose(buf[:0])
		if len(out) == 0 {
			return
		}
		_ = c.socket.SetWriteDeadline(time.Now().Add(writeWait))
		if _, err := c.socket.Write(out); err != nil {
			c.stop(end{code: 1006, reason: "write: " + cause(err)})
			abort(c.below) // the reading goroutine notices; writing stays true: nothing can follow
			return
		}
	}
}

// compose takes a batch of what is due: what is left of a message, an owed pong,
// messages, the close frame. It fits into dst. With nothing to send, the caller's
// task is over.
func (c *conn) compose(dst []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.run.now()
	due, first := min(c.due(now), c.quit), c.sent
	const room = ws.MaxHeader + ws.MaxControl
	for cap(dst)-len(dst) >= room {
		switch {
		case c.part.left > 0:
			dst = c.fill(dst)
		case c.goodbye:
			due = c.sent
			c.pong = nil
		case c.pong != nil:
			dst = ws.AppendFrame(dst, ws.Client, true, ws.Pong, c.pong)
			c.pong = nil
		case c.sent < due:
			dst = c.start(dst)
		case c.bye != nil:
			dst = append(dst, c.bye...)
			c.bye, c.goodbye = nil, true
		}
		if c.part.left == 0 && c.pong == nil && (c.bye == nil || c.goodbye) && c.sent >= due {
			break
		}
	}
	c.note(first, now)
	c.writing = len(dst) > 0
	return dst
}

// start appends header and head of the next message.
func (c *conn) start(dst []byte) []byte {
	size, op := c.run.plan.Size, ws.Binary
	if c.run.plan.Text {
		op = ws.Text
	}
	dst, key := ws.AppendHeader(dst, ws.Client, true, op, uint64(size))
	at := len(dst)
	dst = appendHex(dst, uint64(c.id), conn4)
	dst = appendHex(dst, c.sent, seq6)
	c.part = part{left: size - headSize, key: ws.Mask(dst[at:], key)}
	c.sent++
	return dst
}

// fill appends as much of the rest of a message as there is room for.
func (c *conn) fill(dst []byte) []byte {
	n := min(c.part.left, cap(dst)-len(dst))
	at := len(dst)
	dst = append(dst, filling[:n]...)
	c.part.key = ws.Mask(dst[at:], c.part.key)
	c.part.left -= n
	return dst
}

// Bytes of the numbers in a head: twice as many digits.
const (
	conn4 = connDigits / 2
	seq6  = (headSize - connDigits) / 2
)

// appendHex appends the last n bytes of v as digits.
func appendHex(dst []byte, v uint64, n int) []byte {
	var raw [8]byte
	for i := range raw {
		raw[i] = byte(v >> (56 - 8*i))
	}
	return hex.AppendEncode(dst, raw[8-n:])
}

// note counts the messages from first on that were handed over, and how late they
// are.
func (c *conn) note(first uint64, now int64) {
	if first == c.sent {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	for seq := first; seq < c.sent; seq++ {
		if due := c.intended(seq); c.run.counts(due) {
			c.shard.sent++
			record(c.shard.late, now-due)
		}
	}
}

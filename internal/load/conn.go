package load

import (
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// A message begins with the number of its connection and its own, in hexadecimal
// digits, so that it can be told from others and is text where text is wanted.
const (
	connDigits = 8
	headSize   = 20
)

// conn is a connection that is open.
type conn struct {
	// Set once.
	run      *run
	socket   net.Conn // with TLS
	below    net.Conn // without
	id       uint32
	shard    *shard
	begin    int64 // when the first message is due
	interval int64 // between two of them; 0 if there are none

	// Owned by the reading goroutine.
	parser ws.Parser
	head   [headSize]byte // of the message that arrives
	buf    [1 << 10]byte

	next atomic.Uint64 // the message whose reply is expected; written by the reading goroutine

	mu      sync.Mutex // guards the rest; not held during a write
	writing bool       // a goroutine is at it
	sent    uint64     // messages of which at least the beginning was handed over
	quit    uint64     // no message from this one on is sent
	part    part       // of the message that is being handed over
	pong    []byte     // that is owed; nil if none is
	bye     []byte     // the close frame to be sent; nil if none is
	goodbye bool       // it was handed over
	leaving bool       // we want to go
	ending  *end       // why it ended; the first says it
}

// end says why a connection ended.
type end struct {
	code   uint16
	reason string
	ours   bool // we wanted it
}

func newConn(r *run, socket, below net.Conn, id uint32) *conn {
	c := &conn{run: r, socket: socket, below: below, id: id, shard: r.tally.shard(id), quit: 1 << 63}
	c.parser = ws.Parser{Role: ws.Client, MaxMessage: MaxSize, MaxFragments: 1 << 20}
	return c
}

// due is how many messages should have been sent by now.
func (c *conn) due(now int64) uint64 {
	now = min(now, c.run.until.Load()-1)
	if c.interval == 0 || now < c.begin {
		return 0
	}
	return uint64((now-c.begin)/c.interval) + 1
}

// intended is when a message is due.
func (c *conn) intended(seq uint64) int64 { return c.begin + int64(seq)*c.interval }

// read lives as long as the connection, and says how it ended.
func (c *conn) read(early []byte) end {
	defer abort(c.below)
	data := early
	for {
		if done := c.feed(data); done {
			break
		}
		n, err := c.socket.Read(c.buf[:])
		data = c.buf[:n]
		if n == 0 && err != nil && !c.late(err) {
			c.stop(end{code: 1006, reason: "read: " + cause(err)})
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.ending
}

// late reports whether a wait for replies is over and one for the peer's close
// frame begins.
func (c *conn) late(err error) bool {
	c.mu.Lock()
	waiting := c.leaving && c.bye == nil && !c.goodbye && c.ending == nil
	c.mu.Unlock()
	if !waiting || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.farewell()
	return true
}

// feed takes what arrived; done means that the connection has ended.
func (c *conn) feed(data []byte) (done bool) {
	now := c.run.now()
	for {
		ev, n, err := c.parser.Next(data)
		if err != nil {
			broken, _ := err.(*ws.Error)
			c.stop(end{code: broken.Code, reason: "the server broke the protocol: " + broken.Why})
			return true
		}
		switch ev.Kind {
		case ws.None:
			return false
		case ws.Data:
			c.arrived(ev, now)
		case ws.PingEvent:
			c.mu.Lock()
			c.pong = append(c.pong[:0:0], ev.Data...)
			if c.pong == nil {
				c.pong = []byte{}
			}
			c.mu.Unlock()
			c.kick()
		case ws.CloseEvent:
			c.parting(ev.Code, shorten(string(ev.Data)))
			return true
		}
		data = data[n:]
	}
}

// arrived looks at a part of a message.
func (c *conn) arrived(ev ws.Event, now int64) {
	before := ev.Size - uint64(len(ev.Data))
	if before < headSize {
		copy(c.head[before:], ev.Data)
	}
	if !ev.Last {
		return
	}
	seq, ok := c.answers(ev.Size)
	if !ok {
		c.shard.mu.Lock()
		c.shard.other++
		c.shard.mu.Unlock()
		return
	}
	expected := c.next.Load()
	c.next.Store(seq + 1)
	c.shard.mu.Lock()
	for lost := expected; lost < seq; lost++ {
		if c.run.counts(c.intended(lost)) {
			c.shard.lost++
		}
	}
	if due := c.intended(seq); c.run.counts(due) {
		c.shard.answered++
		record(c.shard.latency, now-due)
	}
	c.shard.mu.Unlock()
	if c.answeredAll() {
		c.farewell()
	}
}

// answers says which message is answered by the one that has arrived.
func (c *conn) answers(size uint64) (seq uint64, ok bool) {
	c.mu.Lock()
	sent := c.sent
	c.mu.Unlock()
	switch c.run.plan.Expect {
	case Any:
		seq = c.next.Load()
	case Echo:
		id, errID := strconv.ParseUint(string(c.head[:connDigits]), 16, 32)
		n, errSeq := strconv.ParseUint(string(c.head[connDigits:]), 16, 64)
		if errID != nil || errSeq != nil || uint32(id) != c.id || size != uint64(c.run.plan.Size) {
			return 0, false
		}
		seq = n
	default:
		return 0, false
	}
	return seq, seq >= c.next.Load() && seq < sent
}

// answeredAll reports whether we want to go and nothing keeps us any more.
func (c *conn) answeredAll() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving && c.bye == nil && !c.goodbye && (c.run.plan.Expect == Nothing || c.next.Load() >= c.sent)
}

// leave ends the connection politely: after the last reply, or a second, it says
// goodbye, and waits another for the peer's.
func (c *conn) leave() {
	c.mu.Lock()
	if c.leaving || c.ending != nil {
		c.mu.Unlock()
		return
	}
	c.leaving, c.quit = true, c.sent
	c.mu.Unlock()
	_ = c.socket.SetReadDeadline(time.Now().Add(leaveWait))
	if c.answeredAll() {
		c.farewell()
	}
}

// farewell sends a close frame of our own.
func (c *conn) farewell() {
	c.mu.Lock()
	first := c.bye == nil && !c.goodbye
	if first {
		c.bye = ws.AppendClose(nil, ws.Client, 1000, "")
	}
	c.mu.Unlock()
	if first {
		_ = c.socket.SetReadDeadline(time.Now().Add(leaveWait))
		c.kick()
	}
}

// parting answers the peer's close frame with its code, and gives it a moment to
// end the connection first.
func (c *conn) parting(code uint16, reason string) {
	c.stop(end{code: code, reason: reason})
	c.mu.Lock()
	if c.bye == nil && !c.goodbye {
		c.bye = ws.AppendClose(nil, ws.Client, code, "")
	}
	c.mu.Unlock()
	c.kick()
	_ = c.socket.SetReadDeadline(time.Now().Add(leaveWait))
	for {
		if _, err := c.socket.Read(c.buf[:]); err != nil {
			_ = c.socket.SetWriteDeadline(time.Now()) // nobody listens
			return
		}
	}
}

// cut ends the connection without a word.
func (c *conn) cut() {
	c.stop(end{code: 1006, ours: true})
	abort(c.below)
}

// stop notes why the connection ends, and that nothing more is sent. Whatever
// happens after we wanted to go is our own end.
func (c *conn) stop(e end) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending == nil {
		e.ours = e.ours || c.leaving
		c.ending, c.quit = &e, min(c.quit, c.sent)
	}
}

// behind reports whether something is due that was not handed over.
func (c *conn) behind() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.part.left > 0 || c.sent < min(c.due(c.run.now()), c.quit)
}

// unsent is how many messages that count should have been sent and were not.
func (c *conn) unsent(now int64) (n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := c.due(now)
	for seq := min(c.sent, due); seq < min(due, c.quit); seq++ {
		if c.run.counts(c.intended(seq)) {
			n++
		}
	}
	return n
}

// owes is how many replies are missing.
func (c *conn) owes() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run.plan.Expect == Nothing || c.ending != nil {
		return 0
	}
	return c.sent - min(c.next.Load(), c.sent)
}

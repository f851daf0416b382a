// Package link is one WebSocket leg: a socket, a strict parser fed by an
// engine, and a bounded queue of frames to send. Connections from clients and
// legs to backends are the same machine in opposite roles.
//
// It answers pings, keeps the order of the closing handshake (RFC 6455, section
// 7) and gives the socket back within [Linger] of the end, whatever the peer
// does. What to do with messages, and when to end, is its Owner's business.
package link

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/ws"
)

// Linger is the time from the end to the reset, for a peer that does not take
// the close frame or does not end the connection.
const Linger = 800 * time.Millisecond

// flushWait is how long Shutdown tries to send what is queued.
const flushWait = 5 * time.Second

// An Owner is told what a link receives. Drained and Released may come from any
// goroutine; the others come from the event in progress, one at a time, except
// Failed, which also reports a failed write. None may block.
type Owner interface {
	// Ready is asked before each frame. If it returns false, the link reads
	// nothing more until Resume.
	Ready() bool

	// Data is called with a part of a message.
	Data(ev ws.Event)

	// Control is called with a ping, after it was answered, or a pong.
	Control(ev ws.Event)

	// Arrived is called after each batch of bytes was taken. unfinished says
	// that a frame or message has begun and not ended.
	Arrived(n int, unfinished bool)

	// PeerClosed is called when a close frame was received. The owner then
	// calls Close.
	PeerClosed(code uint16, reason string)

	// Failed is called when the link can't go on: a *ws.Error for a broken
	// rule of the protocol, ErrSlow for a peer that does not read, ErrBudget for
	// memory that is used up, io.EOF for
	// an end without a close frame, or the socket's error. The owner then calls
	// Close or Reset.
	Failed(err error)

	// Drained is called when Above has become false again.
	Drained()

	// Released is called once, when the socket is closed.
	Released()
}

// Config is what a link is made of.
type Config struct {
	Role         ws.Role
	KeepMasks    bool            // as in ws.Parser: Owner.Data gets what the client masked
	MaxMessage   int64           // bytes, of messages received
	MaxFragments int             // as in ws.Parser; 0: 128, or one for each 512 bytes of MaxMessage
	WriteWait    time.Duration   // for the peer to accept a segment of 32 KiB
	Budget       *Budget         // shared by many links; nil: none
	Writers      *sync.WaitGroup // counts the goroutines that write
	Marks        *Marks          // of every message sent; nil: none
	Seal         Sealer          // of every message sent, after its mark; nil: none
}

// Marks are what a protocol inside the messages adds to them.
type Marks struct {
	App  []byte // goes before the payload of every message
	Long []byte // frames of a whole message that go before one of more than 64 KiB or of unknown length
}

// Link is one leg. Its exported methods may be called from any goroutine,
// except those of engine.Machine.
type Link struct {
	// Set once by New.
	config Config
	owner  Owner
	socket net.Conn
	handle engine.Handle
	prompt engine.Prompt // handle, if it is one

	// Owned by the event in progress.
	parser ws.Parser

	// held: what is queued waits for the end of the event in progress, or for
	// Flush. Only with a prompt handle.
	held atomic.Bool

	kept int32 // bytes of the budget, of what the engine keeps during a pause. Owned by the event in progress.

	received, sent atomic.Int64 // bytes on the wire
	delivered      atomic.Int64 // messages handed to the socket, whole

	// closing: a close frame is queued or the socket is reset; nothing more is
	// parsed or queued.
	closing atomic.Bool

	out outbox
}

// New makes a link on an upgraded socket. first are bytes to send before any
// frame, such as a 101 response; they leave together with the first frames.
func New(e engine.Engine, socket net.Conn, owner Owner, config Config, first []byte) *Link {
	l := &Link{config: config, owner: owner, socket: socket}
	l.parser.Role = config.Role
	l.parser.MaxMessage, l.parser.KeepMasks = config.MaxMessage, config.KeepMasks
	if l.parser.MaxFragments = config.MaxFragments; config.MaxFragments == 0 {
		l.parser.MaxFragments = int(max(ws.DefaultMaxFragments, config.MaxMessage/512))
	}
	l.out.link = l
	if len(first) > 0 {
		l.out.besides().head = first
	}
	l.handle = e.Attach(socket, l)
	l.socket = l.handle.Socket()
	l.prompt, _ = l.handle.(engine.Prompt)
	return l
}

// Start begins to send what is queued and to read, after the bytes in early.
// It must be called once, also after Close.
func (l *Link) Start(early []byte) {
	l.out.start()
	l.handle.Start(early)
}

// Bytes counts what was received and sent, as on the wire below TLS.
func (l *Link) Bytes() (received, sent int64) { return l.received.Load(), l.sent.Load() }

// Delivered counts the messages that the socket has taken.
func (l *Link) Delivered() int64 { return l.delivered.Load() }

// Resume asks the owner again whether it is Ready.
func (l *Link) Resume() { l.handle.Resume() }

// Readable is an engine's event. What it has the link send leaves in one write.
func (l *Link) Readable(b []byte) (n int, ok bool) {
	if l.prompt != nil {
		l.held.Store(true)
		defer l.Flush()
	}
	l.keep(0)
	for n < len(b) && !l.closing.Load() {
		if !l.owner.Ready() {
			break
		}
		ev, used, err := l.parser.Next(b[n:])
		n += used
		if err != nil {
			l.owner.Failed(err)
			continue
		}
		l.take(ev)
	}
	if l.closing.Load() {
		return len(b), true // after the end nothing more is parsed
	}
	if n > 0 {
		l.received.Add(int64(n))
		l.owner.Arrived(n, l.parser.InMessage() || l.parser.InFrame())
	}
	if l.owner.Ready() {
		return n, true
	}
	if !l.keep(len(b) - n) {
		l.owner.Failed(ErrBudget)
		return len(b), true
	}
	return n, false
}

// keep has the budget pay for so many bytes that the engine keeps, instead of for
// those before.
func (l *Link) keep(n int) bool {
	l.config.Budget.Give(int(l.kept))
	l.kept = 0
	if !l.config.Budget.Take(n) {
		return false
	}
	l.kept = int32(n)
	return true
}

func (l *Link) take(ev ws.Event) {
	switch ev.Kind {
	case ws.Data:
		l.owner.Data(ev)
	case ws.PingEvent:
		l.out.pong(ev.Data)
		l.owner.Control(ev)
	case ws.PongEvent:
		l.owner.Control(ev)
	case ws.CloseEvent:
		l.owner.PeerClosed(ev.Code, string(ev.Data))
	}
}

// Late is an engine's: the event takes long.
func (l *Link) Late() {
	if l.held.Swap(false) {
		l.prompt.Soon()
	}
}

// Hold has what is queued from now on wait for Flush, or for the end of an event of
// the link, where the engine's sockets do not wait. Endings do not wait.
func (l *Link) Hold() {
	if l.prompt != nil {
		l.held.Store(true)
	}
}

// Flush sends what is queued, if that needs no waiting. It is an engine's event,
// and follows Hold.
func (l *Link) Flush() {
	if l.prompt != nil {
		l.held.Store(false)
		l.out.flush()
	}
}

// Gone is an engine's last event.
func (l *Link) Gone(err error) {
	l.keep(0)
	if !l.closing.Load() {
		l.owner.Failed(err)
		l.Reset() // if the owner did neither Close nor Reset
	}
	l.out.readerGone(err)
}

// Close sends a close frame after the frame being sent, drops what else was
// queued, and gives the socket back within Linger. The first of Close and Reset
// counts.
func (l *Link) Close(code uint16, reason string) {
	if !l.closing.CompareAndSwap(false, true) {
		return
	}
	l.socket.SetReadDeadline(time.Now().Add(Linger))
	l.out.finish(l.goodbye(code, reason), false)
	l.handle.Resume()
}

// Shutdown sends what is queued, for 5s at most, and then does as Close does.
// What arrives meanwhile is dropped.
func (l *Link) Shutdown(code uint16, reason string) {
	if !l.closing.CompareAndSwap(false, true) {
		return
	}
	l.socket.SetReadDeadline(time.Now().Add(flushWait + Linger))
	l.out.finish(l.goodbye(code, reason), true)
	l.handle.Resume()
}

// Cut hurries a Shutdown that has begun or is about to: a stop came after it. What is still queued is dropped,
// and the socket given back within Linger. Somebody must have ended the link, or be about to.
func (l *Link) Cut() { l.out.cut() }

// Leave sends what is queued and a close frame, and goes on reading until the
// peer has said goodbye too; after 5s without that the link fails. Nothing more
// can be queued.
func (l *Link) Leave(code uint16, reason string) {
	if l.closing.Load() {
		return
	}
	l.socket.SetReadDeadline(time.Now().Add(flushWait))
	l.out.leave(l.goodbye(code, reason))
}

// goodbye is a close frame. Under a seal it has no text: what is certain is said
// inside.
func (l *Link) goodbye(code uint16, reason string) []byte {
	if l.config.Seal == nil {
		return ws.AppendClose(nil, l.config.Role, code, reason)
	}
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	if e := l.out.ending(); e.code == 0 {
		e.code, e.reason = code, reason
	}
	return ws.AppendClose(nil, l.config.Role, code, "")
}

// Reset ends the connection without a word.
func (l *Link) Reset() {
	if !l.closing.CompareAndSwap(false, true) {
		return
	}
	l.out.finish(nil, false)
	Abort(l.socket)
	l.handle.Resume()
}

// under is the socket below TLS, or socket itself: what is closed without TLS's
// goodbye, which could block.
func under(socket net.Conn) net.Conn {
	if c, ok := socket.(*tls.Conn); ok {
		return c.NetConn()
	}
	return socket
}

// closeWrite tells the peer that nothing more will come: crypto/tls leaves the
// TCP half open.
func closeWrite(socket net.Conn) {
	type writeCloser interface{ CloseWrite() error }
	if c, ok := socket.(writeCloser); ok {
		c.CloseWrite()
	}
	if below := under(socket); below != socket {
		if c, ok := below.(writeCloser); ok {
			c.CloseWrite()
		}
	}
}

// Abort closes socket with a TCP reset: nothing of ours waits in the kernel.
func Abort(socket net.Conn) {
	below := under(socket)
	for c := below; c != nil; {
		if l, ok := c.(interface{ SetLinger(int) error }); ok {
			l.SetLinger(0)
			break
		}
		w, ok := c.(interface{ NetConn() net.Conn }) // a wrapper of the listener
		if !ok {
			break
		}
		c = w.NetConn()
	}
	below.Close()
}

// Farewell sends last on a socket that has no link, and gives the socket back
// within Linger. It blocks for that time at most and reads nothing but the end.
func Farewell(socket net.Conn, last []byte) {
	deadline := time.Now().Add(Linger)
	socket.SetDeadline(deadline)
	if _, err := socket.Write(last); err != nil {
		Abort(socket)
		return
	}
	closeWrite(socket)
	below := under(socket) // what still arrives is dropped unread, below TLS
	below.SetReadDeadline(deadline)
	var sink [1 << 10]byte
	for {
		if _, err := below.Read(sink[:]); err != nil {
			if isTimeout(err) { // nothing of ours may wait in the kernel for a peer that does not read
				Abort(socket)
				return
			}
			break
		}
	}
	below.Close()
}

// isTimeout reports whether err is a deadline that passed.
func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

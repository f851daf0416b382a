package client

import (
	"context"
	"errors"
	"iter"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// closeWait bounds how long Close waits for the door to count what was sent.
const closeWait = 5 * time.Second

// Conn is one connection. It never reconnects. It answers pings, gives up a
// server that is silent, and renews its credential if its options have a source
// for one. Its methods may be called from any goroutine.
type Conn struct {
	// Set once.
	plan     *plan
	socket   net.Conn
	link     *link.Link
	protocol string  // the application's
	speaks   bool    // sallyport.v1
	sealed   *sealed // nil if it is not
	inbox    *inbox  // shared by the connections of a Client
	changed  func()  // tells a Client to look; never blocks
	base     time.Time
	ctx      context.Context
	cancel   context.CancelCauseFunc
	greeted  <-chan struct{} // closed at the hello, or the end
	greet    func()
	released chan struct{} // closed when the socket is
	engine   engine.Portable
	helpers  sync.WaitGroup // writers, renewals

	bell  bell // rung when there is room to send, and at the end
	turn  chan struct{}
	ended atomic.Pointer[CloseError]
	heard atomic.Int64 // when bytes last arrived, since base
	held  atomic.Bool  // nothing is read: the inbox is full
	deaf  atomic.Bool  // what arrives is dropped: Close was called

	// Owned by the event in progress.
	in incoming

	mu        sync.Mutex // guards what follows; not held while a callback runs
	hello     *Limits    // nil before it arrived
	window    window
	pace      pace
	pulse     pulse
	renewal   renewal
	timer     *time.Timer
	due       time.Duration // when it fires
	advice    *drain        // the last that the door gave; nil when it was taken
	announced *closing      // the door ends the connection
	leaving   bool          // nothing more can be sent
	probing   bool          // a probe waits for room in the queue
}

// newConn begins to feed on a socket that was won.
func newConn(p *plan, w *won, in *inbox, changed func()) *Conn {
	c := &Conn{
		plan: p, socket: w.socket, sealed: w.sealed, inbox: in, changed: changed, base: time.Now(),
		released: make(chan struct{}), turn: make(chan struct{}, 1),
	}
	greeted := make(chan struct{})
	c.greeted, c.greet = greeted, sync.OnceFunc(func() { close(greeted) })
	c.speaks, c.protocol = selected(w.token)
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.pulse, c.renewal.backoff = newPulse(0), p.Backoff
	config := link.Config{Role: ws.Client, MaxMessage: p.MaxMessage, WriteWait: p.WriteWait, Writers: &c.helpers}
	if c.speaks {
		config.Marks = marks
		config.MaxMessage = max(p.MaxMessage, maxControl) + 1
	}
	if c.sealed != nil {
		config.MaxMessage, config.Seal = seal.MaxRecord, c.sealed
	}
	c.heard.Store(int64(c.now()))
	c.link = link.New(&c.engine, w.socket, owner{c}, config, nil)
	c.mu.Lock()
	if !c.speaks {
		c.greet()
		c.hello = &Limits{}
	}
	c.watch()
	c.mu.Unlock()
	c.link.Start(w.early)
	return c
}

// now is never 0, so that 0 can mean "not".
func (c *Conn) now() time.Duration { return max(time.Since(c.base), 1) }

// Protocol is the subprotocol of the application; empty if none was selected.
func (c *Conn) Protocol() string { return c.protocol }

// Speaks reports whether the connection speaks sallyport.v1.
func (c *Conn) Speaks() bool { return c.speaks }

// Sealed reports whether the connection is sealed above TLS: if [Options.Seal]
// was given.
func (c *Conn) Sealed() bool { return c.sealed != nil }

// Limits are what the door told when the connection began; zero without
// sallyport.v1.
func (c *Conn) Limits() Limits {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hello == nil {
		return Limits{}
	}
	return *c.hello
}

// LocalAddr is this end of the socket.
func (c *Conn) LocalAddr() net.Addr { return c.socket.LocalAddr() }

// RemoteAddr is the other end of the socket: the server's, or that of a proxy.
func (c *Conn) RemoteAddr() net.Addr { return c.socket.RemoteAddr() }

// Context ends when the connection does; its cause is the [*CloseError].
func (c *Conn) Context() context.Context { return c.ctx }

// Receive waits for the next message. What arrived before the connection ended is
// given first, then the [*CloseError]. When ctx ends, the wait ends and the
// connection does not.
func (c *Conn) Receive(ctx context.Context) (Message, error) { return c.inbox.receive(ctx, nil, nil) }

// Messages yields messages until the connection or ctx ends: then, unless the
// server closed with 1000 or answered a Close, once the error of [Conn.Receive].
func (c *Conn) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return messages(ctx, c.Receive)
}

func messages(ctx context.Context, receive func(context.Context) (Message, error)) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for {
			m, err := receive(ctx)
			if err != nil {
				if end, ok := errors.AsType[*CloseError](err); !ok || end.Code != 1000 || end.Err != nil {
					yield(Message{}, err)
				}
				return
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// errBusy: not now; after a wait or a ring.
var errBusy = errors.New("client: busy")

// Send hands m to the network, waiting while 64 KiB of what was sent before have
// not left, while the door has not counted what it got, and while the door's
// rates do not allow more. It returns ctx's error, [ErrTooLarge] or [ErrClosed];
// nil does not say that m has arrived.
func (c *Conn) Send(ctx context.Context, m Message) error { return c.send(ctx, m, nil, nil) }

func (c *Conn) send(ctx context.Context, m Message, done <-chan struct{}, because error) error {
	if err := check(m); err != nil {
		return err
	}
	select { // one waits for room, the others for their turn
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-done:
		return because
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	for {
		rung := c.bell.listen()
		wait, err := c.offer(m)
		if !errors.Is(err, errBusy) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-rung:
		case <-timer.C:
		case <-done:
			err = because
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		timer.Stop()
		if !errors.Is(err, errBusy) {
			return err
		}
	}
}

func check(m Message) error {
	switch {
	case m.Kind != Text && m.Kind != Binary:
		return errors.New("client: a message is Text or Binary")
	case m.Kind == Text && !utf8.Valid(m.Data):
		return errors.New("client: a text message must be UTF-8")
	}
	return nil
}

// offer sends m now or says how long to wait for that, unless the bell rings
// before.
func (c *Conn) offer(m Message) (wait time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	switch {
	case c.ended.Load() != nil:
		return 0, c.ended.Load()
	case c.leaving:
		return 0, ErrClosed
	case c.hello == nil:
		return time.Minute, errBusy // the bell rings at the hello
	case c.speaks && int64(len(m.Data)) > c.hello.MaxMessage:
		return 0, ErrTooLarge
	case c.link.Above():
		return time.Minute, errBusy // … and when there is room
	case c.speaks && !c.window.room(m):
		c.askBeat(now, true)
		return askAgain, errBusy
	}
	if wait := c.pace.spend(now, c.records(m), len(m.Data)); wait > 0 {
		return wait, errBusy
	}
	if err := c.link.Send(ws.Opcode(m.Kind), m.Data); err != nil {
		return 0, errors.Join(ErrClosed, err)
	}
	if c.speaks {
		m.Data = append([]byte(nil), m.Data...)
		c.window.add(m)
		c.askBeat(now, false)
	}
	return 0, nil
}

// records is as how many messages the door counts m.
func (c *Conn) records(m Message) int {
	if c.sealed == nil {
		return 1
	}
	return (1 + len(m.Data) + seal.MaxData - 1) / seal.MaxData
}

// askBeat asks the door how much it got. It is called with mu held.
func (c *Conn) askBeat(now time.Duration, needed bool) {
	if c.window.ask(now, needed) {
		c.sayProbe()
	}
}

var probeMessage = map[string]string{"t": "probe"}

// sayProbe asks for a beat, as soon as there is room in the queue. It is called
// with mu held.
func (c *Conn) sayProbe() {
	err := c.link.SendFrames(controlFrame(probeMessage))
	if c.probing = errors.Is(err, link.ErrFull); !c.probing {
		c.pace.charge()
	}
}

// Close says goodbye with 1000 and returns when the socket is closed. What was
// sent goes out first, for 5 s at most; what arrives from now on is dropped. When
// ctx ends, the connection is cut and the error is ctx's.
func (c *Conn) Close(ctx context.Context) error { return c.CloseWith(ctx, 1000, "") }

// CloseWith is Close with another code, 1000 or 3000 to 4899, and a text of at
// most 123 bytes.
func (c *Conn) CloseWith(ctx context.Context, code uint16, text string) error {
	if code != 1000 && (code < 3000 || code > 4899) || len(text) > 123 || !utf8.ValidString(text) {
		return errors.New("client: close with 1000 or 3000 to 4899 and a text of at most 123 bytes")
	}
	c.deaf.Store(true)
	c.resume()
	return c.leave(ctx, code, text)
}

// leave ends the connection, once the door has counted what was sent, and waits
// for that.
func (c *Conn) leave(ctx context.Context, code uint16, text string) error {
	c.mu.Lock()
	first := !c.leaving
	c.leaving = true
	c.mu.Unlock()
	if first {
		c.settle(ctx)
		c.goodbye(code, text)
	}
	var err error
	select {
	case <-c.released:
	case <-ctx.Done():
		err = context.Cause(ctx)
		c.cut(err)
		<-c.released
	}
	c.engine.Wait()
	c.helpers.Wait()
	return err
}

// settle waits until the door has counted everything, if it can.
func (c *Conn) settle(ctx context.Context) {
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	for {
		rung := c.bell.listen()
		c.mu.Lock()
		waits := c.speaks && len(c.window.kept) > 0 && c.ended.Load() == nil
		if waits {
			c.askBeat(c.now(), true)
		}
		c.mu.Unlock()
		if !waits {
			return
		}
		select {
		case <-rung:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// goodbye sends what is queued and a close frame. The server then has 5 s to do
// the same; what it says until then is received.
func (c *Conn) goodbye(code uint16, text string) {
	c.mu.Lock()
	c.leaving = true
	c.in.goodbye.Store(&CloseError{Code: code, Text: text, Local: true})
	c.mu.Unlock()
	c.link.Leave(code, text)
}

// giveUp ends a connection that is of no use any more, at once.
func (c *Conn) giveUp(code uint16, why string) {
	c.finish(&CloseError{Code: code, Text: why, Local: true})
	c.link.Close(code, why)
}

// cut ends a connection without a word.
func (c *Conn) cut(err error) {
	c.finish(&CloseError{Code: 1006, Local: true, Err: err})
	c.link.Reset()
}

// finish notes the end. The first one counts.
func (c *Conn) finish(e *CloseError) {
	c.mu.Lock()
	if c.ended.Load() != nil {
		c.mu.Unlock()
		return
	}
	e.Unknown = c.window.rest()
	c.ended.Store(e)
	c.leaving = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.greet()
	c.mu.Unlock()
	c.cancel(e)
	c.inbox.forget(c)
	if c.changed == nil {
		c.inbox.end(e)
	}
	c.notify()
}

// notify tells whoever waits for a change.
func (c *Conn) notify() {
	c.bell.ring()
	if c.changed != nil {
		c.changed()
	}
}

// resume reads on: there is room in the inbox.
func (c *Conn) resume() {
	if c.held.Swap(false) {
		c.heard.Store(int64(c.now())) // it was not listened to
	}
	c.link.Resume()
}

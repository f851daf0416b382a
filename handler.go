package sallyport

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/sallyport/sallyport/deny"
)

// inboxSize is how many bytes wait for a handler before reading pauses. One
// message more than fits may wait.
const inboxSize = 64 << 10

// messageCost is what an entry of the queue takes besides its data, in bytes: a
// queue of empty messages is bounded too.
const messageCost = 64

func cost(m Message) int { return messageCost + len(m.Data) }

// CloseError, returned by a handler, closes the connection with this code
// (1000 or 3000-4999) and reason.
type CloseError struct {
	Code   uint16
	Reason string
}

func (e *CloseError) Error() string { return fmt.Sprintf("close %d %q", e.Code, e.Reason) }

// Handler is a Route that runs f for each connection, in a goroutine of its
// own, with a queue of 64 KiB before it. When f returns nil the connection
// closes with 1000, with a [*CloseError] as that says, with a [*deny.Denial]
// for its reason, and with any other error or a panic as internal. f should
// return when ctx ends, which it does with the connection.
func Handler(f func(ctx context.Context, c *Conn) error) Route { return handler(f) }

type handler func(ctx context.Context, c *Conn) error

func (f handler) Open(context.Context, *Handshake) (Sink, error) {
	return &inbox{f: f, arrived: make(chan struct{}, 1)}, nil
}

// inbox is the bounded queue between the event-fed connection and a handler.
type inbox struct {
	f       handler
	arrived chan struct{} // holds at most one token: the queue is not empty or closed

	mu     sync.Mutex // guards what follows
	queue  []Message
	taken  int64 // messages that the handler has received
	size   int   // what the queue costs, in bytes
	closed bool
}

func (b *inbox) Opened(c *Conn) {
	c.door.helpers.Go(func() {
		defer c.survive()
		defer b.drop(c)
		ctx := context.WithValue(c.Context(), inboxKey{}, b)
		finish(c, b.f(ctx, c))
	})
}

func finish(c *Conn, err error) {
	closing, isClose := errors.AsType[*CloseError](err)
	_, isDenial := errors.AsType[*deny.Denial](err)
	switch {
	case err == nil:
		c.Close(1000, "")
	case isClose:
		c.Close(closing.Code, closing.Reason)
	case isDenial:
		c.End(deny.Of(err), err)
	default:
		c.End(deny.Internal, err)
	}
}

func (b *inbox) Message(c *Conn, m Message) {
	if !c.door.budget.Take(cost(m)) {
		c.End(deny.GuardFull, errors.New("limits.buffered"))
		return
	}
	m.Data = append([]byte(nil), m.Data...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		c.door.budget.Give(cost(m))
		return
	}
	b.queue = append(b.queue, m)
	b.size += cost(m)
	if b.size >= inboxSize {
		c.Pause()
	}
	b.signal()
}

// Closed lets the handler have what arrived before the client closed; after any
// other ending nothing more is delivered.
func (b *inbox) Closed(c *Conn, reason deny.Reason) {
	if c != nil && reason != deny.PeerClosed {
		b.drop(c)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.signal()
}

// Taken is how many messages the handler has received.
func (b *inbox) Taken() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken
}

// drop gives back what nobody will read.
func (b *inbox) drop(c *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.door.budget.Give(b.size)
	b.queue, b.size, b.closed = nil, 0, true
}

func (b *inbox) signal() {
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// take returns the next message; ok is false if there is none yet.
func (b *inbox) take(c *Conn) (m Message, ok, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return Message{}, false, b.closed
	}
	m, b.queue[0] = b.queue[0], Message{}
	b.queue = b.queue[1:]
	b.taken++
	b.size -= cost(m)
	c.door.budget.Give(cost(m))
	if len(b.queue) > 0 {
		b.signal()
	}
	if b.size < inboxSize/2 {
		c.Unpause()
	}
	return m, true, false
}

type inboxKey struct{}

// Receive waits for the next message. ctx must be, or come from, the context
// given to the handler; when it ends, the wait ends and the connection does not.
// It returns the [*deny.Denial] for which the connection ended: deny.PeerClosed
// if the client closed it.
func (c *Conn) Receive(ctx context.Context) (Message, error) {
	b, ok := ctx.Value(inboxKey{}).(*inbox)
	if !ok {
		return Message{}, errors.New("sallyport: Receive needs the context that the handler was given")
	}
	for {
		m, ok, closed := b.take(c)
		if ok {
			return m, nil
		}
		if closed {
			b.signal() // for the next call
			return Message{}, context.Cause(c.Context())
		}
		select {
		case <-b.arrived:
		case <-ctx.Done():
			if c.Context().Err() != nil {
				<-b.arrived // the connection ended: Closed follows, or has been called
				continue
			}
			return Message{}, context.Cause(ctx)
		}
	}
}

// Messages yields messages until the connection ends: then, if the client did
// not close it itself, once the error of [Conn.Receive].
func (c *Conn) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for {
			m, err := c.Receive(ctx)
			if err != nil {
				if deny.Of(err) != deny.PeerClosed {
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

// OnMessage is a Route that calls f with each message, on the goroutine that
// read it: f must not block and must not keep m.Data. A panic ends the
// connection with internal.
func OnMessage(f func(c *Conn, m Message)) Route { return onMessage(f) }

type onMessage func(c *Conn, m Message)

func (f onMessage) Open(context.Context, *Handshake) (Sink, error) { return f, nil }
func (f onMessage) Opened(*Conn)                                   {}
func (f onMessage) Closed(*Conn, deny.Reason)                      {}

func (f onMessage) Message(c *Conn, m Message) {
	f(c, m)
}

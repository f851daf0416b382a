package client

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"
)

// Client keeps a connection: it connects again when the table of reasons says
// so, moves to a new connection before a restart of the server, and renews its
// credential over the connection. Its methods may be called from any goroutine.
//
// It promises no delivery. Send returns nil when a message was handed to a
// connection; if that is lost before the door has counted the message, OnUnknown
// is told, and whether to send it again is the application's decision.
type Client struct {
	// Set once.
	plan   *plan
	inbox  *inbox
	base   time.Time
	wall   func() time.Time
	signal chan struct{} // holds at most one token: look
	start  func()
	done   chan struct{} // closed when everything has ended after Close

	bell    bell           // rung when the state has changed
	helpers sync.WaitGroup // attempts, connections that end, and the one that tells

	mu       sync.Mutex // guards what follows; not held while the application is called
	machine  *machine
	told     State            // the last that was put into news
	current  *Conn            // sends; nil if there is none
	conns    map[uint64]*Conn // all that have not ended, by generation
	cancels  map[uint64]context.CancelFunc
	results  []result // of attempts, at most one for each in cancels
	queue    queue
	news     []news // what the application has still to be told
	unknown  int    // how many of them are about messages
	telling  bool   // somebody tells
	due      time.Duration
	lastWall time.Time
	lastMono time.Duration
}

// result is the outcome of an attempt.
type result struct {
	gen  uint64
	conn *Conn
	err  error
}

// news is a call of OnState or OnUnknown.
type news struct {
	state bool
	call  func()
}

// New prepares a client for a wss URL. It does not connect before Connect or
// Send. Mistakes in o are reported all at once. The client must be closed.
func New(url string, o Options) (*Client, error) {
	p, err := newPlan(url, o)
	if err != nil {
		return nil, err
	}
	c := &Client{
		plan: p, inbox: newInbox(p.Buffer), base: time.Now(), wall: func() time.Time { return time.Now().Round(0) },
		signal: make(chan struct{}, 1), done: make(chan struct{}),
		machine: newMachine(p.Backoff, p.hasSource(), random), told: State{Status: Idle},
		conns: map[uint64]*Conn{}, cancels: map[uint64]context.CancelFunc{}, queue: queue{limits: p.Queue},
	}
	c.start = sync.OnceFunc(func() {
		c.lastWall, c.lastMono = c.wall(), c.now()
		go c.run()
	})
	return c, nil
}

// now is never 0, so that 0 can mean "not".
func (c *Client) now() time.Duration { return max(time.Since(c.base), 1) }

// poke has the loop look.
func (c *Client) poke() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// act lets the machine decide and does what it says.
func (c *Client) act(decide func(m *machine, now time.Duration) []effect) {
	c.start()
	c.mu.Lock()
	c.apply(decide(c.machine, c.now()))
	c.noteState()
	c.mu.Unlock()
	c.poke()
}

// Connect asks for a connection and waits until it is open. A wait between
// attempts ends, except for one that the server asked for. It returns ctx's
// error, and the client goes on trying; or why it does not try again.
func (c *Client) Connect(ctx context.Context) error {
	c.act((*machine).connect)
	for {
		rung := c.bell.listen()
		switch s := c.State(); s.Status {
		case Open:
			return nil
		case Ended, Closed, Idle:
			return s.Err
		}
		select {
		case <-rung:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Reconnect gives the connection up and makes another at once, such as when the
// network has changed. It returns at once; the old connection ends with
// [CodeSuperseded].
func (c *Client) Reconnect() { c.act((*machine).reconnect) }

// State is what the client is doing now.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown(c.machine.state)
}

// shown fills in what only now is known. It is called with mu held.
func (c *Client) shown(s State) State {
	if s.Status == Waiting {
		s.Wait = max(s.until-c.now(), 0)
	}
	return s
}

// Conn is the connection in use, for its limits and protocol; nil if there is none.
func (c *Client) Conn() *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// Send hands m to a connection, and waits for that: in the queue, in order, while
// there is no connection or it takes no more. A client that is [Idle] connects.
//
// It returns [ErrQueueFull] at once if too much waits; [ErrExpired] together with
// ctx's error, or alone after Queue.MaxAge, if the message was not sent and will
// not be; [ErrTooLarge]; [ErrClosed] after Close or while the client is [Ended].
func (c *Client) Send(ctx context.Context, m Message) error {
	if err := check(m); err != nil {
		return err
	}
	c.start()
	it, err := c.enqueue(m)
	if it == nil {
		return err
	}
	c.poke()
	select {
	case err := <-it.done:
		return err
	case <-ctx.Done():
		c.mu.Lock()
		removed := c.queue.remove(it)
		c.mu.Unlock()
		if removed {
			return errors.Join(ErrExpired, context.Cause(ctx))
		}
		return <-it.done
	}
}

// enqueue sends m at once, if nothing is before it, or queues it.
func (c *Client) enqueue(m Message) (*item, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.machine.state; s.Status == Closed || s.Status == Ended {
		return nil, errors.Join(ErrClosed, s.Err)
	}
	if len(c.queue.items) == 0 && c.mayHand() {
		if _, err := c.current.offer(m); !errors.Is(err, errBusy) && !errors.Is(err, ErrClosed) {
			return nil, err
		}
	}
	it, err := c.queue.add(c.now(), m)
	if err != nil {
		return nil, err
	}
	c.apply(c.machine.use(c.now()))
	c.noteState()
	return it, nil
}

// Receive waits for the next message, across connections. It returns ctx's
// error, and once everything was given, why the client is [Ended] or [Closed].
func (c *Client) Receive(ctx context.Context) (Message, error) { return c.inbox.receive(ctx, nil, nil) }

// Messages yields messages, across connections, until the client ends or ctx
// does: then, unless the server closed with 1000 or Close was called, once the
// error of [Client.Receive].
func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return messages(ctx, func(ctx context.Context) (Message, error) {
		m, err := c.Receive(ctx)
		if err == ErrClosed {
			err = &CloseError{Code: 1000, Local: true}
		}
		return m, err
	})
}

// Close ends the client for good and returns when nothing of it is left. What
// waits to be sent fails with [ErrClosed]; what was sent has 5 s to be counted by
// the door. When ctx ends, connections are cut and the error is ctx's.
func (c *Client) Close(ctx context.Context) error {
	c.start()
	c.mu.Lock()
	if !c.machine.closed {
		c.apply(c.machine.close(c.now()))
		c.queue.fail(ErrClosed)
		c.noteState()
	}
	c.mu.Unlock()
	c.poke()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	for _, conn := range c.conns {
		conn.cut(context.Cause(ctx))
	}
	c.mu.Unlock()
	<-c.done
	return context.Cause(ctx)
}

package client

import (
	"context"
	"sync"
)

// inbox is the bounded queue of received messages: of one connection, or of all
// those that a client had.
type inbox struct {
	limit   int
	arrived chan struct{} // holds at most one token: there is a message, or the end

	mu    sync.Mutex // guards what follows
	queue []Message
	size  int // cost of queue
	full  bool
	err   error              // the end, behind what is queued
	feeds map[*Conn]struct{} // connections that wait for room
}

func newInbox(limit int) *inbox {
	return &inbox{limit: limit, arrived: make(chan struct{}, 1), feeds: map[*Conn]struct{}{}}
}

func (b *inbox) signal() {
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// put takes a message whatever the limit says; whoever puts asks room before the
// next.
func (b *inbox) put(m Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return
	}
	b.queue = append(b.queue, m)
	b.size += cost(m)
	b.full = b.full || b.size >= b.limit
	b.signal()
}

// room reports whether more may be read. If not, c is told when it may.
func (b *inbox) room(c *Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full && b.err == nil {
		b.feeds[c] = struct{}{}
		return false
	}
	return true
}

// forget drops a connection that has ended.
func (b *inbox) forget(c *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.feeds, c)
}

// end is what receive returns once the queue is empty. The first one counts.
func (b *inbox) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.makeRoom()
	b.signal()
}

// begin takes an end back: there is more to come.
func (b *inbox) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = nil
	b.full = b.size >= b.limit
}

func (b *inbox) makeRoom() {
	b.full = false
	for c := range b.feeds {
		c.resume()
	}
	clear(b.feeds)
}

func (b *inbox) take() (m Message, err error, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		b.queue = nil
		if b.err != nil {
			b.signal() // for the next call
		}
		return Message{}, b.err, b.err != nil
	}
	m, b.queue[0] = b.queue[0], Message{}
	b.queue = b.queue[1:]
	b.size -= cost(m)
	if b.full && b.size < b.limit/2 || len(b.queue) == 0 {
		b.makeRoom()
	}
	if len(b.queue) > 0 || b.err != nil {
		b.signal()
	}
	return m, nil, true
}

// receive waits for a message. done, if not nil, ends the wait with because.
func (b *inbox) receive(ctx context.Context, done <-chan struct{}, because error) (Message, error) {
	for {
		if m, err, ok := b.take(); ok {
			return m, err
		}
		select {
		case <-b.arrived:
		case <-done:
			return Message{}, because
		case <-ctx.Done():
			return Message{}, context.Cause(ctx)
		}
	}
}

package client

import (
	"context"
	"errors"
	"slices"
	"time"
)

// retireWait bounds how long a connection may take to end politely.
const retireWait = 2 * closeWait

// maxNews bounds how many states wait for OnState.
const maxNews = 64

// run is the one goroutine that looks: at connections that have ended, at the
// outcome of attempts, at the clocks, at the queue.
func (c *Client) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait, over := c.step()
		if over {
			break
		}
		timer.Reset(wait)
		select {
		case <-c.signal:
		case <-timer.C:
		}
	}
	c.helpers.Wait()
	c.inbox.end(ErrClosed)
	close(c.done)
}

// step does everything that is due. wait is until the next; over, that all has
// ended after Close.
func (c *Client) step() (wait time.Duration, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.lookAtClocks(now)
	for _, r := range c.results {
		c.outcome(now, r)
	}
	c.results = nil
	for gen, conn := range c.conns {
		c.lookAt(now, gen, conn)
	}
	c.apply(c.machine.look(now))
	next := c.pump(now)
	c.noteState()
	if t := c.queue.expire(now); t != 0 {
		next = min(next, t)
	}
	if t := c.machine.next(now); t != 0 {
		next = min(next, t)
	}
	c.due = next
	return next - now, c.machine.closed && len(c.conns) == 0 && len(c.cancels) == 0 && len(c.results) == 0
}

// lookAtClocks notices a sleep: the wall's clock went further than the monotonic
// one, which many systems stop, or both went past the time of the next look.
func (c *Client) lookAtClocks(now time.Duration) {
	wall := c.wall()
	jump := wall.Sub(c.lastWall) - (now - c.lastMono)
	if c.due != 0 {
		jump = max(jump, now-c.due)
	}
	c.lastWall, c.lastMono, c.due = wall, now, 0
	if jump > wakeJump {
		c.apply(c.machine.wake(now, jump))
	}
}

// outcome takes the result of an attempt.
func (c *Client) outcome(now time.Duration, r result) {
	c.cancels[r.gen]()
	delete(c.cancels, r.gen)
	if r.err != nil {
		c.apply(c.machine.failed(now, r.gen, judge(r.err, c.plan.ShouldRetry)))
		return
	}
	c.conns[r.gen] = r.conn
	c.apply(c.machine.succeeded(now, r.gen))
}

// lookAt takes what has happened to a connection.
func (c *Client) lookAt(now time.Duration, gen uint64, conn *Conn) {
	if advice := conn.takeAdvice(); advice != nil {
		c.apply(c.machine.drain(now, gen, advice.spread))
	}
	end := conn.ended.Load()
	if end == nil {
		return
	}
	delete(c.conns, gen)
	c.leave(conn)
	if lost := end.Unknown; len(lost) > 0 && c.plan.OnUnknown != nil {
		c.unknown++
		c.tell(news{call: func() {
			c.plan.OnUnknown(lost)
			c.mu.Lock()
			c.unknown--
			c.mu.Unlock()
			c.poke()
		}})
	}
	if gen != c.machine.current {
		c.noteCut(conn, end)
	}
	c.apply(c.machine.ended(now, gen, judge(end, c.plan.ShouldRetry)))
}

// noteCut tells that messages may be missing from a connection that was replaced:
// nothing else ends with it that would say so.
func (c *Client) noteCut(conn *Conn, end *CloseError) {
	if c.plan.OnState == nil || c.machine.closed || !conn.cutShort(end) {
		return
	}
	shown := c.shown(c.machine.state)
	shown.Err = end
	c.tell(news{state: true, call: func() { c.plan.OnState(shown) }})
}

// cutShort reports whether a sealed connection ended without the server's sealed
// word, while somebody wanted what it said.
func (c *Conn) cutShort(end *CloseError) bool {
	return c.sealed != nil && !c.deaf.Load() && (end.Err != nil || end.Code == CodeSilent)
}

// takeAdvice is what the door said about its end, once.
func (c *Conn) takeAdvice() *drain {
	c.mu.Lock()
	defer c.mu.Unlock()
	advice := c.advice
	c.advice = nil
	return advice
}

// apply does what the machine asks for. It is called with mu held.
func (c *Client) apply(effects []effect) {
	for _, e := range effects {
		conn := c.conns[e.gen]
		if conn == nil && e.do != doConnect && e.do != doCancel {
			continue // it has ended meanwhile
		}
		switch e.do {
		case doConnect:
			c.connect(e)
		case doCancel:
			if cancel := c.cancels[e.gen]; cancel != nil {
				cancel()
			}
		case doUse:
			c.current = conn
		case doRetire:
			c.leave(conn)
		case doDrop:
			conn.giveUp(CodeSuperseded, "local.superseded")
		case doProbe:
			conn.Probe()
		case doDiscard, doShutdown:
			conn.deaf.Store(true)
			conn.resume()
			c.leave(conn)
		}
	}
}

// connect begins an attempt. At most one is under way: the machine waits for the
// outcome also of one that it cancelled.
func (c *Client) connect(e effect) {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancels[e.gen] = cancel
	c.helpers.Go(func() {
		conn, err := c.plan.connect(ctx, e.why, c.inbox, c.poke)
		c.mu.Lock()
		c.results = append(c.results, result{e.gen, conn, err})
		c.mu.Unlock()
		c.poke()
	})
}

// leave ends a connection politely, or waits for the socket of one that has ended.
func (c *Client) leave(conn *Conn) {
	if c.current == conn {
		c.current = nil
	}
	c.helpers.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), retireWait)
		defer cancel()
		conn.leave(ctx, 1000, "")
	})
}

// mayHand reports whether a message may go to the connection. While the
// application has not taken what is unknown, nothing more may become so.
func (c *Client) mayHand() bool { return c.current != nil && c.unknown == 0 }

// pump hands what waits to the connection and says when to try again.
func (c *Client) pump(now time.Duration) (again time.Duration) {
	again = now + time.Hour
	for len(c.queue.items) > 0 && c.mayHand() {
		c.queue.expire(now)
		if len(c.queue.items) == 0 {
			break
		}
		wait, err := c.current.offer(c.queue.items[0].message)
		switch {
		case errors.Is(err, errBusy):
			return now + wait
		case errors.Is(err, ErrClosed):
			return again // its end is about to be seen
		}
		c.queue.pop(err)
	}
	return again
}

// noteState tells of a change.
func (c *Client) noteState() {
	s := c.machine.state
	if s.same(c.told) {
		return
	}
	c.told = s
	switch s.Status {
	case Ended:
		c.queue.fail(errors.Join(ErrClosed, s.Err))
		c.inbox.end(s.Err)
	case Closed:
	default:
		c.inbox.begin()
	}
	c.bell.ring()
	if c.plan.OnState == nil {
		return
	}
	shown := c.shown(s)
	c.tell(news{state: true, call: func() { c.plan.OnState(shown) }})
}

// tell has the application called, in order, by one goroutine that exists only
// while there is something to tell.
func (c *Client) tell(n news) {
	if oldest := slices.IndexFunc(c.news, func(n news) bool { return n.state }); len(c.news) >= maxNews && oldest >= 0 {
		c.news = slices.Delete(c.news, oldest, oldest+1)
	}
	c.news = append(c.news, n)
	if c.telling {
		return
	}
	c.telling = true
	c.helpers.Go(func() {
		for {
			c.mu.Lock()
			if len(c.news) == 0 {
				c.telling = false
				c.mu.Unlock()
				return
			}
			n := c.news[0]
			c.news = slices.Delete(c.news, 0, 1)
			c.mu.Unlock()
			n.call()
		}
	})
}

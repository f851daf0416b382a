package load

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"
)

// glance is how long the pacer sleeps at most, so that it sees who is new. A new
// connection's first message is due later than that.
const glance = 5 * time.Millisecond

// pacer tells connections that messages are due.
//
// Timers of the Go runtime may ring a millisecond late on an idle machine, which
// would be most of the latency of a fast server; so one goroutine sleeps with the
// system's own clock, and connections wait in a heap.
type pacer struct {
	sleep func(time.Duration)
	over  atomic.Bool

	mu    sync.Mutex // guards queue
	queue schedule
}

// appointment is when a connection's next message is due.
type appointment struct {
	at   int64
	conn *conn
}

type schedule []appointment

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].at < s[j].at }
func (s schedule) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(x any)        { *s = append(*s, x.(appointment)) }
func (s *schedule) Pop() any {
	last := len(*s) - 1
	x := (*s)[last]
	(*s)[last] = appointment{}
	*s = (*s)[:last]
	return x
}

// add puts a connection on the schedule.
func (p *pacer) add(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	heap.Push(&p.queue, appointment{c.begin, c})
}

// run kicks connections until over is set.
func (p *pacer) run(now func() int64) {
	for !p.over.Load() {
		if wait := p.due(now()); wait > 0 {
			p.sleep(wait)
		}
	}
}

// due kicks everybody whose time has come, and returns how long there is nothing
// to do, at most a glance.
func (p *pacer) due(now int64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 {
		first := &p.queue[0]
		if wait := first.at - now; wait > 0 {
			return min(time.Duration(wait), glance)
		}
		c := first.conn
		if c.silent(first.at) {
			heap.Pop(&p.queue)
			continue
		}
		c.kick()
		first.at = c.intended(uint64((now-c.begin)/c.interval) + 1)
		heap.Fix(&p.queue, 0)
	}
	return glance
}

// silent reports whether a connection will send no message that is due at that
// time or later.
func (c *conn) silent(at int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.quit <= c.sent || at >= c.run.until.Load()
}

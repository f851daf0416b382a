//go:build linux

package poll

import (
	"os"
	"sync"
	"syscall"
)

// loop is one epoll instance and the goroutine that runs the events of its
// connections.
//
// An event must not block. Should one take long all the same, another goroutine
// goes on with the others ([loop.look]).
type loop struct {
	engine *Engine
	layout *layout // of crypto/tls; nil if it is not known
	waiter *waiter

	mu     sync.Mutex // guards what follows
	conns  []*conn    // by slot
	free   []uint32   // slots
	serial uint32     // of the last connection
	batch  []event
	next   int    // of batch
	runner int    // the goroutine that runs the loop; others end
	turn   uint64 // counts events
	seen   uint64 // the turn of the last look
	now    *conn  // whose event is in progress

	flushMu  sync.Mutex // guards what follows
	flush    []*conn
	flushing bool // the goroutine exists
}

type event struct {
	conn *conn
	what uint32
}

func newLoop(e *Engine, known *layout) (*loop, error) {
	w, err := newWaiter()
	if err != nil {
		return nil, err
	}
	return &loop{engine: e, layout: known, waiter: w}, nil
}

// add has the kernel report what happens to c.
func (l *loop) add(c *conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.use() { // closed before it began
		return nil
	}
	defer c.unuse()
	if l.serial++; l.serial == 0 {
		l.serial++
	}
	c.serial = l.serial
	if n := len(l.free); n > 0 {
		c.slot, l.free = l.free[n-1], l.free[:n-1]
		l.conns[c.slot] = c
	} else {
		c.slot = uint32(len(l.conns))
		l.conns = append(l.conns, c)
	}
	const edge = 1 << 31 // EPOLLET, which package syscall has with a sign
	ev := syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edge,
		Fd:     int32(c.slot), Pad: int32(c.serial),
	}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(l.waiter.sockets, syscall.EPOLL_CTL_ADD, int(c.fd), &ev))
}

// remove forgets c. Events of it that are under way are dropped.
func (l *loop) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.serial == 0 {
		return
	}
	c.serial = 0
	l.conns[c.slot] = nil
	l.free = append(l.free, c.slot)
}

// run is the goroutine of the loop. It ends with the waiting, or when another has
// taken its place.
func (l *loop) run(runner int) {
	for {
		ev, ok := l.take(runner)
		switch {
		case ok:
			ev.conn.ready(ev.what)
		case !l.wait(runner):
			return
		}
	}
}

// take returns the next event of the batch.
func (l *loop) take(runner int) (ev event, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runner != runner { // what is in progress is another's
		return event{}, false
	}
	l.now = nil
	if l.next == len(l.batch) {
		return event{}, false
	}
	ev = l.batch[l.next]
	l.batch[l.next] = event{}
	l.next++
	l.turn++
	l.now = ev.conn
	return ev, true
}

// wait fills the batch. It reports false if the goroutine is to end.
func (l *loop) wait(runner int) bool {
	l.mu.Lock()
	mine := l.runner == runner
	l.mu.Unlock()
	if !mine {
		return false
	}
	events, err := l.waiter.wait()
	if err != nil {
		l.waiter.free()
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batch, l.next = l.batch[:0], 0
	for _, ev := range events {
		slot := uint32(ev.Fd)
		if c := l.conns[slot]; c != nil && c.serial == uint32(ev.Pad) {
			l.batch = append(l.batch, event{c, ev.Events})
		}
	}
	l.engine.watch()
	return true
}

// look has another goroutine go on if the event in progress is still the one of
// the last look. It reports whether the loop is busy.
func (l *loop) look() (busy bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil {
		return l.next < len(l.batch)
	}
	if l.turn != l.seen {
		l.seen = l.turn
		return true
	}
	late := l.now
	l.now = nil
	l.runner++
	runner := l.runner
	l.engine.runners.Go(func() { l.run(runner) })
	l.engine.late(late)
	return true
}

// busy reports whether there are events that have not ended.
func (l *loop) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now != nil || l.next < len(l.batch)
}

// later has c flushed by the loop's second goroutine, which exists while there is
// something to flush. What is queued meanwhile goes with it.
func (l *loop) later(c *conn) {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.flush = append(l.flush, c)
	if !l.flushing {
		l.flushing = true
		l.engine.kicked.Go(l.flushAll)
	}
}

func (l *loop) flushAll() {
	var done []*conn
	for {
		l.flushMu.Lock()
		work := l.flush
		l.flush = done[:0]
		if len(work) == 0 {
			l.flush, l.flushing = nil, false
			l.flushMu.Unlock()
			return
		}
		l.flushMu.Unlock()
		for i, c := range work {
			work[i] = nil
			c.turn(soon, false)
			c.machine.Flush()
		}
		done = work
	}
}

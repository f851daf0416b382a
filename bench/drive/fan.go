package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/bench/order"
	"github.com/sallyport/sallyport/bench/wire"
)

// watchers is how many subscribers decrypt what they get and count it. What the
// others get is thrown away in the kernel, so that the client is not the bound.
const watchers = 4

// fan publishes messages of Size bytes to the subscribers that a group is, and
// keeps Depth of them under way: the next is sent when the slowest watcher has
// the one Depth before it.
func (d *driver) fan(o *order.Order) (a order.Answer, err error) {
	g, err := d.group(o, 2*watchers)
	if err != nil {
		return a, err
	}
	if g.sink == nil {
		if g.sink, err = newSink(g.conns[watchers:]); err != nil {
			return a, err
		}
	}
	publisher, err := (&wire.Target{Address: o.Address, Path: o.Path, TLS: g.target.TLS}).Dial(context.Background(), "")
	if err != nil {
		return a, fmt.Errorf("publisher: %w", err)
	}
	defer publisher.Abort()
	// The sink waits in the kernel, where it holds a processor of the scheduler.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(watchers))

	f := newFanout(g.conns[:watchers], max(o.Depth, 1))
	f.limit(time.Duration(o.Warm+patience*o.Millis)*time.Millisecond + wire.Patience)
	for i := range f.conns {
		f.all.Go(func() { f.watch(i) })
	}
	f.all.Go(func() { f.publish(publisher, wire.Frames(f.depth, o.Size, "")) })
	f.all.Go(func() { g.sink.drain(f.stop) })
	err = f.measure(o, &a)
	f.end(err == nil)
	if lost := g.sink.lost.Load(); err == nil && lost > 0 {
		err = fmt.Errorf("%d subscribers were lost", lost)
	}
	a.N *= int64(len(g.conns)) // messages, each to so many
	return a, err
}

// fanout is one measurement.
type fanout struct {
	conns []*wire.Conn // of the watchers
	depth int

	seen     [watchers]atomic.Int64 // messages
	sent     atomic.Int64
	progress chan struct{} // holds a token when a watcher got something
	failed   chan error    // has room for all who may say so
	stop     chan struct{} // closed when it is over
	all      sync.WaitGroup
}

func newFanout(conns []*wire.Conn, depth int) *fanout {
	return &fanout{
		conns: conns, depth: depth,
		progress: make(chan struct{}, 1), failed: make(chan error, watchers+1), stop: make(chan struct{}),
	}
}

// limit sets how long watchers wait for what they read.
func (f *fanout) limit(d time.Duration) {
	for _, c := range f.conns {
		c.SetDeadline(time.Now().Add(d))
	}
}

// slowest is how many messages the slowest watcher has.
func (f *fanout) slowest() int64 {
	least := f.seen[0].Load()
	for i := range f.seen {
		least = min(least, f.seen[i].Load())
	}
	return least
}

// watch counts what one watcher gets, until its deadline.
func (f *fanout) watch(i int) {
	c, buf := f.conns[i], make([]byte, readBuffer)
	for {
		n, err := c.Read(buf)
		if err == nil {
			n, err = c.Counter.Feed(buf[:n])
		}
		if err != nil {
			f.failed <- err
			return
		}
		f.seen[i].Add(int64(n))
		select {
		case f.progress <- struct{}{}:
		default:
		}
	}
}

// publish keeps depth messages under way; frames are so many of them.
func (f *fanout) publish(to *wire.Conn, frames []byte) {
	each := len(frames) / f.depth
	for {
		if room := f.depth - int(f.sent.Load()-f.slowest()); room > 0 {
			if _, err := to.Write(frames[:room*each]); err != nil {
				f.failed <- err
				return
			}
			f.sent.Add(int64(room))
			continue
		}
		select {
		case <-f.progress:
		case <-f.stop:
			return
		}
	}
}

// measure counts messages that all watchers have.
func (f *fanout) measure(o *order.Order, a *order.Answer) error {
	select {
	case err := <-f.failed:
		return err
	case <-time.After(time.Duration(o.Warm) * time.Millisecond):
	}
	m, err := startMeter(o.PID, f.slowest())
	if err != nil {
		return err
	}
	m.wait(o.Millis, int64(5*f.depth), f.slowest)
	select {
	case err := <-f.failed:
		return err
	default:
		return m.stop(a, f.slowest())
	}
}

// end stops publishing and, if all is well, waits for what is under way, so that
// the next measurement begins with nothing.
func (f *fanout) end(well bool) {
	close(f.stop)
	for deadline := time.Now().Add(3 * time.Second); well && f.slowest() < f.sent.Load() && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	f.limit(0)
	f.all.Wait()
	for _, c := range f.conns {
		c.SetDeadline(time.Time{})
	}
}

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
	publisher, err := (&wire.Target{Address: o.Address, Path: o.Path, TLS: g.target.TLS}).Dial(context.Background(), "")
	if err != nil {
		return a, fmt.Errorf("publisher: %w", err)
	}
	defer publisher.Abort()
	for _, c := range g.conns[:watchers] {
		c.SetDeadline(time.Now().Add(time.Duration(o.Warm+patience*o.Millis)*time.Millisecond + wire.Patience))
	}
	if g.sink == nil {
		if g.sink, err = newSink(g.conns[watchers:]); err != nil {
			return a, err
		}
	}
	sink := g.sink

	// The sink waits in the kernel, where it holds a processor of the scheduler.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	depth := max(o.Depth, 1)
	seen := make([]atomic.Int64, watchers)
	progress := make(chan struct{}, 1) // holds a token when a watcher got something
	failed := make(chan error, watchers+1)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i, c := range g.conns[:watchers] {
		all.Go(func() {
			buf := make([]byte, readBuffer)
			for {
				n, err := c.Read(buf)
				if err == nil {
					n, err = c.Counter.Feed(buf[:n])
				}
				if err != nil {
					failed <- err
					return
				}
				seen[i].Add(int64(n))
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	slowest := func() int64 {
		least := seen[0].Load()
		for i := 1; i < watchers; i++ {
			least = min(least, seen[i].Load())
		}
		return least
	}
	published := make(chan int64, 1)
	all.Go(func() {
		many := wire.Frames(depth, o.Size, "")
		each := len(many) / depth
		sent := int64(0)
		defer func() { published <- sent }()
		for {
			if room := int64(depth) - (sent - slowest()); room > 0 {
				if _, err := publisher.Write(many[:int(room)*each]); err != nil {
					failed <- err
					return
				}
				sent += room
				continue
			}
			select {
			case <-progress:
			case <-stop:
				return
			}
		}
	})
	all.Go(func() { sink.drain(stop) })

	wait := func(ms int) error {
		select {
		case err := <-failed:
			return err
		case <-time.After(time.Duration(ms) * time.Millisecond):
			return nil
		}
	}
	m := &meter{}
	if err = wait(o.Warm); err == nil {
		if m, err = startMeter(o.PID, slowest()); err == nil {
			m.wait(o.Millis, int64(5*depth), slowest)
			select {
			case err = <-failed:
			default:
				err = m.stop(&a, slowest())
			}
		}
	}
	close(stop)
	sent := <-published
	for deadline := time.Now().Add(3 * time.Second); err == nil && slowest() < sent && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond) // what is under way, so that the next measurement begins with nothing
	}
	for _, c := range g.conns[:watchers] {
		c.SetReadDeadline(time.Now())
	}
	all.Wait()
	for _, c := range g.conns[:watchers] {
		c.SetDeadline(time.Time{})
	}
	if lost := sink.lost.Load(); err == nil && lost > 0 {
		err = fmt.Errorf("%d subscribers were lost", lost)
	}
	a.N *= int64(len(g.conns)) // messages, each to so many
	return a, err
}

package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/bench/order"
	"github.com/sallyport/sallyport/bench/wire"
)

// readBuffer is what a connection reads into while it is busy, in bytes.
const readBuffer = 32 << 10

// echo keeps Depth messages of Size bytes under way on each of the first N
// connections of a group, each time sent in one write when all of the last came
// back.
func (d *driver) echo(o *order.Order) (a order.Answer, err error) {
	g, err := d.group(o, o.N)
	if err != nil {
		return a, err
	}
	depth := max(o.Depth, 1)
	frames := wire.Frames(depth, o.Size, o.Dialect)
	var count atomic.Int64
	var measuring, over atomic.Bool
	var all sync.WaitGroup
	h, f := &histogram{}, &failures{}
	for _, c := range g.conns[:o.N] {
		all.Go(func() {
			c.SetDeadline(time.Now().Add(time.Duration(o.Warm+patience*o.Millis)*time.Millisecond + wire.Patience))
			defer c.SetDeadline(time.Time{})
			buf := make([]byte, readBuffer)
			for !over.Load() {
				sent := time.Now()
				if _, err := c.Write(frames); err != nil {
					f.add(err)
					return
				}
				if err := c.Await(depth, buf); err != nil {
					f.add(err)
					return
				}
				count.Add(int64(depth))
				if measuring.Load() {
					h.add(time.Since(sent))
				}
			}
		})
	}
	time.Sleep(time.Duration(o.Warm) * time.Millisecond)
	m, err := startMeter(o.PID, count.Load())
	if err == nil {
		measuring.Store(true)
		m.wait(o.Millis, int64(5*o.N*depth), count.Load)
		measuring.Store(false)
		err = m.stop(&a, count.Load())
	}
	over.Store(true)
	all.Wait()
	h.report(&a)
	if f.report(&a); a.Failed > 0 {
		err = fmt.Errorf("%d connections were lost: %v", a.Failed, a.Reasons)
	}
	return a, err
}

// once sends one message over every connection of a group and waits for its echo.
func (d *driver) once(o *order.Order) (a order.Answer, err error) {
	g, err := d.group(o, 1)
	if err != nil {
		return a, err
	}
	frames := wire.Frames(1, o.Size, o.Dialect)
	began := time.Now()
	f := &failures{}
	buffers := sync.Pool{New: func() any { return new([readBuffer]byte) }}
	inParallel(len(g.conns), max(o.Parallel, 1), func(i int) {
		c := g.conns[i]
		c.SetDeadline(time.Now().Add(wire.Patience))
		defer c.SetDeadline(time.Time{})
		buf := buffers.Get().(*[readBuffer]byte)
		defer buffers.Put(buf)
		_, err := c.Write(frames)
		if err == nil {
			err = c.Await(1, buf[:])
		}
		if err != nil {
			f.add(err)
		}
	})
	a.N, a.Seconds = int64(len(g.conns)), time.Since(began).Seconds()
	if f.report(&a); a.Failed > 0 {
		return a, fmt.Errorf("%d connections were lost: %v", a.Failed, a.Reasons)
	}
	return a, nil
}

package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/bench/order"
	"github.com/sallyport/sallyport/bench/wire"
)

// stormRetries bounds how often a client of a storm comes back; it waits a tenth
// of a second more each time.
const stormRetries = 50

// storm drops all connections of a group at once and opens them again, Parallel
// at once, until the last one is back.
func (d *driver) storm(o *order.Order) (a order.Answer, err error) {
	g, err := d.group(o, 1)
	if err != nil {
		return a, err
	}
	n := len(g.conns)
	for _, c := range g.conns {
		c.Abort()
	}
	time.Sleep(time.Duration(o.Warm) * time.Millisecond) // until the server has noticed
	var failed, resumed atomic.Int64
	h, f := &histogram{}, &failures{}
	m, err := startMeter(o.PID, 0)
	if err != nil {
		return a, err
	}
	g.conns = make([]*wire.Conn, n)
	began := time.Now()
	inParallel(n, max(o.Parallel, 1), func(i int) {
		for try := range stormRetries {
			time.Sleep(time.Duration(try) * time.Second / 10)
			c, err := g.target.Dial(context.Background(), g.token(i))
			if err != nil {
				f.add(err)
				continue
			}
			g.conns[i] = c
			h.add(time.Since(began)) // since the storm broke out, not since the try
			if c.Resumed {
				resumed.Add(1)
			}
			return
		}
		failed.Add(1)
	})
	if err := m.stop(&a, int64(n)); err != nil {
		return a, err
	}
	g.conns = compact(g.conns)
	h.report(&a)
	f.report(&a) // handshakes that had to be tried again
	a.Resumed = resumed.Load()
	if lost := failed.Load(); lost > 0 {
		return a, fmt.Errorf("%d connections never came back: %v", lost, a.Reasons)
	}
	return a, nil
}

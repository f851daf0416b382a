package main

import (
	"time"

	"github.com/sallyport/sallyport/bench/order"
)

// How many connections are busy, and how many idle ones come to them.
const (
	flatBusy = 100
	flatIdle = 7900
)

// flatRow is what idle connections cost those that are busy.
var flatRow = &row{
	name:    "flat",
	servers: []string{"sallyport", "gorilla"},
	pinned:  true,
	measure: func(l *lab, s *server, note func(of, what string, value float64)) error {
		d, err := l.drive(s)
		if err != nil {
			return err
		}
		defer d.stop()
		open := func(group string, n int) error {
			o := s.target("/echo")
			o.Do, o.Group, o.N, o.Parallel = "open", group, n, 32
			_, err := d.do(o)
			return err
		}
		busy := func(of string) (float64, error) {
			a, err := d.do(&order.Order{
				Do: "echo", Group: "busy", N: flatBusy, Size: 64, Warm: l.millis(300), Millis: l.millis(1000), PID: s.pid,
			})
			cpu := perEach(a.CPU, a.N)
			if err == nil {
				note(of, "cpu", cpu)
				note(of, "p99", a.P99)
			}
			return cpu, err
		}
		if err := open("busy", flatBusy); err != nil {
			return err
		}
		before, err := busy("100 alone")
		if err != nil {
			return err
		}
		if err := open("idle", l.conns(flatIdle)); err != nil {
			return err
		}
		time.Sleep(l.pause(time.Second))
		after, err := busy("beside 7,900 idle")
		if err != nil {
			return err
		}
		note("change", "ratio", after/before)
		return nil
	},
}

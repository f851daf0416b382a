package main

import (
	"time"

	"github.com/sallyport/sallyport/bench/order"
	"github.com/sallyport/sallyport/bench/proc"
)

// idleConns is how many connections are open: both legs of a relay fit into
// 20,000 descriptors.
const idleConns = 8000

// idleRow is memory for each idle connection: fresh, and some seconds after each
// connection passed a message of 16 KiB. No server is asked to collect garbage.
var idleRow = &row{
	name: "idle",
	servers: []string{
		"sallyport", "sallyport-portable", "sallyport-handler", "sallyport-relay", "gorilla", "coder", "gws", "gobwas", "centrifuge", "node",
		"nginx", "haproxy", "caddy",
	},
	measure: func(l *lab, s *server, note func(of, what string, value float64)) error {
		n := l.conns(idleConns)
		d, err := l.drive(s)
		if err != nil {
			return err
		}
		defer d.stop()
		o := s.target("/echo")
		o.Do, o.Group, o.N, o.Parallel = "open", "warm", 64, 16
		steps := []*order.Order{o, {Do: "once", Group: "warm", Size: 64, Parallel: 16, Dialect: s.dialect}, {Do: "close", Group: "warm"}}
		for _, o := range steps { // code, caches and buffers that are there once
			if _, err := d.do(o); err != nil {
				return err
			}
		}
		time.Sleep(l.pause(500 * time.Millisecond))
		sockets, err := proc.Sockets()
		if err != nil {
			return err
		}
		before, err := s.tree().Memory()
		if err != nil {
			return err
		}
		o.Group, o.N, o.Parallel = "idle", n, 32
		if _, err := d.do(o); err != nil {
			return err
		}
		each := func(of string) error {
			m, err := s.tree().Memory()
			if err != nil {
				return err
			}
			note(of, "rss", float64(m.RSS-before.RSS)/float64(n))
			note(of, "pss", float64(m.PSS-before.PSS)/float64(n))
			return nil
		}
		time.Sleep(l.pause(time.Second))
		if err := each("fresh"); err != nil {
			return err
		}
		after, err := proc.Sockets()
		if err != nil {
			return err
		}
		note("fresh", "kernel", float64(after-sockets)/float64(n))
		if _, err := d.do(&order.Order{Do: "once", Group: "idle", Size: 16 << 10, Parallel: 16, Dialect: s.dialect}); err != nil {
			return err
		}
		time.Sleep(l.pause(5 * time.Second))
		return each("after 16 KiB")
	},
}

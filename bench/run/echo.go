package main

import (
	"fmt"

	"github.com/sallyport/sallyport/bench/order"
)

// echoRow is the server's CPU time for a message that comes back.
var echoRow = &row{
	name:    "echo",
	servers: []string{"sallyport", "sallyport-portable", "sallyport-handler", "gorilla", "coder", "gws", "gobwas", "centrifuge", "node"},
	pinned:  true,
	measure: func(l *lab, s *server, note func(of, what string, value float64)) error {
		return l.echoes(s, []int{1, 64, 1000}, s.dialect == "", note)
	},
}

// relayRow is the same through a relay, its CPU time alone.
var relayRow = &row{
	name:    "relay",
	servers: []string{"sallyport-relay", "sallyport-relay-masked", "nginx", "haproxy", "caddy"},
	pinned:  true,
	measure: func(l *lab, s *server, note func(of, what string, value float64)) error {
		return l.echoes(s, []int{64, 1000}, false, note)
	},
}

// echoes measures messages of three sizes over so many connections, at 64 also
// with 16 of them in one write.
func (l *lab) echoes(s *server, conns []int, pipelined bool, note func(of, what string, value float64)) error {
	d, err := l.drive(s)
	if err != nil {
		return err
	}
	defer d.stop()
	measure := func(n, size, depth int) error {
		a, err := d.do(&order.Order{
			Do: "echo", Group: "echo", N: n, Size: size, Depth: depth, Warm: l.millis(150), Millis: l.millis(400),
			PID: s.pid, Dialect: s.dialect,
		})
		if err != nil {
			return err
		}
		of := echoCase(size, n, depth)
		note(of, "cpu", perEach(a.CPU, a.N))
		note(of, "user", perEach(a.User, a.N))
		note(of, "rate", float64(a.N)/a.Seconds)
		note(of, "p50", a.P50)
		note(of, "p99", a.P99)
		note(of, "busy", a.CPU/a.Seconds)
		note(of, "client", a.Own/a.Seconds)
		return nil
	}
	for _, n := range conns {
		o := s.target("/echo")
		o.Do, o.Group, o.N, o.Parallel = "open", "echo", n, 16
		if _, err := d.do(o); err != nil {
			return err
		}
		for _, size := range []int{64, 1 << 10, 16 << 10} {
			if err := measure(n, size, 1); err != nil {
				return err
			}
		}
		if pipelined && n == 64 {
			if err := measure(n, 64, 16); err != nil {
				return err
			}
		}
	}
	return nil
}

func echoCase(size, conns, depth int) string {
	of := fmt.Sprintf("%s × %d", sizeName(size), conns)
	if depth > 1 {
		of += fmt.Sprintf(", %d in a write", depth)
	}
	return of
}

func sizeName(n int) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// perEach is µs for each of n.
func perEach(seconds float64, n int64) float64 { return seconds / float64(n) * 1e6 }

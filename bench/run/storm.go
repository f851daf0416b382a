package main

import (
	"fmt"
	"os"
)

// stormConns is how many clients come back at once.
const stormConns = 2000

// stormRow is all clients dropped at once, and coming back at once: TLS resumed,
// each with a token of its own that the server has seen.
var stormRow = &row{
	name:    "storm",
	servers: []string{"sallyport", "gorilla"},
	pinned:  true,
	tokens:  true,
	verify:  true,
	measure: func(l *lab, s *server, note func(of, what string, value float64)) error {
		n := l.conns(stormConns)
		d, err := l.drive(s)
		if err != nil {
			return err
		}
		defer d.stop()
		before, err := s.tree().Memory()
		if err != nil {
			return err
		}
		o := s.target("/echo")
		o.Do, o.Group, o.N, o.Parallel, o.Tokens, o.Resume = "open", "storm", n, 16, l.tokens.many, true
		if _, err := d.do(o); err != nil {
			return err
		}
		open, err := s.tree().Memory()
		if err != nil {
			return err
		}
		o.Do, o.Parallel, o.PID, o.Warm = "storm", n, s.pid, l.millis(1000)
		a, err := d.do(o)
		if err != nil {
			return err
		}
		after, err := s.tree().Memory()
		if err != nil {
			return err
		}
		if a.Failed > 0 {
			fmt.Fprintf(os.Stderr, "bench: storm: %s: tried again: %v\n", s.name, a.Reasons)
		}
		of := "all at once"
		note(of, "back", a.Seconds)
		note(of, "cpu", perEach(a.CPU, a.N))
		note(of, "p50", a.P50)
		note(of, "p99", a.P99)
		note(of, "again", float64(a.Failed))
		note(of, "resumed", float64(a.Resumed)/float64(a.N))
		note(of, "peak", float64(after.Peak-before.RSS)/float64(n))
		note(of, "open", float64(open.RSS-before.RSS)/float64(n))
		return nil
	},
}

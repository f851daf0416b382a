package main

import "github.com/sallyport/sallyport/bench/order"

const (
	revocationConns    = 10_000
	revocationSubjects = 2500 // each has four connections
	revocationTrials   = 200
)

// revocationRow is the time from the call to the last byte on the last of a
// subject's connections, while 10,000 are open.
var revocationRow = &row{
	name:    "revocation",
	servers: []string{"sallyport", "sallyport-handler"},
	tokens:  true,
	measure: func(l *lab, s *server, note func(of, what string, value float64)) error {
		d, err := l.drive(s)
		if err != nil {
			return err
		}
		defer d.stop()
		subjects := l.conns(revocationSubjects)
		o := s.target("/echo")
		o.Do, o.Group, o.N, o.Parallel, o.Tokens = "open", "all", subjects*(revocationConns/revocationSubjects), 32, l.tokens.many
		if _, err := d.do(o); err != nil {
			return err
		}
		a, err := d.do(&order.Order{
			Do: "revoke", Group: "all", N: subjects, Depth: min(revocationTrials, subjects), Warm: 5, Control: s.control, PID: s.pid,
		})
		if err != nil {
			return err
		}
		of := "10,000 open"
		note(of, "p50", a.P50/1000)
		note(of, "p99", a.P99/1000)
		note(of, "max", a.Max/1000)
		note(of, "cpu", perEach(a.CPU, a.N))
		return nil
	},
}

package main

import "github.com/sallyport/sallyport/bench/order"

// admissionRow is a new connection through a relay: TLS, origin, ES256 token,
// backend connect. The proxies beside it look at no token; "verify" is what the
// verification alone costs, with golang-jwt.
var admissionRow = &row{
	name:    "admission",
	servers: []string{"sallyport-relay", "sallyport", "nginx", "haproxy", "caddy", "gorilla", "verify"},
	pinned:  true,
	tokens:  true,
	measure: func(l *lab, s *server, note func(of, what string, value float64)) error {
		if s.name == "verify" {
			return l.verify(s, note)
		}
		if err := l.shake(s, "X25519", false, note); err != nil {
			return err
		}
		if s.classical {
			return nil
		}
		return l.shake(s, "X25519MLKEM768", false, note)
	},
}

// reconnectRow is a client that was here before: TLS is resumed, its token known.
var reconnectRow = &row{
	name:    "reconnect",
	servers: []string{"sallyport", "gorilla"},
	pinned:  true,
	tokens:  true,
	verify:  true,
	measure: func(l *lab, s *server, note func(of, what string, value float64)) error {
		if err := l.shake(s, "X25519", false, note); err != nil {
			return err
		}
		return l.shake(s, "X25519", true, note)
	},
}

// shake measures handshakes, 16 at once.
func (l *lab) shake(s *server, curve string, resume bool, note func(of, what string, value float64)) error {
	d, err := l.drive(s)
	if err != nil {
		return err
	}
	defer d.stop()
	o := s.target("/echo")
	o.Do, o.Parallel, o.PID, o.Tokens = "shake", 16, s.pid, l.tokens.one
	o.Hybrid, o.Resume = curve == "X25519MLKEM768", resume
	o.Warm, o.Millis = l.millis(300), l.millis(1200)
	a, err := d.do(o)
	if err != nil {
		return err
	}
	of := curve
	if resume {
		of += ", resumed"
		note(of, "resumed", float64(a.Resumed)/float64(a.N))
	}
	note(of, "cpu", perEach(a.CPU, a.N))
	note(of, "user", perEach(a.User, a.N))
	note(of, "rate", float64(a.N)/a.Seconds)
	note(of, "p50", a.P50)
	note(of, "p99", a.P99)
	return nil
}

// verify measures the verification of an ES256 token, in the load client: no
// server runs.
func (l *lab) verify(s *server, note func(of, what string, value float64)) error {
	d, err := l.drive(s)
	if err != nil {
		return err
	}
	defer d.stop()
	a, err := d.do(&order.Order{Do: "verify", CA: l.tokens.public, Tokens: l.tokens.one, Millis: l.millis(400)})
	if err != nil {
		return err
	}
	note("X25519", "cpu", perEach(a.CPU, a.N))
	return nil
}

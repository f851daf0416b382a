package main

import "fmt"

// fanSubscribers is how many get each message.
const fanSubscribers = 1000

// fanRow is the server's CPU time for each delivery of a message to many.
var fanRow = &row{
	name:    "fan",
	servers: []string{"sallyport", "gorilla", "coder", "gws", "gobwas", "node"},
	pinned:  true,
	measure: func(l *lab, s *server, note func(of, what string, value float64)) error {
		d, err := l.drive(s)
		if err != nil {
			return err
		}
		defer d.stop()
		o := s.target("/feed")
		o.Do, o.Group, o.N, o.Parallel = "open", "feed", fanSubscribers, 16
		if _, err := d.do(o); err != nil {
			return err
		}
		for _, size := range []int{128, 1 << 10} {
			for _, depth := range []int{16, 1} {
				o := s.target("/publish")
				o.Do, o.Group, o.Size, o.Depth, o.PID = "fan", "feed", size, depth, s.pid
				o.Warm, o.Millis = l.millis(200), l.millis(500)
				a, err := d.do(o)
				if err != nil {
					return err
				}
				of := fmt.Sprintf("%s, %d under way", sizeName(size), depth)
				note(of, "cpu", perEach(a.CPU, a.N))
				note(of, "rate", float64(a.N)/a.Seconds)
			}
		}
		return nil
	},
}

// Command drive is the load client of the benchmark, a process of its own: it
// opens connections, sends frames made beforehand, counts the answers and reads
// what the server spent meanwhile. It takes orders, one JSON object a line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"runtime/debug"

	"github.com/sallyport/sallyport/bench/order"
)

// Bounds of an order.
const (
	maxConns  = 19_000
	maxSize   = 1 << 20
	maxDepth  = 1024
	maxMillis = 600_000
)

func main() {
	debug.SetGCPercent(400) // its memory is nobody's figure, its CPU time delays others
	d := &driver{groups: map[string]*group{}}
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order.Order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			log.Fatalf("drive: %v", err)
		}
		a, err := d.do(&o)
		if err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			log.Fatalf("drive: %v", err)
		}
	}
}

type driver struct {
	groups map[string]*group
}

func (d *driver) do(o *order.Order) (a order.Answer, err error) {
	if o.N < 0 || o.N > maxConns || o.Size < 0 || o.Size > maxSize || o.Depth < 0 || o.Depth > maxDepth ||
		o.Warm < 0 || o.Millis < 0 || o.Warm+o.Millis > maxMillis || o.Parallel < 0 || o.Parallel > maxConns {
		return a, fmt.Errorf("out of range: %+v", *o)
	}
	switch o.Do {
	case "open":
		return d.open(o)
	case "close":
		return d.close(o)
	case "echo":
		return d.echo(o)
	case "once":
		return d.once(o)
	case "fan":
		return d.fan(o)
	case "shake":
		return d.shake(o)
	case "storm":
		return d.storm(o)
	case "revoke":
		return d.revoke(o)
	case "verify":
		return d.verify(o)
	}
	return a, fmt.Errorf("unknown order %q", o.Do)
}

// group returns the connections of that name, at least n of them.
func (d *driver) group(o *order.Order, n int) (*group, error) {
	g := d.groups[o.Group]
	if g == nil || len(g.conns) < n {
		return nil, fmt.Errorf("group %q has less than %d connections", o.Group, n)
	}
	return g, nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/bench/order"
	"github.com/sallyport/sallyport/bench/wire"
)

// group is connections to one target, in the order in which they were opened.
type group struct {
	target *wire.Target
	tokens []string // empty: nobody signs in
	conns  []*wire.Conn
	sink   *sink // of subscribers: it owns the sockets of all but the watchers
}

// token is what the i-th connection shows.
func (g *group) token(i int) string {
	if len(g.tokens) == 0 {
		return ""
	}
	return g.tokens[i%len(g.tokens)]
}

func newGroup(o *order.Order) (*group, error) {
	g := &group{}
	var err error
	if g.target, err = wire.NewTarget(o.Address, o.Path, o.CA, o.Hybrid, o.Resume); err != nil {
		return nil, err
	}
	if o.Tokens != "" {
		text, err := os.ReadFile(o.Tokens)
		if err != nil {
			return nil, err
		}
		g.tokens = strings.Fields(string(text))
	}
	return g, nil
}

// open adds connections to a group until it has N.
func (d *driver) open(o *order.Order) (a order.Answer, err error) {
	g := d.groups[o.Group]
	if g == nil {
		if g, err = newGroup(o); err != nil {
			return a, err
		}
		d.groups[o.Group] = g
	}
	began := time.Now()
	from := len(g.conns)
	missing := max(0, o.N-from)
	g.conns = append(g.conns, make([]*wire.Conn, missing)...)
	f := &failures{}
	inParallel(missing, max(o.Parallel, 1), func(i int) {
		c, err := g.target.Dial(context.Background(), g.token(from+i))
		if err == nil {
			err = c.Greet(o.Dialect)
		}
		if err != nil {
			f.add(err)
			return
		}
		g.conns[from+i] = c
	})
	g.conns = compact(g.conns)
	a.N, a.Seconds = int64(len(g.conns)-from), time.Since(began).Seconds()
	f.report(&a)
	if a.Failed > 0 {
		return a, fmt.Errorf("%d of %d connections failed: %v", a.Failed, missing, a.Reasons)
	}
	return a, nil
}

// compact drops the connections that failed.
func compact(conns []*wire.Conn) []*wire.Conn {
	kept := conns[:0]
	for _, c := range conns {
		if c != nil {
			kept = append(kept, c)
		}
	}
	clear(conns[len(kept):])
	return kept
}

// close resets the connections of a group.
func (d *driver) close(o *order.Order) (a order.Answer, err error) {
	if g := d.groups[o.Group]; g != nil {
		for _, c := range g.conns {
			c.Abort()
		}
		if g.sink != nil {
			g.sink.close()
		}
		a.N = int64(len(g.conns))
		delete(d.groups, o.Group)
	}
	return a, nil
}

// inParallel calls f with 0 to n-1, at most so many at once, and waits.
func inParallel(n, atOnce int, f func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(n, atOnce) {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(i)
			}
		})
	}
	all.Wait()
}

// maxReasons bounds the different failures that are told apart.
const maxReasons = 8

// failures counts what went wrong, by its text.
type failures struct {
	mu      sync.Mutex // guards what follows
	n       int
	reasons map[string]int
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if f.reasons == nil {
		f.reasons = map[string]int{}
	}
	why := err.Error()
	if i := strings.LastIndex(why, ": "); i >= 0 && strings.Contains(why[:i], "->") {
		why = why[i+2:] // without the ports, which differ
	}
	if _, ok := f.reasons[why]; !ok && len(f.reasons) >= maxReasons {
		why = "others"
	}
	f.reasons[why]++
}

func (f *failures) report(a *order.Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a.Failed, a.Reasons = f.n, f.reasons
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport/sallyport/bench/order"
	"github.com/sallyport/sallyport/bench/proc"
)

// shake opens and closes connections, Parallel at once, and counts them.
func (d *driver) shake(o *order.Order) (a order.Answer, err error) {
	g, err := newGroup(o)
	if err != nil {
		return a, err
	}
	var count, resumed atomic.Int64
	var measuring, over atomic.Bool
	var all sync.WaitGroup
	h, f := &histogram{}, &failures{}
	for range max(o.Parallel, 1) {
		all.Go(func() {
			for !over.Load() {
				began := time.Now()
				c, err := g.target.Dial(context.Background(), g.token(int(count.Load())))
				if err != nil {
					f.add(err)
					return
				}
				took := time.Since(began)
				c.SetDeadline(time.Now().Add(time.Second))
				c.Close() // close_notify and FIN, as a browser does
				count.Add(1)
				if measuring.Load() {
					h.add(took)
					if c.Resumed {
						resumed.Add(1)
					}
				}
			}
		})
	}
	time.Sleep(time.Duration(o.Warm) * time.Millisecond)
	m, err := startMeter(o.PID, count.Load())
	if err == nil {
		measuring.Store(true)
		m.wait(o.Millis, int64(20*o.Parallel), count.Load)
		measuring.Store(false)
		err = m.stop(&a, count.Load())
	}
	over.Store(true)
	all.Wait()
	h.report(&a)
	a.Resumed = resumed.Load()
	if f.report(&a); a.Failed > 0 {
		err = fmt.Errorf("%d handshakes failed: %v", a.Failed, a.Reasons)
	}
	return a, err
}

// verify measures the verification of the first token with golang-jwt, on our own
// CPU: what a server that does not verify by itself has still to pay. CA is a file
// with the public key.
func (d *driver) verify(o *order.Order) (a order.Answer, err error) {
	pem, err := os.ReadFile(o.CA)
	if err != nil {
		return a, err
	}
	key, err := jwt.ParseECPublicKeyFromPEM(pem)
	if err != nil {
		return a, err
	}
	text, err := os.ReadFile(o.Tokens)
	if err != nil {
		return a, err
	}
	tokens := strings.Fields(string(text))
	if len(tokens) == 0 {
		return a, errors.New("no tokens")
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}))
	self := proc.Tree{os.Getpid()}
	before, err := self.CPU()
	if err != nil {
		return a, err
	}
	began := time.Now()
	for until := began.Add(time.Duration(o.Millis) * time.Millisecond); time.Now().Before(until); a.N++ {
		if _, err := parser.Parse(tokens[0], func(*jwt.Token) (any, error) { return key, nil }); err != nil {
			return a, err
		}
	}
	after, err := self.CPU()
	a.Seconds, a.CPU = time.Since(began).Seconds(), after.Sub(before).Total.Seconds()
	return a, err
}

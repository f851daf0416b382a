package demo

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
)

// deployTime is how long a door has to drain after another has taken its place.
// Clients are advised to move within half of it.
const deployTime = 6 * time.Second

// doors are the door that serves, and the one before it while it drains: what a
// deployment does with two processes, in one. They share sessions, tickets, keys
// and revocations, as processes would through their store.
type doors struct {
	open func() (*sallyport.Door, error)

	life context.Context // ended by close, which cuts a draining short
	end  context.CancelFunc

	draining sync.WaitGroup

	mu      sync.Mutex // guards what follows
	serving *sallyport.Door
	old     *sallyport.Door // that drains; nil: none
	n       int             // doors opened so far
	closed  bool
}

// newDoors opens the first door.
func newDoors(open func() (*sallyport.Door, error)) (*doors, error) {
	first, err := open()
	if err != nil {
		return nil, err
	}
	d := &doors{open: open, serving: first, n: 1}
	d.life, d.end = context.WithCancel(context.Background())
	return d, nil
}

// now is the door that serves.
func (d *doors) now() *sallyport.Door {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.serving
}

// count tells how many doors were opened, and whether the last but one drains.
func (d *doors) count() (n int, draining bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n, d.old != nil
}

// deploy opens another door and drains the one that serves. One drains at a time:
// until it is gone the answer is guard.too-fast.
func (d *doors) deploy() (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return d.n, deny.Because(deny.Drain, nil)
	case d.old != nil:
		return d.n, deny.Because(deny.GuardTooFast, errors.New("the last deployment is not over"))
	}
	next, err := d.open()
	if err != nil {
		return d.n, err
	}
	old := d.serving
	d.serving, d.old = next, old
	d.n++
	d.draining.Go(func() { // ends with Drain, after deployTime at most; waited for by close
		ctx, cancel := context.WithTimeout(d.life, deployTime)
		defer cancel()
		old.Drain(ctx) // what is left then was cut off
		d.mu.Lock()
		d.old = nil
		d.mu.Unlock()
	})
	return d.n, nil
}

// signOut ends the connections of a session at every door.
func (d *doors) signOut(ctx context.Context, session string) error {
	d.mu.Lock()
	all := []*sallyport.Door{d.serving, d.old}
	d.mu.Unlock()
	var err error
	for _, door := range all {
		if door != nil {
			_, e := door.SignOut(ctx, session)
			err = errors.Join(err, e)
		}
	}
	return err
}

// close ends every connection, within the time of ctx.
func (d *doors) close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	serving := d.serving
	d.mu.Unlock()
	err := serving.Drain(ctx)
	d.end()
	d.draining.Wait()
	return err
}

// secure puts the measures of the door that serves around a handler of the demo.
func (d *doors) secure(f http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.now().Secure(f).ServeHTTP(w, r)
	})
}

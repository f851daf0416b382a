package demo

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/sallyport/sallyport"
)

// recent remembers the last things of a kind, which are numbered from 1, and
// shows them to whoever watches.
type recent[T any] struct {
	most int

	mu      sync.Mutex // guards what follows
	last    []T        // at most most, oldest first
	n       uint64     // things so far
	changed chan struct{}
}

func newRecent[T any](most int) recent[T] {
	return recent[T]{most: most, changed: make(chan struct{})}
}

// add remembers what made makes of its number. It does not block.
func (r *recent[T]) add(made func(n uint64) T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	if len(r.last) == r.most {
		r.last = append(r.last[:0], r.last[1:]...)
	}
	r.last = append(r.last, made(r.n))
	close(r.changed)
	r.changed = make(chan struct{})
}

// later returns what came after the number n and is for whoever keep says, how
// many things there were in all, and a channel that is closed when there are more.
func (r *recent[T]) later(n uint64, keep func(T) bool) ([]T, uint64, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh := min(r.n-min(n, r.n), uint64(len(r.last)))
	kept := []T{} // never null in JSON
	for _, t := range r.last[uint64(len(r.last))-fresh:] {
		if keep(t) {
			kept = append(kept, t)
		}
	}
	return kept, r.n, r.changed
}

// show sends c a JSON list, by a name, of what is remembered and kept, and then of
// whatever happens. What the client sends is not read, so a client that floods it
// is paused and ends.
func (r *recent[T]) show(ctx context.Context, c *sallyport.Conn, name string, keep func(T) bool) error {
	var seen uint64
	for first := true; ; first = false {
		list, n, changed := r.later(seen, keep)
		if first || len(list) > 0 {
			text, err := json.Marshal(map[string]any{name: list})
			if err != nil {
				return err
			}
			if err := c.Send(ctx, sallyport.Message{Kind: sallyport.Text, Data: text}); err != nil {
				return nil // it has ended
			}
		}
		seen = n
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

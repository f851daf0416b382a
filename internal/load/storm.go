package load

import (
	"context"
	"sync/atomic"
)

// storm is what all clients wait for who were cut.
type storm struct {
	ctx   context.Context // ends when nobody tries any longer
	begin chan struct{}   // closed when all were cut
	at    atomic.Int64    // when they were
}

// tempest cuts all connections at once and waits until they are back.
func (r *run) tempest(ctx context.Context) {
	r.enter("storm", stormWait)
	trying, cancel := context.WithTimeout(ctx, stormWait)
	defer cancel()
	r.storm.ctx, r.storm.begin = trying, make(chan struct{})
	cut := 0
	for _, c := range r.clients {
		if c.end(storms, (*conn).cut) {
			cut++
		}
	}
	r.book.cutWere(cut)
	r.storm.at.Store(r.now())
	close(r.storm.begin)
	r.wait(ctx, stormWait, r.book.backAll)
}

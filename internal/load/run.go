package load

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// run is a Config that is being carried out.
type run struct {
	// Set once.
	plan       *plan
	epoch      time.Time
	tally      *tally
	book       *book
	pacer      *pacer
	clients    []*client
	handshakes chan struct{} // holds one token for each that is under way
	storm      storm

	ids     atomic.Uint32 // of connections
	tickets atomic.Int64  // that were taken
	from    atomic.Int64  // messages that are due from here …
	until   atomic.Int64  // … until here count, and none that is due later is sent
	closing atomic.Bool   // nobody stays

	living  sync.WaitGroup // clients
	writers sync.WaitGroup // goroutines that write
	pacing  sync.WaitGroup // the pacer

	// Owned by the goroutine of Run.
	phase       string
	phaseEnds   int64 // 0 if nobody knows
	shown       int64 // when progress was told
	interrupted bool
}

// Run makes the load and measures, until it is done or ctx ends; then the result
// is what was measured so far. It first opens one connection alone: when that is
// impossible, nothing else is tried, and the error is a [*RefusedError] or a
// [*FailedError] beside a result that counts it. Mistakes of c are reported all at
// once, without a result.
func Run(ctx context.Context, c Config) (*Result, error) {
	p, err := c.check()
	if err != nil {
		return nil, err
	}
	r := newRun(p)
	began := time.Now()
	err = r.carryOut(ctx)
	result := r.result()
	result.Began = began
	return result, err
}

func newRun(p *plan) *run {
	r := &run{
		plan: p, epoch: time.Now(), tally: newTally(), book: newBook(), pacer: &pacer{sleep: p.sleep},
		handshakes: make(chan struct{}, p.Handshakes),
	}
	r.from.Store(math.MaxInt64)
	r.until.Store(math.MaxInt64)
	var seed [4]byte
	rand.Read(seed[:]) // another run against the same server has other numbers
	r.ids.Store(binary.BigEndian.Uint32(seed[:]))
	r.clients = make([]*client, p.Connections)
	for i := range r.clients {
		r.clients[i] = &client{run: r, index: i}
	}
	return r
}

func (r *run) now() int64 { return int64(time.Since(r.epoch)) }

// counts reports whether a message that is due at that time is measured.
func (r *run) counts(due int64) bool { return due >= r.from.Load() && due < r.until.Load() }

// carryOut goes through the phases.
func (r *run) carryOut(ctx context.Context) error {
	opening, cancel := context.WithCancel(ctx)
	defer cancel()
	release := func() {}
	if r.pacer.sleep == nil {
		r.pacer.sleep, release = newSleep()
	}
	defer release()
	r.pacing.Go(func() { r.pacer.run(r.now) })
	address, err := r.first(opening)
	if err == nil && !r.interrupted {
		r.ramp(opening, address)
		r.measure(ctx)
		r.settle(ctx)
		if r.plan.Storm && !r.interrupted {
			r.tempest(ctx)
		}
	}
	cancel()
	r.close()
	return err
}

// first opens the first connection alone, and returns the address by which the
// others find the server: a name is looked up once.
func (r *run) first(ctx context.Context) (address string, err error) {
	r.enter("opening", 0)
	outcome := make(chan error, 1)
	c := r.clients[0]
	r.living.Go(func() {
		conn, early, err := c.enter(ctx, r.plan.address)
		r.book.triedOne()
		address = r.plan.address
		if err == nil {
			if remote, ok := conn.below.RemoteAddr().(*net.TCPAddr); ok {
				address = remote.String()
			}
		}
		outcome <- err
		if err == nil {
			c.live(ctx, address, conn, early)
		}
	})
	for {
		select {
		case err = <-outcome:
			if ctx.Err() != nil {
				r.interrupted, err = true, nil
			}
			return address, err
		case <-time.After(glance):
			r.tell()
		}
	}
}

// ramp opens the others, so many in a second, and waits until each has been
// tried.
func (r *run) ramp(ctx context.Context, address string) {
	began, next := r.now(), 1
	r.wait(ctx, 0, func() bool {
		due := int(float64(r.now()-began)/1e9*r.plan.Ramp) + 2
		for ; next < min(due, len(r.clients)); next++ {
			c := r.clients[next]
			r.living.Go(func() { c.arrive(ctx, address) })
		}
		return next == len(r.clients) && r.book.triedAll(next, r.now()-began)
	})
}

// measure lets the time of the warm-up and of the measurement pass, with churn.
func (r *run) measure(ctx context.Context) {
	if r.interrupted {
		now := r.now()
		r.until.Store(now) // before from: nothing counts
		r.from.Store(now)
		return
	}
	if r.plan.Warmup > 0 {
		r.enter("warming up", r.plan.Warmup)
		r.wait(ctx, r.plan.Warmup, nil)
	}
	// Both bounds are told before they are reached: no message is on one side when
	// it is sent and on the other when it is answered.
	from := r.now() + int64(glance)
	r.from.Store(from)
	r.until.Store(from + int64(r.plan.Duration))
	if !r.interrupted {
		r.enter("measuring", r.plan.Duration)
		churned, cursor := 0, 0
		r.wait(ctx, r.plan.Duration+glance, func() bool {
			for due := int(float64(r.now()-from) / 1e9 * r.plan.Churn); churned < due; churned++ {
				cursor = r.churn(cursor)
			}
			return false
		})
	}
	r.until.Store(min(r.until.Load(), r.now()+int64(glance)))
}

// churn has the next client that is connected leave and come back, and returns
// where to go on.
func (r *run) churn(cursor int) int {
	for range r.clients {
		c := r.clients[cursor%len(r.clients)]
		cursor++
		if c.end(churns, (*conn).leave) {
			return cursor
		}
	}
	return cursor
}

// settle waits for the last replies, and counts what could not be sent.
func (r *run) settle(ctx context.Context) {
	r.enter("closing", 0)
	end := r.now() + int64(settleWait)
	ctx = context.WithoutCancel(ctx) // it is short, and part of what was measured
	r.wait(ctx, 0, func() bool {
		if r.now() >= end {
			return true
		}
		if r.now() < r.until.Load() {
			return false
		}
		for _, c := range r.clients {
			if conn := c.current(); conn != nil && (conn.owes() > 0 || conn.behind()) {
				return false
			}
		}
		return true
	})
	for _, c := range r.clients {
		if conn := c.current(); conn != nil {
			r.book.unsentAre(conn.unsent(r.now()))
		}
	}
}

// close ends everything that is left and waits for it.
func (r *run) close() {
	r.enter("closing", 0)
	r.closing.Store(true)
	for _, c := range r.clients {
		c.end(stays, (*conn).leave)
	}
	r.living.Wait()
	r.pacer.over.Store(true)
	r.pacing.Wait()
	r.writers.Wait()
}

// wait lets time pass: until done says so, or d is over (0: no end), or ctx ends,
// which interrupts the run. It looks 200 times a second.
func (r *run) wait(ctx context.Context, d time.Duration, done func() bool) {
	ticks := time.NewTicker(glance)
	defer ticks.Stop()
	end := r.now() + int64(d)
	for {
		if done != nil && done() {
			return
		}
		if d > 0 && r.now() >= end {
			return
		}
		r.tell()
		select {
		case <-ticks.C:
		case <-ctx.Done():
			r.interrupted = true
			return
		}
	}
}

// place is when a client's next connection sends its first message: all of them
// together send evenly.
func (r *run) place(index int) int64 {
	interval := r.plan.interval
	if interval == 0 {
		return 0
	}
	earliest := r.now() + int64(2*glance)
	slot := int64(float64(interval) * float64(index) / float64(len(r.clients)))
	begin := earliest - earliest%interval + slot
	if begin < earliest {
		begin += interval
	}
	return begin
}

// ticket takes the next ticket, "" if none are used.
func (r *run) ticket() (string, error) {
	if len(r.plan.Tickets) == 0 {
		return "", nil
	}
	if n := r.tickets.Add(1); n <= int64(len(r.plan.Tickets)) {
		return r.plan.Tickets[n-1], nil
	}
	return "", &FailedError{"ticket", errNoTicket}
}

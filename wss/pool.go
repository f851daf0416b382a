package wss

import (
	"container/list"
	"sync"
	"time"
)

// patience is how long a connection keeps its seat, however slow it is, when
// others wait for one. An honest client on a bad line needs less; a thousand
// silent ones then cost the next visitor nothing.
const patience = time.Second

// pool is a bounded number of seats. When all are taken, the one held longest by
// somebody who makes others wait is taken away.
type pool struct {
	max   int
	freed chan struct{} // holds one wake-up for somebody who waits; never closed

	// mu guards what follows and all seats of the pool.
	mu    sync.Mutex
	n     int
	order list.List // of *seat that can be taken away, oldest first
}

func newPool(size int) *pool { return &pool{max: size, freed: make(chan struct{}, 1)} }

// seat is a place of one socket in one pool.
type seat struct {
	sock  *socket
	since time.Time
	in    bool
	place *list.Element // nil while the seat is kept
}

// enter waits for a seat until done is closed or the time over has come, which
// may be zero. It reports whether the seat was taken.
func (p *pool) enter(s *seat, done <-chan struct{}, over time.Time) bool {
	for {
		ok, wait := p.try(s)
		if ok {
			return true
		}
		if !over.IsZero() {
			if wait = min(wait, time.Until(over)); wait <= 0 {
				return false
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-done:
			timer.Stop()
			return false
		case <-p.freed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// try takes a seat that is free or held too long. Otherwise it returns when to try again.
func (p *pool) try(s *seat) (ok bool, wait time.Duration) {
	now := time.Now()
	p.mu.Lock()
	var victim *seat
	if p.n >= p.max {
		front := p.order.Front()
		if front == nil {
			p.mu.Unlock()
			return false, patience
		}
		victim = front.Value.(*seat)
		if age := now.Sub(victim.since); age < patience {
			p.mu.Unlock()
			return false, patience - age
		}
		p.remove(victim)
	}
	p.n++
	s.in, s.since, s.place = true, now, p.order.PushBack(s)
	p.wake()
	p.mu.Unlock()
	if victim != nil {
		victim.sock.evict()
	}
	return true, 0
}

// keep makes that the seat is not taken away: its holder is being served.
func (p *pool) keep(s *seat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.place != nil {
		p.order.Remove(s.place)
		s.place = nil
	}
}

// yield undoes keep, as if the seat had been taken now. It reports whether the
// seat was kept.
func (p *pool) yield(s *seat) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := s.in && s.place == nil
	if kept {
		s.since, s.place = time.Now(), p.order.PushBack(s)
		p.wake()
	}
	return kept
}

// renew makes a seat that is not kept as if it had been taken now.
func (p *pool) renew(s *seat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.place != nil {
		s.since = time.Now()
		p.order.MoveToBack(s.place)
	}
}

// leave gives the seat back; it may be called for a seat that is not held.
func (p *pool) leave(s *seat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.in {
		p.remove(s)
		p.wake()
	}
}

// remove is called with mu held.
func (p *pool) remove(s *seat) {
	if s.place != nil {
		p.order.Remove(s.place)
	}
	s.in, s.place = false, nil
	p.n--
}

// wake is called with mu held. Whoever is woken and leaves a seat free wakes the next.
func (p *pool) wake() {
	if p.n < p.max || p.order.Len() > 0 {
		select {
		case p.freed <- struct{}{}:
		default:
		}
	}
}

func (p *pool) held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

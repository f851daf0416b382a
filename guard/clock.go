package guard

import (
	"container/heap"
	"sync"
	"time"
)

// A Ticker is called when its alarm is due, by the clock's one goroutine: it
// must not block.
type Ticker interface{ Tick() }

// Alarm is one Ticker's place in a Clock. A Ticker has at most one; moving a
// deadline away costs nothing, since Tick may set the alarm again.
type Alarm struct {
	Ticker Ticker

	// Guarded by Clock.mu.
	at    time.Time
	index int  // in the heap, from 1; 0 = not set
	off   bool // cancelled
}

// Clock runs the alarms of all connections of a door from one goroutine, which
// exists only while an alarm is set.
type Clock struct {
	mu      sync.Mutex // guards everything below and every Alarm
	alarms  alarmHeap
	running bool
	wake    chan struct{} // holds at most one token: the first alarm changed
	done    sync.WaitGroup
}

// NewClock returns a clock without alarms. It starts no goroutine.
func NewClock() *Clock { return &Clock{wake: make(chan struct{}, 1)} }

// Set makes a due at the given time, or earlier if it was. The end of a credential
// is wall-clock time: it counts as the time that is left until then, so that a
// step of the wall clock neither disorders the alarms nor stops those behind it.
func (c *Clock) Set(a *Alarm, at time.Time) {
	at = time.Now().Add(time.Until(at))
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case a.off:
		return
	case a.index == 0:
		a.at = at
		heap.Push(&c.alarms, a)
	case at.Before(a.at):
		a.at = at
		heap.Fix(&c.alarms, a.index-1)
	default:
		return
	}
	if !c.running {
		c.running = true
		c.done.Go(c.run)
	} else if c.alarms[0] == a {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// Cancel takes a out for good: a later Set does nothing. A Tick that has begun is
// not waited for.
func (c *Clock) Cancel(a *Alarm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.off = true
	if a.index == 0 {
		return
	}
	heap.Remove(&c.alarms, a.index-1)
	if len(c.alarms) == 0 {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// Wait returns when no alarm is left and the goroutine has ended.
func (c *Clock) Wait() { c.done.Wait() }

func (c *Clock) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.mu.Lock()
		if len(c.alarms) == 0 {
			c.running = false
			c.mu.Unlock()
			return
		}
		first := c.alarms[0]
		if wait := time.Until(first.at); wait > 0 {
			c.mu.Unlock()
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-c.wake:
			}
			continue
		}
		heap.Pop(&c.alarms)
		c.mu.Unlock()
		first.Ticker.Tick()
	}
}

type alarmHeap []*Alarm

func (h alarmHeap) Len() int           { return len(h) }
func (h alarmHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h alarmHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}
func (h *alarmHeap) Push(x any) {
	a := x.(*Alarm)
	*h = append(*h, a)
	a.index = len(*h)
}
func (h *alarmHeap) Pop() any {
	old := *h
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	a.index = 0
	return a
}

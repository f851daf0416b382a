package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// load is what happens to the doors in one phase.
type load struct {
	site  *site
	doors []*door
	most  float64 // visits a second; fewer while the processors are busy
	share float64 // of the processors that doors and clients together may use

	rate     atomic.Uint64 // visits a second, times 1000
	open     atomic.Int64
	withheld atomic.Int64
	tally
}

// atOnce bounds the visits in progress.
const atOnce = 2000

// run makes visits until ctx ends, and waits for the last.
func (l *load) run(ctx context.Context) {
	l.rate.Store(uint64(l.most * 1000))
	var visits sync.WaitGroup
	defer visits.Wait()
	visits.Go(func() { l.pace(ctx) })
	visits.Go(func() { l.reloads(ctx) })
	due := 0.0
	const step = 20 * time.Millisecond
	for tick := time.NewTicker(step); ctx.Err() == nil; <-tick.C {
		for due += float64(l.rate.Load()) / 1000 * step.Seconds(); due >= 1; due-- {
			if l.open.Load() >= atOnce {
				l.withheld.Add(1)
				continue
			}
			d := l.doors[rand.IntN(len(l.doors))]
			sc, ok := pick(d.kind)
			if !ok {
				continue // -only
			}
			l.open.Add(1)
			visits.Go(func() {
				defer l.open.Add(-1)
				l.add(d.name, sc.name, visitDoor(ctx, l.site, d, sc))
			})
		}
	}
}

// pick chooses a scenario by weight; there may be none.
func pick(k kind) (scenario, bool) {
	sum := 0
	for _, s := range scenarios {
		if s.where == both || s.where == k {
			sum += s.weight
		}
	}
	if sum == 0 {
		return scenario{}, false
	}
	n := rand.IntN(sum)
	for _, s := range scenarios {
		if s.where == both || s.where == k {
			if n -= s.weight; n < 0 {
				return s, true
			}
		}
	}
	return scenario{}, false
}

func visitDoor(ctx context.Context, s *site, d *door, sc scenario) error {
	v, err := newVisit(ctx, s, d)
	if err != nil {
		return err
	}
	defer v.tcp.Close()
	return sc.do(v)
}

// pace keeps doors and clients to their share of the processors.
func (l *load) pace(ctx context.Context) {
	const every = 2 * time.Second
	last := l.cpu()
	for wait(ctx, every) {
		now := l.cpu()
		share := (now - last).Seconds() / every.Seconds() / float64(runtime.NumCPU())
		last = now
		rate := float64(l.rate.Load())
		switch {
		case share > l.share:
			rate *= max(l.share/share, 0.7)
		case share < 0.8*l.share:
			rate *= 1.1
		}
		l.rate.Store(uint64(min(max(rate, 1000), l.most*1000)))
	}
}

func (l *load) cpu() (sum time.Duration) {
	sum, _ = used("/proc/self/")
	for _, d := range l.doors {
		t, _ := used(fmt.Sprintf("/proc/%d/", d.command.Process.Pid))
		sum += t
	}
	return sum
}

// reloads replaces certificate and origins over and over; the last one leaves
// the guests out.
func (l *load) reloads(ctx context.Context) {
	for guests := true; ; guests = !guests {
		err := l.site.certify()
		for _, d := range l.doors {
			if err == nil {
				err = d.reload(context.WithoutCancel(ctx), guests)
			}
			l.add(d.name, reloadName, err)
		}
		if !guests && ctx.Err() != nil {
			return
		}
		wait(ctx, 10*time.Second)
	}
}

const reloadName = "(a reload)"

// wait sleeps; it reports false if ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// tally counts what happened, and keeps the first failures.
type tally struct {
	mu       sync.Mutex // guards what follows
	done     int
	failed   int
	by       map[string]int // scenario → failures
	revoked  map[string]int // door → revocations
	ran      map[string]int // scenario → times
	failures []string
}

func (y *tally) add(door, name string, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.by == nil {
		y.by, y.revoked, y.ran = map[string]int{}, map[string]int{}, map[string]int{}
	}
	y.done++
	y.ran[name]++
	if name == "is revoked" {
		y.revoked[door]++
	}
	if err == nil {
		return
	}
	y.by[name]++
	if y.failed++; len(y.failures) < 30 {
		y.failures = append(y.failures, fmt.Sprintf("%s: %s: %v", door, name, err))
	}
}

// counts are the visits so far, and those that did not go as they should.
func (y *tally) counts() (done, failed int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.done, y.failed
}

// tell prints how often each scenario was played.
func (y *tally) tell() {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(y.ran)) {
		text := fmt.Sprintf("%8d  %s", y.ran[name], name)
		if n := y.by[name]; n > 0 {
			text += fmt.Sprintf(": %d did not go as they should", n)
		}
		fmt.Println(text)
	}
	for _, f := range y.failures {
		fmt.Println("  " + f)
	}
}

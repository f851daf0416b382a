package main

import (
	"math/bits"
	"os"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/bench/order"
	"github.com/sallyport/sallyport/bench/proc"
)

// meter reads a counter, the server's CPU time and our own at both ends of the
// time that is measured.
type meter struct {
	tree, own proc.Tree
	began     time.Time
	cpu, mine proc.CPU
	before    int64
}

func startMeter(pid int, count int64) (m *meter, err error) {
	m = &meter{own: proc.Tree{os.Getpid()}, before: count}
	if pid != 0 {
		m.tree = proc.Of(pid)
	}
	if m.mine, err = m.own.CPU(); err != nil {
		return nil, err
	}
	if m.cpu, err = m.tree.CPU(); err != nil {
		return nil, err
	}
	m.began = time.Now()
	return m, nil
}

// patience is how many times longer than ordered is measured, at most, if too
// little happens: the machine is busy with other things.
const patience = 8

// wait sleeps for the time that is measured, and on until least was counted.
func (m *meter) wait(millis int, least int64, count func() int64) {
	whole := time.Duration(millis) * time.Millisecond
	time.Sleep(whole - time.Since(m.began))
	for count()-m.before < least && time.Since(m.began) < patience*whole {
		time.Sleep(20 * time.Millisecond)
	}
}

// stop writes what happened since startMeter.
func (m *meter) stop(a *order.Answer, count int64) error {
	cpu, err := m.tree.CPU()
	if err != nil {
		return err
	}
	mine, err := m.own.CPU()
	if err != nil {
		return err
	}
	spent := cpu.Sub(m.cpu)
	a.N, a.Seconds = count-m.before, time.Since(m.began).Seconds()
	a.CPU, a.Own = spent.Total.Seconds(), mine.Sub(m.mine).Total.Seconds()
	if ticks := spent.User + spent.System; ticks > 0 {
		a.User = a.CPU * spent.User.Seconds() / ticks.Seconds()
	}
	return nil
}

// histogram counts durations in buckets whose width is a 32nd of their value, up
// to some minutes. Add may come from any goroutine.
type histogram struct {
	buckets [40 * 32]atomic.Int64 // by power of two of nanoseconds, and the five bits below
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucket(d)].Add(1)
}

func bucket(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < 32 {
		return int(n)
	}
	e := bits.Len64(n) - 6
	return min((e+1)*32+int(n>>e)-32, 40*32-1)
}

// top is the upper end of a bucket, in nanoseconds.
func top(i int) float64 {
	if i < 32 {
		return float64(i)
	}
	e := i/32 - 1
	return float64(uint64(i%32+33) << e)
}

// report writes quantiles in µs.
func (h *histogram) report(a *order.Answer) {
	var total int64
	for i := range h.buckets {
		total += h.buckets[i].Load()
	}
	var seen int64
	half, most := (total+1)/2, (total*99+99)/100
	for i := range h.buckets {
		n := h.buckets[i].Load()
		if n == 0 {
			continue
		}
		us := top(i) / 1000
		if seen < half && seen+n >= half {
			a.P50 = us
		}
		if seen < most && seen+n >= most {
			a.P99 = us
		}
		a.Max = us
		seen += n
	}
}

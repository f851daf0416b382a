package soak

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var ctx = context.Background()

// figures are what a process holds.
type figures struct {
	goroutines, files int
	heap, objects     uint64 // after two collections: sync.Pool keeps for one
}

func measure() figures {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return figures{runtime.NumGoroutine(), files(), m.HeapAlloc, m.HeapObjects}
}

func files() int {
	list, _ := os.ReadDir("/proc/self/fd")
	return len(list)
}

func (f figures) String() string {
	return fmt.Sprintf("%d goroutines, %d files, heap %.1f MiB in %d objects", f.goroutines, f.files, float64(f.heap)/(1<<20), f.objects)
}

// settle measures until goroutines and files are down to those of before, for
// at most 20 s: sockets linger for up to a second, on a free machine.
func settle(before figures) figures {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if runtime.NumGoroutine() <= before.goroutines && files() <= before.files || time.Now().After(end) {
			return measure()
		}
	}
}

// rest measures when nothing has come or gone for 1.5 s: the baseline.
func rest() figures {
	goroutines, open, since := 0, 0, time.Now()
	for end := since.Add(20 * time.Second); time.Since(since) < 1500*time.Millisecond && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if g, f := runtime.NumGoroutine(), files(); g != goroutines || f != open {
			goroutines, open, since = g, f, time.Now()
		}
	}
	return measure()
}

// tally counts what happened and keeps the first few failures.
type tally struct {
	mu       sync.Mutex
	done     map[string]int
	failures []string
	failed   int
}

func (y *tally) add(name string, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.done[name]++; err == nil {
		return
	}
	if y.failed++; len(y.failures) < 20 {
		y.failures = append(y.failures, fmt.Sprintf("%s: %v", name, err))
	}
}

// churn opens n connections, at most width at once, in turn by each scenario.
func (s *site) churn(t *testing.T, list []scenario, n, width int) {
	t.Helper()
	y := &tally{done: map[string]int{}}
	var next atomic.Int64
	var workers sync.WaitGroup
	var peak figures
	began := time.Now()
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			peak.goroutines, peak.files = max(peak.goroutines, runtime.NumGoroutine()), max(peak.files, files())
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	for range width {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				sc := list[i%len(list)]
				y.add(sc.name, s.run(sc))
			}
		})
	}
	workers.Wait()
	close(stop)
	<-watched
	lasted := time.Since(began)

	t.Logf("%d connections in %s (%.0f a second), up to %d goroutines and %d files", n, lasted.Round(time.Millisecond), float64(n)/lasted.Seconds(), peak.goroutines, peak.files)
	for _, name := range slices.Sorted(maps.Keys(y.done)) {
		t.Logf("  %6d  %s", y.done[name], name)
	}
	// A machine that is busy for longer than the door waits (0.8 s for a goodbye
	// to be read) makes it reset instead: few may miss their close frame.
	switch text := fmt.Sprintf("%d of %d did not go as they should:\n  %s", y.failed, n, strings.Join(y.failures, "\n  ")); {
	case y.failed > 1+n/200:
		t.Error(text)
	case y.failed > 0:
		t.Log(text)
	}
	left := 0
	for range s.door.Conns() {
		left++
	}
	if left > 0 {
		t.Errorf("the door still has %d connections", left)
	}
}

func (s *site) run(sc scenario) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.tcp.Close()
	defer s.ends.Delete(c.name)
	return sc.do(c)
}

// wantSame compares with a measurement of before. slack is for the heap: the
// door remembers revocations and, for some seconds, whom it refused.
func wantSame(t *testing.T, what string, before figures, slack uint64) {
	t.Helper()
	after := settle(before)
	t.Logf("before %s: %v", what, before)
	t.Logf("after it: %v", after)
	if after.goroutines > before.goroutines {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		t.Errorf("AT-54 %s: %d goroutines are left, before there were %d\n%s", what, after.goroutines, before.goroutines, stacks)
	}
	if after.files > before.files {
		t.Errorf("AT-54 %s: %d files are open, before there were %d", what, after.files, before.files)
	}
	if after.heap > before.heap+slack {
		t.Errorf("AT-54 %s: the heap has %d bytes more; %d are allowed", what, after.heap-before.heap, slack)
	}
}

// TestChurn_AT54 takes each way in and out a few times, in every test run.
func TestChurn_AT54(t *testing.T) {
	needLinux(t)
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, engine)
			s.churn(t, slices.Concat(admitted, refused), len(admitted)+len(refused), 28) // warm up
			before := rest()
			s.churn(t, admitted, 100, 100)
			s.churn(t, refused, 100, 50)
			wantSame(t, "200 connections", before, 2<<20)
		})
	}
}

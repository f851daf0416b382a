package enginetest

import (
	"bytes"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
)

// pauses: a machine gets nothing that it does not want, and loses nothing.
func pauses(t *testing.T, n New) {
	for _, w := range wires {
		t.Run(w.String(), func(t *testing.T) {
			s := newSite(t, n)
			for _, test := range []struct {
				name string
				run  func(*testing.T, *site, wire)
			}{
				{"nothing comes until it is resumed", paused},
				{"an end waits too", pausedEnd},
				{"resumed before, and without a pause", resumedEarly},
				{"resumed all the time, taking a little", trickle},
			} {
				t.Run(test.name, func(t *testing.T) {
					test.run(t, s.of(t), w)
				})
			}
		})
	}
}

// stingy takes k bytes of each event and pauses, until free is set.
func stingy(k int) (m *machine, free *atomic.Bool) {
	m, free = newMachine(nil), new(atomic.Bool)
	m.take = func(b []byte) (int, bool) {
		if free.Load() {
			return len(b), true
		}
		return min(k, len(b)), false
	}
	return m, free
}

func paused(t *testing.T, s *site, w wire) {
	for _, k := range []int{0, 3, 1 << 20} {
		m, free := stingy(k)
		far := s.start(w, m)
		far.Write([]byte("some "))
		until(t, "the pause", func() bool { return m.calls.Load() == 1 })
		want := append([]byte("some "), random(200_000)...)
		var sent sync.WaitGroup
		sent.Go(func() { far.Write(want[5:]) })
		time.Sleep(soon) // machine complains of what comes
		free.Store(true)
		m.resume()
		m.has(want)
		sent.Wait()
		far.Close()
		m.gone()
	}
}

func pausedEnd(t *testing.T, s *site, w wire) {
	m, free := stingy(2)
	far := s.start(w, m)
	far.Write([]byte("the end"))
	far.Close()
	until(t, "the pause", func() bool { return m.calls.Load() == 1 })
	time.Sleep(soon)
	if !m.open.Load() {
		t.Error("gone in a pause")
	}
	free.Store(true)
	m.resume()
	m.has([]byte("the end"))
	if err := m.gone(); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
}

func resumedEarly(t *testing.T, s *site, w wire) {
	m, _ := stingy(1)
	far := s.open(w, m)
	m.resume()
	m.handle.Start(nil)
	far.Write([]byte("ab"))
	m.has([]byte("ab")) // asked once more, without another Resume
	far.Write([]byte("c"))
	m.resume()
	m.has([]byte("abc"))
	m.close()
	m.resume()
	m.gone()
	reset(far)
}

func trickle(t *testing.T, s *site, w wire) {
	m, free := stingy(7)
	far := s.start(w, m)
	want := random(20_000)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					m.resume()
					runtime.Gosched()
				}
			}
		})
	}
	all.Go(func() { far.Write(want); far.Close() })
	m.has(want)
	m.gone()
	close(stop)
	all.Wait()
	_ = free
}

// full: a peer that does not read costs little, and gets everything when it does.
func full(t *testing.T, n New) {
	for _, w := range wires {
		t.Run(w.String(), func(t *testing.T) { slowReader(t, newSite(t, n), w) })
	}
}

func slowReader(t *testing.T, s *site, w wire) {
	m := echo()
	m.t = t
	far := s.start(w, m)
	const total = 32 << 20
	piece := random(64 << 10)
	var sent sync.WaitGroup
	var written atomic.Int64
	before := heap()
	sent.Go(func() {
		for range total / len(piece) {
			if _, err := far.Write(piece); err != nil {
				return
			}
			written.Add(int64(len(piece)))
		}
	})
	for last := int64(-1); last != written.Load(); time.Sleep(100 * time.Millisecond) {
		last = written.Load()
	}
	if written.Load() == total {
		t.Error("the engine took everything from a peer that reads nothing")
	}
	m.mu.Lock()
	noted := cap(m.got)
	m.mu.Unlock()
	if grown := heap() - before - int64(noted); grown > 4<<20 {
		t.Errorf("%d bytes are held for a peer that reads nothing", grown)
	}
	got := make([]byte, len(piece))
	for i := range total / len(piece) {
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, piece) {
			t.Fatalf("piece %d: %v", i, err)
		}
		if i%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	sent.Wait()
	far.Close()
	m.gone()
}

func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// flushes: whoever asks for one gets one, and many may get the same.
func flushes(t *testing.T, n New) {
	s := newSite(t, n)
	m := newMachine(nil)
	far := s.start(inClear, m)
	defer func() {
		far.Close()
		m.gone()
	}()
	p, ok := m.handle.(engine.Prompt)
	if !ok {
		t.Skip("an engine without them")
	}
	var all sync.WaitGroup
	const each = 2000
	for range 8 {
		all.Go(func() {
			for range each {
				p.Soon()
			}
		})
	}
	all.Wait()
	last := m.flushed.Load()
	p.Soon()
	until(t, "a flush", func() bool { return m.flushed.Load() > last })
	if got := m.flushed.Load(); got > 8*each+1 {
		t.Errorf("%d flushes, more than were asked for", got)
	}
}

// blocked: a machine that hangs holds up nobody else, also if it is not the first,
// and is told so.
func blocked(t *testing.T, n New) {
	s := newSite(t, n)
	type hanging struct {
		*machine
		free chan struct{}
	}
	var list []hanging
	hang := func() hanging {
		h := hanging{newMachine(nil), make(chan struct{})}
		h.take = func(b []byte) (int, bool) {
			<-h.free
			return len(b), true
		}
		far := s.start(inClear, h.machine)
		t.Cleanup(func() { far.Close() })
		far.Write([]byte("x"))
		return h
	}
	others := func() {
		for range 2 * runtime.GOMAXPROCS(0) {
			m := echo()
			far := s.start(overTLS, m)
			far.Write([]byte("x"))
			m.has([]byte("x"))
			far.Close()
			m.gone()
		}
	}
	for range 4 {
		for range runtime.GOMAXPROCS(0) + 1 {
			h := hang()
			until(t, "the event", func() bool { return h.inside.Load() == 1 })
			if _, ok := h.handle.(engine.Prompt); ok {
				until(t, "Late", func() bool { return h.late.Load() > 0 })
			}
			list = append(list, h)
		}
		others()
		for _, h := range list[:len(list)/2] { // whoever comes back finds its place taken
			close(h.free)
		}
		list = list[len(list)/2:]
		others()
	}
	for _, h := range list {
		close(h.free)
	}
}

package enginetest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ends: whatever ends a connection, the machine learns of it once, and of nothing
// afterwards.
func ends(t *testing.T, n New) {
	for _, w := range wires {
		t.Run(w.String(), func(t *testing.T) {
			s := newSite(t, n)
			for _, test := range []struct {
				name string
				run  func(*testing.T, *site, wire)
			}{
				{"the peer closes", peerCloses},
				{"the peer resets", peerResets},
				{"the peer resets before the start", resetsEarly},
				{"the peer resets while a writer waits", resetsParked},
				{"closed by many at once", closedByMany},
				{"closed before the start", closedEarly},
				{"closed while the peer floods", closedInFlood},
				{"closed within an event", closedWithin},
				{"closed while a writer waits", closedParked},
			} {
				t.Run(test.name, func(t *testing.T) {
					test.run(t, s.of(t), w)
				})
			}
		})
	}
	t.Run("the last one ends, and another begins", func(t *testing.T) { againAndAgain(t, newSite(t, n)) })
}

func peerCloses(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.start(w, m)
	far.Write([]byte("last words"))
	far.Close()
	if err := m.gone(); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
	m.has([]byte("last words"))
}

// isReset reports whether err tells of a peer that vanished. A unix socket knows
// no RST: it tells so only if the peer left something unread.
func isReset(err error, w wire) bool {
	onUnix := w == onUnix || w == overTLSOnUnix
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || onUnix && err == io.EOF
}

func peerResets(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.start(w, m)
	reset(far)
	if err := m.gone(); !isReset(err, w) {
		t.Errorf("got %v, want a reset", err)
	}
}

func resetsEarly(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.open(w, m)
	far.Write([]byte("x"))
	reset(far)
	m.handle.Start(nil)
	if err := m.gone(); !isReset(err, w) {
		t.Errorf("got %v, want a reset", err)
	}
}

func resetsParked(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.start(w, m)
	told := m.talk(random(plenty))
	told.stalls(t)
	reset(far)
	if err := <-told.done; !isReset(err, w) && !errors.Is(err, net.ErrClosed) {
		t.Errorf("the writer got %v, want a reset", err)
	}
	m.gone()
}

func closedByMany(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.start(w, m)
	var all sync.WaitGroup
	for range 16 {
		all.Go(m.close)
		all.Go(m.resume)
	}
	all.Wait()
	if err := m.gone(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want closed", err)
	}
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("the peer does not know")
	}
	reset(far)
}

func closedEarly(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.open(w, m)
	far.Write([]byte("never read"))
	m.close()
	m.handle.Start(nil)
	if err := m.gone(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want closed", err)
	}
	if got := m.bytes(); len(got) > 0 {
		t.Errorf("got %q from a closed socket", got)
	}
	if err := m.say([]byte("x")); err == nil {
		t.Error("a closed socket was written to")
	}
	reset(far)
}

func closedInFlood(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	m.forgets = true
	far := s.start(w, m)
	stop := flood(far)
	until(t, "the flood", func() bool { return m.calls.Load() > 20 })
	m.close()
	if err := m.gone(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want closed", err)
	}
	stop()
}

func closedWithin(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	m.take = func(b []byte) (int, bool) {
		m.close()
		return len(b), true
	}
	far := s.start(w, m)
	far.Write([]byte("x"))
	if err := m.gone(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want closed", err)
	}
	reset(far)
}

func closedParked(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.start(w, m)
	told := m.talk(random(plenty))
	told.stalls(t)
	m.close()
	if err := <-told.done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the writer got %v, want closed", err)
	}
	m.gone()
	reset(far)
}

// flood writes without end, until stop.
func flood(far net.Conn) (stop func()) {
	var all sync.WaitGroup
	all.Go(func() {
		b := make([]byte, 64<<10)
		for {
			if _, err := far.Write(b); err != nil {
				return
			}
		}
	})
	return func() {
		reset(far)
		all.Wait()
	}
}

// againAndAgain: an engine has nothing while it has no connection, and begins anew.
func againAndAgain(t *testing.T, s *site) {
	for i := range 30 {
		w := wires[i%len(wires)]
		m := echo()
		far := s.start(w, m)
		far.Write([]byte("x"))
		m.has([]byte("x"))
		if i%2 == 0 {
			far.Close()
		} else {
			m.close()
		}
		m.gone()
		s.engine.Wait()
		reset(far)
	}
}

// deadlines are those of a net.Conn.
func deadlines(t *testing.T, n New) {
	for _, w := range wires {
		t.Run(w.String(), func(t *testing.T) {
			s := newSite(t, n)
			for _, test := range []struct {
				name string
				run  func(*testing.T, *site, wire)
			}{
				{"reading ends when it passes", readDeadline},
				{"reading ends while the peer floods", readDeadlineInFlood},
				{"one that was before the start", earlyDeadline},
				{"one that is moved away, or taken off", movedDeadline},
				{"a writer waits no longer", writeDeadline},
			} {
				t.Run(test.name, func(t *testing.T) {
					test.run(t, s.of(t), w)
				})
			}
		})
	}
}

const soon = 30 * time.Millisecond

func readDeadline(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.start(w, m)
	m.socket.SetReadDeadline(time.Now().Add(soon))
	if err := m.gone(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
	reset(far)
}

func readDeadlineInFlood(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	m.forgets = true
	far := s.start(w, m)
	stop := flood(far)
	until(t, "the flood", func() bool { return m.calls.Load() > 20 })
	m.socket.SetReadDeadline(time.Now().Add(soon))
	if err := m.gone(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
	stop()
}

func earlyDeadline(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.open(w, m)
	m.socket.SetReadDeadline(time.Now().Add(-time.Second))
	m.handle.Start(nil)
	if err := m.gone(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
	reset(far)
}

func movedDeadline(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.start(w, m)
	for _, next := range []time.Time{time.Now().Add(time.Hour), {}} {
		m.socket.SetReadDeadline(time.Now().Add(soon))
		m.socket.SetReadDeadline(next)
		time.Sleep(2 * soon)
		if !m.open.Load() {
			t.Fatal("it passed all the same")
		}
	}
	far.Close()
	if err := m.gone(); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
}

func writeDeadline(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.start(w, m)
	m.socket.SetWriteDeadline(time.Now().Add(time.Hour))
	told := m.talk(random(plenty))
	told.stalls(t)
	m.socket.SetWriteDeadline(time.Now().Add(soon)) // the writer is there already
	if err := <-told.done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the writer got %v, want a deadline", err)
	}
	reset(far)
	m.gone()
}

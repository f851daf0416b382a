package enginetest

import (
	"bytes"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
)

// machine notes what an engine does to it, and complains of what it must not do.
type machine struct {
	t      testing.TB
	handle engine.Handle
	socket net.Conn

	// take is what becomes of the bytes; nil takes all.
	take func(b []byte) (n int, ok bool)

	forgets bool // what it took

	lastWord func() // called in the last event; may be nil

	inside  atomic.Int32 // events in progress
	calls   atomic.Int32 // of Readable
	flushed atomic.Int32
	late    atomic.Int32
	open    atomic.Bool // still attached, not gone
	resumes atomic.Int32
	ended   chan struct{}
	helpers sync.WaitGroup

	// Owned by the event in progress.
	paused bool  // the last Readable did
	asked  int32 // how often another followed a pause

	mu  sync.Mutex // guards what follows
	got []byte
	why error
}

func newMachine(take func(b []byte) (int, bool)) *machine {
	return &machine{take: take, ended: make(chan struct{})}
}

func (m *machine) attach(s *site, near net.Conn) {
	m.t = s.t
	m.open.Store(true)
	m.handle = s.engine.Attach(near, m)
	m.socket = m.handle.Socket()
}

func (m *machine) enter() {
	if m.inside.Add(1) != 1 {
		m.t.Error("two events at once")
	}
	if !m.open.Load() {
		m.t.Error("an event after the last one")
	}
}

// Readable implements engine.Machine.
func (m *machine) Readable(b []byte) (n int, ok bool) {
	m.enter()
	defer m.inside.Add(-1)
	m.calls.Add(1)
	if len(b) == 0 {
		m.t.Error("an event without bytes")
	}
	if m.paused {
		if m.asked++; m.asked > m.resumes.Load() {
			m.t.Error("an event in a pause")
		}
	}
	n, ok = len(b), true
	if m.forgets {
		return n, ok
	}
	before := slices.Clone(b)
	if m.take != nil {
		n, ok = m.take(b)
	}
	m.paused = !ok
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = append(m.got, before[:n]...)
	return n, ok
}

// Gone implements engine.Machine.
func (m *machine) Gone(err error) {
	m.enter()
	m.open.Store(false)
	m.inside.Add(-1)
	if err == nil {
		m.t.Error("gone without a reason")
	}
	m.mu.Lock()
	m.why = err
	m.mu.Unlock()
	if m.lastWord != nil {
		m.lastWord()
	}
	m.close()
	close(m.ended)
}

// Flush implements engine.Machine.
func (m *machine) Flush() { m.flushed.Add(1) }

// Late implements engine.Machine.
func (m *machine) Late() { m.late.Add(1) }

// close closes what lies under TLS, as links do.
func (m *machine) close() {
	c := m.socket
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		if _, ok := c.(*wrapper); !ok {
			c = t.NetConn()
		}
	}
	c.Close()
}

func (m *machine) resume() {
	m.resumes.Add(1)
	m.handle.Resume()
}

// bytes is what the machine took so far.
func (m *machine) bytes() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.got)
}

func (m *machine) has(want []byte) {
	m.t.Helper()
	until(m.t, "all bytes", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.got) >= len(want)
	})
	if got := m.bytes(); !bytes.Equal(got, want) {
		m.t.Errorf("took %d bytes, which are not the %d sent", len(got), len(want))
	}
}

// gone waits for the end and returns its reason.
func (m *machine) gone() error {
	m.t.Helper()
	within(m.t, m.ended, "gone")
	m.helpers.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.why
}

// say writes b and waits until the socket has it.
func (m *machine) say(b []byte) error {
	p, ok := m.handle.(engine.Prompt)
	if !ok {
		_, err := m.socket.Write(b)
		return err
	}
	if _, err := p.Write(b); err != nil {
		return err
	}
	return p.Sent()
}

// echo returns a machine that writes what it takes, and pauses while the socket
// is full.
func echo() *machine {
	m := newMachine(nil)
	m.take = func(b []byte) (int, bool) {
		p, ok := m.handle.(engine.Prompt)
		if !ok {
			m.socket.Write(b)
			return len(b), true
		}
		p.Write(b)
		if !p.Full() {
			return len(b), true
		}
		m.helpers.Go(func() {
			p.Sent()
			m.resume()
		})
		return len(b), false
	}
	return m
}

// plenty is more than the kernel takes for a peer that does not read.
const plenty = 16 << 20

// talk is somebody who writes, on a goroutine of its own.
type talk struct {
	done    chan error
	written atomic.Int64
}

func (m *machine) talk(b []byte) *talk {
	k := &talk{done: make(chan error, 1)}
	m.helpers.Go(func() {
		var err error
		for len(b) > 0 && err == nil {
			n := min(len(b), 32<<10)
			if err = m.say(b[:n]); err == nil {
				k.written.Add(int64(n))
				b = b[n:]
			}
		}
		k.done <- err
	})
	return k
}

// stalls waits until the kernel takes nothing more.
func (k *talk) stalls(t testing.TB) {
	t.Helper()
	before := int64(-1)
	until(t, "a full socket", func() bool {
		time.Sleep(50 * time.Millisecond)
		now := k.written.Load()
		same := now == before
		before = now
		return same
	})
	if before == 0 {
		t.Error("nothing was written")
	}
}

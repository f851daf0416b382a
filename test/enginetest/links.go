package enginetest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
)

// links: a WebSocket leg ends in time, whatever its peer does.
func links(t *testing.T, n New) {
	for _, w := range []wire{inClear, overTLS, overTLSOnUnix} {
		t.Run(w.String(), func(t *testing.T) {
			for _, test := range []struct {
				name string
				run  func(*testing.T, *leg, net.Conn)
			}{
				{"a message in many frames, and many in one", messages},
				{"Close, of a peer that floods", closeFlooded},
				{"Close, of a peer that reads nothing", closeUnread},
				{"Shutdown sends what is queued", shutdown},
				{"Shutdown, of a peer that reads nothing, cut short", shutdownCut},
				{"Reset", resetLeg},
			} {
				t.Run(test.name, func(t *testing.T) {
					s := newSite(t, n)
					l, far := newLeg(s, w)
					test.run(t, l, far)
					reset(far)
					l.released(t)
					s.engine.Wait()
					l.writers.Wait()
				})
			}
		})
	}
}

// leg is a link and its owner.
type leg struct {
	*link.Link
	writers sync.WaitGroup
	gone    chan struct{}

	mu    sync.Mutex // guards what follows
	got   []byte
	count int
	code  uint16
	err   error
}

func newLeg(s *site, w wire) (*leg, net.Conn) {
	s.t.Helper()
	near, far := s.transports(w == overTLSOnUnix)
	if w != inClear {
		near, far = s.shake(w, near, far)
	}
	l := &leg{gone: make(chan struct{})}
	l.Link = link.New(s.engine, near, l, link.Config{
		Role: ws.Server, MaxMessage: 1 << 20, MaxFragments: -1, WriteWait: patience, Writers: &l.writers,
	}, nil)
	l.Start(nil)
	return l, far
}

func (l *leg) Ready() bool         { return !l.Above() }
func (l *leg) Control(ws.Event)    {}
func (l *leg) Arrived(int, bool)   {}
func (l *leg) Drained()            { l.Resume() }
func (l *leg) Released()           { close(l.gone) }
func (l *leg) with(f func(l *leg)) { l.mu.Lock(); defer l.mu.Unlock(); f(l) }

func (l *leg) Data(ev ws.Event) {
	l.with(func(l *leg) {
		l.got = append(l.got, ev.Data...)
		if ev.Last {
			l.count++
		}
	})
}

func (l *leg) PeerClosed(code uint16, _ string) {
	l.with(func(l *leg) { l.code = code })
	l.Close(code, "")
}

func (l *leg) Failed(err error) {
	l.with(func(l *leg) { l.err = err })
	l.Close(1002, "")
}

func (l *leg) released(t *testing.T) {
	t.Helper()
	within(t, l.gone, "Released")
}

// inTime fails if the socket is not given back within the time that a link lingers,
// and some more for a slow machine.
func (l *leg) inTime(t *testing.T, f func()) {
	t.Helper()
	began := time.Now()
	f()
	l.released(t)
	if took := time.Since(began); took > link.Linger+2*time.Second {
		t.Errorf("the socket was given back after %s", took)
	}
}

func messages(t *testing.T, l *leg, far net.Conn) {
	long := random(70_000)
	var b []byte
	for range 200 {
		b = ws.AppendFrame(b, ws.Client, true, ws.Binary, []byte("short"))
	}
	first := long
	for i := 0; len(first) > 0; i++ {
		n, op := min(900, len(first)), ws.Continuation
		if i == 0 {
			op = ws.Binary
		}
		b = ws.AppendFrame(b, ws.Client, n == len(first), op, first[:n])
		first = first[n:]
	}
	for i := 0; len(b) > 0; i++ {
		n := min(1+i*997%3000, len(b))
		far.Write(b[:n])
		b = b[n:]
	}
	far.Write(ws.AppendClose(nil, ws.Client, 1000, ""))
	io.Copy(io.Discard, far)
	l.released(t)
	want := append(bytes.Repeat([]byte("short"), 200), long...)
	l.with(func(l *leg) {
		if l.count != 201 || l.code != 1000 || !bytes.Equal(l.got, want) {
			t.Errorf("got %d messages, %d bytes, code %d", l.count, len(l.got), l.code)
		}
	})
}

func closeFlooded(t *testing.T, l *leg, far net.Conn) {
	payload := make([]byte, 32<<10)
	frame := ws.AppendFrame(nil, ws.Client, true, ws.Binary, payload)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			if _, err := far.Write(frame); err != nil {
				return
			}
		}
	})
	until(t, "the flood", func() (ok bool) { l.with(func(l *leg) { ok = l.count > 20; l.got = nil }); return ok })
	l.inTime(t, func() { l.Close(1008, "enough") })
	all.Wait()
}

func closeUnread(t *testing.T, l *leg, far net.Conn) {
	stuff(t, l)
	l.inTime(t, func() { l.Close(1008, "") })
}

// stuff sends until the queue is full.
func stuff(t *testing.T, l *leg) (sent int) {
	t.Helper()
	payload := make([]byte, 64<<10)
	for full := 0; full < 20; {
		err := l.Send(ws.Binary, payload)
		switch {
		case errors.Is(err, link.ErrFull):
			full++
			time.Sleep(5 * time.Millisecond)
		case err != nil:
			t.Fatal(err)
		default:
			full = 0
			sent++
		}
	}
	return sent
}

func shutdown(t *testing.T, l *leg, far net.Conn) {
	sent := stuff(t, l)
	l.Shutdown(1000, "done")
	p := ws.Parser{Role: ws.Client, MaxMessage: 1 << 20, MaxFragments: -1}
	got, code := 0, uint16(0)
	b := make([]byte, 32<<10)
	for code == 0 {
		n, err := far.Read(b)
		for in := b[:n]; len(in) > 0; {
			ev, used, err := p.Next(in)
			if err != nil {
				t.Fatal(err)
			}
			in = in[used:]
			if ev.Kind == ws.Data {
				got += len(ev.Data)
			}
			if ev.Kind == ws.CloseEvent {
				code = ev.Code
			}
		}
		if err != nil && code == 0 {
			t.Fatal(err)
		}
	}
	if got != sent*64<<10 || code != 1000 {
		t.Errorf("got %d of %d bytes and code %d", got, sent*64<<10, code)
	}
	far.Write(ws.AppendClose(nil, ws.Client, 1000, ""))
	far.Close()
	l.released(t)
}

func shutdownCut(t *testing.T, l *leg, far net.Conn) {
	stuff(t, l)
	l.Shutdown(1000, "")
	l.inTime(t, l.Cut)
}

func resetLeg(t *testing.T, l *leg, far net.Conn) {
	stuff(t, l)
	l.inTime(t, l.Reset)
}

package link_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
)

// log is an owner that writes down what it is told and closes as it should.
type log struct {
	link *link.Link

	mu       sync.Mutex // guards what follows
	data     []byte
	pings    int
	code     uint16
	failed   error
	drained  int
	released time.Time
	stopped  bool // not ready
}

func (o *log) with(f func()) { o.mu.Lock(); defer o.mu.Unlock(); f() }

func (o *log) Ready() (ready bool) { o.with(func() { ready = !o.stopped }); return }
func (o *log) Data(ev ws.Event)    { o.with(func() { o.data = append(o.data, ev.Data...) }) }
func (o *log) Control(ws.Event)    { o.with(func() { o.pings++ }) }
func (o *log) Arrived(int, bool)   {}
func (o *log) PeerClosed(code uint16, _ string) {
	o.with(func() { o.code = code })
	o.link.Shutdown(code, "")
}
func (o *log) Failed(err error) {
	o.with(func() { o.failed = err })
	if fault, ok := errors.AsType[*ws.Error](err); ok {
		o.link.Close(fault.Code, "")
	}
}
func (o *log) Drained()  { o.with(func() { o.drained++ }) }
func (o *log) Released() { o.with(func() { o.released = time.Now() }) }

// leg is a server-role link with its far end in the test's hands.
func leg(t *testing.T, f func(t *testing.T, l *link.Link, o *log, far net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		far, near := sallyporttest.Pipe()
		o, e, writers := &log{}, &engine.Portable{}, &sync.WaitGroup{}
		budget := link.NewBudget(1 << 20)
		o.link = link.New(e, near, o, link.Config{Role: ws.Server, MaxMessage: 1 << 20, WriteWait: 10 * time.Second, Budget: budget, Writers: writers}, []byte("HEAD"))
		o.link.Start(nil)
		f(t, o.link, o, far)
		far.Close()
		o.link.Reset()
		e.Wait()
		writers.Wait()
		if o.released.IsZero() {
			t.Error("the socket was not released")
		}
		if held := budget.Held(); held != 0 {
			t.Errorf("%d bytes of the budget were not given back", held)
		}
	})
}

// rest reads until the end.
func rest(far net.Conn) []byte {
	b, _ := io.ReadAll(far)
	return b
}

func TestHeadAndCloseLeaveTogether_SR21(t *testing.T) {
	leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
		l.Close(4001, "why")
		want := ws.AppendClose([]byte("HEAD"), ws.Server, 4001, "why")
		if got := rest(far); !bytes.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestCloseDropsTheQueueAndShutdownDoesNot_SR56(t *testing.T) {
	for _, graceful := range []bool{false, true} {
		leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
			synctest.Wait() // the head is out
			payload := make([]byte, 300<<10)
			if err := l.Send(ws.Binary, payload); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the pipe is full
			if graceful {
				l.Shutdown(1000, "")
			} else {
				l.Close(1000, "")
			}
			if err := l.Send(ws.Text, nil); !errors.Is(err, link.ErrClosed) {
				t.Errorf("SR-56 send after the end: got %v", err)
			}
			p := ws.Parser{Role: ws.Client, MaxMessage: 1 << 30, MaxFragments: -1}
			got, closed := 0, false
			for b := rest(far)[len("HEAD"):]; len(b) > 0; {
				ev, n, err := p.Next(b)
				if err != nil {
					t.Fatal(err)
				}
				b = b[n:]
				got += len(ev.Data)
				closed = closed || ev.Kind == ws.CloseEvent
			}
			if graceful && (got != len(payload) || !closed) {
				t.Errorf("graceful: got %d bytes, close frame %v", got, closed)
			}
			if !graceful && (got > 160<<10 || !closed) {
				t.Errorf("a stop handed %d bytes more to the kernel, close frame %v", got, closed)
			}
		})
	}
}

func TestPeerThatNeverAnswersIsResetWithinASecond_SR56_AT39(t *testing.T) {
	tests := map[string]func(l *link.Link, far net.Conn){
		"it reads and stays": func(l *link.Link, far net.Conn) { go io.Copy(io.Discard, far) },
		"it never reads": func(l *link.Link, far net.Conn) {
			l.Send(ws.Binary, make([]byte, 300<<10))
			synctest.Wait()
		},
		"it floods": func(l *link.Link, far net.Conn) {
			go func() {
				for {
					if _, err := far.Write(make([]byte, 1000)); err != nil {
						return
					}
					time.Sleep(time.Millisecond)
				}
			}()
		},
		"it is paused": func(l *link.Link, far net.Conn) { far.Write([]byte{0x81}) },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
				o.with(func() { o.stopped = name == "it is paused" })
				prepare(l, far)
				began := time.Now()
				l.Close(4001, "")
				time.Sleep(time.Second)
				synctest.Wait()
				o.with(func() {
					if o.released.IsZero() || o.released.Sub(began) > time.Second {
						t.Error("the socket was not given back within a second")
					}
				})
			})
		})
	}
}

func TestPongsThatWaitAreBounded_AT37_SR72(t *testing.T) {
	leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
		l.Send(ws.Binary, make([]byte, 300<<10)) // the far end does not read
		var pings []byte
		for i := range 100 {
			pings = ws.AppendFrame(pings, ws.Client, true, ws.Ping, append(make([]byte, 99), byte(i)))
		}
		go far.Write(pings)
		synctest.Wait()
		l.Shutdown(1000, "")
		p := ws.Parser{Role: ws.Client, MaxMessage: 1 << 30, MaxFragments: -1}
		var pongs []byte
		for b := rest(far)[len("HEAD"):]; len(b) > 0; {
			ev, n, err := p.Next(b)
			if err != nil {
				t.Fatal(err)
			}
			b = b[n:]
			if ev.Kind == ws.PongEvent {
				pongs = append(pongs, ev.Data...)
			}
		}
		if len(pongs) > 22*100 || pongs[len(pongs)-1] != 99 {
			t.Errorf("%d bytes of pongs, the last answers ping %d; want 2 KiB at most, and the last ping answered", len(pongs), pongs[len(pongs)-1])
		}
	})
}

func TestSlowPeerFails_SR74(t *testing.T) {
	leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
		l.Send(ws.Binary, make([]byte, 300<<10))
		time.Sleep(11 * time.Second)
		o.with(func() {
			if !errors.Is(o.failed, link.ErrSlow) {
				t.Errorf("got %v, want ErrSlow", o.failed)
			}
		})
	})
}

func TestQueueIsBoundedAndTellsWhenItDrains_SR74(t *testing.T) {
	leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
		accepted := 0
		for {
			err := l.Send(ws.Binary, make([]byte, 16<<10))
			if errors.Is(err, link.ErrFull) {
				break
			}
			accepted++
		}
		if accepted < 16 || accepted > 24 || !l.Above() {
			t.Errorf("%d messages of 16 KiB were accepted", accepted)
		}
		room := l.Room()
		go io.Copy(io.Discard, far)
		<-room
		synctest.Wait()
		if l.Above() || o.drained != 1 {
			t.Errorf("above %v, drained %d times", l.Above(), o.drained)
		}
	})
}

func TestBudgetBoundsAllLinks_SR75(t *testing.T) {
	leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
		if err := l.Send(ws.Binary, make([]byte, 2<<20)); !errors.Is(err, link.ErrBudget) {
			t.Errorf("got %v, want ErrBudget", err)
		}
	})
}

func TestProtocolFaultEndsWithItsCode_SR50(t *testing.T) {
	leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
		go far.Write([]byte{0x81, 0x01, 'a', 0x81, 0x01, 'b'})
		want := ws.AppendClose([]byte("HEAD"), ws.Server, 1002, "")
		if got := rest(far); !bytes.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if len(o.data) != 0 {
			t.Errorf("%q was delivered", o.data)
		}
	})
}

// A link that left still hears the peer's answers, and a stop in between wins.
func TestLeaveSendsTheEndAndKeepsListening_SR56(t *testing.T) {
	leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
		l.Send(ws.Text, []byte("last words"))
		l.Leave(1000, "bye")
		if err := l.Send(ws.Text, nil); !errors.Is(err, link.ErrClosed) {
			t.Errorf("send after leaving: got %v", err)
		}
		synctest.Wait()
		far.Write(ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte("an answer")))
		synctest.Wait()
		o.with(func() {
			if string(o.data) != "an answer" {
				t.Errorf("heard %q", o.data)
			}
		})
		far.Write(ws.AppendClose(nil, ws.Client, 1000, ""))
		want := ws.AppendFrame([]byte("HEAD"), ws.Server, true, ws.Text, []byte("last words"))
		want = ws.AppendClose(want, ws.Server, 1000, "bye")
		if got := rest(far); !bytes.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
	leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
		l.Leave(1000, "")
		synctest.Wait()
		began := time.Now()
		l.Close(4001, "")
		go io.Copy(io.Discard, far)
		time.Sleep(time.Second)
		o.with(func() {
			if o.released.IsZero() || o.released.Sub(began) > time.Second {
				t.Error("a stop after leaving did not give the socket back within a second")
			}
		})
	})
	leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
		l.Leave(1000, "")
		time.Sleep(6 * time.Second)
		o.with(func() {
			if o.failed == nil || o.released.IsZero() {
				t.Errorf("a peer that never answers is still waited for: %v", o.failed)
			}
		})
	})
}

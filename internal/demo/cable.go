package demo

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sallyport/sallyport/deny"
)

// Bounds of cuts.
const (
	maxCuts = 64
	longCut = 2 * time.Minute

	// handshakeWait is how long a handshake waits on a cut cable: a little less
	// than its ticket is good for, and than the page's client waits.
	handshakeWait = 9 * time.Second
)

// cable is what lies between browsers and the demo's listeners. It can be cut
// for one session at a time: the bytes of its chat connections are held, and no
// handshake of it is answered. All else passes, so that the page can plug it in.
type cable struct {
	acting sync.Mutex // held while it is cut or plugged in: neither overtakes the other

	mu     sync.Mutex       // guards what follows
	wires  map[string]*wire // that are open, by the address of the peer
	cuts   map[string]*cut  // by session, at most maxCuts
	closed bool
}

// cut is one cut, which ends by itself.
type cut struct {
	until   time.Time
	timer   *time.Timer
	plugged chan struct{} // closed at its end
}

func newCable() *cable { return &cable{wires: map[string]*wire{}, cuts: map[string]*cut{}} }

// over returns l with its connections on the cable.
func (c *cable) over(l net.Listener) net.Listener { return &cableListener{l, c} }

type cableListener struct {
	net.Listener
	cable *cable
}

func (l *cableListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
		w := newWire(tcp, l.cable)
		l.cable.mu.Lock()
		l.cable.wires[w.peer] = w
		l.cable.mu.Unlock()
		return w, nil
	}
	return conn, err
}

func (c *cable) forget(w *wire) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wires[w.peer] == w {
		delete(c.wires, w.peer)
	}
}

// cut holds the chat of session for a time, or for that time from now on if it is
// held already.
func (c *cable) cut(session string, d time.Duration) error {
	c.acting.Lock()
	defer c.acting.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return deny.Because(deny.Drain, nil)
	}
	if now := c.cuts[session]; now != nil {
		now.until = time.Now().Add(d)
		now.timer.Reset(d)
		return nil
	}
	if len(c.cuts) == maxCuts {
		return deny.Because(deny.GuardFull, errors.New("too many cables are cut"))
	}
	k := &cut{until: time.Now().Add(d), plugged: make(chan struct{})}
	k.timer = time.AfterFunc(d, func() { c.plug(session) }) // stopped by plug
	c.cuts[session] = k
	for _, w := range c.of(session) {
		w.hold()
	}
	return nil
}

// of are the wires of a session's chat. The caller holds mu.
func (c *cable) of(session string) (wires []*wire) {
	for _, w := range c.wires {
		if w.belongs(session) {
			wires = append(wires, w)
		}
	}
	return wires
}

// plug ends the cut of session, if there is one.
func (c *cable) plug(session string) {
	c.acting.Lock()
	defer c.acting.Unlock()
	c.mu.Lock()
	k, wires := c.cuts[session], c.of(session)
	delete(c.cuts, session)
	if k != nil {
		k.timer.Stop()
		close(k.plugged)
	}
	c.mu.Unlock()
	for _, w := range wires {
		w.release()
	}
}

// left is how long the cable of session stays cut; 0 if it is not.
func (c *cable) left(session string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.cuts[session]; k != nil {
		return max(0, time.Until(k.until))
	}
	return 0
}

// close plugs everything in, for good.
func (c *cable) close() {
	c.mu.Lock()
	c.closed = true
	var sessions []string
	for session := range c.cuts {
		sessions = append(sessions, session)
	}
	c.mu.Unlock()
	for _, session := range sessions {
		c.plug(session)
	}
}

// pass is asked with every handshake of the chat. On a cable that is cut it
// waits, and reports false if that took too long for anybody to be waiting at
// the other end.
func (c *cable) pass(r *http.Request, session string) bool {
	c.mu.Lock()
	w, k := c.wires[r.RemoteAddr], c.cuts[session]
	if w != nil {
		w.change(func() { w.session = session })
		if k != nil {
			w.hold()
		}
	}
	c.mu.Unlock()
	if w == nil || k == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(r.Context(), handshakeWait)
	defer cancel()
	select {
	case <-k.plugged:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *wire) belongs(session string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.session == session
}

package demo

import (
	"bytes"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Bounds of a wire that is held.
const (
	heldBytes   = 256 << 10       // what may wait to be written; beyond it the wire tears
	releaseWait = 5 * time.Second // for the peer to take what waited
)

// errTorn is what a writer gets that wrote more to a held wire than it can keep.
var errTorn = errors.New("demo: too much was written while the cable was cut")

// wire is an accepted socket that can be held: then nothing passes, in neither
// direction, and nothing is closed, so that neither end notices more than
// silence. What its owner does meanwhile (write, close, reset) takes effect on
// the network when it is released. A read deadline works all the time.
type wire struct {
	tcp   *net.TCPConn
	cable *cable
	peer  string // its address: the name in cable.wires

	// Owned by the reader: what arrived and was not passed on.
	in    []byte
	inErr error

	writing sync.Mutex // held during a write, and while what waited is written

	mu       sync.Mutex // guards what follows
	session  string     // whose chat it carries; empty: none
	held     bool
	out      []byte    // written while held, at most heldBytes
	shut     bool      // nothing more will be written
	dropped  bool      // it is about to be reset: what waits is thrown away
	closed   bool      // by its owner
	readBy   time.Time // deadlines of the owner
	writeBy  time.Time
	awakened chan struct{} // closed when any of this changed, and replaced
}

func newWire(c *net.TCPConn, of *cable) *wire {
	return &wire{tcp: c, cable: of, peer: c.RemoteAddr().String(), awakened: make(chan struct{})}
}

// LocalAddr implements net.Conn.
func (w *wire) LocalAddr() net.Addr { return w.tcp.LocalAddr() }

// RemoteAddr implements net.Conn.
func (w *wire) RemoteAddr() net.Addr { return w.tcp.RemoteAddr() }

// SyscallConn is for the listener, which looks whether there are bytes to read.
func (w *wire) SyscallConn() (syscall.RawConn, error) { return w.tcp.SyscallConn() }

// change does f under mu and wakes whoever waits.
func (w *wire) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.awakened)
	w.awakened = make(chan struct{})
}

// hold lets nothing pass from now on.
func (w *wire) hold() { w.change(func() { w.held = true }) }

// release lets everything pass that waited, and what was done meanwhile happen.
func (w *wire) release() {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	held, out, writeBy := w.held, w.out, w.writeBy
	if w.dropped {
		out = nil
	}
	w.out = nil
	w.mu.Unlock()
	if !held {
		return
	}
	if len(out) > 0 { // the writers wait meanwhile, so the order stands
		w.tcp.SetWriteDeadline(time.Now().Add(releaseWait))
		w.tcp.Write(out) // a peer that is gone is the owner's to notice
		w.tcp.SetWriteDeadline(writeBy)
	}
	w.change(func() {
		w.held = false
		if w.shut {
			w.tcp.CloseWrite()
		}
		if w.closed {
			w.tcp.Close()
		}
	})
	if w.isClosed() {
		w.cable.forget(w)
	}
}

func (w *wire) isHeld() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held
}

func (w *wire) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// passable waits until the wire is not held. It returns an error when the
// owner's read deadline passes, or when the owner closes.
func (w *wire) passable() error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		w.mu.Lock()
		held, closed, by, awakened := w.held, w.closed, w.readBy, w.awakened
		w.mu.Unlock()
		switch {
		case closed:
			return net.ErrClosed
		case !held:
			return nil
		case by.IsZero():
			timer.Reset(time.Hour)
		case !time.Now().Before(by):
			return os.ErrDeadlineExceeded
		default:
			timer.Reset(time.Until(by))
		}
		select {
		case <-awakened:
		case <-timer.C:
		}
	}
}

// Read implements net.Conn. There is one reader at a time.
func (w *wire) Read(b []byte) (int, error) {
	if w.in == nil && w.inErr == nil {
		n, err := w.tcp.Read(b)
		late := n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
		if !late && !w.isHeld() {
			return n, err
		}
		if late {
			if w.isClosed() {
				err = net.ErrClosed
			}
			return 0, err
		}
		w.in, w.inErr = bytes.Clone(b[:n]), err
	}
	if err := w.passable(); err != nil {
		return 0, err
	}
	n := copy(b, w.in)
	if w.in = w.in[n:]; len(w.in) > 0 {
		return n, nil
	}
	err := w.inErr
	w.in, w.inErr = nil, nil
	return n, err
}

// Write implements net.Conn.
func (w *wire) Write(b []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	if !w.held {
		w.mu.Unlock()
		return w.tcp.Write(b)
	}
	defer w.mu.Unlock()
	switch {
	case w.closed || w.shut:
		return 0, net.ErrClosed
	case len(w.out)+len(b) > heldBytes:
		return 0, errTorn
	}
	w.out = append(w.out, b...)
	return len(b), nil
}

// CloseWrite sends FIN.
func (w *wire) CloseWrite() (err error) {
	w.change(func() {
		if w.shut = true; !w.held {
			err = w.tcp.CloseWrite()
		}
	})
	return err
}

// SetLinger is called with 0 by who is about to reset the connection.
func (w *wire) SetLinger(seconds int) error {
	w.change(func() { w.dropped = seconds == 0 })
	return w.tcp.SetLinger(seconds)
}

// Close implements net.Conn. The reader is awakened at once; the peer learns of
// it once the wire is released.
func (w *wire) Close() (err error) {
	w.change(func() {
		if w.closed {
			err = net.ErrClosed
			return
		}
		if w.closed = true; !w.held {
			err = w.tcp.Close()
			return
		}
		w.tcp.SetReadDeadline(time.Unix(1, 0))
	})
	if !w.isHeld() {
		w.cable.forget(w)
	}
	return err
}

// SetDeadline implements net.Conn.
func (w *wire) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (w *wire) SetReadDeadline(t time.Time) (err error) {
	w.change(func() {
		if w.readBy = t; !w.closed {
			err = w.tcp.SetReadDeadline(t)
		}
	})
	return err
}

// SetWriteDeadline implements net.Conn.
func (w *wire) SetWriteDeadline(t time.Time) (err error) {
	w.change(func() {
		w.writeBy = t
		err = w.tcp.SetWriteDeadline(t)
	})
	return err
}

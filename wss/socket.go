package wss

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// socket is an accepted connection, below TLS. It is small: it lives as long as
// the connection, to be counted.
type socket struct {
	net.Conn // the transport; replaced once at most, when the connection was detached
	l        *Listener
	hello    []byte                 // read already, to be read again; owned by the reader
	before   atomic.Pointer[before] // nil once admitted

	mu     sync.Mutex // held while the transport is replaced, and to close
	closed atomic.Bool
}

// before is what a socket holds until its connection is admitted.
type before struct {
	waiting, shaking seat
	release          func()            // of Options.PerAddress; may be nil
	hello            *[bufferSize]byte // lent for socket.hello; owned by the reader
}

func (s *socket) Read(p []byte) (int, error) {
	if len(s.hello) > 0 {
		n := copy(p, s.hello)
		if s.hello = s.hello[n:]; len(s.hello) == 0 {
			s.hello = nil
			if b := s.before.Load(); b != nil && b.hello != nil {
				giveBack(b.hello)
				b.hello = nil
			}
		}
		return n, nil
	}
	return s.Conn.Read(p)
}

// admit takes the socket out of the pools.
func (s *socket) admit() {
	if b := s.before.Swap(nil); b != nil {
		s.l.waiting.leave(&b.waiting)
		s.l.shaking.leave(&b.shaking)
		if b.release != nil {
			b.release()
		}
	}
}

// evict is called when somebody else was given the socket's seat.
func (s *socket) evict() {
	s.mu.Lock() // its holder may go on meanwhile, until the close
	address := PeerAddress(s.Conn)
	s.mu.Unlock()
	s.l.refused(address, 503, "made others wait while all places were taken")
	s.Close()
}

func (s *socket) Close() error {
	s.mu.Lock()
	closed, c := s.closed.Swap(true), s.Conn
	s.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	s.admit()
	s.l.count.Add(-1)
	return c.Close()
}

// CloseWrite sends FIN, where the transport has one.
func (s *socket) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// NetConn returns what was accepted, or what has replaced it.
func (s *socket) NetConn() net.Conn { return s.Conn }

// Replace has what f makes of the transport take its place, for an engine that
// polls. The connection was detached and nobody else uses the socket, but to
// close it.
func (s *socket) Replace(f func(transport net.Conn) (net.Conn, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return net.ErrClosed
	}
	c, err := f(s.Conn)
	if err == nil {
		s.Conn = c
	}
	return err
}

// SyscallConn gives the file descriptor to an engine that polls.
func (s *socket) SyscallConn() (syscall.RawConn, error) {
	if c, ok := s.Conn.(syscall.Conn); ok {
		return c.SyscallConn()
	}
	return nil, errors.New("wss: the connection has no file descriptor")
}

const (
	recordHandshake = 0x16             // the first byte of a TLS connection
	recordHeader    = 5                // type, version, length
	maxRecord       = 16<<10 + 256 + 1 // of a ClientHello; longer ones come in several
)

var errPlaintext = errors.New("wss: not TLS")

// peekHello waits for the first TLS record, which the next reads return again.
// It takes its time without holding a place in the pool of handshakes.
func (s *socket) peekHello() error {
	b := make([]byte, recordHeader)
	for n := 0; n < recordHeader; {
		k, err := s.Conn.Read(b[n:])
		n += k
		if n > 0 && b[0] != recordHandshake {
			s.hello = b[:n]
			return errPlaintext
		}
		if err != nil && n < recordHeader {
			return err
		}
	}
	size := int(b[3])<<8 | int(b[4])
	if size == 0 || size > maxRecord {
		return errors.New("wss: a TLS record of a wrong size")
	}
	s.hello = s.lend(b, size)
	_, err := io.ReadFull(s.Conn, s.hello[recordHeader:])
	return err
}

// lend returns room for a record that begins with head, lent if it is not larger
// than almost all are. That of a connection that fails is left to the garbage.
func (s *socket) lend(head []byte, size int) []byte {
	b := s.before.Load()
	if b == nil || len(head)+size > bufferSize { // evicted, or a very long hello
		return append(head, make([]byte, size)...)
	}
	b.hello = buffers.Get().(*[bufferSize]byte)
	return append(b.hello[:0], head...)[:len(head)+size]
}

// linger ends a connection so that the peer can read what was written last: FIN,
// then what it still sends is thrown away, for a second and 256 KiB at most. A
// close with unread bytes would be a reset, which overtakes the answer.
func (s *socket) linger() {
	s.CloseWrite()
	s.SetReadDeadline(time.Now().Add(lingerTime))
	b := buffers.Get().(*[bufferSize]byte)
	for n := 0; n < lingerBytes; {
		k, err := s.Conn.Read(b[:])
		if err != nil {
			break
		}
		n += k
	}
	giveBack(b)
	s.Close()
}

const (
	lingerTime  = time.Second
	lingerBytes = 256 << 10
)

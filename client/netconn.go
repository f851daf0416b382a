package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
	"unicode/utf8"
)

// streamChunk is how much of a stream goes into one message at most, in bytes;
// less if the server accepts less.
const streamChunk = 32 << 10

// Stream is a [Conn] as a net.Conn. Make one with [NetConn].
type Stream struct {
	conn *Conn
	ctx  context.Context
	kind Kind

	reading, writing deadline

	readMu sync.Mutex // held during a Read; guards rest
	rest   []byte     // of a message that was begun

	writeMu sync.Mutex // held during a Write; guards tail
	tail    []byte     // the beginning of a character, of a text stream
}

var _ net.Conn = (*Stream)(nil)

// NetConn shows c as a stream of bytes, for protocols that want one. Messages
// have no meaning in it: a Write is sent as messages of kind, each of at most 32
// KiB and what the server accepts, and a Read gives what is there, of one message
// at most. The boundaries of one side are not those of the other.
//
//   - With Text, what is written must be UTF-8; a character may be split over
//     Writes. A message of another kind than kind ends the connection with 1003.
//   - Read returns io.EOF when the server closed with 1000 or 1001, and the
//     [*CloseError] after any other end.
//   - A deadline ends a Read or Write with os.ErrDeadlineExceeded and leaves the
//     connection as it is. A Write may then have sent a part, which it says.
//   - CloseWrite says goodbye: a WebSocket has no half that stays open. The server
//     gets everything that was written and then the close frame; what it sends
//     before its own is read, for 5 s at most.
//   - Close sends what was written for 5 s at most and drops what arrives.
//
// When ctx ends, Reads and Writes fail with its cause; the connection goes on.
// Nothing else may receive from c meanwhile.
func NetConn(ctx context.Context, c *Conn, kind Kind) *Stream {
	return &Stream{conn: c, ctx: ctx, kind: kind, reading: newDeadline(), writing: newDeadline()}
}

// Read gives what has arrived, waiting for one byte at least.
func (s *Stream) Read(b []byte) (int, error) {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	done := s.reading.passed()
	for len(s.rest) == 0 {
		if len(b) == 0 {
			return 0, nil
		}
		if isClosed(done) {
			return 0, os.ErrDeadlineExceeded
		}
		m, err := s.conn.inbox.receive(s.ctx, done, os.ErrDeadlineExceeded)
		if err != nil {
			return 0, s.ending(err)
		}
		if m.Kind != s.kind {
			err := fmt.Errorf("client: a %s message on a %s stream", m.Kind, s.kind)
			s.conn.finish(&CloseError{Code: 1003, Local: true, Err: err})
			s.conn.link.Close(1003, "")
			return 0, err
		}
		s.rest = m.Data
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// ending is io.EOF for a server that closed because all was said, also after
// CloseWrite, and net.ErrClosed after Close.
func (s *Stream) ending(err error) error {
	end, ok := errors.AsType[*CloseError](err)
	switch {
	case ok && end.Local && end.Code == 1000 && s.conn.deaf.Load():
		return net.ErrClosed
	case ok && end.Err == nil && (end.Code == 1000 || end.Code == 1001):
		return io.EOF
	}
	return err
}

// Write sends all of b. n counts what was sent, and may be less with an error.
func (s *Stream) Write(b []byte) (n int, err error) {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	most := streamChunk
	if limit := s.conn.Limits().MaxMessage; limit > 0 {
		most = int(min(limit, streamChunk))
	}
	if s.kind == Text {
		most = max(most, utf8.UTFMax)
	}
	done := s.writing.passed()
	for n < len(b) {
		if isClosed(done) {
			return n, os.ErrDeadlineExceeded
		}
		part, tail := append(s.tail[:len(s.tail):len(s.tail)], b[n:min(len(b), n+most-len(s.tail))]...), []byte(nil)
		took := len(part) - len(s.tail)
		if s.kind == Text {
			part, tail = wholeCharacters(part)
		}
		if len(part) > 0 {
			err := s.conn.send(s.ctx, Message{Kind: s.kind, Data: part}, done, os.ErrDeadlineExceeded)
			if errors.Is(err, ErrClosed) {
				err = fmt.Errorf("%w: %w", net.ErrClosed, err)
			}
			if err != nil {
				return n, err
			}
		}
		s.tail = tail
		n += took
	}
	return n, nil
}

// wholeCharacters splits off the beginning of a character at the end of b.
func wholeCharacters(b []byte) (whole, tail []byte) {
	for i := max(0, len(b)-utf8.UTFMax+1); i < len(b); i++ {
		if utf8.RuneStart(b[i]) && !utf8.FullRune(b[i:]) {
			return b[:i], append([]byte(nil), b[i:]...)
		}
	}
	return b, nil
}

// CloseWrite says goodbye and goes on reading; see [NetConn].
func (s *Stream) CloseWrite() error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if len(s.tail) > 0 {
		return errors.New("client: the text ends within a character")
	}
	if s.conn.ended.Load() != nil {
		return net.ErrClosed
	}
	s.conn.goodbye(1000, "")
	return nil
}

// Close says goodbye and returns when the socket is closed, after 10 s at most.
func (s *Stream) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*closeWait)
	defer cancel()
	return s.conn.Close(ctx)
}

// LocalAddr is this end of the socket.
func (s *Stream) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr is the other end of the socket.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// SetDeadline sets those of Read and Write; the zero time is none. It also ends
// those that are waiting.
func (s *Stream) SetDeadline(t time.Time) error {
	s.reading.set(t)
	s.writing.set(t)
	return nil
}

// SetReadDeadline is SetDeadline for Read alone.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.reading.set(t)
	return nil
}

// SetWriteDeadline is SetDeadline for Write alone.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.writing.set(t)
	return nil
}

// deadline is a channel that is closed when the time has come. Who waits on it
// keeps waiting when the time is moved.
type deadline struct {
	mu    sync.Mutex // guards what follows
	timer *time.Timer
	done  chan struct{}
}

func newDeadline() deadline { return deadline{done: make(chan struct{})} }

func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.done
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.done // the timer is about to close it
	}
	d.timer = nil
	if isClosed(d.done) {
		d.done = make(chan struct{})
	}
	switch wait := time.Until(t); {
	case t.IsZero():
	case wait <= 0:
		close(d.done)
	default:
		done := d.done
		d.timer = time.AfterFunc(wait, func() { close(done) })
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

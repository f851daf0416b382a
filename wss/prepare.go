package wss

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"
)

// prepare makes a connection of s and reads its first head. It returns nil if s
// was refused; then s is closed.
func (l *Listener) prepare(s *socket, addr netip.Addr) net.Conn {
	c := &Conn{sock: s, raw: s, peer: addr, secure: l.believes(s, addr)}
	if l.o.TLS != nil {
		end := time.Now().Add(l.o.HandshakeTimeout)
		s.SetDeadline(end)
		switch err := s.peekHello(); {
		case err == nil:
			if err := l.handshake(c, end); err != nil {
				l.noTLS(s, addr, err)
				return nil
			}
		case errors.Is(err, errPlaintext) && c.secure: // a proxy that ended TLS
		case errors.Is(err, errPlaintext):
			c.refuse(http.StatusUpgradeRequired, "plaintext on a port that speaks TLS only", false)
			return nil
		default:
			l.noTLS(s, addr, err)
			return nil
		}
		s.SetDeadline(time.Time{})
	}
	b := buffers.Get().(*[bufferSize]byte)
	err := c.nextHead(b[:], true)
	giveBack(b)
	if err != nil {
		c.Close()
		return nil
	}
	if c.raw != s {
		return tlsConn{c}
	}
	return c
}

// believes reports whether the peer is a proxy that ended TLS.
func (l *Listener) believes(s *socket, addr netip.Addr) bool {
	if !addr.IsValid() {
		_, unix := s.RemoteAddr().(*net.UnixAddr)
		return unix && l.o.TerminatedBy.Unix
	}
	return l.o.TerminatedBy.Contains(addr)
}

// handshake runs TLS in a place of the pool of handshakes.
func (l *Listener) handshake(c *Conn, end time.Time) error {
	b := c.sock.before.Load()
	if b == nil {
		return net.ErrClosed // evicted
	}
	l.waiting.keep(&b.waiting) // it waits for us now
	entered := l.shaking.enter(&b.shaking, l.done, end)
	l.waiting.yield(&b.waiting)
	if !entered {
		return os.ErrDeadlineExceeded
	}
	defer l.shaking.leave(&b.shaking)
	growStack(0)
	t := tls.Server(c.sock, l.o.TLS)
	if err := t.Handshake(); err != nil {
		return err
	}
	c.raw, c.secure = t, true
	return nil
}

// growStack gives its goroutine the stack that a TLS handshake needs, 16 KiB, in
// one step. By itself it grows in several, and in the middle of the handshake, when
// there is more to move. i is 0.
//
//go:noinline
func growStack(i int) byte {
	var room [12 << 10]byte
	return room[i]
}

// noTLS ends a connection on which TLS failed; crypto/tls has sent its alert.
func (l *Listener) noTLS(s *socket, addr netip.Addr, err error) {
	if !s.closed.Load() { // else somebody has told already
		why := "the TLS handshake failed"
		if errors.Is(err, os.ErrDeadlineExceeded) {
			why = "the TLS handshake was not completed in time"
		}
		l.refused(addr, 0, why)
	}
	s.Close()
}

func (l *Listener) refused(addr netip.Addr, status int, why string) {
	if l.o.OnRefuse != nil {
		l.o.OnRefuse(addr, status, why)
	}
}

// refusal returns the bytes of an answer; over a connection that is not secure
// the built-in ones, which say nothing of the server.
func (l *Listener) refusal(status int, why string, secure bool) []byte {
	if secure && l.o.Refusal != nil {
		return l.o.Refusal(status, why)
	}
	connection := "close"
	if status == http.StatusUpgradeRequired {
		connection = "close, Upgrade\r\nUpgrade: TLS/1.3" // RFC 9110, section 15.5.22
	}
	text := why + "\n"
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"+
		"Cache-Control: no-store\r\nContent-Security-Policy: default-src 'none'\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\r\n%s",
		status, http.StatusText(status), connection, len(text), text)
}

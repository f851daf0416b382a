package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
)

// RefusedError says that the server let nobody in.
type RefusedError struct {
	Status int    // 101 if it completed the upgrade and closed at once
	Code   uint16 // of that close frame
	Reason string // the server's text, which it chose; "" if there was none
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("refused with status %d", e.Status)
	if e.Status == http.StatusSwitchingProtocols {
		s = fmt.Sprintf("refused by close code %d", e.Code)
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// FailedError says that there was nobody to let anybody in.
type FailedError struct {
	Step string // "connect", "tls", "handshake", "ticket"
	Err  error
}

func (e *FailedError) Error() string { return e.Step + ": " + cause(e.Err) }
func (e *FailedError) Unwrap() error { return e.Err }

var (
	errNoTicket = errors.New("none is left: each is good for one connection")
	errChosen   = errors.New("the server selected the ticket as subprotocol")
)

// cause is the root of an error in words that are the same for all connections:
// without addresses and ports.
func cause(err error) string {
	var number syscall.Errno
	var name *net.DNSError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "it took too long"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server ended the connection"
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return "given up"
	case errors.As(err, &number):
		return number.Error()
	case errors.As(err, &name):
		return "the name of the host was not found"
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// open makes a connection for the client with this index. early are the bytes
// behind the 101.
func (p *plan) open(ctx context.Context, address string, index int, secret string, sessions tls.ClientSessionCache) (socket net.Conn, early []byte, t times, agreed *tls.ConnectionState, err error) {
	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	began := time.Now()
	below, err := p.dial(ctx, address)
	if err != nil {
		return nil, nil, t, nil, &FailedError{"connect", err}
	}
	t.connect = int64(time.Since(began))
	stop := context.AfterFunc(ctx, func() { abort(below) })
	defer func() {
		if !stop() && err == nil {
			err = &FailedError{"handshake", ctx.Err()}
		}
		if err != nil {
			abort(below)
			socket = nil
		}
	}()
	socket = below
	if p.TLS != nil {
		began = time.Now()
		config := p.TLS
		if sessions != nil {
			config = config.Clone()
			config.ClientSessionCache = sessions
		}
		secure := tls.Client(below, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, nil, t, nil, &FailedError{"tls", orDone(ctx, err)}
		}
		t.secure = int64(time.Since(began))
		state := secure.ConnectionState()
		socket, agreed = secure, &state
	}
	began = time.Now()
	early, err = p.upgrade(socket, index, secret)
	t.upgrade = int64(time.Since(began))
	if f, ok := err.(*FailedError); ok {
		f.Err = orDone(ctx, f.Err)
	}
	return socket, early, t, agreed, err
}

// orDone prefers the context's error: the socket's is only its consequence.
func orDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (p *plan) dial(ctx context.Context, address string) (net.Conn, error) {
	if p.Dial != nil {
		return p.Dial(ctx, "tcp", address)
	}
	d := net.Dialer{KeepAlive: -1}
	return d.DialContext(ctx, "tcp", address)
}

// answers lends what a server's answer is read with.
var answers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

// upgrade makes the handshake of RFC 6455.
func (p *plan) upgrade(socket net.Conn, index int, secret string) (early []byte, err error) {
	offered := p.Protocols
	if secret != "" {
		offered = append([]string{secret}, offered...)
	}
	key := ws.NewKey()
	request, err := ws.AppendRequest(nil, http.MethodGet, p.target, p.host, key, offered, p.headers(index))
	if err != nil {
		return nil, &FailedError{"handshake", err}
	}
	if _, err := socket.Write(request); err != nil {
		return nil, &FailedError{"handshake", err}
	}
	r := answers.Get().(*bufio.Reader)
	r.Reset(&io.LimitedReader{R: socket, N: ws.MaxHead})
	defer func() {
		r.Reset(nil)
		answers.Put(r)
	}()
	answer, err := readAnswer(r)
	if err != nil {
		return nil, &FailedError{"handshake", err}
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, &RefusedError{Status: answer.StatusCode, Reason: told(answer)}
	}
	protocol, err := ws.CheckResponse(answer, key, offered)
	if err == nil && secret != "" && protocol == secret {
		err = errChosen
	}
	if err != nil {
		return nil, &FailedError{"handshake", err}
	}
	if early, err = r.Peek(r.Buffered()); err != nil {
		return nil, &FailedError{"handshake", err}
	}
	early = append([]byte(nil), early...)
	return early, closedAtOnce(early)
}

// readAnswer reads the answer to a handshake, and drops a few interim ones (1xx).
func readAnswer(r *bufio.Reader) (*http.Response, error) {
	for range 4 {
		answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodGet})
		if err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		if answer.StatusCode >= 200 || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, nil
		}
	}
	return nil, errors.New("the server gives interim answers only")
}

// told is the reason in the body of a refusal, if it is one of a door's.
func told(answer *http.Response) string {
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	var refusal struct {
		Error string `json:"error"`
	}
	if err != nil || json.Unmarshal(body, &refusal) != nil || len(refusal.Error) > 64 {
		return ""
	}
	return refusal.Error
}

// closedAtOnce returns a *RefusedError if the first frame behind a 101 is a close
// frame: so a page can be told what a failed handshake would not tell it.
func closedAtOnce(early []byte) error {
	p := ws.Parser{Role: ws.Client}
	ev, _, err := p.Next(append([]byte(nil), early...))
	if err != nil || ev.Kind != ws.CloseEvent {
		return nil
	}
	return &RefusedError{Status: http.StatusSwitchingProtocols, Code: ev.Code, Reason: shorten(string(ev.Data))}
}

// shorten takes what differs between connections off a door's reason: the pairs
// behind its code.
func shorten(reason string) string {
	if r, ok := deny.Parse(reason); ok {
		return r.Code()
	}
	return strings.ToValidUTF8(reason, "?")
}

// abort resets a connection, so that nothing of it stays with the kernel.
func abort(below net.Conn) {
	if l, ok := below.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = below.Close()
}

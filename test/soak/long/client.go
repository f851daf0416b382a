package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/test/soak/wire"
)

// patience bounds every wait of a client: the machine may be loaded.
const patience = 30 * time.Second

// visitors counts clients, for names and addresses that nobody else has.
var visitors atomic.Int64

// visit is one client on its way through a scenario.
type visit struct {
	ctx  context.Context // of the phase: whoever stays leaves when it ends
	site *site
	door *door
	name string // the subject
	tcp  *net.TCPConn
	fit  *fitful
	tls  *tls.Conn
	wire.Conn
}

// newVisit connects from an address that no other client uses. Half of them
// resume a TLS session.
func newVisit(ctx context.Context, s *site, d *door) (*visit, error) {
	n := visitors.Add(1)
	v := &visit{ctx: ctx, site: s, door: d, name: fmt.Sprintf("client-%d", n)}
	from := &net.TCPAddr{IP: net.IPv4(127, byte(1+(n>>16)%120), byte(n>>8), byte(n))}
	dialer := net.Dialer{LocalAddr: from, Timeout: patience}
	socket, err := dialer.Dial("tcp4", d.listen)
	if err != nil {
		return nil, err
	}
	v.tcp = socket.(*net.TCPConn)
	v.tcp.SetDeadline(time.Now().Add(patience))
	v.fit = &fitful{Conn: socket, left: -1}
	config := s.clientTLS(nil)
	if n%2 == 0 {
		config.ClientSessionCache = d.sessions
	}
	v.tls = tls.Client(v.fit, config)
	v.In, v.Out = bufio.NewReaderSize(v.tls, 4<<10), v.tls
	return v, nil
}

// fitful is a transport that writes in bits, or not all there is.
type fitful struct {
	net.Conn
	bits int // bytes at a time; 0 writes all at once
	left int // what is still written; negative: all
}

func (f *fitful) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		part := b[done:]
		if f.bits > 0 && len(part) > f.bits {
			part = part[:f.bits]
		}
		done += len(part)
		if f.left >= 0 {
			part = part[:min(len(part), f.left)]
			f.left -= len(part)
		}
		if _, err := f.Conn.Write(part); err != nil {
			return done, err
		}
	}
	return len(b), nil
}

// ask is a handshake; the zero value is a good one.
type ask struct {
	path, origin, host string
	life               time.Duration // of the token. Default an hour
	without            bool          // a token
}

func (v *visit) request(a ask) ([]byte, string, error) {
	h := http.Header{"Origin": {or(a.origin, page)}}
	if !a.without {
		token, err := v.site.token(v.name, or(a.life, time.Hour))
		if err != nil {
			return nil, "", err
		}
		h.Set("Authorization", "Bearer "+token)
	}
	key := ws.NewKey()
	b, err := ws.AppendRequest(nil, http.MethodGet, or(a.path, "/ws"), or(a.host, host), key, nil, h)
	return b, key, err
}

func or[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// shake sends a handshake and reads the head of the answer.
func (v *visit) shake(a ask) (*http.Response, error) {
	request, key, err := v.request(a)
	if err != nil {
		return nil, err
	}
	return v.Shake(request, key, nil)
}

// enter opens a connection and exchanges a message, except with the deaf.
func (v *visit) enter(a ask) error {
	response, err := v.shake(a)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return fmt.Errorf("not admitted: %s %s", response.Status, body)
	}
	if a.path == "/deaf" {
		return nil
	}
	return v.echo([]byte("hello"))
}

func (v *visit) say(data []byte) error {
	_, err := v.Out.Write(ws.AppendFrame(nil, ws.Client, true, ws.Binary, data))
	return err
}

func (v *visit) echo(data []byte) error {
	if err := v.say(data); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return v.hear(data)
}

func (v *visit) hear(want []byte) error {
	_, got, err := v.Message()
	if err != nil {
		return fmt.Errorf("wanted an echo: %w", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("wanted an echo of %d bytes, got %d", len(want), len(got))
	}
	return nil
}

// linger reads for a while, answering pings; it ends early with the phase.
func (v *visit) linger(d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end) && v.ctx.Err() == nil; {
		v.tcp.SetReadDeadline(time.Now().Add(min(time.Second, time.Until(end))))
		_, _, err := v.Message()
		if late, ok := errors.AsType[net.Error](err); err != nil && (!ok || !late.Timeout()) {
			return err
		}
	}
	v.tcp.SetDeadline(time.Now().Add(patience))
	return nil
}

// bye closes politely.
func (v *visit) bye() error {
	if _, err := v.Out.Write(ws.AppendClose(nil, ws.Client, 1000, "bye")); err != nil {
		return err
	}
	return v.wantClose(1000)
}

// wantClose reads up to a close frame, then to the end of the socket.
func (v *visit) wantClose(codes ...uint16) error {
	for {
		_, _, err := v.Message()
		if err == nil {
			continue
		}
		got, ok := errors.AsType[*wire.Closed](err)
		if !ok || !slices.Contains(codes, got.Code) {
			return fmt.Errorf("got %w, want close %d", err, codes)
		}
		v.Out.Write(ws.AppendClose(nil, ws.Client, got.Code, ""))
		_, err = io.Copy(io.Discard, v.In)
		return err
	}
}

// wantEnd reads to the end, whatever it is, which must come within patience.
func (v *visit) wantEnd() error {
	_, err := io.Copy(io.Discard, v.In)
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return errors.New("the door does not end the connection")
	}
	return nil
}

// reset leaves without a word.
func (v *visit) reset() error {
	v.tcp.SetLinger(0)
	return v.tcp.Close()
}

func size() int {
	return []int{1, 64, 125, 126, 1 << 10, 4 << 10, 16 << 10, 65535}[rand.IntN(8)]
}

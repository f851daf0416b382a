// Package wire is a WebSocket client that costs little: thousands of connections
// in one process, frames made beforehand, answers counted and not kept.
package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// Host is the name in every certificate, Host and Origin of the benchmark.
const Host = "bench.example"

// What the tokens of the benchmark say.
const (
	Issuer   = "https://issuer.example"
	Audience = "bench"
)

// Patience is how long a client waits for a handshake, or for an answer.
const Patience = 30 * time.Second

// Target is a server. It is not changed once it is used.
type Target struct {
	Address string // host:port
	Path    string
	TLS     *tls.Config // nil: plaintext
}

// NewTarget returns a target whose certificate is in the file ca.
func NewTarget(address, path, ca string, hybrid, resume bool) (*Target, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		ServerName: Host, MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool(), NextProtos: []string{"http/1.1"},
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", ca)
	}
	if hybrid {
		config.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768, tls.X25519}
	}
	if resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	}
	return &Target{Address: address, Path: path, TLS: config}, nil
}

// Conn is one connection.
type Conn struct {
	net.Conn // *tls.Conn, or TCP
	TCP      *net.TCPConn
	Counter  Counter
	Resumed  bool
}

// Dial opens a connection. token is a bearer token, or empty.
func (t *Target) Dial(ctx context.Context, token string) (*Conn, error) {
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: raw, TCP: raw.(*net.TCPConn)}
	if err := c.enter(ctx, t, token); err != nil {
		c.Abort()
		return nil, err
	}
	return c, nil
}

// enter makes the handshakes of TLS and WebSocket.
func (c *Conn) enter(ctx context.Context, t *Target, token string) error {
	c.TCP.SetDeadline(time.Now().Add(Patience))
	if t.TLS != nil {
		secure := tls.Client(c.TCP, t.TLS)
		c.Conn = secure
		if err := secure.HandshakeContext(ctx); err != nil {
			return err
		}
		c.Resumed = secure.ConnectionState().DidResume
	}
	h := http.Header{"Origin": {"https://" + Host}}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	key := ws.NewKey()
	head, err := ws.AppendRequest(nil, http.MethodGet, t.Path, t.host(), key, nil, h)
	if err != nil {
		return err
	}
	if _, err := c.Write(head); err != nil {
		return err
	}
	if err := c.answered(key); err != nil {
		return err
	}
	return c.TCP.SetDeadline(time.Time{})
}

// host is what the Host field says: the port belongs to it.
func (t *Target) host() string {
	_, port, _ := net.SplitHostPort(t.Address)
	return net.JoinHostPort(Host, port)
}

// answered reads the 101, and counts what came behind it.
func (c *Conn) answered(key string) error {
	buf := make([]byte, 4096)
	have := 0
	for {
		n, err := c.Read(buf[have:])
		have += n
		if end := bytes.Index(buf[:have], []byte("\r\n\r\n")); end >= 0 {
			r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(buf[:have])), nil)
			if err != nil {
				return err
			}
			if r.StatusCode != http.StatusSwitchingProtocols {
				return errors.New("answered " + r.Status)
			}
			if _, err := ws.CheckResponse(r, key, nil); err != nil {
				return err
			}
			_, err = c.Counter.Feed(buf[end+4 : have])
			return err
		}
		if err == nil && have == len(buf) {
			err = errors.New("an endless answer")
		}
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
	}
}

// Abort resets the connection: nothing of it stays, on either side.
func (c *Conn) Abort() {
	c.TCP.SetLinger(0)
	c.TCP.Close()
}

// Await reads until n messages have come, into buf.
func (c *Conn) Await(n int, buf []byte) error {
	for got := 0; got < n; {
		k, err := c.Read(buf)
		if k > 0 {
			m, err := c.Counter.Feed(buf[:k])
			if err != nil {
				return err
			}
			got += m
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

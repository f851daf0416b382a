package enginetest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// Content types of TLS.
const (
	typeAlert     = 21
	typeHandshake = 22
	typeData      = 23
)

// client is the far end of a TLS 1.3 connection whose records a test writes by
// itself.
type client struct {
	t        testing.TB
	net.Conn // the transport
	out, in  direction
	updated  int // how often the server has changed its key
}

// direction is one of the two, with the key in use (RFC 8446, section 7.3).
type direction struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// client makes a connection whose handshake crypto/tls performed and whose records
// it does not write. The machine is attached and not started.
func (s *site) client(m *machine) *client {
	s.t.Helper()
	near, far := s.transports(false)
	var keys bytes.Buffer
	config := s.clientTLS.Clone()
	config.KeyLogWriter = &keys
	s2 := &site{t: s.t, serverTLS: s.serverTLS, clientTLS: config}
	server, ended := s2.shake(overTLS, near, far)
	if suite := ended.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		s.t.Skipf("crypto/tls chose %s on this processor", tls.CipherSuiteName(suite))
	}
	c := &client{t: s.t, Conn: far}
	for line := range strings.Lines(keys.String()) {
		var label, random, secret string
		fmt.Sscan(line, &label, &random, &secret)
		b, _ := hex.DecodeString(secret)
		switch label {
		case "CLIENT_TRAFFIC_SECRET_0":
			c.out.set(b)
		case "SERVER_TRAFFIC_SECRET_0":
			c.in.set(b)
		}
	}
	m.attach(s, server)
	return c
}

func (d *direction) set(secret []byte) {
	d.secret, d.seq = secret, 0
	block, err := aes.NewCipher(expand(secret, "key", 16))
	if err == nil {
		d.aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		panic(err)
	}
	d.iv = expand(secret, "iv", 12)
}

// update is the step to the next key.
func (d *direction) update() { d.set(expand(d.secret, "traffic upd", 32)) }

func expand(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{byte(n >> 8), byte(n), byte(len(label))}, label...)
	b, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
	if err != nil {
		panic(err)
	}
	return b
}

func (d *direction) nonce() []byte {
	nonce := bytes.Clone(d.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, d.seq) {
		nonce[4+i] ^= b
	}
	d.seq++
	return nonce
}

// record seals data, with some padding.
func (c *client) record(kind byte, data []byte, padding int) []byte {
	inner := append(bytes.Clone(data), kind)
	inner = append(inner, make([]byte, padding)...)
	n := len(inner) + 16
	header := []byte{typeData, 3, 3, byte(n >> 8), byte(n)}
	return c.out.aead.Seal(header, c.out.nonce(), inner, header)
}

// data is a record of application data.
func (c *client) data(text string) []byte { return c.record(typeData, []byte(text), 0) }

// keyUpdate is the message, after which the key changes.
func (c *client) keyUpdate(request bool) []byte {
	message := []byte{24, 0, 0, 1, 0}
	if request {
		message[4] = 1
	}
	b := c.record(typeHandshake, message, 0)
	c.out.update()
	return b
}

func (c *client) send(records ...[]byte) {
	c.t.Helper()
	if _, err := c.Write(bytes.Join(records, nil)); err != nil {
		c.t.Error("client:", err)
	}
}

// next reads a record, and follows the server's key updates.
func (c *client) next() (kind byte, data []byte, err error) {
	var header [5]byte
	if _, err := io.ReadFull(c, header[:]); err != nil {
		return 0, nil, err
	}
	sealed := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(c, sealed); err != nil {
		return 0, nil, err
	}
	inner, err := c.in.aead.Open(nil, c.in.nonce(), sealed, header[:])
	if err != nil {
		return 0, nil, err
	}
	inner = bytes.TrimRight(inner, "\x00")
	kind, data = inner[len(inner)-1], inner[:len(inner)-1]
	if kind == typeHandshake && bytes.Equal(data, []byte{24, 0, 0, 1, 0}) {
		c.updated++
		c.in.update()
	}
	return kind, data, nil
}

// hears reads until n bytes of application data have come.
func (c *client) hears(n int) (got []byte) {
	c.t.Helper()
	for len(got) < n {
		kind, data, err := c.next()
		if err != nil {
			c.t.Errorf("client: after %d of %d bytes: %v", len(got), n, err)
			return got
		}
		if kind == typeData {
			got = append(got, data...)
		}
	}
	return got
}

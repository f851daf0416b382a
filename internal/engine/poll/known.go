//go:build linux

package poll

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"reflect"
	"sync"
	"time"
)

// known is the layout of this program's crypto/tls; nil if it has none that works.
var known = sync.OnceValue(func() *layout {
	l, ok := findLayout(reflect.TypeFor[tls.Conn]())
	if !ok || !l.works() {
		return nil
	}
	return &l
})

// Lends reports whether the engine lends crypto/tls its buffers. Otherwise a
// connection keeps some 1 KB more, and some 13 KB after a message of 16 KiB.
func Lends() bool { return known() != nil }

// works tries l out: a record that comes in two parts must be read into what was
// lent, and nothing may be left of it.
func (l *layout) works() (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	far.SetDeadline(time.Now().Add(10 * time.Second))
	server, client, err := pair(&tape{Conn: near}, far)
	if err != nil {
		return false
	}
	message := bytes.Repeat([]byte("lent"), 1000)
	go client.Write(message) // ends with the pipe
	t := server.NetConn().(*tape)
	record := make([]byte, 5+len(message)+1+16) // TLS 1.3: header, message, its type, tag
	for n := 0; n < len(record); {
		k, err := near.Read(record[n:])
		if err != nil {
			return false
		}
		n += k
	}
	lent, got := make([]byte, rawSize), make([]byte, 2*len(message))
	t.played = true
	for i, part := range [][]byte{record[:3], record[3:100], record[100:]} {
		t.next = part
		held, fits := l.lend(server, lent)
		if !fits {
			return false
		}
		n, err := server.Read(got)
		if i == 2 {
			ok = err == nil && bytes.Equal(got[:n], message) && bytes.Contains(lent, message)
		} else if n != 0 || err != errAgain {
			return false
		}
		if !l.reclaim(server, held) {
			return false
		}
		if i == 1 && l.rawOf(server).Len() != 100 {
			return false
		}
	}
	return ok && l.rawOf(server).Cap() == 0 && l.handOf(server).Cap() == 0
}

// tape is a transport that, once played, gives next and then nothing.
type tape struct {
	net.Conn
	played bool
	next   []byte
}

func (t *tape) Read(b []byte) (int, error) {
	if !t.played {
		return t.Conn.Read(b)
	}
	if len(t.next) == 0 {
		return 0, errAgain
	}
	n := copy(b, t.next)
	t.next = t.next[n:]
	return n, nil
}

// pair performs a handshake.
func pair(near, far net.Conn) (server, client *tls.Conn, err error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"self.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	client = tls.Client(far, &tls.Config{RootCAs: roots, ServerName: "self.test", MinVersion: tls.VersionTLS13,
		DynamicRecordSizingDisabled: true, // one message, one record
	})
	server = tls.Server(near, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, MinVersion: tls.VersionTLS13,
		SessionTicketsDisabled: true,
	})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }() // ends with the pipe
	if err := server.Handshake(); err != nil {
		return nil, nil, err
	}
	return server, client, <-done
}

package enginetest

import (
	"bytes"
	"crypto/rand"
	"io"
	mathrand "math/rand/v2"
	"net"
	"testing"

	"github.com/sallyport/sallyport/internal/engine"
)

// random returns n bytes that repeat nowhere.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// arriving: what comes, in whatever pieces, is what was sent.
func arriving(t *testing.T, make New) {
	for _, w := range wires {
		t.Run(w.String(), func(t *testing.T) {
			s := newSite(t, make)
			t.Run("in pieces of one to three bytes", func(t *testing.T) { dribbled(t, s.of(t), w) })
			t.Run("more than a buffer at once", func(t *testing.T) { large(t, s.of(t), w) })
			t.Run("read before the start", func(t *testing.T) { early(t, s.of(t), w) })
			t.Run("sent before the start", func(t *testing.T) { waiting(t, s.of(t), w) })
		})
	}
	t.Run("what was lent is overwritten", func(t *testing.T) { lentBytes(t, newSite(t, make)) })
}

// chopper writes in small pieces.
type chopper struct {
	net.Conn
	most int
}

func (c *chopper) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = c.Conn.Write(b[n : n+min(1+mathrand.IntN(c.most), len(b)-n)])
		n += k
	}
	return n, err
}

func (c *chopper) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

func dribbled(t *testing.T, s *site, w wire) {
	m := echo()
	near, far := s.transports(w == onUnix || w == overTLSOnUnix)
	chops := &chopper{far, 1 << 20}
	far = chops
	switch w {
	case inClearWrapped:
		near = &wrapper{Conn: near}
	case overTLS, overTLSOnUnix, overTLS12:
		near, far = s.shake(w, near, chops)
	}
	m.attach(s, near)
	m.handle.Start(nil)
	for _, n := range []int{1, 2, 125, 700, 3000, 17000} {
		chops.most = 3
		if n > 1000 {
			chops.most = 400
		}
		want, got := random(n), make([]byte, n)
		if _, err := far.Write(want); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	far.Close()
	m.gone()
}

func large(t *testing.T, s *site, w wire) {
	m := echo()
	far := s.start(w, m)
	want := random(4 << 20)
	go far.Write(want) // ends with far
	got := make([]byte, len(want))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
		t.Fatal("not what was sent", err)
	}
	far.Close()
	m.gone()
}

// early: bytes that were read with what came before belong to the machine.
func early(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.open(w, m)
	far.Write([]byte(" and the rest"))
	m.handle.Start([]byte("the beginning"))
	m.has([]byte("the beginning and the rest"))
	far.Close()
	m.gone()
}

func waiting(t *testing.T, s *site, w wire) {
	m := newMachine(nil)
	far := s.open(w, m)
	want := random(40000)
	far.Write(want)
	far.Close()
	m.handle.Start(nil)
	m.has(want)
	if err := m.gone(); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
}

func lentBytes(t *testing.T, s *site) {
	if !engine.Poisons {
		t.Skip("only when built to find races")
	}
	secret := []byte("the secret of the first event")
	var kept []byte
	m := newMachine(nil)
	m.take = func(b []byte) (int, bool) {
		if kept != nil && bytes.Contains(kept, secret) {
			t.Error("what was lent still holds what arrived")
		}
		kept = b
		return len(b), true
	}
	far := s.start(inClear, m)
	far.Write(secret)
	m.has(secret)
	far.Write([]byte("x"))
	m.has(append(secret, 'x'))
	far.Close()
	m.gone()
}

//go:build linux

package poll

import (
	"bytes"
	"crypto/tls"
	"net"
	"reflect"
	"testing"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/test/enginetest"
)

func TestUnknownLayoutsAreNotTouched(t *testing.T) {
	type inner struct{ rawInput, hand bytes.Buffer }
	_ = inner{bytes.Buffer{}, bytes.Buffer{}} // named by its type alone below
	for _, tt := range []struct {
		name string
		conn reflect.Type
		want bool
	}{
		{"the fields in another order", reflect.TypeFor[struct {
			hand     bytes.Buffer
			more     [100]byte
			input    bytes.Reader
			rawInput bytes.Buffer
		}](), true},
		{"a field is missing", reflect.TypeFor[struct{ rawInput, hand bytes.Buffer }](), false},
		{"a field has another name", reflect.TypeFor[struct {
			rawInput, handshake bytes.Buffer
			input               bytes.Reader
		}](), false},
		{"a field has another type", reflect.TypeFor[struct {
			rawInput, hand []byte
			input          bytes.Reader
		}](), false},
		{"a field is a pointer", reflect.TypeFor[struct {
			rawInput, hand bytes.Buffer
			input          *bytes.Reader
		}](), false},
		{"fields have moved into another struct", reflect.TypeFor[struct {
			inner
			input bytes.Reader
		}](), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, ok := findLayout(tt.conn)
			if ok != tt.want {
				t.Errorf("got %v, want %v", ok, tt.want)
			}
			if !ok && l != (layout{}) {
				t.Errorf("an unknown layout has offsets: %+v", l)
			}
		})
	}
}

// TestTheSelfTestNotices: fields of the right names and types that crypto/tls uses
// for something else.
func TestTheSelfTestNotices(t *testing.T) {
	l, ok := findLayout(reflect.TypeFor[tls.Conn]())
	if !ok {
		t.Fatal("crypto/tls is not known")
	}
	swapped := layout{raw: l.hand, input: l.input, hand: l.raw}
	if swapped.works() {
		t.Error("the buffers of records and handshakes, exchanged, were not noticed")
	}
	same := layout{raw: l.hand, input: l.input, hand: l.hand}
	if same.works() {
		t.Error("a buffer that is not read into was not noticed")
	}
}

// unknown makes crypto/tls unknown until the test ends.
func unknown(t *testing.T) {
	before := known
	known = func() *layout { return nil }
	t.Cleanup(func() { known = before })
}

// TestWithoutLending runs everything with a crypto/tls that keeps its own buffers.
func TestWithoutLending(t *testing.T) {
	unknown(t)
	if Lends() {
		t.Fatal("it lends what it does not know")
	}
	lent := false
	inspect = func(b []byte) { lent = lent || len(b) == rawSize }
	t.Cleanup(func() { inspect = nil })
	e := new(Engine)
	echoed(t, e, 40_000)
	if lent {
		t.Error("crypto/tls was lent a buffer")
	}
	inspect = nil
	if testing.Short() {
		t.Skip("the suite was run with lending")
	}
	enginetest.Run(t, func() engine.Engine { return new(Engine) })
}

// replaceable is a socket below TLS.
type replaceable struct{ net.Conn }

func (r *replaceable) Replace(f func(net.Conn) (net.Conn, error)) error {
	c, err := f(r.Conn)
	if err == nil {
		r.Conn = c
	}
	return err
}

func (r *replaceable) NetConn() net.Conn { return r.Conn }

// tcp is a connection over loopback.
func tcp(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err == nil {
		near, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// probe is a machine made of functions.
type probe struct {
	readable func(b []byte) (int, bool)
	gone     chan error
}

func newProbe(readable func(b []byte) (int, bool)) *probe {
	return &probe{readable, make(chan error, 1)}
}

func (p *probe) Readable(b []byte) (int, bool) { return p.readable(b) }
func (p *probe) Gone(err error)                { p.gone <- err }
func (p *probe) Flush()                        {}
func (p *probe) Late()                         {}

// overTLS is a connection whose near end the engine has; it is not started.
func overTLS(t *testing.T, e *Engine, p *probe) (h handle, client *tls.Conn) {
	t.Helper()
	near, far := tcp(t)
	server, client, err := pair(&replaceable{near}, far)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Take(server, p)
	if err != nil {
		t.Fatal(err)
	}
	return got.(handle), client
}

// echoed sends messages there and back.
func echoed(t *testing.T, e *Engine, sizes ...int) {
	t.Helper()
	var h handle
	p := newProbe(nil)
	p.readable = func(b []byte) (int, bool) {
		h.Write(b)
		return len(b), true
	}
	h, client := overTLS(t, e, p)
	h.Start(nil)
	for _, n := range sizes {
		b := bytes.Repeat([]byte{'e'}, n)
		go client.Write(b) // ends with client
		for got := 0; got < n; {
			k, err := client.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			got += k
		}
	}
	client.Close()
	<-p.gone
	h.Close()
	e.Wait()
}

// metered is somebody's connection that wants to see every byte.
type metered struct{ *net.TCPConn }

// TestWrappersAreLeftAlone: a listener's own kind of connection has the descriptor
// of the one that it wraps; taking that would go around it.
func TestWrappersAreLeftAlone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := new(Engine).Take(metered{raw.(*net.TCPConn)}, nil); err == nil {
		t.Fatal("a wrapper was taken over")
	}
	if _, err := raw.Write([]byte("still usable")); err != nil {
		t.Error(err)
	}
}

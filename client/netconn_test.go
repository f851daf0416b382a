package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/sallyport/sallyport/internal/ws"
)

// joined makes two streams that a server in memory joins.
func joined(t *testing.T, o Options) (a, b *Stream, stop func()) {
	d := &fakeDoor{t: t}
	first, second := make(chan *visitor, 1), make(chan *visitor, 1)
	gone := make(chan struct{}, 2)
	relay := func(from, to *visitor) {
		from.welcome("")
		defer func() { gone <- struct{}{} }()
		from.serve(func(op ws.Opcode, data string) { to.send(op, data[1:]) })
		to.close(1000, "")
	}
	d.scripts = []func(*visitor){
		func(v *visitor) { first <- v; relay(v, <-second) },
		func(v *visitor) { second <- v; relay(v, <-first) },
	}
	o.NetDial, o.DangerouslyAllowPlaintext = d.dial, "a test in memory"
	one := make(chan *Conn)
	go func() { one <- d.connect(o) }()
	for d.count() == 0 {
		time.Sleep(time.Millisecond)
	}
	two := d.connect(o)
	a, b = NetConn(context.Background(), <-one, Binary), NetConn(context.Background(), two, Binary)
	return a, b, func() {
		for _, s := range []*Stream{a, b} {
			s.conn.cut(errors.New("the test is over"))
			s.conn.leave(context.Background(), 1000, "")
		}
		d.busy.Wait()
	}
}

// TestNetConn_contract runs what every net.Conn of the standard library must
// pass. It waits in real time: nettest starts subtests.
func TestNetConn_contract(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		a, b, stop := joined(t, Options{Buffer: 16 << 10})
		return a, b, stop, nil
	})
}

func TestNetConn(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		s := NetConn(t.Context(), d.connect(o), Text)
		in := strings.Repeat("grüße, 世界! 🙂 ", 20_000)
		go func() {
			for rest := []byte(in); len(rest) > 0; {
				n := min(len(rest), 1+len(rest)%9973)
				if wrote, err := s.Write(rest[:n]); wrote != n || err != nil {
					t.Errorf("wrote %d of %d: %v", wrote, n, err)
				}
				rest = rest[n:]
			}
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
		}()
		var out bytes.Buffer
		if _, err := io.Copy(&out, iotestOneByte{s}); err != nil {
			t.Error(err)
		}
		if out.String() != in+"bye" {
			t.Errorf("got %d bytes, want %d", out.Len(), len(in)+3)
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) && !errors.Is(err, ErrClosed) {
			t.Errorf("write after CloseWrite: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}, func(v *visitor) {
		v.welcome("")
		for {
			op, data, err := v.receive()
			switch {
			case err != nil:
				v.t.Error(err)
				return
			case op == ws.Close:
				v.send(ws.Text, "bye") // what was under way is still read
				v.close(1000, "")
				return
			case strings.HasPrefix(data, "\x01"):
				v.beat()
			default:
				v.send(op, data[1:])
			}
		}
	})
}

// iotestOneByte reads in small pieces.
type iotestOneByte struct{ io.Reader }

func (r iotestOneByte) Read(b []byte) (int, error) { return r.Reader.Read(b[:min(len(b), 7)]) }

func TestNetConnEnds(t *testing.T) {
	tests := []struct {
		name   string
		script func(*visitor)
		check  func(error) bool
	}{
		{"by 1000", func(v *visitor) { v.close(1000, "") }, func(err error) bool { return err == io.EOF }},
		{"by 1001", func(v *visitor) { v.close(1001, "") }, func(err error) bool { return err == io.EOF }},
		{"by the door", func(v *visitor) { v.end("", 4001, "Unauthorized;auth.expired") }, func(err error) bool {
			end, ok := errors.AsType[*CloseError](err)
			return ok && end.Door == "auth.expired"
		}},
		{"by a message of another kind", func(v *visitor) { v.send(ws.Text, "x") }, func(err error) bool { return err != nil && strings.Contains(err.Error(), "text message") }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
				s := NetConn(t.Context(), d.connect(o), Binary)
				data := make([]byte, 10)
				if n, err := s.Read(data); string(data[:n]) != "data" || err != nil {
					t.Errorf("got %q, %v", data[:n], err)
				}
				if n, err := s.Read(data); n != 0 || !test.check(err) {
					t.Errorf("got %d, %v", n, err)
				}
				s.Close()
			}, func(v *visitor) {
				v.welcome("")
				v.send(ws.Binary, "data")
				test.script(v)
				v.drop()
			})
		})
	}
}

func TestNetConnDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		ctx, cancel := context.WithCancel(t.Context())
		s := NetConn(ctx, d.connect(o), Binary)
		s.SetReadDeadline(time.Now().Add(time.Second))
		began := time.Now()
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
		s.SetReadDeadline(time.Time{})
		s.Write([]byte("x"))
		if n, err := s.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		go func() { time.Sleep(time.Second); s.SetDeadline(time.Now()) }()
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		s.SetDeadline(time.Time{})
		cancel()
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if s.conn.ended.Load() != nil {
			t.Error("the connection ended with the context of the view")
		}
		s.Close()
	}, echo)
}

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/test/soak/wire"
)

// scenario is what one client does. An error says that the door did not do what
// it should have.
type scenario struct {
	name   string
	weight int
	where  kind
	do     func(v *visit) error
}

// kind is whose scenario it is.
type kind int

const (
	both kind = iota
	relayed
	handled // by a handler in the door's process
)

// at does something after a good handshake.
func at(path string, do func(v *visit) error) func(v *visit) error {
	return func(v *visit) error {
		if err := v.enter(ask{path: path}); err != nil {
			return err
		}
		return do(v)
	}
}

// talk exchanges a few messages of all sizes.
func talk(v *visit) error {
	for range 1 + rand.IntN(5) {
		data := make([]byte, size())
		for i := range data {
			data[i] = byte(rand.Uint32())
		}
		if err := v.echo(data); err != nil {
			return err
		}
	}
	return nil
}

func stay(v *visit) error {
	if err := errors.Join(talk(v), v.linger(time.Duration(5+rand.IntN(40))*time.Second)); err != nil {
		return err
	}
	return errors.Join(v.echo([]byte("still here")), v.bye())
}

// scenarios are everything that happens to a door.
var scenarios = []scenario{
	{"stays and is idle", 20, both, at("/ws", stay)},
	{"stays with a handler that blocks", 10, handled, at("/handler", stay)},
	{"talks and closes", 10, both, at("/ws", func(v *visit) error { return errors.Join(talk(v), v.bye()) })},
	{"talks to a handler that blocks", 5, handled, at("/handler", func(v *visit) error { return errors.Join(talk(v), v.bye()) })},
	{"sends 64 messages at once", 3, both, at("/ws", pipeline)},
	{"sends bytes one by one", 2, both, func(v *visit) error {
		v.fit.bits = 3
		return at("/ws", func(v *visit) error { return errors.Join(pipeline(v), v.bye()) })(v)
	}},
	{"resets", 4, both, at("/ws", (*visit).reset)},
	{"resets with echoes under way", 4, both, at("/ws", func(v *visit) error {
		for range 4 {
			if err := v.say(make([]byte, 32<<10)); err != nil {
				return err
			}
		}
		return v.reset()
	})},
	{"closes its half of the socket", 3, both, at("/ws", func(v *visit) error { return errors.Join(v.tcp.CloseWrite(), v.wantEnd()) })},
	{"closes its half of TLS", 3, both, at("/ws", func(v *visit) error { return errors.Join(v.tls.CloseWrite(), v.wantEnd()) })},
	{"leaves in the middle of a message", 3, both, at("/ws", func(v *visit) error {
		frame := ws.AppendFrame(nil, ws.Client, true, ws.Binary, make([]byte, 32<<10))
		if _, err := v.Out.Write(frame[:20<<10]); err != nil {
			return err
		}
		return v.tls.Close()
	})},
	{"leaves in the middle of a record", 3, both, at("/ws", func(v *visit) error {
		v.fit.left = 1 + rand.IntN(300)
		if err := errors.Join(v.say(make([]byte, 1000)), v.linger(time.Duration(rand.IntN(3000))*time.Millisecond)); err != nil {
			return err
		}
		return v.reset()
	})},
	{"forges a record", 3, both, at("/ws", func(v *visit) error {
		forged := make([]byte, 5+64)
		copy(forged, []byte{23, 3, 3, 0, 64})
		if _, err := v.tcp.Write(forged); err != nil {
			return err
		}
		return v.wantEnd()
	})},
	{"sends frames that are none", 4, both, at("/ws", garbage)},
	{"announces too much", 3, both, at("/ws", func(v *visit) error {
		header := []byte{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4} // 64 KiB and a byte
		if _, err := v.Out.Write(header); err != nil {
			return err
		}
		return v.wantClose(1009)
	})},
	{"never reads", 2, both, func(v *visit) error {
		v.tcp.SetReadBuffer(4 << 10)
		return flood(v, func() error {
			time.Sleep(13 * time.Second) // after 10 s the door has had enough
			return v.wantEnd()
		})
	}},
	{"reads slowly", 3, both, func(v *visit) error {
		v.tcp.SetReadBuffer(8 << 10) // some 70 KB/s: for longer than the door waits for one who takes nothing
		return flood(v, func() error {
			for range 120 {
				if _, err := io.CopyN(io.Discard, v.In, 8<<10); err != nil {
					return fmt.Errorf("read slowly: %w", err)
				}
				time.Sleep(20 * time.Millisecond)
			}
			return v.reset()
		})
	}},
	{"does not answer pings", 3, both, at("/quick", func(v *visit) error {
		time.Sleep(3 * time.Second)
		return v.wantEnd()
	})},
	{"has a credential of 3 s", 3, both, func(v *visit) error {
		err := v.enter(ask{life: 3 * time.Second})
		if c, ok := errors.AsType[*wire.Closed](err); ok && c.Code == 4001 {
			return nil // on a busy machine, before the echo
		}
		if err != nil {
			return err
		}
		return v.wantClose(4001)
	}},
	{"is revoked", 3, both, at("/ws", func(v *visit) error {
		if err := v.door.revoke(v.ctx, v.name); err != nil {
			return err
		}
		return v.wantClose(4001)
	})},
	{"comes from an origin that a reload takes away", 2, both, func(v *visit) error {
		response, err := v.shake(ask{origin: guest})
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusSwitchingProtocols {
			return fmt.Errorf("refused with %s", response.Status)
		}
		if err := v.linger(20 * time.Second); err == nil {
			return v.reset() // no reload meanwhile
		} else if c, ok := errors.AsType[*wire.Closed](err); !ok || c.Code != 4001 {
			return fmt.Errorf("got %w, want close 4001", err)
		}
		return nil
	}},
	{"has a backend that dies", 2, relayed, at("/ws", func(v *visit) error { return errors.Join(v.say([]byte(wire.AskDie)), v.wantClose(4220)) })},
	{"has a backend that leaves", 2, relayed, at("/ws", func(v *visit) error { return errors.Join(v.say([]byte(wire.AskLeave)), v.wantClose(1000)) })},
	{"has a handler that panics", 2, handled, at("/handler", func(v *visit) error { return errors.Join(v.say([]byte(wire.AskDie)), v.wantClose(1011)) })},
	{"has a handler that leaves", 2, handled, at("/handler", func(v *visit) error { return errors.Join(v.say([]byte(wire.AskLeave)), v.wantClose(1000)) })},
	{"has a handler that holds up its loop", 2, handled, at("/stuck", func(v *visit) error { return errors.Join(v.echo(make([]byte, 1000)), v.bye()) })},
	{"has a handler that takes nothing", 2, handled, func(v *visit) error {
		if err := v.enter(ask{path: "/deaf"}); err != nil {
			return err
		}
		for range 4 { // more than its queue takes
			if err := v.say(make([]byte, 30<<10)); err != nil {
				return err
			}
		}
		return errors.Join(v.linger(time.Second), v.reset())
	}},

	{"another origin", 2, both, func(v *visit) error { return v.denied(ask{origin: "https://evil.test"}) }},
	{"no credential", 2, both, func(v *visit) error { return v.denied(ask{without: true}) }},
	{"an old credential", 2, both, func(v *visit) error { return v.denied(ask{life: -time.Minute}) }},
	{"another host", 1, both, func(v *visit) error { return v.status(ask{host: "evil.test"}, http.StatusMisdirectedRequest) }},
	{"a path that is no gate", 1, both, func(v *visit) error { return v.status(ask{path: "/nowhere"}, http.StatusNotFound) }},
	{"a head that is none", 1, both, func(v *visit) error { return v.raw("GET /ws\nHost: x\n\n", "HTTP/1.1 400 ") }},
	{"a head that breaks off", 1, both, func(v *visit) error { return v.raw("GET /ws HTTP/1.1\r\nHost: do", "") }},
	{"clear text", 1, both, func(v *visit) error {
		if _, err := io.WriteString(v.tcp, "GET /ws HTTP/1.1\r\nHost: door.test\r\n\r\n"); err != nil {
			return err
		}
		return v.wantEnd()
	}},
	{"a hello that breaks off", 1, both, func(v *visit) error {
		if _, err := v.tcp.Write([]byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3}); err != nil {
			return err
		}
		return v.reset()
	}},
	{"another protocol", 1, both, func(v *visit) error {
		config := v.site.clientTLS(nil)
		config.NextProtos = []string{"ftp"}
		if tls.Client(v.tcp, config).Handshake() == nil {
			return errors.New("ftp is spoken")
		}
		return nil
	}},
}

func pipeline(v *visit) error {
	message := []byte("one of many")
	var all []byte
	for range 64 {
		all = ws.AppendFrame(all, ws.Client, true, ws.Binary, message)
	}
	if _, err := v.Out.Write(all); err != nil {
		return err
	}
	for range 64 {
		if err := v.hear(message); err != nil {
			return err
		}
	}
	return nil
}

// flood has the other side send without end.
func flood(v *visit, then func() error) error {
	path := "/ws"
	if v.door.kind == handled {
		path = "/handler"
	}
	return at(path, func(v *visit) error {
		if err := v.say([]byte(wire.AskFlood)); err != nil {
			return err
		}
		return then()
	})(v)
}

func garbage(v *visit) error {
	wrong := [][]byte{
		{0xc1, 0x81, 1, 2, 3, 4, 5},                                     // a reserved bit
		{0x81, 0x01, 'x'},                                               // no mask
		{0x82, 0xfe, 0, 5, 1, 2, 3, 4, 1, 2, 3, 4, 5},                   // a long form of a length
		{0x83, 0x81, 1, 2, 3, 4, 5},                                     // a reserved opcode
		{0x09, 0x80, 1, 2, 3, 4},                                        // a ping in parts
		{0x89, 0xfe, 0, 126, 1, 2, 3, 4},                                // a long ping
		{0x88, 0x81, 1, 2, 3, 4, 5},                                     // half a close code
		{0x80, 0x81, 1, 2, 3, 4, 5},                                     // the rest of nothing
		ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte{'a', 255}), // no UTF-8
	}
	if _, err := v.Out.Write(wrong[rand.IntN(len(wrong))]); err != nil {
		return err
	}
	return v.wantClose(1002, 1007)
}

// denied wants a refusal by close code.
func (v *visit) denied(a ask) error {
	response, err := v.shake(a)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("got %s, want a close frame", response.Status)
	}
	return v.wantClose(4001)
}

// status wants a refusal by HTTP.
func (v *visit) status(a ask, want int) error {
	response, err := v.shake(a)
	if err != nil {
		return err
	}
	if response.StatusCode != want {
		return fmt.Errorf("got %s, want %d", response.Status, want)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// raw sends bytes over TLS and wants the answer to begin so; if it is empty, the
// client leaves.
func (v *visit) raw(send, want string) error {
	if _, err := io.WriteString(v.Out, send); err != nil {
		return err
	}
	if want == "" {
		return v.tls.Close()
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(v.In, got); err != nil || string(got) != want {
		return fmt.Errorf("got %q, %w; want %q", got, err, want)
	}
	return v.wantEnd()
}

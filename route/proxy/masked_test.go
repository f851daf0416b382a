package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// passing is a relay with the client's own masks.
func passing(f *fixture) Config {
	return Config{To: "ws://" + f.addr, DangerouslyPassMasked: "a test of what remains"}
}

// chosen writes a frame with a key of the client's choice.
func chosen(fin bool, op ws.Opcode, payload []byte, key ws.MaskKey) []byte {
	b := ws.AppendMaskedHeader(nil, fin, op, uint64(len(payload)), key)
	start := len(b)
	b = append(b, payload...)
	ws.Mask(b[start:], key)
	return b
}

// seen is a data frame, or a part of it, as it reached a backend.
type seen struct {
	key ws.MaskKey
	ev  ws.Event // with Data of its own, as on the wire
}

// backendThatSees writes down every chunk with its key until the goodbye, which it
// answers and sends last.
func backendThatSees(t *testing.T, all chan<- seen) *fixture {
	return backendAt(t, func(conn net.Conn) {
		_, w := accept(t, conn)
		if w == nil {
			return
		}
		defer close(all)
		w.parser.KeepMasks = true
		for {
			ev, err := w.event()
			if err != nil {
				return
			}
			ev.Data = bytes.Clone(ev.Data)
			all <- seen{ev.Key, ev}
			if ev.Kind == ws.CloseEvent {
				w.close(ev.Code, "")
				return
			}
		}
	})
}

// A backend never sees the mask that a client chose, but a fresh one for every frame;
// only an operator who gave a reason has it otherwise.
func TestFreshMasksUnlessThereIsAReason_SR57_SR84_AT41(t *testing.T) {
	key := ws.MaskKey{'G', 'E', 'T', ' '}
	for _, tt := range []struct {
		name     string
		change   func(*Config)
		protocol []string
		passes   bool
	}{
		{"by default", func(*Config) {}, nil, false},
		{"streamed", func(c *Config) { c.Stream = true }, nil, false},
		{"for a reason", func(c *Config) { c.DangerouslyPassMasked = "a test" }, nil, true},
		{"for a reason, and streamed", func(c *Config) { c.Stream, c.DangerouslyPassMasked = true, "a test" }, nil, true},
		{"for a reason, to who speaks sallyport.v1", func(c *Config) { c.DangerouslyPassMasked = "a test" }, []string{"sallyport.v1~chat"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const n = 100
			all := make(chan seen, 2*n)
			f := backendThatSees(t, all)
			s := &setup{proxy: Config{To: "ws://" + f.addr}}
			tt.change(&s.proxy)
			_, addr := s.start(t)
			_, c := dial(t, addr, "/ws/", nil, tt.protocol...)
			before := ""
			if tt.protocol != nil {
				before = "\x00"
			}
			for i := range n {
				c.raw(chosen(true, ws.Binary, fmt.Append(nil, before, "message ", i), key)...)
			}
			c.close(1000, "")
			c.wantClose(1000, "")
			keys, messages, message := map[ws.MaskKey]bool{}, 0, ""
			for got := range all {
				if got.ev.Kind != ws.Data {
					continue
				}
				if keys[got.key] = true; (got.key == key.Turn(len(message))) != tt.passes { // a socket may cut messages
					t.Errorf("message %d has the key %q at %d", messages, got.key, len(message))
				}
				ws.Mask(got.ev.Data, got.key)
				if message += string(got.ev.Data); !got.ev.Last {
					continue
				}
				if want := fmt.Sprint("message ", messages); message != want {
					t.Fatalf("got %q, want %q", message, want)
				}
				messages, message = messages+1, ""
			}
			if messages != n || !tt.passes && len(keys) < n-1 {
				t.Errorf("%d messages with %d keys", messages, len(keys))
			}
		})
	}
}

// Every rule but the one on text, and every limit, ends a connection as ever. What
// came before has reached the backend, and then a close frame.
func TestPassedMasksLoosenNothingElse_SR50_SR51_SR53_SR71(t *testing.T) {
	mask := func(b ...byte) []byte { return append(b, 0, 0, 0, 0) } // a header, and a key that masks nothing
	for _, tt := range []struct {
		name  string
		bytes []byte
		want  deny.Reason
	}{
		{"SR-50 AT-30 an unmasked frame", []byte{0x80, 1, 'x'}, deny.WSProtocol},
		{"SR-51 AT-31 a reserved bit", mask(0xc0, 0x80), deny.WSProtocol},
		{"SR-51 AT-31 a reserved opcode", mask(0x83, 0x80), deny.WSProtocol},
		{"SR-51 a message within a message", mask(0x81, 0x80), deny.WSProtocol},
		{"SR-52 AT-36 a ping of 126 bytes", mask(0x89, 0xfe, 0, 126), deny.WSProtocol},
		{"SR-52 AT-36 a ping in parts", mask(0x09, 0x80), deny.WSProtocol},
		{"SR-53 AT-33 a length that is not minimal", mask(0x80, 0xfe, 0, 1), deny.WSProtocol},
		{"SR-55 a close code that must not travel", append(mask(0x88, 0x82), 3, 0xee), deny.WSProtocol},
		{"SR-53 AT-32 2^62 bytes announced", mask(0x80, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0), deny.GuardTooBig},
		{"SR-71 a byte more than allowed", mask(0x80, 0xfe, 0xff, 0xff), deny.GuardTooBig},
		{"SR-71 AT-35 a fragment more than allowed", bytes.Repeat(append(mask(0x00, 0x81), 'f'), 128), deny.GuardTooBig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := make(chan seen, 1024)
			f := backendThatSees(t, all)
			s := &setup{proxy: passing(f), guard: guard.Config{MaxMessage: 65535}}
			_, addr := s.start(t)
			c := connect(t, addr)
			c.raw(append(mask(0x01, 0x85), "first"...)...)
			if got := <-all; string(got.ev.Data) != "first" || !got.ev.First || got.ev.Last {
				t.Fatalf("the backend got %+v", got.ev)
			}
			c.raw(tt.bytes...)
			c.wantClose(tt.want.Close(), tt.want.CloseReason())
			var last ws.Event
			for got := range all {
				last = got.ev
				if last.Kind == ws.Data && (last.Last || string(last.Data) != strings.Repeat("f", len(last.Data))) {
					t.Errorf("the backend got %+v", last)
				}
			}
			if last.Kind != ws.CloseEvent || last.Code != tt.want.Backend() {
				t.Errorf("the backend got %+v last, want a close frame %d", last, tt.want.Backend())
			}
			if got := s.reason(t); got != tt.want {
				t.Errorf("ended with %s, want %s", got, tt.want)
			}
		})
	}
}

// Text that is none passes, and only then.
func TestTextIsUncheckedForAReasonOnly_SR54(t *testing.T) {
	for _, tt := range []struct {
		name     string
		why      string
		protocol []string
		passes   bool
	}{
		{"by default", "", nil, false},
		{"for a reason", "a test", nil, true},
		{"for a reason, to who speaks sallyport.v1", "a test", []string{"sallyport.v1"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := make(chan seen, 8)
			f := backendThatSees(t, all)
			s := &setup{proxy: Config{To: "ws://" + f.addr, DangerouslyPassMasked: tt.why}}
			_, addr := s.start(t)
			_, c := dial(t, addr, "/ws/", nil, tt.protocol...)
			c.send(ws.Text, []byte("\x00a\xffz"))
			got := <-all
			ws.Mask(got.ev.Data, got.key)
			if tt.passes {
				if got.ev.Op != ws.Text || string(got.ev.Data) != "\x00a\xffz" {
					t.Errorf("the backend got %v %q", got.ev.Op, got.ev.Data)
				}
				c.close(1000, "")
				c.wantClose(1000, "")
				return
			}
			if got.ev.Kind != ws.CloseEvent {
				t.Errorf("the backend got %v %q", got.ev.Op, got.ev.Data)
			}
			c.wantClose(deny.WSUTF8.Close(), deny.WSUTF8.CloseReason())
		})
	}
}

// Who does not seal keeps the mask, who seals is opened by the door, and where all
// must seal the door does not start.
func TestPassedMasksAndTheSeal_AT28(t *testing.T) {
	all := make(chan seen, 8)
	f := backendThatSees(t, all)
	_, addr, entry := sealedDoorWith(t, passing(f), sallyport.SealOffered)
	c := dialSealed(t, addr, entry, nil)
	c.say(seal.Text, "inside", 3)
	got := <-all
	if ws.Mask(got.ev.Data, got.key); string(got.ev.Data) != "inside" || got.ev.Op != ws.Text || !got.ev.Last {
		t.Errorf("the backend got %+v", got.ev)
	}

	all = make(chan seen, 8)
	f = backendThatSees(t, all)
	_, addr, _ = sealedDoorWith(t, passing(f), sallyport.SealOffered)
	key := ws.MaskKey{5, 6, 7, 8}
	connect(t, addr).raw(chosen(true, ws.Text, []byte("outside"), key)...)
	if got := <-all; got.key != key {
		t.Errorf("came with %x, want %x", got.key, key)
	}

	route, err := New(passing(f))
	if err != nil {
		t.Fatal(err)
	}
	config, _ := sealedConfig(t, route, sallyport.SealRequired)
	if _, err := sallyport.New(config); err == nil || !strings.Contains(err.Error(), "client's mask") {
		t.Errorf("a gate that requires the seal: %v", err)
	}
}

func TestPassedMasksAreAWeakness(t *testing.T) {
	s := &setup{proxy: Config{To: "ws://backend", DangerouslyPassMasked: "the backend is on this machine"}}
	list := strings.Join(s.door(t).Weaknesses(), "\n")
	if want := "gate /ws/ passes text unchecked, and with the mask that the client chose: the backend is on this machine"; !strings.Contains(list, want) {
		t.Errorf("%q is not in\n%s", want, list)
	}
	s.proxy.DangerouslyPassMasked = ""
	if list := strings.Join(s.door(t).Weaknesses(), "\n"); strings.Contains(list, "mask") {
		t.Errorf("without it:\n%s", list)
	}
}

// The rest of a connection's life is as ever: idle, rates, progress, back-pressure,
// drain.
func TestPassedMasksLiveByTheSameRules_SR61_SR71_SR72_SR74(t *testing.T) {
	slow := fast
	slow.WriteWait = time.Second
	patient := func(t *testing.T) func(net.Conn) {
		return func(conn net.Conn) {
			_, w := accept(t, conn)
			untilEnd(w, true, time.Now(), nil)
		}
	}
	deaf := func(t *testing.T) func(net.Conn) {
		return func(conn net.Conn) {
			accept(t, conn)
			time.Sleep(time.Minute)
		}
	}
	frame := func(n int) []byte { return chosen(true, ws.Binary, make([]byte, n), ws.MaskKey{1, 2, 3, 4}) }
	for _, tt := range []struct {
		name   string
		limits guard.Config
		serve  func(t *testing.T) func(net.Conn)
		do     func(c *wire)
		want   deny.Reason
	}{
		{"nobody says anything", guard.Config{Idle: 50 * time.Second}, patient, func(*wire) {}, deny.GuardIdle},
		{"too many messages", guard.Config{Messages: 10}, patient, func(c *wire) {
			go func() {
				for {
					if _, err := c.conn.Write(frame(1)); err != nil {
						return
					}
				}
			}()
		}, deny.GuardTooFast},
		{"a message that is not finished", guard.Config{}, patient, func(c *wire) { c.raw(frame(1000)[:500]...) }, deny.GuardStalled},
		{"a backend that does not read", slow, deaf, func(c *wire) {
			go func() {
				for {
					if _, err := c.conn.Write(frame(16 << 10)); err != nil {
						return
					}
				}
			}()
		}, deny.BackendTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Config{DangerouslyPassMasked: "a test"}, tt.limits, tt.serve(t), func(c *wire, s *setup) {
				tt.do(c)
				go untilEnd(c, true, time.Now(), nil)
				if e := <-s.events; e.Reason != tt.want {
					t.Errorf("ended with %s, want %s", e.Reason, tt.want)
				}
			})
		})
	}
	t.Run("revoked within a message", func(t *testing.T) {
		f, all := legs(t, nil)
		s := &setup{proxy: passing(f)}
		door, addr := s.start(t)
		c := connect(t, addr)
		l := <-all
		defer close(l.done)
		half := frame(60 << 10)
		c.raw(half[:len(half)/2]...)
		if ev, err := l.event(); err != nil || !ev.First || ev.Last {
			t.Errorf("the backend got %+v, %v", ev, err)
		}
		if n, err := door.Revoke(context.Background(), guard.Match{Session: alice.Session}); n != 1 || err != nil {
			t.Fatalf("revoked %d, %v", n, err)
		}
		c.wantClose(deny.AuthRevoked.Close(), deny.AuthRevoked.CloseReason())
		for {
			_, _, err := l.message()
			if e, ok := errors.AsType[*closed](err); ok && e.code == deny.AuthRevoked.Backend() {
				break
			} else if err != nil {
				t.Fatalf("the backend got %v", err)
			}
		}
	})
}

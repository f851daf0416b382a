package ws

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// A parser is paid for by every idle connection, twice by a relayed one.
func TestParserIsSmall_SR53(t *testing.T) {
	if got := unsafe.Sizeof(Parser{}); got > 72 {
		t.Errorf("a Parser has %d bytes, want at most 72", got)
	}
}

// work counts what a stream costs: calls of Next, bytes looked at, allocations.
type work struct{ calls, bytes, events int }

func feed(t testing.TB, p *Parser, stream []byte, step int) (w work, err error) {
	t.Helper()
	for len(stream) > 0 {
		b := stream[:min(step, len(stream))]
		stream = stream[len(b):]
		for {
			ev, n, err := p.Next(b)
			w.calls, w.bytes = w.calls+1, w.bytes+n
			b = b[n:]
			if err != nil {
				return w, err
			}
			if ev.Kind == None {
				break
			}
			w.events++
		}
	}
	return w, nil
}

// Every hostile stream runs without one allocation, in calls and bytes linear in
// its length: nothing is bought before it was sent, and nothing is kept.
func TestHostileStreamsCostNothing(t *testing.T) {
	flood := func(n int, pairs ...any) []byte { return bytes.Repeat(m(pairs...), n) }
	for _, row := range []struct {
		name   string
		p      Parser
		stream []byte
		step   int
		fault  string
		allocs float64
	}{
		{name: "AT-32 SR-53 a declared length of 16 GiB", stream: []byte{0x82, 0xff, 0, 0, 0, 4, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6}, step: 99, fault: "1009"},
		{name: "AT-32 SR-53 a declared length of 2^63-1 that is allowed", p: Parser{MaxMessage: 1<<63 - 1},
			stream: append([]byte{0x82, 0xff, 127, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4}, make([]byte, 1000)...), step: 99},
		{name: "AT-35 100,000 one-byte fragments, default limit", stream: append(m(0x01, "a"), flood(100000, 0x00, "a")...), step: 4096, fault: "1009"},
		{name: "AT-35 100,000 one-byte fragments of a peer that may stream", p: Parser{MaxMessage: 1 << 30, MaxFragments: -1},
			stream: append(m(0x01, "a"), flood(100000, 0x00, "a")...), step: 4096},
		{name: "AT-35 100,000 empty fragments of a peer that may stream", p: Parser{MaxFragments: -1},
			stream: append(m(0x01, ""), flood(100000, 0x00, "")...), step: 4096},
		{name: "AT-35 one-byte fragments, one byte per read", p: Parser{MaxMessage: 1 << 30, MaxFragments: -1},
			stream: append(m(0x01, "a"), flood(5000, 0x00, "a")...), step: 1},
		{name: "AT-37 SR-52 a flood of pings", stream: flood(20000, 0x89, "ping"), step: 1 << 20},
		{name: "AT-37 SR-52 a flood of pongs", stream: flood(20000, 0x8a, ""), step: 1 << 20},
		{name: "AT-37 SR-52 a flood of pings, one byte per read, pays 128 bytes for each in turn", stream: flood(1000, 0x89, "p2"), step: 1, allocs: 1000},
		{name: "AT-39 SR-56 a storm of closes", stream: flood(20000, 0x88, "\x03\xe8"), step: 4096},
		{name: "AT-38 a text that turns bad at its end", stream: m(0x81, strings.Repeat("é", 5000)+"\xff"), step: 1, fault: "1007"},
	} {
		t.Run(row.name, func(t *testing.T) {
			stream := make([]byte, len(row.stream))
			var w work
			var err error
			got := testing.AllocsPerRun(1, func() {
				copy(stream, row.stream)
				p := row.p
				w, err = feed(t, &p, stream, row.step)
			})
			if row.fault == "" && err != nil || row.fault != "" && (err == nil || !strings.Contains(err.Error(), row.fault)) {
				t.Errorf("error %v, want %q", err, row.fault)
			}
			if got > row.allocs {
				t.Errorf("%v allocations, want at most %v", got, row.allocs)
			}
			reads := len(stream)/row.step + 1
			if w.bytes > len(stream) || w.calls > w.events+reads {
				t.Errorf("%d bytes in %d reads took %d calls and looked at %d bytes for %d events", len(stream), reads, w.calls, w.bytes, w.events)
			}
		})
	}
}

// A control frame in pieces borrows its buffer and gives it back.
func TestControlBufferIsGivenBack_AT36(t *testing.T) {
	var p Parser
	b := m(0x89, "payload")
	p.Next(b[:8])
	if p.control == nil || !p.InFrame() || !p.InMessage() {
		t.Fatal("a ping in pieces is not in flight")
	}
	if ev, _, _ := p.Next(b[8:]); ev.Kind != PingEvent || string(ev.Data) != "payload" {
		t.Fatalf("got %v %q", ev.Kind, ev.Data)
	}
	if p.InFrame() || p.InMessage() {
		t.Error("a whole ping is still in flight")
	}
	if p.Next(nil); p.control != nil {
		t.Error("the buffer is kept by an idle parser")
	}
	p.Next(m(0x88, "\x03\xe8")[:7])
	p.Next(m(0x88, "\x03\xe8")[7:])
	if p.Next(nil); p.control != nil {
		t.Error("the buffer is kept after a close")
	}
}

// An idle parser holds nothing but itself, whatever went through it.
func TestParserKeepsNothing_AT32_AT35(t *testing.T) {
	parsers := make([]Parser, 2000)
	stream := join(m(0x01, strings.Repeat("x", 30000)), m(0x89, "p"), m(0x80, "é"), m(0x82, "tail"))
	buf := make([]byte, len(stream))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range parsers {
		copy(buf, stream)
		if _, err := feed(t, &parsers[i], buf, 777); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<10 {
		t.Errorf("2000 idle parsers keep %d bytes", grown)
	}
	runtime.KeepAlive(parsers)
}

func TestProgress_AT35(t *testing.T) {
	for _, row := range []struct {
		name             string
		stream           []byte
		message, inFrame bool
	}{
		{"nothing", nil, false, false},
		{"one byte of a header", m(0x81, "hello")[:1], true, true},
		{"a header", m(0x81, "hello")[:6], true, true},
		{"half a payload", m(0x81, "hello")[:8], true, true},
		{"a whole message", m(0x81, "hello"), false, false},
		{"a fragment", m(0x01, "hello"), true, false},
		{"an empty fragment", m(0x01, ""), true, false},
		{"a ping inside a message", m(0x01, "a", 0x89, ""), true, false},
		{"half a ping", m(0x89, "abc")[:7], true, true},
		{"the end of a message", m(0x01, "a", 0x80, ""), false, false},
		{"a close inside a message", m(0x01, "a", 0x88, ""), false, false},
	} {
		for _, step := range []int{1, 1000} {
			var p Parser
			if _, err := feed(t, &p, bytes.Clone(row.stream), step); err != nil {
				t.Fatalf("%s: %v", row.name, err)
			}
			if p.InMessage() != row.message || p.InFrame() != row.inFrame {
				t.Errorf("%s: in message %v, in frame %v", row.name, p.InMessage(), p.InFrame())
			}
		}
	}
}

func BenchmarkParser(b *testing.B) {
	for _, bench := range []struct {
		name string
		one  []byte
	}{
		{"text 64 B", m(0x81, strings.Repeat("x", 64))},
		{"text 16 KiB", m(0x81, strings.Repeat("x", 16<<10))},
		{"binary 16 KiB", m(0x82, strings.Repeat("x", 16<<10))},
		{"text 16 KiB of two-byte characters", m(0x81, strings.Repeat("é", 8<<10))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.one)))
			b.ReportAllocs()
			buf := make([]byte, len(bench.one))
			var p Parser
			for b.Loop() {
				copy(buf, bench.one)
				if _, _, err := p.Next(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("append masked 64 B", func(b *testing.B) {
		b.ReportAllocs()
		buf, payload := make([]byte, 0, 200), make([]byte, 64)
		for b.Loop() {
			AppendFrame(buf, Client, true, Text, payload)
		}
	})
}

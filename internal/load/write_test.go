package load

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// TestBatches reads back what is composed, as a strict server does.
func TestBatches(t *testing.T) {
	for _, size := range []int{20, 21, 125, 126, 4096, batch - 8, batch, batch + 1, 70_000} {
		for _, op := range []ws.Opcode{ws.Text, ws.Binary} {
			t.Run(fmt.Sprint(size, op), func(t *testing.T) { readBack(t, size, op) })
		}
	}
}

func readBack(t *testing.T, size int, op ws.Opcode) {
	const messages = 50
	p, err := config(func(c *Config) { c.Size, c.Text = size, op == ws.Text }).check()
	if err != nil {
		t.Fatal(err)
	}
	r := newRun(p)
	r.until.Store(math.MaxInt64)
	r.from.Store(0)
	c := newConn(r, nil, nil, 0xc0ffee)
	c.begin, c.interval, c.quit = 0, 1, messages
	c.pong, c.bye = []byte("are you there"), ws.AppendClose(nil, ws.Client, 1000, "")
	time.Sleep(time.Microsecond) // all are due
	var wire []byte
	c.writing = true
	for buf := make([]byte, 0, batch); ; {
		out := c.compose(buf)
		if len(out) == 0 {
			break
		}
		if len(out) > batch {
			t.Fatalf("a batch of %d bytes", len(out))
		}
		wire = append(wire, out...)
	}
	parser := ws.Parser{Role: ws.Server, MaxMessage: MaxSize}
	var message []byte
	var got, pongs, closes int
	for {
		ev, n, err := parser.Next(wire)
		if err != nil {
			t.Fatal(err)
		}
		switch ev.Kind {
		case ws.Data:
			if message = append(message, ev.Data...); ev.Last {
				want := append(fmt.Appendf(nil, "%08x%012x", 0xc0ffee, got), bytes.Repeat([]byte{'.'}, size-headSize)...)
				if ev.Op != op || !bytes.Equal(message, want) {
					t.Fatalf("message %d: got %v %q…", got, ev.Op, message[:headSize])
				}
				got++
				message = message[:0]
			}
		case ws.PongEvent:
			pongs++
		case ws.CloseEvent:
			closes++
		}
		wire = wire[n:]
		if ev.Kind == ws.None {
			break
		}
	}
	want(t, map[string][2]int{"messages": {got, messages}, "pongs": {pongs, 1}, "close frames": {closes, 1}, "counted": {int(c.shard.sent), messages}})
	if c.writing {
		t.Error("there is nothing to write, and nobody may begin again")
	}
}

func TestPacer(t *testing.T) {
	p, err := config(func(c *Config) { c.Rate = 1000 }).check()
	if err != nil {
		t.Fatal(err)
	}
	r := newRun(p)
	add := func(begin, interval int64) *conn {
		c := newConn(r, nil, nil, 1)
		c.begin, c.interval, c.writing = begin, interval, true // a kick changes nothing
		r.pacer.add(c)
		return c
	}
	slow, fast := add(int64(3*time.Millisecond), int64(10*time.Millisecond)), add(int64(time.Millisecond), int64(time.Millisecond))
	for _, row := range []struct{ now, want time.Duration }{
		{0, time.Millisecond},
		{time.Millisecond, time.Millisecond},
		{1500 * time.Microsecond, 500 * time.Microsecond},
		{2990 * time.Microsecond, 10 * time.Microsecond}, // it was late, and catches up
		{20 * time.Millisecond, time.Millisecond},
	} {
		if got := r.pacer.due(int64(row.now)); got != row.want {
			t.Errorf("at %s: sleeps %s, want %s", row.now, got, row.want)
		}
	}
	fast.stop(end{})
	if got := r.pacer.due(int64(21 * time.Millisecond)); got != 2*time.Millisecond {
		t.Errorf("sleeps %s for the slow one", got)
	}
	slow.stop(end{})
	if got := r.pacer.due(int64(24 * time.Millisecond)); got != glance || len(r.pacer.queue) != 0 {
		t.Errorf("sleeps %s for nobody, %d are left", got, len(r.pacer.queue))
	}
}

// TestSleep only wants that it sleeps at least so long, and does not fail.
func TestSleep(t *testing.T) {
	sleep, release := newSleep()
	defer release()
	for _, d := range []time.Duration{0, time.Nanosecond, 300 * time.Microsecond, 3 * time.Millisecond} {
		began := time.Now()
		if sleep(d); time.Since(began) < d {
			t.Errorf("%s took %s", d, time.Since(began))
		}
	}
}

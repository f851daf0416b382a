package link_test

import (
	"bytes"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
)

// upward is a client-role link, whose budget must be whole in the end. What the far
// end heard is returned.
func upward(t *testing.T, f func(l *link.Link)) (heard []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		far, near := sallyporttest.Pipe()
		o, e, writers := &log{}, &engine.Portable{}, &sync.WaitGroup{}
		budget := link.NewBudget(64 << 20)
		o.link = link.New(e, near, o, link.Config{Role: ws.Client, WriteWait: 10 * time.Second, Budget: budget, Writers: writers}, nil)
		o.link.Start(nil)
		done := make(chan struct{})
		go func() { defer close(done); heard = rest(far) }()
		f(o.link)
		o.link.Shutdown(1000, "")
		<-done
		far.Close()
		e.Wait()
		writers.Wait()
		if held := budget.Held(); held != 0 {
			t.Errorf("%d bytes of the budget were not given back", held)
		}
	})
	return heard
}

// What is masked already reaches the far end as what it means, in chunks of any size
// that begin anywhere in the key, and with that key on the wire; what is not gets a
// fresh key for every frame.
func TestMaskedData_SR57(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	type message struct {
		op   ws.Opcode
		data []byte
	}
	var sent []message
	heard := upward(t, func(l *link.Link) {
		for i := range 60 {
			data := make([]byte, random.IntN([]int{8, 300, 50_000, 200_000}[i%4]))
			for j := range data {
				data[j] = byte(random.IntN(128)) // the far end is strict, and every second message text
			}
			op := ws.Opcode(1 + i%2)
			sent = append(sent, message{op, data})
			key := ws.MaskKey{1, 2, 3, byte(i)}
			masked := bytes.Clone(data)
			ws.Mask(masked, key)
			for first, more := true, true; more; first = false {
				n := min(len(masked), 1+random.IntN(40_000))
				more = n < len(masked)
				if err := l.SendMasked(op, first, !more, key, masked[:n]); err != nil {
					t.Fatal(err)
				}
				key, masked = key.Turn(n), masked[n:]
			}
			synctest.Wait()
			if i == 30 {
				l.Ping()
			}
		}
	})
	p, keep := ws.Parser{Role: ws.Server, MaxMessage: 1 << 30, MaxFragments: -1}, ws.Parser{Role: ws.Server, MaxMessage: 1 << 30, MaxFragments: -1, KeepMasks: true}
	twin := bytes.Clone(heard)
	var got message
	for i := 0; ; {
		ev, n, err := p.Next(heard)
		same, _, _ := keep.Next(twin)
		heard, twin = heard[n:], twin[n:]
		switch {
		case err != nil:
			t.Fatal(err)
		case ev.Kind == ws.CloseEvent:
			if i != len(sent) {
				t.Errorf("heard %d messages, want %d", i, len(sent))
			}
			return
		case ev.Kind == ws.None:
			t.Fatalf("ended after %d messages", i)
		case ev.Kind == ws.PingEvent:
			continue
		}
		want := ws.MaskKey{1, 2, 3, byte(i)}.Turn(len(got.data))
		if same.Key != want {
			t.Fatalf("message %d has key %x at %d, want %x", i, same.Key, len(got.data), want)
		}
		got = message{ev.Op, append(got.data, ev.Data...)}
		if ev.Last {
			if got.op != sent[i].op || !bytes.Equal(got.data, sent[i].data) {
				t.Fatalf("message %d is %v of %d bytes, want %v of %d", i, got.op, len(got.data), sent[i].op, len(sent[i].data))
			}
			got = message{}
			i++
		}
	}
}

// A link that masks otherwise, or not at all, is never given what is masked.
func TestMaskedDataForTheWrongLink(t *testing.T) {
	leg(t, func(t *testing.T, l *link.Link, _ *log, far net.Conn) {
		defer func() {
			if recover() == nil {
				t.Error("a server's link took masked data")
			}
		}()
		l.SendMasked(ws.Text, true, true, ws.MaskKey{1}, []byte("x"))
	})
}

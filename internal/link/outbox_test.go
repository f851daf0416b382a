package link

import (
	"net"
	"testing"

	"github.com/sallyport/sallyport/internal/ws"
)

// A queue of the smallest messages costs little more than their bytes.
func TestAQueueOfSharedMessagesIsBounded_SR75(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	l := &Link{config: Config{Role: ws.Server}, socket: near} // never started: nothing leaves
	l.out.link = l
	frame := Frame(ws.Text, nil, []byte("a"))
	for range 10_000 {
		if err := l.SendShared(frame); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(l.out.queue); n > maxShared+1 {
		t.Errorf("10,000 messages lie in %d segments", n)
	}
}

// What was sent is not kept by a link that is idle afterwards.
func TestAnIdleLinkHoldsNothing_SR75(t *testing.T) {
	l := &Link{config: Config{Role: ws.Server}}
	l.out.link = l
	frame := Frame(ws.Text, nil, make([]byte, 16<<10))
	for range 3 {
		if err := l.SendShared(frame); err != nil {
			t.Fatal(err)
		}
	}
	for len(l.out.queue) > 0 {
		l.out.join()
	}
	if n := len(l.out.one[0].bytes); n != 0 {
		t.Errorf("%d bytes are held of a queue that was sent", n)
	}
}

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

package link_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
)

// A peer that begins to read just before its time is over gets no second one.
func TestLateReaderGetsNoSecondLinger_SR56_AT39(t *testing.T) {
	leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
		for l.Send(ws.Binary, make([]byte, 16<<10)) == nil {
		}
		synctest.Wait() // the writer waits for room
		began := time.Now()
		l.Close(4001, "")
		time.Sleep(link.Linger - time.Millisecond)
		far.Read(make([]byte, 64<<10)) // enough for the close frame to go out
		time.Sleep(5 * time.Second)
		o.with(func() {
			if got := o.released.Sub(began); o.released.IsZero() || got > time.Second {
				t.Errorf("the socket was given back after %s", got)
			}
		})
	})
}

// A peer that took the close frame and does not end the connection is reset: it
// would leave what it does not read in the kernel.
func TestPeerThatDoesNotEndIsReset_SR56_AT39(t *testing.T) {
	wantReset := func(t *testing.T, far net.Conn) {
		t.Helper()
		if _, err := io.Copy(io.Discard, far); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("got %v, want a reset", err)
		}
	}
	leg(t, func(t *testing.T, l *link.Link, o *log, far net.Conn) {
		l.Send(ws.Text, []byte("unread"))
		synctest.Wait()
		l.Close(4001, "")
		time.Sleep(time.Second)
		wantReset(t, far)
	})
	synctest.Test(t, func(t *testing.T) {
		far, near := sallyporttest.Pipe()
		go link.Farewell(near, []byte("101 and a close frame"))
		time.Sleep(time.Second)
		wantReset(t, far)
	})
}

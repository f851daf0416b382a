package link

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/ws"
)

// quiet is an owner that does nothing.
type quiet struct{ released chan struct{} }

func (quiet) Ready() bool               { return true }
func (quiet) Data(ws.Event)             {}
func (quiet) Control(ws.Event)          {}
func (quiet) Arrived(int, bool)         {}
func (quiet) PeerClosed(uint16, string) {}
func (quiet) Failed(error)              {}
func (quiet) Drained()                  {}
func (q quiet) Released()               { close(q.released) }

// TestNoSecretStaysInABuffer: what one link has sent, or dropped unsent, is in no
// buffer that another is lent.
func TestNoSecretStaysInABuffer(t *testing.T) {
	canary := []byte("CANARY-of-link-A-")
	var mu sync.Mutex
	seen, dirty := map[int]int{}, 0
	inspect = func(b []byte) {
		mu.Lock()
		defer mu.Unlock()
		seen[len(b)]++
		if len(bytes.Trim(b, "\x00")) > 0 {
			dirty++
		}
	}
	defer func() { inspect = nil }()
	for _, read := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			e, q, writers := &engine.Portable{}, quiet{make(chan struct{})}, &sync.WaitGroup{}
			l := New(e, near, q, Config{Role: ws.Server, MaxMessage: 1 << 20, WriteWait: 5 * time.Second, Writers: writers}, nil)
			l.Start(nil)
			if read {
				go io.Copy(io.Discard, far) // ends with far
			}
			for _, n := range []int{1, 150, 300, 500, 900, 1800, 3600} { // every size of buffer
				if err := l.Send(ws.Binary, bytes.Repeat(canary, n)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if read {
				l.Shutdown(1000, "")
			} else {
				l.Reset()
			}
			far.Close()
			<-q.released
			e.Wait()
			writers.Wait()
		})
	}
	mu.Lock()
	defer mu.Unlock()
	if dirty > 0 {
		t.Errorf("%d buffers went back with something in them", dirty)
	}
	for _, size := range sizes {
		if seen[size] == 0 {
			t.Errorf("no buffer of %d bytes went back", size)
		}
	}
}

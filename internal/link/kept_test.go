package link_test

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
)

// resting is an engine on which nothing happens by itself.
type resting struct{}

func (resting) Attach(socket net.Conn, _ engine.Machine) engine.Handle { return restingHandle{socket} }
func (resting) Wait()                                                  {}

type restingHandle struct{ net.Conn }

func (r restingHandle) Socket() net.Conn { return r.Conn }
func (restingHandle) Start([]byte)       {}
func (restingHandle) Resume()            {}

// TestPausedBytesAreCounted: what an engine keeps while the owner takes nothing is
// paid for, once, and given back.
func TestPausedBytesAreCounted_SR73(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	budget, o := link.NewBudget(1000), &log{}
	o.link = link.New(resting{}, near, o, link.Config{Role: ws.Client, MaxMessage: 1 << 20, Budget: budget, Writers: new(sync.WaitGroup)}, nil)
	frame := ws.AppendFrame(nil, ws.Server, true, ws.Binary, bytes.Repeat([]byte("x"), 500))
	o.stopped = true
	for range 3 {
		if n, ok := o.link.Readable(frame); n != 0 || ok || budget.Held() != int64(len(frame)) {
			t.Fatalf("taken %d, %v; the budget holds %d", n, ok, budget.Held())
		}
	}
	o.stopped = false
	if n, ok := o.link.Readable(frame); n != len(frame) || !ok || budget.Held() != 0 {
		t.Fatalf("taken %d, %v; the budget holds %d", n, ok, budget.Held())
	}
	o.stopped = true
	if _, ok := o.link.Readable(append(frame, frame...)); !ok || !errors.Is(o.failed, link.ErrBudget) || budget.Held() != 0 {
		t.Errorf("more than there is: %v, %v; the budget holds %d", ok, o.failed, budget.Held())
	}
}

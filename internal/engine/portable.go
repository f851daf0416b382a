package engine

import (
	"net"
	"sync"
)

// Portable is an engine with one goroutine per connection: for every operating
// system, anybody's http.Server, and testing/synctest.
type Portable struct {
	reading Tally // machines
}

// Sizes of read buffers in bytes: one small buffer waits with the goroutine, a
// large one is lent while there is more to read than that.
const (
	smallRead = 512
	largeRead = 16 << 10
)

var largeBuffers = sync.Pool{New: func() any { return new([largeRead]byte) }}

// Attach prepares the goroutine that reads socket.
func (p *Portable) Attach(socket net.Conn, m Machine) Handle {
	BoundUnsent(socket)
	return &portableHandle{engine: p, socket: socket, machine: m, resume: make(chan struct{}, 1)}
}

// Wait returns when every machine that was started has had its last event.
func (p *Portable) Wait() { p.reading.Wait() }

type portableHandle struct {
	engine  *Portable
	socket  net.Conn
	machine Machine
	resume  chan struct{} // holds at most one token
}

func (h *portableHandle) Socket() net.Conn { return h.socket }

func (h *portableHandle) Start(first []byte) {
	h.engine.reading.Go(func() { h.read(first) })
}

func (h *portableHandle) Resume() {
	select {
	case h.resume <- struct{}{}:
	default:
	}
}

func (h *portableHandle) read(first []byte) {
	h.feed(first)
	small := make([]byte, smallRead)
	for {
		n, err := h.socket.Read(small)
		h.feed(small[:n])
		for err == nil && n == len(small) { // there is probably more
			large := largeBuffers.Get().(*[largeRead]byte)
			n, err = h.socket.Read(large[:])
			h.feed(large[:n])
			clear(large[:n])
			largeBuffers.Put(large)
			if n < largeRead {
				break
			}
			n = len(small)
		}
		if err != nil {
			h.machine.Gone(err)
			return
		}
	}
}

// feed gives b to the machine, waiting out its pauses.
func (h *portableHandle) feed(b []byte) {
	for len(b) > 0 {
		n, ok := h.machine.Readable(b[:len(b):len(b)])
		Poison(b[:n])
		b = b[n:]
		if !ok {
			<-h.resume
		}
	}
}

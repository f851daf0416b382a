//go:build linux

package poll

import "sync"

// Sizes in bytes.
const (
	rawSize   = 40 << 10 // for crypto/tls: more than two records, so that it moves the second to the front instead of taking more
	plainSize = 64 << 10 // given to a machine at once
	corkSize  = 34 << 10 // the records of a segment that a machine writes
)

// buffer is lent for the time of an event. Nothing of a connection stays in it.
type buffer struct {
	b    []byte
	used int // bytes from the front that may have been written to
}

type buffers struct{ pool sync.Pool }

func newBuffers(size int) *buffers {
	return &buffers{sync.Pool{New: func() any { return &buffer{b: make([]byte, size)} }}}
}

var rawBuffers, plainBuffers, corkBuffers = newBuffers(rawSize), newBuffers(plainSize), newBuffers(corkSize)

func (p *buffers) lend() *buffer { return p.pool.Get().(*buffer) }

func (p *buffers) giveBack(b *buffer) {
	clear(b.b[:b.used])
	b.used = 0
	if inspect != nil {
		inspect(b.b)
	}
	p.pool.Put(b)
}

// inspect, of tests, sees every buffer that comes back.
var inspect func([]byte)

package link

import "sync"

// Queued frames lie in lent buffers of a few sizes. A buffer is cleared before it
// goes back, and at most twice as large as what it was lent for, or 4 KiB: what
// is queued is bounded by its own size.
const smallest = 1 << 10 // below that a buffer is not worth lending

var sizes = [...]int{4 << 10, 8 << 10, 16<<10 + 64, segmentSize}

var pools [len(sizes)]sync.Pool

// inspect, of tests, sees every buffer that comes back.
var inspect func([]byte)

// Lend is for the owners of links that collect what arrives. It returns an empty
// buffer with room for at least n bytes; give it back with [GiveBack].
func Lend(n int) []byte { return lend(n) }

// GiveBack takes back what Lend returned. Nobody may use it any more.
func GiveBack(b []byte) { giveBack(b) }

// lend returns an empty buffer with room for n bytes. One of more than
// segmentSize is not lent.
func lend(n int) []byte {
	if n <= smallest {
		return make([]byte, 0, n)
	}
	for i, size := range sizes {
		if n > size {
			continue
		}
		if b, ok := pools[i].Get().(*[]byte); ok {
			return *b
		}
		return make([]byte, 0, size)
	}
	return make([]byte, 0, n)
}

// grow returns b with room for n bytes more.
func grow(b []byte, n int) []byte {
	if len(b)+n <= cap(b) {
		return b
	}
	room := len(b) + n
	if room <= smallest {
		room = min(2*room, smallest)
	}
	bigger := append(lend(room), b...)
	giveBack(b)
	return bigger
}

// giveBack takes back what lend returned.
func giveBack(b []byte) {
	for i, size := range sizes {
		if cap(b) == size {
			clear(b)
			if inspect != nil {
				inspect(b[:size])
			}
			empty := b[:0]
			pools[i].Put(&empty)
			return
		}
	}
	clear(b)
}

//go:build linux

package poll

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// A handshake leaves a hundred kilobytes of garbage, a large message what its
// handler made of it, and the heap grows to twice what is alive before anybody
// collects it: after a burst a process would go on holding more than twice what its
// connections need. So when a burst is over, the engine has it collected and given
// back to the system.
const (
	burst     = 32 << 20 // bytes received; a connection that comes or goes counts for shake
	shake     = 64 << 10
	calm      = 4 << 20                // of these in …
	quiet     = 500 * time.Millisecond // … that time: the burst is over
	atMost    = 5 * time.Second        // once in that time
	ourShare  = 64 << 10               // bytes for each connection: of a larger heap they are not the reason
	ourGround = 64 << 20
)

// settling is what has come and gone since memory was last given back.
type settling struct {
	moved atomic.Int64 // bytes
	open  atomic.Int64 // connections
	armed atomic.Bool  // a timer runs

	mu    sync.Mutex // guards what follows
	seen  int64      // moved, at the last look
	given time.Time  // when memory was last given back
}

// connection notes that one was taken (1) or closed (-1).
func (s *settling) connection(by int64) {
	s.open.Add(by)
	s.bytes(shake)
}

// bytes notes that so many were received.
func (s *settling) bytes(n int64) {
	if s.moved.Add(n) >= burst && !s.armed.Load() && !s.armed.Swap(true) {
		time.AfterFunc(quiet, s.look)
	}
}

func (s *settling) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := s.moved.Load()
	busy := moved-s.seen > calm
	s.seen = moved
	if since := time.Since(s.given); busy || since < atMost {
		time.AfterFunc(max(quiet, atMost-since), s.look)
		return
	}
	s.given, s.seen = time.Now(), 0
	s.moved.Store(0)
	s.armed.Store(false)
	if held, live := heap(); held > live+live/4 && live <= uint64(s.open.Load()*ourShare+ourGround) {
		debug.FreeOSMemory()
	}
}

// heap returns how many bytes of memory it holds, and how many of those were
// alive when they were last collected.
func heap() (held, live uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	for i, s := range samples {
		switch {
		case s.Value.Kind() != metrics.KindUint64:
		case i == 0:
			live = s.Value.Uint64()
		default:
			held += s.Value.Uint64()
		}
	}
	return held, live
}

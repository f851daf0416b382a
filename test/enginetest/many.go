package enginetest

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// many: connections that come and go, with descriptors that are used again while
// events are under way, see their own bytes only.
func many(t *testing.T, n New) {
	for _, test := range []struct {
		w     wire
		count int
	}{{inClear, 3000}, {onUnix, 2000}, {overTLS, 400}} {
		t.Run(test.w.String(), func(t *testing.T) {
			count := test.count
			if testing.Short() {
				count /= 10
			}
			s := newSite(t, n)
			var next atomic.Int64
			var all sync.WaitGroup
			for range 24 {
				all.Go(func() {
					for {
						i := next.Add(1)
						if int(i) > count {
							return
						}
						one(t, s, test.w, uint64(i))
					}
				})
			}
			all.Wait()
		})
	}
	t.Run("all are closed while they are busy", func(t *testing.T) { allAtOnce(t, newSite(t, n)) })
}

// pattern is what connection i sends: no two of them have eight bytes in common.
func pattern(i uint64, n int) (b []byte) {
	for k := range uint64(n) {
		b = binary.BigEndian.AppendUint64(b, i<<24|k)
	}
	return b
}

// one is a connection with an end of its own.
func one(t *testing.T, s *site, w wire, i uint64) {
	m := echo()
	far := s.start(w, m)
	want := pattern(i, 1+int(i*37%500))
	far.Write(want)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("connection %d: not its own bytes (%v)", i, err)
	}
	switch i % 6 {
	case 0:
		far.Close()
	case 1:
		reset(far)
	case 2:
		far.Write(want) // and do not read
		m.close()
	case 3:
		far.Write(want)
		reset(far)
	case 4:
		var both sync.WaitGroup
		both.Go(m.close)
		both.Go(func() { far.Close() })
		both.Wait()
	case 5:
		m.socket.SetReadDeadline(time.Now().Add(time.Millisecond))
	}
	m.gone()
	reset(far)
	if got := m.bytes(); !bytes.HasPrefix(append(bytes.Clone(want), want...), got) {
		t.Errorf("connection %d got bytes of another", i)
	}
}

func allAtOnce(t *testing.T, s *site) {
	type end struct {
		m    *machine
		stop func()
	}
	var list []end
	for i := range 3 * len(wires) {
		m := newMachine(nil)
		m.forgets = true
		far := s.start(wires[i%len(wires)], m)
		list = append(list, end{m, flood(far)})
	}
	for _, e := range list {
		until(t, "its bytes", func() bool { return e.m.calls.Load() > 1 })
	}
	var all sync.WaitGroup
	for _, e := range list {
		all.Go(e.m.close)
	}
	s.engine.Wait()
	for _, e := range list {
		if e.m.open.Load() {
			t.Error("Wait returned before the last event of a machine")
		}
	}
	all.Wait()
	for _, e := range list {
		e.stop()
	}
}

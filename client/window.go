package client

import (
	"errors"
	"time"
)

// Bounds of what is in flight: sent, and not counted by the door.
const (
	windowMessages = 256
	windowBytes    = 1 << 20
	askAgain       = 5 * time.Second // a beat may get lost: the door drops it when its queue is full
)

// window keeps what was sent until the door has counted it (section 6 of
// spec/protocol.md).
type window struct {
	kept  []Message
	bytes int   // cost of kept
	got   int64 // counted by the door

	asked bool          // a beat was asked for and has not come
	since time.Duration // … since then
}

// room reports whether m may be sent. A message larger than the window goes
// alone.
func (w *window) room(m Message) bool {
	return len(w.kept) == 0 || len(w.kept) < windowMessages && w.bytes+cost(m) <= windowBytes
}

// ask reports whether it is time to ask for a beat: half of the window is used,
// or more is needed than there is.
func (w *window) ask(now time.Duration, needed bool) bool {
	if w.asked && now < w.since+askAgain || len(w.kept) == 0 || !needed && len(w.kept) < windowMessages/2 && w.bytes < windowBytes/2 {
		return false
	}
	w.asked, w.since = true, now
	return true
}

func (w *window) add(m Message) {
	w.kept = append(w.kept, m)
	w.bytes += cost(m)
}

// count takes the door's count. It never goes back: of two answers that cross,
// the later one counts.
func (w *window) count(got int64) error {
	w.asked = false
	n := got - w.got
	if n > int64(len(w.kept)) {
		return errors.New("the door counts more messages than were sent")
	}
	for i := range max(n, 0) {
		w.bytes -= cost(w.kept[i])
		w.kept[i] = Message{}
	}
	if n > 0 {
		w.kept, w.got = w.kept[n:], got
	}
	if len(w.kept) == 0 {
		w.kept = nil // and the memory behind it
	}
	return nil
}

// rest is what is in flight, once: the fate of these is unknown.
func (w *window) rest() []Message {
	rest := w.kept
	w.kept, w.bytes = nil, 0
	return rest
}

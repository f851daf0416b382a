package link

import (
	"sync/atomic"

	"github.com/sallyport/sallyport/internal/ws"
)

// Budget bounds the bytes held for all links together.
type Budget struct {
	max  atomic.Int64
	held atomic.Int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	b := &Budget{}
	b.max.Store(bytes)
	return b
}

// SetMax changes the bound.
func (b *Budget) SetMax(bytes int64) { b.max.Store(bytes) }

// Take reserves n bytes, or reports that there are none.
func (b *Budget) Take(n int) bool {
	if b == nil {
		return true
	}
	if b.held.Add(int64(n)) > b.max.Load() {
		b.held.Add(int64(-n))
		return false
	}
	return true
}

// Give returns n bytes.
func (b *Budget) Give(n int) {
	if b != nil {
		b.held.Add(int64(-n))
	}
}

// Held is how many bytes are reserved.
func (b *Budget) Held() int64 { return b.held.Load() }

// Send queues a message in frames of at most 16 KiB.
func (l *Link) Send(op ws.Opcode, data []byte) error {
	return l.SendPart(op, true, true, data)
}

// SendPart queues a part of a message. The parts of one message must come in
// order, from one goroutine, with no other message between them.
func (l *Link) SendPart(op ws.Opcode, first, last bool, data []byte) error {
	return l.sendPart(op, first, last, data, nil)
}

// SendMasked does as SendPart does, with data that is masked with key already. It
// is for links in the role of a client that have neither marks nor a seal.
func (l *Link) SendMasked(op ws.Opcode, first, last bool, key ws.MaskKey, data []byte) error {
	if l.config.Role != ws.Client || l.config.Marks != nil || l.config.Seal != nil {
		panic("link: masked data for a link that masks otherwise")
	}
	return l.sendPart(op, first, last, data, &key)
}

// sendPart queues a part of a message; key is nil unless data is masked with it.
func (l *Link) sendPart(op ws.Opcode, first, last bool, data []byte, key *ws.MaskKey) error {
	o := &l.out
	var mark, long []byte
	if m := l.config.Marks; m != nil && first {
		mark = m.App
		if !last || len(data) > highWater {
			long = m.Long
		}
	}
	largest, role := frameSize, l.config.Role
	if l.config.Seal != nil {
		largest, role = sealedSize, ws.Server // what is queued is not masked: it is sealed first
	}
	frames := max(1, (len(mark)+len(data)+largest-1)/largest)
	size := len(long) + len(mark) + len(data) + frames*ws.HeaderSize(role, frameSize)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.accept(size, first); err != nil {
		return err
	}
	held := o.queued
	if long != nil {
		o.append(long)
	}
	for more := true; more; first = false {
		part := data[:min(len(data), largest-len(mark))]
		data = data[len(part):]
		more = len(data) > 0
		frameOp := op
		if !first {
			frameOp = ws.Continuation
		}
		n := len(mark) + len(part)
		seg := o.segment(ws.HeaderSize(role, uint64(n)) + n)
		before := len(seg.bytes)
		if fin := last && !more; key == nil {
			seg.bytes = appendFrame(seg.bytes, role, fin, frameOp, mark, part)
		} else {
			seg.bytes = append(ws.AppendMaskedHeader(seg.bytes, fin, frameOp, uint64(n), *key), part...)
			*key = key.Turn(n)
		}
		mark = nil
		seg.open = !last || more
		o.open = seg.open
		o.queued += len(seg.bytes) - before
		if !seg.open {
			seg.ends++
		}
	}
	l.config.Budget.Give(size - (o.queued - held))
	if !o.open {
		o.flushBetween()
	}
	o.noteAbove()
	o.wake()
	return nil
}

// appendFrame appends a frame whose payload is in two pieces.
func appendFrame(dst []byte, role ws.Role, fin bool, op ws.Opcode, mark, data []byte) []byte {
	dst, key := ws.AppendHeader(dst, role, fin, op, uint64(len(mark)+len(data)))
	start := len(dst)
	dst = append(append(dst, mark...), data...)
	ws.Mask(dst[start:], key)
	return dst
}

// Frame returns the frame of a whole message for any server link with these
// marks, for SendShared; nil if it would not fit into one frame.
func Frame(op ws.Opcode, m *Marks, data []byte) []byte {
	var mark []byte
	if m != nil {
		mark = m.App
	}
	n := len(mark) + len(data)
	if n > frameSize {
		return nil
	}
	return appendFrame(make([]byte, 0, ws.HeaderSize(ws.Server, uint64(n))+n), ws.Server, true, op, mark, data)
}

// SendShared queues a message that [Frame] has made for links of this kind. Nobody
// may change it any more. A link that seals has no use for it.
func (l *Link) SendShared(frame []byte) error {
	o := &l.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.accept(len(frame), true); err != nil {
		return err
	}
	switch {
	case o.open: // within a message of somebody else
		if b := o.besides(); len(b.between) > 0 && len(b.between)+len(frame) > maxBetween {
			l.config.Budget.Give(len(frame))
			return ErrFull
		}
		o.insert(frame)
	case len(o.queue) < maxShared:
		o.push(segment{bytes: frame, shared: true, ends: 1})
		o.queued += len(frame)
	default:
		seg := o.segment(len(frame))
		seg.bytes = append(seg.bytes, frame...)
		seg.ends++
		o.queued += len(frame)
	}
	o.noteAbove()
	o.wake()
	return nil
}

// Insert queues frames of whole messages: at once, or behind the message that
// is being queued, where 4 KiB may wait. 4 KiB are also accepted when the queue is
// full: an answer must not be lost for that.
func (l *Link) Insert(frames []byte) error {
	o := &l.out
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.besides()
	if o.queued < maxQueue {
		b.beyond = 0
	} else {
		b.beyond += len(frames)
	}
	if len(b.between)+len(frames) > maxBetween || b.beyond > maxBetween {
		return ErrFull
	}
	if err := o.accept(len(frames), false); err != nil {
		return err
	}
	o.insert(frames)
	o.noteAbove()
	o.wake()
	return nil
}

// Owe sends what the sealer has due.
func (l *Link) Owe() {
	o := &l.out
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owes = true
	o.wake()
}

// Inserted reports that something waits for the end of the message that is being
// queued.
func (l *Link) Inserted() bool {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	return l.out.beside != nil && len(l.out.beside.between) > 0
}

// Announce sets frames of whole messages that the link sends right before its
// close frame, unless the close comes in the middle of a message. It must be
// called before Close or Shutdown.
func (l *Link) Announce(frames []byte) {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	l.out.ending().announce = frames
}

// SendFrames queues control frames that were made for this role: they may stand
// in the middle of a message.
func (l *Link) SendFrames(frames []byte) error {
	o := &l.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.accept(len(frames), true); err != nil {
		return err
	}
	o.append(frames)
	o.noteAbove()
	o.wake()
	return nil
}

// Ping asks the peer for a sign of life.
func (l *Link) Ping() {
	l.SendFrames(ws.AppendFrame(nil, l.config.Role, true, ws.Ping, nil))
}

// Above reports that more than 64 KiB wait to be sent. Whoever feeds the link
// should then pause until Drained, asking Above once more after pausing.
func (l *Link) Above() bool {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	return l.out.above
}

// Room returns a channel that is closed when Above is or has become false.
func (l *Link) Room() <-chan struct{} {
	o := &l.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.room == nil {
		o.room = make(chan struct{})
		if !o.above || o.finished {
			o.makeRoom()
		}
	}
	room := o.room
	if room == nil {
		room = closedRoom
	}
	return room
}

var closedRoom = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

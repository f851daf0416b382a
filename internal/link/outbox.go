package link

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// Sizes in bytes.
const (
	frameSize   = 16 << 10  // payload of the largest frame sent: a stop waits for no more
	segmentSize = 32 << 10  // handed to the socket in one write: whole frames
	maxShared   = 64        // segments: what many links share is copied behind so many
	highWater   = 64 << 10  // Above: the source should pause
	maxQueue    = 256 << 10 // nothing more is accepted until it falls below
	maxBetween  = 4 << 10   // of frames that wait for the end of a message
	maxPongs    = 2 << 10   // of pongs that wait; then only the last ping is answered
)

// Errors of sending.
var (
	ErrSlow   = errors.New("the peer does not read")
	ErrFull   = errors.New("the queue is full")
	ErrBudget = errors.New("the memory for queued messages is used up")
	ErrClosed = errors.New("the connection has ended")
)

// segment is whole frames. The socket gets as many segments in one write as
// segmentSize holds.
type segment struct {
	bytes  []byte // lent, unless shared
	shared bool   // with other links: not to be changed
	open   bool   // they end within a message
	ends   int    // how many messages end in them
}

// outbox is the queue of a link. While there is something to send, one goroutine
// sends it, a segment a write: with a prompt handle the one that comes along and
// need not wait; else, and when the socket is full, one that ends with the queue.
type outbox struct {
	link *Link

	mu       sync.Mutex // guards everything below; not held while the socket is written
	queue    []segment
	one      [1]segment // of queue, which is usually short
	queued   int        // bytes in queue, and of the segment being written
	beside   *beside    // nil for most, as goodbye
	goodbye  *goodbye
	started  bool
	writing  bool // somebody does
	finished bool // nothing more is accepted
	half     bool // … but reading goes on
	hurry    bool // a stop has come: nothing is kept that was queued
	written  bool // … and was handed to the kernel
	failed   bool // the socket no longer takes anything
	gone     bool // the reader has ended
	released bool
	open     bool // the frames queued so far end within a message
	cutOff   bool // … those taken by the writer do
	above    bool
	room     chan struct{} // closed when above becomes false; nil if nobody waits

	// Of a link that seals.
	owes    bool      // the sealer has a record to send
	sealing ws.Opcode // of the message being sealed
	sealErr bool      // the sealer has failed: nothing but last is sent
}

// beside is what is sent beside the queue.
type beside struct {
	head    []byte // before all else: the 101
	answer  []byte // pongs that wait, at most maxPongs and one
	between []byte // frames that wait for the end of the message being queued, at most maxBetween, or one
	beyond  int    // bytes inserted since the queue was full
}

func (o *outbox) besides() *beside {
	if o.beside == nil {
		o.beside = new(beside)
	}
	return o.beside
}

// goodbye is how a link ends.
type goodbye struct {
	announce []byte    // goes before last, unless a message was cut off
	last     []byte    // goes after all else: the close frame
	until    time.Time // of the reset, once a stop has come
	code     uint16    // of the close frame, and its text: for the sealed end
	reason   string
}

func (o *outbox) ending() *goodbye {
	if o.goodbye == nil {
		o.goodbye = new(goodbye)
	}
	return o.goodbye
}

// last is the close frame, if it is still to be sent.
func (o *outbox) last() []byte {
	if o.goodbye == nil {
		return nil
	}
	return o.goodbye.last
}

func (o *outbox) makeRoom() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// accept reserves size bytes. Later parts of a message that was begun are
// always accepted, as far as the budget goes.
func (o *outbox) accept(size int, first bool) error {
	switch {
	case o.finished:
		return ErrClosed
	case first && o.queued >= maxQueue:
		return ErrFull
	case !o.link.config.Budget.Take(size):
		return ErrBudget
	}
	return nil
}

// segment returns the segment that has room for a frame of n bytes.
func (o *outbox) segment(n int) *segment {
	if last := len(o.queue) - 1; last >= 0 && !o.queue[last].shared && len(o.queue[last].bytes)+n <= segmentSize {
		seg := &o.queue[last]
		seg.bytes = grow(seg.bytes, n)
		return seg
	}
	return o.push(segment{bytes: lend(n), open: o.open})
}

func (o *outbox) push(seg segment) *segment {
	switch len(o.queue) {
	case 0:
		o.queue = o.one[:0]
	case cap(o.queue):
		o.queue = slices.Grow(o.queue, maxShared/4)
		o.one[0] = segment{} // else an idle link would hold it
	}
	o.queue = append(o.queue, seg)
	return &o.queue[len(o.queue)-1]
}

// pop takes the first segment.
func (o *outbox) pop() segment {
	seg := o.queue[0]
	o.queue[0] = segment{}
	if o.queue = o.queue[1:]; len(o.queue) == 0 {
		o.queue = nil
	}
	return seg
}

// join takes the first segment, and those behind it that leave in the same write.
func (o *outbox) join() segment {
	seg, n := o.pop(), 0
	size := len(seg.bytes)
	for ; n < len(o.queue) && size+len(o.queue[n].bytes) <= segmentSize; n++ {
		size += len(o.queue[n].bytes)
	}
	if n == 0 {
		return seg
	}
	joined := segment{bytes: append(lend(size), seg.bytes...), ends: seg.ends}
	seg.giveBack()
	for range n {
		seg = o.pop()
		joined.bytes = append(joined.bytes, seg.bytes...)
		joined.ends += seg.ends
		joined.open = seg.open
		seg.giveBack()
	}
	return joined
}

func (s *segment) giveBack() {
	if !s.shared {
		giveBack(s.bytes)
	}
	s.bytes = nil
}

// append queues whole frames that do not touch a message in the middle of which
// they stand.
func (o *outbox) append(frames []byte) {
	seg := o.segment(len(frames))
	seg.bytes = append(seg.bytes, frames...)
	o.queued += len(frames)
}

// insert queues frames of whole messages behind the message being queued.
func (o *outbox) insert(frames []byte) {
	if o.open {
		b := o.besides()
		b.between = append(b.between, frames...)
		o.queued += len(frames)
		return
	}
	o.append(frames)
}

// flushBetween queues what waited for the end of a message.
func (o *outbox) flushBetween() {
	if b := o.beside; b != nil && len(b.between) > 0 {
		o.queued -= len(b.between)
		o.append(b.between)
		b.between = nil
	}
}

func (o *outbox) noteAbove() {
	if o.queued > highWater {
		o.above = true
	}
}

// pong answers a ping. If many pongs wait it takes their place (RFC 6455,
// section 5.5.3).
func (o *outbox) pong(payload []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finished {
		return
	}
	b := o.besides()
	if len(b.answer) >= maxPongs {
		b.answer = b.answer[:0]
	}
	b.answer = ws.AppendFrame(b.answer, o.link.config.Role, true, ws.Pong, payload)
	o.wake()
}

func (o *outbox) start() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.started = true
	o.wake()
}

// leave makes last the end of what is sent, while reading goes on.
func (o *outbox) leave(last []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finished {
		return
	}
	o.finished, o.half, o.ending().last = true, true, last
	o.makeRoom()
	o.link.socket.SetWriteDeadline(time.Now().Add(flushWait))
	o.wake()
}

// finish makes last the end of all, unless leave has sent an end already. What
// is queued before it is dropped, unless keep is set; bytes that must precede
// any frame stay. A nil last is none.
func (o *outbox) finish(last []byte, keep bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if keep && o.hurry {
		keep = false
		o.link.socket.SetReadDeadline(time.Now().Add(Linger))
	}
	if !keep {
		o.drop()
		o.ending().until = time.Now().Add(Linger)
	}
	if !o.half || o.last() != nil && !keep {
		o.ending().last = last
	}
	o.finished, o.half, o.written = true, false, false
	o.makeRoom()
	wait := Linger
	if keep {
		wait = flushWait
	}
	if last == nil {
		o.failed = true
		if o.beside != nil {
			o.beside.head = nil
		}
	} else {
		o.link.socket.SetWriteDeadline(time.Now().Add(wait))
	}
	o.wake()
}

// cut drops what finish was or will be told to keep.
func (o *outbox) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hurry = true
	if !o.finished || o.written || o.failed {
		return
	}
	o.drop()
	e := o.ending()
	e.until = time.Now().Add(Linger)
	o.link.socket.SetDeadline(e.until)
}

func (o *outbox) drop() {
	held := 0
	if b := o.beside; b != nil {
		held = len(b.between)
		b.between, b.answer = nil, nil
	}
	for _, seg := range o.queue {
		held += len(seg.bytes)
		seg.giveBack()
	}
	o.queued -= held
	o.link.config.Budget.Give(held)
	o.queue, o.open = nil, o.cutOff
}

// wake has what is queued sent, unless somebody does so already.
func (o *outbox) wake() {
	switch l := o.link; {
	case !o.pending():
	case l.prompt == nil:
		o.writing = true
		l.config.Writers.Go(o.write)
	case o.finished || o.above || !l.held.Load(): // neither an end nor a long queue waits for an event
		l.prompt.Soon()
	}
}

// flush sends what is queued with a prompt handle.
func (o *outbox) flush() {
	o.mu.Lock()
	if !o.pending() {
		o.mu.Unlock()
		return
	}
	o.writing = true
	o.mu.Unlock()
	o.write()
}

// pending reports that there is work and nobody works on it.
func (o *outbox) pending() bool {
	return o.started && !o.writing && !o.written && (o.finished || o.owes || len(o.queue) > 0 || o.beside != nil && (len(o.beside.answer) > 0 || len(o.beside.head) > 0))
}

// written is what one write sends.
type written struct {
	bytes   []byte
	lent    segment // that bytes lie in
	counted int     // bytes of the queue in it
	ends    int     // messages that end in it
	err     error
	unmade  bool // err is the sealer's
}

// next takes what the next write sends; ok is false if there is nothing.
func (o *outbox) next() (w written, ok bool) {
	if o.failed {
		return w, false
	}
	o.owes = false
	seals := o.link.config.Seal != nil
	if b := o.beside; b != nil {
		w.bytes, b.head, b.answer = append(b.head, b.answer...), nil, nil
		if len(b.between) == 0 && b.beyond == 0 {
			o.beside = nil
		}
	}
	if len(o.queue) > 0 {
		seg := o.join()
		w.counted, w.ends, o.cutOff = len(seg.bytes), seg.ends, seg.open
		switch {
		case seals:
			w.bytes, w.err = o.seal(w.bytes, seg.bytes)
			seg.giveBack()
		case w.bytes == nil:
			w.bytes, w.lent = seg.bytes, seg
		default:
			w.bytes = append(w.bytes, seg.bytes...)
			seg.giveBack()
		}
		return w, true
	}
	last := o.last()
	switch {
	case last == nil && seals && !o.finished && !o.sealErr: // nothing is due behind an end
		w.bytes, w.err = o.due(w.bytes)
	case last == nil:
	case seals:
		w.bytes = o.sealEnd(w.bytes)
	case !o.cutOff:
		w.bytes = append(w.bytes, o.goodbye.announce...)
	}
	if last != nil {
		e := o.goodbye
		w.bytes, e.announce, e.last = append(w.bytes, e.last...), nil, nil
	}
	return w, w.bytes != nil || w.err != nil
}

// write sends until there is nothing more to send.
func (o *outbox) write() {
	o.mu.Lock()
	o.send()
}

// send is called with mu held and unlocks it.
func (o *outbox) send() {
	l := o.link
	for {
		w, ok := o.next()
		if !ok {
			break
		}
		if l.prompt == nil && !o.finished {
			l.socket.SetWriteDeadline(time.Now().Add(l.config.WriteWait))
		}
		o.mu.Unlock()
		if w.unmade = w.err != nil; !w.unmade && len(w.bytes) > 0 {
			w.err = l.hand(w.bytes)
		}
		w.lent.giveBack()
		full := w.err == nil && l.prompt != nil && l.prompt.Full()
		o.mu.Lock()
		if full {
			if !o.finished {
				l.socket.SetWriteDeadline(time.Now().Add(l.config.WriteWait))
			}
			o.mu.Unlock()
			rest := w // it alone moves to the heap
			l.config.Writers.Go(func() { o.await(rest) })
			return
		}
		o.wrote(&w)
	}
	o.settle()
}

// await is the goroutine that waits for a full socket and goes on.
func (o *outbox) await(w written) {
	w.err = o.link.prompt.Sent()
	o.mu.Lock()
	o.wrote(&w)
	o.send()
}

// hand gives b to the socket.
func (l *Link) hand(b []byte) (err error) {
	n := 0
	if l.prompt != nil {
		n, err = l.prompt.Write(b)
	} else {
		n, err = l.socket.Write(b)
	}
	l.sent.Add(int64(n))
	return err
}

// wrote accounts for a write. It is called with mu held, which it may give up for
// a while.
func (o *outbox) wrote(w *written) {
	l := o.link
	if w.err == nil {
		l.delivered.Add(int64(w.ends))
	}
	o.queued -= w.counted
	l.config.Budget.Give(w.counted)
	drained := o.above && o.queued < highWater/2
	if drained {
		o.above = false
		o.makeRoom()
	}
	if w.err != nil {
		o.failed = o.failed || !w.unmade
		o.sealErr = o.sealErr || w.unmade // the socket still takes a close frame
		o.drop()
	}
	if drained || w.err != nil {
		o.mu.Unlock()
		if w.err != nil {
			o.report(w.err)
		}
		if drained {
			l.owner.Drained()
		}
		o.mu.Lock()
	}
}

// settle is called with mu held, and unlocks it, when there is nothing to send.
func (o *outbox) settle() {
	l := o.link
	if !o.finished { // there may be more to send later
		o.writing = false
		o.mu.Unlock()
		return
	}
	o.written = true
	tell := !o.failed && !o.gone && !o.half
	until := o.ending().until
	if until.IsZero() {
		until = time.Now().Add(Linger)
	}
	o.mu.Unlock()
	if tell {
		l.socket.SetReadDeadline(until)
		closeWrite(l.socket)
	}
	o.mu.Lock()
	o.writing = false
	o.wake() // finish may have come after leave
	o.release()
}

func (o *outbox) report(err error) {
	if isTimeout(err) {
		err = ErrSlow
	}
	if !o.link.closing.Load() {
		o.link.owner.Failed(err)
	}
	o.link.Reset() // if the owner did neither Close nor Reset
}

// readerGone is called when reading has ended, after which the socket is closed
// as soon as the writer has ended too. A peer that did not end the connection
// in time, and one that takes nothing, is not waited for.
func (o *outbox) readerGone(err error) {
	o.mu.Lock()
	o.gone = true
	late := isTimeout(err)
	switch {
	case !o.writing && (late || !o.pending()):
		o.failed = o.failed || late
		o.release()
		return
	case !o.writing: // the last is still to be sent
		o.wake()
	case late:
		Abort(o.link.socket)
	case o.written: // the writer is saying goodbye below
		under(o.link.socket).Close()
	}
	o.mu.Unlock()
}

// release closes the socket once both sides have ended. It is called with mu
// held and unlocks it.
func (o *outbox) release() {
	done := o.gone && !o.writing && !o.released
	if done {
		o.released = true
		o.drop()
	}
	failed := o.failed
	o.mu.Unlock()
	if !done {
		return
	}
	if failed {
		Abort(o.link.socket)
	} else {
		under(o.link.socket).Close()
	}
	o.link.owner.Released()
}

package ws

import "encoding/binary"

// Parser is an incremental reader of frames. Its zero value is a strict server
// with the default limits. It never blocks and is not safe for concurrent use.
// Fields that are exported may be changed between messages only.
type Parser struct {
	// Role is the role that we play: a Server wants masked frames.
	Role Role

	// State of the frame and of the message in progress.
	end    fault  // the fault that ended the parser, none while it lives
	flags  uint8  // see the constants below
	op     Opcode // of the frame in progress
	filled uint8  // bytes in head, or in control
	text   UTF8   // of a text message in progress

	// MaxMessage is the largest message accepted, in bytes. A bigger one ends
	// with 1009 as soon as the header that announces it is complete. Not
	// positive means 64 KiB.
	MaxMessage int64

	// MaxFragments is the largest number of frames of one message; one more
	// ends with 1009. 0 means 128, a negative number none: only for a trusted
	// peer that streams.
	MaxFragments int

	left    uint64            // payload bytes of the frame still to come
	size    uint64            // payload bytes of the message so far
	control *[MaxControl]byte // only while a control frame is in pieces
	key     MaskKey           // turned to the next payload byte
	frames  uint32            // of the message in progress
	head    [MaxHeader]byte   // a header in pieces

	// KeepMasks leaves the payload of a Server's data frames as the client masked
	// it, and does not check text. Each chunk comes with its key. Control frames
	// are unmasked as ever. It is down here because it is free here.
	KeepMasks bool
}

const (
	inFrame     uint8 = 1 << iota // the header is complete, the payload is not
	finFrame                      // that frame has FIN
	inMessage                     // a data frame without FIN was begun
	delivered                     // a chunk of the message went out
	textMessage                   // the message is text, else binary
	closed                        // a close frame arrived
)

// Next consumes n bytes of b and says what they were. It must be called again
// with b[n:] until the Kind is None, which means that all of b was consumed.
// Data frames, unless masks are kept, and control frames that are whole in b are
// unmasked in place, so b must be the caller's to change.
//
// An error is an *[Error], is final and is repeated by every further call; the
// chunk in which it was found is not delivered. After a CloseEvent all input is
// swallowed with Kind None.
func (p *Parser) Next(b []byte) (ev Event, n int, err error) {
	switch {
	case p.end != none:
		return Event{}, 0, faults[p.end]
	case p.flags&closed != 0:
		p.control = nil
		return Event{}, len(b), nil
	case p.flags&inFrame == 0:
		p.control = nil // its event was handled by now
	}
	for {
		if p.flags&inFrame == 0 {
			used, ok := p.header(b[n:])
			n += used
			if p.end != none {
				return Event{}, n, faults[p.end]
			}
			if !ok {
				return Event{}, n, nil
			}
		}
		var used int
		if p.op >= Close {
			ev, used = p.controlFrame(b[n:])
		} else {
			ev, used = p.dataFrame(b[n:])
		}
		n += used
		if p.end != none {
			return Event{}, n, faults[p.end]
		}
		if ev.Kind != None || p.flags&inFrame != 0 {
			return ev, n, nil
		}
	}
}

// InMessage says whether a message or a frame was begun and is not complete:
// the peer owes bytes. Progress is measured while it is true.
func (p *Parser) InMessage() bool { return p.flags&inMessage != 0 || p.InFrame() }

// InFrame says whether a frame, even its header, was begun and is not complete.
func (p *Parser) InFrame() bool {
	return p.flags&closed == 0 && (p.flags&inFrame != 0 || p.filled > 0)
}

// header collects one frame header; ok means that it is complete and judged.
func (p *Parser) header(b []byte) (used int, ok bool) {
	h, had := b, int(p.filled)
	if had > 0 {
		h = p.head[:had+copy(p.head[had:], b)]
	}
	size, length := p.judge(h)
	if p.end != none {
		return 0, false
	}
	if len(h) < size {
		copy(p.head[:], h)
		p.filled = uint8(len(h))
		return len(b), false
	}
	p.filled = 0
	p.begin(h[:size], length)
	return size - had, true
}

// judge looks at as much of a header as there is. Every rule is applied at the
// first byte that can break it, in the order of the bytes, so that the verdict
// does not depend on how they arrived. size is right from the second byte on.
func (p *Parser) judge(h []byte) (size int, length uint64) {
	if len(h) == 0 {
		return 2, 0
	}
	if p.end = p.judgeFirst(h[0]); p.end != none || len(h) == 1 {
		return 2, 0
	}
	masked := h[1]&0x80 != 0
	if masked != (p.Role == Server) {
		if p.end = faultUnmasked; masked {
			p.end = faultMasked
		}
		return 2, 0
	}
	control := h[0]&0x08 != 0
	length, size = uint64(h[1]&0x7f), 2
	switch {
	case length > MaxControl && control:
		p.end = faultControlLong
	case length == 126:
		if size = 4; len(h) >= size {
			length = uint64(binary.BigEndian.Uint16(h[2:]))
			if length < 126 {
				p.end = faultNotMinimal
			}
		}
	case length == 127:
		if size = 10; len(h) > 2 && h[2]&0x80 != 0 {
			p.end = faultTopBit
		} else if len(h) >= size {
			length = binary.BigEndian.Uint64(h[2:])
			if length <= 0xffff {
				p.end = faultNotMinimal
			}
		}
	}
	if limit := p.maxMessage(); p.end == none && !control && len(h) >= size &&
		(p.size > limit || length > limit-p.size) { // no sum that could wrap
		p.end = faultTooBig
	}
	if masked {
		size += 4
	}
	return size, length
}

// judgeFirst applies the rules on FIN, the reserved bits and the opcode.
func (p *Parser) judgeFirst(c byte) fault {
	fin, op := c&0x80 != 0, Opcode(c&0x0f)
	switch {
	case c&0x70 != 0:
		return faultReserved
	case op > Binary && op < Close || op > Pong:
		return faultOpcode
	case op >= Close:
		if !fin {
			return faultControlParts
		}
		return none
	case op == Continuation && p.flags&inMessage == 0:
		return faultOrphan
	case op != Continuation && p.flags&inMessage != 0:
		return faultInterleaved
	}
	switch limit := p.MaxFragments; {
	case limit < 0:
		return none
	case limit == 0 && p.frames >= DefaultMaxFragments, limit > 0 && uint64(p.frames) >= uint64(limit):
		return faultTooMany
	}
	return none
}

func (p *Parser) maxMessage() uint64 {
	if p.MaxMessage <= 0 {
		return DefaultMaxMessage
	}
	return uint64(p.MaxMessage)
}

// begin enters the frame whose header h was judged good.
func (p *Parser) begin(h []byte, length uint64) {
	p.op, p.left = Opcode(h[0]&0x0f), length
	p.key = MaskKey{}
	if p.Role == Server {
		p.key = MaskKey(h[len(h)-4:])
	}
	p.flags = p.flags&^finFrame | inFrame
	if h[0]&0x80 != 0 {
		p.flags |= finFrame
	}
	if p.op >= Close {
		return
	}
	if p.op != Continuation {
		p.size, p.frames, p.text = 0, 0, UTF8{}
		p.flags &^= delivered | textMessage
		if p.op == Text {
			p.flags |= textMessage
		}
	}
	p.flags |= inMessage
	if p.frames < 1<<32-1 {
		p.frames++
	}
}

// dataFrame takes what b has of the payload of the data frame in progress.
func (p *Parser) dataFrame(b []byte) (ev Event, used int) {
	if uint64(len(b)) > p.left {
		b = b[:p.left]
	}
	if len(b) == 0 && p.left > 0 {
		return Event{}, 0
	}
	keep, key := p.KeepMasks && p.Role == Server, p.key
	if keep {
		p.key = key.Turn(len(b))
	} else {
		p.key = Mask(b, key)
	}
	p.left -= uint64(len(b))
	p.size += uint64(len(b))
	last := false
	if p.left == 0 {
		p.flags &^= inFrame
		last = p.flags&finFrame != 0
	}
	op := Binary
	if p.flags&textMessage != 0 {
		op = Text
	}
	if op == Text && !keep && (!p.text.Write(b) || last && !p.text.Complete()) {
		p.end = faultText
		return Event{}, len(b)
	}
	if len(b) == 0 && !last {
		return Event{}, 0 // an empty fragment says nothing
	}
	ev = Event{Kind: Data, Op: op, First: p.flags&delivered == 0, Last: last, Data: b, Size: p.size}
	if keep {
		ev.Masked, ev.Key = true, key
	}
	p.flags |= delivered
	if last {
		p.flags &^= inMessage | delivered
		p.size, p.frames = 0, 0
	}
	return ev, len(b)
}

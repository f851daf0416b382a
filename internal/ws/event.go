package ws

import "encoding/binary"

// Kind says what an [Event] is.
type Kind uint8

const (
	None       Kind = iota // all input was consumed; more bytes are needed
	Data                   // a chunk of a message
	PingEvent              // answer with a Pong of the same payload
	PongEvent              // possibly unsolicited
	CloseEvent             // the peer said goodbye; nothing more is parsed
)

// Event is what one step of a [Parser] found.
type Event struct {
	Kind Kind
	Op   Opcode // Data: Text or Binary; else the control frame's own

	// Data: the first, the last chunk of the message. A message comes in any
	// number of chunks, as the bytes arrive and as the peer fragmented it; only
	// the last chunk of a message can be empty.
	First, Last bool

	// Masked is set for Data of a Parser with KeepMasks: Data is as the peer sent
	// it, masked with Key, whose first byte belongs to its first.
	Masked bool

	// Data: the payload, unmasked in place unless Masked, an alias of the input.
	// Control frames: the payload, at most 125 bytes (of a close frame the
	// reason alone), valid until the next call.
	Data []byte

	Code uint16  // CloseEvent: the close code, 1005 when there is none
	Key  MaskKey // of Data that is Masked
	Size uint64  // Data: bytes of the message up to and with this chunk
}

// controlFrame takes what b has of the payload of the control frame in
// progress, and reports the frame once it is whole.
func (p *Parser) controlFrame(b []byte) (ev Event, used int) {
	if uint64(len(b)) > p.left {
		b = b[:p.left]
	}
	payload := b
	if p.control != nil || uint64(len(b)) < p.left {
		if len(b) == 0 {
			return Event{}, 0
		}
		if p.control == nil {
			p.control = new([MaxControl]byte)
		}
		p.filled += uint8(copy(p.control[p.filled:], b))
		payload = p.control[:p.filled]
	}
	if p.left -= uint64(len(b)); p.left > 0 {
		return Event{}, len(b)
	}
	p.flags &^= inFrame
	p.filled = 0
	p.key = Mask(payload, p.key)
	ev = Event{Op: p.op, Data: payload}
	switch p.op {
	case Ping:
		ev.Kind = PingEvent
	case Pong:
		ev.Kind = PongEvent
	default:
		ev.Kind = CloseEvent
		p.flags = closed
		p.end = ev.split()
	}
	return ev, len(b)
}

// split takes the code of a close frame out of its payload.
func (ev *Event) split() fault {
	if len(ev.Data) == 0 {
		ev.Code = noCode
		return none
	}
	if len(ev.Data) == 1 {
		return faultCloseShort
	}
	ev.Code, ev.Data = binary.BigEndian.Uint16(ev.Data), ev.Data[2:]
	if !ValidCloseCode(ev.Code) {
		return faultCloseCode
	}
	var text UTF8
	if !text.Write(ev.Data) || !text.Complete() {
		return faultCloseText
	}
	return none
}

package link

import (
	"encoding/binary"

	"github.com/sallyport/sallyport/internal/ws"
)

// Sealer encrypts the messages that a link sends. Its methods are called in the
// order of the wire, so that what is dropped before it was written was never
// sealed. They append one record each to dst, or nothing.
type Sealer interface {
	// Seal appends the record for a part of a message, of at most 16,381 bytes.
	Seal(dst []byte, op ws.Opcode, more bool, data []byte) ([]byte, error)

	// Due appends a record that the peer waits for, or that a key's age asks for.
	Due(dst []byte) ([]byte, error)

	// End appends the last record: a close that is certainly ours. code is 1005
	// for a close frame without one.
	End(dst []byte, code uint16, reason string) ([]byte, error)
}

// sealFailed is the code with which a client closes whose seal has failed; the
// reason is the fault, said in the clear (spec/seal.md, section 9).
const sealFailed = 4905

// sealedSize is the payload of the largest frame of a link that seals.
const sealedSize = frameSize - 3

// seal appends what is sent in place of queued frames: a binary message for each
// data frame. Control frames stay as they are.
func (o *outbox) seal(dst, frames []byte) ([]byte, error) {
	l := o.link
	dst, err := o.due(dst)
	for len(frames) > 0 && err == nil {
		head, fin, op, payload, rest := splitFrame(frames)
		if op >= ws.Close {
			dst = append(append(dst, head...), payload...)
			frames = rest
			continue
		}
		if op != ws.Continuation {
			o.sealing = op
		}
		if !fin && len(payload) == 0 { // says nothing
			frames = rest
			continue
		}
		var record []byte
		if record, err = l.config.Seal.Seal(nil, o.sealing, !fin, unmasked(head, payload)); err == nil {
			dst = ws.AppendFrame(dst, l.config.Role, true, ws.Binary, record)
		}
		frames = rest
	}
	return dst, err
}

func (o *outbox) due(dst []byte) ([]byte, error) {
	for {
		record, err := o.link.config.Seal.Due(nil)
		if err != nil || len(record) == 0 {
			return dst, err
		}
		dst = ws.AppendFrame(dst, o.link.config.Role, true, ws.Binary, record)
	}
}

// sealEnd appends the announcement, unless a message was cut off, and the sealed
// end, behind which the close frame tells nothing. A seal that cannot go on says
// nothing, and the close frame stays.
func (o *outbox) sealEnd(dst []byte) []byte {
	l := o.link
	e := o.goodbye
	if e.announce != nil && !o.cutOff {
		if more, err := o.seal(dst, e.announce); err == nil {
			dst = more
		}
	}
	code, reason := closeOf(e.code, e.reason)
	if record, err := l.config.Seal.End(nil, code, reason); err == nil {
		dst = ws.AppendFrame(dst, l.config.Role, true, ws.Binary, record)
		e.last = ws.AppendClose(nil, l.config.Role, 1000, "")
	} else if e.code == sealFailed {
		e.last = ws.AppendClose(nil, l.config.Role, e.code, e.reason)
	}
	return dst
}

// closeOf is what a close frame says that is made of code and reason: the beginning
// of a reason that is too long, and nothing for a code that may not be sent.
func closeOf(code uint16, reason string) (uint16, string) {
	_, _, _, payload, _ := splitFrame(ws.AppendClose(nil, ws.Server, code, reason))
	if len(payload) == 0 {
		return 1005, ""
	}
	return code, string(payload[2:])
}

// splitFrame takes one frame of ours off the queue.
func splitFrame(b []byte) (head []byte, fin bool, op ws.Opcode, payload, rest []byte) {
	n, size := 2, uint64(b[1]&0x7f)
	switch size {
	case 126:
		n, size = 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		n, size = 10, binary.BigEndian.Uint64(b[2:])
	}
	if b[1]&0x80 != 0 {
		n += 4
	}
	end := n + int(size)
	return b[:n], b[0]&0x80 != 0, ws.Opcode(b[0] & 0x0f), b[n:end], b[end:]
}

// unmasked takes a client's mask off a payload, in place.
func unmasked(head, payload []byte) []byte {
	if head[1]&0x80 != 0 {
		ws.Mask(payload, ws.MaskKey(head[len(head)-4:]))
	}
	return payload
}

package ws

import (
	"encoding/binary"
	"unicode/utf8"
)

const (
	noCode    = 1005 // a close frame without a code; never on the wire
	maxReason = MaxControl - 2
)

// HeaderSize is the size in bytes of the header of a frame with a payload of
// length bytes that is sent in the given role.
func HeaderSize(role Role, length uint64) int {
	n := 2
	switch {
	case length > 0xffff:
		n += 8
	case length > 125:
		n += 2
	}
	if role == Client {
		n += 4
	}
	return n
}

// AppendHeader appends the header of a frame and returns the key with which the
// payload must go through [Mask] before it follows: a fresh one for a Client, the
// zero key for a Server. A relay leaves HeaderSize bytes free before a payload and
// so frames in place. It panics if a control frame is fragmented or longer than
// 125 bytes, if length has its top bit set, or if the opcode is reserved.
func AppendHeader(dst []byte, role Role, fin bool, op Opcode, length uint64) ([]byte, MaskKey) {
	if role != Client {
		return appendHeader(dst, 0, fin, op, length), MaskKey{}
	}
	key := NewMaskKey()
	return AppendMaskedHeader(dst, fin, op, length, key), key
}

// AppendMaskedHeader appends the header of a Client's frame whose payload is
// already masked, with key. Whoever masked it has chosen the bytes on the wire
// (RFC 6455, section 10.3). It panics as [AppendHeader] does.
func AppendMaskedHeader(dst []byte, fin bool, op Opcode, length uint64, key MaskKey) []byte {
	return append(appendHeader(dst, 0x80, fin, op, length), key[:]...)
}

// appendHeader appends a header up to the key; mask is 0x80 or 0.
func appendHeader(dst []byte, mask byte, fin bool, op Opcode, length uint64) []byte {
	if op > Pong || op > Binary && op < Close || op >= Close && (!fin || length > MaxControl) || length>>63 != 0 {
		panic("ws: a frame that no peer may accept")
	}
	first := byte(op)
	if fin {
		first |= 0x80
	}
	switch {
	case length > 0xffff:
		dst = append(dst, first, mask|127)
		dst = binary.BigEndian.AppendUint64(dst, length)
	case length > 125:
		dst = append(dst, first, mask|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(length))
	default:
		dst = append(dst, first, mask|byte(length))
	}
	return dst
}

// AppendFrame appends a whole frame with a copy of payload, which is left alone;
// a Client's copy is masked with a fresh key. It panics as [AppendHeader] does.
func AppendFrame(dst []byte, role Role, fin bool, op Opcode, payload []byte) []byte {
	dst, key := AppendHeader(dst, role, fin, op, uint64(len(payload)))
	start := len(dst)
	dst = append(dst, payload...)
	Mask(dst[start:], key)
	return dst
}

// AppendClose appends a close frame. The reason is cut to what is valid UTF-8
// and fits into 123 bytes, between two characters. A code that may not appear on
// the wire, 1005 among them, gives a frame without code and reason.
func AppendClose(dst []byte, role Role, code uint16, reason string) []byte {
	if !ValidCloseCode(code) {
		return AppendFrame(dst, role, true, Close, nil)
	}
	var payload [MaxControl]byte
	binary.BigEndian.PutUint16(payload[:], code)
	n := 2 + copy(payload[2:], reason[:reasonSize(reason)])
	return AppendFrame(dst, role, true, Close, payload[:n])
}

// reasonSize is the length of the longest beginning of s that a close frame takes.
func reasonSize(s string) int {
	n := 0
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		if r == utf8.RuneError && size <= 1 || n+size > maxReason {
			break
		}
		n += size
	}
	return n
}

// ValidCloseCode says whether a close code may appear on the wire: the codes
// that RFC 6455, section 7.4, and the IANA registry define for that (1000-1003,
// 1007-1014), those of libraries (3000-3999) and of applications (4000-4999).
func ValidCloseCode(code uint16) bool {
	switch {
	case code >= 3000 && code <= 4999, code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	}
	return false
}

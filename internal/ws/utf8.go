package ws

import (
	"encoding/binary"
	"unicode/utf8"
)

// UTF8 checks text that comes in pieces (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF). Its zero value is ready at the beginning
// of a text. Three bytes of state.
type UTF8 struct {
	need   uint8 // continuation bytes still owed; broken after a failure
	lo, hi uint8 // what the next one may be
}

const broken = 0xff

// Write takes the next bytes and says whether all so far can be the beginning
// of valid UTF-8. It says no at the first byte that makes this impossible, and
// then for ever.
func (u *UTF8) Write(b []byte) bool {
	if u.need == broken {
		return false
	}
	for u.need > 0 && len(b) > 0 {
		if !u.step(b[0]) {
			return false
		}
		b = b[1:]
	}
	const high = 0x8080808080808080 // what no ASCII has
	word := binary.LittleEndian.Uint64
	for len(b) >= 32 {
		c := b[:32:32]
		if (word(c)|word(c[8:])|word(c[16:])|word(c[24:]))&high != 0 {
			break
		}
		b = b[32:]
	}
	for len(b) >= 8 && word(b)&high == 0 {
		b = b[8:]
	}
	// Only the last character can be incomplete: it begins in the last 3 bytes.
	cut := len(b)
	for i := 1; i <= 3 && i <= len(b); i++ {
		if c := b[len(b)-i]; c >= 0xc0 {
			cut = len(b) - i
			break
		} else if c < 0x80 {
			break
		}
	}
	if !utf8.Valid(b[:cut]) {
		u.need = broken
		return false
	}
	for _, c := range b[cut:] {
		if !u.step(c) {
			return false
		}
	}
	return true
}

// Complete says whether the text so far is valid and ends with a whole character.
func (u *UTF8) Complete() bool { return u.need == 0 }

// step takes one byte (Unicode, table 3-7: well-formed UTF-8 byte sequences).
func (u *UTF8) step(c byte) bool {
	if u.need > 0 {
		if c < u.lo || c > u.hi {
			u.need = broken
			return false
		}
		u.need--
		u.lo, u.hi = 0x80, 0xbf
		return true
	}
	u.lo, u.hi = 0x80, 0xbf
	switch {
	case c < 0x80:
	case c >= 0xc2 && c <= 0xdf:
		u.need = 1
	case c >= 0xe0 && c <= 0xef:
		u.need = 2
		if c == 0xe0 {
			u.lo = 0xa0
		} else if c == 0xed {
			u.hi = 0x9f
		}
	case c >= 0xf0 && c <= 0xf4:
		u.need = 3
		if c == 0xf0 {
			u.lo = 0x90
		} else if c == 0xf4 {
			u.hi = 0x8f
		}
	default:
		u.need = broken
		return false
	}
	return true
}

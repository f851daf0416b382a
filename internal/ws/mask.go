package ws

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
)

// MaskKey is the masking key of a frame (RFC 6455, section 5.3), turned so that
// its first byte belongs to the next byte of the payload. The zero key masks
// nothing.
type MaskKey [4]byte

// NewMaskKey returns an unpredictable key, so that nobody who chooses a payload
// chooses the bytes on the wire (RFC 6455, section 10.3).
func NewMaskKey() (key MaskKey) {
	rand.Read(key[:]) // never fails: the program ends when the system has no randomness
	return key
}

// Turn returns the key for what follows n bytes that were, or stay, masked with
// key.
func (key MaskKey) Turn(n int) MaskKey {
	k := binary.LittleEndian.Uint32(key[:])
	binary.LittleEndian.PutUint32(key[:], bits.RotateLeft32(k, -8*(n&3)))
	return key
}

// Mask masks or unmasks b in place and returns the key for the bytes that
// follow b, so that a payload can be worked on piece by piece.
func Mask(b []byte, key MaskKey) MaskKey {
	k := binary.LittleEndian.Uint32(key[:])
	if k == 0 || len(b) == 0 {
		return key
	}
	k64 := uint64(k)<<32 | uint64(k)
	for len(b) >= 64 {
		c := b[:64:64]
		for i := 0; i < 64; i += 16 {
			binary.LittleEndian.PutUint64(c[i:], binary.LittleEndian.Uint64(c[i:])^k64)
			binary.LittleEndian.PutUint64(c[i+8:], binary.LittleEndian.Uint64(c[i+8:])^k64)
		}
		b = b[64:]
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^k64)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(k)
		k = bits.RotateLeft32(k, -8)
	}
	binary.LittleEndian.PutUint32(key[:], k)
	return key
}

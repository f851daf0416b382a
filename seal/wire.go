package seal

import (
	"encoding/binary"
	"errors"
)

// Labels keep the uses of hashes, keys and signatures apart. Each is written
// with its length, so that none is the beginning of another.
const (
	labelIdentity = "sp-seal/1 identity"
	labelKeys     = "sp-seal/1 keys"
	labelKeyID    = "sp-seal/1 key id"
	labelPrologue = "sp-seal/1 prologue"
	labelClient   = "sp-seal/1 client"
	labelServer   = "sp-seal/1 server"
	labelTh1      = "sp-seal/1 th1"
	labelTh2      = "sp-seal/1 th2"
	labelS1       = "sp-seal/1 s1"
	labelS2       = "sp-seal/1 s2"
	labelConfirm  = "sp-seal/1 confirm"
	labelRoot     = "sp-seal/1 root"
	labelC2S      = "sp-seal/1 c2s"
	labelS2C      = "sp-seal/1 s2c"
	labelKey      = "sp-seal/1 key"
	labelIV       = "sp-seal/1 iv"
	labelNext     = "sp-seal/1 next"
	labelAuth     = "sp-seal/1 auth"
	labelRekey    = "sp-seal/1 rekey"
	labelS3       = "sp-seal/1 s3"
	labelTh3      = "sp-seal/1 th3"
)

// appendLP appends b behind its length in two bytes. b is at most 65,535 bytes
// long: every caller has a tighter limit.
func appendLP[T string | []byte](dst []byte, b T) []byte {
	if len(b) > 0xffff {
		panic("seal: a field without a limit")
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(b)))
	return append(dst, b...)
}

// labelled returns LP(label) | parts.
func labelled(label string, parts ...[]byte) []byte {
	n := 2 + len(label)
	for _, p := range parts {
		n += len(p)
	}
	out := appendLP(make([]byte, 0, n), label)
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// reader takes fields off b, in order. The first that is missing makes all
// later ones zero, and end fail.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.b) < n {
		r.bad = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) lp() []byte { return r.take(int(r.u16())) }

// end says whether exactly everything was read.
func (r *reader) end() error {
	if r.bad {
		return errors.New("cut short")
	}
	if len(r.b) != 0 {
		return errors.New("bytes left over")
	}
	return nil
}

package ws

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// limits are those of a Parser under test.
type limits struct {
	role      Role
	message   int64
	fragments int
	keep      bool // masks
}

// transcribe feeds stream to a Parser in pieces and writes down every whole
// message, control frame and error. It fails the test when the parser breaks a
// promise of its documentation.
func transcribe(t testing.TB, l limits, stream []byte, cuts ...int) []string {
	t.Helper()
	p := &Parser{Role: l.role, MaxMessage: l.message, MaxFragments: l.fragments, KeepMasks: l.keep}
	var out []string
	var message []byte
	inside := false
	start := 0
	for i := 0; i <= len(cuts); i++ {
		end := len(stream)
		if i < len(cuts) {
			end = cuts[i]
		}
		b, at := bytes.Clone(stream[start:end]), start
		start = end
		for steps := 0; ; steps++ {
			ev, n, err := p.Next(b)
			if n < 0 || n > len(b) || steps > end+2 {
				t.Fatalf("Next consumed %d of %d bytes at step %d", n, len(b), steps)
			}
			b, at = b[n:], at+n
			if err != nil {
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("error %v is a %T", err, err)
				}
				if _, _, again := p.Next([]byte{0x81}); again != err {
					t.Fatalf("after %v came %v", err, again)
				}
				return append(out, fmt.Sprintf("fault %d %s", e.Code, e.Why))
			}
			if ev.Kind == None {
				if len(b) != 0 {
					t.Fatalf("None with %d bytes left", len(b))
				}
				break
			}
			switch ev.Kind {
			case Data:
				if ev.Masked != (l.keep && l.role == Server) || !ev.Masked && ev.Key != (MaskKey{}) {
					t.Fatalf("Masked is %v, the key %x", ev.Masked, ev.Key)
				}
				if ev.Masked && !bytes.Equal(ev.Data, stream[at-len(ev.Data):at]) {
					t.Fatalf("%x came as %x", stream[at-len(ev.Data):at], ev.Data)
				}
				Mask(ev.Data, ev.Key)
				if ev.First == inside {
					t.Fatalf("First is %v inside=%v", ev.First, inside)
				}
				if len(ev.Data) == 0 && !ev.Last {
					t.Fatal("an empty chunk that is not the last")
				}
				message = append(message, ev.Data...)
				if ev.Size != uint64(len(message)) {
					t.Fatalf("Size is %d after %d bytes", ev.Size, len(message))
				}
				if inside = !ev.Last; ev.Last {
					out = append(out, fmt.Sprintf("%d %q", ev.Op, message))
					message = message[:0]
				} else if !p.InMessage() {
					t.Fatal("InMessage is false inside a message")
				}
			case CloseEvent:
				out = append(out, fmt.Sprintf("close %d %q", ev.Code, ev.Data))
			default:
				out = append(out, fmt.Sprintf("%d %q", ev.Op, ev.Data))
			}
		}
	}
	return out
}

// oracle reads stream a second way: whole, slow, and with everything in sight.
// It shares nothing with Parser but the texts of the faults.
func oracle(l limits, stream []byte) (out []string) {
	limit, most := uint64(DefaultMaxMessage), DefaultMaxFragments
	if l.message > 0 {
		limit = uint64(l.message)
	}
	if l.fragments != 0 {
		most = l.fragments
	}
	var message []byte
	var kind byte
	open, count := false, 0
	fail := func(f fault) []string {
		return append(out, fmt.Sprintf("fault %d %s", faults[f].Code, faults[f].Why))
	}
	for at := 0; at < len(stream); {
		s := stream[at:]
		fin, op := s[0] >= 0x80, s[0]&15
		if s[0]>>4&7 != 0 {
			return fail(faultReserved)
		}
		if !strings.ContainsRune("\x00\x01\x02\x08\x09\x0a", rune(op)) {
			return fail(faultOpcode)
		}
		if op >= 8 && !fin {
			return fail(faultControlParts)
		}
		if op == 0 && !open {
			return fail(faultOrphan)
		}
		if (op == 1 || op == 2) && open {
			return fail(faultInterleaved)
		}
		if op < 8 && most > 0 && count+1 > most {
			return fail(faultTooMany)
		}
		if len(s) < 2 {
			return out
		}
		masked := s[1] >= 0x80
		if l.role == Server && !masked {
			return fail(faultUnmasked)
		}
		if l.role == Client && masked {
			return fail(faultMasked)
		}
		length, head := uint64(s[1]&127), 2
		if op >= 8 && length > 125 {
			return fail(faultControlLong)
		}
		if length >= 126 {
			wide := map[uint64]int{126: 2, 127: 8}[length]
			if wide == 8 && len(s) > 2 && s[2] >= 0x80 {
				return fail(faultTopBit)
			}
			if len(s) < 2+wide {
				return out
			}
			head += wide
			var full [8]byte
			copy(full[8-wide:], s[2:])
			length = binary.BigEndian.Uint64(full[:])
			if length < 126 || wide == 8 && length < 65536 {
				return fail(faultNotMinimal)
			}
		}
		if op < 8 && (length > limit || uint64(len(message))+length > limit) {
			return fail(faultTooBig)
		}
		key := []byte{0, 0, 0, 0}
		if masked {
			if len(s) < head+4 {
				return out
			}
			copy(key, s[head:])
			head += 4
		}
		payload := bytes.Clone(s[head:])
		whole := uint64(len(payload)) >= length
		if whole {
			payload = payload[:length]
		}
		for i := range payload {
			payload[i] ^= key[i%4]
		}
		at += head + len(payload)
		if op >= 8 {
			if !whole {
				return out
			}
			if op != 8 {
				out = append(out, fmt.Sprintf("%d %q", op, payload))
				continue
			}
			code := 1005
			if len(payload) == 1 {
				return fail(faultCloseShort)
			}
			if len(payload) > 1 {
				code = int(payload[0])<<8 | int(payload[1])
				payload = payload[2:]
				if code < 1000 || code >= 5000 || code == 1004 || code == 1005 || code == 1006 || code > 1014 && code < 3000 {
					return fail(faultCloseCode)
				}
				if !utf8.Valid(payload) {
					return fail(faultCloseText)
				}
			}
			return append(out, fmt.Sprintf("close %d %q", code, payload))
		}
		if op != 0 {
			kind = op
		}
		open, count = true, count+1
		message = append(message, payload...)
		end := whole && fin
		if kind == 1 && !(l.keep && l.role == Server) && !possible(message, end) {
			return fail(faultText)
		}
		if end {
			out = append(out, fmt.Sprintf("%d %q", kind, message))
			message, open, count = nil, false, 0
		}
	}
	return out
}

// possible says whether b is UTF-8, or unless it is all, the beginning of it.
func possible(b []byte, all bool) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n <= 1 {
			return !all && !utf8.FullRune(b)
		}
		b = b[n:]
	}
	return true
}

// frame writes a frame as it is told, whether legal or not, with the least
// length encoding. The mask is fixed, so that tests are reproducible.
func frame(masked bool, first byte, payload string) []byte {
	b := []byte{first, 0}
	switch n := len(payload); {
	case n > 0xffff:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	case n > 125:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] = byte(n)
	}
	key := []byte{0x11, 0xa2, 0x33, 0xf4}
	if masked {
		b[1] |= 0x80
		b = append(b, key...)
	}
	for i := range len(payload) {
		c := payload[i]
		if masked {
			c ^= key[i%4]
		}
		b = append(b, c)
	}
	return b
}

// m writes frames of a client: pairs of a first byte and a payload.
func m(pairs ...any) (b []byte) {
	for i := 0; i < len(pairs); i += 2 {
		b = append(b, frame(true, byte(pairs[i].(int)), pairs[i+1].(string))...)
	}
	return b
}

// u writes frames of a server.
func u(pairs ...any) (b []byte) {
	for i := 0; i < len(pairs); i += 2 {
		b = append(b, frame(false, byte(pairs[i].(int)), pairs[i+1].(string))...)
	}
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

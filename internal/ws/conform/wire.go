package conform

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"unicode/utf8"
)

// event is a whole message or control frame of the endpoint.
type event struct {
	op   byte // 1, 2, 8, 10
	code int  // of a close, 1005 when absent
	data []byte
}

// brokenRule is an answer that no endpoint may give.
type brokenRule string

func (b brokenRule) Error() string { return string(b) }

// frame writes one frame, legal or not, with the least length encoding.
func frame(masks bool, first byte, payload string) []byte {
	return appendFrame(nil, masks, first, payload)
}

func appendFrame(b []byte, masks bool, first byte, payload string) []byte {
	mask := byte(0)
	if masks {
		mask = 0x80
	}
	b = append(b, first)
	switch n := len(payload); {
	case n > 0xffff:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(n))
	case n > 125:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = append(b, mask|byte(n))
	}
	if !masks {
		return append(b, payload...)
	}
	key := binary.BigEndian.AppendUint32(nil, rand.Uint32())
	b = append(b, key...)
	start := len(b)
	b = append(b, payload...)
	xor(b[start:], key)
	return b
}

// xor masks b from the first byte of a payload on, in strides of the repeated key.
func xor(b, key []byte) {
	stride := bytes.Repeat(key, min(len(b)/4+1, 1<<10))
	for len(b) > 0 {
		b = b[subtle.XORBytes(b, b, stride):]
	}
}

// reader reads what the endpoint says and judges it by the same rules.
type reader struct {
	r       *bufio.Reader
	masked  bool // the endpoint must mask
	message []byte
	kind    byte // of the message in progress, 0 when none is
	closed  bool
}

func newReader(r io.Reader, masked bool) *reader {
	return &reader{r: bufio.NewReaderSize(r, 64<<10), masked: masked}
}

// next returns the next message or control frame, pings left out: an endpoint
// may ask whether we live. It fails with brokenRule, or as reading does.
func (r *reader) next() (event, error) {
	for {
		first, payload, err := r.frame()
		if err != nil {
			return event{}, err
		}
		fin, op := first&0x80 != 0, first&0x0f
		switch {
		case r.closed:
			return event{}, brokenRule("a frame came after the close frame")
		case first&0x70 != 0:
			return event{}, brokenRule("a reserved bit is set")
		case op == 8 || op == 9 || op == 10:
			if !fin || len(payload) > 125 {
				return event{}, brokenRule("a control frame is fragmented or too long")
			}
			if op == 8 {
				r.closed = true
				return closeEvent(payload)
			}
			if op == 10 {
				return event{op: 10, data: payload}, nil
			}
			continue
		case op > 2:
			return event{}, brokenRule("the opcode is reserved")
		case (op == 0) == (r.kind == 0):
			return event{}, brokenRule("fragments are out of order")
		}
		if op != 0 {
			r.kind = op
		}
		if r.message == nil {
			r.message = payload
		} else {
			r.message = append(r.message, payload...)
		}
		if !fin {
			continue
		}
		ev := event{op: r.kind, data: r.message}
		r.message, r.kind = nil, 0
		if ev.op == 1 && !utf8.Valid(ev.data) {
			return event{}, brokenRule("a text message is not UTF-8")
		}
		return ev, nil
	}
}

func closeEvent(payload []byte) (event, error) {
	if len(payload) == 0 {
		return event{op: 8, code: 1005}, nil
	}
	if len(payload) == 1 || !utf8.Valid(payload[2:]) {
		return event{}, brokenRule("the payload of the close frame is broken")
	}
	return event{op: 8, code: int(binary.BigEndian.Uint16(payload)), data: payload[2:]}, nil
}

// frame reads one frame; its payload is unmasked.
func (r *reader) frame() (first byte, payload []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r.r, head[:2]); err != nil {
		return 0, nil, err
	}
	first = head[0]
	if masked := head[1]&0x80 != 0; masked != r.masked {
		return 0, nil, brokenRule("the mask is wrong for the role")
	}
	n := uint64(head[1] & 0x7f)
	if wide := map[uint64]int{126: 2, 127: 8}[n]; wide > 0 {
		if _, err := io.ReadFull(r.r, head[:wide]); err != nil {
			return 0, nil, err
		}
		if n = binary.BigEndian.Uint64(head[:]); wide == 2 {
			n = uint64(binary.BigEndian.Uint16(head[:]))
		}
		if n < 126 || wide == 8 && n < 1<<16 {
			return 0, nil, brokenRule("a length is not minimally encoded")
		}
	}
	if n > 64<<20 {
		return 0, nil, brokenRule("a frame is larger than anything that was sent")
	}
	var key [4]byte
	if r.masked {
		if _, err := io.ReadFull(r.r, key[:]); err != nil {
			return 0, nil, err
		}
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r.r, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	if r.masked {
		xor(payload, key[:])
	}
	return first, payload, nil
}

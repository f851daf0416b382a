package seal

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Limits of records, in bytes and numbers. The last record that an epoch may
// have changes the key; so few bytes under one key leave AES-GCM's bounds
// (NIST SP 800-38D; draft-irtf-cfrg-aead-limits) far away.
const (
	MaxData      = maxInner - innerHead // application data of one record: 16,381 bytes
	MaxRecord    = 1 + maxInner + tagSize
	maxInner     = 16 << 10
	innerHead    = 3
	tagSize      = 16
	minRecord    = 1 + innerHead + tagSize
	epochRecords = 1 << 16
	epochBytes   = 64 << 20
	maxEpochs    = 1 << 16 // of one direction, between two agreements
)

// limits are the numbers above; tests make them small.
type limits struct {
	records uint32
	bytes   uint64
	epochs  uint32
}

var defaultLimits = limits{epochRecords, epochBytes, maxEpochs}

// half is one direction of a session: a chain of epochs, each with a key and a
// counter of its own. The number of a record is never sent: the receiver opens
// the next one or none.
type half struct {
	limits limits
	secret secret // of this epoch; the next comes from it
	aead   cipher.AEAD
	iv     [12]byte
	nonce  [12]byte // scratch, so that none is allocated

	records uint32 // sealed or opened in this epoch: the next record's number
	bytes   uint64 // on the wire, in this epoch
	epochs  uint32 // since the last agreement
}

// start puts h at the beginning of a chain. It erases s.
func (h *half) start(s *secret) error {
	h.erase()
	h.secret = *s
	clear(s[:])
	h.epochs = 0
	return h.enter()
}

// enter makes key and iv of the epoch from its secret.
func (h *half) enter() error {
	key, iv := h.secret.expand(labelKey, nil), h.secret.expand(labelIV, nil)
	defer clear(key[:])
	defer clear(iv[:])
	aead, err := newAEAD(key[:])
	if err != nil {
		return faultBy(FaultMisuse, err)
	}
	h.aead, h.iv = aead, [12]byte(iv[:12])
	h.records, h.bytes = 0, 0
	return nil
}

// step goes to the next epoch; what the last one was sealed with is erased.
func (h *half) step() error {
	next := h.secret.expand(labelNext, nil)
	h.secret = next
	clear(next[:])
	h.epochs++
	return h.enter()
}

// count adds a record of n bytes and says whether it must be its epoch's last.
func (h *half) count(n int) (mustBeLast bool) {
	h.records++
	h.bytes += uint64(n)
	return h.records >= h.limits.records || h.bytes >= h.limits.bytes
}

func (h *half) spent() bool { return h.epochs >= h.limits.epochs }

// number sets the nonce for the record number h.records. It must be called
// before count.
func (h *half) number() []byte {
	h.nonce = h.iv
	n := binary.BigEndian.Uint64(h.nonce[4:]) ^ uint64(h.records)
	binary.BigEndian.PutUint64(h.nonce[4:], n)
	return h.nonce[:]
}

// seal appends one record to dst. last asks for a change of key behind it, which
// also happens when the epoch is full.
func (h *half) seal(dst []byte, k Kind, more, last bool, data []byte, pad Padding) ([]byte, error) {
	if h.aead == nil {
		return nil, fault(FaultMisuse, "seal after the end of the session")
	}
	if h.spent() {
		return nil, fault(FaultLimit, "too many epochs without a new agreement")
	}
	size := pad.padded(innerHead + len(data))
	nonce := h.number()
	last = h.count(1+size+tagSize) || last

	head := byte(k)
	if more {
		head |= flagMore
	}
	if last {
		head |= flagLast
	}
	at := len(dst)
	dst = slices.Grow(dst, 1+size+tagSize)
	dst = append(dst, typeRecord, head, byte(len(data)>>8), byte(len(data)))
	dst = append(dst, data...)
	dst = append(dst, zeros[:size-innerHead-len(data)]...)
	inner := dst[at+1:]
	dst = h.aead.Seal(dst[:at+1], nonce, inner, dst[at:at+1])
	if last {
		if err := h.step(); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// zeros are the padding of the shortest data in the longest record.
var zeros [maxInner]byte

// open decrypts one record in place. The data points into record.
func (h *half) open(record []byte) (k Kind, more bool, data []byte, err error) {
	if h.aead == nil {
		return 0, false, nil, fault(FaultMisuse, "open after the end of the session")
	}
	if len(record) < minRecord || len(record) > MaxRecord || record[0] != typeRecord {
		return 0, false, nil, fault(FaultBroken, "no record")
	}
	if h.spent() {
		return 0, false, nil, fault(FaultLimit, "too many epochs without a new agreement")
	}
	nonce := h.number()
	inner, err := h.aead.Open(record[1:1], nonce, record[1:], record[:1])
	if err != nil {
		return 0, false, nil, faultBy(FaultBroken, fmt.Errorf("record %d of epoch %d: %w", h.records, h.epochs, err))
	}
	mustBeLast := h.count(len(record))
	k, more, last, data, err := parseInner(inner)
	if err != nil {
		return 0, false, nil, faultBy(FaultMalformed, err)
	}
	if mustBeLast && !last {
		return 0, false, nil, fault(FaultLimit, "the epoch goes on beyond its limit")
	}
	if last {
		if err := h.step(); err != nil {
			return 0, false, nil, err
		}
	}
	return k, more, data, nil
}

// parseInner reads an opened record strictly: one form for one content and
// length of padding.
func parseInner(inner []byte) (k Kind, more, last bool, data []byte, err error) {
	if len(inner) < innerHead {
		return 0, false, false, nil, errors.New("cut short")
	}
	head := inner[0]
	k, more, last = Kind(head&maskKind), head&flagMore != 0, head&flagLast != 0
	n := int(binary.BigEndian.Uint16(inner[1:3]))
	if n > len(inner)-innerHead {
		return 0, false, false, nil, errors.New("more data than there is")
	}
	data = inner[innerHead : innerHead+n : innerHead+n]
	for _, b := range inner[innerHead+n:] {
		if b != 0 {
			return 0, false, false, nil, errors.New("padding that is not zero")
		}
	}
	if head&^(maskKind|flagMore|flagLast) != 0 || k > maxKind {
		return 0, false, false, nil, fmt.Errorf("a record of kind 0x%02x", head)
	}
	return k, more, last, data, nil
}

// erase overwrites what h owns. The key schedule inside the AEAD is left to the
// garbage collector.
func (h *half) erase() {
	clear(h.secret[:])
	clear(h.iv[:])
	clear(h.nonce[:])
	h.aead = nil
}

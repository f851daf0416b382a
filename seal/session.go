package seal

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Record is an opened record, as its receiver's owner sees it.
type Record struct {
	Kind Kind
	More bool // Text and Binary: the message goes on

	// Data of Text and Binary: part of a message, in the buffer of the record. A
	// text message is UTF-8 as a whole only: the owner checks it.
	Data []byte

	// Code and Reason of End: how the other side closed. Code is NoCode if it
	// gave none.
	Code   uint16
	Reason string
}

// Session turns data into records and back, for one side of a connection. It is
// safe for use by several goroutines, but what [Session.Seal] and its like return
// must go to the wire in the order of the calls: hold your own lock from the call
// to the write.
//
// A fault is final: everything owned is erased and every later call fails with
// the same error.
type Session struct {
	client bool
	pad    Padding
	now    func() time.Time

	mu        sync.Mutex // guards everything below; never held while waiting
	out, in   half
	agreement agreement
	err       error // the fault that ended the session

	sending, receiving Kind // of the message under way; Filler if none is
	ended, endReceived bool
}

// newSession makes the session behind a handshake. It erases k.
func newSession(client bool, suite Suite, k *schedule, th2 []byte, pad Padding, now func() time.Time) (*Session, error) {
	s := &Session{client: client, pad: pad, now: now, out: half{limits: defaultLimits}, in: half{limits: defaultLimits}}
	s.agreement = agreement{suite: suite, root: k.root, th: [32]byte(th2), at: now()}
	mine, theirs := &k.s2c, &k.c2s
	if client {
		mine, theirs = theirs, mine
	}
	err := errors.Join(s.out.start(mine), s.in.start(theirs))
	k.erase()
	if err != nil {
		s.eraseLocked()
		return nil, err
	}
	return s, nil
}

// Seal appends to dst the record that carries data, at most [MaxData] bytes, of a
// message of kind Text or Binary. more says that the message goes on with a later
// record; such a record must not be empty. Filler has neither data nor more.
// dst and data must not overlap. It fails with FaultMisuse, and changes nothing,
// for a call that breaks these rules, and with FaultLimit when the session must end.
func (s *Session) Seal(dst []byte, k Kind, more bool, data []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	next, err := follow(s.sending, k, more, len(data))
	if err != nil || k > Binary || len(data) > MaxData || s.ended {
		return nil, fault(FaultMisuse, fmt.Sprintf("seal %d bytes of kind %d: not now, or not at all", len(data), k))
	}
	out, err := s.sealLocked(dst, k, more, false, data)
	if err == nil {
		s.sending = next
	}
	return out, err
}

// follow returns the message under way after a record, which must continue the
// one before it.
func follow(under, k Kind, more bool, n int) (Kind, error) {
	switch k {
	case Text, Binary:
		if under != Filler && under != k {
			return 0, errors.New("a message inside another")
		}
		if more && n == 0 {
			return 0, errors.New("a record that carries nothing and says that more follows")
		}
		if more {
			return k, nil
		}
		return Filler, nil
	case Filler:
		if n != 0 {
			return 0, errors.New("filler with data")
		}
	}
	if more {
		return 0, errors.New("a record that is no data and says that more follows")
	}
	return under, nil
}

// sealLocked seals a record; its error is final.
func (s *Session) sealLocked(dst []byte, k Kind, more, last bool, data []byte) ([]byte, error) {
	out, err := s.out.seal(dst, k, more, last, data, s.pad)
	if err != nil {
		return nil, s.failLocked(err)
	}
	return out, nil
}

// Ratchet appends a record without data behind which this direction has a new
// key. Owners call it when a key is 10 minutes old; full epochs change by
// themselves. Whoever steals the state later cannot open what was sent before.
func (s *Session) Ratchet(dst []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if s.ended {
		return nil, fault(FaultMisuse, "ratchet after the end")
	}
	return s.sealLocked(dst, Filler, false, true, nil)
}

// End appends the last record of this direction: a close that is certainly this
// side's. code and reason are those of a close frame; NoCode and "" for none. A
// message under way stays unfinished. Nothing can be sealed after it.
func (s *Session) End(dst []byte, code uint16, reason string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	data, err := endData(code, reason)
	if err != nil {
		return nil, err
	}
	if s.ended {
		return nil, fault(FaultMisuse, "a second end")
	}
	s.ended = true
	return s.sealLocked(dst, End, false, false, data)
}

// Open decrypts a record in place: one whole binary message of the WebSocket, in
// the order of arrival. After a record of kind Offer or Answer the owner calls
// [Session.Reply] and sends what it returns. It fails with FaultBroken for
// anything but the other side's next record, with FaultMalformed and FaultLimit
// for what the other side itself did wrong.
func (s *Session) Open(record []byte) (Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return Record{}, s.err
	}
	k, more, data, err := s.in.open(record)
	if err != nil {
		return Record{}, s.failLocked(err)
	}
	if s.endReceived {
		return Record{}, s.failLocked(fault(FaultMalformed, "a record after the end"))
	}
	if s.receiving, err = follow(s.receiving, k, more, len(data)); err != nil {
		return Record{}, s.failLocked(faultBy(FaultMalformed, err))
	}
	r := Record{Kind: k, More: more}
	switch k {
	case Text, Binary:
		r.Data = data
	case End:
		r.Code, r.Reason, err = parseEnd(data)
		s.endReceived = err == nil
	case Offer, Answer, Turn:
		err = s.agreeLocked(k, data)
	case Auth:
		err = errors.New("a second credential")
	}
	if err != nil {
		if _, ok := errors.AsType[*Error](err); !ok {
			err = faultBy(FaultMalformed, err)
		}
		return Record{}, s.failLocked(err)
	}
	return r, nil
}

// Closed says what to make of the end of the connection below: nil after the
// other side's sealed end, else FaultTruncated, or the fault that ended the
// session. Only a nil end, and what it said, is the other side's word.
func (s *Session) Closed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.endReceived:
		return nil
	case s.err != nil:
		return s.err
	}
	return fault(FaultTruncated, "the connection ended without a sealed end")
}

// Erase ends the session on this side and overwrites what the package owns of
// its keys. Owners call it when the connection is closed.
func (s *Session) Erase() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = fault(FaultMisuse, "the session is erased")
	}
	s.eraseLocked()
}

func (s *Session) failLocked(err error) error {
	s.err = err
	s.eraseLocked()
	return err
}

func (s *Session) eraseLocked() {
	s.out.erase()
	s.in.erase()
	s.agreement.erase()
}

package client

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// keyAge is how long one key of the seal is used, agreementAge how long what the
// two sides agreed on; after a sleep that is keyAge too, and never less than
// agreementGap by the clock that a sleep stops: the door allows no offer sooner
// than 60 s after the last.
const (
	keyAge       = 10 * time.Minute
	agreementAge = time.Hour
	agreementGap = 2 * time.Minute
	sleepGap     = time.Minute // between two records: the door's beat comes sooner
)

// sealed is a connection's side of SP-Seal/1, once it is agreed on.
type sealed struct {
	session *seal.Session

	// Owned by the event in progress.
	record []byte // what has arrived of one; at most seal.MaxRecord
	begun  bool   // a message is under way
	text   ws.UTF8

	mu      sync.Mutex // guards what follows
	since   instant    // when the key in use was made
	agreed  instant    // the last agreement
	heard   time.Time  // the last record that came, by the wall's clock
	slept   bool       // since the last agreement
	offered bool       // an agreement is under way
}

// instant is a moment by both clocks: the wall's, which counts sleep and may be set
// back, also by whoever is in between, and the one that a sleep stops.
type instant struct{ wall, steady time.Time }

func at(now time.Time) instant { return instant{now.Round(0), now} }

// age is by the clock that went further.
func (i instant) age(now time.Time) time.Duration {
	return max(now.Round(0).Sub(i.wall), now.Sub(i.steady))
}

var _ link.Sealer = (*sealed)(nil)

func newSealed(session *seal.Session) *sealed {
	now := time.Now()
	return &sealed{session: session, since: at(now), agreed: at(now), heard: now.Round(0)}
}

func (s *sealed) Seal(dst []byte, op ws.Opcode, more bool, data []byte) ([]byte, error) {
	kind := seal.Text
	if op == ws.Binary {
		kind = seal.Binary
	}
	return s.session.Seal(dst, kind, more, data)
}

func (s *sealed) End(dst []byte, code uint16, reason string) ([]byte, error) {
	return s.session.End(dst, code, reason)
}

// Due appends the end of an agreement, the beginning of one, or the step to a
// fresh key.
func (s *sealed) Due(dst []byte) ([]byte, error) {
	before := len(dst)
	dst, err := s.session.Reply(dst)
	if err != nil {
		return dst, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch offer, step := s.dueNow(now); {
	case len(dst) > before: // the turn: behind it, all is new
		s.since, s.agreed, s.slept, s.offered = at(now), at(now), false, false
	case offer:
		s.offered = true
		return s.session.Offer(dst)
	case step:
		s.since = at(now)
		return s.session.Ratchet(dst)
	}
	return dst, nil
}

// dueNow says what the age of the keys asks for. It is called with mu held.
func (s *sealed) dueNow(now time.Time) (offer, step bool) {
	age := agreementAge
	if s.slept {
		age = keyAge
	}
	offer = !s.offered && s.agreed.age(now) >= age && now.Sub(s.agreed.steady) > agreementGap
	return offer, s.since.age(now) >= keyAge
}

// opened notes that a record came, and reports whether one is due.
func (s *sealed) opened(k seal.Kind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	wall := now.Round(0)
	s.slept = s.slept || wall.Sub(s.heard) > sleepGap
	s.heard = wall
	offer, step := s.dueNow(now)
	return offer || step || k == seal.Answer
}

// unseal turns a part of a binary message of the wire into a part of a message
// inside, and reports whether there is one.
func (c owner) unseal(ev *ws.Event) bool {
	s := c.sealed
	if ev.Op != ws.Binary {
		c.breach(&seal.Error{Fault: seal.FaultBroken, Cause: errors.New("a text message outside the seal")})
		return false
	}
	record := ev.Data
	if !ev.First || !ev.Last {
		if s.record = append(s.record, ev.Data...); !ev.Last { // the parser's limit bounds it
			return false
		}
		record, s.record = s.record, nil
	}
	r, err := s.session.Open(record)
	if err != nil {
		c.breach(err)
		return false
	}
	c.heard.Store(int64(c.now())) // nothing but a record proves that the door lives
	if s.opened(r.Kind) {
		c.link.Owe()
	}
	switch r.Kind {
	case seal.Text, seal.Binary:
		ev.Op, ev.First, ev.Last, ev.Data = ws.Binary, !s.begun, !r.More, r.Data
		s.begun = r.More
		return r.Kind == seal.Binary || c.sealedText(ev)
	case seal.End:
		c.said(r.Code, r.Reason)
	}
	return false
}

// sealedText checks what the codec could not see.
func (c owner) sealedText(ev *ws.Event) bool {
	text := &c.sealed.text
	if ev.First {
		*text = ws.UTF8{}
	}
	ev.Op = ws.Text
	if text.Write(ev.Data) && (!ev.Last || text.Complete()) {
		return true
	}
	c.breach(&seal.Error{Fault: seal.FaultMalformed, Cause: errors.New("a text message that is not UTF-8")})
	return false
}

// breach ends a connection whose seal is broken, or whose door broke its rules.
func (c owner) breach(err error) {
	fault := string(seal.FaultOf(err))
	c.finish(&CloseError{Code: CodeSeal, Text: fault, Local: true, Err: err})
	c.link.Close(CodeSeal, fault)
}

// truncated is an end that nobody sealed. What came is the door's word; whether
// something is missing is not known.
func truncated(cause error) error { return &seal.Error{Fault: seal.FaultTruncated, Cause: cause} }

// closedOutside is a close frame of whoever is in between.
func closedOutside(code uint16, text string) error {
	return truncated(fmt.Errorf("a close frame without a sealed end: %d %q", code, text))
}

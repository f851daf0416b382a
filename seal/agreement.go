package seal

import (
	"crypto/hpke"
	"errors"
	"fmt"
	"slices"
	"time"
)

// MinAgreement is the least time between two agreements, and between the
// handshake and the first, by the server's clock. An Offer that comes sooner
// ends the session with FaultLimit: each costs an encapsulation. Clients wait
// for 10 minutes at least.
const MinAgreement = time.Minute

// agreement replaces all keys of a session by fresh ones (spec/seal.md, section
// 8): a thief of the old state who did not change messages meanwhile is out.
//
//	client  Offer(public key)          the last but Turn under the old keys
//	server  Answer(encapsulation)      its last under the old keys
//	client  Turn                       its last under the old keys
type agreement struct {
	suite Suite
	root  secret   // carries the authentication of the handshake into the next keys
	th    [32]byte // transcript, up to the last agreement
	at    time.Time

	private hpke.PrivateKey // client: between Offer and Answer
	public  []byte          // the key offered
	peer    hpke.PublicKey  // server: the same, read; not nil means that Answer is due
	turn    bool            // client: Turn is due; server: Turn is awaited
	next    secret          // of c2s, between Answer and Turn
}

func (a *agreement) erase() {
	clear(a.root[:])
	clear(a.next[:])
	a.private, a.public, a.peer, a.turn = nil, nil, nil, false
}

// Offer appends the client's record that begins a new agreement. Owners call it
// every hour, and after a sleep. It fails with FaultMisuse, and changes nothing,
// on the server, after an end, and while an agreement is under way.
func (s *Session) Offer(dst []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	a := &s.agreement
	if !s.client || s.ended || a.private != nil || a.turn {
		return nil, fault(FaultMisuse, "offer: not now, or not from this side")
	}
	kem, _, _ := suiteOf(a.suite)
	sk, err := kem.GenerateKey()
	if err != nil {
		return nil, s.failLocked(faultBy(FaultMisuse, err))
	}
	a.private, a.public = sk, sk.PublicKey().Bytes()
	return s.sealLocked(dst, Offer, false, false, a.public)
}

// Reply appends what an opened Offer or Answer asks for: Answer or Turn. It
// returns dst as it is when nothing is due.
func (s *Session) Reply(dst []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &s.agreement
	switch {
	case s.err != nil:
		return nil, s.err
	case s.ended: // nothing more is sent; the old keys last until the other side ends as well
		return dst, nil
	case s.client && a.turn:
		return s.turnLocked(dst)
	case a.peer != nil:
		return s.answerLocked(dst)
	}
	return dst, nil
}

// agreeLocked takes the content of a record of kind Offer, Answer or Turn.
func (s *Session) agreeLocked(k Kind, data []byte) error {
	a := &s.agreement
	_, n, _ := suiteOf(a.suite)
	switch {
	case k == Offer && !s.client && a.peer == nil && !a.turn:
		if waited := s.now().Sub(a.at); waited < MinAgreement {
			return faultBy(FaultLimit, fmt.Errorf("a new agreement %v after the last", waited))
		}
		pk, err := publicKey(a.suite, data)
		if err != nil {
			return err
		}
		a.public, a.peer = slices.Clone(data), pk
		return nil
	case k == Answer && s.client && a.private != nil && len(data) == n.enc:
		return s.answeredLocked(data)
	case k == Turn && !s.client && a.turn && len(data) == 0:
		a.turn = false
		return s.in.start(&a.next)
	}
	return errors.New("an agreement out of its order")
}

// rekeyInfo is the HPKE info of an agreement on the key offered.
func (a *agreement) rekeyInfo() []byte { return sha(labelRekey, a.th[:], appendLP(nil, a.public)) }

// renew mixes a shared secret into the root and returns the new keys of both
// directions. It erases s3.
func (a *agreement) renew(enc, s3 []byte, now time.Time) schedule {
	th := sha(labelTh3, a.th[:], appendLP(nil, a.public), enc)
	prk := extract(th, a.root[:], s3)
	clear(s3)
	k := derive(&prk, th)
	clear(k.confirm[:])
	a.root, a.th, a.at = k.root, [32]byte(th), now
	a.public, a.peer, a.private = nil, nil, nil
	return k
}

func (s *Session) answerLocked(dst []byte) ([]byte, error) {
	a := &s.agreement
	enc, ctx, err := hpkeSender(a.peer, a.rekeyInfo())
	if err != nil {
		return nil, s.failLocked(faultBy(FaultMalformed, err))
	}
	s3, err := ctx.Export(labelS3, len(secret{}))
	if err != nil {
		return nil, s.failLocked(faultBy(FaultMisuse, err))
	}
	k := a.renew(enc, s3, s.now())
	defer k.erase()
	out, err := s.sealLocked(dst, Answer, false, false, enc)
	if err != nil {
		return nil, err
	}
	a.next, a.turn = k.c2s, true
	if err := s.out.start(&k.s2c); err != nil {
		return nil, s.failLocked(err)
	}
	return out, nil
}

func (s *Session) answeredLocked(enc []byte) error {
	a := &s.agreement
	ctx, err := hpkeRecipient(enc, a.private, a.rekeyInfo())
	if err != nil {
		return err
	}
	s3, err := ctx.Export(labelS3, len(secret{}))
	if err != nil {
		return err
	}
	k := a.renew(enc, s3, s.now())
	defer k.erase()
	a.next, a.turn = k.c2s, true
	return s.in.start(&k.s2c)
}

func (s *Session) turnLocked(dst []byte) ([]byte, error) {
	out, err := s.sealLocked(dst, Turn, false, false, nil)
	if err != nil {
		return nil, err
	}
	s.agreement.turn = false
	if err := s.out.start(&s.agreement.next); err != nil {
		return nil, s.failLocked(err)
	}
	return out, nil
}

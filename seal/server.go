package seal

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Server is the server's side of a handshake, between its answer and the
// client's credential. It is not safe for use by several goroutines.
type Server struct {
	th2     []byte
	session *Session // its keys are known, its peer is not
}

// Accept takes a client's first message on the connection ctx, as the server
// sees that, and returns the answer. It costs a decapsulation and an
// encapsulation, about 0.4 ms: ask for something cheap first. It fails with
// FaultKeys if the client named a key that is not in the ring, which may be
// because it was rotated out, else with FaultHandshake.
//
// Nothing is known of the client yet: send it nothing but the answer.
func Accept(r *Ring, ctx Context, hello []byte, o Options) (s *Server, answer []byte, err error) {
	if err := ctx.check(); err != nil {
		return nil, nil, faultBy(FaultHandshake, err) // the request's line and fields are the client's
	}
	if len(hello) < clientHead || hello[0] != typeClientHello {
		return nil, nil, fault(FaultHandshake, "no first message of a client")
	}
	suite, id := Suite(binary.BigEndian.Uint16(hello[1:3])), KeyID(hello[3:clientHead])
	now := o.now()
	key, sk := r.find(suite, id, now())
	if sk == nil {
		return nil, nil, faultBy(FaultKeys, fmt.Errorf("no key %x of %v in use", id, suite))
	}
	kem, n, _ := suiteOf(suite)
	if size, _ := helloSizes(n); len(hello) != size {
		return nil, nil, faultBy(FaultHandshake, fmt.Errorf("a first message of %d bytes, want %d", len(hello), size))
	}

	p := ctx.prologue(suite, key.public)
	enc1, ct := hello[clientHead:clientHead+n.enc], hello[clientHead+n.enc:]
	hpke1, err := hpkeRecipient(enc1, sk, labelled(labelClient, p[:]))
	if err != nil {
		return nil, nil, faultBy(FaultHandshake, err)
	}
	path, _, _ := strings.Cut(ctx.Target, "?") // a query may hold secrets
	public, err := hpke1.Open(hello[:clientHead], ct)
	if err != nil {
		return nil, nil, faultBy(FaultHandshake, fmt.Errorf("changed on the way, or for another place than %.200q at %q: %w", path, ctx.Authority, err))
	}
	pk, err := kem.NewPublicKey(public)
	if err != nil {
		return nil, nil, faultBy(FaultHandshake, err)
	}
	s1, err := hpke1.Export(labelS1, len(secret{}))
	if err != nil {
		return nil, nil, faultBy(FaultMisuse, err)
	}

	th1 := sha(labelTh1, p[:], hello)
	enc2, hpke2, err := hpkeSender(pk, labelled(labelServer, th1))
	if err != nil {
		return nil, nil, faultBy(FaultHandshake, err)
	}
	s2, err := hpke2.Export(labelS2, len(secret{}))
	if err != nil {
		return nil, nil, faultBy(FaultMisuse, err)
	}
	th2 := sha(labelTh2, th1, enc2)
	k := handshakeKeys(th2, (*secret)(s1), s2)
	confirm := k.confirmation(th2)
	session, err := newSession(false, suite, &k, th2, o.Padding, now)
	if err != nil {
		return nil, nil, err
	}
	answer = slices.Concat([]byte{typeServerHello}, enc2, confirm)
	return &Server{th2: th2, session: session}, answer, nil
}

// Authenticate takes the client's first record and returns the session and the
// credential. The caller judges the credential, and whether it is bound to the
// key that Thumbprint names; until it has, it delivers nothing and seals nothing
// but a refusal. It fails with FaultHandshake if the record is not the client's
// next, with FaultMalformed if it is no credential, with FaultProof if the proof
// in it is wrong. It can be called once. record is overwritten.
func (s *Server) Authenticate(record []byte) (*Session, Credential, error) {
	session := s.session
	if session == nil {
		return nil, Credential{}, fault(FaultMisuse, "authenticate a second time")
	}
	s.session = nil
	cred, err := session.authenticate(s.th2, record)
	clear(record)
	if err != nil {
		session.Erase()
		return nil, Credential{}, err
	}
	return session, cred, nil
}

func (s *Session) authenticate(th2, record []byte) (Credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, more, data, err := s.in.open(record)
	switch {
	case FaultOf(err) == FaultBroken:
		return Credential{}, faultBy(FaultHandshake, err)
	case err != nil:
		return Credential{}, err
	case k != Auth || more:
		return Credential{}, fault(FaultMalformed, "the first record is no credential")
	}
	return parseAuth(th2, data)
}

// Erase gives the handshake up: for a client that is too slow.
func (s *Server) Erase() {
	if s.session != nil {
		s.session.Erase()
		s.session = nil
	}
}

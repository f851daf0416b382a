package seal

import (
	"crypto"
	"crypto/hmac"
	"crypto/hpke"
	"encoding/binary"
	"fmt"
	"time"
)

// Client is the client's side of a handshake, between its first message and the
// answer. It is not safe for use by several goroutines.
type Client struct {
	suite   Suite
	options Options
	private hpke.PrivateKey // ephemeral: nothing that is sent can be opened without it
	th1     []byte
	s1      secret
	done    bool
}

// Options of either side of a handshake. The zero value is good.
type Options struct {
	// Padding of the records sent. The other side takes any.
	Padding Padding

	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

func (o Options) now() func() time.Time {
	if o.Now == nil {
		return time.Now
	}
	return o.Now
}

// clientHead is the part of the first message that everybody can read.
const clientHead = 1 + 2 + len(KeyID{})

// helloSizes returns the length of both messages of a handshake, in bytes. They
// have no others.
func helloSizes(n sizes) (client, server int) {
	return clientHead + n.enc + n.public + tagSize, 1 + n.enc + len(secret{})
}

// NewClient begins a handshake with the server that has key, which comes from a
// verified [Document], for the connection ctx. It returns the first message,
// which goes to the wire as one binary message.
func NewClient(key Entry, ctx Context, o Options) (c *Client, hello []byte, err error) {
	if err := ctx.check(); err != nil {
		return nil, nil, faultBy(FaultMisuse, err)
	}
	pk, err := publicKey(key.Suite, key.Public)
	if err != nil {
		return nil, nil, faultBy(FaultDocument, err)
	}
	kem, _, _ := suiteOf(key.Suite)
	sk, err := kem.GenerateKey()
	if err != nil {
		return nil, nil, faultBy(FaultMisuse, fmt.Errorf("client: %w", err))
	}
	p := ctx.prologue(key.Suite, key.Public)
	enc, hpkeCtx, err := hpkeSender(pk, labelled(labelClient, p[:]))
	if err != nil {
		return nil, nil, faultBy(FaultMisuse, fmt.Errorf("client: %w", err))
	}
	id := key.ID()
	head := binary.BigEndian.AppendUint16([]byte{typeClientHello}, uint16(key.Suite))
	head = append(head, id[:]...)
	ct, err := hpkeCtx.Seal(head, sk.PublicKey().Bytes())
	if err != nil {
		return nil, nil, faultBy(FaultMisuse, fmt.Errorf("client: %w", err))
	}
	s1, err := hpkeCtx.Export(labelS1, len(secret{}))
	if err != nil {
		return nil, nil, faultBy(FaultMisuse, fmt.Errorf("client: %w", err))
	}
	hello = append(append(head, enc...), ct...)
	c = &Client{suite: key.Suite, options: o, private: sk, th1: sha(labelTh1, p[:], hello), s1: secret(s1)}
	clear(s1)
	return c, hello, nil
}

// Finish takes the server's answer and returns the session with its first record,
// which carries cred and, unless device is nil, the proof that this device is at
// the other end. device has an Ed25519 or P-256 key. The server is who the pin
// says when Finish returns without error; whether it admits the credential, its
// first record tells. It fails with FaultHandshake for any other answer. It can
// be called once.
func (c *Client) Finish(answer []byte, cred Credential, device crypto.Signer) (s *Session, record []byte, err error) {
	if c.done {
		return nil, nil, fault(FaultMisuse, "finish a second time")
	}
	defer c.Erase()
	k, th2, err := c.keys(answer)
	if err != nil {
		return nil, nil, faultBy(FaultHandshake, err)
	}
	data, err := authData(th2, cred, device)
	if err != nil {
		k.erase()
		return nil, nil, faultBy(FaultMisuse, fmt.Errorf("credential: %w", err))
	}
	s, err = newSession(true, c.suite, &k, th2, c.options.Padding, c.options.now())
	if err != nil {
		return nil, nil, err
	}
	record, err = s.out.seal(nil, Auth, false, false, data, Buckets) // the length of a credential is never shown
	clear(data)
	if err != nil {
		s.Erase()
		return nil, nil, err
	}
	return s, record, nil
}

// keys derives the session's keys from the answer and checks the confirmation.
func (c *Client) keys(answer []byte) (k schedule, th2 []byte, err error) {
	_, n, _ := suiteOf(c.suite)
	_, size := helloSizes(n)
	if len(answer) != size || answer[0] != typeServerHello {
		return schedule{}, nil, fmt.Errorf("an answer of %d bytes, want %d", len(answer), size)
	}
	enc, confirm := answer[1:1+n.enc], answer[1+n.enc:]
	ctx, err := hpkeRecipient(enc, c.private, labelled(labelServer, c.th1))
	if err != nil {
		return schedule{}, nil, err
	}
	s2, err := ctx.Export(labelS2, len(secret{}))
	if err != nil {
		return schedule{}, nil, err
	}
	th2 = sha(labelTh2, c.th1, enc)
	k = handshakeKeys(th2, &c.s1, s2)
	if !hmac.Equal(confirm, k.confirmation(th2)) {
		k.erase()
		return schedule{}, nil, fmt.Errorf("the server's confirmation is wrong")
	}
	return k, th2, nil
}

// handshakeKeys is the key schedule of a handshake. It erases both secrets.
func handshakeKeys(th2 []byte, s1 *secret, s2 []byte) schedule {
	prk := extract(th2, s1[:], s2)
	clear(s1[:])
	clear(s2)
	return derive(&prk, th2)
}

// Erase gives the handshake up. Finish does it too.
func (c *Client) Erase() {
	clear(c.s1[:])
	c.private, c.done = nil, true
}

package seal

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"

	"github.com/sallyport/sallyport/internal/ecsig"
	"github.com/sallyport/sallyport/internal/edwards"
)

// MaxCredential is the longest credential, in bytes: that of a bearer token.
const MaxCredential = 8192

// CredentialKind says what a credential is.
type CredentialKind uint8

// The kinds of credentials.
const (
	NoCredential CredentialKind = iota // for gates that admit anybody
	Ticket                             // a one-time ticket, "sallyport.ticket.…"
	Token                              // a bearer token
)

// Proof is the algorithm of a device's key.
type Proof uint8

// The algorithms of proofs.
const (
	NoProof    Proof = iota // whoever has the credential may use it
	ProofEd                 // Ed25519
	ProofES256              // ECDSA on P-256 with SHA-256, r and s of 32 bytes each
)

const signatureSize = 64 // of both algorithms

// keySize is the size of the public key of a proof; ok is false for an unknown one.
func (p Proof) keySize() (n int, ok bool) {
	switch p {
	case NoProof:
		return 0, true
	case ProofEd:
		return ed25519.PublicKeySize, true
	case ProofES256:
		return 65, true // uncompressed
	}
	return 0, false
}

// Credential is what a client presents inside the seal, and what a server gets.
type Credential struct {
	Kind  CredentialKind
	Value string // at most MaxCredential bytes; never logged

	// Thumbprint is that of RFC 7638 of the device's key, whose proof for this
	// session has been verified; empty if there was none. A server compares it
	// with the key to which the credential is bound (cnf.jkt of RFC 9449). Clients
	// leave it empty.
	Thumbprint string
}

func (c Credential) check() error {
	if c.Kind > Token || len(c.Value) > MaxCredential || (c.Kind == NoCredential) != (c.Value == "") {
		return errors.New("a credential of another form")
	}
	return nil
}

// authBody is the content of an Auth record but for the signature, with room for
// that: a slice that moves as it grows leaves a copy of the credential behind.
func authBody(c Credential, p Proof, public []byte) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	b := make([]byte, 0, 1+2+len(c.Value)+1+len(public)+signatureSize)
	b = appendLP(append(b, byte(c.Kind)), c.Value)
	return append(append(b, byte(p)), public...), nil
}

// withProof puts a device's signature behind the body; without one the body is erased.
func withProof(body, sig []byte, err error) ([]byte, error) {
	if err != nil {
		clear(body)
		return nil, err
	}
	return append(body, sig...), nil
}

// proven is what a device signs: this session, and this credential in it.
func proven(th2, body []byte) []byte {
	sum := sha256.Sum256(body)
	return labelled(labelAuth, th2, sum[:])
}

// authData is the content of the Auth record: the credential, and, if device is
// not nil, the proof by it.
func authData(th2 []byte, c Credential, device crypto.Signer) ([]byte, error) {
	if device == nil {
		return authBody(c, NoProof, nil)
	}
	switch pub := device.Public().(type) {
	case ed25519.PublicKey:
		body, err := authBody(c, ProofEd, pub)
		if err != nil {
			return nil, err
		}
		sig, err := device.Sign(rand.Reader, proven(th2, body), crypto.Hash(0))
		return withProof(body, sig, err)
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return nil, errors.New("a device's key on another curve than P-256")
		}
		point, err := pub.Bytes()
		if err != nil {
			return nil, err
		}
		body, err := authBody(c, ProofES256, point)
		if err != nil {
			return nil, err
		}
		digest := sha256.Sum256(proven(th2, body))
		der, err := device.Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil {
			return withProof(body, nil, err)
		}
		sig, err := ecsig.Fixed(der)
		return withProof(body, sig, err)
	}
	return nil, fmt.Errorf("a device's key of type %T; want Ed25519 or P-256", device.Public())
}

// parseAuth reads the content of an Auth record and verifies the proof in it,
// with FaultMalformed or FaultProof.
func parseAuth(th2, data []byte) (Credential, error) {
	r := &reader{b: data}
	c := Credential{Kind: CredentialKind(r.u8()), Value: string(r.lp())}
	p := Proof(r.u8())
	n, ok := p.keySize()
	if !ok {
		return Credential{}, fault(FaultMalformed, "a proof of an unknown kind")
	}
	key := r.take(n)
	body := data[:len(data)-len(r.b)]
	var sig []byte
	if p != NoProof {
		sig = r.take(signatureSize)
	}
	if err := r.end(); err != nil {
		return Credential{}, faultBy(FaultMalformed, err)
	}
	if err := c.check(); err != nil {
		return Credential{}, faultBy(FaultMalformed, err)
	}
	if p == NoProof {
		return c, nil
	}
	if !verifyProof(p, key, proven(th2, body), sig) {
		return Credential{}, fault(FaultProof, "the proof does not verify")
	}
	c.Thumbprint = thumbprint(p, key)
	return c, nil
}

func verifyProof(p Proof, key, signed, sig []byte) bool {
	if p == ProofEd {
		return !edwards.SmallOrder(key) && ed25519.Verify(key, signed, sig)
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), key)
	if err != nil {
		return false
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])})
	if err != nil {
		return false
	}
	digest := sha256.Sum256(signed)
	return ecdsa.VerifyASN1(pub, digest[:], der)
}

// thumbprint is that of RFC 7638: SHA-256 over the members in lexicographic
// order, without white space.
func thumbprint(p Proof, key []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	jwk := `{"crv":"Ed25519","kty":"OKP","x":"` + b64(key) + `"}`
	if p == ProofES256 {
		jwk = `{"crv":"P-256","kty":"EC","x":"` + b64(key[1:33]) + `","y":"` + b64(key[33:]) + `"}`
	}
	sum := sha256.Sum256([]byte(jwk))
	return b64(sum[:])
}

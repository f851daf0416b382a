package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/ecsig"
)

// Signer signs tokens with one private key: ES256 on P-256, or EdDSA on Ed25519.
// Its kid is the RFC 7638 thumbprint of the key. Its methods may be called from
// any goroutine.
//
// Tokens of different kinds are told apart by their typ, and better by their
// keys as well: use one signer for access tokens and another for identities.
type Signer struct {
	private crypto.Signer
	key     *key
}

// NewSigner makes a signer with a fresh ES256 key.
func NewSigner() (*Signer, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("jwt: make a key: %w", err)
	}
	return signer(private)
}

// ParseSigner reads a private key in PEM: one block "PRIVATE KEY" (PKCS #8) and
// nothing else, holding a P-256 or an Ed25519 key.
func ParseSigner(data []byte) (*Signer, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("jwt: not one PEM block of type PRIVATE KEY")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("jwt: read the private key: %w", err)
	}
	return signer(private)
}

func signer(private any) (*Signer, error) {
	switch private := private.(type) {
	case *ecdsa.PrivateKey:
		if private.Curve == elliptic.P256() {
			return &Signer{private, named(&private.PublicKey, "ES256")}, nil
		}
	case ed25519.PrivateKey:
		return &Signer{private, named(private.Public(), "EdDSA")}, nil
	}
	return nil, errors.New("jwt: tokens are signed by a P-256 or an Ed25519 key only")
}

func named(public crypto.PublicKey, alg string) *key {
	id := thumbprint(public)
	return &key{id: id, kid: id, alg: alg, public: public}
}

// KeyID is the kid: the RFC 7638 thumbprint of the key.
func (s *Signer) KeyID() string { return s.key.id }

// Alg is the algorithm: ES256 or EdDSA.
func (s *Signer) Alg() string { return s.key.alg }

// MarshalPEM is the private key for [ParseSigner]. Keep it in a file of mode 0600.
func (s *Signer) MarshalPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(s.private)
	if err != nil {
		return nil, fmt.Errorf("jwt: write the private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// JWKS is the document that publishes the public key.
func (s *Signer) JWKS() []byte { return PublicSet(s).JWKS() }

// PublicSet is the set of the public keys of signers, the first one first.
func PublicSet(signers ...*Signer) *KeySet {
	set := &KeySet{}
	for _, s := range signers {
		set.keys = append(set.keys, s.key)
	}
	return set
}

// Sign makes a token of the kind typ. claims is a map or a struct that is a JSON
// object; times in it are whole seconds since 1970 (NumericDate). It fails if typ is
// empty, if claims are no JSON object, or if the token would be longer than the
// 8 KiB that a [Verifier] reads.
func (s *Signer) Sign(typ string, claims any) (string, error) {
	if typ == "" {
		return "", errors.New("jwt: a token without a kind can be used as any other")
	}
	head, err := json.Marshal(struct { // as a map would be written
		Alg string `json:"alg"`
		Kid string `json:"kid"`
		Typ string `json:"typ"`
	}{s.key.alg, s.key.kid, typ})
	if err != nil {
		return "", fmt.Errorf("jwt: marshal the header: %w", err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("jwt: marshal the claims: %w", err)
	}
	if body[0] != '{' {
		return "", errors.New("jwt: the claims are no JSON object")
	}
	b64 := base64.RawURLEncoding
	token := make([]byte, 0, b64.EncodedLen(len(head)+len(body)+ecsig.Size)+4) // Ed25519's are as long
	token = append(b64.AppendEncode(token, head), '.')
	token = b64.AppendEncode(token, body)
	signature, err := s.sign(token)
	if err != nil {
		return "", fmt.Errorf("jwt: sign: %w", err)
	}
	token = b64.AppendEncode(append(token, '.'), signature)
	if len(token) > maxToken {
		return "", fmt.Errorf("jwt: the token has %d bytes, more than %d", len(token), maxToken)
	}
	return string(token), nil
}

// sign is deterministic for ES256 too, as RFC 8725, section 3.2, wants it.
func (s *Signer) sign(signed []byte) ([]byte, error) {
	switch private := s.private.(type) {
	case *ecdsa.PrivateKey:
		digest := sha256.Sum256(signed)
		der, err := private.Sign(nil, digest[:], crypto.SHA256) // RFC 6979
		if err != nil {
			return nil, err
		}
		return ecsig.Fixed(der)
	case ed25519.PrivateKey:
		return ed25519.Sign(private, signed), nil
	}
	panic(fmt.Sprintf("jwt: a signer of type %T", s.private))
}

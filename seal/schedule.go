package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
)

// The key schedule uses HKDF-SHA256 (RFC 5869) with outputs of at most one
// block, so that Extract and Expand are one HMAC each.

// secret is a key that the package owns and erases.
type secret [32]byte

// extract is HKDF-Extract.
func extract(salt []byte, parts ...[]byte) (out secret) {
	m := hmac.New(sha256.New, salt)
	for _, p := range parts {
		m.Write(p)
	}
	m.Sum(out[:0])
	return out
}

// expand is HKDF-Expand to 32 bytes with info LP(label) | th.
func (s *secret) expand(label string, th []byte) (out secret) {
	m := hmac.New(sha256.New, s[:])
	m.Write(labelled(label, th, []byte{1}))
	m.Sum(out[:0])
	return out
}

// schedule is what a handshake, or a new agreement, gives.
type schedule struct {
	confirm, root, c2s, s2c secret
}

// derive computes the secrets of a session; prk is erased.
func derive(prk *secret, th []byte) schedule {
	defer clear(prk[:])
	return schedule{
		confirm: prk.expand(labelConfirm, th),
		root:    prk.expand(labelRoot, th),
		c2s:     prk.expand(labelC2S, th),
		s2c:     prk.expand(labelS2C, th),
	}
}

func (k *schedule) erase() {
	clear(k.confirm[:])
	clear(k.root[:])
	clear(k.c2s[:])
	clear(k.s2c[:])
}

// confirmation is the server's proof that it has both shared secrets.
func (k *schedule) confirmation(th2 []byte) []byte {
	m := hmac.New(sha256.New, k.confirm[:])
	m.Write(th2)
	return m.Sum(nil)
}

func sha(label string, parts ...[]byte) []byte {
	sum := sha256.Sum256(labelled(label, parts...))
	return sum[:]
}

// newAEAD is AES-256-GCM. Tests put an auditor of nonces around it.
var newAEAD = func(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

package seal

import (
	"crypto/ecdh"
	"crypto/hpke"
	"fmt"
	"strconv"
)

// Suite is a complete set of algorithms; parts are never negotiated. Both use
// HKDF-SHA256 and AES-256-GCM.
type Suite uint16

const (
	// Hybrid is MLKEM768-X25519 (HPKE KEM 0x647a), the default.
	Hybrid Suite = 0x0001

	// Classical is DHKEM(X25519, HKDF-SHA256) (HPKE KEM 0x0020), for clients
	// that cannot do ML-KEM. It does not withstand a quantum computer, and is
	// used only where it is named.
	Classical Suite = 0x0002
)

func (s Suite) String() string {
	switch s {
	case Hybrid:
		return "MLKEM768-X25519"
	case Classical:
		return "X25519"
	}
	return "suite 0x" + strconv.FormatUint(uint64(s), 16)
}

// sizes of what a suite puts on the wire, in bytes.
type sizes struct {
	public, private, enc int
}

// suiteOf returns the algorithms of s; ok is false for a suite unknown here.
func suiteOf(s Suite) (kem hpke.KEM, n sizes, ok bool) {
	switch s {
	case Hybrid:
		return hpke.MLKEM768X25519(), sizes{public: 1216, private: 32, enc: 1120}, true
	case Classical:
		return hpke.DHKEM(ecdh.X25519()), sizes{public: 32, private: 32, enc: 32}, true
	}
	return nil, sizes{}, false
}

// publicKey reads a public key of s. It fails for an unknown suite, another
// length, and a key that the KEM refuses (FIPS 203, section 7.2).
func publicKey(s Suite, b []byte) (hpke.PublicKey, error) {
	kem, n, ok := suiteOf(s)
	if !ok {
		return nil, fmt.Errorf("%v is unknown", s)
	}
	if len(b) != n.public {
		return nil, fmt.Errorf("a public key of %d bytes, %v has %d", len(b), s, n.public)
	}
	return kem.NewPublicKey(b)
}

func hpkeSender(pk hpke.PublicKey, info []byte) (enc []byte, s *hpke.Sender, err error) {
	return hpke.NewSender(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
}

func hpkeRecipient(enc []byte, sk hpke.PrivateKey, info []byte) (*hpke.Recipient, error) {
	return hpke.NewRecipient(enc, sk, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
}

package seal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// Pin names the long-term identity of a server: a hash of its Ed25519 public
// key. A client that has a pin accepts nothing unsealed, and no other server.
type Pin [32]byte

const pinPrefix = "sp1."

// PinOf returns the pin of an identity.
func PinOf(identity ed25519.PublicKey) Pin {
	return sha256.Sum256(labelled(labelIdentity, identity))
}

// String is "sp1." and the hash in base64url without padding: 47 characters.
func (p Pin) String() string { return pinPrefix + base64.RawURLEncoding.EncodeToString(p[:]) }

// ParsePin reads what [Pin.String] writes, and nothing else.
func ParsePin(s string) (Pin, error) {
	var p Pin
	rest, ok := strings.CutPrefix(s, pinPrefix)
	if !ok || len(rest) != base64.RawURLEncoding.EncodedLen(len(p)) {
		return Pin{}, faultBy(FaultPin, errors.New(`a pin is "sp1." and 43 characters of base64url`))
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(p[:], []byte(rest)); err != nil {
		return Pin{}, faultBy(FaultPin, err)
	}
	if p.String() != s { // package base64 skips line ends, even when strict
		return Pin{}, faultBy(FaultPin, errors.New("a pin with line ends"))
	}
	return p, nil
}

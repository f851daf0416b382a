package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// The chat is somebody else's program: it knows the door by this header and its
// published keys only. A backend of your own would use the JWT library of its
// language, told to accept ES256, this type, this issuer and this audience.
const (
	identityHeader = "Sallyport-Identity"
	identityType   = "sallyport-identity+jwt"
)

// identities verifies the door's signed word on who is connected.
type identities struct {
	issuer, audience string
	keys             map[string]*ecdsa.PublicKey // by kid
}

// newIdentities reads the key set that the door publishes at
// /.well-known/sallyport-identity.jwks.
func newIdentities(jwks []byte, issuer, audience string) (*identities, error) {
	var set struct {
		Keys []struct{ Kty, Crv, Kid, X, Y string }
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	v := &identities{issuer: issuer, audience: audience, keys: map[string]*ecdsa.PublicKey{}}
	for _, k := range set.Keys {
		if k.Kty != "EC" || k.Crv != "P-256" {
			continue
		}
		x, errX := decode(k.X)
		y, errY := decode(k.Y)
		if err := errors.Join(errX, errY); err != nil || len(x) != 32 || len(y) != 32 {
			return nil, fmt.Errorf("key set: key %q is malformed", k.Kid)
		}
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err != nil {
			return nil, fmt.Errorf("key set: %w", err)
		}
		v.keys[k.Kid] = key
	}
	if len(v.keys) == 0 {
		return nil, errors.New("key set: no key for ES256")
	}
	return v, nil
}

// subject returns who the door says is connected.
func (v *identities) subject(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("identity: not a signed token")
	}
	var head struct{ Alg, Typ, Kid string }
	if err := decodeJSON(parts[0], &head); err != nil {
		return "", err
	}
	key := v.keys[head.Kid]
	if head.Alg != "ES256" || head.Typ != identityType || key == nil {
		return "", errors.New("identity: another algorithm, type or key")
	}
	signature, err := decode(parts[2])
	if err != nil || len(signature) != 64 {
		return "", errors.New("identity: malformed signature")
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(key, digest[:], r, s) {
		return "", errors.New("identity: the signature does not verify")
	}
	var claims struct {
		Iss, Aud, Sub string
		Exp           int64
	}
	if err := decodeJSON(parts[1], &claims); err != nil {
		return "", err
	}
	switch {
	case claims.Iss != v.issuer || claims.Aud != v.audience:
		return "", errors.New("identity: of another door, or for another backend")
	case time.Now().Unix() >= claims.Exp:
		return "", errors.New("identity: expired")
	case claims.Sub == "":
		return "", errors.New("identity: of nobody")
	}
	return claims.Sub, nil
}

func decode(s string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(s) }

func decodeJSON(part string, v any) error {
	b, err := decode(part)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return nil
}

package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/sallyport/sallyport/internal/edwards"
	"github.com/sallyport/sallyport/internal/strictjson"
)

const (
	maxKeys  = 100
	maxTried = 4 // keys whose signature is tried for one token
	minRSA   = 2048
	maxRSA   = 8192 // bits; a longer key costs more than it protects
)

// KeySet is a set of public keys. It never changes.
type KeySet struct{ keys []*key }

// key is one public key that may verify signatures.
type key struct {
	id     string // RFC 7638 thumbprint, SHA-256, base64url
	kid    string // the issuer's name for it; may be empty
	alg    string // the only algorithm that its issuer allows; "" for every one that fits
	public crypto.PublicKey
}

// same reports whether k and o verify the same tokens.
func (k *key) same(o *key) bool { return k.id == o.id && k.kid == o.kid && k.alg == o.alg }

// ParseKeySet reads a JWK set (RFC 7517, section 5) of at most 256 KiB and 100
// keys. Entries that can't verify signatures here are left out: other types and
// curves, RSA below 2048 bits, points not on their curve, a use other than
// "sig", and every entry that carries a secret, which is no secret any more.
func ParseKeySet(data []byte) (*KeySet, error) {
	if len(data) > maxSet {
		return nil, fmt.Errorf("jwt: key set has more than %d bytes", maxSet)
	}
	doc, err := strictjson.Object(data)
	if err != nil {
		return nil, fmt.Errorf("jwt: key set: %w", err)
	}
	var entries []json.RawMessage
	if raw := doc["keys"]; len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &entries) != nil {
		return nil, errors.New("jwt: key set has no list of keys")
	}
	if len(entries) > maxKeys {
		return nil, fmt.Errorf("jwt: key set has %d keys, more than %d", len(entries), maxKeys)
	}
	set := &KeySet{}
	for _, raw := range entries {
		if k, err := parseKey(raw); err == nil {
			set.keys = append(set.keys, k)
		}
	}
	return set, nil
}

// Len is the number of usable keys.
func (s *KeySet) Len() int { return len(s.keys) }

// JWKS is the document that publishes the set: public keys only.
func (s *KeySet) JWKS() []byte {
	doc := struct {
		Keys []map[string]string `json:"keys"`
	}{Keys: []map[string]string{}}
	for _, k := range s.keys {
		m := members(k.public)
		m["use"] = "sig"
		if k.kid != "" {
			m["kid"] = k.kid
		}
		if k.alg != "" {
			m["alg"] = k.alg
		}
		doc.Keys = append(doc.Keys, m)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic("jwt: marshal key set: " + err.Error()) // strings only
	}
	return b
}

// find returns the keys to try for a token: those named kid that fit alg, or,
// for a token without kid, all that fit alg; in the order of the set, at most
// maxTried.
func (s *KeySet) find(kid, alg string) []*key {
	var out []*key
	for _, k := range s.keys {
		if (kid == "" || k.kid == kid) && k.fits(alg) {
			if out = append(out, k); len(out) == maxTried {
				break
			}
		}
	}
	return out
}

func (s *KeySet) has(id string) bool {
	return slices.ContainsFunc(s.keys, func(k *key) bool { return k.id == id })
}

// parseKey reads one JWK (RFC 7517, section 4).
func parseKey(raw json.RawMessage) (*key, error) {
	m, err := strictjson.Object(raw)
	if err != nil {
		return nil, err
	}
	for _, secret := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, ok := m[secret]; ok {
			return nil, errors.New("entry is not public")
		}
	}
	if raw, ok := m["use"]; ok {
		if use, _ := asString(raw); use != "sig" {
			return nil, errors.New("not for signatures")
		}
	}
	if raw, ok := m["key_ops"]; ok {
		if ops, _ := asStrings(raw); !slices.Contains(ops, "verify") {
			return nil, errors.New("not for verification")
		}
	}
	k := &key{}
	if raw, ok := m["kid"]; ok {
		if k.kid, ok = asString(raw); !ok || len(k.kid) > maxKid {
			return nil, errors.New("unusable kid")
		}
	}
	if raw, ok := m["alg"]; ok {
		alg, ok := asString(raw)
		if !ok {
			return nil, errors.New("unusable alg")
		}
		k.alg = canonicalAlg(alg)
	}
	if k.public, err = publicKey(m); err != nil {
		return nil, err
	}
	if k.alg != "" && !k.fits(k.alg) {
		return nil, fmt.Errorf("alg %.20q does not fit the key", k.alg)
	}
	k.id = thumbprint(k.public)
	return k, nil
}

// publicKey reads the members of RFC 7518, section 6, and RFC 8037.
func publicKey(m map[string]json.RawMessage) (crypto.PublicKey, error) {
	kty, _ := asString(m["kty"])
	crv, _ := asString(m["crv"])
	switch {
	case kty == "EC":
		return ecKey(crv, octets(m["x"]), octets(m["y"]))
	case kty == "OKP" && crv == "Ed25519":
		x := octets(m["x"])
		if len(x) != ed25519.PublicKeySize || edwards.SmallOrder(x) {
			return nil, errors.New("not a point of Ed25519")
		}
		return ed25519.PublicKey(x), nil
	case kty == "RSA":
		return rsaKey(octets(m["n"]), octets(m["e"]))
	}
	return nil, fmt.Errorf("type %.20q %.20q is not used here", kty, crv)
}

func ecKey(crv string, x, y []byte) (crypto.PublicKey, error) {
	curve, ok := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[crv]
	if !ok {
		return nil, fmt.Errorf("curve %.20q is not used here", crv)
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(x) != size || len(y) != size {
		return nil, errors.New("coordinates do not have the size of the curve")
	}
	// ParseUncompressedPublicKey refuses a point that is not on the curve.
	return ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
}

func rsaKey(n, e []byte) (crypto.PublicKey, error) {
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	if bits := modulus.BitLen(); bits < minRSA || bits > maxRSA || modulus.Bit(0) == 0 {
		return nil, fmt.Errorf("RSA modulus is even or not of %d to %d bits", minRSA, maxRSA)
	}
	if exponent.BitLen() > 31 || exponent.Bit(0) == 0 || exponent.Cmp(big.NewInt(3)) < 0 {
		return nil, errors.New("RSA exponent is even, below 3 or too large")
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
}

// octets reads a base64url member; nil if it is none.
func octets(raw json.RawMessage) []byte {
	s, ok := asString(raw)
	if !ok {
		return nil
	}
	b, err := decode(s)
	if err != nil {
		return nil
	}
	return b
}

// members are those of RFC 7638, section 3.2: all that identifies a key.
func members(public crypto.PublicKey) map[string]string {
	switch pub := public.(type) {
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			panic("jwt: a key off its curve: " + err.Error()) // checked when it was read
		}
		half := len(point) / 2
		return map[string]string{"kty": "EC", "crv": pub.Params().Name, "x": encode(point[1 : 1+half]), "y": encode(point[1+half:])}
	case ed25519.PublicKey:
		return map[string]string{"kty": "OKP", "crv": "Ed25519", "x": encode(pub)}
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "n": encode(pub.N.Bytes()), "e": encode(big.NewInt(int64(pub.E)).Bytes())}
	}
	panic(fmt.Sprintf("jwt: a key of type %T", public))
}

// thumbprint is that of RFC 7638: SHA-256 over the members in lexicographic
// order, without white space, which is how encoding/json writes a map.
func thumbprint(public crypto.PublicKey) string {
	b, err := json.Marshal(members(public))
	if err != nil {
		panic("jwt: marshal thumbprint: " + err.Error()) // strings only
	}
	sum := sha256.Sum256(b)
	return encode(sum[:])
}

package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	_ "crypto/sha256" // registers the hashes of algTable
	_ "crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

type family uint8

const (
	ecdsaFamily family = iota + 1
	edFamily
	pssFamily
	pkcs1Family
	hmacFamily
)

// algTable holds every algorithm that exists here (RFC 7518, section 3.1, and
// RFC 8037). "none" is not among them.
var algTable = map[string]struct {
	family family
	hash   crypto.Hash
	curve  elliptic.Curve
}{
	"ES256": {ecdsaFamily, crypto.SHA256, elliptic.P256()},
	"ES384": {ecdsaFamily, crypto.SHA384, elliptic.P384()},
	"ES512": {ecdsaFamily, crypto.SHA512, elliptic.P521()},
	"EdDSA": {edFamily, crypto.SHA512, nil},
	"PS256": {pssFamily, crypto.SHA256, nil},
	"PS384": {pssFamily, crypto.SHA384, nil},
	"PS512": {pssFamily, crypto.SHA512, nil},
	"RS256": {pkcs1Family, crypto.SHA256, nil},
	"RS384": {pkcs1Family, crypto.SHA384, nil},
	"RS512": {pkcs1Family, crypto.SHA512, nil},
	"HS256": {hmacFamily, crypto.SHA256, nil},
	"HS384": {hmacFamily, crypto.SHA384, nil},
	"HS512": {hmacFamily, crypto.SHA512, nil},
}

// canonicalAlg maps the name of RFC 9864 to that of RFC 8037: both are Ed25519
// here, Ed448 does not exist.
func canonicalAlg(alg string) string {
	if alg == "Ed25519" {
		return "EdDSA"
	}
	return alg
}

// algorithms checks the list of accepted algorithms. Signatures and shared
// secrets never mix: what can't be configured can't be confused.
func algorithms(list []string, secret bool) ([]string, error) {
	if list == nil {
		if secret {
			return []string{"HS256"}, nil
		}
		return []string{"ES256", "EdDSA", "PS256", "RS256"}, nil
	}
	if len(list) == 0 {
		return nil, errors.New("algs is empty: no token would be accepted")
	}
	var out []string
	var errs []error
	for _, alg := range list {
		alg = canonicalAlg(alg)
		a, ok := algTable[alg]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("algorithm %q is not known here", alg))
		case a.family == hmacFamily && !secret:
			errs = append(errs, fmt.Errorf("algorithm %s needs secret instead of a key set", alg))
		case a.family != hmacFamily && secret:
			errs = append(errs, fmt.Errorf("algorithm %s has no use for a secret; HS256, HS384 and HS512 are configured alone", alg))
		case !slices.Contains(out, alg):
			out = append(out, alg)
		}
	}
	return out, errors.Join(errs...)
}

// fits reports whether k may be used with alg: by its type, its curve, and the
// alg that its issuer gave it.
func (k *key) fits(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	a, ok := algTable[alg]
	if !ok {
		return false
	}
	switch pub := k.public.(type) {
	case *ecdsa.PublicKey:
		return a.family == ecdsaFamily && pub.Curve == a.curve
	case ed25519.PublicKey:
		return a.family == edFamily
	case *rsa.PublicKey:
		return a.family == pssFamily || a.family == pkcs1Family
	}
	return false
}

// verify reports whether signature is k's over signed. The lengths and ranges
// are those of RFC 7518: an ECDSA signature is exactly two numbers of the size
// of the curve, each in [1, n-1]; a PSS salt is as long as the hash.
func (k *key) verify(alg string, signed, signature []byte) bool {
	if !k.fits(alg) {
		return false
	}
	a := algTable[alg]
	if pub, ok := k.public.(ed25519.PublicKey); ok {
		return ed25519.Verify(pub, signed, signature)
	}
	h := a.hash.New()
	h.Write(signed)
	digest := h.Sum(nil)
	switch pub := k.public.(type) {
	case *ecdsa.PublicKey:
		size := (a.curve.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		return ecdsa.Verify(pub, digest, r, s)
	case *rsa.PublicKey:
		if a.family == pkcs1Family {
			return rsa.VerifyPKCS1v15(pub, a.hash, digest, signature) == nil
		}
		return rsa.VerifyPSS(pub, a.hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return false
}

// verifyHMAC reports whether mac is that of signed, in constant time.
func verifyHMAC(alg string, secret, signed, mac []byte) bool {
	a, ok := algTable[alg]
	if !ok || a.family != hmacFamily {
		return false
	}
	m := hmac.New(a.hash.New, secret)
	m.Write(signed)
	return hmac.Equal(mac, m.Sum(nil))
}

// secretID names a shared secret without saying anything about it.
func secretID(secret []byte) string {
	m := hmac.New(crypto.SHA256.New, secret)
	m.Write([]byte("sallyport key id"))
	return "hs-" + hex.EncodeToString(m.Sum(nil)[:8])
}

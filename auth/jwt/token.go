package jwt

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/strictjson"
)

const (
	maxToken = 8 << 10 // bytes, as it travels
	maxKid   = 128     // bytes
)

// parsed is a token taken apart, not yet believed.
type parsed struct {
	alg, typ, kid string // kid is "" if there is none
	signed        []byte // what the signature covers
	signature     []byte
	payload       []byte
}

// parse takes a compact JWS apart (RFC 7515, section 7.1). Of the header it
// reads alg, typ and kid. A key or an address in it (jwk, jku, x5c, x5u) is not
// even looked at; what would change the meaning of the rest is refused.
func parse(token string) (*parsed, error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("token has %d bytes, more than %d", len(token), maxToken)
	}
	if strings.Count(token, ".") != 2 {
		return nil, errors.New("token does not have three parts")
	}
	head, rest, _ := strings.Cut(token, ".")
	body, tail, _ := strings.Cut(rest, ".")
	raw, err := decode(head)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	header, err := strictjson.Object(raw)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	for _, name := range []string{"crit", "b64", "enc", "zip"} {
		if _, ok := header[name]; ok {
			return nil, fmt.Errorf("header has %q, which is not supported", name)
		}
	}
	t := &parsed{signed: []byte(token[:len(head)+1+len(body)])}
	var ok bool
	if t.alg, ok = asString(header["alg"]); !ok {
		return nil, errors.New("header has no alg")
	}
	t.alg = canonicalAlg(t.alg)
	if r, found := header["typ"]; found {
		if t.typ, ok = asString(r); !ok || t.typ == "" {
			return nil, errors.New("typ is not a string")
		}
	}
	if r, found := header["kid"]; found {
		if t.kid, ok = asString(r); !ok || t.kid == "" || len(t.kid) > maxKid {
			return nil, fmt.Errorf("kid is not a string of 1 to %d bytes", maxKid)
		}
	}
	if t.payload, err = decode(body); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	if t.signature, err = decode(tail); err != nil || len(t.signature) == 0 {
		return nil, errors.New("no signature, or not base64url")
	}
	return t, nil
}

// CredentialID is the name under which a token without jti is revoked: the
// SHA-256 of the token up to its last dot, in hexadecimal. The signature is left
// out because an ECDSA signature can be rewritten by anybody into a second one
// that is as good, and a revoked token must not come back that way.
func CredentialID(token string) string {
	if i := strings.LastIndexByte(token, '.'); i >= 0 {
		token = token[:i]
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// InspectUnverified shows what a token says, for an operator's eyes. Nothing of
// it is proven: neither signature nor claims are checked, the form is.
func InspectUnverified(token string) (header, claims map[string]any, err error) {
	t, err := parse(token)
	if err != nil {
		return nil, nil, fmt.Errorf("jwt: %w", err)
	}
	head, _, _ := strings.Cut(token, ".")
	raw, _ := decode(head)
	if header, err = plain(raw); err != nil {
		return nil, nil, fmt.Errorf("jwt: header: %w", err)
	}
	if claims, err = plain(t.payload); err != nil {
		return nil, nil, fmt.Errorf("jwt: payload: %w", err)
	}
	return header, claims, nil
}

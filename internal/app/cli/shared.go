package cli

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"hash"

	"github.com/sallyport/sallyport/auth/jwt"
)

// sharedAlgs are the algorithms of a shared secret and the least length of its
// key in bytes (RFC 7518, section 3.2).
var sharedAlgs = map[string]struct {
	hash  func() hash.Hash
	least int
}{
	"HS256": {sha256.New, 32},
	"HS384": {sha512.New384, 48},
	"HS512": {sha512.New, 64},
}

// signShared makes a token with a shared secret (RFC 7515, section 3.1).
func signShared(alg string, key []byte, claims map[string]any) (string, error) {
	a, ok := sharedAlgs[alg]
	if !ok {
		return "", fail(exitUsage, "", "--alg is HS256, HS384 or HS512")
	}
	if len(key) < a.least {
		return "", fail(exitFailure, "make one by \"openssl rand -hex 32\" or longer", "the secret has %d bytes; %s needs %d", len(key), alg, a.least)
	}
	head, err := json.Marshal(map[string]string{"alg": alg, "typ": jwt.TypeAccess})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(head) + "." + encode(body)
	mac := hmac.New(a.hash, key)
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil)), nil
}

package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

const (
	issuer   = "https://idp.example.com"
	audience = "chat"
)

// keyPair is a private key with the entry that publishes it.
type keyPair struct {
	private crypto.Signer
	key     *key
}

var testKeys = sync.OnceValue(func() map[string]keyPair {
	pairs := map[string]keyPair{}
	add := func(kid, alg string, private crypto.Signer) {
		k := named(private.Public(), alg)
		k.kid = kid
		pairs[kid] = keyPair{private, k}
	}
	for kid, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521(), "other": elliptic.P256()} {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		add(kid, "", private)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	add("EdDSA", "EdDSA", ed)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	add("RSA", "", private)
	return pairs
})

func setOf(kids ...string) *KeySet {
	set := &KeySet{}
	for _, kid := range kids {
		set.keys = append(set.keys, testKeys()[kid].key)
	}
	return set
}

// sign makes a signature of any algorithm with any key, also those that do not
// go together.
func (p keyPair) sign(t testing.TB, alg string, signed []byte) []byte {
	t.Helper()
	a := algTable[canonicalAlg(alg)]
	var sig []byte
	var err error
	h := a.hash
	if h == 0 {
		h = crypto.SHA256
	}
	m := h.New()
	m.Write(signed)
	digest := m.Sum(nil)
	switch private := p.private.(type) {
	case *ecdsa.PrivateKey:
		size := (private.Params().BitSize + 7) / 8
		r, s, e := ecdsa.Sign(rand.Reader, private, digest)
		sig, err = make([]byte, 2*size), e
		r.FillBytes(sig[:size])
		s.FillBytes(sig[size:])
	case ed25519.PrivateKey:
		sig = ed25519.Sign(private, signed)
	case *rsa.PrivateKey:
		if a.family == pssFamily {
			sig, err = rsa.SignPSS(rand.Reader, private, h, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, err = rsa.SignPKCS1v15(rand.Reader, private, h, digest)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

type fields = map[string]any

// claims are good ones, with changes; a nil value removes a claim.
func claims(changes ...fields) fields {
	now := time.Now().Unix()
	return with(fields{
		"iss": issuer, "aud": audience, "sub": "alice", "iat": now, "exp": now + 300, "jti": "id-1",
	}, changes...)
}

func with(m fields, changes ...fields) fields {
	for _, c := range changes {
		maps.Copy(m, c)
	}
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	return m
}

func header(alg, kid string, changes ...fields) fields {
	return with(fields{"alg": alg, "kid": kid, "typ": "at+jwt"}, changes...)
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// token signs any text by the key kid.
func token(t testing.TB, kid, alg, head, body string) string {
	t.Helper()
	signed := encode([]byte(head)) + "." + encode([]byte(body))
	return signed + "." + encode(testKeys()[kid].sign(t, alg, []byte(signed)))
}

// es256 signs any header and claims by the key "ES256".
func es256(t testing.TB, head, body fields) string {
	t.Helper()
	return token(t, "ES256", "ES256", toJSON(t, head), toJSON(t, body))
}

func hs(alg string, secret []byte, head, body string) string {
	signed := encode([]byte(head)) + "." + encode([]byte(body))
	m := hmac.New(algTable[alg].hash.New, secret)
	m.Write([]byte(signed))
	return signed + "." + encode(m.Sum(nil))
}

func verifier(t testing.TB, change ...func(*Config)) *Verifier {
	t.Helper()
	c := Config{Issuer: issuer, Audience: audience, Keys: setOf("ES256", "EdDSA", "RSA")}
	for _, f := range change {
		f(&c)
	}
	v, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// want verifies token and compares the reason; 0 means accepted.
func want(t testing.TB, v *Verifier, token string, reason deny.Reason) auth.Identity {
	t.Helper()
	id, err := v.Verify(t.Context(), token)
	if got := deny.Of(err); got != reason {
		t.Errorf("got %v (%v), want %v", got, err, reason)
	}
	return id
}

func publicPEM(t testing.TB, public crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

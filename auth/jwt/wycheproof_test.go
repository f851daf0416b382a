package jwt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/edwards"
)

// vectors is a file of the Wycheproof project (C2SP/wycheproof, testvectors_v1).
type vectors struct {
	NumberOfTests int
	TestGroups    []struct {
		PublicKey struct{ Uncompressed, PK string }
		Tests     []struct {
			TcID             int
			Comment          string
			Msg, Sig, Result string
		}
	}
}

func wycheproof(t *testing.T, file string) vectors {
	t.Helper()
	dir := os.Getenv("WYCHEPROOF_DIR")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "vectors", "wycheproof")
	}
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Skipf("no vectors: set WYCHEPROOF_DIR to testvectors_v1 of C2SP/wycheproof: %v", err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func testVectors(t *testing.T, file, alg string, public func(t *testing.T, uncompressed, pk []byte) crypto.PublicKey) {
	v := wycheproof(t, file)
	ran := 0
	for _, group := range v.TestGroups {
		k := &key{public: public(t, unhex(t, group.PublicKey.Uncompressed), unhex(t, group.PublicKey.PK))}
		// The key also passes through its JWK, as it does in a real set.
		set, err := ParseKeySet((&KeySet{[]*key{k}}).JWKS())
		if err != nil || set.Len() != 1 {
			t.Fatalf("the key does not survive its JWK: %v", err)
		}
		for _, tc := range group.Tests {
			ran++
			got := set.keys[0].verify(alg, unhex(t, tc.Msg), unhex(t, tc.Sig))
			if got != (tc.Result == "valid") {
				t.Errorf("SR-36 AT-64 case %d (%s): got %v, want %s", tc.TcID, tc.Comment, got, tc.Result)
			}
		}
	}
	if ran == 0 || ran != v.NumberOfTests {
		t.Errorf("ran %d cases of %d", ran, v.NumberOfTests)
	}
}

func TestWycheproofES256_SR36_AT64(t *testing.T) {
	testVectors(t, "ecdsa_secp256r1_sha256_p1363_test.json", "ES256", func(t *testing.T, point, _ []byte) crypto.PublicKey {
		pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			t.Fatal(err)
		}
		return pub
	})
}

func TestWycheproofEdDSA_SR36_AT64(t *testing.T) {
	testVectors(t, "ed25519_test.json", "EdDSA", func(_ *testing.T, _, pk []byte) crypto.PublicKey {
		return ed25519.PublicKey(pk)
	})
}

func TestPsychicSignatures_SR36_AT64(t *testing.T) {
	v := verifier(t)
	good := es256(t, header("ES256", "ES256"), claims())
	signed := good[:strings.LastIndexByte(good, '.')+1]
	n := elliptic.P256().Params().N.Bytes()
	zero, one := make([]byte, 32), append(make([]byte, 31), 1)
	ed := token(t, "EdDSA", "EdDSA", toJSON(t, header("EdDSA", "EdDSA")), toJSON(t, claims()))
	for name, sig := range map[string][]byte{
		"r = s = 0":      slices.Concat(zero, zero),
		"r = 0":          slices.Concat(zero, one),
		"s = 0":          slices.Concat(one, zero),
		"r = n":          slices.Concat(n, one),
		"r = s = n":      slices.Concat(n, n),
		"r = s = 1":      slices.Concat(one, one),
		"63 bytes":       make([]byte, 63),
		"65 bytes":       make([]byte, 65),
		"one byte":       {0},
		"that of a DER":  {0x30, 6, 2, 1, 1, 2, 1, 1},
		"of the Ed25519": unb64(t, ed[strings.LastIndexByte(ed, '.')+1:]),
	} {
		t.Run("SR-36 AT-64 "+name, func(t *testing.T) { want(t, v, signed+encode(sig), deny.AuthInvalid) })
	}
	t.Run("SR-36 AT-64 a true signature with a zero before r, s or behind it", func(t *testing.T) {
		for _, at := range []int{0, 32, 64} {
			want(t, v, signed+encode(slices.Insert(unb64(t, good[len(signed):]), at, 0)), deny.AuthInvalid)
		}
	})
	t.Run("SR-36 AT-64 a true signature as DER", func(t *testing.T) {
		der, err := testKeys()["ES256"].private.Sign(nil, digest(signed[:len(signed)-1]), crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		want(t, v, signed+encode(der), deny.AuthInvalid)
	})
}

func TestSaltOfPSS_SR36(t *testing.T) {
	v := verifier(t)
	signed := encode([]byte(toJSON(t, header("PS256", "RSA")))) + "." + encode([]byte(toJSON(t, claims())))
	for salt, reason := range map[int]deny.Reason{32: 0, 20: deny.AuthInvalid, rsa.PSSSaltLengthAuto: deny.AuthInvalid} {
		private := testKeys()["RSA"].private.(*rsa.PrivateKey)
		sig, err := rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest(signed), &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		want(t, v, signed+"."+encode(sig), reason)
	}
}

func digest(s string) []byte {
	h := crypto.SHA256.New()
	h.Write([]byte(s))
	return h.Sum(nil)
}

func unb64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := decode(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestUnusableKeys_SR36(t *testing.T) {
	ec := members(testKeys()["ES256"].private.Public())
	p384 := members(testKeys()["ES384"].private.Public())
	rsaJWK := members(testKeys()["RSA"].private.Public())
	change := func(m map[string]string, pairs ...string) map[string]any {
		out := map[string]any{}
		for k, v := range m {
			out[k] = v
		}
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i]] = pairs[i+1]
		}
		return out
	}
	list := func(m map[string]string, name string, values ...string) map[string]any {
		out := change(m)
		out[name] = values
		return out
	}
	for name, entry := range map[string]any{
		"a point off the curve":           change(ec, "y", ec["x"]),
		"the point at infinity":           change(ec, "x", encode(make([]byte, 32)), "y", encode(make([]byte, 32))),
		"a point of another curve":        change(p384, "crv", "P-256"),
		"a coordinate cut short":          change(ec, "x", encode(unb64(t, ec["x"])[1:])),
		"a coordinate with a zero before": change(ec, "x", encode(append([]byte{0}, unb64(t, ec["x"])...))),
		"secp256k1":                       change(ec, "crv", "secp256k1"),
		"RSA of 1024 bits":                change(rsaJWK, "n", encode(append(unb64(t, rsaJWK["n"])[:127], 1))),
		"RSA of 16384 bits":               change(rsaJWK, "n", encode(bytes.Repeat([]byte{255}, 2048))),
		"RSA with an even modulus":        change(rsaJWK, "n", encode(append(unb64(t, rsaJWK["n"])[:255], 2))),
		"RSA with exponent 1":             change(rsaJWK, "e", "AQ"),
		"RSA with an even exponent":       change(rsaJWK, "e", "BA"),
		"RSA with a huge exponent":        change(rsaJWK, "e", "AQAAAAAB"),
		"RSA without exponent":            change(rsaJWK, "e", ""),
		"a secret":                        change(map[string]string{"kty": "oct", "k": "AAAA"}),
		"a private key":                   change(ec, "d", "AAAA"),
		"a private key of RSA":            change(rsaJWK, "p", "AAAA"),
		"for encryption":                  change(ec, "use", "enc"),
		"for encryption by key_ops":       list(ec, "key_ops", "encrypt"),
		"for key agreement by alg":        change(ec, "alg", "ECDH-ES"),
		"with the alg of another curve":   change(ec, "alg", "ES384"),
		"with the alg none":               change(ec, "alg", "none"),
		"with the alg of a secret":        change(rsaJWK, "alg", "HS256"),
		"a key for exchange":              change(map[string]string{"kty": "OKP", "crv": "X25519", "x": encode(make([]byte, 32))}),
		"Ed25519 of 31 bytes":             change(map[string]string{"kty": "OKP", "crv": "Ed25519", "x": encode(make([]byte, 31))}),
		"a kid too long":                  change(ec, "kid", strings.Repeat("k", 129)),
		"no object":                       1,
	} {
		t.Run("SR-36 "+name, func(t *testing.T) {
			set, err := ParseKeySet([]byte(`{"keys":[` + toJSON(t, entry) + `,` + toJSON(t, ec) + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			if set.Len() != 1 {
				t.Errorf("%d keys, want the good one only", set.Len())
			}
		})
	}
	for _, y := range edwards.WeakPoints() {
		for _, sign := range []byte{0, 0x80} {
			t.Run(fmt.Sprintf("SR-36 AT-64 Ed25519 of small order %.8s %x", y, sign), func(t *testing.T) {
				x := unhex(t, y)
				x[31] |= sign
				set, err := ParseKeySet([]byte(`{"keys":[` + toJSON(t, fields{"kty": "OKP", "crv": "Ed25519", "x": encode(x)}) + `]}`))
				if err != nil || set.Len() != 0 {
					t.Errorf("got %d keys, %v", set.Len(), err)
				}
			})
		}
	}
}

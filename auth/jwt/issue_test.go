package jwt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/deny"
)

func pemOf(t *testing.T, private any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func signers(t *testing.T) map[string]*Signer {
	t.Helper()
	es, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	ed, err := ParseSigner(pemOf(t, testKeys()["EdDSA"].private))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*Signer{"ES256": es, "EdDSA": ed}
}

func TestSignAndVerify(t *testing.T) {
	for alg, s := range signers(t) {
		t.Run(alg, func(t *testing.T) {
			if s.Alg() != alg {
				t.Errorf("alg %s", s.Alg())
			}
			set, err := ParseKeySet(s.JWKS())
			if err != nil || set.Len() != 1 {
				t.Fatalf("%d keys, %v", set.Len(), err)
			}
			v := verifier(t, func(c *Config) { c.Keys = set })
			made, err := s.Sign(TypeAccess, claims())
			if err != nil {
				t.Fatal(err)
			}
			if id := want(t, v, made, 0); id.KeyID != s.KeyID() {
				t.Errorf("key id %q, want %q", id.KeyID, s.KeyID())
			}
			text, err := s.MarshalPEM()
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseSigner(text)
			if err != nil || again.KeyID() != s.KeyID() {
				t.Errorf("read back: %v", err)
			}
			for _, secret := range []string{`"d"`, `"k"`, `"p"`} {
				if bytes.Contains(s.JWKS(), []byte(secret)) {
					t.Errorf("the published key has %s", secret)
				}
			}
		})
	}
}

func TestKindsAreNotFedAcross_SR34_AT67(t *testing.T) {
	s, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, func(c *Config) { c.Keys = PublicSet(s) })
	identity, err := s.Sign(TypeIdentity, claims())
	if err != nil {
		t.Fatal(err)
	}
	want(t, v, identity, deny.AuthInvalid)
}

func TestSignRefuses(t *testing.T) {
	s, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign("", claims()); err == nil {
		t.Error("signed a token without a kind")
	}
	if _, err := s.Sign(TypeAccess, claims(fields{"x": strings.Repeat("a", maxToken)})); err == nil {
		t.Error("signed a token that nobody reads")
	}
	if _, err := s.Sign(TypeAccess, fields{"x": func() {}}); err == nil {
		t.Error("signed what is no JSON")
	}
	for _, no := range []any{nil, "sub", []string{"sub"}, 7} {
		if _, err := s.Sign(TypeAccess, no); err == nil {
			t.Errorf("signed %v, which is no object", no)
		}
	}
}

func TestParseSignerRefuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := pemOf(t, testKeys()["ES256"].private)
	for name, data := range map[string][]byte{
		"nothing":          nil,
		"P-384":            pemOf(t, p384),
		"RSA":              pemOf(t, testKeys()["RSA"].private),
		"a public key":     publicPEM(t, testKeys()["ES256"].private.Public()),
		"two keys":         append(bytes.Clone(good), good...),
		"rubbish after it": append(bytes.Clone(good), 'x'),
		"a broken key":     pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}),
	} {
		if _, err := ParseSigner(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The example of RFC 7638, section 3.1, and that of RFC 8037, appendix A.3.
func TestThumbprint(t *testing.T) {
	for want, entry := range map[string]string{
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`,
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
	} {
		k, err := parseKey(json.RawMessage(entry))
		if err != nil || k.id != want {
			t.Errorf("got %v %v, want %s", k, err, want)
		}
	}
	if len(testKeys()["EdDSA"].private.Public().(ed25519.PublicKey)) != 32 {
		t.Fatal("test key")
	}
}

func TestInspectUnverified(t *testing.T) {
	made := es256(t, header("ES256", "ES256"), claims(fields{"n": json.Number("12345678901234567890")}))
	forged := made[:len(made)-4] + "AAAA"
	head, body, err := InspectUnverified(forged)
	if err != nil || head["alg"] != "ES256" || body["sub"] != "alice" || body["n"] != json.Number("12345678901234567890") {
		t.Errorf("got %v %v %v", head, body, err)
	}
	for _, bad := range []string{"", "x.y.z", made + "=", strings.Replace(made, ".", ".e", 1)} {
		if _, _, err := InspectUnverified(bad); err == nil {
			t.Errorf("read %.20q", bad)
		}
	}
}

// What another implementation signs is read here, and the other way round.
func TestWithGoJose(t *testing.T) {
	all := []jose.SignatureAlgorithm{"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
	v := verifier(t, func(c *Config) {
		c.Keys, c.Algs = setOf("ES256", "ES384", "ES512", "EdDSA", "RSA"), nil
		for _, alg := range all {
			c.Algs = append(c.Algs, string(alg))
		}
	})
	var theirs jose.JSONWebKeySet
	if err := json.Unmarshal(v.config.Keys.JWKS(), &theirs); err != nil {
		t.Fatal(err)
	}
	for _, alg := range all {
		kid := string(alg)
		if kid[0] == 'P' || kid[0] == 'R' {
			kid = "RSA"
		}
		t.Run(string(alg), func(t *testing.T) {
			pair := testKeys()[kid]
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: pair.private, KeyID: kid}},
				(&jose.SignerOptions{}).WithType("at+jwt"))
			if err != nil {
				t.Fatal(err)
			}
			signed, err := signer.Sign([]byte(toJSON(t, claims())))
			if err != nil {
				t.Fatal(err)
			}
			made, err := signed.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			want(t, v, made, 0)
			ours := token(t, kid, string(alg), toJSON(t, header(string(alg), kid)), toJSON(t, claims()))
			parsed, err := jose.ParseSignedCompact(ours, []jose.SignatureAlgorithm{alg})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parsed.Verify(theirs.Key(kid)[0]); err != nil {
				t.Errorf("go-jose: %v", err)
			}
		})
	}
}

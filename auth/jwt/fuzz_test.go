package jwt

import (
	"encoding/json"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/internal/strictjson"
)

// FuzzVerify: nothing is accepted that was not signed. The only signed tokens
// are the seeds, so whatever is accepted is one of them, but for the signature,
// of which an ECDSA key has two forms.
func FuzzVerify(f *testing.F) {
	v := verifier(f)
	signed := map[string]bool{}
	for _, kid := range []string{"ES256", "EdDSA", "RSA"} {
		alg := strings.Replace(kid, "RSA", "PS256", 1)
		made := token(f, kid, alg, toJSON(f, header(alg, kid)), toJSON(f, claims()))
		signed[made[:strings.LastIndexByte(made, '.')]] = true
		f.Add(made)
		f.Add(made + "=")
		f.Add(strings.Replace(made, ".", "..", 1))
	}
	f.Add(encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode([]byte(toJSON(f, claims()))) + ".")
	f.Fuzz(func(t *testing.T, made string) {
		if _, err := v.Verify(t.Context(), made); err == nil && !signed[made[:strings.LastIndexByte(made, '.')]] {
			t.Errorf("accepted %q", made)
		}
	})
}

// FuzzParse: what is parsed here, another implementation reads in the same way.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"alg":"ES256","kid":"k","typ":"JWT"}`), []byte(`{"sub":"a"}`), []byte("s"))
	f.Add([]byte(`{"alg":"ES256","alg":"none"}`), []byte(`{"sub":"a","sub":"b"}`), []byte("s"))
	f.Add([]byte(`{"alg":"HS256","crit":[]}`), []byte(`{"a":[[[]]]}x`), []byte{0})
	f.Add([]byte(`{"\u0061lg":"ES256","ALG":"x"}`), []byte(`{"exp":1e9}`), []byte{0})
	all := []jose.SignatureAlgorithm{}
	for alg := range algTable {
		all = append(all, jose.SignatureAlgorithm(alg))
	}
	f.Fuzz(func(t *testing.T, head, body, sig []byte) {
		made := encode(head) + "." + encode(body) + "." + encode(sig)
		p, err := parse(made)
		if err != nil || p.alg == "" {
			return
		}
		if _, known := algTable[p.alg]; known && !strings.Contains(string(head), "Ed25519") {
			if theirs, err := jose.ParseSignedCompact(made, all); err == nil {
				if h := theirs.Signatures[0].Protected; h.Algorithm != p.alg || h.KeyID != p.kid {
					t.Errorf("alg %q kid %q, go-jose reads %q %q", p.alg, p.kid, h.Algorithm, h.KeyID)
				}
				if string(theirs.UnsafePayloadWithoutVerification()) != string(p.payload) {
					t.Error("another payload")
				}
			}
		}
		m, err := strictjson.Object(p.payload)
		if err != nil {
			return
		}
		var plain map[string]any
		if err := json.Unmarshal(p.payload, &plain); err != nil || len(plain) != len(m) {
			t.Errorf("encoding/json reads %d names (%v), we %d", len(plain), err, len(m))
		}
	})
}

// FuzzParseKeySet: no input panics, and what is read survives being published.
func FuzzParseKeySet(f *testing.F) {
	f.Add(setOf("ES256", "ES384", "ES512", "EdDSA", "RSA").JWKS())
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParseKeySet(data)
		if err != nil {
			return
		}
		again, err := ParseKeySet(set.JWKS())
		if err != nil || again.Len() != set.Len() {
			t.Fatalf("%d keys became %d: %v", set.Len(), again.Len(), err)
		}
		for i, k := range set.keys {
			if again.keys[i].id != k.id || again.keys[i].alg != k.alg {
				t.Errorf("key %d changed", i)
			}
		}
	})
}

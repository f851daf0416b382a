package jwt

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/strictjson"
)

func TestNone_SR30_AT60(t *testing.T) {
	v := verifier(t)
	body := encode([]byte(toJSON(t, claims())))
	good := es256(t, header("ES256", "ES256"), claims())
	signature := good[strings.LastIndexByte(good, '.')+1:]
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", " ES256", "es256", "HS256", "ES256K", "A128KW", "dir"} {
		t.Run("SR-30 AT-60 alg "+alg, func(t *testing.T) {
			head := encode([]byte(toJSON(t, header(alg, "ES256"))))
			want(t, v, head+"."+body+".", deny.AuthInvalid)
			want(t, v, head+"."+body+"."+signature, deny.AuthInvalid)
		})
	}
	for name, head := range map[string]fields{
		"alg missing":  header("", "ES256", fields{"alg": nil}),
		"alg a number": header("", "ES256", fields{"alg": 1}),
		"alg a list":   header("", "ES256", fields{"alg": []string{"ES256"}}),
	} {
		t.Run("SR-30 AT-60 "+name, func(t *testing.T) { want(t, v, es256(t, head, claims()), deny.AuthInvalid) })
	}
	t.Run("SR-30 AT-60 signature stripped", func(t *testing.T) {
		want(t, v, strings.TrimSuffix(good, signature), deny.AuthInvalid)
		want(t, v, strings.TrimSuffix(good, "."+signature), deny.AuthInvalid)
	})
}

func TestConfusion_SR30_AT61(t *testing.T) {
	body := toJSON(t, claims())
	v := verifier(t, func(c *Config) { c.Algs = []string{"RS256", "PS256", "ES256", "EdDSA"} })
	for _, kid := range []string{"RSA", "ES256", "EdDSA"} {
		public := testKeys()[kid].private.Public()
		pem := publicPEM(t, public)
		block := strings.Split(strings.TrimSpace(string(pem)), "\n")
		der, err := base64.StdEncoding.DecodeString(strings.Join(block[1:len(block)-1], ""))
		if err != nil {
			t.Fatal(err)
		}
		for name, secret := range map[string][]byte{
			"PEM": pem, "PEM without its last line feed": pem[:len(pem)-1], "DER": der,
			"JWK": []byte(toJSON(t, members(public))), "JWKS": setOf(kid).JWKS(), "kid": []byte(kid),
		} {
			t.Run("SR-30 AT-61 HMAC under the public key of "+kid+" as "+name, func(t *testing.T) {
				for _, alg := range []string{"HS256", "HS384", "HS512"} {
					want(t, v, hs(alg, secret, toJSON(t, header(alg, kid)), body), deny.AuthInvalid)
				}
			})
		}
	}
	for _, tt := range []struct{ name, kid, alg, named string }{
		{"ES256 by a key of P-384", "ES384", "ES256", "ES384"},
		{"RS256 that names the EC key", "RSA", "RS256", "ES256"},
		{"ES256 that names the RSA key", "ES256", "ES256", "RSA"},
		{"EdDSA that names the EC key", "EdDSA", "EdDSA", "ES256"},
		{"RS384, which is not accepted", "RSA", "RS384", "RSA"},
		{"a key of somebody else", "other", "ES256", "ES256"},
		{"a key that is not in the set", "other", "ES256", "other"},
	} {
		t.Run("SR-30 AT-61 "+tt.name, func(t *testing.T) {
			want(t, v, token(t, tt.kid, tt.alg, toJSON(t, header(tt.alg, tt.named)), body), deny.AuthInvalid)
		})
	}
	t.Run("SR-30 the alg of the key binds", func(t *testing.T) {
		k := *testKeys()["RSA"].key
		k.alg = "PS256"
		v := verifier(t, func(c *Config) { c.Keys = &KeySet{[]*key{&k}} })
		want(t, v, token(t, "RSA", "PS256", toJSON(t, header("PS256", "RSA")), body), 0)
		want(t, v, token(t, "RSA", "RS256", toJSON(t, header("RS256", "RSA")), body), deny.AuthInvalid)
	})
	t.Run("SR-30 a key without alg is still bound to its type", func(t *testing.T) {
		for _, kid := range []string{"EdDSA", "ES256", "RSA"} {
			k := *testKeys()[kid].key
			k.alg = ""
			v := verifier(t, func(c *Config) { c.Keys = &KeySet{[]*key{&k}} })
			for _, alg := range []string{"EdDSA", "ES256", "RS256", "PS256"} {
				reason := deny.AuthInvalid
				if alg == kid || kid == "RSA" && alg[1] == 'S' && alg[0] != 'E' {
					reason = 0
				}
				want(t, v, token(t, kid, alg, toJSON(t, header(alg, kid)), body), reason)
			}
		}
	})
	t.Run("SR-30 a shared secret accepts nothing else", func(t *testing.T) {
		secret := []byte(strings.Repeat("k", 32))
		v := verifier(t, func(c *Config) { c.Keys, c.Secret = nil, secret })
		id := want(t, v, hs("HS256", secret, toJSON(t, header("HS256", "x")), body), 0)
		if !v.HasKey(id.KeyID) || v.HasKey("") {
			t.Errorf("key id %q is not that of the secret", id.KeyID)
		}
		want(t, v, hs("HS512", secret, toJSON(t, header("HS512", "x")), body), deny.AuthInvalid)
		want(t, v, hs("HS256", []byte(strings.Repeat("k", 33)), toJSON(t, header("HS256", "x")), body), deny.AuthInvalid)
		want(t, v, es256(t, header("ES256", "ES256"), claims()), deny.AuthInvalid)
	})
}

func TestKeyFromTheToken_SR31_AT62(t *testing.T) {
	var requests atomic.Int32
	canary := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Write(setOf("other").JWKS())
	}))
	defer canary.Close()
	v := verifier(t)
	own := members(testKeys()["other"].private.Public())
	for name, change := range map[string]fields{
		"jwk":                 {"jwk": own},
		"jwk without kid":     {"jwk": own, "kid": nil},
		"jku":                 {"jku": canary.URL},
		"jku, jwk and kid":    {"jku": canary.URL, "jwk": own, "kid": "other"},
		"x5u":                 {"x5u": canary.URL + "/cert.pem"},
		"x5c":                 {"x5c": []string{"MIIB"}},
		"the kid is the URL":  {"kid": canary.URL},
		"the iss is the URL":  {"kid": "other"},
		"kid of the real key": {"jwk": own, "kid": "ES256"},
	} {
		t.Run("SR-31 AT-62 "+name, func(t *testing.T) {
			body := claims()
			if name == "the iss is the URL" {
				body["iss"] = canary.URL // AT-66
			}
			forged := token(t, "other", "ES256", toJSON(t, header("ES256", "other", fields{"kid": "ES256"}, change)), toJSON(t, body))
			want(t, v, forged, deny.AuthInvalid)
		})
	}
	t.Run("SR-31 AT-62 an address in a good token is ignored", func(t *testing.T) {
		want(t, v, es256(t, header("ES256", "ES256", fields{"jku": canary.URL, "x5u": canary.URL, "jwk": own}), claims()), 0)
	})
	if n := requests.Load(); n != 0 {
		t.Errorf("the canary saw %d requests", n)
	}
	for _, name := range []string{"crit", "b64", "zip", "enc"} {
		t.Run("SR-31 "+name+" is refused", func(t *testing.T) {
			for _, value := range []any{[]string{"exp"}, []string{}, false, nil, "DEF"} {
				head := `{"alg":"ES256","kid":"ES256","typ":"JWT","` + name + `":` + toJSON(t, value) + `}`
				want(t, v, token(t, "ES256", "ES256", head, toJSON(t, claims())), deny.AuthInvalid)
			}
		})
	}
}

func TestKid_SR32_AT63(t *testing.T) {
	v := verifier(t)
	for _, kid := range []any{
		"../../dev/null", "/etc/passwd", "' OR '1'='1", "https://evil.example/jwks", "ES256\x00", "es256", "ES256 ", "", nil, 1,
		[]string{"ES256"}, strings.Repeat("a", 129), strings.Repeat("a", 1<<20),
	} {
		name := toJSON(t, kid)
		t.Run("SR-32 AT-63 kid "+name[:min(len(name), 40)], func(t *testing.T) {
			head := `{"alg":"ES256","typ":"JWT","kid":` + name + `}`
			want(t, v, token(t, "ES256", "ES256", head, toJSON(t, claims())), deny.AuthInvalid)
		})
	}
	t.Run("SR-32 an odd kid is a name like any other", func(t *testing.T) {
		k := *testKeys()["ES256"].key
		k.kid = "../../dev/null"
		v := verifier(t, func(c *Config) { c.Keys = &KeySet{[]*key{&k}} })
		want(t, v, es256(t, header("ES256", k.kid), claims()), 0)
	})
	t.Run("SR-32 a kid of 129 bytes is refused even if a key is called so", func(t *testing.T) {
		for n, reason := range map[int]deny.Reason{maxKid: 0, maxKid + 1: deny.AuthInvalid} {
			k := *testKeys()["ES256"].key
			k.kid = strings.Repeat("k", n)
			v := verifier(t, func(c *Config) { c.Keys = &KeySet{[]*key{&k}} })
			want(t, v, es256(t, header("ES256", k.kid), claims()), reason)
		}
	})
	t.Run("AT-63 without kid the keys that fit are tried in order, four at most", func(t *testing.T) {
		bare := es256(t, header("ES256", "", fields{"kid": nil}), claims())
		others := func(n int) *KeySet {
			set := setOf("RSA", "EdDSA", "ES384") // do not fit, do not count
			for range n {
				set.keys = append(set.keys, testKeys()["other"].key)
			}
			set.keys = append(set.keys, testKeys()["ES256"].key)
			return set
		}
		want(t, verifier(t, func(c *Config) { c.Keys = others(3) }), bare, 0)
		want(t, verifier(t, func(c *Config) { c.Keys = others(4) }), bare, deny.AuthInvalid)
	})
}

func TestForm_SR35(t *testing.T) {
	v := verifier(t)
	good := es256(t, header("ES256", "ES256"), claims())
	head, body := toJSON(t, header("ES256", "ES256")), toJSON(t, claims())
	sign := func(head, body string) string { return token(t, "ES256", "ES256", head, body) }
	deep := strings.Repeat("[", strictjson.MaxDepth) + strings.Repeat("]", strictjson.MaxDepth)
	last := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	// 64 bytes of signature are 86 characters: the last one has four spare bits.
	respelt := good[:len(good)-1] + string(last[strings.IndexByte(last, good[len(good)-1])+1])
	for name, bad := range map[string]string{
		"empty":                          "",
		"1 MiB of dots":                  strings.Repeat(".", 1<<20),
		"8 KiB of dots":                  strings.Repeat(".", 8<<10),
		"two dots":                       "..",
		"four parts":                     good + ".x",
		"longer than 8 KiB":              sign(head, `{"x":"`+strings.Repeat("a", 8<<10)+`",`+body[1:]),
		"padding":                        good + "=",
		"a line break":                   good[:10] + "\n" + good[10:],
		"a carriage return in the end":   good + "\r",
		"a space":                        " " + good,
		"standard base64":                strings.ReplaceAll(strings.ReplaceAll(good, "-", "+"), "_", "/") + "+",
		"spare bits of the last letter":  respelt,
		"header with two algs":           sign(`{"alg":"none",`+head[1:], body),
		"header with an escaped alg":     sign(`{"\u0061lg":"none",`+head[1:], body),
		"payload with two subs":          sign(head, `{"sub":"admin",`+body[1:]),
		"payload with two names, nested": sign(head, `{"x":[{"a":1,"a":2}],`+body[1:]),
		"payload with an escaped name":   sign(head, `{"\u0073ub":"admin",`+body[1:]),
		"something behind the payload":   sign(head, body+"{}"),
		"something behind the header":    sign(head+"x", body),
		"payload a list":                 sign(head, "["+body+"]"),
		"payload a string":               sign(head, `"x"`),
		"payload null":                   sign(head, "null"),
		"payload empty":                  sign(head, ""),
		"header null":                    sign("null", body),
		"payload not UTF-8":              sign(head, `{"x":"`+"\xff"+`",`+body[1:]),
		"a byte order mark":              sign(head, "\ufeff"+body),
		"a comment":                      sign(head, "/**/"+body),
		"a trailing comma":               sign(head, body[:len(body)-1]+",}"),
		"nested too deep":                sign(head, `{"x":`+deep+`,`+body[1:]),
		"an unpaired surrogate in sub":   sign(head, strings.Replace(body, "alice", `\ud800`, 1)),
		"names in another case":          sign(head, strings.Replace(body, `"sub"`, `"SUB"`, 1)),
	} {
		t.Run("SR-35 "+name, func(t *testing.T) { want(t, v, bad, deny.AuthInvalid) })
	}
	t.Run("SR-35 white space and depth within the bounds are read", func(t *testing.T) {
		want(t, v, sign(" "+head+"\n", "\t{ \"x\": "+deep[1:2*strictjson.MaxDepth-1]+", "+body[1:]+" "), 0)
	})
}

func TestKinds_SR34_AT67(t *testing.T) {
	v := verifier(t)
	for typ, reason := range map[string]deny.Reason{
		"at+jwt": 0, "AT+JWT": 0, "application/at+jwt": 0, "JWT": 0, "jwt": 0,
		TypeIdentity: deny.AuthInvalid, "application/" + TypeIdentity: deny.AuthInvalid, "sallyport-ticket+jwt": deny.AuthInvalid,
		"dpop+jwt": deny.AuthInvalid, "logout+jwt": deny.AuthInvalid, "secevent+jwt": deny.AuthInvalid, "jose": deny.AuthInvalid,
		"rt+jwt": deny.AuthInvalid, "": deny.AuthInvalid,
	} {
		t.Run("SR-34 AT-67 typ "+typ, func(t *testing.T) {
			want(t, v, es256(t, header("ES256", "ES256", fields{"typ": typ}), claims()), reason)
		})
	}
	bare := es256(t, header("ES256", "ES256", fields{"typ": nil}), claims())
	t.Run("SR-34 no typ", func(t *testing.T) {
		want(t, v, bare, deny.AuthInvalid)
		want(t, verifier(t, func(c *Config) { c.Types = []string{""} }), bare, 0)
	})
	t.Run("SR-34 typ null", func(t *testing.T) {
		want(t, v, token(t, "ES256", "ES256", `{"alg":"ES256","kid":"ES256","typ":null}`, toJSON(t, claims())), deny.AuthInvalid)
	})
	for name, change := range map[string]fields{
		"an ID token with at_hash":   {"at_hash": "x"},
		"an ID token with c_hash":    {"c_hash": "x"},
		"an ID token of Cognito":     {"token_use": "id"},
		"an ID token of Keycloak":    {"typ": "ID"},
		"a refresh token":            {"typ": "Refresh"},
		"a logout token":             {"events": fields{}},
		"a token bound to a key":     {"cnf": fields{"jkt": "x"}},
		"an ID token for its client": {"aud": "client-1", "nonce": "n"},
	} {
		t.Run("SR-34 AT-67 "+name, func(t *testing.T) {
			want(t, v, es256(t, header("ES256", "ES256", fields{"typ": "JWT"}), claims(change)), deny.AuthInvalid)
		})
	}
}

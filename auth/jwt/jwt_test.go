package jwt

import (
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

func TestEveryAlgorithm_SR30(t *testing.T) {
	all := []string{"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
	v := verifier(t, func(c *Config) {
		c.Algs, c.Keys = all, setOf("ES256", "ES384", "ES512", "EdDSA", "RSA")
	})
	for _, alg := range append(all, "Ed25519") {
		kid := alg
		switch {
		case alg == "Ed25519":
			kid = "EdDSA"
		case alg[1] == 'S' && alg[0] != 'E':
			kid = "RSA"
		}
		t.Run(alg, func(t *testing.T) {
			good := token(t, kid, alg, toJSON(t, header(alg, kid)), toJSON(t, claims()))
			id := want(t, v, good, 0)
			if id.KeyID != testKeys()[kid].key.id || !v.HasKey(id.KeyID) {
				t.Errorf("key id %q, want that of %s", id.KeyID, kid)
			}
			// One bit of every part decides.
			for i, part := range strings.Split(good, ".") {
				raw, err := decode(part)
				if err != nil {
					t.Fatal(err)
				}
				raw[len(raw)/2] ^= 1
				parts := strings.Split(good, ".")
				parts[i] = encode(raw)
				want(t, v, strings.Join(parts, "."), deny.AuthInvalid)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	v := verifier(t)
	exp := time.Now().Unix() + 300
	id := want(t, v, es256(t, header("ES256", "ES256"), claims(fields{
		"exp": exp, "iat": exp - 400, "sid": "session-1", "scope": "write read  read", "scp": []string{"admin"},
		"aud": []string{"other", audience}, "sub": "алиса",
	})), 0)
	if id.Issuer != issuer || id.Subject != "алиса" || id.Session != "session-1" || id.Credential != "id-1" ||
		id.Method != "jwt" || id.Audience != audience {
		t.Errorf("got %+v", id)
	}
	if id.Expires.Unix() != exp || id.IssuedAt.Unix() != exp-400 {
		t.Errorf("times %v %v", id.IssuedAt, id.Expires)
	}
	if got := []string{"admin", "read", "write"}; !slices.Equal(id.Scopes, got) {
		t.Errorf("scopes %v, want %v", id.Scopes, got)
	}
	id = want(t, v, es256(t, header("ES256", "ES256"), claims(fields{"iat": nil, "scp": "a b"})), 0)
	if !id.IssuedAt.IsZero() {
		t.Errorf("iat %v, want the zero time", id.IssuedAt)
	}
	if !slices.Equal(id.Scopes, []string{"a", "b"}) {
		t.Errorf("scopes %v", id.Scopes)
	}
}

func TestCredentialIsTheHashOfWhatIsSigned(t *testing.T) {
	v := verifier(t)
	one := es256(t, header("ES256", "ES256"), claims(fields{"jti": nil}))
	// The same text signed twice is the same credential: an ECDSA signature has
	// many forms, and revoking one must revoke them all.
	signed := one[:strings.LastIndexByte(one, '.')]
	two := signed + "." + encode(testKeys()["ES256"].sign(t, "ES256", []byte(signed)))
	if one == two {
		t.Fatal("want two signatures")
	}
	a, b := want(t, v, one, 0), want(t, v, two, 0)
	if a.Credential != b.Credential || a.Credential != CredentialID(one) || len(a.Credential) != 64 {
		t.Errorf("got %q and %q, want %q", a.Credential, b.Credential, CredentialID(one))
	}
}

func TestAuthenticate(t *testing.T) {
	v := verifier(t)
	if v.Kind() != auth.Bearer {
		t.Errorf("kind %v", v.Kind())
	}
	good := es256(t, header("ES256", "ES256"), claims())
	for _, tt := range []struct {
		name   string
		lines  []string
		target string
		want   deny.Reason
		none   bool
	}{
		{name: "bearer", lines: []string{"Bearer " + good}},
		{name: "the scheme has no case", lines: []string{"bEARER " + good}},
		{name: "no header", none: true},
		{name: "basic is somebody else's", lines: []string{"Basic YTpi"}, none: true},
		{name: "SR-38 AT-69 a token in the query is not read", target: "/ws?token=" + good + "&access_token=" + good, none: true},
		{name: "empty token", lines: []string{"Bearer "}, want: deny.AuthInvalid},
		{name: "two headers", lines: []string{"Bearer " + good, "Bearer " + good}, want: deny.AuthInvalid},
		{name: "two tokens in one", lines: []string{"Bearer " + good + " " + good}, want: deny.AuthInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.target == "" {
				tt.target = "/ws"
			}
			r := httptest.NewRequest("GET", tt.target, nil)
			r.Header["Authorization"] = tt.lines
			_, err := v.Authenticate(t.Context(), r)
			if tt.none {
				if !errors.Is(err, auth.ErrNoCredentials) {
					t.Errorf("got %v, want no credentials", err)
				}
				return
			}
			if got := deny.Of(err); got != tt.want {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestSubjectsOfTwoIssuers_SR45(t *testing.T) {
	mine := verifier(t)
	theirs := verifier(t, func(c *Config) { c.Issuer = "https://other.example"; c.Keys = setOf("other") })
	a := want(t, mine, es256(t, header("ES256", "ES256"), claims()), 0)
	body := toJSON(t, claims(fields{"iss": "https://other.example"}))
	b := want(t, theirs, token(t, "other", "ES256", toJSON(t, header("ES256", "other")), body), 0)
	if a.Subject != b.Subject || a.Issuer == b.Issuer {
		t.Errorf("got %q %q and %q %q: want one subject, two issuers", a.Issuer, a.Subject, b.Issuer, b.Subject)
	}
	t.Run("SR-37 the same kid at two issuers is two keys", func(t *testing.T) {
		set := setOf("other")
		impostor := *set.keys[0]
		impostor.kid = "ES256"
		v := verifier(t, func(c *Config) { c.Keys = &KeySet{[]*key{&impostor}} })
		want(t, v, es256(t, header("ES256", "ES256"), claims()), deny.AuthInvalid)
		want(t, v, token(t, "other", "ES256", toJSON(t, header("ES256", "ES256")), toJSON(t, claims())), 0)
	})
}

func TestStrength_SR44(t *testing.T) {
	v := verifier(t, func(c *Config) {
		c.ACR, c.AMR, c.AuthAge = []string{"aal2", "aal3"}, []string{"otp", "pwd"}, time.Minute
	})
	now := time.Now().Unix()
	strong := fields{"acr": "aal2", "amr": []string{"pwd", "otp", "x"}, "auth_time": now - 20}
	for _, tt := range []struct {
		name   string
		change fields
		want   deny.Reason
	}{
		{"SR-44 as strong as demanded", fields{}, 0},
		{"SR-44 another acr", fields{"acr": "aal1"}, deny.AuthInvalid},
		{"SR-44 no acr", fields{"acr": nil}, deny.AuthInvalid},
		{"SR-44 no second factor", fields{"amr": []string{"pwd"}}, deny.AuthInvalid},
		{"SR-44 no amr", fields{"amr": nil}, deny.AuthInvalid},
		{"SR-44 amr as a string", fields{"amr": "otp pwd"}, deny.AuthInvalid},
		{"SR-44 no auth_time", fields{"auth_time": nil}, deny.AuthInvalid},
		{"SR-44 auth_time in the future", fields{"auth_time": now + 60}, deny.AuthInvalid},
		{"SR-44 signed in too long ago", fields{"auth_time": now - 61}, deny.AuthExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := want(t, v, es256(t, header("ES256", "ES256"), claims(strong, tt.change)), tt.want)
			if tt.want == 0 && id.Expires.Unix() != now+40 {
				t.Errorf("ends %v, want a minute after auth_time", id.Expires)
			}
		})
	}
}

func TestConfigMistakes(t *testing.T) {
	good := func() Config { return Config{Issuer: issuer, Audience: audience, Keys: setOf("ES256")} }
	secret := []byte(strings.Repeat("s", 64))
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no issuer", func(c *Config) { c.Issuer = "" }, "issuer must be set"},
		{"no audience", func(c *Config) { c.Audience = "" }, "audience must be set"},
		{"no keys", func(c *Config) { c.Keys = nil }, "exactly one of"},
		{"SR-30 keys and a secret", func(c *Config) { c.Secret = secret }, "exactly one of"},
		{"AT-60 none", func(c *Config) { c.Algs = []string{"none"} }, `"none" is not known`},
		{"SR-30 HS beside a key set", func(c *Config) { c.Algs = []string{"ES256", "HS256"} }, "needs secret"},
		{"SR-30 ES beside a secret", func(c *Config) { c.Keys, c.Secret, c.Algs = nil, secret, []string{"HS256", "ES256"} }, "configured alone"},
		{"no algorithm", func(c *Config) { c.Algs = []string{} }, "algs is empty"},
		{"a short secret", func(c *Config) { c.Keys, c.Secret = nil, secret[:31] }, "at least 32"},
		{"a secret shorter than its hash", func(c *Config) { c.Keys, c.Secret, c.Algs = nil, secret[:63], []string{"HS512"} }, "at least 64"},
		{"AT-61 a public key as the secret", func(c *Config) {
			c.Keys, c.Secret = nil, publicPEM(t, testKeys()["RSA"].private.Public())
		}, "looks like a key file"},
		{"AT-61 a JWK as the secret", func(c *Config) { c.Keys, c.Secret = nil, setOf("RSA").JWKS() }, "looks like a key file"},
		{"SR-34 our identity kind", func(c *Config) { c.Types = []string{"application/Sallyport-Identity+JWT"} }, "never a credential"},
		{"SR-34 no kind", func(c *Config) { c.Types = []string{} }, "types is empty"},
		{"SR-33 a lifetime beyond the revocations", func(c *Config) { c.MaxLifetime = maxLifetime + 1 }, "within 7 days"},
		{"a negative lifetime", func(c *Config) { c.MaxLifetime = -1 }, "within 7 days"},
		{"a negative age", func(c *Config) { c.AuthAge = -1 }, "is negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			tt.change(&c)
			if _, err := New(c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		_, err := New(Config{Algs: []string{"none", "ES1"}, MaxLifetime: -1})
		for _, part := range []string{"issuer", "audience", "exactly one", `"none"`, `"ES1"`, "7 days"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not mention %q", err, part)
			}
		}
	})
}

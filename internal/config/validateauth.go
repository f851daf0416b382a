package config

import (
	"fmt"
	"strings"
)

const (
	authInFile = `%s has no auth, so nobody may pass. Write one of
  auth: {jwt: {issuer: "https://idp.example.com", audience: my-app, jwks: "https://idp.example.com/jwks"}}
  auth: {forward: {url: "http://127.0.0.1:3000/me"}}
  auth: {anonymous: "the reason why everybody may pass"}`
	authInFlags = `nothing says who may pass. Give exactly one of
  --jwks URL --issuer ISSUER --audience NAME   tokens of an identity provider
  --forward URL                                ask the application
  --anonymous "reason"                         everybody from the listed origins`
)

func (l *loader) validateAuth(g *Gate, key string) {
	key += ".auth"
	if !l.fine(key) {
		return
	}
	a := &g.Auth
	broken := false
	for _, way := range []string{"jwt", "forward", "session", "anonymous"} {
		broken = broken || !l.fine(key+"."+way)
	}
	others := a.JWT != nil || a.Forward != nil || a.Session != nil
	said := l.nodes[key+".anonymous"] != nil
	switch {
	case broken:
	case !others && !said && l.line:
		l.report(Position{}, key, "%s", authInFlags)
	case !others && !said:
		name := "the gate"
		if g.Path != "" {
			name = fmt.Sprintf("gate %q", g.Path)
		}
		l.fail(key, authInFile, name)
	case others && said:
		l.fail(key+".anonymous", "anonymous admits everybody, so the other ways to authenticate would decide nothing: remove one or the other")
	}
	l.reason(key+".anonymous", a.Anonymous)
	if a.JWT != nil {
		l.validateJWT(a.JWT, key+".jwt")
	}
	if a.Forward != nil && l.fine(key+".forward.url") {
		switch _, err := l.parseURL(key+".forward.url", a.Forward.URL, "http", "https"); {
		case a.Forward.URL == "":
			l.fail(key+".forward.url", "forward needs the URL of the application's endpoint: url: http://127.0.0.1:3000/me")
		case err != nil:
			l.fail(key+".forward.url", "%v", err)
		}
	}
}

func (l *loader) validateJWT(j *JWT, key string) {
	required := func(name, value, why string) {
		if l.fine(key+"."+name) && (value == "" || len(value) > 1024) {
			l.fail(key+"."+name, "jwt needs %q: %s", name, why)
		}
	}
	required("issuer", j.Issuer, "the exact value of iss")
	required("audience", j.Audience, "the name of this service; a token for another one would pass without it")
	if !l.fine(key+".jwks") || !l.fine(key+".secret") {
		return
	}
	shared := l.nodes[key+".secret"] != nil
	switch jwks := l.nodes[key+".jwks"] != nil; {
	case jwks && shared:
		l.fail(key+".secret", "exactly one of jwks and secret may be set: with both, a public key could pass as a secret")
	case !jwks && !shared:
		l.fail(key+".jwks", "jwt needs the issuer's keys: jwks: \"https://idp.example.com/jwks\", jwks: file:/path, or secret: file:/path for HS256")
	case jwks:
		l.validateJWKS(j, key+".jwks")
	default:
		l.validateSecret(j, key+".secret")
	}
	l.validateAlgs(j, key+".algs", shared)
	if l.fine(key+".types") && len(j.Types) == 0 {
		l.fail(key+".types", "the list is empty: no token would pass")
	}
	l.members(key+".types", func(s string) error {
		if strings.HasPrefix(strings.ToLower(strings.TrimPrefix(strings.ToLower(s), "application/")), "sallyport") {
			return fmt.Errorf("%q is a kind of the door's own, which no issuer makes", s)
		}
		if s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789+-._/") != "" {
			return fmt.Errorf("%q is not a type", s)
		}
		return nil
	})
}

func (l *loader) validateJWKS(j *JWT, key string) {
	if path, ok := strings.CutPrefix(j.JWKS, "file:"); ok {
		path = resolve(path, l.nodes[key].at)
		j.JWKS = "file:" + path
		if _, err := readReferenced(path, false); err != nil {
			l.fail(key, "%v", err)
		}
		return
	}
	if !strings.Contains(j.JWKS, "://") {
		l.fail(key, "neither an https:// URL nor file:/path")
		return
	}
	u, err := l.parseURL(key, j.JWKS, "https", "http")
	switch {
	case err != nil:
		l.fail(key, "%v", err)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		l.fail(key, "keys are fetched by https; http is for loopback only, since whoever is in between could give keys of his own")
	}
}

// hashBytes is the least length of a shared key (RFC 7518, section 3.2).
var hashBytes = map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}

func (l *loader) validateSecret(j *JWT, key string) {
	secret, err := j.Secret.Read()
	if err != nil {
		l.fail(key, "%v", err)
		return
	}
	need := 32
	for _, alg := range j.Algs {
		need = max(need, hashBytes[alg])
	}
	if len(secret) < need {
		l.fail(key, "the secret has %d bytes; %s needs at least %d random ones", len(secret), strings.Join(j.Algs, ", "), need)
	}
}

var publicAlgs = []string{"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}

func (l *loader) validateAlgs(j *JWT, key string, shared bool) {
	if l.fine(key) && len(j.Algs) == 0 {
		l.fail(key, "the list is empty: no token would pass")
	}
	l.members(key, func(s string) error {
		_, hs := hashBytes[s]
		switch {
		case strings.EqualFold(s, "none"):
			return fmt.Errorf("%q means no signature at all, which is never accepted", s)
		case hs && !shared:
			return fmt.Errorf("%s is for a shared secret; with jwks a public key could pass as one", s)
		case shared && !hs:
			return fmt.Errorf("with a secret the algorithms are HS256, HS384 and HS512, not %q", s)
		case !hs && !oneOf(s, publicAlgs):
			if near := nearest(s, publicAlgs); near != "" {
				return fmt.Errorf("%q is no known algorithm, did you mean %q?", s, near)
			}
			return fmt.Errorf("%q is no known algorithm; there are %s", s, strings.Join(publicAlgs, ", "))
		}
		return nil
	})
}

// Package jwt admits the holder of a JSON Web Token.
//
// It stops forged, stolen-from-elsewhere and outdated tokens: "alg: none", a
// public key used as an HMAC secret, a key that the token brings along, a token
// of another issuer, audience or kind, and parsers that read one token in two
// ways. The rules are those of RFC 8725 on top of RFC 7519 and RFC 7515; the
// signatures themselves are computed by crypto/ecdsa, ed25519, rsa and hmac.
//
// By default ES256, EdDSA, PS256 and RS256 are accepted, by keys of one
// configured set that never comes from the token; iss, aud, exp and sub are
// required; exp has no leeway, nbf and iat have 30 seconds. A token is at most
// 8 KiB and ends within 7 days, since revocations are kept that long. That a
// signature verified is remembered, for 16,384 tokens; everything that can
// change is asked anew.
//
// A bearer token is worth as much as the place where it is kept: who steals one
// is its holder until it ends or is revoked. A token bound to a key (cnf.jkt, RFC
// 9449) is refused unless the attempt has proven that key, inside the seal.
package jwt

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/strictjson"
)

// TypeAccess and TypeIdentity are the kinds of token (header "typ") that the
// door itself signs: access tokens of POST token (RFC 9068), and the identity
// header for backends, which no [Verifier] ever accepts.
const (
	TypeAccess   = "at+jwt"
	TypeIdentity = "sallyport-identity+jwt"
)

const (
	leeway      = 30 * time.Second   // on nbf and iat, never on exp
	maxLifetime = 7 * 24 * time.Hour // as long as revocations are kept
	maxText     = 1024               // bytes of iss and aud
	minSecret   = 32                 // bytes, and never less than the hash (RFC 7518, section 3.2)
)

// Config says whose tokens are accepted. Exactly one of JWKS, Keys and Secret
// is set.
type Config struct {
	// Issuer is compared with iss, byte for byte. Required.
	Issuer string

	// Audience must be aud or a member of it, byte for byte. Required. Name this
	// service, not the client of an OpenID login: an ID token's audience is the
	// client, and an ID token is no access token.
	Audience string

	// Algs are the signature algorithms accepted: ES256, ES384, ES512, EdDSA
	// (which includes its newer name Ed25519), PS256, PS384, PS512, RS256,
	// RS384, RS512, or, alone and with Secret, HS256, HS384, HS512.
	// Default ES256, EdDSA, PS256, RS256; with Secret, HS256.
	Algs []string

	// JWKS is where the issuer publishes its keys (RFC 7517): an https URL, an
	// http URL to loopback, or "file:/path". See [Verifier.Refresh] for how it
	// is read.
	JWKS string

	// Keys are held in the process instead.
	Keys *KeySet

	// Secret is the shared key of HS256, HS384 or HS512: at least 32 bytes, and
	// at least 48 or 64 for the longer ones.
	Secret []byte

	// Types are the values of the header "typ" that are accepted, compared
	// without case and without "application/". "" stands for a token without
	// typ. Default "at+jwt" (RFC 9068) and "JWT", which most issuers write.
	// Kinds that begin with "sallyport" can't be listed.
	Types []string

	// MaxLifetime refuses a token that has more than this left. Default and
	// maximum 7 days.
	MaxLifetime time.Duration

	// ACR, if not empty, demands that acr is one of these; AMR that amr has all
	// of these (RFC 8176); AuthAge that auth_time is at most this long ago, and
	// the identity then ends when it no longer is. Default: not asked.
	ACR, AMR []string
	AuthAge  time.Duration

	// Remember is for how many tokens it is remembered that their signature
	// verified, so that a client that comes back costs a hash instead. See
	// [Verifier.Verify] for what is asked again each time. A token takes about
	// 400 bytes, all of them at most a KiB each on average; those used longest ago
	// go first. Default 16,384; negative: none.
	Remember int
}

// Verifier checks tokens of one issuer. Its methods may be called from any
// goroutine. It starts none; keys are fetched by the caller that needs them.
type Verifier struct {
	config  Config
	algs    []string
	types   []string
	keys    *source // nil with a shared secret
	secret  []byte
	hsKeyID string
	memory  *memory // nil if nothing is remembered
}

// New returns a verifier, or all mistakes of c joined. It neither fetches keys
// nor reads files: [Verifier.Refresh] does, as does the first token.
func New(c Config) (*Verifier, error) {
	v := &Verifier{config: c, memory: newMemory(c.Remember)}
	var errs []error
	mistake := func(format string, args ...any) { errs = append(errs, fmt.Errorf("jwt: "+format, args...)) }

	if !strictjson.Text(c.Issuer, maxText) {
		mistake("issuer must be set: the exact value of iss, at most %d bytes", maxText)
	}
	if !strictjson.Text(c.Audience, maxText) {
		mistake("audience must be set: a token for another service would be accepted without it")
	}
	sources := 0
	for _, set := range []bool{c.JWKS != "", c.Keys != nil, c.Secret != nil} {
		if set {
			sources++
		}
	}
	if sources != 1 {
		mistake("exactly one of jwks, keys and secret must be set, not %d", sources)
	}
	var err error
	if v.algs, err = algorithms(c.Algs, c.Secret != nil); err != nil {
		mistake("%w", err)
	}
	if c.Secret != nil {
		if err := checkSecret(c.Secret, v.algs); err != nil {
			mistake("%w", err)
		}
		v.secret = slices.Clone(c.Secret)
		v.hsKeyID = secretID(v.secret)
	}
	if v.types, err = types(c.Types); err != nil {
		mistake("%w", err)
	}
	switch {
	case c.MaxLifetime == 0:
		v.config.MaxLifetime = maxLifetime
	case c.MaxLifetime < 0 || c.MaxLifetime > maxLifetime:
		mistake("max lifetime %s must be within 7 days, the time for which revocations are kept", c.MaxLifetime)
	}
	if c.AuthAge < 0 {
		mistake("auth age %s is negative", c.AuthAge)
	}
	switch {
	case c.JWKS != "":
		load, err := loader(c.JWKS)
		if err != nil {
			mistake("%w", err)
		}
		v.keys = newSource(load)
	case c.Keys != nil:
		v.keys = newSource(nil)
		v.keys.install(c.Keys)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return v, nil
}

func checkSecret(secret []byte, algs []string) error {
	need := minSecret
	for _, alg := range algs {
		if a, ok := algTable[alg]; ok {
			need = max(need, a.hash.Size())
		}
	}
	if len(secret) < need {
		return fmt.Errorf("secret has %d bytes, %v needs at least %d random ones", len(secret), algs, need)
	}
	head := strings.TrimSpace(string(secret[:minSecret]))
	if strings.HasPrefix(head, "-----BEGIN") || strings.HasPrefix(head, "{") || strings.HasPrefix(head, "ssh-") {
		return errors.New("secret looks like a key file: a public key as a secret lets everybody sign; set jwks instead")
	}
	return nil
}

func types(list []string) ([]string, error) {
	if list == nil {
		list = []string{TypeAccess, "JWT"}
	}
	if len(list) == 0 {
		return nil, errors.New("types is empty: no token would be accepted")
	}
	var out []string
	for _, t := range list {
		t = normalType(t)
		if strings.HasPrefix(t, "sallyport") {
			return nil, fmt.Errorf("type %q is the door's own and never a credential", t)
		}
		out = append(out, t)
	}
	return out, nil
}

// normalType makes media types comparable (RFC 7515, section 4.1.9).
func normalType(t string) string {
	return strings.TrimPrefix(strings.ToLower(t), "application/")
}

// Kind says that tokens travel as "Authorization: Bearer".
func (v *Verifier) Kind() auth.Kind { return auth.Bearer }

// Issuer is the issuer whose tokens are accepted.
func (v *Verifier) Issuer() string { return v.config.Issuer }

// Authenticate verifies the bearer token of r; see [Verifier.Verify]. A request
// without one, also one with a token in its URL only, carries no credential.
func (v *Verifier) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	token, ok := auth.BearerFrom(r)
	if !ok {
		return auth.Identity{}, fmt.Errorf("jwt: %w", auth.ErrNoCredentials)
	}
	if len(r.Header.Values("Authorization")) > 1 {
		return auth.Identity{}, invalid("more than one Authorization")
	}
	return v.Verify(ctx, token)
}

// Verify returns the identity that token proves. Its Credential is the jti, else
// [CredentialID]; its KeyID names the key that signed it, see [Verifier.HasKey].
//
// A signature that does not verify, another issuer, audience, type or algorithm,
// or a fault of form are all deny.AuthInvalid: the peer learns nothing about
// which. Only a token that is good but for its end is deny.AuthExpired. Without
// a usable key set the answer is deny.AuthUnavailable.
//
// Of a token that was good before, signature and claims are remembered, by the
// SHA-256 of the whole token, until the key set changes or [Verifier.Forget] is
// called. Asked again each time: whether a key set is trusted and the key is in
// it, every rule of time, and the proof of a key that the token is bound to.
// Whether it is revoked is asked by the door, of every identity. A refusal is
// never remembered, and no verifier sees what another remembers: a token for
// this audience is examined anew by the gate of the next.
func (v *Verifier) Verify(ctx context.Context, token string) (auth.Identity, error) {
	if len(token) > maxToken {
		return auth.Identity{}, invalid("token has %d bytes, more than %d", len(token), maxToken)
	}
	if v.memory == nil {
		f, err := v.examine(ctx, token)
		if err != nil {
			return auth.Identity{}, err
		}
		return v.admit(ctx, f)
	}
	return v.recall(ctx, token)
}

// examine verifies the signature of a token and reads it.
func (v *Verifier) examine(ctx context.Context, token string) (facts, error) {
	t, err := parse(token)
	if err != nil {
		return facts{}, invalid("%w", err)
	}
	if !slices.Contains(v.algs, t.alg) {
		return facts{}, invalid("algorithm %q is not accepted", t.alg)
	}
	if !slices.Contains(v.types, normalType(t.typ)) {
		return facts{}, invalid("type %q is not accepted", t.typ)
	}
	keyID, err := v.signedBy(ctx, t)
	if err != nil {
		return facts{}, err
	}
	f, err := v.read(t)
	if err != nil {
		return facts{}, err
	}
	f.id.KeyID = keyID
	return f, nil
}

// admit asks of every use of a token what time and the attempt have to say.
func (v *Verifier) admit(ctx context.Context, f facts) (auth.Identity, error) {
	id, err := v.judge(f, time.Now())
	if err != nil {
		return auth.Identity{}, err
	}
	if id.Key != "" && id.Key != auth.AttemptFrom(ctx).Key {
		return auth.Identity{}, deny.Because(deny.SealUnbound, errors.New("jwt: bound to a key (cnf) that was not proven"))
	}
	return id, nil
}

// signedBy returns the id of the key whose signature t carries.
func (v *Verifier) signedBy(ctx context.Context, t *parsed) (string, error) {
	if v.keys == nil {
		if !verifyHMAC(t.alg, v.secret, t.signed, t.signature) {
			return "", invalid("signature does not verify")
		}
		return v.hsKeyID, nil
	}
	candidates, err := v.keys.find(ctx, t.kid, t.alg)
	if err != nil {
		return "", unavailable(err)
	}
	if len(candidates) == 0 {
		return "", invalid("no key %.40q for %s in the set", t.kid, t.alg)
	}
	for _, k := range candidates {
		if k.verify(t.alg, t.signed, t.signature) {
			return k.id, nil
		}
	}
	return "", invalid("signature does not verify")
}

// HasKey reports whether the key that [auth.Identity].KeyID names is still
// trusted. When it is not, connections admitted by it must end. The id is the
// RFC 7638 thumbprint of the key, not its kid: a key that was exchanged under
// the same kid is gone.
func (v *Verifier) HasKey(id string) bool {
	if v.keys == nil {
		return id == v.hsKeyID
	}
	return v.keys.has(id)
}

// Refresh reads the key set again, whatever the cool-down. The owner of the
// verifier calls it from a timer, so that a key that left the set ends its
// connections also when no token arrives. An error means that the old set stays.
//
// The set is one JSON document of at most 256 KiB and 100 keys, replaced as a
// whole and never merged. A fetch takes at most 5 s, follows no redirect, uses no
// proxy and never goes to a link-local or cloud metadata address, checked when
// the name is resolved. Between the calls of Refresh a token reads the set again
// if it is older than 5 minutes, or if the token's kid is not in it; all callers
// together do so at most once in 10 s. While fetching fails, the old set is
// trusted for 24 h, then nothing is.
func (v *Verifier) Refresh(ctx context.Context) error {
	if v.keys == nil {
		return nil
	}
	return v.keys.refresh(ctx)
}

// Inherit takes over the key set that old has read, if old reads it from the same
// place for the same issuer; otherwise it does nothing. On a reload of the
// configuration it is called before v is used: a new verifier knows no keys
// before its first fetch, and connections must not end because of that.
func (v *Verifier) Inherit(old *Verifier) {
	if v.config.JWKS == "" || v.config.JWKS != old.config.JWKS || v.config.Issuer != old.config.Issuer {
		return
	}
	v.keys.inherit(old.keys)
}

// SetKeys replaces the keys of a verifier that was made with [Config].Keys.
func (v *Verifier) SetKeys(set *KeySet) error {
	if v.config.Keys == nil || set == nil {
		return errors.New("jwt: keys can only be set where keys were configured")
	}
	v.keys.install(set)
	return nil
}

// OnChange calls f whenever a key left the set, also when the whole set is no
// longer trusted because it could not be read for 24 h. f is called in the
// goroutine that found out, without locks held, and must not block long.
func (v *Verifier) OnChange(f func()) {
	if v.keys != nil {
		v.keys.onChange(f)
	}
}

// Generation counts the changes of the key set.
func (v *Verifier) Generation() uint64 {
	if v.keys == nil {
		return 0
	}
	return v.keys.generation.Load()
}

// LastSuccess is when the key set was last read; zero if never, or if there is
// nothing to read.
func (v *Verifier) LastSuccess() time.Time {
	if v.keys == nil || v.keys.load == nil {
		return time.Time{}
	}
	return v.keys.lastSuccess()
}

// Failures counts the attempts to read the key set that failed.
func (v *Verifier) Failures() uint64 {
	if v.keys == nil {
		return 0
	}
	return v.keys.failures.Load()
}

// Close ends a fetch in progress and allows no other. Tokens are still judged
// by the set at hand, for as long as that is trusted.
func (v *Verifier) Close() {
	if v.keys != nil {
		v.keys.close()
	}
}

func invalid(format string, args ...any) error {
	return deny.Because(deny.AuthInvalid, fmt.Errorf("jwt: "+format, args...))
}

func unavailable(err error) error {
	return deny.Because(deny.AuthUnavailable, fmt.Errorf("jwt: %w", err))
}

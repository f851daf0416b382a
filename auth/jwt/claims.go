package jwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/strictjson"
)

// maxName bounds what is kept with every connection and every revocation.
const maxName = 512

// plain decodes an object that passed the strict checks, numbers kept as text.
func plain(data []byte) (map[string]any, error) {
	if _, err := strictjson.Object(data); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var m map[string]any
	return m, dec.Decode(&m)
}

// facts are what a token says, once its signature verified and every rule was
// applied that time does not change.
type facts struct {
	id       auth.Identity // with exp itself as its end; KeyID is set by who verified
	nbf      time.Time     // zero if there is none
	signedIn time.Time     // auth_time; zero unless AuthAge is asked for
}

// read applies to a token whose signature verified the claims rules that time
// does not change.
func (v *Verifier) read(t *parsed) (facts, error) {
	var none facts
	claims, err := strictjson.Object(t.payload)
	if err != nil {
		return none, invalid("payload: %w", err)
	}
	id := auth.Identity{Method: "jwt", Issuer: v.config.Issuer, Audience: v.config.Audience}
	if iss, _ := asString(claims["iss"]); iss != v.config.Issuer {
		return none, invalid("another issuer")
	}
	if !forAudience(claims["aud"], v.config.Audience) {
		return none, invalid("another audience")
	}
	if err := otherKind(claims); err != nil {
		return none, invalid("%w", err)
	}
	if id.Key, err = boundTo(claims["cnf"]); err != nil {
		return none, invalid("%w", err)
	}
	if id.Subject, _ = asString(claims["sub"]); !strictjson.Text(id.Subject, maxName) {
		return none, invalid("no usable sub")
	}
	if id.Session, err = optional(claims, "sid"); err != nil {
		return none, invalid("%w", err)
	}
	if id.Credential, err = optional(claims, "jti"); err != nil {
		return none, invalid("%w", err)
	}
	if id.Credential == "" {
		id.Credential = CredentialID(string(t.signed) + ".")
	}
	if id.Scopes, err = scopes(claims); err != nil {
		return none, invalid("%w", err)
	}
	f := facts{id: id}
	if f.id.Expires, err = date(claims, "exp"); err != nil || f.id.Expires.IsZero() {
		return none, invalid("no usable exp")
	}
	if f.nbf, err = date(claims, "nbf"); err != nil {
		return none, invalid("%w", err)
	}
	if f.id.IssuedAt, err = date(claims, "iat"); err != nil {
		return none, invalid("%w", err)
	}
	if f.signedIn, err = v.strength(claims); err != nil {
		return none, invalid("%w", err)
	}
	return f, nil
}

// judge applies the rules of time, at every use of a token. The end comes last,
// so that "expired" is only said of a token that is good otherwise.
func (v *Verifier) judge(f facts, now time.Time) (auth.Identity, error) {
	var none auth.Identity
	id := f.id
	if f.nbf.After(now.Add(leeway)) || id.IssuedAt.After(now.Add(leeway)) {
		return none, invalid("not valid yet")
	}
	if left := id.Expires.Sub(now); left > v.config.MaxLifetime {
		return none, invalid("%s left, more than %s", left, v.config.MaxLifetime)
	}
	if f.signedIn.After(now.Add(leeway)) {
		return none, invalid("auth_time is not yet")
	}
	if !now.Before(id.Expires) {
		return none, deny.Because(deny.AuthExpired, fmt.Errorf("jwt: ended %s ago", now.Sub(id.Expires)))
	}
	if !f.signedIn.IsZero() {
		end := f.signedIn.Add(v.config.AuthAge)
		if !now.Before(end) {
			return none, deny.Because(deny.AuthExpired, errors.New("jwt: auth_time is too long ago"))
		}
		if end.Before(id.Expires) {
			id.Expires = end
		}
	}
	return id, nil
}

// strength checks how the user signed in, and returns when, if that matters.
func (v *Verifier) strength(claims map[string]json.RawMessage) (signedIn time.Time, err error) {
	if len(v.config.ACR) > 0 {
		if acr, _ := asString(claims["acr"]); !slices.Contains(v.config.ACR, acr) || acr == "" {
			return signedIn, errors.New("acr is none of those demanded")
		}
	}
	amr, _ := asStrings(claims["amr"])
	for _, want := range v.config.AMR {
		if !slices.Contains(amr, want) {
			return signedIn, fmt.Errorf("amr lacks %q", want)
		}
	}
	if v.config.AuthAge > 0 {
		if signedIn, err = date(claims, "auth_time"); err != nil || signedIn.IsZero() {
			return signedIn, errors.New("no usable auth_time")
		}
	}
	return signedIn, nil
}

// otherKind recognises tokens that are signed by the same keys and are no access
// tokens: OpenID Connect ID tokens by the hashes that only they have, those of
// Keycloak and Cognito by their own marks.
func otherKind(claims map[string]json.RawMessage) error {
	for _, name := range []string{"at_hash", "c_hash", "s_hash"} {
		if _, ok := claims[name]; ok {
			return fmt.Errorf("an ID token (it has %s) is no access token", name)
		}
	}
	if _, ok := claims["events"]; ok {
		return errors.New("a security event or logout token is no access token")
	}
	if use, _ := asString(claims["token_use"]); use == "id" {
		return errors.New("an ID token (token_use) is no access token")
	}
	switch typ, _ := asString(claims["typ"]); strings.ToLower(typ) {
	case "id", "refresh", "offline", "logout":
		return fmt.Errorf("a token of the kind %q is no access token", typ)
	}
	return nil
}

// boundTo is the thumbprint of the key that a token is bound to (RFC 9449,
// section 6.1); empty if there is no such claim. Other ways of binding cannot be
// proven here.
func boundTo(raw json.RawMessage) (string, error) {
	if raw == nil {
		return "", nil
	}
	cnf, err := strictjson.Object(raw)
	if err != nil {
		return "", fmt.Errorf("cnf: %w", err)
	}
	jkt, ok := asString(cnf["jkt"])
	if !ok || len(cnf) != 1 || len(jkt) != thumbprintSize {
		return "", errors.New("bound to a key (cnf) in a way that cannot be proven here")
	}
	return jkt, nil
}

// thumbprintSize is that of SHA-256 in base64url.
const thumbprintSize = 43

// forAudience reports whether want is aud or a member of it. A list with
// anything else than strings is none.
func forAudience(raw json.RawMessage, want string) bool {
	if one, ok := asString(raw); ok {
		return one == want
	}
	list, ok := asStrings(raw)
	return ok && slices.Contains(list, want)
}

// optional reads a string claim that may be absent.
func optional(claims map[string]json.RawMessage, name string) (string, error) {
	raw, ok := claims[name]
	if !ok {
		return "", nil
	}
	s, ok := asString(raw)
	if !ok || !strictjson.Text(s, maxName) {
		return "", fmt.Errorf("%s is not a string of 1 to %d bytes", name, maxName)
	}
	return s, nil
}

// scopes joins scope (RFC 8693, section 4.2: one string) and scp (a list or a
// string, as some issuers write it), sorted and without doubles.
func scopes(claims map[string]json.RawMessage) ([]string, error) {
	var out []string
	for _, name := range []string{"scope", "scp"} {
		raw, ok := claims[name]
		if !ok {
			continue
		}
		list, ok := asStrings(raw)
		if !ok {
			s, ok := asString(raw)
			if !ok {
				return nil, fmt.Errorf("%s is neither a string nor a list of strings", name)
			}
			list = strings.FieldsFunc(s, func(c rune) bool { return c == ' ' })
		}
		for _, s := range list {
			if !strictjson.Text(s, maxName) || strings.Contains(s, " ") {
				return nil, fmt.Errorf("%s has an unusable member", name)
			}
		}
		out = append(out, list...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// date reads a NumericDate (RFC 7519, section 2): a JSON number of seconds,
// perhaps with a fraction, from 1970 to the year 9999. Absent is the zero time.
func date(claims map[string]json.RawMessage, name string) (time.Time, error) {
	raw, ok := claims[name]
	if !ok {
		return time.Time{}, nil
	}
	const lastSecond = 253402300799 // 9999-12-31T23:59:59Z
	bad := fmt.Errorf("%s is not a time in seconds", name)
	if len(raw) > 32 || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return time.Time{}, bad
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		if n < 0 || n > lastSecond {
			return time.Time{}, bad
		}
		return time.Unix(n, 0), nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > lastSecond {
		return time.Time{}, bad
	}
	whole, part := math.Modf(f)
	return time.Unix(int64(whole), int64(part*1e9)), nil
}

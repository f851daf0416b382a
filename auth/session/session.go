// Package session keeps users signed in by a cookie, with the state on this side.
//
// It stops session theft and fixation. The cookie is a "__Host-" cookie (RFC
// 6265bis: Secure, Path=/, no Domain, so no sibling host can plant one),
// HttpOnly and SameSite=Strict. Its value has 256 bits from the system's
// generator, is new at every login and is kept as its SHA-256 only: who reads
// the store can sign in as nobody. Signing out ends the session here, whatever
// the browser keeps. It does not stop another site from making the browser send
// the cookie on a handshake; that is the business of package origin.
//
// By default a session lives 12 hours, at most 7 days, however much it is used.
package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/cookie"
)

// Method is the Method of the identities that this package makes.
const Method = "session"

// Defaults and limits of a [Config].
const (
	DefaultCookie   = "__Host-sallyport"
	DefaultLifetime = 12 * time.Hour
	// MaxLifetime is how long revocations are kept: a session that outlived the
	// revocation of it would come back to life.
	MaxLifetime = 7 * 24 * time.Hour
)

// How often an open connection asks whether its session still exists, and how
// long it bears a store that fails.
const (
	recheckEvery = 30 * time.Second
	recheckGrace = 60 * time.Second
)

// Bounds of what Login keeps, in bytes and pieces.
const (
	maxSubject = 512
	maxScopes  = 64
	maxScope   = 128
)

// Config says how sessions are kept and presented.
type Config struct {
	// Store keeps the sessions. Required; [NewMemory] forgets them at a restart.
	Store Store

	// Issuer is the Issuer of the identities, for example the public origin.
	// Required.
	Issuer string

	// Cookie is the full name of the cookie, up to 64 bytes. It must begin with
	// "__Host-".
	// Default "__Host-sallyport".
	Cookie string

	// Lifetime is how long after the login a session ends, used or not. At most
	// 7 days. Zero means 12 h.
	Lifetime time.Duration

	// SameSite is http.SameSiteStrictMode (also the meaning of zero) or
	// http.SameSiteLaxMode, which a login that returns from another site needs.
	SameSite http.SameSite
}

// Sessions signs users in and out and recognises them. It is an
// [auth.Authenticator] and an [auth.Rechecker], and safe for use by any goroutine.
type Sessions struct {
	store    Store
	issuer   string
	cookie   string
	lifetime time.Duration
	sameSite http.SameSite
}

var (
	_ auth.Authenticator = (*Sessions)(nil)
	_ auth.Rechecker     = (*Sessions)(nil)
	_ auth.Kinder        = (*Sessions)(nil)
)

// New returns the sessions that c describes, or all mistakes of c at once.
func New(c Config) (*Sessions, error) {
	s := &Sessions{store: c.Store, issuer: c.Issuer, cookie: c.Cookie, lifetime: c.Lifetime, sameSite: c.SameSite}
	if s.cookie == "" {
		s.cookie = DefaultCookie
	}
	if s.lifetime == 0 {
		s.lifetime = DefaultLifetime
	}
	if s.sameSite == 0 {
		s.sameSite = http.SameSiteStrictMode
	}
	var errs []error
	mistake := func(format string, args ...any) { errs = append(errs, fmt.Errorf("session: "+format, args...)) }
	if s.store == nil {
		mistake("Store is missing")
	}
	if s.issuer == "" {
		mistake("Issuer is missing")
	}
	if err := cookie.CheckName(s.cookie); err != nil {
		mistake("Cookie: %w", err)
	}
	if s.lifetime < time.Second || s.lifetime > MaxLifetime {
		mistake("Lifetime (%s) must be 1s to %s", c.Lifetime, MaxLifetime)
	}
	if s.sameSite != http.SameSiteStrictMode && s.sameSite != http.SameSiteLaxMode {
		mistake("SameSite must be Strict or Lax")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// CookieName is the full name of the cookie.
func (s *Sessions) CookieName() string { return s.cookie }

// Login starts a session of subject and sets its cookie on w. The value is
// always new: whatever r presents is never adopted, and a live session that r
// presents ends first. That one is returned as old (the zero Identity if there
// was none), also when err is not nil, so that the caller can end its
// connections. Call Login again when a user's rights change.
//
// It denies with auth.invalid (r carries the cookie twice or malformed),
// guard.full (no room in the store) and auth.unavailable (the store failed);
// nobody is signed in then. Any other error is a mistake of the caller: an empty
// or longer than 512 bytes subject, more than 64 scopes, a scope that is empty,
// longer than 128 bytes or has spaces.
func (s *Sessions) Login(ctx context.Context, w http.ResponseWriter, r *http.Request, subject string, scopes []string) (id, old auth.Identity, err error) {
	scopes, err = checked(subject, scopes)
	if err != nil {
		return id, old, fmt.Errorf("login: %w", err)
	}
	if key, err := s.presented(r); err == nil {
		if old, err = s.end(ctx, key); err != nil {
			return id, old, err
		}
	} else if !errors.Is(err, auth.ErrNoCredentials) {
		return id, old, err
	}
	value, now := random(), time.Now().Round(0)
	key := sha256.Sum256([]byte(value))
	rec := Record{ID: random(), Subject: subject, Scopes: scopes, Created: now, Expires: now.Add(s.lifetime)}
	if err := s.store.Create(ctx, key, rec); err != nil {
		reason := deny.AuthUnavailable
		if errors.Is(err, ErrFull) {
			reason = deny.GuardFull
		}
		return id, old, deny.Because(reason, fmt.Errorf("login: create session: %w", err))
	}
	cookie.Set(w, s.cookie, value, s.lifetime, s.sameSite)
	return s.identity(key, rec), old, nil
}

// Logout ends the session that r presents, clears the cookie and returns who it
// was, so that the caller can end its connections.
//
// Without a session cookie it returns an error wrapping
// [auth.ErrNoCredentials]; a session that has already ended is
// auth.signed-out, a malformed or doubled cookie auth.invalid. The cookie is
// cleared in all these cases. A cookie that is only shadowed by one of another
// name ends its session all the same: a sibling host must not be able to keep
// users signed in. If the store fails it denies with auth.unavailable and leaves
// the cookie, since the session still lives.
func (s *Sessions) Logout(ctx context.Context, w http.ResponseWriter, r *http.Request) (auth.Identity, error) {
	key, err := s.presented(r)
	if errors.Is(err, cookie.ErrAmbiguous) {
		if own := r.CookiesNamed(s.cookie); len(own) == 1 && wellFormed(own[0].Value) {
			key, err = sha256.Sum256([]byte(own[0].Value)), nil
		}
	}
	if err != nil {
		cookie.Clear(w, s.cookie)
		return auth.Identity{}, err
	}
	id, err := s.end(ctx, key)
	if err != nil {
		return id, err
	}
	cookie.Clear(w, s.cookie)
	if id.Session == "" {
		return id, signedOut("logout")
	}
	return id, nil
}

// End ends the session with a public id. Ending one that does not exist is no
// error; a store that fails is auth.unavailable. The caller ends its connections.
func (s *Sessions) End(ctx context.Context, session string) error {
	if _, _, err := s.store.DeleteID(ctx, session); err != nil {
		return deny.Because(deny.AuthUnavailable, fmt.Errorf("end session: %w", err))
	}
	return nil
}

// Authenticate recognises the session that r presents. Without the cookie it
// returns an error wrapping [auth.ErrNoCredentials]. It denies with auth.invalid
// (the cookie twice, shadowed or malformed), auth.signed-out (no such session),
// auth.expired and auth.unavailable (the store failed).
func (s *Sessions) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	key, err := s.presented(r)
	if err != nil {
		return auth.Identity{}, err
	}
	return s.find(ctx, key, "session")
}

// Recheck asks whether the session of id still exists. It denies with
// auth.signed-out, auth.expired and auth.unavailable (the store failed).
func (s *Sessions) Recheck(ctx context.Context, id auth.Identity) (auth.Identity, error) {
	if id.Method != Method || id.Issuer != s.issuer || len(id.Handle) != sha256.Size {
		return auth.Identity{}, deny.Because(deny.AuthInvalid, errors.New("recheck session: not an identity of ours"))
	}
	if !time.Now().Before(id.Expires) {
		return auth.Identity{}, deny.Because(deny.AuthExpired, errors.New("recheck session: expired"))
	}
	now, err := s.find(ctx, [sha256.Size]byte(id.Handle), "recheck session")
	if err != nil {
		return auth.Identity{}, err
	}
	if now.Session != id.Session || now.Subject != id.Subject {
		return auth.Identity{}, signedOut("recheck session")
	}
	return now, nil
}

// Every is the time between checks and how long a failing store is borne: 30 s
// and 60 s.
func (*Sessions) Every() (interval, grace time.Duration) { return recheckEvery, recheckGrace }

// Kind places sessions after explicit credentials: the browser sends the cookie
// without being asked.
func (*Sessions) Kind() auth.Kind { return auth.Session }

// presented returns the key of the session whose cookie r carries.
func (s *Sessions) presented(r *http.Request) (key [32]byte, err error) {
	value, err := cookie.Get(r, s.cookie)
	switch {
	case errors.Is(err, cookie.ErrNone):
		return key, fmt.Errorf("session: %w", auth.ErrNoCredentials)
	case err != nil:
		return key, deny.Because(deny.AuthInvalid, fmt.Errorf("session: %w", err))
	case !wellFormed(value):
		return key, deny.Because(deny.AuthInvalid, errors.New("session: the cookie is not one of ours"))
	}
	return sha256.Sum256([]byte(value)), nil
}

func (s *Sessions) find(ctx context.Context, key [32]byte, verb string) (auth.Identity, error) {
	rec, ok, err := s.store.Get(ctx, key)
	switch {
	case err != nil:
		return auth.Identity{}, deny.Because(deny.AuthUnavailable, fmt.Errorf("%s: %w", verb, err))
	case !ok:
		return auth.Identity{}, signedOut(verb)
	case !time.Now().Before(rec.Expires):
		return auth.Identity{}, deny.Because(deny.AuthExpired, fmt.Errorf("%s: expired", verb))
	}
	return s.identity(key, rec), nil
}

// end deletes the session under key and returns who it was, or the zero
// Identity if there was none.
func (s *Sessions) end(ctx context.Context, key [32]byte) (auth.Identity, error) {
	rec, ok, err := s.store.Delete(ctx, key)
	if err != nil {
		return auth.Identity{}, deny.Because(deny.AuthUnavailable, fmt.Errorf("end session: %w", err))
	}
	if !ok {
		return auth.Identity{}, nil
	}
	return s.identity(key, rec), nil
}

func (s *Sessions) identity(key [32]byte, rec Record) auth.Identity {
	return auth.Identity{
		Issuer:     s.issuer,
		Subject:    rec.Subject,
		Session:    rec.ID,
		Credential: rec.ID,
		Method:     Method,
		IssuedAt:   rec.Created,
		Expires:    rec.Expires,
		Scopes:     rec.Scopes,
		Handle:     key[:],
	}
}

func signedOut(verb string) error {
	return deny.Because(deny.AuthSignedOut, fmt.Errorf("%s: no such session", verb))
}

// checked returns the scopes sorted and without doubles.
func checked(subject string, scopes []string) ([]string, error) {
	if subject == "" || len(subject) > maxSubject {
		return nil, fmt.Errorf("the subject must have 1 to %d bytes", maxSubject)
	}
	if len(scopes) > maxScopes {
		return nil, fmt.Errorf("more than %d scopes", maxScopes)
	}
	for _, s := range scopes {
		if s == "" || len(s) > maxScope || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return nil, fmt.Errorf("scope %q must have 1 to %d visible ASCII characters", s, maxScope)
		}
	}
	sorted := slices.Clone(scopes)
	slices.Sort(sorted)
	return slices.Compact(sorted), nil
}

// size is the number of random bytes in a cookie's value and in a public id.
const size = 32

func random() string {
	var b [size]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// wellFormed keeps long or odd input away from the store.
func wellFormed(value string) bool {
	if len(value) != base64.RawURLEncoding.EncodedLen(size) {
		return false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(value)
	return err == nil && len(b) == size
}

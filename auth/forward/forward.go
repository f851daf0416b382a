// Package forward admits whom the application behind the door knows.
//
// It serves applications with sessions of their own, which no other program can
// read: the door asks an endpoint of the application who sent these cookies. It
// stops what a proxy that asks only once lets through, a socket that stays open
// after the application signed its user out: the question is asked again while
// the connection lives. There is no standard for such endpoints; this contract
// is written in the design of the door, and it is narrower than that of reverse
// proxies (no redirects, one status that admits, JSON instead of headers).
//
// The question is a GET with the browser's Cookie and Authorization, Origin,
// X-Forwarded-For, -Proto, -Host and -Uri (the gate), and Sallyport-Recheck: 0 or
// 1. All of these but the first two are made by the door, and nothing else of
// the request passes. The answer is 200 with
//
//	{"sub": "…", "session": "…", "exp": 1700000000, "scopes": ["…"], "recheck": "…"}
//
// of which only sub is required; other names are ignored. 401 or 403 refuses.
// Anything else fails closed, and so does an answer above 16 KiB or after 2 s.
//
// A request with neither Cookie nor Authorization is not asked about. Answers
// are kept for at most 2 s; at most 32 questions are asked at a time.
package forward

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/cookie"
)

// Method is the method of the identities made here.
const Method = "forward"

const (
	maxTimeout    = 2 * time.Second
	maxForwarded  = 8 << 10 // bytes of Cookie and Authorization together
	maxInFlight   = 32
	maxEntries    = 1024
	cacheFor      = 2 * time.Second
	defaultAgain  = 30 * time.Second
	defaultGrace  = 60 * time.Second
	shortestAgain = time.Second
)

// Config says whom to ask.
type Config struct {
	// URL is the endpoint of the application: https, or http on loopback.
	// Without its query it is also the issuer of the identities. Required.
	URL string

	// Recheck is the time between two questions about a connection.
	// Default 30 s, at least 1 s.
	Recheck time.Duration

	// Grace is how long a connection stays while the application can't be
	// reached. Default 60 s.
	Grace time.Duration

	// Timeout bounds one question with its answer. Default and maximum 2 s.
	Timeout time.Duration

	// StripCookies are the names of the door's own cookies. They are never
	// sent, and a request that has no others carries no credential.
	StripCookies []string
}

// Authenticator asks the application. Its methods may be called from any
// goroutine. The connections that it keeps to the application end with Close.
type Authenticator struct {
	config Config
	issuer string
	secret [sha256.Size]byte // keys every hash made here; of this process only
	app    *app
	cache  *cache
	calls  group
}

var _ interface {
	auth.Authenticator
	auth.Kinder
	auth.Rechecker
} = (*Authenticator)(nil)

// New returns an authenticator, or all mistakes of c joined. It asks nothing yet.
func New(c Config) (*Authenticator, error) {
	c.Recheck = cmp.Or(c.Recheck, defaultAgain)
	c.Grace = cmp.Or(c.Grace, defaultGrace)
	c.Timeout = cmp.Or(c.Timeout, maxTimeout)
	c.StripCookies = slices.Clone(c.StripCookies)
	var errs []error
	u, err := endpoint(c.URL)
	if err != nil {
		errs = append(errs, fmt.Errorf("forward: %w", err))
	}
	if c.Recheck < shortestAgain {
		errs = append(errs, fmt.Errorf("forward: recheck %s is shorter than %s", c.Recheck, shortestAgain))
	}
	if c.Grace < 0 {
		errs = append(errs, fmt.Errorf("forward: grace %s is negative", c.Grace))
	}
	if c.Timeout < 0 || c.Timeout > maxTimeout {
		errs = append(errs, fmt.Errorf("forward: timeout %s is not within %s", c.Timeout, maxTimeout))
	}
	for _, name := range c.StripCookies {
		if err := cookie.CheckName(name); err != nil {
			errs = append(errs, fmt.Errorf("forward: strip cookie %q: %w", name, err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	a := &Authenticator{config: c, cache: newCache()}
	rand.Read(a.secret[:])
	a.app = newApp(u, c.Timeout)
	u.RawQuery, u.ForceQuery = "", false
	a.issuer = u.String()
	return a, nil
}

// Kind says that the credential is ambient and asked for last.
func (a *Authenticator) Kind() auth.Kind { return auth.Forward }

// Every returns the configured times.
func (a *Authenticator) Every() (interval, grace time.Duration) {
	return a.config.Recheck, a.config.Grace
}

// Issuer is the issuer of the identities: the URL without its query.
func (a *Authenticator) Issuer() string { return a.issuer }

// Authenticate asks the application about r. It reads the gate, origin and
// address from [auth.AttemptFrom].
//
// The identity's Credential is a keyed hash of Cookie and Authorization, good
// for this process only; IssuedAt is when the question was asked. Its Handle is
// what [Authenticator.Recheck] needs: the handle from the answer (at most 1 KiB),
// or else the headers themselves (at most 4 KiB; a connection with more could
// not be checked again, and is refused with deny.AuthInvalid). The Handle is a
// secret: the owner clears its bytes when the connection ends.
//
// 401 and 403 are deny.AuthInvalid, an end that has passed deny.AuthExpired, and
// everything else that does not admit is deny.AuthUnavailable.
func (a *Authenticator) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	q, err := a.question(ctx, r)
	if err != nil {
		return auth.Identity{}, err
	}
	key := a.hash("admission", q.Cookie, q.Authorization, q.Gate, q.Origin, q.Host, q.Address)
	if id, ok := a.cache.get(key); ok {
		return id, nil
	}
	return a.calls.do(ctx, key, func() (auth.Identity, error) {
		era := a.cache.era()
		asked := time.Now()
		ans, err := a.app.ask(q, false)
		if err != nil {
			return auth.Identity{}, err
		}
		id, err := a.identity(q, ans, asked)
		if err != nil {
			return auth.Identity{}, err
		}
		a.cache.put(key, id, asked, era)
		return id, nil
	})
}

// question takes from r what is sent. The rest of r does not pass.
func (a *Authenticator) question(ctx context.Context, r *http.Request) (question, error) {
	h := http.Header{}
	if lines := r.Header["Cookie"]; len(lines) > 0 {
		h["Cookie"] = lines
		cookie.Remove(h, a.config.StripCookies...)
	}
	at := auth.AttemptFrom(ctx)
	q := question{
		Cookie:        strings.Trim(strings.Join(h["Cookie"], "; "), " \t"),
		Authorization: strings.Trim(r.Header.Get("Authorization"), " \t"),
		Origin:        at.Origin, Gate: at.Gate, Address: at.Address, Host: r.Host,
	}
	if q.Origin == "none" {
		q.Origin = ""
	}
	if _, err := netip.ParseAddr(q.Address); err != nil {
		q.Address = "" // of a peer on a unix socket: there is none to tell
	}
	switch {
	case len(r.Header["Authorization"]) > 1:
		return q, refused("more than one Authorization")
	case q.Cookie == "" && q.Authorization == "":
		return q, fmt.Errorf("forward: %w", auth.ErrNoCredentials)
	case len(q.Cookie)+len(q.Authorization) > maxForwarded:
		return q, refused("Cookie and Authorization have more than %d bytes", maxForwarded)
	case !fieldValue(q.Cookie) || !fieldValue(q.Authorization) || !fieldValue(q.Host):
		return q, refused("a control character in Cookie, Authorization or Host")
	}
	return q, nil
}

// identity is who the answer to q says.
func (a *Authenticator) identity(q question, ans answer, asked time.Time) (auth.Identity, error) {
	handle, err := q.handle(ans.recheck)
	if err != nil {
		return auth.Identity{}, refused("%w", err)
	}
	sum := a.hash("credential", q.Cookie, q.Authorization)
	return auth.Identity{
		Issuer: a.issuer, Subject: ans.subject, Session: ans.session, Method: Method,
		Credential: hex.EncodeToString(sum[:]),
		IssuedAt:   asked, Expires: ans.expires, Scopes: ans.scopes, Handle: handle,
	}, nil
}

// Recheck asks again about an admitted identity, with its handle or its headers.
// It never uses a kept answer. The identity returned has the end, and the handle,
// that the application now gives; nothing else changes.
//
// 401, 403, another subject or another session are deny.AuthSignedOut; a scope
// that is gone is deny.PolicyChanged; an end that has passed deny.AuthExpired.
// Everything else is deny.AuthUnavailable: ask again until the grace time is over.
func (a *Authenticator) Recheck(ctx context.Context, id auth.Identity) (auth.Identity, error) {
	if id.Method != Method || id.Issuer != a.issuer {
		return auth.Identity{}, refused("recheck: an identity of %s, not of this application", id.Method)
	}
	q, err := parseHandle(id.Handle)
	if err != nil {
		return auth.Identity{}, refused("recheck: %w", err)
	}
	key := a.hash("recheck", string(id.Handle))
	now, err := a.calls.do(ctx, key, func() (auth.Identity, error) {
		ans, err := a.app.ask(q, true)
		if err != nil {
			return auth.Identity{}, err
		}
		return a.again(q, ans)
	})
	if err != nil {
		if deny.Of(err) == deny.AuthInvalid {
			err = deny.Because(deny.AuthSignedOut, err)
		}
		return auth.Identity{}, err
	}
	if now.Subject != id.Subject || now.Session != id.Session {
		return auth.Identity{}, deny.Because(deny.AuthSignedOut, errors.New("forward: recheck: another subject or session"))
	}
	for _, s := range id.Scopes {
		if !slices.Contains(now.Scopes, s) {
			return auth.Identity{}, deny.Because(deny.PolicyChanged, fmt.Errorf("forward: recheck: scope %.40q is gone", s))
		}
	}
	id.Expires, id.Handle = now.Expires, now.Handle
	return id, nil
}

// again is what a second answer says. A question that was asked with a handle
// has no headers to fall back to: without a new handle the old one stays.
func (a *Authenticator) again(q question, ans answer) (auth.Identity, error) {
	handle, err := q.handle(cmp.Or(ans.recheck, q.Recheck))
	if err != nil {
		return auth.Identity{}, unavailable("recheck: %w", err)
	}
	return auth.Identity{Subject: ans.subject, Session: ans.session, Expires: ans.expires, Scopes: ans.scopes, Handle: handle}, nil
}

// Forget drops the kept answers of an issuer's subject or session, so that a
// logout or revocation is not outlived by them; an empty subject or session
// matches every one. Answers on their way at this moment are not kept either, and
// nobody who comes later waits for them.
// An issuer other than [Authenticator.Issuer] is nothing to this authenticator.
func (a *Authenticator) Forget(issuer, subject, session string) {
	if issuer != a.issuer {
		return
	}
	a.forget(func(id auth.Identity) bool {
		return (subject == "" || id.Subject == subject) && (session == "" || id.Session == session)
	})
}

// ForgetAll drops all kept answers.
func (a *Authenticator) ForgetAll() {
	a.forget(func(auth.Identity) bool { return true })
}

func (a *Authenticator) forget(match func(auth.Identity) bool) {
	a.cache.forget(match)
	a.calls.part()
}

// Close ends questions in progress and the connections to the application, and
// drops all kept answers. What is asked afterwards is deny.AuthUnavailable.
func (a *Authenticator) Close() {
	a.app.close()
	a.ForgetAll()
}

// hash is a keyed hash of parts, each with its length, for one purpose.
func (a *Authenticator) hash(purpose string, parts ...string) [sha256.Size]byte {
	m := hmac.New(sha256.New, a.secret[:])
	for _, p := range append([]string{purpose}, parts...) {
		m.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		m.Write([]byte(p))
	}
	return [sha256.Size]byte(m.Sum(nil))
}

func refused(format string, args ...any) error {
	return deny.Because(deny.AuthInvalid, fmt.Errorf("forward: "+format, args...))
}

func unavailable(format string, args ...any) error {
	return deny.Because(deny.AuthUnavailable, fmt.Errorf("forward: "+format, args...))
}

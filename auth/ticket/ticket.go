// Package ticket lets a browser present on a WebSocket handshake what it cannot
// put there itself: its session or its token.
//
// A page cannot set headers on a handshake (the constructor of the WHATWG
// standard takes a URL and subprotocols only) and a credential in the URL ends
// up in logs. So the page exchanges its credential for a ticket over HTTPS and
// offers the ticket as a subprotocol. It stops replay and theft: a ticket has
// 256 bits from the system's generator, lives 10 seconds, is good once, for one
// gate and one origin, and is kept as its SHA-256 only. A ticket that is
// presented in the wrong place is burnt. It does not prove who uses it: whoever
// reads it off the page in its few seconds can use it, from the same origin.
//
// By default a ticket lives 10 s (at most 30 s), never longer than the
// credential behind it, and a session has at most 5 outstanding. A restart
// forgets all tickets of a [Memory].
package ticket

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

// Admission is the purpose of a ticket that may start a seal handshake and is
// no credential: it carries no identity.
const Admission = "admission"

// Defaults and limits of a [Config].
const (
	DefaultTTL        = 10 * time.Second
	MaxTTL            = 30 * time.Second
	DefaultPerSession = 5
	MaxPerSession     = 100
)

// Config says how tickets are kept and for how long.
type Config struct {
	// Store keeps outstanding tickets. Default: a [Memory] of [MaxOutstanding].
	Store Store

	// TTL is the longest life of a ticket. Zero means 10 s; more than 30 s is an
	// error. A ticket never outlives the credential behind it.
	TTL time.Duration

	// PerSession is how many tickets of one session may be outstanding, at most
	// 100; the next is refused with guard.crowded. Zero means 5. Identities
	// without a session count per issuer, subject and credential, and those with
	// none of these per client address.
	PerSession int
}

// Tickets issues and redeems tickets. It is an [auth.Authenticator] and safe
// for use by any goroutine.
type Tickets struct {
	store      Store
	ttl        time.Duration
	perSession int
}

var (
	_ auth.Authenticator = (*Tickets)(nil)
	_ auth.Kinder        = (*Tickets)(nil)
)

// New returns an issuer of tickets, or all mistakes of c at once.
func New(c Config) (*Tickets, error) {
	t := &Tickets{store: c.Store, ttl: c.TTL, perSession: c.PerSession}
	if t.store == nil {
		t.store = NewMemory(0)
	}
	if t.ttl == 0 {
		t.ttl = DefaultTTL
	}
	if t.perSession == 0 {
		t.perSession = DefaultPerSession
	}
	var errs []error
	if t.ttl < 0 || t.ttl > MaxTTL {
		errs = append(errs, fmt.Errorf("ticket: TTL (%s) must be more than 0 and at most %s", c.TTL, MaxTTL))
	}
	if t.perSession < 0 || t.perSession > MaxPerSession {
		errs = append(errs, fmt.Errorf("ticket: PerSession (%d) must be 1 to %d", c.PerSession, MaxPerSession))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

// Issue returns a new ticket for g and how long it lives: the TTL, or what is
// left of g.Identity if that is less. g needs a gate, an origin and an
// identity; for the purpose [Admission] the identity only says who asks and is
// not kept. The client address of [auth.AttemptFrom] is used for counting if
// the identity has no session, subject or credential.
//
// It denies with auth.missing (no identity), auth.expired, guard.crowded (too
// many outstanding), guard.full (no room in the store) and auth.unavailable
// (the store failed). Any other error is a mistake of the caller.
func (t *Tickets) Issue(ctx context.Context, g Grant) (ticket string, expiresIn time.Duration, err error) {
	if g.Gate == "" || g.Origin == "" {
		return "", 0, errors.New("issue ticket: the grant needs a gate and an origin")
	}
	if g.Purpose != "" && g.Purpose != Admission {
		return "", 0, fmt.Errorf("issue ticket: unknown purpose %q", g.Purpose)
	}
	if g.Purpose == "" && g.Identity.Method == "" {
		return "", 0, deny.Because(deny.AuthMissing, errors.New("issue ticket: no identity"))
	}
	now, life := time.Now(), t.ttl
	if end := g.Identity.Expires; !end.IsZero() {
		if !now.Before(end) {
			return "", 0, deny.Because(deny.AuthExpired, errors.New("issue ticket: the credential has expired"))
		}
		life = min(life, end.Sub(now))
	}
	e := Entry{Owner: owner(ctx, g.Identity), Expires: now.Add(life)}
	if g.Purpose == Admission {
		g.Identity = auth.Identity{}
	}
	e.Grant = g
	ticket = fresh()
	switch err := t.store.Put(ctx, sha256.Sum256([]byte(ticket)), e, t.perSession); {
	case errors.Is(err, ErrCrowded):
		return "", 0, deny.Because(deny.GuardCrowded, fmt.Errorf("issue ticket: %w", err))
	case errors.Is(err, ErrFull):
		return "", 0, deny.Because(deny.GuardFull, fmt.Errorf("issue ticket: %w", err))
	case err != nil:
		return "", 0, deny.Because(deny.AuthUnavailable, fmt.Errorf("issue ticket: %w", err))
	}
	return ticket, life, nil
}

// Redeem takes the ticket and returns the identity that bought it, unchanged.
// The ticket is taken first and checked afterwards, so one that is presented at
// another gate or from another origin is burnt.
//
// It denies with auth.ticket-used (unknown, used or expired), origin.untrusted
// (another origin), auth.invalid (another gate, or an [Admission] ticket),
// auth.expired (the credential behind it has expired) and auth.unavailable (the
// store failed). Whether the identity was revoked meanwhile is for the caller
// to ask.
func (t *Tickets) Redeem(ctx context.Context, ticket, gate, origin string) (auth.Identity, error) {
	g, err := t.take(ctx, ticket, gate, origin, "")
	return g.Identity, err
}

// Admit takes an [Admission] ticket: nil means that a seal handshake may start.
// A ticket with an identity is burnt and denied with auth.invalid; the other
// denials are those of Redeem.
func (t *Tickets) Admit(ctx context.Context, ticket, gate, origin string) error {
	_, err := t.take(ctx, ticket, gate, origin, Admission)
	return err
}

func (t *Tickets) take(ctx context.Context, ticket, gate, origin, purpose string) (Grant, error) {
	if !wellFormed(ticket) {
		return Grant{}, deny.Because(deny.AuthTicketUsed, errors.New("redeem ticket: not a ticket of ours"))
	}
	e, ok, err := t.store.Take(ctx, sha256.Sum256([]byte(ticket)))
	if err != nil {
		return Grant{}, deny.Because(deny.AuthUnavailable, fmt.Errorf("redeem ticket: %w", err))
	}
	if !ok {
		return Grant{}, deny.Because(deny.AuthTicketUsed, errors.New("redeem ticket: unknown, used or expired"))
	}
	g, now := e.Grant, time.Now()
	reason, cause := deny.Reason(0), ""
	switch {
	case g.Origin != origin:
		reason, cause = deny.OriginUntrusted, "issued to another origin"
	case g.Gate != gate:
		reason, cause = deny.AuthInvalid, "issued for another gate"
	case g.Purpose != purpose:
		reason, cause = deny.AuthInvalid, "issued for another purpose"
	case !g.Identity.Expires.IsZero() && !now.Before(g.Identity.Expires):
		reason, cause = deny.AuthExpired, "the credential behind it has expired"
	case !now.Before(e.Expires):
		reason, cause = deny.AuthTicketUsed, "expired"
	default:
		return g, nil
	}
	return Grant{}, deny.Because(reason, errors.New("redeem ticket: "+cause))
}

// Authenticate redeems the ticket that r offers as a subprotocol at the gate
// and origin of [auth.AttemptFrom]. Without a ticket it returns an error
// wrapping [auth.ErrNoCredentials]; more than one is auth.invalid.
func (t *Tickets) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	ticket, n := auth.TicketFrom(r)
	switch {
	case n == 0:
		return auth.Identity{}, fmt.Errorf("ticket: %w", auth.ErrNoCredentials)
	case n > 1:
		return auth.Identity{}, deny.Because(deny.AuthInvalid, errors.New("ticket: more than one"))
	}
	a := auth.AttemptFrom(ctx)
	return t.Redeem(ctx, ticket, a.Gate, a.Origin)
}

// Kind places tickets first among authenticators.
func (*Tickets) Kind() auth.Kind { return auth.Ticket }

// size is the number of random bytes in a ticket.
const size = 32

func fresh() string {
	var b [size]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// wellFormed keeps long or odd input away from the store. Strict decoding makes
// the spelling of a ticket unique.
func wellFormed(ticket string) bool {
	if len(ticket) != base64.RawURLEncoding.EncodedLen(size) {
		return false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(ticket)
	return err == nil && len(b) == size
}

// owner hashes who a ticket counts against. Fields are preceded by their
// length, so that no two lists of fields look alike.
func owner(ctx context.Context, id auth.Identity) [32]byte {
	fields := []string{"credential", id.Issuer, id.Subject, id.Credential}
	switch {
	case id.Session != "":
		fields = []string{"session", id.Issuer, id.Session}
	case id.Subject == "" && id.Credential == "":
		fields = []string{"address", auth.AttemptFrom(ctx).Address}
	}
	var b []byte
	for _, f := range fields {
		b = binary.AppendUvarint(b, uint64(len(f)))
		b = append(b, f...)
	}
	return sha256.Sum256(b)
}

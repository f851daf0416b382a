// Package auth decides who is asking.
//
// It stops connections without a valid credential. A page cannot set headers on
// a WebSocket handshake (the constructor of the WHATWG standard takes a URL and
// subprotocols only), so a browser exchanges what it has, a session cookie or a
// token, for a one-time ticket that travels as a subprotocol; programs send
// "Authorization: Bearer" (RFC 6750, section 2.1). Credentials in a URL are
// refused: URLs end up in logs.
//
// By default nobody is admitted. The sub-packages know one credential each.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/deny"
)

// Identity is who holds a connection and by which credential. It is complete at
// admission and does not change but by renewal.
type Identity struct {
	Issuer     string // who vouches; (Issuer, Subject) is the user
	Subject    string
	Session    string    // the session that ends the connection when it ends; may be empty
	Credential string    // the jti, else the SHA-256 of the token: what revocation by id names
	KeyID      string    // the key that signed the credential; empty if none did
	Method     string    // "jwt", "session", "forward", "anonymous" or an application's own
	Audience   string    // the audience that the credential was accepted for; may be empty
	IssuedAt   time.Time // zero counts as 1970 for revocation by time
	Expires    time.Time // zero: no end of its own; then a revocation holds for 7 days, not for ever
	Scopes     []string  // sorted, without doubles
	Key        string    // thumbprint (RFC 7638) of the key that the credential is bound to, whose holder proved it; empty for a bearer

	// Handle is what the authenticator that made the identity needs to ask
	// again; opaque to everybody else and never logged.
	Handle []byte
}

// Authenticator finds and checks one kind of credential.
type Authenticator interface {
	// Authenticate must return an error wrapping [ErrNoCredentials] if r carries
	// none that it understands; the next one is then asked. Any other error is
	// final; its [deny.Reason] is what the peer is told.
	Authenticate(ctx context.Context, r *http.Request) (Identity, error)
}

// Rechecker is implemented by authenticators whose answer can change while the
// connection lives.
type Rechecker interface {
	// Recheck asks again. A denial ends the connection, except
	// deny.AuthUnavailable, which is retried until the grace time is over.
	Recheck(ctx context.Context, id Identity) (Identity, error)
	// Every is the time between checks; Grace how long an unreachable
	// authority is borne.
	Every() (interval, grace time.Duration)
}

// Kinder is implemented by authenticators of this module; it places them in the
// order of [First]. Authenticators without it come last.
type Kinder interface{ Kind() Kind }

// Kind orders authenticators: explicit credentials before ambient ones.
type Kind uint8

const (
	Ticket  Kind = iota + 1 // explicit: a subprotocol
	Bearer                  // explicit: Authorization: Bearer
	Session                 // ambient: our own cookie
	Forward                 // ambient: the application is asked
	other
)

// ErrNoCredentials says that a request carries no credential of the asked kind.
var ErrNoCredentials = errors.New("no credentials")

// Attempt is what an authenticator may need to know of a handshake besides the request.
type Attempt struct {
	Gate    string // the gate's path
	Origin  string // the trusted origin of the request; "none" if it has none
	Address string // the client's address, without port
	Key     string // thumbprint of the key that the client has proven to hold, inside the seal; empty if none
}

type attemptKey struct{}

// WithAttempt attaches a to ctx.
func WithAttempt(ctx context.Context, a Attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

// AttemptFrom returns what WithAttempt attached, or the zero Attempt.
func AttemptFrom(ctx context.Context) Attempt {
	a, _ := ctx.Value(attemptKey{}).(Attempt)
	return a
}

// TicketPrefix begins the subprotocol in which a ticket travels.
const TicketPrefix = "sallyport.ticket."

// TicketFrom returns the ticket that r offers as a subprotocol. n is the number
// of tickets offered.
func TicketFrom(r *http.Request) (ticket string, n int) {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for token := range strings.SplitSeq(line, ",") {
			if t, ok := strings.CutPrefix(strings.Trim(token, " \t"), TicketPrefix); ok {
				ticket, n = t, n+1
			}
		}
	}
	return ticket, n
}

// BearerFrom returns the token of "Authorization: Bearer". The scheme is
// compared without case (RFC 9110, section 11.1).
func BearerFrom(r *http.Request) (token string, ok bool) {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.Trim(token, " "), true
}

// urlNames are query parameters that carry credentials elsewhere.
var urlNames = []string{"token", "access_token", "id_token", "ticket", "jwt", "auth_token", "authorization", "bearer"}

// CheckQuery refuses a query string that names a credential, in whatever
// spelling, with auth.in-url, and one that servers read in different ways, for
// its broken escapes or its more than 1,000 parameters, with http.malformed.
func CheckQuery(r *http.Request) error {
	query := r.URL.RawQuery
	if strings.Count(query, "&")+strings.Count(query, ";") >= maxParameters {
		return deny.Because(deny.HTTPMalformed, fmt.Errorf("more than %d query parameters", maxParameters))
	}
	for pair := range strings.FieldsFuncSeq(query, func(c rune) bool { return c == '&' || c == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if _, err2 := url.QueryUnescape(value); err != nil || err2 != nil {
			return deny.Because(deny.HTTPMalformed, errors.New("a broken escape in the query"))
		}
		if slices.Contains(urlNames, strings.ToLower(name)) {
			return deny.Because(deny.AuthInURL, nil)
		}
	}
	return nil
}

const maxParameters = 1000 // of a query string

// First asks the authenticators in a fixed order, whatever order they are given
// in: ticket, bearer, session, forward, others. The first that understands a
// credential of the request decides; a credential that is present but wrong is
// final. Two explicit credentials, or a doubled one, are refused.
func First(list ...Authenticator) Authenticator {
	f := first(slices.Clone(list))
	slices.SortStableFunc(f, func(a, b Authenticator) int { return int(kindOf(a)) - int(kindOf(b)) })
	return f
}

type first []Authenticator

func kindOf(a Authenticator) Kind {
	if k, ok := a.(Kinder); ok {
		return k.Kind()
	}
	return other
}

func (f first) Authenticate(ctx context.Context, r *http.Request) (Identity, error) {
	_, explicit := TicketFrom(r)
	if _, ok := BearerFrom(r); ok {
		explicit++
	}
	if explicit > 1 || len(r.Header.Values("Authorization")) > 1 {
		return Identity{}, deny.Because(deny.AuthInvalid, errors.New("more than one explicit credential"))
	}
	for _, a := range f {
		if a == nil {
			continue
		}
		id, err := a.Authenticate(ctx, r)
		if errors.Is(err, ErrNoCredentials) {
			continue
		}
		return id, err
	}
	return Identity{}, deny.Because(deny.AuthMissing, fmt.Errorf("%w", ErrNoCredentials))
}

// Members returns the authenticators of a [First] in their order, or a itself.
func Members(a Authenticator) []Authenticator {
	if f, ok := a.(first); ok {
		return f
	}
	return []Authenticator{a}
}

// Anonymous admits everybody that the other rooms let in, as the same nobody.
// The reason is a sentence for the log and for reviewers; it must not be empty.
func Anonymous(reason string) Authenticator { return anonymous{reason} }

type anonymous struct{ reason string }

// Reason is the sentence given to [Anonymous].
func (a anonymous) Reason() string { return a.reason }

func (anonymous) Authenticate(context.Context, *http.Request) (Identity, error) {
	return Identity{Method: "anonymous"}, nil
}

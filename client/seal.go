package client

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/seal"
)

// Seal seals connections above TLS (SP-Seal/1, spec/seal.md). It stops whoever
// ends TLS in between from reading, changing, injecting, reordering, replaying or
// silently dropping messages, and from seeing the credential, which travels
// inside. A client that has one offers nothing unsealed and accepts nothing else.
//
// Faults of the seal are a [*seal.Error], whose Fault is the code: an error of
// Dial wraps it, and so does a [*CloseError] with [CodeSeal], or with 1006 if the
// connection was cut. What is said outside the seal is nobody's word: a [Client]
// tries again with back-off whatever it says. After ten attempts in a row that met
// another server than the one pinned (local.pin, local.keys, local.unsealed), or that
// TicketURL answered with 401 or 403, it is [Ended].
//
// It does not hide times, addresses, the path or sizes beyond padding, and does
// not protect a credential that was seen elsewhere, unless it is bound to Device.
//
// One Seal may serve many clients and calls of Dial at once, which share what it
// remembers. It must not be copied or changed after the first of them.
type Seal struct {
	// Pins are the identities of the server that are trusted, "sp1." and 43
	// characters each: at least one, better two, the second kept where the first
	// is not. They must not come through whom the seal is to keep out.
	Pins []string

	// KeysURL is where the signed list of sealing keys is. No redirect is
	// followed, and at most 16 KiB are read. Default:
	// /.well-known/sallyport-seal on the host of the connection's URL.
	KeysURL string

	// Keys gives that list in place of KeysURL, such as from a file. It must
	// return when ctx ends. A list is used for 5 minutes before the next is asked
	// for; fresh says that the door does not know a key of the last one.
	Keys func(ctx context.Context, fresh bool) ([]byte, error)

	// Suites that may be used, best first. Default: [seal.Hybrid] alone. A server
	// that lists no key of them is refused.
	Suites []seal.Suite

	// Device has the key that the credential is bound to (cnf.jkt of RFC 9449):
	// Ed25519 or ECDSA on P-256. It signs once for each connection, for which the
	// door waits 5 s. nil: whoever saw the credential elsewhere can use it.
	Device crypto.Signer

	// Generations remembers which lists are too old. Default: the memory of this
	// Seal alone, so that a program that was started anew accepts any list that
	// has not ended.
	Generations Generations

	// Padding of what is sent. Default: [seal.Buckets]. The length of the
	// credential is always hidden.
	Padding seal.Padding

	mu    sync.Mutex // guards what follows; not held while anything is asked
	turn  chan struct{}
	known map[string]known // by authority; at most maxAuthorities
}

// Generations keeps the highest generation of the list of sealing keys that was
// ever accepted from an authority ("app.example.com:443"): no older one is
// accepted again, so that a key that was withdrawn cannot be brought back. Its
// methods may be called at once; one [Seal] calls Store one at a time, in the
// order of the generations. They must return when ctx ends. An error ends the
// attempt to connect.
type Generations interface {
	// Load returns the highest that Store was given for authority; 0 if there was
	// none. It is called before every attempt to connect.
	Load(ctx context.Context, authority string) (uint32, error)

	// Store keeps a generation that is higher than what Load returned.
	Store(ctx context.Context, authority string, generation uint32) error
}

// plan of the seal: what a connection needs of it.
type sealPlan struct {
	pins    []seal.Pin
	at      seal.Context
	keysURL string
	http    *http.Client
	header  http.Header // of the handshake: nothing that says who connects
}

const wellKnown = "/.well-known/sallyport-seal"

// setSeal completes the plan of a client that has a Seal. u is its URL.
func (p *plan) setSeal(u *url.URL) (errs []error) {
	s := p.Seal
	if s == nil || u == nil || len(p.offer) == 0 {
		return nil // or it was said already what is wrong
	}
	bad := func(text string, more ...any) { errs = append(errs, fmt.Errorf("Seal: "+text, more...)) }
	plan := &sealPlan{header: p.Header.Clone()}
	if len(s.Pins) == 0 {
		bad("Pins must name one identity of the server at least")
	}
	for i, text := range s.Pins {
		pin, err := seal.ParsePin(text)
		if err != nil {
			bad("Pins[%d]: %w", i, err)
		}
		plan.pins = append(plan.pins, pin)
	}
	for _, suite := range s.Suites {
		if suite != seal.Hybrid && suite != seal.Classical {
			bad("Suites: %s is unknown", suite)
		}
	}
	if err := checkDevice(s.Device); err != nil {
		bad("Device: %w", err)
	}
	if p.Plain {
		bad("Plain must be false: sallyport.v1 is spoken inside")
	}
	if p.TicketURL != "" && p.Token != nil && s.Device == nil {
		bad("Device must be given with Token and TicketURL: the endpoint is outside the seal, and whoever sees the token there could use it")
	}
	if p.TicketURL == "" && (p.Header.Get("Authorization") != "" || p.Header.Get("Cookie") != "") {
		bad("Header must not hold Authorization or Cookie, which would be seen outside: use Token")
	}
	plan.header.Del("Authorization")
	plan.header.Del("Cookie")
	plan.at = seal.Context{Token: p.offer[0], Authority: authorityOf(u), Target: p.target, Origin: p.Header.Get("Origin")}
	if err := checkPlace(plan.at); err != nil {
		bad("%w", err)
	}
	if err := plan.setKeys(p, u); err != nil {
		bad("%w", err)
	}
	p.seal = plan
	return errs
}

// setKeys says from where and how the list of sealing keys is fetched.
func (s *sealPlan) setKeys(p *plan, u *url.URL) error {
	scheme := "https"
	if u.Scheme == "ws" {
		scheme = "http"
	}
	s.keysURL = scheme + "://" + u.Host + wellKnown
	raw := p.Seal.KeysURL
	if raw != "" {
		if p.Seal.Keys != nil {
			return errors.New("KeysURL must be empty if there is Keys")
		}
		if err := p.checkEndpoint("KeysURL", raw); err != nil {
			return err
		}
		s.keysURL = raw
	}
	if p.HTTPClient != nil {
		own := *p.HTTPClient
		s.http = &own
	} else {
		s.http = p.ownHTTP(raw != "")
	}
	s.http.Jar = nil
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return nil
}

// authorityOf is whom a URL names, as documents do.
func authorityOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port
}

// checkPlace wants what the seal can name: both sides put it into the handshake.
func checkPlace(at seal.Context) error {
	for _, part := range []struct {
		name, text string
		most       int
	}{{"the subprotocol", at.Token, seal.MaxToken}, {"the host", at.Authority, 255}, {"the path and query", at.Target, seal.MaxTarget}, {"Origin", at.Origin, seal.MaxOrigin}} {
		if len(part.text) > part.most || strings.ContainsFunc(part.text, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return fmt.Errorf("%s must be ASCII without spaces, at most %d bytes", part.name, part.most)
		}
	}
	return nil
}

func checkDevice(device crypto.Signer) error {
	if device == nil {
		return nil
	}
	switch key := device.Public().(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return nil
		}
	}
	return errors.New("its key must be Ed25519 or ECDSA on P-256")
}

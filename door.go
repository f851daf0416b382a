// Package sallyport is the guarded door for WebSockets: it decides who may open
// a connection and keeps each one safe for as long as it lives.
//
// It stops cross-site WebSocket hijacking, connections without a valid
// credential, and sockets that outlive their credential, their session or the
// rule that let them in; it bounds size, rate and memory. It does not stop what
// an admitted user is allowed to do.
//
// A connection walks through the rooms in one corridor: headers, origin and
// host, a place, the credential, the subject's place, the route, and once more
// everything that may have changed meanwhile. The zero Config admits nobody.
package sallyport

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/headers"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/origin"
)

type headersPolicy = *headers.Policy

// Config is a door. Gates may replace Origin, Auth and Guard for themselves.
type Config struct {
	Origin  origin.Config      // measure 2; the zero value trusts nobody. Without Hosts: those of its origins
	Headers headers.Config     // measure 3; the zero value is the strict set
	Auth    auth.Authenticator // measure 4; nil is an error, auth.Anonymous is a decision
	Guard   guard.Config       // measure 6
	Limits  guard.Limits       // of the whole door
	Gates   []Gate
	API     API

	// App answers every path that is neither a gate nor an endpoint of the door,
	// with Upgrade stripped. nil: they get 404.
	App http.Handler

	// Sealing is what gates with SealOffered or SealRequired seal with.
	Sealing *Sealing

	// ClientAddress finds the client's address behind proxies. nil: the peer's.
	ClientAddress func(*http.Request) netip.Addr

	// Observe is called with everything that a log or a metric needs. It must
	// not block. nil: nobody is told.
	Observe func(Event)

	// Revocations keeps revocations beyond a restart. It is read by New only.
	// nil: a restart forgets them.
	Revocations guard.RevocationStore

	// Tickets keeps one-time tickets. It is read by New only. nil: in memory.
	Tickets *ticket.Tickets

	// Engine feeds the connections. It is read by New only.
	Engine Engine
}

// Door is the guarded door. Its methods may be called from any goroutine.
type Door struct {
	policy atomic.Pointer[policy]

	// These survive a reload.
	places      *guard.Places
	revocations *guard.Revocations
	clock       *guard.Clock
	budget      *link.Budget
	engines     engines
	tickets     *ticket.Tickets
	refusals    refusals
	rechecks    chan struct{} // holds a token for each re-check in flight
	unsealed    *guard.Places // of handshakes of the seal under way

	strict, lax atomic.Bool // a handshake came through a strict listener, through another

	reloading sync.Mutex // held by Handle and Reload, which replace the policy

	mu       sync.Mutex // guards what follows
	conns    map[string]*Conn
	requests map[*request]struct{} // to gates, that are no upgrade
	draining bool
	handled  []Gate // by Handle

	sockets sync.WaitGroup // sockets not yet given back
	writers sync.WaitGroup // goroutines of outboxes
	helpers sync.WaitGroup // handlers and re-checks

	openings sync.WaitGroup // handshakes between the registry and their answer
}

// New returns a door, or all mistakes of c at once. It starts no goroutine.
func New(c Config) (*Door, error) {
	d := &Door{
		clock:    guard.NewClock(),
		conns:    map[string]*Conn{},
		requests: map[*request]struct{}{},
		rechecks: make(chan struct{}, maxRechecks),
		unsealed: guard.NewPlaces(guard.Limits{Connections: maxUnsealed, PerAddress: maxOpening}),
	}
	p, limits, err := d.compile(c, nil)
	var err2 error
	if d.revocations, err2 = guard.NewRevocations(context.Background(), c.Revocations); err2 != nil {
		err = errors.Join(err, fmt.Errorf("load revocations: %w", err2))
	}
	if d.tickets = c.Tickets; d.tickets == nil {
		if d.tickets, err2 = ticket.New(ticket.Config{}); err2 != nil {
			err = errors.Join(err, err2)
		}
	}
	if err != nil {
		return nil, err
	}
	d.engines.portableOnly = c.Engine == EnginePortable
	d.places = guard.NewPlaces(limits)
	d.budget = link.NewBudget(limits.Buffered)
	d.refusals.setMax(limits.Refusals)
	d.policy.Store(p)
	return d, nil
}

// compile checks c and the gates added by Handle.
func (d *Door) compile(c Config, handled []Gate) (*policy, guard.Limits, error) {
	var errs []error
	p := &policy{config: c, gates: map[string]*gate{}}
	var err error
	if p.headers, err = headers.New(c.Headers); err != nil {
		errs = append(errs, err)
	}
	if p.origin, err = originPolicy(c.Origin, c.API.Origin); err != nil {
		errs = append(errs, err)
	}
	limits, err := c.Limits.Fill()
	errs = append(errs, err)
	if c.Auth == nil && (len(c.Gates) == 0 || slices.ContainsFunc(c.Gates, func(g Gate) bool { return g.Auth == nil })) {
		errs = append(errs, errors.New(`auth: nobody could be admitted; give an Authenticator, or auth.Anonymous("reason")`))
	}
	taken := map[string]bool{}
	for _, g := range append(slices.Clone(c.Gates), handled...) {
		if taken[g.Path] {
			errs = append(errs, fmt.Errorf("gate %q: given twice", g.Path))
		}
		taken[g.Path] = true
		full, err := fill(g, &c, p.origin)
		if err != nil {
			errs = append(errs, fmt.Errorf("gate %q: %w", g.Path, err))
			continue
		}
		if full.Path[len(full.Path)-1] == '/' {
			p.prefixes = append(p.prefixes, full)
		} else {
			p.gates[g.Path] = full
		}
	}
	slices.SortStableFunc(p.prefixes, func(a, b *gate) int { return len(b.Path) - len(a.Path) })
	if p.api, err = newAPI(d, p, c.API); err != nil {
		errs = append(errs, err)
	}
	return p, limits, errors.Join(errs...)
}

// fill gives g what it does not say itself.
func fill(g Gate, c *Config, doorOrigin *origin.Policy) (*gate, error) {
	full := &gate{Gate: g, origin: doorOrigin}
	var errs []error
	if err := checkPath(g.Path); err != nil {
		return nil, err
	}
	if g.Route == nil {
		errs = append(errs, errors.New("no route"))
	}
	if g.Seal != SealOff && (c.Sealing == nil || c.Sealing.Ring == nil || len(c.Sealing.Document) == 0 && len(c.Sealing.Documents) == 0) {
		errs = append(errs, errors.New("a seal without Config.Sealing"))
	}
	if g.Seal == SealRequired && g.HTTP != nil {
		errs = append(errs, errors.New("ordinary requests cannot be sealed"))
	}
	if g.Seal == SealRequired && g.passesMasked() != "" {
		errs = append(errs, errors.New("what is sealed is opened here, and cannot pass with the client's mask"))
	}
	if full.Auth == nil {
		full.Auth = c.Auth
	}
	var err error
	if g.Origin != nil {
		if full.origin, err = originPolicy(*g.Origin, c.API.Origin); err != nil {
			errs = append(errs, err)
		}
	}
	limits := c.Guard
	if g.Guard != nil {
		limits = *g.Guard
	}
	if full.guard, err = limits.Fill(); err != nil {
		errs = append(errs, err)
	}
	return full, errors.Join(errs...)
}

// originPolicy fills in the hosts that c does not list: those of the origins,
// which is right wherever page and socket share one.
func originPolicy(c origin.Config, own string) (*origin.Policy, error) {
	if len(c.Hosts) == 0 {
		for _, s := range append([]string{own}, c.Trusted...) {
			if o, ok := origin.Parse(strings.ToLower(s)); ok && !slices.Contains(c.Hosts, o.Host) {
				c.Hosts = append(c.Hosts, o.Host)
			}
		}
	}
	return origin.New(c)
}

// Handle adds a gate with the door's own policies. pattern is a path, with or
// without "GET " before it. It panics on a pattern that is wrong or taken, as
// http.ServeMux does.
func (d *Door) Handle(pattern string, route Route) {
	path := pattern
	if len(path) > 4 && path[:4] == "GET " {
		path = path[4:]
	}
	d.reloading.Lock()
	defer d.reloading.Unlock()
	handled := append(slices.Clone(d.handled), Gate{Path: path, Route: route})
	p, _, err := d.compile(d.policy.Load().config, handled)
	if err != nil {
		panic("sallyport: " + err.Error())
	}
	d.handled = handled
	d.policy.Store(p)
}

// Endpoints answers the door's own endpoints: ticket, token, renew, logout,
// session, and the key sets. ServeHTTP answers them too.
func (d *Door) Endpoints() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := d.policy.Load()
		p.headers.Apply(w.Header())
		p.api.ServeHTTP(w, r)
	})
}

// Secure puts measures 2 and 3 around the application's own routes: the
// headers, the host, and for requests that change something the origin
// ([http.CrossOriginProtection]).
func (d *Door) Secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := d.policy.Load()
		p.headers.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			err := p.origin.CheckHost(r)
			if err == nil {
				err = p.api.crossSite(r)
			}
			if err != nil {
				p.api.refuse(w, r, "", err)
				return
			}
			next.ServeHTTP(w, r)
		})).ServeHTTP(w, r)
	})
}

// newID returns 128 random bits in hexadecimal.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// observe survives an observer that panics: it is called on any goroutine, and
// there is nobody left to tell.
func (d *Door) observe(e Event) {
	if f := d.policy.Load().config.Observe; f != nil {
		defer func() { recover() }()
		e.Identity.Handle = nil // what the browser sent is nobody's business
		f(e)
	}
}

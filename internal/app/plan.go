package app

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth/session"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/headers"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/route/proxy"
	"github.com/sallyport/sallyport/wss"
)

// identityDocument is where backends find the keys of Sallyport-Identity.
const identityDocument = "/.well-known/sallyport-identity.jwks"

// A Mistake is an error of the configuration that only the rooms could find.
// The program exits with 3.
type Mistake struct{ Err error }

func (m *Mistake) Error() string { return m.Err.Error() }
func (m *Mistake) Unwrap() error { return m.Err }

func mistake(format string, args ...any) error { return &Mistake{fmt.Errorf(format, args...)} }

// plan is a configuration made into rooms: everything that a reload replaces.
// It is not changed once it is in force.
type plan struct {
	file    *config.File
	origins config.Origins
	limits  config.Limits // as lowered to what the process may open
	lowered []lowered     // the limits that were
	certs   *certificates
	hosts   []string
	own     []string // the door's own origins; the first is its name
	door    sallyport.Config

	adminToken string // empty on unix sockets

	verifiers []*verifier
	sessions  *session.Sessions // nil if none are kept
	sealing   *sealing          // nil if no gate has a seal
}

// warnings is a sentence for every setting that weakens the door, and for every
// limit that was asked for and is lower.
func (p *plan) warnings() []string {
	list := p.file.Warnings()
	for _, l := range p.lowered {
		if !l.byDefault {
			list = append(list, l.why)
		}
	}
	return list
}

// name is what the door calls itself in what it signs.
func (p *plan) name() string {
	if len(p.own) == 0 {
		return "sallyport" // it has names with wildcards only
	}
	return p.own[0]
}

// compile makes a plan, or returns all mistakes at once. old is the plan in
// force, whose key sets are kept where nothing about them changed; nil at start.
func (s *Server) compile(f *config.File, origins config.Origins, old *plan) (*plan, error) {
	p := &plan{file: f, origins: origins}
	p.limits, p.lowered = fit(f.Limits, origins, openFiles())
	var errs []error
	var err error
	if p.certs, err = s.openCertificates(f); err != nil {
		errs = append(errs, &Mistake{err})
	}
	if !f.Admin.Token.IsZero() {
		token, err := f.Admin.Token.Read()
		if err != nil {
			errs = append(errs, mistake("admin.token: %w", err))
		}
		p.adminToken = string(token)
	}
	p.hosts = hostsOf(f, p.certs.names())
	p.own = ownOrigins(p.hosts, !f.TLS.TerminatedBy.Empty(), s.public.Addr())
	if err := s.keepSessions(p); err != nil {
		errs = append(errs, err)
	}
	trusted := wss.Peers{Unix: f.TrustedProxies.Unix, Prefixes: f.TrustedProxies.Prefixes}
	address := func(r *http.Request) netip.Addr { return clientAddress(r, trusted) }

	p.door = sallyport.Config{
		Origin:  origin.Config{Hosts: p.hosts, Dev: f.TLS.Dev},
		Headers: headers.Config{Dev: f.TLS.Dev},
		Limits: guard.Limits{
			Connections: p.limits.Connections, PerAddress: p.limits.PerAddress, PerSubject: p.limits.PerSubject,
			Buffered: int64(p.limits.Buffered),
		},
		API: sallyport.API{
			Prefix: f.API.Prefix, Origins: f.API.Origins, GetToken: f.API.GetToken,
			Documents: map[string][]byte{identityDocument: s.identities.JWKS()},
		},
		ClientAddress: address,
		Observe:       s.observe,
		Revocations:   s.state.Revocations(),
		Tickets:       s.tickets,
		Engine:        engines[f.Engine],
	}
	if len(p.own) > 0 {
		p.door.API.Origin = p.own[0]
		p.door.API.Origins = append(p.own[1:len(p.own):len(p.own)], f.API.Origins...)
	}
	if p.sessions != nil {
		p.door.API.Sessions, p.door.API.Signer = p.sessions, s.tokens
	}
	if err := s.openSealing(p, old != nil && old.sealing != nil); err != nil {
		errs = append(errs, &Mistake{err})
	}
	for i := range f.Gates {
		gate, err := s.gate(p, &f.Gates[i], old, address)
		if err != nil {
			errs = append(errs, &Mistake{fmt.Errorf("gate %s: %w", f.Gates[i].Path, err)})
		}
		p.door.Gates = append(p.door.Gates, gate)
	}
	if p.door.App, err = s.application(f, address); err != nil {
		errs = append(errs, &Mistake{err})
	}
	return p, errors.Join(errs...)
}

// keepSessions sets up the door's own sessions and the check of its own tokens,
// if anybody wants them.
func (s *Server) keepSessions(p *plan) error {
	wanted := s.options.Sessions
	for i := range p.file.Gates {
		wanted = wanted || p.file.Gates[i].Auth.Session != nil
	}
	if !wanted {
		return nil
	}
	if len(p.own) == 0 {
		return mistake("auth.session: the door needs a name of its own: list a host without a wildcard in \"hosts\"")
	}
	var err error
	p.sessions, err = session.New(session.Config{Store: s.state.Sessions(), Issuer: p.own[0]})
	return err
}

// gate makes one gate.
func (s *Server) gate(p *plan, g *config.Gate, old *plan, address func(*http.Request) netip.Addr) (sallyport.Gate, error) {
	f := p.file
	var errs []error
	way, err := s.authenticator(p, g, old)
	errs = append(errs, err)
	backend, err := s.backend(p, g, address)
	errs = append(errs, err)
	o := origin.Config{Trusted: g.Origins, Hosts: p.hosts, Dev: f.TLS.Dev}
	if g.Without == "bearer" {
		o.Without = origin.AllowBearer
	}
	out := sallyport.Gate{
		Path: g.Path, Origin: &o, Auth: way, Route: backend,
		Guard: &guard.Config{
			Idle: g.Guard.Idle, IdleClient: g.Guard.IdleCounts == "client", Ping: g.Guard.Ping, PongWait: g.Guard.PongWait,
			MaxLife: g.Guard.MaxLife, MaxMessage: int64(g.Guard.MaxMessage), MaxMessageDown: int64(g.Guard.MaxMessageDown),
			Messages: guard.Rate(g.Guard.Messages), Bytes: guard.Rate(g.Guard.Bytes),
		},
	}
	if g.Refuse == "http" {
		out.Refuse = sallyport.RefuseHTTP
	}
	out.Seal, out.AllowUnbound = seals[g.Seal], !g.RequireBound
	if g.HTTP == "guarded" && backend != nil {
		out.HTTP = backend.HTTP()
	}
	return out, errors.Join(errs...)
}

// strip are the cookies that no backend gets.
var strip = []string{session.DefaultCookie}

// claimNames are the claims as package proxy calls them.
var claimNames = map[string]string{"session": "sid", "scopes": "scope"}

func identityHeaders(f *config.File) map[string]string {
	out := map[string]string{}
	for name, claim := range f.Identity.Headers {
		if other, ok := claimNames[claim]; ok {
			claim = other
		}
		out[name] = claim
	}
	return out
}

func (s *Server) backend(p *plan, g *config.Gate, address func(*http.Request) netip.Addr) (*proxy.Proxy, error) {
	audience := p.file.Identity.Audience
	if audience == "" {
		audience = g.To
	}
	identity, err := proxy.NewIdentity(s.identities, p.name(), audience)
	if err != nil {
		return nil, err
	}
	roots, err := authorities(g.Backend.CA)
	if err != nil {
		return nil, err
	}
	return proxy.New(proxy.Config{
		To: g.To, Identity: identity, IdentityHeaders: identityHeaders(p.file), StripCookies: strip,
		ForwardCredentials: g.ForwardCredentials, Stream: g.Stream, MaxMessageDown: int64(g.Guard.MaxMessageDown),
		DangerouslyPassMasked: g.DangerouslyPassMasked, ClientAddress: address,
		TLS: proxy.TLS{RootCAs: roots, ServerName: g.Backend.ServerName, DangerouslySkipVerify: g.Backend.DangerouslySkipVerify},
	})
}

// authorities reads a PEM file; "" are those of the system.
func authorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no PEM certificate", path)
	}
	return pool, nil
}

// application is what lies behind the door: that of the options, or a URL's.
func (s *Server) application(f *config.File, address func(*http.Request) netip.Addr) (http.Handler, error) {
	if s.app != nil || f.App == "" {
		return s.app, nil
	}
	return proxy.App(f.App, proxy.Config{StripCookies: strip, IdentityHeaders: identityHeaders(f), ClientAddress: address})
}

// clientAddress is who made a request, behind the proxies that are believed.
func clientAddress(r *http.Request, trusted wss.Peers) netip.Addr {
	var peer netip.Addr
	if c, ok := wss.FromContext(r.Context()); ok {
		peer = c.Peer()
	} else if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		peer = ap.Addr()
	}
	return wss.ClientAddress(r, peer, trusted)
}

// forget drops what was only made for a plan that is not, or no longer, in force.
func (p *plan) forget(still *plan) {
	for _, v := range p.verifiers {
		if still == nil || !still.uses(v) {
			v.Close()
		}
	}
}

func (p *plan) uses(v *verifier) bool {
	for _, have := range p.verifiers {
		if have.Verifier == v.Verifier {
			return true
		}
	}
	return false
}

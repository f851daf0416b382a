package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/forward"
	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/config"
)

// verifier is a jwt.Verifier and what its timer needs to know.
type verifier struct {
	*jwt.Verifier
	key   string // of its settings: two gates with the same share it
	gates []string
	url   bool      // keys come from the network
	file  bool      // keys come from a file
	due   time.Time // of the next Refresh; owned by upkeep
}

// authenticator makes the ways into a gate. A ticket, and an identity that an
// administrator vouched for, are accepted everywhere.
func (s *Server) authenticator(p *plan, g *config.Gate, old *plan) (auth.Authenticator, error) {
	list := []auth.Authenticator{s.tickets, vouched{}}
	var errs []error
	var foreign *jwt.Verifier
	if c := g.Auth.JWT; c != nil {
		v, err := s.verifier(p, g.Path, c, old)
		if err != nil {
			errs = append(errs, err)
		} else {
			foreign = v.Verifier
		}
	}
	var own *jwt.Verifier
	if g.Auth.Session != nil && p.sessions != nil {
		list = append(list, p.sessions)
		var err error
		own, err = jwt.New(jwt.Config{
			Issuer: p.own[0], Audience: p.own[0] + g.Path, Keys: jwt.PublicSet(s.tokens), Types: []string{jwt.TypeAccess},
		})
		errs = append(errs, err)
	}
	switch {
	case own != nil && foreign != nil:
		list = append(list, bearers{own, foreign})
	case own != nil:
		list = append(list, own)
	case foreign != nil:
		list = append(list, foreign)
	}
	if c := g.Auth.Forward; c != nil {
		a, err := s.forward(c)
		if err != nil {
			errs = append(errs, err)
		} else {
			list = append(list, a)
		}
	}
	if g.Auth.Anonymous != "" {
		list = append(list, auth.Anonymous(g.Auth.Anonymous))
	}
	return auth.First(list...), errors.Join(errs...)
}

// verifier returns the check of an issuer's tokens. One with keys from a URL is
// kept over a reload, with the keys that it has; from a file or a secret it is
// made anew, since those are read again.
func (s *Server) verifier(p *plan, gate string, c *config.JWT, old *plan) (*verifier, error) {
	key := fmt.Sprintf("%q %q %q %q %q %q %s", c.Issuer, c.Audience, c.JWKS, c.Secret, c.Algs, c.Types, c.MaxLifetime)
	same := func(v *verifier) bool { return v.key == key }
	if i := slices.IndexFunc(p.verifiers, same); i >= 0 {
		v := p.verifiers[i]
		v.gates = append(v.gates, gate)
		return v, nil
	}
	file := strings.HasPrefix(c.JWKS, "file:")
	if old != nil && c.JWKS != "" && !file {
		if i := slices.IndexFunc(old.verifiers, same); i >= 0 {
			v := &verifier{Verifier: old.verifiers[i].Verifier, key: key, gates: []string{gate}, url: true}
			p.verifiers = append(p.verifiers, v)
			return v, nil
		}
	}
	settings := jwt.Config{
		Issuer: c.Issuer, Audience: c.Audience, JWKS: c.JWKS, Algs: c.Algs, Types: c.Types, MaxLifetime: c.MaxLifetime,
	}
	if !c.Secret.IsZero() {
		secret, err := c.Secret.Read()
		if err != nil {
			return nil, err
		}
		settings.Secret = secret
	}
	v, err := jwt.New(settings)
	if err != nil {
		return nil, err
	}
	if old != nil && file { // else none of its keys is trusted until the file is read
		if i := slices.IndexFunc(old.verifiers, same); i >= 0 {
			v.Inherit(old.verifiers[i].Verifier)
		}
	}
	v.OnChange(s.rejudge)
	full := &verifier{Verifier: v, key: key, gates: []string{gate}, file: file, url: c.JWKS != "" && !file}
	p.verifiers = append(p.verifiers, full)
	return full, nil
}

// forward returns the question to an application. One is kept for every
// different setting until the server stops: open connections are asked about by
// the one that admitted them.
func (s *Server) forward(c *config.Forward) (*forward.Authenticator, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.forwards[*c]; a != nil {
		return a, nil
	}
	a, err := forward.New(forward.Config{URL: c.URL, Recheck: c.Recheck, Grace: c.Grace, StripCookies: strip})
	if err != nil {
		return nil, err
	}
	s.forwards[*c] = a
	return a, nil
}

// bearers tells the door's own tokens from those of an identity provider by the
// issuer that they name; each is then judged by its own keys alone.
type bearers struct{ own, foreign *jwt.Verifier }

func (b bearers) Kind() auth.Kind { return auth.Bearer }

func (b bearers) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	token, _ := auth.BearerFrom(r)
	for _, v := range []*jwt.Verifier{b.own, b.foreign} {
		if v.Remembers(token) { // its issuer was read once
			return v.Authenticate(ctx, r)
		}
	}
	if _, claims, err := jwt.InspectUnverified(token); err == nil && claims["iss"] == b.own.Issuer() {
		return b.own.Authenticate(ctx, r)
	}
	return b.foreign.Authenticate(ctx, r)
}

func (b bearers) Judge(id auth.Identity) error {
	if err := b.own.Judge(id); !errors.Is(err, auth.ErrNoCredentials) {
		return err
	}
	return b.foreign.Judge(id)
}

// vouched stands by the identities for which an administrator had a ticket
// made. It finds no credential in any request.
type vouched struct{}

func (vouched) Authenticate(context.Context, *http.Request) (auth.Identity, error) {
	return auth.Identity{}, auth.ErrNoCredentials
}

func (vouched) Judge(id auth.Identity) error {
	if id.Method != admin.Method {
		return auth.ErrNoCredentials
	}
	return nil
}

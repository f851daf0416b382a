package app

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/config"
)

// adminHandler is the administrator's API of this server.
func (s *Server) adminHandler(f *config.File) http.Handler {
	c := admin.Config{
		Door:   s.door.Load(),
		Mint:   s.mint,
		Gate:   func(path string) bool { return s.now().hasGate(path) },
		Issuer: s.Name(),
		Show:   s.show,
		Reload: s.Reload,
		Did:    func(action string, ended int) { s.log.Info("administrator", "action", action, "ended", ended) },
	}
	if admin.Socket(f.Admin.Listen, f.State) == "" {
		c.Token, c.Hosts = func() string { return s.now().adminToken }, admin.Hosts(s.admin.Addr())
	}
	return admin.New(c)
}

func (p *plan) hasGate(path string) bool {
	return slices.ContainsFunc(p.file.Gates, func(g config.Gate) bool { return g.Path == path })
}

// mint makes a ticket for an identity that an administrator vouches for.
func (s *Server) mint(ctx context.Context, gate, origin string, id auth.Identity) (string, time.Duration, error) {
	t, life, err := s.tickets.Issue(ctx, ticket.Grant{Identity: id, Gate: gate, Origin: origin})
	if err != nil {
		return "", 0, err
	}
	return auth.TicketPrefix + t, life, nil
}

// show is the effective configuration with secrets masked.
func (s *Server) show() (string, []string, error) {
	p := s.now()
	var b bytes.Buffer
	if err := config.Show(&b, p.file, p.origins, true); err != nil {
		return "", nil, err
	}
	return b.String(), append(p.file.Warnings(), p.lowered...), nil
}

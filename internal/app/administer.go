package app

import (
	"bytes"
	"context"
	"log/slog"
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
		Did:    s.administered,
	}
	if admin.Socket(f.Admin.Listen, f.State) == "" {
		c.Token, c.Hosts = func() string { return s.now().adminToken }, admin.Hosts(s.admin.Addr())
	}
	return admin.New(c)
}

// administered writes the line of what an administrator did and to whom.
func (s *Server) administered(d admin.Done) {
	list := append([]slog.Attr{slog.String("action", d.Action)}, d.About...)
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "administrator", append(list, slog.Int("ended", d.Ended))...)
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
	return b.String(), p.warnings(), nil
}

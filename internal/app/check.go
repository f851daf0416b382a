package app

import (
	"errors"
	"log/slog"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth/forward"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/state"
)

// Check finds the mistakes of a configuration that only the rooms know, as
// [Start] would. It binds nothing, fetches nothing and leaves nothing behind.
func Check(f *config.File) error {
	c := *f
	c.State = "memory"
	s := &Server{
		options: Options{File: &c}, log: slog.New(slog.DiscardHandler), state: state.Memory(), public: nowhere{},
		quit: make(chan struct{}), forwards: map[config.Forward]*forward.Authenticator{},
	}
	s.access = newAccess(s.log)
	var errs [3]error
	s.tokens, errs[0] = signer(s.state, "token-key")
	s.identities, errs[1] = signer(s.state, "identity-key")
	s.tickets, errs[2] = ticket.New(ticket.Config{})
	if err := errors.Join(errs[:]...); err != nil {
		return errors.Join(err, s.close())
	}
	p, err := s.compile(&c, nil, nil)
	if err == nil {
		if _, err = sallyport.New(p.door); err != nil {
			err = &Mistake{err}
		}
	}
	p.forget(nil)
	return errors.Join(err, s.close())
}

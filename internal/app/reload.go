package app

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/config"
)

// Reload reads configuration, keys and certificates again and puts them into
// force together, or changes nothing and returns every mistake. Open
// connections that the new configuration would not admit end with
// policy.changed; the others keep the limits they were admitted with.
//
// Addresses, state, the engine, the kind of TLS and the log's format need a restart: a
// configuration in which one of them differs is refused.
func (s *Server) Reload(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	err := s.reload(ctx)
	s.mu.Lock()
	s.reloadGood = err == nil
	if err == nil {
		s.reloaded = time.Now()
	}
	s.mu.Unlock()
	if err != nil {
		s.tellMistakes(err)
		return err
	}
	s.log.Info("reloaded")
	s.warn()
	return nil
}

// tellMistakes writes a line for every mistake of a configuration that was not
// adopted.
func (s *Server) tellMistakes(err error) {
	const msg = "reload failed; the old configuration stays"
	c, ok := errors.AsType[*config.Error](err)
	if !ok {
		s.log.Error(msg, "err", err)
		return
	}
	for i, p := range c.Problems {
		if i == maxMistakes {
			s.log.Error(msg, "err", fmt.Errorf("and %d more", len(c.Problems)-i))
			return
		}
		first, _, _ := strings.Cut(p.Message, "\n")
		s.log.Error(msg, "at", p.At.String(), "err", first)
	}
}

// maxMistakes bounds the lines about one configuration.
const maxMistakes = 20

func (s *Server) reload(ctx context.Context) error {
	old := s.now()
	f, origins := old.file, old.origins
	if s.options.Load != nil {
		var err error
		if f, origins, err = s.options.Load(); err != nil {
			return err
		}
	}
	if err := needsRestart(old.file, f); err != nil {
		return err
	}
	p, err := s.compile(f, origins, old)
	if err == nil {
		err = s.freshKeys(ctx, p, old)
	}
	if err == nil {
		err = s.adopt(p, old)
	}
	if err != nil {
		p.forget(old)
		return err
	}
	for _, v := range p.verifiers {
		if old.uses(v) {
			v.Forget()
			_ = s.refresh(ctx, v) // the old set stays if it fails, and a line is written
		}
	}
	return nil
}

// freshKeys reads the key sets that the old plan does not have. Without keys a
// gate would end all of its connections, so that is no configuration to adopt.
func (s *Server) freshKeys(ctx context.Context, p, old *plan) error {
	var errs []error
	for _, v := range p.verifiers {
		if !old.uses(v) && (v.url || v.file) {
			if err := s.refresh(ctx, v); err != nil {
				errs = append(errs, &Mistake{fmt.Errorf("keys of gate %s: %w", v.gates[0], err)})
			}
		}
	}
	return errors.Join(errs...)
}

// adopt puts p into force. Certificates are swapped last: nothing can fail then.
func (s *Server) adopt(p, old *plan) error {
	if err := s.door.Load().Reload(p.door); err != nil {
		return &Mistake{err}
	}
	s.certs.set(p.certs)
	s.level.Set(logLevel(p.file.Log.Level))
	s.mu.Lock()
	s.plan = p
	s.mu.Unlock()
	old.forget(p)
	return nil
}

// needsRestart refuses changes of what is fixed when the program starts.
func needsRestart(old, f *config.File) error {
	var errs []error
	for _, fixed := range []struct {
		key      string
		was, now any
	}{
		{"listen", old.Listen, f.Listen},
		{"state", old.State, f.State},
		{"admin", old.Admin.Listen, f.Admin.Listen},
		{"health", old.Health, f.Health},
		{"engine", old.Engine, f.Engine},
		{"tls", how(old), how(f)},
		{"tls.terminated_by", old.TLS.TerminatedBy.Strings(), f.TLS.TerminatedBy.Strings()},
		{"tls.min_version", old.TLS.MinVersion, f.TLS.MinVersion},
		{"log.format", old.Log.Format, f.Log.Format},
		{"limits.unauthenticated", old.Limits.Unauthenticated, f.Limits.Unauthenticated},
		{"limits.handshakes", old.Limits.Handshakes, f.Limits.Handshakes},
		{"limits.body", old.Limits.Body, f.Limits.Body},
	} {
		if !reflect.DeepEqual(fixed.was, fixed.now) {
			errs = append(errs, mistake("%s: a change needs a restart (was %v, is %v)", fixed.key, fixed.was, fixed.now))
		}
	}
	return errors.Join(errs...)
}

// how is the kind of TLS.
func how(f *config.File) string {
	switch {
	case f.TLS.Dev:
		return "dev"
	case len(f.TLS.Files) > 0:
		return "files"
	}
	return "terminated_by"
}
